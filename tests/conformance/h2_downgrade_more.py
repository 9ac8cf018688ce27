#!/usr/bin/env python3
"""Neighbours of the cases of h2_downgrade.json, judged in the same way. Options are those of h2_downgrade.py."""
import h2_downgrade
from h2raw import lit

EVIL = b'GET /evil HTTP/1.1\r\nHost: a.test\r\n\r\n'
CASES = []


def block(method=b'GET', scheme=b'https', authority=b'a.test', path=b'/', extra=()):
    pseudo = [(b':method', method), (b':scheme', scheme), (b':authority', authority), (b':path', path)]
    return b''.join(lit(n, v) for n, v in pseudo + list(extra) if v is not None)


def case(name, headers, allow='X', body=None, requests=1, trailers=None):
    CASES.append((name, headers, allow, body, requests, 'more', trailers))


def fields(what, allow, all_, **more):
    for number, field in enumerate(all_):
        case('%s-%02d %r' % (what, number, field), block(extra=[field], **more), allow)


post = lambda *extra, **more: block(b'POST', extra=extra, **more)

# Names that no field has (RFC 9113 §8.2.1).
fields('name', 'X', [(n, b'v') for n in [
    b'x\r', b'x\n', b'\rx', b'x\ty', b'x:', b'X', b'xY', b'x\x00', b'x\x7f', b'x\xe4', b'x(y', b'x,y', b'x/y', b'x@y', b'x"y', b'x{y', b'x;y', b' x', b'x ',
    b'content-length ', b'transfer-encoding:', b'Transfer-Encoding', b'Host',
]])
fields('value', 'X', [(b'x', v) for v in [
    b'\r', b'\n', b'\x00', b'a\r\n', b'\r\na', b'a\n b', b'a\r b', b'a\x00', b' a', b'a ', b'\ta', b'a\t',
]])
fields('value-odd', 'XS', [(b'x', v) for v in [b'', b'a\tb', b'\xff', b'a\x01b', b'a\x7fb']])

# Pseudo-header fields.
for name in [b':status', b':protocol', b':Method', b':path ', b':', b'::path', b':host', b':method:', b':scheme']:
    case('pseudo %r' % name, block(extra=[(name, b'x')]))
for name in [b':method', b':scheme', b':authority', b':path']:
    given = {b':method': b'GET', b':scheme': b'https', b':authority': b'a.test', b':path': b'/'}
    case('pseudo twice %r' % name, lit(name, given[name]) + block())
    if name != b':authority':
        case('pseudo missing %r' % name, b''.join(lit(n, v) for n, v in given.items() if n != name))
    last = b''.join(lit(n, v) for n, v in given.items() if n != name) + lit(b'x', b'y') + lit(name, given[name])
    case('pseudo after a field %r' % name, last)
    case('pseudo in trailers %r' % name, post(), body=b'x', trailers=lit(name, given[name]))
case('no authority, but host', block(authority=None, extra=[(b'host', b'a.test')]), 'S')
case('no authority, no host', block(authority=None), 'XS')
case('host twice', block(authority=None, extra=[(b'host', b'a.test'), (b'host', b'b.test')]))
case('host is the authority', block(extra=[(b'host', b'a.test')]), 'S')
case('host beside another authority', block(extra=[(b'host', b'evil.test')]), 'XS')
case('host empty', block(extra=[(b'host', b'')]), 'XS')
for order in [(b':path', b':method', b':authority', b':scheme'), (b':authority', b':path', b':scheme', b':method')]:
    given = {b':method': b'GET', b':scheme': b'https', b':authority': b'a.test', b':path': b'/'}
    case('order %r' % (order,), b''.join(lit(n, given[n]) for n in order), 'S')
for method in [b'', b'G\tT', b'GET\r\n', b'G\x00T', b'"GET"', b'G:T', b'G/T', b'GET / HTTP/1.1\r\nX:', b'\xff']:
    case('method %r' % method, block(method))
for method in [b'get', b'FOO', b'PRI', b'TRACE', b'OPTIONS']:
    case('method-odd %r' % method, block(method), 'XS')
for path in [b'/a\tb', b'/\x7f', b'/\r', b'/\n', b' /', b'/ ', b'*', b'http://a.test/', b'?x', b'#', b'/a#b\r\n', b'/\x01', b'/ HTTP/1.1']:
    case('path %r' % path, block(path=path))
for path in [b'/#x', b'/\xff', b'/%00', b'/%0d%0a', b'/\\x', b'//', b'/../..', b'/"x"', b'/<x>', b'/?a#b', b'/x?' + b'y' * 3000]:
    case('path-odd %r' % path[:20], block(path=path), 'XS')
case('options *', block(b'OPTIONS', path=b'*'), 'XS')
for authority in [b'a.test\x00', b'a.test\t', b' a.test', b'a.test ', b'u@a.test', b'a.test/x', b'a.test?x', b'a.test#x', b'a.test:x', b'a.test:99999',
                  b'a,b', b'[::1', b'a\\b', b'a.test\r\n', b'a"b', b'<a>', b'a.test:80:80', b'\xff.test']:
    case('authority %r' % authority, block(authority=authority))
for authority in [b'', b'A.TEST', b'a.test:443', b'a.test.', b'[::1]', b'a_b.test', b'a.test:']:
    case('authority-odd %r' % authority, block(authority=authority), 'XS')
for scheme in [b'', b'ht tp', b'https\r\n', b'https:', b'\x00', b'https://a.test/', b'1http']:
    case('scheme %r' % scheme, block(scheme=scheme))
for scheme in [b'http', b'HTTPS', b'ftp', b'ws']:
    case('scheme-odd %r' % scheme, block(scheme=scheme), 'XS')

# Fields of a connection (RFC 9113 §8.2.2).
fields('connection', 'X', [
    (b'connection', b'close'), (b'connection', b''), (b'connection', b'upgrade'), (b'connection', b'te'), (b'keep-alive', b'1'), (b'proxy-connection', b'x'),
    (b'upgrade', b'websocket'), (b'transfer-encoding', b'identity'), (b'transfer-encoding', b''), (b'transfer-encoding', b'gzip'), (b'te', b'gzip'),
    (b'te', b'trailers, gzip'), (b'te', b'chunked'), (b'te', b''),
])
fields('connection-odd', 'XS', [(b'http2-settings', b'AAMAAABk'), (b'te', b'Trailers'), (b'trailer', b'x'), (b'expect', b'100-continue'), (b'via', b'2 x')])
case('te twice', block(extra=[(b'te', b'trailers'), (b'te', b'gzip')]))

# Content-Length against DATA (CVE-2026-33555 and kin).
for length in [b'', b'-5', b' 5', b'5 ', b'5,5', b'5, 5', b'0x5', b'5.0', b'99999999999999999999', b'18446744073709551621', b'5\x00', b'five', b'4', b'6', b'0']:
    case('length %r' % length, post((b'content-length', length)), body=b'hello')
case('length 05', post((b'content-length', b'05')), 'XS', body=b'hello')
case('length twice the same', post((b'content-length', b'5'), (b'content-length', b'5')), 'XS', body=b'hello')
case('length, more in DATA', post((b'content-length', b'5')), body=b'hello' + EVIL)
case('length 0, DATA', post((b'content-length', b'0')), body=EVIL)
case('length 0, no DATA', post((b'content-length', b'0')), 'S')
case('length 5, none', post((b'content-length', b'5')))
case('length, less with trailers', post((b'content-length', b'9')), body=b'hello', trailers=lit(b'x', b'y'))
case('length right, with trailers', post((b'content-length', b'5')), 'S', body=b'hello', trailers=lit(b'x', b'y'))
case('head with a length', block(b'HEAD', extra=[(b'content-length', b'5')]))
case('get with a body', block(extra=[(b'content-length', str(len(EVIL)).encode())]), 'XS', body=EVIL)
case('get with a body of unknown length', block(), 'XS', body=EVIL)
case('body that looks like chunks', post(), 'S', body=b'0\r\n\r\n' + EVIL)
case('delete with a body', block(b'DELETE'), 'XS', body=EVIL)

# Trailers.
for name, value in [(b'X', b'y'), (b'x\r\n', b'y'), (b'x', b'a\r\nb'), (b'x', b'\x00'), (b'connection', b'close'), (b'transfer-encoding', b'chunked'), (b'x:y', b'z'), (b'', b'x')]:
    case('trailer %r %r' % (name, value), post(), body=b'x', trailers=lit(name, value))
for name, value in [(b'host', b'evil.test'), (b'te', b'trailers'), (b'authorization', b'x'), (b'x-forwarded-for', b'6.6.6.6'), (b'trailer', b'x')]:
    case('trailer-odd %r' % name, post(), 'XS', body=b'x', trailers=lit(name, value))

# CONNECT (RFC 9113 §8.5, RFC 8441).
case('connect with a path', lit(b':method', b'CONNECT') + lit(b':authority', b'a.test:80') + lit(b':path', b'/'))
case('connect without an authority', lit(b':method', b'CONNECT'))
case('connect to nothing known', block(b'CONNECT', extra=[]) + b'')
case('protocol without connect', lit(b':protocol', b'websocket') + block())
case('connect by an unknown protocol', lit(b':protocol', b'x') + block(b'CONNECT'))
case('connect by an empty protocol', lit(b':protocol', b'') + block(b'CONNECT'))
case('connect by a protocol with a break', lit(b':protocol', b'websocket\r\nX: y') + block(b'CONNECT'))

# HPACK (RFC 7541).
case('index 0', b'\x80' + block())
case('index that is not there', b'\xff\x7f' + block())
case('size update too large', b'\x3f\xe1\xff\x03' + block())
case('size update after a field', block() + b'\x20')
case('size update before', b'\x20' + block(), 'S')
case('name index that is not there', block() + b'\x7f\x7f\x01a')
case('string longer than the block', block() + b'\x00\x01x\x7f\xff\x7fa')
case('integer that overflows', block() + b'\x00\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x')
case('huffman with padding too long', block() + b'\x00\x01x\x82\x1f\xff')
case('huffman with EOS', block() + b'\x00\x01x\x84\xff\xff\xff\xff')
case('huffman padded by zeros', block() + b'\x00\x01x\x81\x18')
case('truncated', block() + b'\x00\x03x')
case('empty block', b'')
case('never indexed', block() + b'\x10\x01x\x01y', 'S')

if __name__ == '__main__':
    h2_downgrade.C = CASES
    h2_downgrade.main()
