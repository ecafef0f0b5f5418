/*
 * What the commands of `chat` have in common. A command turns its words into a request; sending
 * it and showing the reply is the same for all of them. One thread.
 */
#ifndef CLIENTS_COMMAND_H
#define CLIENTS_COMMAND_H

#include "base/options.h"
#include "clients/call.h"
#include <protobuf-c/protobuf-c.h>
#include <stdio.h>

/* Exit statuses. */
#define COMMAND_EXIT_FAILED 1
#define COMMAND_EXIT_USAGE 2

/* Of an id, with the NUL; longer ones are the service's to refuse. */
#define COMMAND_CLIENT_ID_BYTES 512

enum command_state {
    COMMAND_READY,  /* there is a request to be sent */
    COMMAND_DONE,   /* help or the version was asked for, and has been printed */
    COMMAND_USAGE,  /* the words are wrong; a line on `err` says how */
    COMMAND_FAILED, /* something else is; a line on `err` says what */
};

struct command_streams {
    FILE *in;
    FILE *out;
    FILE *err;
};

/* Zero-initialised before, and given to command_request_free after, whatever the state. */
struct command_request {
    struct call_settings settings;
    char subject[CALL_SUBJECT_BYTES];
    uint8_t *bytes; /* owned */
    size_t size;
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
};

extern const struct command command_new;
extern const struct command command_send;
extern const struct command command_history;

/*
 * For commands: parses the words with the command's own options and the common ones (broker,
 * namespace, deadline), checks those, and fills the request's settings and subject.
 */
enum command_state command_parse(const struct command *command, const struct options *own, int argc,
                                 char **argv, const struct command_streams *streams,
                                 struct command_request *request);

/* Whether a required option was given; says on `err` how to give it if not. */
bool command_has(const struct options *own, const char *name, bool is_given, FILE *err);

/* Puts the wire form of `message` into the request. */
enum command_state command_pack(const ProtobufCMessage *message, FILE *err,
                                struct command_request *request);

void command_request_free(struct command_request *request);

#endif
