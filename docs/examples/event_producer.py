#!/usr/bin/env python3
"""A button that clicks itself. Run it with: loopgate --produce 'python3 docs/examples/event_producer.py'"""

import argparse
import json
import select
import sys

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--every", type=float, default=1.0, help="seconds between two clicks")
parser.add_argument("--count", type=int, default=0, help="clicks before it ends; 0 for no end")
options = parser.parse_args()

clicks = 0
while not options.count or clicks < options.count:
    clicks += 1
    event = {"name": "button_clicked", "sender": "Button", "data": {"count": clicks}}
    print(json.dumps(event), flush=True)
    # Sleeps, but not longer than the server is there: then its stdin ends.
    if select.select([sys.stdin], [], [], options.every)[0]:
        break
