/* `chat history`: one page of a chat's messages. */
#include "chat.pb-c.h"
#include "clients/command.h"

static enum command_state prepare_history(int argc, char **argv,
                                          const struct command_streams *streams,
                                          struct command_request *request)
{
    struct chat_history_options *history = &request->options.history;
    uint64_t limit = 0;
    const struct option table[] = {
        {"chat_id", "CHAT_CHAT_ID", OPTION_TEXT, &history->chat_id, 0, 0, "ID",
         "The chat, as chat new shows it. Required.", false},
        {"from_seq", "CHAT_FROM_SEQ", OPTION_U64, &history->from_seq, 0, 0, "N",
         "Messages from this seq on; 1 is the beginning, 0 is unset.", false},
        {"before_seq", "CHAT_BEFORE_SEQ", OPTION_U64, &history->before_seq, 0, 0, "N",
         "Messages before this seq; 0 is unset.", false},
        {"limit", "CHAT_LIMIT", OPTION_U64, &limit, 0, UINT32_MAX, "N",
         "At most so many messages; 0 means 50, more than 1000 means 1000.", false},
    };
    const struct options own = {
        .program = "chat history",
        .usage = "chat history --chat_id=ID [--from_seq=N] [--before_seq=N] [--limit=N] [options]",
        .summary =
            "Shows messages in the order of their seq: the newest ones, or with --from_seq the "
            "first ones from there, or with --before_seq the last ones before it, or with both the "
            "first ones of that range. \"more\" tells whether there are further ones beyond the "
            "page, \"head_seq\" is the chat's last seq. Who has read up to seq N goes on with "
            "--from_seq=N+1.",
        .examples = "  chat history --chat_id=$CHAT\n"
                    "  chat history --chat_id=$CHAT --from_seq=1 --limit=1000\n"
                    "  chat history --chat_id=$CHAT | jq -r '.messages[].text'",
        .table = table,
        .count = sizeof table / sizeof *table,
    };
    enum command_state state = command_parse(&own, argc, argv, streams, request);

    if (state == COMMAND_READY &&
        !command_has(&own, "chat_id", history->chat_id != NULL, streams->err))
        state = COMMAND_USAGE;
    history->context = command_context(&request->settings);
    history->limit = (uint32_t)limit;
    return state;
}

static int call_history(struct chat_client *client, struct chat_call *call,
                        const struct command_request *request, chat_call_cb cb)
{
    return chat_history(client, call, &request->options.history, cb);
}

const struct command command_history = {
    .name = "history",
    .method = "History",
    .summary = "Show messages of a chat",
    .response = &chat__history_response__descriptor,
    .prepare = prepare_history,
    .call = call_history,
};
