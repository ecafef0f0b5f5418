/*
 * What callers may expect of the store, in the terms of callers: requests and what was answered.
 * The model knows nothing of journals, tails or databases. It is told of every request when it is
 * made and when it is answered, or that a crash took it, and ends the process at the first answer
 * that breaks a promise:
 *
 *   - a message that was once shown stays what it was, at its seq, for ever;
 *   - each client id has one message at most, and exactly one if its Send was acknowledged; a retry
 *     gets that one, and other content is refused;
 *   - what was refused leaves no trace;
 *   - seqs have no gaps, and a Send that began after another one was answered comes behind it;
 *   - a page of history is exactly the one that was asked for;
 *   - a set of users is one chat, made once.
 */
#ifndef TESTS_SIMULATION_MODEL_H
#define TESTS_SIMULATION_MODEL_H

#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_NAMESPACES 2
#define MODEL_SETS 3
#define MODEL_CHATS (MODEL_NAMESPACES * MODEL_SETS)
#define MODEL_USERS 3
#define MODEL_CLIENTS 60
#define MODEL_KEYS (MODEL_USERS * MODEL_CLIENTS)
#define MODEL_CONTENTS 3

/* A message that was shown. */
struct model_message {
    uint8_t *bytes; /* NULL: no one has seen it yet */
    size_t size;
    unsigned key;
    unsigned content;
    uint64_t attempt;
};

struct model_chat {
    bool known; /* a New for it was answered */
    bool created;
    bool maybe; /* a crash took a New for it */
    struct uuid id;
    struct model_message *messages; /* by seq */
    uint64_t capacity;
    uint64_t top;                /* the highest seq that was shown to be there */
    uint64_t seqs[MODEL_KEYS];   /* of a client id; 0: not known to be used */
    uint64_t claims[MODEL_KEYS]; /* where a 409 said that its message is */
};

enum model_answer {
    MODEL_OPEN,   /* not answered */
    MODEL_LOST,   /* taken by a crash: it may have happened */
    MODEL_WROTE,  /* acknowledged as a new message */
    MODEL_NOTHING /* answered otherwise: it must not have happened */
};

/* One Send. */
struct model_attempt {
    unsigned chat;
    unsigned key;
    unsigned content;
    enum model_answer answer;
    uint64_t top; /* of the chat, when it was made */
};

struct model {
    struct model_chat chats[MODEL_CHATS];
    struct model_attempt *attempts;
    uint64_t attempt_count;
    uint64_t attempt_capacity;
    bool hurried; /* what would wait for room is refused */
};

/* The clock's first time, in nanoseconds since 1970. */
#define MODEL_FIRST_NS ((uint64_t)1700000000 * 1000000000)

void model_reset(struct model *model);
/*
 * One call of the clock: a New's, or a Send's, which is its attempt. MODEL_FIRST_NS and the result
 * are the time, so that a stored message tells which call it came from.
 */
uint64_t model_attempt(struct model *model, const struct model_attempt *attempt);

/* The strings of requests. Static; a text is valid until the next call. */
const char *model_namespace(unsigned chat);
const char *model_user(unsigned user);
const char *model_client(unsigned key);
const char *model_subject(unsigned content);
const char *model_text(unsigned key, unsigned content);
/* Whether a user is in a chat's set; the sorted members. */
bool model_member(unsigned chat, unsigned user);
size_t model_members(unsigned chat, char **user_ids);

void model_new_answered(struct model *model, unsigned chat, const struct store_new *request);
void model_send_answered(struct model *model, uint64_t attempt, const struct store_send *request);
/* `top` is what was known of the chat when the request was made. */
void model_history_answered(struct model *model, unsigned chat, uint64_t top,
                            const struct store_history_input *input,
                            const struct store_history *request);
/* After everything has been read: what was acknowledged, or claimed, must have been there. */
void model_check_whole(const struct model *model);

#endif
