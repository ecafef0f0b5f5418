#!/bin/bash
# Runs cmocka programs one after the other and counts their tests: tests/run-unit.sh PROGRAM...
#
# A program that crashes, hangs or ends without having run what it planned is one failure more,
# whatever it counted until then. Status 0 when nothing failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

TIMEOUT_S=${CHAT_TEST_TIMEOUT_S:-300}
all_passed=0 all_failed=0 all_skipped=0

# The sum of the numbers in the lines of the report that match; the pattern shows where they are.
# There are several when a program runs several groups of tests.
sum() {
    sed -nE "s/$1/\\1/p" "$report" | awk '{ sum += $1 } END { print sum + 0 }'
}

# A program may clear its environment: what it prints is cmocka's own format, which needs none.
run_program() {
    local program=$1 report status=0 passed failed skipped planned
    report=$TMPDIR/report
    without_address_randomization \
        timeout -k 10 "$TIMEOUT_S" "$program" >"$report" 2>&1 </dev/null || status=$?
    planned=$(sum '^\[=+\] .*Running ([0-9]+) test\(s\).*')
    passed=$(grep -c '^\[ *OK \]' "$report" || true)
    failed=$(sum '^\[ *FAILED *\].*[^0-9]([0-9]+) test\(s\), listed below.*')
    skipped=$(sum '^\[ *SKIPPED *\].*[^0-9]([0-9]+) test\(s\), listed below.*')
    if [[ $failed == 0 && ($status != 0 || $planned == 0 ||
        $planned != $((passed + skipped))) ]]; then
        failed=1
    fi
    if sanitizers_found && [[ $failed == 0 ]]; then
        failed=1
    fi
    if [[ $failed -gt 0 ]]; then
        cat "$report"
    fi
    printf '%s: %d passed, %d failed%s\n' "$program" "$passed" "$failed" \
        "$(if [[ $skipped != 0 ]]; then echo ", $skipped skipped"; fi)$(explain $status)"
    record "$passed" "$failed" "$skipped" "$program"
    all_passed=$((all_passed + passed))
    all_failed=$((all_failed + failed))
    all_skipped=$((all_skipped + skipped))
}

explain() {
    case $1 in
    0) ;;
    99) echo " (a sanitizer's finding)" ;;
    124 | 137) echo " (killed after $TIMEOUT_S s)" ;;
    *) echo " (exit status $1)" ;;
    esac
}

if [[ $# == 0 ]]; then
    echo "run-unit: no test programs to run" >&2
    record 0 1 0 "no unit tests"
    exit 1
fi
use_own_tmpdir
set_sanitizer_options
for program in "$@"; do
    run_program "$program"
done
echo "unit tests: $all_passed passed, $all_failed failed, $all_skipped skipped"
[[ $all_failed == 0 ]]
