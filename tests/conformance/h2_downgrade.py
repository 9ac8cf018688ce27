#!/usr/bin/env python3
"""HTTP/2 -> HTTP/1.1 downgrade: injection and framing cases, judged at the recording backend.
  h2_downgrade.py --host H --port P [--plain] [--ctl 17901] [--name N] [--out f.json]
outcomes: REJECT (RST/GOAWAY/4xx, backend clean), SANITIZED (clean at the backend, one request), UNSAFE, DESYNC, HANG; pass as in h1_smuggle (X reject, S forward)
"""
import argparse, base64, json, sys, time
from h2raw import *
C = []
b64 = lambda v: None if v is None else base64.b64decode(v)
C = [(k['name'], b64(k['headers']), k['allow'], b64(k['body']), k['requests'], 'd', b64(k['trailers'])) for k in json.load(open(__file__[:-3] + '.json'))]
def run(a, k):
    name, blk, allow, body, n, st, tr = k; ctl(a.ctl, 'reset'); h = H2(a.host, a.port, tls=not a.plain)
    if body is None: h.send(frame(HEADERS, 5, 1, blk))
    else: h.send(frame(HEADERS, 4, 1, blk)); h.send(frame(DATA, 0 if tr else 1, 1, body))
    if tr: h.send(frame(HEADERS, 5, 1, tr))
    h.wait(lambda: 1 in h.ended or h.closed or (h.goaway and h.goaway[1]), a.timeout); time.sleep(.05)
    conns = ctl(a.ctl, 'get')['conns']; s = h.status.get(1); nreq = sum(len(x['reqs']) for x in conns); viol = [v for x in conns for v in x['violations'] if not v.startswith(('note:', 'trailing'))]
    hard = [v for v in viol if not v.startswith('soft')]; rej = h.closed or (h.goaway and h.goaway[1]) or 1 in h.rst or (s and str(s)[0] in '45'); h.close()
    evil = any('/evil' in q['target'] for x in conns for q in x['reqs'])
    o = 'UNSAFE' if hard else 'DESYNC' if nreq > n or evil else 'REJECT' if rej else 'SOFT' if viol else 'SANITIZED' if nreq == n and str(s) == '200' else 'LOCAL' if nreq == 0 and s else 'HANG'
    return dict(name=name, outcome=o, ok=(o == 'REJECT' and 'X' in allow) or (o in ('SANITIZED', 'LOCAL') and 'S' in allow), status=s, rst=h.rst.get(1), goaway=h.goaway and h.goaway[1], nreq=nreq, viol=viol[:3], allow=allow, set=st)
def main():
    p = argparse.ArgumentParser(); p.add_argument('--host', default='127.0.0.1'); p.add_argument('--port', type=int, required=True); p.add_argument('--ctl', type=int, default=17901); p.add_argument('--name', default='?'); p.add_argument('--out'); p.add_argument('--timeout', type=float, default=1.5); p.add_argument('--only'); p.add_argument('--plain', action='store_true', help='prior knowledge, without TLS'); a = p.parse_args(); res = []
    for k in C:
        if a.only and a.only not in k[0]: continue
        try: r = run(a, k)
        except Exception as e: r = dict(name=k[0], outcome='ERROR %r' % e, ok=False, allow=k[2], set=k[5], status=None, rst=None, goaway=None, nreq=-1, viol=[])
        res.append(r)
        if not r['ok']: print('FAIL %-9s %-24s status=%s rst=%s goaway=%s reqs=%s allow=%s %s' % (r['outcome'], r['name'], r['status'], r['rst'], r['goaway'], r['nreq'], r['allow'], r['viol'][:2]))
    ok = sum(r['ok'] for r in res); uns = sum(r['outcome'] in ('UNSAFE', 'DESYNC') for r in res); print('%s: h2_downgrade strict %d/%d  safe %d/%d' % (a.name, ok, len(res), len(res)-uns, len(res))); print('%d passed, %d failed' % (ok, len(res)-ok))
    if a.out: json.dump(res, open(a.out, 'w'), indent=1)
    sys.exit(ok != len(res))
if __name__ == "__main__":
    main()
