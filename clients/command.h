/*
 * What the commands of `chat` have in common. A command turns its words into a request; making it
 * and showing what comes back is the same for most of them. One thread.
 */
#ifndef CLIENTS_COMMAND_H
#define CLIENTS_COMMAND_H

#include "base/options.h"
#include "clients/broker_access.h"
#include "clients/libchat/chat.h"
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

/* Exit statuses. */
#define COMMAND_EXIT_FAILED 1
#define COMMAND_EXIT_USAGE 2

/* Of an id, with the NUL; longer ones are the service's to refuse. */
#define COMMAND_CLIENT_ID_BYTES 512

enum command_state {
    COMMAND_READY,  /* there is a request to be made */
    COMMAND_DONE,   /* help or the version was asked for, and has been printed */
    COMMAND_USAGE,  /* the words are wrong; a line on `err` says how */
    COMMAND_FAILED, /* something else is; a line on `err` says what */
};

struct command_streams {
    FILE *in;
    FILE *out;
    FILE *err;
};

/* Where the chats are and how long to try. Texts are borrowed from argv or the environment. */
struct command_settings {
    struct broker_access broker;
    const char *namespace_name;
    const char *traceparent;
    uint64_t timeout_ms; /* of the request */
};

/* What `chat connect` is asked for. */
struct command_connect {
    const char *chat_id;
    const char *user_id;
    uint64_t from_seq;
};

/* What `chat ping`, `chat info` and `chat stats` are asked for. */
struct command_discover {
    enum chat_discover_kind kind;
    const char *instance_id;
    uint64_t instances; /* 0: whoever answers in time */
    bool json;
};

/* Zero-initialised before, and given to command_request_free after, whatever the state. */
struct command_request {
    struct command_settings settings;
    /* Of the command at hand; its context is filled in by command_context. */
    union {
        struct chat_new_options new_chat;
        struct chat_send_options send;
        struct chat_history_options history;
        struct command_connect connect;
        struct command_discover discover;
    } options;
    struct option_list user_ids; /* owned; what options.new_chat borrows */
    char *text;                  /* owned; what options.send borrows, when it came from a file */
    /* Of Send: makes it safe to repeat. Empty for others. Cut if it is too long to be one. */
    char client_id[COMMAND_CLIENT_ID_BYTES];
};

struct command {
    const char *name;    /* "send" */
    const char *method;  /* "Send" */
    const char *summary; /* a line for the list of commands */
    const ProtobufCMessageDescriptor *response;
    /* Makes the request; argv[0] is the command's name. Options of TEXT borrow from argv. */
    enum command_state (*prepare)(int argc, char **argv, const struct command_streams *streams,
                                  struct command_request *request);
    /* Makes its call; NULL for a command with a `run` of its own. */
    int (*call)(struct chat_client *client, struct chat_call *call,
                const struct command_request *request, chat_call_cb cb);
    /* Carries out the request and returns the exit status; NULL: a call whose reply is shown. */
    int (*run)(const struct command_request *request, const struct command_streams *streams);
};

extern const struct command command_new;
extern const struct command command_send;
extern const struct command command_history;
extern const struct command command_connect;
extern const struct command command_ping;
extern const struct command command_info;
extern const struct command command_stats;

/*
 * For commands: parses the words with the command's own options and the common ones (broker,
 * namespace, deadline), checks those, and fills the request's settings. A deadline that is in the
 * settings already is the default.
 */
enum command_state command_parse(const struct options *own, int argc, char **argv,
                                 const struct command_streams *streams,
                                 struct command_request *request);

/* Whether a required option was given; says on `err` how to give it if not. */
bool command_has(const struct options *own, const char *name, bool is_given, FILE *err);

/* The library's options and context from the settings, which they borrow. */
struct chat_options command_chat_options(const struct command_settings *settings);
struct chat_context command_context(const struct command_settings *settings);

void command_request_free(struct command_request *request);

#endif
