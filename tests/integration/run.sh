#!/bin/sh
# Runs every integration and interoperability test, or the files that are named, and ends with the
# runner's own summary and exit status. The programs have to be built; CHAT_BIN names another
# directory of programs (build/san-address-undefined/bin, say).
set -eu
cd "$(dirname "$0")/.."

[ -d node_modules/nats ] || npm ci --no-progress
[ $# -gt 0 ] || set -- integration/*.test.js interop/*.test.js

# Each file starts a broker and a chatd. Node 18 has no such option, and runs cores - 1 at a time.
if node --help | grep -q -e --test-concurrency; then
	set -- --test-concurrency="${TEST_CONCURRENCY:-2}" "$@"
fi
exec node --test --test-reporter=spec "$@"
