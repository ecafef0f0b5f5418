#!/bin/bash
# Runs the integration and interop tests in Node.js: tests/run-node.sh [NAME...]
#
# A name is a test file without its ending, such as tests/integration/send; all of them by default.
# CHAT_BIN is the folder of the programs under test, build/bin by default. Status 0 when
# nothing failed.
#
# One more file at once than there are processors, since they wait most of the time; an early
# Node.js 18 decides that by itself. CHAT_TEST_FILES=1 for one after the other.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

export CHAT_BIN=${CHAT_BIN:-$PWD/build/bin}
export CHAT_TEST_WHAT="${CHAT_TEST_KIND:-integration tests} of ${CHAT_BIN#"$PWD"/}"
what=$CHAT_TEST_WHAT

fail() {
    echo "run-node: $*" >&2
    record 0 1 0 "$what: $*"
    tell_failure "$what: $*" </dev/null
    exit 1
}

# "npm ci" once, and again after the lock file has changed.
install_modules() {
    local stamp=tests/node_modules/.package-lock.json
    [[ ! $stamp -nt tests/package-lock.json ]] || return 0
    # Another run of this script may be at it.
    mkdir -p build && exec {modules_lock}>build/modules.lock && flock "$modules_lock"
    [[ ! $stamp -nt tests/package-lock.json ]] || return 0
    (cd tests && npm ci --no-audit --no-fund --loglevel=error) && touch "$stamp"
}

# A number out of the summary that ends a TAP report.
summary() {
    sed -nE "s/^# $1 ([0-9]+)\$/\\1/p" "$TMPDIR/report.tap" | tail -n 1
}

files=()
for name in "$@"; do files+=("$name.test.js"); done
if [[ $# == 0 ]]; then
    shopt -s nullglob
    files=(tests/integration/*.test.js tests/interop/*.test.js)
fi
[[ ${#files[@]} -gt 0 ]] || fail "no test files found"
[[ -x $CHAT_BIN/chatd ]] || fail "no chatd in $CHAT_BIN"
install_modules || fail "npm ci failed in tests/"

use_own_tmpdir
set_sanitizer_options
at_once=--test-concurrency=${CHAT_TEST_FILES:-$(($(nproc) + 1))}
node "$at_once" --version >/dev/null 2>&1 || at_once=
status=0
without_address_randomization timeout -k 30 "${CHAT_TEST_TIMEOUT_S:-900}" node --test ${at_once:+"$at_once"} \
    --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=tap --test-reporter-destination="$TMPDIR/report.tap" \
    --test-reporter=./tests/failures.js --test-reporter-destination="$TMPDIR/failures" \
    "${files[@]}" </dev/null || status=$?

passed=$(summary pass)
failed=$(($(summary fail) + $(summary cancelled)))
skipped=$(($(summary skipped) + $(summary todo)))
tell_failures "$TMPDIR/failures"
if [[ -z $passed || ($failed == 0 && $status != 0) ]]; then
    failed=$((failed + 1))
    tell_failure "$what: node ended with status $status$(if [[ $status == 124 ]]; then echo ', as it took too long'; fi)" </dev/null
fi
if sanitizers_found >"$TMPDIR/findings"; then
    failed=$((failed + 1))
    cat "$TMPDIR/findings"
    tell_failure "$what: a sanitizer's finding" <"$TMPDIR/findings"
fi
echo "$what: ${passed:-0} passed, $failed failed, $skipped skipped (status $status)"
record "${passed:-0}" "$failed" "$skipped" "$what"
[[ $failed == 0 ]]
