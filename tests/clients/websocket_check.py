#!/usr/bin/env python3
"""WebSockets through a proxy, by the package websockets.
  websocket_check.py serve HOST PORT           an echo; prints `ready` when it listens
  websocket_check.py check ws[s]://HOST:PORT/  everything that must work; closes with `N passed, N failed`
  websocket_check.py hold ws://HOST:PORT/ N SECONDS
                                               N connections that talk all the time: none may break
"""
import asyncio
import ssl
import sys
import time

import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve as listen

ANY = dict(max_size=None, ping_interval=None, proxy=None)
if any(word.startswith('wss:') for word in sys.argv):
    ANY['ssl'] = ssl.create_default_context()
    ANY['ssl'].check_hostname = False
    ANY['ssl'].verify_mode = ssl.CERT_NONE


async def echo(socket):
    if socket.request.path.startswith('/close'):
        await socket.close(4001, 'as you wish')
        return
    async for message in socket:
        await socket.send(message)


async def refuse_or_go_on(connection, request):
    if request.path.startswith('/refuse'):
        return connection.respond(403, 'not you\n')
    return None


async def serve(host, port):
    async with listen(echo, host, int(port), max_size=None, ping_interval=None, compression=None,
                      process_request=refuse_or_go_on, subprotocols=['talk'],
                      select_subprotocol=lambda _, offered: 'talk' if 'talk' in offered else None):
        print('ready', flush=True)
        await asyncio.Future()


CASES = []


def case(function):
    CASES.append(function)
    return function


@case
async def text_and_binary_come_back(url):
    async with connect(url, **ANY) as socket:
        for message in ('', 'hello', 'ünï', b'', b'\0\xff', 'x' * 125, 'x' * 126, b'y' * 65_535, b'z' * 65_536):
            await socket.send(message)
            assert await socket.recv() == message


@case
async def large_messages_come_back_whole(url):
    async with connect(url, **ANY) as socket:
        message = bytes(range(256)) * 40_000
        sender = asyncio.create_task(socket.send(message))
        assert await socket.recv() == message
        await sender


@case
async def ten_thousand_messages_stay_in_order(url):
    async with connect(url, **ANY) as socket:
        async def send():
            for number in range(10_000):
                await socket.send(str(number))

        sender = asyncio.create_task(send())
        for number in range(10_000):
            assert await socket.recv() == str(number)
        await sender


@case
async def a_ping_is_answered(url):
    async with connect(url, **ANY) as socket:
        await asyncio.wait_for(await socket.ping(b'are you there'), 5)


@case
async def what_a_server_closes_with_arrives(url):
    async with connect(url + 'close', **ANY) as socket:
        try:
            await socket.recv()
            raise AssertionError('not closed')
        except websockets.ConnectionClosed as closed:
            assert (closed.rcvd.code, closed.rcvd.reason) == (4001, 'as you wish'), closed


@case
async def a_refusal_arrives(url):
    try:
        async with connect(url + 'refuse', **ANY):
            raise AssertionError('not refused')
    except websockets.InvalidStatus as refused:
        assert refused.response.status_code == 403, refused
        assert refused.response.body == b'not you\n', refused.response.body


@case
async def a_subprotocol_is_agreed(url):
    async with connect(url, subprotocols=['other', 'talk'], **ANY) as socket:
        assert socket.subprotocol == 'talk', socket.subprotocol


@case
async def a_client_that_vanishes_harms_no_other(url):
    socket = await connect(url, **ANY)
    await socket.send('x' * 100_000)
    socket.transport.abort()
    async with connect(url, **ANY) as other:
        await other.send('after')
        assert await other.recv() == 'after'


@case
async def two_hundred_at_a_time(url):
    async def one(number):
        async with connect(url, **ANY) as socket:
            for _ in range(5):
                await socket.send(str(number))
                assert await socket.recv() == str(number)

    await asyncio.gather(*(one(number) for number in range(200)))


async def check(url):
    failed = 0
    for function in CASES:
        try:
            await asyncio.wait_for(function(url), 20)
            print('ok  ', function.__name__)
        except Exception as error:  # every kind of failure is one to report
            failed += 1
            print('FAIL', function.__name__, repr(error)[:600])
    print('%d passed, %d failed' % (len(CASES) - failed, failed))
    sys.exit(failed != 0)


async def hold(url, count, seconds):
    broken, rounds = [], [0]
    sockets = [await connect(url, **ANY) for _ in range(count)]
    print('talking', flush=True)
    end = time.time() + seconds

    async def talk(number, socket):
        try:
            while time.time() < end:
                await socket.send(str(number))
                assert await asyncio.wait_for(socket.recv(), 5) == str(number)
                rounds[0] += 1
                await asyncio.sleep(0.05)
            await socket.close()
        except Exception as error:  # whatever ends a connection too early breaks it
            broken.append('%d: %r' % (number, error))

    await asyncio.gather(*(talk(number, socket) for number, socket in enumerate(sockets)))
    for text in broken:
        print('FAIL', text[:400])
    print('%d messages; %d of %d connections broke' % (rounds[0], len(broken), count))
    sys.exit(bool(broken) or rounds[0] < count)


if __name__ == '__main__':
    word, rest = sys.argv[1], sys.argv[2:]
    if word == 'serve':
        asyncio.run(serve(*rest))
    elif word == 'check':
        asyncio.run(check(*rest))
    elif word == 'hold':
        asyncio.run(hold(rest[0], int(rest[1]), float(rest[2])))
    else:
        sys.exit(__doc__)
