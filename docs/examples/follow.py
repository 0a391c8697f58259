#!/usr/bin/env python3
"""Prints every event, one line of JSON each, and goes on where it was when the connection breaks.

Needs the package websockets (pip install websockets). Run it with:
USER_SIGN="$SIGN" python3 docs/examples/follow.py ws://127.0.0.1:8080/events
"""

import argparse
import json
import os
import sys
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url")
parser.add_argument("--since", type=int, help="the last event that you have; without it, begins with the next one")
options = parser.parse_args()

headers = {"Authorization": "Bearer " + os.environ["USER_SIGN"]}
since = options.since
while True:
    url = options.url if since is None else f"{options.url}?since={since}"
    try:
        with connect(url, additional_headers=headers) as socket:
            for message in socket:
                event = json.loads(message)
                # A gap has no id: what it names was kept for too short a time, or we were too slow. One with
                # `last` says that the server was restored from a backup: its ids go on from there.
                rewound = event["data"].get("last") if event["name"] == "gap" else None
                since = event.get("id", since) if rewound is None else rewound
                print(message, flush=True)
    except ConnectionClosed as closed:
        if closed.rcvd and closed.rcvd.code == 4401:
            sys.exit("the session has ended: log in again")
    except InvalidStatus as refused:
        if refused.response.status_code == 401:
            sys.exit("no session: log in first")
    except OSError:
        pass  # no reader at the moment
    print("disconnected; trying again", file=sys.stderr)
    time.sleep(1)
