#!/bin/bash
# Shows that the simulation can fail: breaks a rule of the store in a copy of the tree, one at a
# time, and expects the simulation to find it. A mutant that lives is a failure.
#
# A mutant is a file and a sed expression that must change it. Some show themselves rarely, so that
# up to CHAT_MUTANT_SEEDS histories are tried, of CHAT_MUTANT_STEPS steps each.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
# shellcheck source=tests/common.sh
. tests/common.sh

STEPS=${CHAT_MUTANT_STEPS:-3000000}
SEEDS=${CHAT_MUTANT_SEEDS:-40}
passed=0 failed=0

program=build/tests/simulation/simulation

build() {
    make -s --no-print-directory -C "$TMPDIR/tree" CC="${CC:-gcc}" WERROR= CFLAGS='-O1 -w' $program
}

# Whether it hangs, the time of the processor tells: what else runs here may take nearly all of it.
simulate() {
    (ulimit -S -c 0 -t 20 && exec timeout 600 "$TMPDIR/tree/$program" --seed "$1" --steps "$STEPS")
}

fail() {
    local what=$1 why=$2
    cat "$TMPDIR/log"
    echo "mutant \"$what\": $why"
    tell_failure "mutant \"$what\": $why" <"$TMPDIR/log"
    failed=$((failed + 1))
}

mutant() {
    local what=$1 file=$2 change=$3 log=$TMPDIR/log status=0 seed=1
    sed -i -E "$change" "$TMPDIR/tree/$file"
    : >"$log"
    if cmp -s "$file" "$TMPDIR/tree/$file"; then
        fail "$what" "the change does not apply to $file"
        return
    fi
    if ! build >"$log" 2>&1; then
        fail "$what" "does not build"
    else
        while
            simulate "$seed" >"$log" 2>&1 || status=$?
            [[ $status == 0 && $seed -lt $SEEDS ]]
        do seed=$((seed + 1)); done
        if [[ $status == 0 ]]; then
            fail "$what" "not found in $SEEDS times $STEPS steps"
        else
            [[ $status != 152 ]] || echo 'it hangs' >"$log"
            echo "mutant \"$what\": found with seed $seed: $(grep -v FAILED "$log" | head -n 1 | cut -c 1-160)"
            passed=$((passed + 1))
        fi
    fi
    cp "$file" "$TMPDIR/tree/$file"
}

use_own_tmpdir
mkdir "$TMPDIR/tree"
cp -r --parents Makefile base proto store tests/simulation tests/{fuzz,faults}/rules.mk "$TMPDIR/tree"
build || exit 1

mutant "evict without waiting for older requests" store/state.c \
    's/ \|\| state->epoch_requests\[state->epoch \^ 1\] > 0\)/)/'
mutant "evict what a second job settled with the first" store/state.c \
    's/^    if \(!state->evicting\) \{/    if (true) {/'
mutant "do not look for client ids in the database" store/store_write.c \
    's/if \(state_client_may_be_settled\(.*\)\) \{/if (false) {/'
mutant "look for client ids in the database only if the cache has the chat settled whole" \
    store/store_write.c \
    's/if \(state_client_may_be_settled\(.*\)\) \{/if (command->chat->settled_seq == command->chat->head_seq) {/'
mutant "forget which client ids were settled" store/state.c \
    's/^    client_filter_add\(.*\);//'
mutant "take a chat's client ids for known before they are read" store/store_chat.c \
    's/^    if \(database_each_client\(.*\) != 0\)$/    if (false)/'
mutant "take a chat from the database for one without messages" store/state.c \
    's/^    if \(loaded->head_seq == 0\)$/    if (true)/'
mutant "apply before the lookups are done" store/store_write.c \
    's/ && batch->lookups == 0//'
mutant "acknowledge before it is durable" store/store_write.c \
    's/batch->written && batch->lookups/batch->sent \&\& batch->lookups/'
mutant "acknowledge what met a full disk" store/store_write.c \
    's/^    if \(batch->status != 0\) \{/    if (false) {/'
mutant "recover without looking for client ids" store/store_replay.c \
    's/if \(chat->settled_seq == 0\)/if (true)/'
mutant "recover without looking for users" store/store_replay.c \
    's/\.found = record->known == REPLAY_THERE,/.found = false,/'
mutant "recover a chat again that the window before has" store/store_replay.c \
    's/ : state_find_chat\(replay->state, &record->chat_id\);/ : NULL;/'
mutant "recover without holding on to chats until their records are applied" \
    store/store_replay_window.c \
    's/^        state_pin\(state, record->chat\);/        state_pin(state, record->chat), state_unpin(state, record->chat), record->chat->pins++;/'
mutant "recover without the last window" store/store_replay.c \
    's/status == 0 && last != NULL \?/status == 0 \&\& last == NULL ?/'
mutant "recover as if nothing that is looked up were there" store/store_replay_window.c \
    's/\? REPLAY_THERE$/? REPLAY_NOT_THERE/'
mutant "settle one record too many" store/state.c \
    's/\.settled_lsn = state->applied_lsn,/.settled_lsn = state->applied_lsn + 1,/'
mutant "forget new chats before they are settled" store/state.c \
    's/chat->pins > 0 \|\| chat->fresh != NULL \|\|/chat->pins > 0 ||/'
mutant "forget chats that requests hold" store/state.c \
    's/if \(chat->pins > 0 \|\| /if (/'
mutant "a chat of the same users again" store/state.c \
    's/^    if \(chat != NULL\) \{/    if (chat != NULL \&\& chat->settled_seq > 0) {/'
mutant "take other content for a retry" store/state.c \
    's/!same_text\(subject, &stored.subject\) \|\| //'
mutant "read a page's database part without its tail" store/store_history.c \
    's/read->status == 0 && read->tail.count > 0/false/'
mutant "go on in the tail where the database's part was cut" store/store_history.c \
    's/read->page.count != stored_high\(read\) - read->low/false/'
mutant "read the tail's part when the page comes back" store/store_history.c \
    's/read->tail_seq = state_tail_seq\(read->chat\);/read->tail_seq = read->chat->head_seq + 1;/'
mutant "say that there is more when there is not" store/store_history.c \
    's/read->high - read->low > read->page.count;/read->high - read->low >= read->page.count;/'
mutant "keep requests waiting when the tail is full" store/store_settle.c \
    's/store->settle_wanted = true;/store->settle_wanted = false;/'

mutant "the first slice of a job settles all of it" store/slices.c \
    's/= last \? slices->lsn : meta.settled_lsn;/= slices->lsn;/'
mutant "the last slice of a job settles nothing" store/slices.c \
    's/= last \? slices->lsn : meta.settled_lsn;/= meta.settled_lsn;/'
mutant "a slice that met a full disk counts as written" store/slices.c \
    's/^    if \(rc != 0\)$/    if (rc != 0 \&\& rc != STORE_FULL)/'
mutant "a job is over after its first slice" store/store_settle.c \
    's/if \(job->slices.over\)/if (true)/'
mutant "what closing leaves to the journal counts as settled" store/store_settle.c \
    's/if \(job->slices.over\)/if (job->slices.over || is_closing_time(store))/'
mutant "after a full disk, take what came meanwhile for settled" store/store_settle.c \
    's/if \(!job->begun\) \{/if (true) {/'
mutant "new chats are there before all of their rows are" store/slices.c \
    's/if \(slice->chat_rows == DATABASE_CHATS_USERS \&\&/if (slice->chat_rows == DATABASE_CHATS_NUMBERED \&\&/'
mutant "recover a chat with some of its rows as one that is there" store/store_replay.c \
    's/\*is_there = status == 0 \&\& .*;/*is_there = status == 0;/'
mutant "do not say how far a job reaches" store/slices.c \
    's/\{\.reached_lsn = slices->lsn\}/{.reached_lsn = 0}/'

record "$passed" "$failed" 0 "simulation finds mutants"
echo "mutants: $passed found, $failed not"
[[ $failed == 0 ]]
