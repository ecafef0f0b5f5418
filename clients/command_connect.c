/* `chat connect`: the words; the session itself is in session.c. */
#include "clients/session.h"

/* A session is to outlive a restart of the service or the broker. */
#define LINE_TIMEOUT_MS 60000

static enum command_state prepare_connect(int argc, char **argv,
                                          const struct command_streams *streams,
                                          struct command_request *request)
{
    struct command_connect *connect = &request->options.connect;
    const struct option table[] = {
        {"chat_id", "CHAT_CHAT_ID", OPTION_TEXT, &connect->chat_id, 0, 0, "ID",
         "The chat, as chat new shows it. Required.", false},
        {"user_id", "CHAT_USER_ID", OPTION_TEXT, &connect->user_id, 0, 0, "ID",
         "Who sends what is typed. Required.", false},
        {"from_seq", "CHAT_FROM_SEQ", OPTION_U64, &connect->from_seq, 0, 0, "N",
         "Show messages from this seq on; 1 is the beginning, 0 is only what comes from now on. "
         "Who has seen up to seq N goes on with --from_seq=N+1.",
         false},
    };
    const struct options own = {
        .program = "chat connect",
        .usage = "chat connect --chat_id=ID --user_id=ID [--from_seq=N] [options]",
        .summary =
            "Shows a chat and stays with it: its history, then each message as it is committed, "
            "once and in order, whatever happens to the connection. Each line of standard input "
            "is sent as a message; empty ones are not. On a terminal messages are shown as lines "
            "for people, otherwise as JSON, one message a line. The end of input, or Ctrl-C, ends "
            "it when all lines have been acknowledged; lines that were not are named, and the exit "
            "status is then 1. A second Ctrl-C does not wait.",
        .examples = "  chat connect --chat_id=$CHAT --user_id=John\n"
                    "  make 2>&1 | chat connect --chat_id=$CHAT --user_id=build --from_seq=0",
        .table = table,
        .count = sizeof table / sizeof *table,
    };
    enum command_state state;

    connect->from_seq = 1;
    request->settings.timeout_ms = LINE_TIMEOUT_MS;
    state = command_parse(&own, argc, argv, streams, request);
    if (state == COMMAND_READY &&
        (!command_has(&own, "chat_id", connect->chat_id != NULL, streams->err) ||
         !command_has(&own, "user_id", connect->user_id != NULL, streams->err)))
        state = COMMAND_USAGE;
    return state;
}

const struct command command_connect = {
    .name = "connect",
    .summary = "Follow a chat, and send to it",
    .prepare = prepare_connect,
    .run = session_run,
};
