#!/bin/bash
# Builds and tests everything, and sums it up: what "make test" calls.
#
# The last line is "N passed, N failed"; the status is 0 when nothing failed. The lines before it say
# what failed and why, most important last: whoever sees only the end of the output sees that. Builds
# are checks too: warnings are errors, with gcc and with clang. A step that fails before it could
# count anything is one failure.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

# Tests in which threads share something run under the thread sanitizer, too; in others it can find
# nothing.
THREADED='pthread_create|uv_thread_create|uv_loop_init|uv_default_loop|uv_run'

use_own_tmpdir
trap 'end_meanwhile; rm -rf "$TMPDIR"' EXIT
export CHAT_TEST_RESULTS=$TMPDIR/results CHAT_TEST_FAILURES=$TMPDIR/failures
: >"$CHAT_TEST_RESULTS"
: >"$CHAT_TEST_FAILURES"

output=$TMPDIR/output # of the step that runs

quiet_make() {
    make -s --no-print-directory -j "$(nproc)" "$@"
}

total() {
    awk -v column="$1" '{ sum += $column } END { print sum + 0 }' "$CHAT_TEST_RESULTS"
}

step() {
    local what=$1 failed_before started=$SECONDS
    shift
    failed_before=$(total 2)
    echo
    echo "== $what"
    if ! "$@" 2>&1 | tee "$output" && [[ $(total 2) == "$failed_before" ]]; then
        echo "$what: failed"
        record 0 1 0 "$what"
        tell_failure "$what" <"$output"
    fi
    echo "-- $((SECONDS - started)) s"
}

# Starts a function of further steps beside those that follow: these mostly wait for disks and answers,
# and it takes what time of the processors they leave. Its results are its own until finish_meanwhile
# shows what it printed and counts them.
meanwhile() {
    local results=$CHAT_TEST_RESULTS
    CHAT_TEST_RESULTS=$TMPDIR/meanwhile.results
    : >"$CHAT_TEST_RESULTS"
    set -m # a process group of its own, so that it can be ended with all that it has started
    (
        renice -n 19 "$BASHPID" >/dev/null
        output=$TMPDIR/meanwhile.output
        "$@"
    ) >"$TMPDIR/meanwhile.log" 2>&1 </dev/null &
    background=$!
    set +m
    CHAT_TEST_RESULTS=$results
}

finish_meanwhile() {
    local status=0
    wait "$background" || status=$?
    background=
    cat "$TMPDIR/meanwhile.log"
    cat "$TMPDIR/meanwhile.results" >>"$CHAT_TEST_RESULTS"
    if [[ $status != 0 ]]; then
        record 0 1 0 "what ran meanwhile"
        tail -n 20 "$TMPDIR/meanwhile.log" | tell_failure "what ran meanwhile ended early, with status $status"
    fi
}

end_meanwhile() {
    [[ -z ${background:-} ]] || kill -- "-$background" 2>/dev/null
}

build() {
    quiet_make "$@" all unit-programs && record 1 0 0 "build $*"
}

build_programs() {
    quiet_make "$@" all && record 1 0 0 "build $*"
}

# The threaded tests that are there, as words for "make unit TESTS=".
threaded_tests() {
    git grep -lE "$THREADED" -- 'tests/unit/test_*.c' | xargs -r -n 1 basename -s .c | xargs
}

# What $CHAT_TEST_FAILURES has: the names of all that failed, and why, for the first of them. In so many
# lines at most, so many for each, so wide.
tell_why() {
    awk -v most="$1" -v each="$2" -v width="$3" '
        NR == FNR { names += /^FAILED /; next }
        /^FAILED / { names--; why = 0; if (lines++ < most) print substr($0, 1, width); next }
        NF > 0 && why++ < each && lines + names < most { lines++; print substr($0, 1, width) }' \
        "$CHAT_TEST_FAILURES" "$CHAT_TEST_FAILURES"
}

sanitized=(CC=clang 'SANITIZE=address,undefined')

# What computes and does not wait. The programs of clang's build without sanitizers are not run: it is
# for its warnings, and its unit tests are those of the build with sanitizers.
computing_steps() {
    step "build with clang" build_programs CC=clang
    step "unit tests with threads, thread sanitizer" \
        quiet_make CC=gcc SANITIZE=thread unit TESTS="$(threaded_tests)"
    step "lint" quiet_make CC=gcc lint
    step "simulation" quiet_make CC=gcc simulation
    step "simulation, address and undefined sanitizers" \
        env CHAT_SIMULATION_STEPS=1000000 make -s --no-print-directory "${sanitized[@]}" simulation
    step "simulation finds mutants" quiet_make CC=gcc simulation-mutants
    # A first look here, longer in continuous integration.
    step "fuzz targets" env FUZZ_SECONDS="${FUZZ_SECONDS:-$([[ -n ${CI:-} ]] && echo 60 || echo 5)}" \
        make -s --no-print-directory -j "$(nproc)" fuzz
}

step "build with gcc" build CC=gcc
step "build with clang, address and undefined sanitizers" build "${sanitized[@]}"
meanwhile computing_steps
step "unit tests" quiet_make CC=gcc unit
step "unit tests, address and undefined sanitizers" quiet_make "${sanitized[@]}" unit
step "integration and interop tests" quiet_make CC=gcc integration
step "integration and interop tests, address and undefined sanitizers" \
    quiet_make "${sanitized[@]}" integration
# One file after the other: what computes needs the rest of the processors.
step "browser tests" quiet_make CC=gcc CHAT_TEST_FILES=1 browser
step "fault tests" quiet_make CC=gcc CHAT_TEST_FILES=1 faults FAULTS=short
step "options in the README" quiet_make CC=gcc check-readme
echo
echo "== what ran meanwhile"
finish_meanwhile

echo
echo "Summary after $SECONDS s:"
awk '{ printf "  %5d passed %3d failed %3d skipped ", $1, $2, $3; $1 = $2 = $3 = ""; print }' \
    "$CHAT_TEST_RESULTS"
if [[ -s $CHAT_TEST_FAILURES ]]; then
    echo
    echo "What failed, and why:"
    tell_why 300 40 300
    echo
    echo "In short:" # Some places show no more than the last 2,000 bytes of an output.
    tell_why 15 5 130
fi
echo
echo "$(total 1) passed, $(total 2) failed"
[[ $(total 2) == 0 && $(total 1) != 0 ]]
