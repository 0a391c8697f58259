#!/usr/bin/env bash
# The Autobahn fuzzing client against docs/examples/ws_echo.rs: tests/autobahn/run.sh
# Needs CPython 2.7, and the network when it is run first; without that Python it says so and is
# skipped. Groups 9 (speed), 12 and 13 (compression, which this server does not offer) are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python=
for candidate in python2.7 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7*/bin/python2.7; do
  # A name alone says little: pyenv has one for every version it knows of.
  if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (2, 7))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "skipped: the Autobahn test suite needs CPython 2.7, and there is none"
  exit 0
fi

work=${CARGO_TARGET_DIR:-target}/autobahn
wstest=$work/venv/bin/wstest
if [ ! -x "$wstest" ]; then
  echo "installing the Autobahn test suite into $work"
  mkdir -p "$work"
  "$python" -m pip --disable-pip-version-check install -q --target "$work/tools" virtualenv==20.15.1
  PYTHONPATH=$work/tools "$python" -m virtualenv -q "$work/venv"
  "$work/venv/bin/pip" --disable-pip-version-check install -q -r tests/autobahn/requirements.txt
fi

cargo build --release --example ws_echo
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
}
trap finish EXIT
: >"$work/said" # the loop below may look before the shell of the next line has made it
RUST_LOG=warn "${CARGO_TARGET_DIR:-target}/release/examples/ws_echo" 127.0.0.1:0 >"$work/said" 2>"$work/log" &
server=$!
for _ in $(seq 100); do
  url=$(sed -n 's/^listening on http/ws/p' "$work/said")
  [ -z "$url" ] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.05
done
[ -n "$url" ] || { cat "$work/log" >&2; echo "the server does not listen" >&2; exit 1; }

rm -rf "$work/reports"
cat >"$work/spec.json" <<SPEC
{"outdir": "$work/reports", "servers": [{"agent": "loopgate", "url": "$url/echo"}],
 "cases": ["*"], "exclude-cases": ["9.*", "12.*", "13.*"], "exclude-agent-cases": {}}
SPEC
timeout 300 "$wstest" -m fuzzingclient -s "$work/spec.json" >"$work/wstest.log" 2>&1 ||
  { tail -20 "$work/wstest.log" >&2; echo "the fuzzing client failed" >&2; exit 1; }
kill -0 "$server" || { cat "$work/log" >&2; echo "the server has ended" >&2; exit 1; }

"$python" - "$work/reports/index.json" <<'REPORT'
import json, sys
cases = json.load(open(sys.argv[1]))["loopgate"]
fine = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED")
failed = sorted(name for name, case in cases.items()
                if case["behavior"] not in fine or case["behaviorClose"] not in fine)
for kind in fine:
    print("%s: %d" % (kind, sum(case["behavior"] == kind for case in cases.values())))
print("FAILED: %d of %d %s" % (len(failed), len(cases), " ".join(failed)))
sys.exit(bool(failed) or len(cases) < 200)
REPORT
