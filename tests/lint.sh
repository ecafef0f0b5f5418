#!/bin/bash
# Checks the form of what git tracks: tests/lint.sh [CHECK...], all checks by default.
#
# Each check is one pass or failure. Versions of these tools lay out code differently and suspect
# different things, so one of each decides, that of Debian 12; what another says is shown, and
# does not fail.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

generated=build/generated
mapfile -t c_files < <(git ls-files '*.c')
mapfile -t product_files < <(git ls-files '*.c' ':!tests')
mapfile -t all_c_files < <(git ls-files '*.c' '*.h')
mapfile -t shell_files < <(git ls-files '*.sh' .ci/run)

# The major version of a tool, of the form 14 or 2.10, and the one that decides.
version_of() {
    "$1" --version | sed -nE 's/.*(version|Cppcheck) ([0-9]+(\.[0-9]+)?).*/\2/p' | head -n 1
}
deciding() {
    case $1 in
    format | tidy) [[ $(version_of "clang-$1") == 14.* ]] ;;
    cppcheck) [[ $(version_of cppcheck) == 2.10 ]] ;;
    *) true ;;
    esac
}

check_format() {
    clang-format --dry-run -Werror "${all_c_files[@]}"
}

# Checks that find mistakes; style is clang-format's business. Of the analyzer's core only what
# leaves a function: it takes each pointer in a table of options for a possible NULL, and does not
# see what another file sets. Those mistakes are for the sanitizers and the compilers to find; the
# tests, which may leak when they fail, are left to these altogether.
tidy_checks='-*,clang-analyzer-core.StackAddressEscape,clang-analyzer-core.VLASize'
tidy_checks+=',clang-analyzer-deadcode.*,clang-analyzer-unix.*,clang-analyzer-valist.*'
tidy_checks+=',bugprone-suspicious-*,bugprone-string-*,bugprone-infinite-loop'
tidy_checks+=',bugprone-integer-division,bugprone-posix-return,bugprone-signal-handler'
tidy_checks+=',bugprone-too-small-loop-variable,bugprone-misplaced-operator-in-strlen-in-alloc'
tidy_checks+=',bugprone-redundant-branch-condition'

# What the NATS library's adapter frees in a callback of libuv's, the analyzer takes for lost.
tidy() {
    [[ $1 != service/broker_adapter.c ]] || tidy_checks+=',-clang-analyzer-unix.Malloc'
    clang-tidy "$1" --quiet --checks="$tidy_checks" --warnings-as-errors='*' -- \
        -std=c17 -D_GNU_SOURCE -I. -I$generated
}
export tidy_checks generated
export -f tidy

check_tidy() {
    printf '%s\0' "${product_files[@]}" | xargs -0 -I{} -P "$(nproc)" bash -c 'tidy {}'
}

check_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning --inline-suppr --error-exitcode=1 \
        --suppress=normalCheckLevelMaxBranches --suppress=unknownEvaluationOrder \
        -j "$(nproc)" -D_GNU_SOURCE -I. "${c_files[@]}"
}

check_shell() {
    shellcheck -x "${shell_files[@]}"
}

run_check() {
    local name=$1 log note="" status=0
    log=$TMPDIR/$name.log
    "check_$name" >"$log" 2>&1 || status=$?
    if [[ $status != 0 ]]; then
        grep -vE '^[0-9]+ warnings? generated\.$' "$log" | head -n "${CHAT_LINT_LINES:-200}"
        if ! deciding "$name"; then
            status=0
            note=" (the findings above are of a version that does not decide)"
        fi
    fi
    if [[ $status == 0 ]]; then
        echo "lint $name: passed$note"
        record 1 0 0 "lint $name$note"
        return
    fi
    echo "lint $name: failed"
    grep -vE '^[0-9]+ warnings? generated\.$' "$log" | tell_failure "lint $name"
    record 0 1 0 "lint $name"
    failed=$((failed + 1))
}

checks=("$@")
[[ $# -gt 0 ]] || checks=(format tidy cppcheck shell)
failed=0
use_own_tmpdir
for check in "${checks[@]}"; do run_check "$check"; done
[[ $failed == 0 ]]
