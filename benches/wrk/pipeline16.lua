-- GET /healthz, sixteen at a time: one write of the client, one read and one write of the server.
-- What is left per request is parsing, finding the handler, and encoding.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

local sixteen

function init()
  sixteen = string.rep(wrk.format("GET", "/healthz"), 16)
end

function request()
  return sixteen
end

done = report.done("2xx")
