/*
 * What the command line of chat-bench says, from tables of options. Single-threaded, for the start
 * of the program.
 */
#ifndef CLIENTS_BENCH_BENCH_SETTINGS_H
#define CLIENTS_BENCH_BENCH_SETTINGS_H

#include "base/options.h"
#include "clients/bench/bench_link.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_PROGRAM "chat-bench"

/* Kinds of requests. */
enum bench_kind { BENCH_NEW, BENCH_SEND, BENCH_HISTORY, BENCH_JETSTREAM, BENCH_KINDS };
/* "new", "send", "history", "jetstream" */
const char *bench_kind_name(enum bench_kind kind);
/* "New", "Send", "History"; not for BENCH_JETSTREAM. */
const char *bench_kind_method(enum bench_kind kind);

/* chat.<method>.<namespace> with its NUL. */
#define BENCH_SUBJECT_BYTES (sizeof "chat.." + 32 + 64)

struct bench_settings {
    struct broker_access broker;
    const char *workload;       /* "send", "history", "mixed", "new", "jetstream" */
    double shares[BENCH_KINDS]; /* add up to 1 */
    const char *namespace_name;
    uint64_t chats;
    double zipf; /* exponent; 0: uniform */
    uint64_t text_bytes;
    uint64_t outstanding;
    uint64_t connections;
    uint64_t rate; /* 0: closed loop */
    uint64_t duration_ms;
    uint64_t count; /* requests; 0: by duration */
    uint64_t warmup_ms;
    uint64_t timeout_ms;
    uint64_t seed;
    uint64_t prefill; /* messages that each chat has at least, before it begins */
    uint64_t limit;   /* of a page */
    bool deep;        /* pages from anywhere in the chat, and not the newest one */
    bool verify;
    bool json;
    bool progress;
    const char *svg;
    /* Of compare. */
    uint64_t pairs;
    uint64_t pause_ms;
    const char *responder; /* subject prefix of one that runs elsewhere; NULL: start one */

    /* As they were given, before they are checked. */
    struct option_list mix_text;
    const char *zipf_text;
    const char *page_text;
};

/* Of chat-bench responder. */
struct responder_settings {
    struct broker_access broker;
    const char *prefix; /* answers on <prefix>.Send, <prefix>.Send.<namespace> and so on */
    uint64_t send_bytes;
    uint64_t new_bytes;
    uint64_t history_bytes;
    uint64_t history_messages;
};

#define BENCH_SYNC_BLOCK_BYTES 4096

/* Of chat-bench sync. */
struct sync_settings {
    const char *directory;
    uint64_t bytes; /* with `direct` a multiple of BENCH_SYNC_BLOCK_BYTES */
    uint64_t count;
    bool direct;
    bool json;
};

/*
 * Parse argv[1..]; argv[0] is the workload or command. What is wrong is said on `err`, help and
 * version are printed on `out`. Whatever comes back, the settings are given to …_free.
 */
enum options_result bench_settings_parse(struct bench_settings *settings, const char *workload,
                                         bool compare, int argc, char **argv, FILE *out, FILE *err);
enum options_result responder_settings_parse(struct responder_settings *settings, int argc,
                                             char **argv, FILE *out, FILE *err);
enum options_result sync_settings_parse(struct sync_settings *settings, int argc, char **argv,
                                        FILE *out, FILE *err);
void bench_settings_free(struct bench_settings *settings);
void responder_settings_free(struct responder_settings *settings);

bool bench_is_workload(const char *name);

/* 1 to 16 lower-case letters and digits: one token of a subject. */
bool bench_prefix_is_valid(const char *prefix);

/* Writes <prefix>.<Method> or <prefix>.<Method>.<namespace>. */
void bench_subject(const char *prefix, enum bench_kind kind, const char *namespace_name,
                   char subject[BENCH_SUBJECT_BYTES]);

#endif
