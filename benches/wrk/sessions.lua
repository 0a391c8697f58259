-- GET /session with one signature after the other, from the file that SIGNS names: one a line.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

local requests = {}
local next = 0

function init()
  for sign in io.lines(os.getenv("SIGNS")) do
    requests[#requests + 1] = wrk.format("GET", "/session", { ["Authorization"] = "Bearer " .. sign })
  end
end

function request()
  next = next % #requests + 1
  return requests[next]
end

done = report.done("2xx")
