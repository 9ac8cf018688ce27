#!/usr/bin/env python3
"""A backend by the package hypercorn, which speaks HTTP/2 with prior knowledge.
  asgi_server.py HOST PORT      an echo of WebSockets; of requests it says how they came, and gives a hint before
"""
import asyncio
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config


async def hello(scope, send):
    hint = {'type': 'http.response.early_hint', 'links': [b'</style.css>; rel=preload; as=style']}
    if 'http.response.early_hint' in scope['extensions']:
        await send(hint)
        # What the client does with it, it does before the answer.
        await asyncio.sleep(0.05)
    await send({'type': 'http.response.start', 'status': 200, 'headers': []})
    await send({'type': 'http.response.body', 'body': ('HTTP/%s' % scope['http_version']).encode()})


async def refuse(send):
    await send({'type': 'websocket.http.response.start', 'status': 403, 'headers': []})
    await send({'type': 'websocket.http.response.body', 'body': b'not you\n'})


async def echo(scope, receive, send):
    await receive()
    if scope['path'] == '/refuse':
        await refuse(send)
        return
    talks = 'talk' in scope['subprotocols']
    await send({'type': 'websocket.accept', 'subprotocol': 'talk' if talks else None})
    if scope['path'] == '/close':
        await send({'type': 'websocket.close', 'code': 4001, 'reason': 'as you wish'})
        return
    while (event := await receive())['type'] == 'websocket.receive':
        name = 'text' if event.get('text') is not None else 'bytes'
        await send({'type': 'websocket.send', name: event[name]})


async def app(scope, receive, send):
    if scope['type'] == 'http':
        await hello(scope, send)
    elif scope['type'] == 'websocket':
        await echo(scope, receive, send)
    else:
        raise RuntimeError('not of interest')  # lifespan: hypercorn goes on without


if __name__ == '__main__':
    config = Config()
    config.bind = ['%s:%s' % (sys.argv[1], sys.argv[2])]
    config.websocket_max_message_size = 32 << 20
    # A stream whose client has closed is not ended, but its connection is, when nothing else is under way for so long.
    config.keep_alive_timeout = 1
    asyncio.run(serve(app, config))
