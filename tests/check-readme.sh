#!/bin/bash
# Checks that the README knows every option: tests/check-readme.sh [folder of the programs].
#
# What --help prints comes from the table that parses the options, so that it cannot be out of
# date; the README can. Each option and each CHAT_ variable that the help of a program or of one of
# chat's commands shows must be in README.md (those of
# chat-bench in its own). One check per help text. Where the README has a row for an option, of chatd
# and of the gateway, that must show its default, too.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

bin=${1:-build/bin}
failed=0
readme=README.md

complain() {
    echo "$1"
    record 0 1 0 "$1"
    tell_failure "$1" </dev/null
    failed=1
}

known() {
    grep -qE -- "(^|[^A-Za-z0-9_-])$1([^A-Za-z0-9_-]|\$)" "$readme"
}

# Options with a default, one a line: "--max-users 1000".
defaults_of() {
    tr '\n' ' ' <<<"$1" | sed -E 's/ {2,}(--[a-z])/\n\1/g' |
        sed -nE 's/^(--[a-z-]+) .*\[default: ([^]]*)\].*/\1 \2/p'
}

check_defaults() {
    local what option value wrong=()
    what="$(basename "$1") --help"
    while read -r option value; do
        grep -E -- "^\| [^|]*\`$option\`" "$readme" | cut -d'|' -f4 | grep -qF "\`$value\`" ||
            wrong+=("$option $value")
    done < <(defaults_of "$("$1" --help)")
    if [[ ${#wrong[@]} == 0 ]]; then
        record 1 0 0 "README has the defaults of $what"
    else
        complain "README has no such default of $what: ${wrong[*]}"
    fi
}

check() {
    local what help word missing=()
    what="$(basename "$1")${2:+ ${*:2}} --help"
    if ! help=$("$@" --help 2>&1 </dev/null); then
        missing=("(it fails)")
    fi
    while read -r word; do
        known "$word" || missing+=("$word")
    done < <(grep -oE -- '(--[a-z][a-z0-9_-]*|CHAT_[A-Z0-9_]+)' <<<"$help" | sort -u)
    if [[ ${#missing[@]} == 0 ]]; then
        echo "README knows $what"
        record 1 0 0 "README knows $what"
    else
        complain "README misses of $what: ${missing[*]}"
    fi
}

check "$bin/chatd"
check_defaults "$bin/chatd"
check_defaults "$bin/chat-gateway"
check "$bin/chat"
for command in new send history connect ping info stats; do check "$bin/chat" $command; done
for command in verify stats backup export import; do check "$bin/chat-store" $command; done
shopt -s nullglob
for program in "$bin"/*; do
    case $(basename "$program") in
    chatd | chat | chat-bench) ;;
    *) check "$program" ;;
    esac
done
# A program for measuring has many options, and a README of its own.
readme=clients/bench/README.md
check "$bin/chat-bench"
for command in send responder sync gateway fanout; do check "$bin/chat-bench" $command; done
check "$bin/chat-bench" compare send
[[ $failed == 0 ]]
