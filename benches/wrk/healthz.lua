-- GET /healthz on connections that stay open: the least that a request can cost.
--
-- No response() here: wrk would build a table of headers for each answer, and the client would be
-- the one that is measured. wrk itself counts answers of 400 and above; this server has no 3xx.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

wrk.path = "/healthz"

done = report.done("2xx")
