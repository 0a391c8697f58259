-- POST /login, again and again: what a password hash allows.

local report = dofile((os.getenv("LOOPGATE_WRK") or "benches/wrk") .. "/report.lua")

wrk.method = "POST"
wrk.path = "/login"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.body = "username=" .. (os.getenv("LOOPGATE_USER") or "admin")
  .. "&password=" .. (os.getenv("LOOPGATE_PASSWORD") or "password")

done = report.done("a confirmed login")
