/*
 * Applying the journal's records to what the database holds: what recovery does, and whoever wants
 * to see the unsettled without being the service.
 *
 * One thread, and one more of its own if it has a second snapshot. Nothing is written anywhere; the
 * state gets what the records say.
 */
#ifndef STORE_STORE_REPLAY_H
#define STORE_STORE_REPLAY_H

#include "store/ahead.h"
#include "store/journal.h"
#include "store/state.h"

struct replay_window;

/* Zero-initialise, set the first four, which are borrowed, and free with store_replay_free. The
 * journal must reach to the snapshot's reached LSN. */
struct store_replay {
    struct database_snapshot *snapshot;
    /* NULL, or another snapshot of the same moment: look-ups are then done by a thread that is
     * ahead. */
    struct database_snapshot *snapshot_ahead;
    struct state *state;   /* as of the snapshots' settled LSN, or what came of it by replaying */
    size_t window_records; /* that are replayed together; 0: the usual number */
    struct store_failure failure; /* why a record could not be applied */

    struct replay_window *filling; /* the rest is its own */
    struct replay_window *given;   /* being prepared */
    struct replay_window *unused;
    struct ahead ahead;
};

/* A journal_replay_fn; `data` is the struct store_replay. Records are applied some time before
 * store_replay_end returns. Returns 0, or a status with `failure`, which may be about a record
 * before. */
int store_replay_record(void *data, const struct journal_record *record);
/* All records have been replayed: applies those that wait. As above. */
int store_replay_end(void *data);
/* Waits for the thread; what was not applied is lost. The snapshots may be ended then. */
void store_replay_free(struct store_replay *replay);

#endif
