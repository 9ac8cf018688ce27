#!/usr/bin/env python3
"""Neighbours of the cases of h1_smuggle.json, judged in the same way: other spellings of the same mistakes, and valid traffic beside
them. Options are those of h1_smuggle.py."""
import h1_smuggle
from h1_smuggle import P, G

GET = b'GET / HTTP/1.1'
CL5 = b'Content-Length: 5\r\n'
TE = b'Transfer-Encoding: chunked\r\n'
END = b'0\r\n\r\n'
CASES = []


def case(name, raw, allow, requests=1):
    CASES.append((name, raw, allow, requests, 'more'))


def each(what, allow, cases, requests=1):
    for number, (label, raw) in enumerate(cases):
        case('%s-%02d %r' % (what, number, label[:40]), raw, allow, requests)


# Transfer-Encoding that is not the one word, beside a Content-Length: nothing may be left over at the backend.
each('te', 'X', [(te, P(te + b'\r\n' + CL5, END)) for te in [
    b'Transfer-Encoding: identity', b'Transfer-Encoding: identity, chunked', b'Transfer-Encoding: gzip, chunked',
    b'Transfer-Encoding: chunked,', b'Transfer-Encoding: ,chunked', b'Transfer-Encoding: chunked;q=1',
    b'Transfer-Encoding: chunked\tx', b'Transfer-Encoding: "chunked"', b'Transfer-Encoding: chunked\x0b',
    b'Transfer-Encoding: \x0cchunked', b'Transfer-Encoding: ch\xc3\xbcnked', b'Transfer-Encoding: chun\x00ked',
    b'Transfer-Encoding\t: chunked', b'Transfer-Encoding:\r\n\tchunked', b'Transfer-Encoding: chunked\r\n , identity',
    b'Transfer-Encoding: \r\nTransfer-Encoding: chunked', b'Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked',
    b'Transfer-Encoding\x00: chunked', b'\x00Transfer-Encoding: chunked', b'Transfer\xadEncoding: chunked',
    b'Transfer-Encoding: chunked\r', b'Transfer-Encoding: \x85chunked', b'Transfer-Encoding: \xa0chunked',
    b'"Transfer-Encoding": chunked', b'(Transfer-Encoding): chunked', b'Transfer-Encoding;: chunked',
    b'\tTransfer-Encoding: chunked', b'X: y\r\n\r Transfer-Encoding: chunked',
]])
each('te-lookalike', 'XS', [(te, P(te + b'\r\n' + CL5, END)) for te in [
    b'Transfer_Encoding: chunked', b'X-Transfer-Encoding: chunked', b'Content-Encoding: chunked', b'TE: chunked',
    b'Transfer-Encoding2: chunked', b'Transfer.Encoding: chunked',
]])
each('te-fine', 'XS', [(te, P(te + b'\r\n', b'5\r\nhello\r\n' + END)) for te in [
    b'transfer-encoding:chunked', b'TRANSFER-ENCODING: CHUNKED', b'Transfer-Encoding:\tchunked', b'Transfer-Encoding: chunked \t ',
]])

each('cl', 'X', [(cl, P(cl + b'\r\n', b'hello')) for cl in [
    b'Content-Length: 5,5', b'Content-Length: 5, 5', b'Content-Length: 5,', b'Content-Length: ,5', b'Content-Length: 5;',
    b'Content-Length: 5.0', b'Content-Length: 5e0', b'Content-Length: 0b101', b'Content-Length: 5_0', b'Content-Length: "5"',
    b'Content-Length: \x0b5', b'Content-Length: 5\x0c', b'Content-Length: 5\x00', b'Content-Length: \xd9\xa5',
    b'Content-Length:\r\n 5', b'Content-Length: 5\r\n 6', b'Content-Length\t: 5', b' Content-Length: 5',
    b'Content-Length: 18446744073709551616', b'Content-Length: 9223372036854775808', b'Content-Length: 4294967296000000000000',
    b'Content-Length: five', b'Content-Length: 5\r\nContent-Length: 0', b'Content-Length: 5\r\nContent-Length: ',
    b'Content-Length: 5\r\nContent-Length : 6', b'Content-Length: 5\r\ncontent-length: 05', b'Content-Length: 0\r\nX: y\r\nContent-Length: 5',
    b'Content-Length\x00: 5', b'Content-Length: 5 ,6', b'Content-Length: -0', b'Content-Length: 5\r',
] if cl != b'Content-Length: 5\r\ncontent-length: 05'])
each('cl-odd', 'XS', [(cl, P(cl + b'\r\n', b'hello')) for cl in [
    b'Content-Length: 05', b'Content-Length: 0000000000000000000000005', b'Content-Length:5', b'Content-Length: \t5 \t',
    b'Content-Length: 5\r\ncontent-length: 05', b'CONTENT-LENGTH: 5',
]])
each('both', 'XS', [(h, P(h, END)) for h in [CL5 + TE, TE + CL5, TE + b'Content-Length: 0\r\n']])

each('chunk', 'X', [(body, P(TE, body)) for body in [
    b'5 \nhello\r\n' + END, b'5\r\r\nhello\r\n' + END, b'5\n\r\nhello\r\n' + END, b'\r\n5\r\nhello\r\n' + END, b'5\x00\r\nhello\r\n' + END,
    b'\t5\r\nhello\r\n' + END, b'5\x0b\r\nhello\r\n' + END, b'5,\r\nhello\r\n' + END, b'5 5\r\nhello\r\n' + END, b'0x05\r\nhello\r\n' + END,
    b'00000000000000005\n\r\nhello\r\n' + END, b'5;a\r\r\nhello\r\n' + END, b'5;a=\x00\r\nhello\r\n' + END, b'5;a="b\r\nhello\r\n' + END,
    b'5;a="\n"\r\nhello\r\n' + END, b'5;\nGET /smug HTTP/1.1\r\nhello\r\n' + END, b'6\r\nhello\r\n' + END, b'4\r\nhello\r\n' + END,
    b'5\r\nhello\r' + END, b'5\r\nhello\n\n' + END, b'5\r\nhello' + END, b'5\r\nhello\r\n0\n\n', b'5\r\nhello\r\n0\r\nX: y\n\n',
    b'5\r\nhello\r\n-0\r\n\r\n', b'5\r\nhello\r\n+0\r\n\r\n', b'5\r\nhello\r\n0 0\r\n\r\n', b'100000000000000005\r\nhello\r\n' + END,
    b'8000000000000005\r\nhello\r\n' + END, b';\r\nhello\r\n' + END, b'\r\nhello\r\n' + END, b'5=a\r\nhello\r\n' + END,
    b'5\xa0\r\nhello\r\n' + END, b'\xef\xbc\x95\r\nhello\r\n' + END, b'5\\\r\nhello\r\n' + END,
] if body != b'5;a="b\r\nhello\r\n' + END])
each('chunk-odd', 'XS', [(body, P(TE, body)) for body in [
    b'5;\r\nhello\r\n' + END, b'5;a\r\nhello\r\n' + END, b'5 ;a=b\r\nhello\r\n' + END, b'5; a = b\r\nhello\r\n' + END,
    b'5;a="b;c\\""\r\nhello\r\n' + END, b'5;a="b\r\nhello\r\n' + END, b'000005\r\nhello\r\n' + END, b'5 \r\nhello\r\n' + END,
    b'5\r\nhello\r\n0;last\r\n\r\n', b'5\r\nhello\r\n000\r\n\r\n', b'5;a\xff\r\nhello\r\n' + END, b'A\r\n0123456789\r\n' + END,
]])
each('trailer', 'X', [(t, P(TE, b'5\r\nhello\r\n0\r\n' + t + b'\r\n\r\n')) for t in [
    b'X : y', b' X: y', b'X y', b': y', b'X\x00: y', b'X: y\r\n folded', b'X: a\x00b', b'X: y\nZ: w',
]])
each('trailer-field', 'XS', [(t, P(TE, b'5\r\nhello\r\n0\r\n' + t + b'\r\n\r\n')) for t in [
    b'Transfer-Encoding: chunked', b'Host: evil.test', b'Content-Length: 3', b'Connection: close', b'X-Forwarded-For: 6.6.6.6', b'TE: gzip',
    b'Authorization: x', b'Upgrade: h2c',
]])

each('field', 'X', [(h, P(h + b'\r\n', line=GET)) for h in [
    b'X\t: y', b'X\x0b: y', b'X\x7f: y', b'X\xc3\xa4: y', b'(X): y', b'X,Y: z', b'X/Y: z', b'X@Y: z', b'X[]: z', b'X=Y: z', b'X"Y: z', b'{X}: z',
    b'X: a\x00', b'X: \x00a', b'\x00: a', b'X', b'\tX: y', b'X: a\nY: b', b'X: a\n Y: b', b'X: a\r\r\nY: b', b'X: a\rY: b', b'X: a\r\n\tb', b'X:\r\n \r\n b',
]])
each('value', 'XS', [(h, P(h + b'\r\n', line=GET)) for h in [
    b'X:', b'X: ', b'X:y', b'X: \xff\xfe', b'X: a\x01b', b'X: a\x7fb', b'X: a\tb', b"!#$%&'*+-.^_`|~: y", b'Connection: close, X-Forwarded-For',
    b'Connection: Host', b'Connection: transfer-encoding', b'Connection: keep-alive\r\nKeep-Alive: timeout=5', b'Proxy-Connection: keep-alive',
    b'TE: trailers, gzip', b'Upgrade: h2c', b'Connection: Upgrade\r\nUpgrade: h2c', b'Connection: Upgrade\r\nUpgrade: h2c, websocket',
    b'Upgrade: TLS/1.0\r\nConnection: upgrade', b'HTTP2-Settings: AAMAAABkAAQAAP__', b'Forwarded: for=6.6.6.6', b'X-Real-IP: 6.6.6.6',
    b'X_Forwarded_For: 6.6.6.6', b'Connection: close\r\nConnection: keep-alive', b'Max-Forwards: 0', b'Expect: 200-ok', b'Expect: 100-continue',
]])

each('host', 'X', [(h, GET + b'\r\n' + h + b'\r\n\r\n') for h in [
    b'Host: a.test\r\nhost: a.test', b'Host: a.test, b.test', b'Host: a.test b.test', b'Host: a.test/x', b'Host: a.test?x', b'Host: a.test#x',
    b'Host: u@a.test', b'Host: a.test:80:80', b'Host: a.test:x', b'Host: a.test:-1', b'Host: a.test:99999', b'Host: a\x00.test', b'Host: a.test\\x',
    b'Host: [::1', b'Host: ::1', b'Host: [::1]x', b'Host: [zz]', b'Host : a.test', b' Host: a.test', b'Host:\r\n a.test', b'Host: a.test\r\n b',
    b'Host: http://a.test/', b'Host: a"test', b'Host: a<test', b'Host: {a}', b'Host: a|b', b'Host: a^b', b'Host: \xc3\xa4.test', b'Host: a.test\x7f',
]])
each('host-odd', 'XS', [(h, GET + b'\r\n' + h + b'\r\n\r\n') for h in [
    b'Host:', b'Host: ', b'Host: a.test.', b'Host: A.TEST', b'Host: a.test:80', b'Host: a.test:', b'Host: [::1]', b'Host: [::1]:80', b'Host: 127.0.0.1',
    b'Host: a_b.test', b'Host:a.test\t', b'Host: %61.test', b'Host: -a.test', b'Host: a..test', b'Host: .a.test', b'Host: a.test:080', b'Host: *',
]])
each('absolute', 'XS', [(t, t + b' HTTP/1.1\r\nHost: a.test\r\n\r\n') for t in [
    b'GET http://a.test', b'GET http://a.test?x', b'GET HTTP://A.TEST/', b'GET https://a.test/', b'GET http://a.test:80/', b'GET http://b.test/x',
    b'OPTIONS *', b'OPTIONS http://a.test', b'GET ftp://a.test/', b'GET ws://a.test/', b'GET http://a.test/%00',
]])
each('absolute-bad', 'X', [(t, t + b' HTTP/1.1\r\nHost: a.test\r\n\r\n') for t in [
    b'GET http://', b'GET http:///x', b'GET http:/a.test/', b'GET http://u:p@a.test/', b'GET http://a.test:x/', b'GET //', b'GET *', b'GET a.test',
    b'GET a.test:80', b'GET ?x', b'GET #', b'GET http://a.test/#x', b'GET http://a test/', b'GET http://a.test\\x/', b'GET http://a.test,b.test/',
    b'CONNECT a.test', b'CONNECT /', b'CONNECT http://a.test/', b'GET javascript:alert(1)',
] if t != b'GET //'])

each('line', 'X', [(l, l + b'\r\nHost: a.test\r\n\r\n') for l in [
    b'GET', b'GET /', b'GET / ', b'GET / HTTP/1.1 ', b'GET /  HTTP/1.1', b'GET\t/ HTTP/1.1', b'\tGET / HTTP/1.1', b'GET / http/1.1', b'GET / HTTP/1.10',
    b'GET / HTTP/1.2.3', b'GET / HTTP/11', b'GET / HTTP/1', b'GET / HTTP/1.', b'GET / HTTP/.1', b'GET / HTTP/01.1', b'GET / HTTP/1.1x', b'GET / HTTPS/1.1',
    b'GET / HTTP 1.1', b'GET / HTTP/0.9', b'GET / HTTP/3.0', b'GET /\x0bx HTTP/1.1', b'GET /\x7f HTTP/1.1', b'GET /a\tb HTTP/1.1', b'G\x00T / HTTP/1.1',
    b'G@T / HTTP/1.1', b'G:T / HTTP/1.1', b'G{T / HTTP/1.1', b'G\xc3\x84T / HTTP/1.1', b'"GET" / HTTP/1.1', b' / HTTP/1.1', b'/ HTTP/1.1', b'GET HTTP/1.1',
    b'GET / HTTP/1.1\r', b'GET /\r HTTP/1.1', b'GET /\n HTTP/1.1', b'PRI * HTTP/2.0', b'GET / HTTP/-1.1', b'GET / HTTP/1.\xb9', b'GET /a b c HTTP/1.1',
    b'GET /\x00', b'\x16\x03\x01\x02\x00',
]])
each('line-odd', 'XS', [(l, l + b'\r\nHost: a.test\r\n\r\n') for l in [
    b'GET / HTTP/1.2', b'GET / HTTP/1.9', b'get / HTTP/1.1', b'FOO / HTTP/1.1', b'GET /%zz HTTP/1.1', b'GET /% HTTP/1.1', b'GET /a#b HTTP/1.1', b'GET /\xff HTTP/1.1',
    b'GET /<> HTTP/1.1', b'GET /"x" HTTP/1.1', b'GET /{x} HTTP/1.1', b'GET /a|b HTTP/1.1', b'GET /\\x HTTP/1.1', b'GET /..;/x HTTP/1.1', b'GET /%2e%2e/x HTTP/1.1',
    b'GET /x/../../y HTTP/1.1', b'GET /%0d%0aX:y HTTP/1.1', b'TRACE / HTTP/1.1', b'TRACK / HTTP/1.1', b'GET //x HTTP/1.1', b'GET /x?a=\x7f HTTP/1.1',
    b'X' * 40 + b' / HTTP/1.1',
]])
each('lf', 'X', [(raw, raw) for raw in [
    b'GET / HTTP/1.1\nHost: a.test\n\n', b'GET / HTTP/1.1\r\nHost: a.test\n\r\n', b'GET / HTTP/1.1\nHost: a.test\r\n\r\n', b'GET / HTTP/1.1\r\nHost: a.test\r\n\n',
    b'GET / HTTP/1.1\r\nHost: a.test\r\r\n\r\n', b'\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
    b'\r\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n',
]])
# A line that goes on after a CR may be waited for to its end: until the time for heads and bodies is over.
each('cr', 'XH', [(raw, raw) for raw in [
    P(TE, b'5\r\nhello\r\n0\r\n\rX'), b'GET / HTTP/1.1\r\nHost: a.test\r\n\rX', b'GET / HTTP/1.1\rHost: a.test\r\r',
]])
case('crlf-before', b'\r\n' + G, 'XS')
case('crlf-after-post', P(CL5, b'hello\r\n') + G, 'XS', 2)

# What follows a message is the next one, however its end was said.
each('pipeline', 'XS', [(raw, raw) for raw in [
    P(CL5, b'hello') + G, P(TE, b'5\r\nhello\r\n' + END) + G, P(TE, b'5\r\nhello\r\n0\r\nX-T: v\r\n\r\n') + G, P(b'Content-Length: 0\r\n') + G,
    P(b'', line=b'HEAD / HTTP/1.1') + G, P(b'', line=b'OPTIONS * HTTP/1.1') + G, P(b'', line=b'DELETE / HTTP/1.1') + G,
]], 2)
each('pipeline-three', 'S', [(b'three', G + G + G)], 3)
each('then-smuggled', 'XS', [(raw, raw) for raw in [
    # Only one request was said: the rest is its body, or nothing at all.
    P(b'Connection: close\r\n', line=GET) + G, P(b'Content-Length: %d\r\nConnection: close\r\n' % len(G), G), P(b'', line=b'GET / HTTP/1.0') + G,
    P(b'Content-Length: %d\r\n' % len(G), G, line=b'HEAD / HTTP/1.1'), P(b'Content-Length: %d\r\n' % len(G), G, line=b'DELETE / HTTP/1.1'),
    P(b'Content-Length: %d\r\n' % len(G), G, line=b'OPTIONS / HTTP/1.1'), P(b'Content-Length: %d\r\n' % len(G), G, line=b'TRACE / HTTP/1.1'),
    P(b'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: %d\r\n' % len(G), G, line=GET),
]])
for version, header in [(b'1.0', TE), (b'1.0', TE + CL5)]:
    case('http%s %r' % (version.decode(), header), P(header, b'5\r\nhello\r\n' + END, line=b'POST / HTTP/' + version), 'X')
case('http10-keep-alive', P(b'Connection: keep-alive\r\n', line=b'GET / HTTP/1.0'), 'S')
case('http10-no-host', b'GET / HTTP/1.0\r\n\r\n', 'XS')

if __name__ == '__main__':
    h1_smuggle.C = CASES
    h1_smuggle.main()
