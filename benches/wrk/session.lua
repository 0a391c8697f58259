-- GET /session with a valid signature: one SHA-256 and one look-up more than /healthz.
--
-- wrk cannot make a request of its own before it starts, so the signature comes from the variable
-- SIGN; the README beside this file says how to get one.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

local sign = os.getenv("SIGN")
if not sign or sign == "" then
  error("set SIGN to a user_sign, as benches/wrk/README.md shows")
end

wrk.path = "/session"
wrk.headers["Authorization"] = "Bearer " .. sign

done = report.done("2xx")
