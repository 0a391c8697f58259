-- GET /healthz, each on a connection of its own: accept, read, write, close.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

wrk.path = "/healthz"
wrk.headers["Connection"] = "close"

done = report.done("2xx")
