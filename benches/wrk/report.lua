-- What all scripts end with: one line for people, one for the bench. Loaded with dofile; a script that
-- judges its answers itself counts them in the global `failed` of its thread.

local report = {}
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

-- `unit` says what was counted; `expected` is what a good answer is.
function report.done(expected)
  return function(summary, latency)
    local errors = summary.errors
    local failed = errors.status
    for _, thread in ipairs(threads) do
      failed = failed + (thread:get("failed") or 0)
    end
    local sockets = errors.connect + errors.read + errors.write + errors.timeout
    print(string.format("failed answers: %d (anything but %s)", failed, expected))
    print(string.format(
      "socket errors: %d (connect %d, read %d, write %d, timeout %d)",
      sockets, errors.connect, errors.read, errors.write, errors.timeout))
    print(string.format(
      "RESULT requests=%d duration_us=%d p50_us=%d p99_us=%d failed=%d",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      failed + sockets))
    if failed + sockets > 0 or summary.requests == 0 then
      os.exit(1)
    end
  end
end

return report
