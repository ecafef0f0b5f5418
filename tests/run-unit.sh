#!/bin/bash
# Runs cmocka programs and counts their tests: tests/run-unit.sh PROGRAM...
#
# As many at once as there are processors: many wait for the disk most of the time.
#
# A program that crashes, hangs or ends without having run what it planned is one failure more,
# whatever it counted until then. Status 0 when nothing failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

TIMEOUT_S=${CHAT_TEST_TIMEOUT_S:-300}
all_failed=0

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
    if sanitizers_found >"$TMPDIR/findings" && [[ $failed == 0 ]]; then
        failed=1
    fi
    cat "$TMPDIR/findings"
    if [[ $failed -gt 0 ]]; then
        cat "$report"
        { cat "$TMPDIR/findings"; failed_tests said; } |
            tell_failure "$program$(failed_tests names)$(explain $status)"
    fi
    printf '%s: %d passed, %d failed%s\n' "$program" "$passed" "$failed" \
        "$(if [[ $skipped != 0 ]]; then echo ", $skipped skipped"; fi)$(explain $status)"
    record "$passed" "$failed" "$skipped" "$program"
    all_failed=$failed
}

# The names of the tests that did not pass, or what they said; the last one may have been running when
# the program ended.
failed_tests() {
    awk -v wanted="$1" '
        function tell() {
            printf "%s", wanted == "said" ? said : name == "" ? "" : " " name
            told = 1
            name = said = ""
        }
        /^\[ +RUN +\]/ { name = $NF; next }
        /^\[ +OK +\]/ { name = said = ""; next }
        /^\[ +FAILED +\]/ { tell(); next }
        /^\[(=+| +PASSED +)\]/ { next }
        { said = said $0 "\n" }
        END { if (name != "" || !told) tell() }' "$report"
}

explain() {
    case $1 in
    0) ;;
    99) echo " (a sanitizer's finding)" ;;
    124 | 137) echo " (killed after $TIMEOUT_S s)" ;;
    *) echo " (exit status $1)" ;;
    esac
}

# Runs this script for each of them, and adds up what it counted.
run_each_by_itself() {
    local results=${CHAT_TEST_RESULTS:-/dev/null}
    export CHAT_TEST_RESULTS=$TMPDIR/results
    : >"$CHAT_TEST_RESULTS"
    printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" "$0"
    cat "$CHAT_TEST_RESULTS" >>"$results"
    read -r all_passed all_failed all_skipped < <(awk '
        { passed += $1; failed += $2; skipped += $3 }
        END { print passed + 0, failed + (NR < wanted), skipped + 0 }' wanted=$# "$CHAT_TEST_RESULTS")
}

if [[ $# == 0 ]]; then
    echo "run-unit: no test programs to run" >&2
    record 0 1 0 "no unit tests"
    exit 1
fi
use_own_tmpdir
if [[ $# -gt 1 ]]; then
    run_each_by_itself "$@"
else
    set_sanitizer_options
    run_program "$1"
    [[ $all_failed == 0 ]]
    exit
fi
echo "unit tests: $all_passed passed, $all_failed failed, $all_skipped skipped"
[[ $all_failed == 0 ]]
