-- POST /login, then POST /logout with the signature that came back, and again.
--
-- wrk runs one script per thread, not per connection, and does not tell response() which connection
-- an answer is from. With two connections in a thread, a logout could be sent with a signature that
-- is not there yet. So: one connection per thread, `-t N -c N`. A second one shows as a request before
-- the answer to the last, and is counted as failed.
--
-- A "request" in the result is a login or a logout, one of each per conversation.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

failed = 0 -- global: report.lua reads it from each thread

local login, logout
local waiting = false
local answered = false -- wrk asks the first thread for one request that it never sends
local sign

function init()
  local user = os.getenv("LOOPGATE_USER") or "admin"
  local password = os.getenv("LOOPGATE_PASSWORD") or "password"
  login = wrk.format("POST", "/login",
    { ["Content-Type"] = "application/x-www-form-urlencoded" },
    "username=" .. user .. "&password=" .. password)
  logout = function(signature)
    return wrk.format("POST", "/logout", { ["Authorization"] = "Bearer " .. signature })
  end
end

function request()
  if waiting and answered then
    failed = failed + 1 -- two connections share this thread
  end
  waiting = true
  if sign then
    return logout(sign)
  end
  return login
end

function response(status, _, body)
  waiting, answered = false, true
  if sign then
    -- 4xx and 5xx are counted by wrk already.
    if status < 400 and not body:find('"revoked":1', 1, true) then
      failed = failed + 1
    end
    sign = nil
  else
    sign = body:match('"user_sign":"([^"]+)"')
    if status < 400 and not sign then
      failed = failed + 1
    end
  end
end

done = report.done("a confirmed login, or a confirmed logout of one session")
