/* How things in the store can fail: one enum, one table of texts. */
#ifndef STORE_STATUS_H
#define STORE_STATUS_H

#define STORE_STATUSES(X)                                                                          \
    X(NO_CHAT, -1, "no such chat in this namespace")                                               \
    X(NOT_A_MEMBER, -2, "the acting user is not in the chat")                                      \
    X(CLIENT_ID_REUSED, -3, "the client id was used for another message")                          \
    X(OVERLOADED, -4, "too many requests are in flight")                                           \
    X(FULL, -5, "the disk is full")                                                                \
    X(CORRUPT, -6, "stored data is damaged")                                                       \
    X(NO_MEMORY, -7, "out of memory")                                                              \
    X(CLOSING, -8, "the store is closing")                                                         \
    X(LOCKED, -9, "another process holds the data directory")                                      \
    X(IO, -10, "input or output failed")                                                           \
    X(FORMAT, -11, "the data directory has another format")                                        \
    X(NOT_FOUND, -12, "not found")

enum store_status {
    STORE_OK = 0,
#define X(name, value, text) STORE_##name = value,
    STORE_STATUSES(X)
#undef X
};

/* The process ends with this when the disk fails under it: EX_SOFTWARE of sysexits(3). */
#define STORE_EXIT_STATUS 70

/* The text of a status; borrowed for ever. */
const char *store_status_text(int status);

/* Why opening failed, in words for a log line: what, where, and what would help. */
struct store_failure {
    int status;
    char detail[512];
};

/* Fills `failure` and returns `status`, so that a check can end with `return store_fail(…)`. */
int store_fail(struct store_failure *failure, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
