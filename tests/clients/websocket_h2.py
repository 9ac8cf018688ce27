#!/usr/bin/env python3
"""WebSockets over HTTP/2 (RFC 8441), by hand: extended CONNECT, then frames of RFC 6455 in DATA.
  websocket_h2.py HOST PORT [PATH [WITHOUT]]    all cases but the one named so; closes with `N passed, N failed`
"""
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'conformance'))
from h2raw import DATA, H2, HEADERS, SETTINGS, WINUP, frame, lit  # noqa: E402


class Stream(H2):
    """Keeps the bytes of DATA by stream, and opens windows again."""

    def __init__(self, *words, **named):
        self.bytes = {}
        super().__init__(*words, **named)

    def reader(self):
        """Like the parent's, for what these tests need."""
        buffer = b''
        while not self.stop:
            try:
                got = self.sock.recv(65536)
            except TimeoutError:
                continue
            except OSError:
                got = b''
            if not got:
                self.closed = True
                return
            buffer += got
            while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], 'big'):
                length = int.from_bytes(buffer[:3], 'big')
                kind, flags, stream = buffer[3], buffer[4], int.from_bytes(buffer[5:9], 'big')
                payload, buffer = buffer[9:9 + length], buffer[9 + length:]
                self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & 1:
            for at in range(0, len(payload), 6):
                self.srv[int.from_bytes(payload[at:at + 2], 'big')] = int.from_bytes(payload[at + 2:at + 6], 'big')
            self.send(frame(SETTINGS, 1, 0))
            self.got = True
        elif kind == HEADERS:
            # :status is the first field; 200 stands in the static table (RFC 7541 appendix A).
            fields = payload
            while fields and fields[0] & 0xe0 == 0x20:
                fields = fields[1:]
            self.status.setdefault(stream, 200 if fields[:1] == b'\x88' else 'not 200')
        elif kind == DATA:
            self.bytes[stream] = self.bytes.get(stream, b'') + payload
            if payload:
                step = struct.pack('>I', len(payload))
                self.send(frame(WINUP, 0, 0, step) + frame(WINUP, 0, stream, step))
        elif kind == 3:
            self.rst[stream] = int.from_bytes(payload, 'big')
        elif kind == 7:
            self.goaway = (int.from_bytes(payload[:4], 'big'), int.from_bytes(payload[4:8], 'big'), payload[8:])
        if kind in (HEADERS, DATA) and flags & 1:
            self.ended.add(stream)


def open_socket(to, stream, path):
    fields = [(b':method', b'CONNECT'), (b':protocol', b'websocket'), (b':scheme', b'http'), (b':path', path),
              (b':authority', b'a.test'), (b'sec-websocket-version', b'13')]
    to.send(frame(HEADERS, 4, stream, b''.join(lit(name, value) for name, value in fields)))
    assert to.wait(lambda: stream in to.status or stream in to.rst or to.closed, 5), 'no answer'
    assert to.status.get(stream) == 200, (to.status.get(stream), to.rst, to.goaway)


def message(payload, opcode=2):
    mask = b'\x11\x22\x33\x44'
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b'\xfe' + struct.pack('>H', len(payload))
    return bytes([0x80 | opcode]) + size + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def answer(payload, opcode=2):
    size = bytes([len(payload)]) if len(payload) < 126 else b'\x7e' + struct.pack('>H', len(payload))
    return bytes([0x80 | opcode]) + size + payload


def talk(to, stream, payload):
    begin = len(to.bytes.get(stream, b''))
    to.send(frame(DATA, 0, stream, message(payload)))
    wanted = answer(payload)
    assert to.wait(lambda: len(to.bytes.get(stream, b'')) - begin >= len(wanted), 5), 'no echo'
    assert to.bytes[stream][begin:] == wanted


def the_server_says_that_it_can(to):
    assert to.srv.get(8) == 1, to.srv  # SETTINGS_ENABLE_CONNECT_PROTOCOL


def messages_come_back(to):
    open_socket(to, 1, PATH)
    for size in (0, 1, 125, 126, 10_000):
        talk(to, 1, b'x' * size)


def many_share_a_connection(to):
    streams = range(1, 41, 2)
    for stream in streams:
        open_socket(to, stream, PATH)
    for turn in range(5):
        for stream in streams:
            talk(to, stream, b'%d-%d' % (stream, turn))


def a_close_ends_the_stream_and_nothing_else(to):
    open_socket(to, 1, PATH)
    open_socket(to, 3, PATH)
    to.send(frame(DATA, 0, 1, message(b'\x03\xe8', 8)))
    assert to.wait(lambda: to.bytes.get(1, b'')[:1] == b'\x88', 5), 'no close came back'
    to.send(frame(DATA, 1, 1))
    assert to.wait(lambda: 1 in to.ended or 1 in to.rst, 5), 'the stream stays'
    talk(to, 3, b'still here')


def an_unknown_protocol_is_refused(to):
    fields = [(b':method', b'CONNECT'), (b':protocol', b'nonsense'), (b':scheme', b'http'), (b':path', PATH),
              (b':authority', b'a.test')]
    to.send(frame(HEADERS, 4, 1, b''.join(lit(name, value) for name, value in fields)))
    assert to.wait(lambda: 1 in to.status or 1 in to.rst or to.closed, 5), 'no answer'
    assert to.status.get(1) != 200, 'it was accepted'


if __name__ == '__main__':
    HOST, PORT, PATH = sys.argv[1], int(sys.argv[2]), (sys.argv[3:] or ['/'])[0].encode()
    CASES = [the_server_says_that_it_can, messages_come_back, many_share_a_connection,
             a_close_ends_the_stream_and_nothing_else, an_unknown_protocol_is_refused]
    CASES = [function for function in CASES if function.__name__ not in sys.argv[4:]]
    failed = 0
    for function in CASES:
        to = Stream(HOST, PORT, tls=False, timeout=1)
        try:
            function(to)
            print('ok  ', function.__name__)
        except Exception as error:  # every kind of failure is one to report
            failed += 1
            print('FAIL', function.__name__, repr(error)[:600])
        to.close()
    print('%d passed, %d failed' % (len(CASES) - failed, failed))
    sys.exit(failed != 0)
