/*
 * One request to the chat service over NATS, retried until it is answered or its time is up.
 *
 * Every attempt carries the same bytes. So that a lost reply does no harm, only requests that may
 * be repeated belong here: New and History are idempotent, and Send is with a client_id.
 *
 * Blocking; for programs that do one thing, on one thread. Beyond the deadline only the
 * resolving of a host name can hold it up.
 */
#ifndef CLIENTS_CALL_H
#define CLIENTS_CALL_H

#include "base/options.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CALL_DEFAULT_URL "nats://127.0.0.1:4222"
#define CALL_NAMESPACE_BYTES_MAX 64
/* chat.<method>.<namespace> with its NUL; a method has at most 32 bytes. */
#define CALL_SUBJECT_BYTES (sizeof "chat.." + 32 + CALL_NAMESPACE_BYTES_MAX)

/* How to reach the broker and how long to try. What is NULL or empty is not used. */
struct call_settings {
    struct option_list nats_urls; /* tried in random order; empty: CALL_DEFAULT_URL */
    const char *user;
    const char *password;
    const char *token;
    const char *credentials_file; /* a JWT and its seed */
    const char *tls_ca_file;      /* this and the next two make the connection TLS */
    const char *tls_cert_file;
    const char *tls_key_file;
    uint64_t timeout_ms; /* for all attempts together; from 1 */
};

enum call_outcome {
    CALL_ANSWERED, /* `reply` is the response's wire form */
    CALL_REFUSED,  /* the service answered with an error: `code`, `id` and `detail` */
    CALL_FAILED,   /* there is no answer, and `detail` says why */
};

struct call_result {
    enum call_outcome outcome;
    uint8_t *reply; /* owned; given back by call_result_free */
    size_t reply_size;
    int code;
    char id[128];
    char detail[512];
    /* An attempt got no answer and may have been carried out all the same; the outcome of a
     * change is then unknown, unless the call was answered, or refused with a code below 500. */
    bool maybe_done;
    bool timed_out; /* it was worth another attempt, but the time was up */
};

/* 1 to 64 of [A-Za-z0-9_-]. */
bool call_namespace_is_valid(const char *name);

/* nats://… or tls://… or neither, with a host, and no spaces. Whether it resolves is seen later. */
bool call_url_is_valid(const char *url);

/*
 * Writes chat.<method>, or chat.<method>.<name> when `name` is neither NULL nor empty. Returns 0,
 * or -1 when `name` is no namespace: nothing else may get into a subject.
 */
int call_subject(const char *method, const char *name, char subject[CALL_SUBJECT_BYTES]);

/*
 * How long to wait before the next attempt when `failures` have failed (from 1): from 250 ms
 * doubling to 2 s, of which a part of up to a half is taken off by `random`, so that many
 * callers who failed together do not come back together.
 */
uint64_t call_backoff_ms(unsigned failures, uint32_t random);

/*
 * The broker's addresses, joined with commas, without user, password or token; cut to `size`
 * bytes with the NUL. For messages.
 */
void call_describe_urls(const struct option_list *urls, char *text, size_t size);

/*
 * Makes the call; the outcome is in `result`, which the caller gives to call_result_free.
 * Retried: no connection, a connection lost, no responders, no reply in time, and the service's
 * 503 and 507. Not retried: any other refusal, and what the broker refuses for good
 * (authorization, TLS, permissions, size). Borrows everything.
 */
void call_perform(const struct call_settings *settings, const char *subject, const uint8_t *request,
                  size_t size, struct call_result *result);
void call_result_free(struct call_result *result);

#endif
