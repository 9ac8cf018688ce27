#!/usr/bin/env python3
"""HTTP/3 through a proxy, by aioquic: a server that says its name, and a client.

    http3.py server ADDRESS PORT CERT KEY NAME [retry]
    http3.py client ADDRESS PORT SNI CA [v2] [protocols=N] [patience=SECONDS] [wait=FILE] [PATH ...]
    http3.py make-up ADDRESS PORT WHAT COUNT [SNI FIRST]
    http3.py say SNI

The client prints a line of JSON for each path: status, who answered, bytes of the body and whether they are right. With
`protocols`, it offers so many, and its ClientHello does not fit into one datagram. With `wait`, it goes on with the next path
when that file is there. `make-up hello` sends whole ClientHellos for SNI, each from an address of its own: 10.77.0.0 and
FIRST more, and those after it. `say` prints such datagrams, in hexadecimal digits, and sends nothing.
"""
import asyncio
import json
import os
import socket
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicProtocolVersion


def body(name, path):
    """What is at a path: `/bytes/N` is long."""
    if path.startswith('/bytes/'):
        count = int(path.rpartition('/')[2])
        return (bytes(range(256)) * (count // 256 + 1))[:count]
    return f'{name} {path}\n'.encode()


class Server(QuicConnectionProtocol):
    name = ''

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = None

    def quic_event_received(self, event):
        self.http = self.http or H3Connection(self._quic)
        for event in self.http.handle_event(event):
            if isinstance(event, HeadersReceived):
                path = dict(event.headers)[b':path'].decode()
                fields = [(b':status', b'200'), (b'server', self.name.encode())]
                self.http.send_headers(event.stream_id, fields)
                self.http.send_data(event.stream_id, body(self.name, path), end_stream=True)
                self.transmit()


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.waiting = {}

    async def get(self, authority, path):
        stream = self._quic.get_next_available_stream_id()
        done = asyncio.get_running_loop().create_future()
        self.waiting[stream] = ([], bytearray(), done)
        fields = [(b':method', b'GET'), (b':scheme', b'https'), (b':authority', authority.encode()),
                  (b':path', path.encode())]
        self.http.send_headers(stream, fields, end_stream=True)
        self.transmit()
        return await asyncio.wait_for(done, 60)

    def quic_event_received(self, event):
        for event in self.http.handle_event(event):
            if isinstance(event, (HeadersReceived, DataReceived)) and event.stream_id in self.waiting:
                fields, data, done = self.waiting[event.stream_id]
                if isinstance(event, HeadersReceived):
                    fields.extend(event.headers)
                else:
                    data.extend(event.data)
                if event.stream_ended and not done.done():
                    done.set_result((dict(fields), bytes(data)))


async def server(address, port, cert, key, name, *words):
    Server.name = name
    versions = [QuicProtocolVersion.VERSION_1, QuicProtocolVersion.VERSION_2]
    configuration = QuicConfiguration(is_client=False, alpn_protocols=['h3'], supported_versions=versions)
    configuration.load_cert_chain(cert, key)
    await serve(address, int(port), configuration=configuration, create_protocol=Server, retry='retry' in words)
    print('ready', flush=True)
    await asyncio.Future()


async def client(address, port, sni, ca, *words):
    options = dict(word.split('=') for word in words if '=' in word)
    protocols = ['h3'] + [f'{number:0>200}' for number in range(int(options.get('protocols', 0)))]
    configuration = QuicConfiguration(is_client=True, alpn_protocols=protocols, server_name=sni or None)
    if 'v2' in words:
        configuration.original_version = QuicProtocolVersion.VERSION_2
        configuration.supported_versions = [QuicProtocolVersion.VERSION_2]
    configuration.load_verify_locations(ca)
    configuration.idle_timeout = float(options.get('patience', 60))
    paths = [word for word in words if word.startswith('/')]
    async with connect(address, int(port), configuration=configuration, create_protocol=Client) as connection:
        for number, path in enumerate(paths):
            while number and 'wait' in options and not os.path.exists(options['wait']):
                await asyncio.sleep(0.05)
            fields, data = await connection.get(sni, path)
            name = fields.get(b'server', b'').decode()
            said = {'status': int(fields[b':status']), 'server': name, 'bytes': len(data),
                    'right': data == body(name, path), 'version': hex(connection._quic._version)}
            print(json.dumps(said), flush=True)


def initial(frames, version=1, broken=False):
    """A datagram of 1200 bytes with one Initial packet."""
    name = os.urandom(8)
    crypto = CryptoPair()
    crypto.setup_initial(cid=name, is_client=True, version=version)
    payload = frames + bytes(1200 - 18 - 2 - 16 - len(frames))
    length = 2 + len(payload) + 16
    head = bytes([0xc1]) + version.to_bytes(4, 'big') + b'\x08' + name + b'\0\0' + (length | 0x4000).to_bytes(2, 'big')
    datagram = bytearray(crypto.encrypt_packet(head + b'\0\0', payload, 0))
    datagram[600] ^= broken
    return bytes(datagram)


def made_up(what):
    if what == 'version':
        datagram = bytearray(initial(b'\1'))
        datagram[1:5] = b'\x1a\x2a\x3a\x4a'
        return bytes(datagram)
    # The front of a ClientHello of 1024 bytes.
    front = b'\6\0\x40\x64\1\0\4\0' + bytes(96)
    return {
        'garbage': lambda: b'hello',
        'short': lambda: b'\x40' + os.urandom(1199),
        'sealed': lambda: initial(front, broken=True),
        'frame': lambda: initial(b'\x08\0\0'),
        'pieces': lambda: initial(front),
    }[what]()


def whole_hello(sni):
    """The datagrams that a client begins with."""
    configuration = QuicConfiguration(is_client=True, alpn_protocols=['h3'], server_name=sni)
    connection = QuicConnection(configuration=configuration)
    connection.connect(('10.0.0.1', 443), now=0)
    return [datagram for datagram, _ in connection.datagrams_to_send(now=0)]


async def say(sni):
    for datagram in whole_hello(sni):
        print(datagram.hex())


async def hellos(address, port, count, sni, first):
    datagrams = whole_hello(sni)
    for number in range(int(first), int(first) + int(count)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            # IP_TRANSPARENT: from an address that nobody has.
            one.setsockopt(socket.IPPROTO_IP, 19, 1)
            one.bind((f'10.77.{number >> 8 & 255}.{number & 255}', 4000))
            for datagram in datagrams:
                one.sendto(datagram, (address, int(port)))
        # No faster than a machine under load can read.
        await asyncio.sleep(0.0005)


async def make_up(address, port, what, count, *words):
    if what == 'hello':
        return await hellos(address, port, count, *words)
    datagram = made_up(what)
    family = socket.AF_INET6 if ':' in address else socket.AF_INET
    for _ in range(int(count)):
        with socket.socket(family, socket.SOCK_DGRAM) as one:
            one.sendto(datagram, (address, int(port)))
        # No faster than a machine under load can read.
        await asyncio.sleep(0)


if __name__ == '__main__':
    role = {'server': server, 'client': client, 'make-up': make_up, 'say': say}[sys.argv[1]]
    try:
        asyncio.run(role(*sys.argv[2:]))
    except ConnectionError as error:
        sys.exit(f'no connection: {error or type(error).__name__}')
