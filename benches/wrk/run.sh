#!/usr/bin/env bash
# What does one request cost the server? Starts the demo server and wrk on a core each, and prints
# CPU time per request and requests per second: median and range over interleaved rounds.
#
# ROUNDS (5), SECONDS_EACH (3), CONNECTIONS (64), SERVER_CORE (0) and CLIENT_CORE (1) may be set. SERVER
# names another binary.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-3}
connections=${CONNECTIONS:-64}
server_core=${SERVER_CORE:-0}
client_core=${CLIENT_CORE:-1}
threads=16 # of login-logout, with one connection each
export LOOPGATE_WRK=$here

for tool in wrk taskset curl awk timeout; do
  command -v "$tool" >/dev/null || { echo "run.sh: $tool is not installed" >&2; exit 1; }
done
[ "$(nproc)" -ge 2 ] || { echo "run.sh: needs two cores, one for each side" >&2; exit 1; }
[ -r "/proc/$$/schedstat" ] || { echo "run.sh: needs Linux with schedstat" >&2; exit 1; }

if [ -z "${SERVER:-}" ]; then
  cargo build --quiet --release --manifest-path "$root/Cargo.toml"
  SERVER=${CARGO_TARGET_DIR:-$root/target}/release/loopgate
fi

work=$(mktemp -d)
server=
finish() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

RUST_LOG=warn taskset -c "$server_core" "$SERVER" --demo --listen 127.0.0.1:0 >"$work/out" 2>"$work/err" &
server=$!
url=
for _ in $(seq 100); do
  url=$(sed -n 's/^listening on //p' "$work/out")
  [ -z "$url" ] || break
  kill -0 "$server" 2>/dev/null || { cat "$work/err" >&2; exit 1; }
  sleep 0.05
done
[ -n "$url" ] || { echo "run.sh: the server does not listen" >&2; exit 1; }

SIGN=$(curl -s -d 'username=admin&password=password' "$url/login" | sed -n 's/.*"user_sign":"\([^"]*\)".*/\1/p')
[ -n "$SIGN" ] || { echo "run.sh: cannot log in" >&2; exit 1; }
export SIGN

# Nanoseconds on a core so far: of all threads of the server, and of the loop's alone, which is the
# process's first. Its threads live as long as it does, so none is missed.
cpu_ns() {
  awk '{ all += $1 } FILENAME ~ "/task/'"$server"'/" { loop = $1 } END { printf "%.0f %.0f\n", all, loop }' \
    /proc/"$server"/task/*/schedstat
}

measure() { # script, seconds: appends "script all_ns_per_request loop_ns_per_request requests_per_second"
  local script=$1 duration=$2 size before after output result
  size="-t1 -c$connections"
  [ "$script" != login-logout ] || size="-t$threads -c$threads"
  before=$(cpu_ns)
  # shellcheck disable=SC2086
  output=$(timeout $((duration + 10)) taskset -c "$client_core" wrk $size -d "${duration}s" -s "$here/$script.lua" "$url") || {
    printf '%s\n' "$output" >&2
    echo "run.sh: $script failed" >&2
    exit 1
  }
  after=$(cpu_ns)
  result=$(printf '%s\n' "$output" | sed -n 's/^RESULT requests=\([0-9]*\) duration_us=\([0-9]*\) .*/\1 \2/p')
  echo "$script $before $after $result" |
    awk '{ printf "%s %.0f %.0f %.0f\n", $1, ($4 - $2) / $6, ($5 - $3) / $6, $6 / $7 * 1e6 }'
}

scripts="healthz session login-logout pipeline16"
echo "server on core $server_core, wrk on core $client_core, $rounds rounds of ${seconds}s, $connections connections ($threads for login-logout)"
for script in $scripts; do measure "$script" 1 >/dev/null; done # warms up
for round in $(seq "$rounds"); do
  for script in $scripts; do measure "$script" "$seconds" >>"$work/results"; done
  echo "round $round of $rounds done"
done

spread() { # script, column: "median (least … most)"
  awk -v script="$1" -v column="$2" '$1 == script { print $column }' "$work/results" | sort -n |
    awk '{ v[NR] = $1 }
      END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%.0f (%d … %d)", m, v[1], v[NR]
      }'
}

printf '\n%-14s %-28s %-28s %s\n' workload 'CPU ns/request, all threads' 'of that, the loop' 'requests/s'
for script in $scripts; do
  printf '%-14s %-28s %-28s %s\n' "$script" "$(spread "$script" 2)" "$(spread "$script" 3)" "$(spread "$script" 4)"
done
