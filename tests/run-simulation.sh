#!/bin/bash
# Runs the simulation from several seeds: tests/run-simulation.sh PROGRAM
#
#   CHAT_SIMULATION_STEPS   for each seed (3,000,000)
#   CHAT_SIMULATION_SEEDS   "1 2 3" and so on (1, 2, 3 and one of today's)
#
# Each seed is one pass or failure. That the first one gives the same run twice is one more.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

program=$1
steps=${CHAT_SIMULATION_STEPS:-3000000}
read -ra seeds <<<"${CHAT_SIMULATION_SEEDS:-1 2 3 $(date +%Y%m%d)}"
passed=0 failed=0

simulate() {
    without_address_randomization timeout -k 10 600 "$program" --seed "$1" --steps "$steps"
}

check() {
    local what=$1
    shift
    if "$@" >"$TMPDIR/log" 2>&1; then
        passed=$((passed + 1))
    else
        echo "$what: failed" >>"$TMPDIR/log"
        tell_failure "$program, $what" <"$TMPDIR/log"
        failed=$((failed + 1))
    fi
    cat "$TMPDIR/log"
}

same_twice() {
    cmp -s <(simulate "$1") <(simulate "$1")
}

use_own_tmpdir
set_sanitizer_options
for seed in "${seeds[@]}"; do
    check "simulation of seed $seed" simulate "$seed"
done
check "seed ${seeds[0]} gives the same run twice" same_twice "${seeds[0]}"
if sanitizers_found >"$TMPDIR/findings"; then
    failed=$((failed + 1))
    cat "$TMPDIR/findings"
    tell_failure "$program: a sanitizer's finding" <"$TMPDIR/findings"
fi
record "$passed" "$failed" 0 "$program"
echo "simulation: $passed passed, $failed failed"
[[ $failed == 0 ]]
