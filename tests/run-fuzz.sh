#!/bin/bash
# Runs fuzz targets, as many at once as there are processors: tests/run-fuzz.sh NAME...
#
#   FUZZ_SECONDS   for each target (60); its whole corpus is replayed first, whatever that takes
#   FUZZ_KEEP      "yes": what reached new code is merged into the corpus, as little as will do
#
# A target that finds something is a failure: the input is kept in build/fuzz/ and how to see it
# again is said.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

seconds=${FUZZ_SECONDS:-60}
programs=build/clang-san-address-undefined-fuzzer-no-link/tests/fuzz
findings=$PWD/build/fuzz
leaks=1
all_passed=0 all_failed=0

run_target() {
    without_address_randomization "$programs/$name" -timeout=20 -rss_limit_mb=2048 \
        -detect_leaks=$leaks -artifact_prefix="$findings/$name-" "$@" >"$TMPDIR/log" 2>&1 </dev/null
}

# The leak sanitizer traces its own process, which some containers forbid.
look_for_leaks() {
    ASAN_OPTIONS=detect_leaks=1 run_target -runs=1
    if grep -q 'LeakSanitizer has encountered a fatal error' "$TMPDIR/log"; then
        echo "fuzz: leaks are not looked for: this place does not let a process be traced"
        leaks=0
    fi
    export ASAN_OPTIONS=detect_leaks=$leaks:detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
}

tell_finding() {
    local input
    grep -vE '^#[0-9]+[[:space:]]' "$TMPDIR/log" | tail -n 60 >"$TMPDIR/finding"
    input=$(sed -nE 's/.*Test unit written to (.*)/\1/p' "$TMPDIR/log" | tail -n 1)
    echo "$name: FAILED${input:+; to see it again: $programs/$name $input}" >>"$TMPDIR/finding"
    cat "$TMPDIR/finding"
    { tail -n 1 "$TMPDIR/finding"; grep -vE '^INFO: ' "$TMPDIR/finding"; } | tell_failure "$name"
}

keep_corpus() {
    mkdir "$TMPDIR/merged"
    run_target -set_cover_merge=1 -use_counters=0 "$TMPDIR/merged" "$corpus" "$TMPDIR/corpus" || return
    rm -f "$corpus"/*
    cp "$TMPDIR/merged"/* "$corpus"
    rm -r "$TMPDIR/merged"
    echo "$name: $(find "$corpus" -type f | wc -l) inputs kept in $corpus"
}

fuzz() {
    local name=$1 corpus runs
    corpus=tests/fuzz/corpus/${name#fuzz_}
    mkdir -p "$findings" "$TMPDIR/corpus" "$corpus"
    if run_target -runs=0 "$corpus" &&
        run_target -max_total_time="$seconds" -print_final_stats=1 "$TMPDIR/corpus" "$corpus"; then
        runs=$(sed -nE 's/^stat::number_of_executed_units: +//p' "$TMPDIR/log")
        echo "$name: passed, $(find "$corpus" -type f | wc -l) kept inputs, $runs runs"
        record 1 0 0 "$name"
        all_passed=$((all_passed + 1))
        [[ ${FUZZ_KEEP:-} != yes ]] || keep_corpus
    else
        tell_finding
        record 0 1 0 "$name"
        all_failed=$((all_failed + 1))
    fi
    rm -rf "$TMPDIR/corpus"
}

# Shares the targets among runs of this script.
run_shares() {
    local share index name names failed=0 shares
    shares=$(nproc)
    for ((share = 0; share < shares; share++)); do
        names=()
        index=0
        for name in "$@"; do
            if ((index++ % shares == share)); then names+=("$name"); fi
        done
        [[ ${#names[@]} == 0 ]] || FUZZ_SHARE=$share "$0" "${names[@]}" &
    done
    for share in $(jobs -p); do
        wait "$share" || failed=1
    done
    exit $failed
}

[[ -n ${FUZZ_SHARE:-} || $# == 1 ]] || run_shares "$@"
use_own_tmpdir
name=$1
look_for_leaks
for name in "$@"; do
    fuzz "$name"
done
echo "fuzz: $all_passed passed, $all_failed failed"
[[ $all_failed == 0 ]]
