#!/usr/bin/env bash
# testssl.sh against loopgate with a certificate made for the occasion: tests/tls/run.sh
# Needs openssl and testssl.sh (Debian's package of that name). Every finding that is not good, and not one
# of those below, which a certificate of one's own has, fails the run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

command -v testssl >/dev/null || command -v testssl.sh >/dev/null ||
  { echo "skipped: testssl.sh is not installed"; [ "${LOOPGATE_TEST_REQUIRE_TOOLS:-}" != 1 ]; exit; }
testssl=$(command -v testssl || command -v testssl.sh)

work=${CARGO_TARGET_DIR:-target}/testssl
rm -rf "$work" && mkdir -p "$work"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null

cargo build --release
server=
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
}
trap finish EXIT
: >"$work/said" # the loop below may look before the shell of the next line has made it
RUST_LOG=warn "${CARGO_TARGET_DIR:-target}/release/loopgate" --demo --listen 127.0.0.1:0 \
  --tls-cert "$work/cert.pem" --tls-key "$work/key.pem" >"$work/said" 2>"$work/log" &
server=$!
port=
for _ in $(seq 100); do
  port=$(sed -n 's/^listening on https:.*://p' "$work/said")
  [ -z "$port" ] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.05
done
[ -n "$port" ] || { cat "$work/log" >&2; echo "the server does not listen" >&2; exit 1; }

# On a busy machine its own client may end before it has the ticket that it was to come back with; then a check has
# not been made, and all are made again.
for _ in 1 2 3; do
  rm -f "$work/report.json"
  # What openssl's engines can do is no finding about the server, and differs from machine to machine.
  NO_ENGINE=true timeout 600 "$testssl" --quiet --color 0 --warnings off --ip 127.0.0.1 --nodns none \
    --protocols --fs --server-defaults --server-preference --headers --vulnerable --each-cipher \
    --jsonfile "$work/report.json" "localhost:$port" >"$work/report.txt" 2>&1 ||
    echo "testssl.sh ended with $? findings or more" # it counts them in its status
  grep -q "check failed because of connect problem" "$work/report.json" || break
done
kill -0 "$server" || { cat "$work/log" >&2; echo "the server has ended" >&2; exit 1; }

python3 - "$work/report.json" <<'REPORT'
import json, sys

# What a certificate of one's own has, and no server can change.
OF_THE_CERTIFICATE = {
    "cert_chain_of_trust": "it is signed by itself",
    "cert_trust": "it is signed by itself",
    "cert_revocation": "nobody can revoke it",
    "cert_crlDistributionPoints": "nobody can revoke it",
    "cert_ocspURL": "nobody can revoke it",
    "OCSP_stapling": "nobody can revoke it",
    "cert_mustStapleExtension": "nobody can revoke it",
    "DNS_CAArecord": "localhost has no such record",
    "certificate_transparency": "it is in no log",
    "cert_extlifeSpan": "its life is what was asked for",
    "cert_notAfter": "its life is what was asked for",
    "cert_expirationStatus": "its life is what was asked for",
}

findings = json.load(open(sys.argv[1]))
if isinstance(findings, dict):
    findings = findings["scanResult"][0]
seen = {finding["id"] for finding in findings}
bad = [f for f in findings if f["severity"] not in ("OK", "INFO")]
ours = [f for f in bad if f["id"].split(" ")[0] not in OF_THE_CERTIFICATE]
for finding in ours:
    print("{severity}: {id}: {finding}".format(**finding))
checked = {"TLS1", "TLS1_2", "TLS1_3", "SSLv3", "cipher_order", "heartbleed", "ROBOT", "HSTS_time", "ALPN"}
missing = {name for name in checked if not any(id.startswith(name) for id in seen)}
if missing or len(findings) < 80:
    print("not looked at:", *sorted(missing), len(findings), "findings")
print(len(findings), "findings,", len(bad) - len(ours), "of them about the certificate,", len(ours), "bad")
sys.exit(1 if ours or missing or len(findings) < 80 else 0)
REPORT
