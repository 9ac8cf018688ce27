"""Asks as browsers do: browsers.py PORT ADDRESS CA [BROWSER]

Of each browser that `curl_cffi` speaks like, one request for https://a.test:PORT/ at ADDRESS; prints `<browser> <answer>`. With
BROWSER, of that one alone: `chrome` is the newest one.
"""

import sys

from curl_cffi import CurlOpt, requests
from curl_cffi.requests import BrowserType

port, address, ca, *one = sys.argv[1:]
options = {CurlOpt.RESOLVE: [f"a.test:{port}:{address}"]}
for browser in one or [browser.value for browser in BrowserType]:
    answer = requests.get(
        f"https://a.test:{port}/", impersonate=browser, verify=ca, curl_options=options, timeout=60
    )
    print(browser, answer.text.strip(), flush=True)
