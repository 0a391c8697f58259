#!/usr/bin/env python3
"""Prints every event. Run it with: loopgate --subscribe 'python3 docs/examples/subscriber.py'"""

import json
import sys

for line in sys.stdin:
    event = json.loads(line)
    if event["name"] == "gap":
        print(f"missed {event['data']['from']} to {event['data']['to']}", flush=True)
    else:
        print(f"{event['id']} {event['name']} from {event['sender']}: {json.dumps(event['data'])}", flush=True)
