/*
 * Applying the journal's records to what the database holds: what recovery does, and whoever wants
 * to see the unsettled without being the service.
 *
 * One thread. Nothing is written anywhere; the state gets what the records say.
 */
#ifndef STORE_STORE_REPLAY_H
#define STORE_STORE_REPLAY_H

#include "store/journal.h"
#include "store/state.h"

/* Zero-initialise, and set the first two, which are borrowed. The journal must reach to the
 * snapshot's reached LSN. */
struct store_replay {
    struct database_snapshot *snapshot;
    struct state *state; /* as of the snapshot's settled LSN, or what came of it by replaying */
    struct store_failure failure; /* why the last record could not be applied */
};

/* A journal_replay_fn; `data` is the struct store_replay. Returns 0, or a status with `failure`. */
int store_replay_record(void *data, const struct journal_record *record);

#endif
