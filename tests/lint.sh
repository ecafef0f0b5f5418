#!/bin/bash
# Checks the form of what git tracks: tests/lint.sh [CHECK...], all checks by default.
#
# Each check is one pass or failure. The layout of C code is that of clang-format 14; other
# versions lay out a few things differently, so that with those it is only told, not failed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

generated=build/generated
mapfile -t c_files < <(git ls-files '*.c')
mapfile -t all_c_files < <(git ls-files '*.c' '*.h')
mapfile -t shell_files < <(git ls-files '*.sh' .ci/run)

check_format() {
    local version
    version=$(clang-format --version | sed -nE 's/.*version ([0-9]+).*/\1/p')
    clang-format --dry-run -Werror "${all_c_files[@]}" && return
    [[ $version != 14 ]] || return 1
    told="clang-format $version would lay out some lines differently; version 14 decides"
}

# Checks that find mistakes; style is clang-format's business. Null pointers are left to the
# sanitizers: the analyzer takes each pointer in a table of options or fields for a possible NULL.
tidy_checks='-*,clang-analyzer-core.*,-clang-analyzer-core.NullDereference'
tidy_checks+=',clang-analyzer-deadcode.*,clang-analyzer-unix.*,clang-analyzer-valist.*'
tidy_checks+=',bugprone-sizeof-*,bugprone-suspicious-*,bugprone-macro-*,bugprone-string-*'
tidy_checks+=',bugprone-infinite-loop,bugprone-integer-division,bugprone-not-null-terminated-result'
tidy_checks+=',bugprone-posix-return,bugprone-signal-handler,bugprone-too-small-loop-variable'
tidy_checks+=',bugprone-misplaced-*,bugprone-redundant-branch-condition'

check_tidy() {
    printf '%s\0' "${c_files[@]}" | xargs -0 -I{} -P "$(nproc)" clang-tidy {} --quiet \
        --checks="$tidy_checks" --warnings-as-errors='*' -- \
        -std=c17 -D_GNU_SOURCE -I. -I$generated
}

check_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning --inline-suppr --error-exitcode=1 \
        --suppress=normalCheckLevelMaxBranches \
        -j "$(nproc)" -D_GNU_SOURCE -I. "${c_files[@]}"
}

check_shell() {
    shellcheck -x "${shell_files[@]}"
}

run_check() {
    local name=$1 log status=0
    told=
    log=$TMPDIR/$name.log
    "check_$name" >"$log" 2>&1 || status=$?
    if [[ $status == 0 ]]; then
        echo "lint $name: passed${told:+ ($told)}"
        record 1 0 0 "lint $name"
        return
    fi
    cat "$log"
    echo "lint $name: failed"
    record 0 1 0 "lint $name"
    failed=$((failed + 1))
}

checks=("$@")
[[ $# -gt 0 ]] || checks=(format tidy cppcheck shell)
failed=0
use_own_tmpdir
for check in "${checks[@]}"; do run_check "$check"; done
[[ $failed == 0 ]]
