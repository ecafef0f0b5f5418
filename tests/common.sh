# What the test scripts share; they source it from the root of the tree.
#
# A runner adds one line "<passed> <failed> <skipped> <what>" to the file $CHAT_TEST_RESULTS for
# each thing it ran, if that variable is set: tests/run-all.sh sums them up. What failed it tells to the
# file $CHAT_TEST_FAILURES: a line "FAILED <what>" each, and below it, indented, the first lines of why.
# shellcheck shell=bash

# Debian keeps nats-server where only root's PATH looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

record() {
    local passed=$1 failed=$2 skipped=$3 what=$4
    [[ -z ${CHAT_TEST_RESULTS:-} ]] || echo "$passed $failed $skipped $what" >>"$CHAT_TEST_RESULTS"
}

# Why something failed is what standard input has, the most telling lines first. Many may tell at once.
tell_failure() {
    {
        flock 9
        echo "FAILED $1"
        awk 'NR <= 40 { print "    " substr($0, 1, 300) }'
    } 9>>"${CHAT_TEST_FAILURES:-/dev/null}" >&9
}

# The same of all that a file has in the form above.
tell_failures() {
    local told=$1
    { flock 9 && cat "$told"; } 9>>"${CHAT_TEST_FAILURES:-/dev/null}" >&9
}

# Temporary files go to one folder of this run's own, removed at its end.
use_own_tmpdir() {
    TMPDIR=$(mktemp -d)
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

# The sanitizers stop at the first finding, with status 99, which no test program uses otherwise.
# They report to files, as tests may read or redirect standard error; so even a finding in a process
# whose end nobody looks at is seen. After use_own_tmpdir. Suppression files are for findings
# inside the libraries, not in this tree.
set_sanitizer_options() {
    local tests=$PWD/tests common="exitcode=99:halt_on_error=1:log_path='$TMPDIR/finding'"
    export ASAN_OPTIONS=$common:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
    export UBSAN_OPTIONS=$common:print_stacktrace=1
    export TSAN_OPTIONS=$common:second_deadlock_stack=1
    export LSAN_OPTIONS=
    [[ ! -e $tests/lsan.supp ]] || LSAN_OPTIONS="suppressions='$tests/lsan.supp':print_suppressions=0"
    [[ ! -e $tests/tsan.supp ]] || TSAN_OPTIONS+=":suppressions='$tests/tsan.supp'"
}

# The sanitizers of gcc 12 and clang 14 cannot place their shadow memory under kernels that
# randomize addresses widely (vm.mmap_rnd_bits = 32). Without randomization they always can; where
# a container forbids to switch it off, they have to do with what there is.
without_address_randomization() {
    if setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

# Prints the sanitizers' findings since the last call, and succeeds if there were any.
sanitizers_found() {
    compgen -G "$TMPDIR/finding.*" >/dev/null || return 1
    head -n 100 "$TMPDIR"/finding.*
    rm -f "$TMPDIR"/finding.*
}
