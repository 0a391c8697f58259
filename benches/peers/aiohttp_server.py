"""aiohttp on uvloop, one process.

No access log, the backlog of the others, keep-alive for 75 s without a request limit. asyncio and
uvloop set TCP_NODELAY themselves. Tokens are checked by PyJWT. A response is an object of its own for
every request, because aiohttp sends each only once.
"""

import asyncio
import json
import time
from datetime import datetime, timezone

import jwt
import uvloop
from aiohttp import web

KEY = b"thirty-two bytes that are no key"
ISSUER = "loopgate"
SID = "dGhlIG9ubHkgc2Vzc2lvbg"
LIFETIME_S = 24 * 60 * 60

HEALTHZ = b'{"status":"ok"}\n'
JSON = {"Content-Type": "application/json"}
DECODE_OPTIONS = {"require": ["exp", "iss"]}
ALGORITHMS = ["HS256"]
BEARER = "Bearer "

sessions = {}


def rfc3339(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def log_in():
    """Makes the session; returns its token."""
    issued = int(time.time())
    expires = issued + LIFETIME_S
    sessions[SID] = {
        "user_id": "1",
        "username": "admin",
        "role": "admin",
        "issued_at": rfc3339(issued),
        "expires_at": rfc3339(expires),
        "expires": expires,
    }
    claims = {"iss": ISSUER, "sub": "1", "sid": SID, "iat": issued, "exp": expires}
    return jwt.encode(claims, KEY, algorithm="HS256", headers={"kid": "1"})


def session_of(authorization):
    """The session of the client that sent this header, or None."""
    if authorization is None or not authorization.startswith(BEARER):
        return None
    token = authorization[len(BEARER) :]
    try:
        claims = jwt.decode(
            token, KEY, algorithms=ALGORITHMS, issuer=ISSUER, options=DECODE_OPTIONS
        )
    except jwt.InvalidTokenError:
        return None
    session = sessions.get(claims.get("sid"))
    if session is None or session["expires"] <= time.time():
        return None
    return session


async def healthz(_request):
    return web.Response(body=HEALTHZ, headers=JSON)


async def session(request):
    found = session_of(request.headers.get("Authorization"))
    if found is None:
        return web.Response(status=401)
    body = json.dumps(
        {
            "user_id": found["user_id"],
            "username": found["username"],
            "role": found["role"],
            "issued_at": found["issued_at"],
            "expires_at": found["expires_at"],
        },
        separators=(",", ":"),
    )
    return web.Response(body=(body + "\n").encode(), headers=JSON)


async def main():
    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/session", session)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=75)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    _host, port = runner.addresses[0]
    print(f"sign {log_in()}")
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
