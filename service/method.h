/*
 * The methods: chat.New, chat.Send and chat.History, one file each. A method decodes a request,
 * checks what the store need not, and gives it to the store; and turns the store's result into a
 * reply. Loop thread only.
 */
#ifndef SERVICE_METHOD_H
#define SERVICE_METHOD_H

#include "proto/error.h"
#include "service/method_index.h"
#include "service/request.h"
#include <stddef.h>
#include <stdint.h>

struct method_input {
    const uint8_t *bytes; /* NULL when there are none */
    size_t size;
    const char *acting_user; /* checked; NULL: a trusted service */
};

struct method {
    const char *name;
    enum method_index index;
    /*
     * Returns 0 when the store has the request; it will be ended, and may have been already: do
     * not touch it. Or -1 and `error`, and nothing has happened. May use the request arena, which
     * is reset afterwards.
     */
    int (*submit)(struct request *request, const struct method_input *input,
                  struct chat_error *error);
};

extern const struct method method_new;
extern const struct method method_send;
extern const struct method method_history;

const struct method *method_at(enum method_index index);
/* NULL when there is none of that name. */
const struct method *method_find(const char *name);

/* Fills `error` with what a status of the store other than STORE_OK means to the caller of
 * `request`, and returns -1. Logs what is a fault of ours. */
int method_store_error(const struct request *request, int status, struct chat_error *error);

/* A reply could not be encoded. */
void method_refuse_encoding(struct request *request);

#endif
