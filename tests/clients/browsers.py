"""Asks as browsers do: browsers.py PORT ADDRESS CA

Of each browser that `curl_cffi` speaks like, one request for https://a.test:PORT/ at ADDRESS; prints `<browser> <answer>`.
"""

import sys

from curl_cffi import CurlOpt, requests
from curl_cffi.requests import BrowserType

port, address, ca = sys.argv[1:]
options = {CurlOpt.RESOLVE: [f"a.test:{port}:{address}"]}
for browser in BrowserType:
    answer = requests.get(
        f"https://a.test:{port}/", impersonate=browser.value, verify=ca, curl_options=options, timeout=60
    )
    print(browser.value, answer.text.strip(), flush=True)
