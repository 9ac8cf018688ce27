#!/usr/bin/env python3
"""How many requests the recording backend has seen: recorded.py CONTROL_PORT"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'conformance'))
from h2raw import ctl  # noqa: E402

print(ctl(int(sys.argv[1]), 'count')['reqs'])
