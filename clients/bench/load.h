/*
 * The workload: chooses chats and kinds of requests by the seed, and keeps what --verify has to
 * know of each message that was acknowledged. Loop's thread only.
 */
#ifndef CLIENTS_BENCH_LOAD_H
#define CLIENTS_BENCH_LOAD_H

#include "clients/bench/bench_chats.h"
#include "clients/bench/chooser.h"
#include "clients/bench/measurement.h"
#include "clients/bench/request_template.h"

/* Where an acknowledged message is said to be; seq 0: not acknowledged. */
struct ack {
    uint32_t chat;
    uint32_t seq;
};

struct acks {
    struct ack *entries; /* owned; by the message's number */
    uint64_t capacity;
    uint64_t count;         /* acknowledged */
    uint64_t out_of_order;  /* got a seq below one that was acknowledged before they were sent */
    uint32_t *highest_seqs; /* owned; acknowledged, by chat */
};

struct load {
    const struct bench_settings *settings;
    const struct chats *chats;
    struct chooser chooser;
    struct random random; /* of kinds and pages */
    struct send_template send_template;
    struct new_template new_template;
    uint8_t history[HISTORY_REQUEST_BYTES];
    char subjects[BENCH_KINDS][BENCH_SUBJECT_BYTES];
    char *jetstream_number; /* within the subject */
    uint64_t next_number;
    struct acks acks;

    /* Of the run that is under way. */
    struct measurement *measurement;
    bool is_service;
    uint64_t began_ns;
    uint64_t measured; /* requests due in the window */
    uint64_t last_reply_ns;
    uint64_t told_ns;
    uint64_t told_completed;
};

/* Returns NULL when out of memory. Borrows both until load_free, which takes NULL too. */
struct load *load_new(const struct bench_settings *settings, const struct chats *chats);
void load_free(struct load *load);

/*
 * Runs the workload once, with requests to <prefix>.<Method>, which is the service itself when the
 * prefix is "chat", and fills in the measurement. False when a signal ended it.
 */
bool load_run(struct load *load, struct engine *engine, const char *prefix,
              struct measurement *measurement);

#endif
