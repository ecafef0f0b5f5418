/*
 * Which gateway is measured and how: the command lines of "chat-bench gateway" and "chat-bench
 * fanout", and the heads of the requests that both make. Single-threaded.
 */
#ifndef CLIENTS_BENCH_GATEWAY_TARGET_H
#define CLIENTS_BENCH_GATEWAY_TARGET_H

#include "base/options.h"
#include "clients/bench/bench_settings.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <uv.h>

struct gateway_target {
    const char *url; /* http://host:port */
    const char *bearer_token;
    const char *namespace_name;
    uint64_t connections;
    uint64_t chats;
    uint64_t text_bytes;
    uint64_t watchers;
    uint64_t rate; /* messages per second */
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t seed;
    bool json;

    /* From the URL. */
    char host[256]; /* with its port, for the head */
    struct sockaddr_storage address;
};

/*
 * Parse argv[1..]; argv[0] is the command. What is wrong is said on `err`, an address that does not
 * resolve included.
 */
enum options_result gateway_load_parse(struct gateway_target *target, int argc, char **argv,
                                       FILE *out, FILE *err);
enum options_result fanout_parse(struct gateway_target *target, int argc, char **argv, FILE *out,
                                 FILE *err);

/*
 * Writes "POST <path> HTTP/1.1" with all its fields and the body, and returns the size; 0 when it
 * does not fit.
 */
size_t gateway_put_post(const struct gateway_target *target, const char *path, const char *body,
                        size_t body_size, char *bytes, size_t capacity);
/* The handshake of a WebSocket that follows a chat from now on. */
size_t gateway_put_connect(const struct gateway_target *target, const char *chat_id,
                           const char *user_id, char *bytes, size_t capacity);

/* The 36 characters of "chat_id" in an answer to New; NULL when there are none. */
const char *gateway_find_chat_id(const char *body, size_t size);

#endif
