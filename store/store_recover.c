/*
 * Recovery: the database holds everything up to its settled LSN; the journal's records behind that
 * are applied again, in order (store_replay.c), with what one snapshot shows: nothing settles
 * meanwhile, so that the second snapshot, for the thread that looks things up ahead, shows the
 * same. When a record cannot be applied, nothing has been changed on disk.
 */
#include "store/store_internal.h"

#include "store/database_rows.h"
#include "store/journal_format.h"
#include "store/store_replay.h"

#include <stdio.h>

static int begin_snapshots(struct store *store, struct store_replay *replay,
                           struct store_failure *failure)
{
    int status = database_snapshot_begin(store->database, &replay->snapshot);

    if (status == 0) {
        status = database_snapshot_begin(store->database, &replay->snapshot_ahead);
        if (status != 0)
            database_snapshot_end(replay->snapshot);
    }
    if (status != 0)
        store_fail(failure, status, "the database cannot be read: %s", store_status_text(status));
    return status;
}

int store_recover(struct store *store, struct store_opened *opened, struct store_failure *failure)
{
    struct store_replay replay = {.state = &store->state,
                                  .window_records = (size_t)store->options.recovery_window};
    struct journal_recovery report;
    struct database_meta meta;
    char directory[4096];
    uint64_t started = uv_hrtime();
    int status;

    database_read_meta(store->database, &meta);
    status = begin_snapshots(store, &replay, failure);
    if (status != 0)
        return status;
    snprintf(directory, sizeof directory, "%s/journal", store->directory);
    status = journal_open(&store->journal,
                          &(struct journal_options){
                              .directory = directory,
                              .segment_bytes = store->options.segment_bytes,
                              .segments_max = (unsigned)store->options.segments_max,
                              .reached_lsn = meta.reached_lsn,
                              .replayed = store_replay_end,
                          },
                          meta.store_id.bytes, meta.settled_lsn, store_replay_record, &replay,
                          &report, failure);
    store_replay_free(&replay);
    database_snapshot_end(replay.snapshot_ahead);
    database_snapshot_end(replay.snapshot);
    if (status != 0) {
        if (replay.failure.status != 0)
            *failure = replay.failure;
        return status;
    }
    store->settled_lsn = meta.settled_lsn;
    store->statistics.last_lsn = report.last_lsn;
    store->unsettled_bytes = report.bytes;
    opened->store_id = meta.store_id;
    opened->records = report.records;
    opened->torn_bytes = report.torn_bytes;
    opened->journal_format = JOURNAL_FORMAT_VERSION;
    opened->database_format = DATABASE_FORMAT;
    opened->took_us = (uv_hrtime() - started) / 1000;
    return 0;
}
