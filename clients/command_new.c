/* `chat new`: the chat of these users. The same users are the same chat, so it may be repeated. */
#include "chat.pb-c.h"
#include "clients/command.h"

static enum command_state prepare_new(int argc, char **argv, const struct command_streams *streams,
                                      struct command_request *request)
{
    struct option_list *user_ids = &request->user_ids;
    const struct option table[] = {
        {"user_ids", "CHAT_USER_IDS", OPTION_LIST, user_ids, 0, 0, "ID,…",
         "The users of the chat: separate them by commas, or repeat the option. Required.", false},
    };
    const struct options own = {
        .program = "chat new",
        .usage = "chat new --user_ids=ID,… [options]",
        .summary = "Makes the chat of exactly these users and shows its chat_id. The same users, "
                   "in any order, always get the same chat: \"created\" tells whether it is new.",
        .examples = "  chat new --user_ids=John,Barry\n"
                    "  chat new --user_ids=John --user_ids=Barry --namespace=acme",
        .table = table,
        .count = sizeof table / sizeof *table,
    };
    enum command_state state = command_parse(&own, argc, argv, streams, request);

    if (state == COMMAND_READY && !command_has(&own, "user_ids", user_ids->count > 0, streams->err))
        state = COMMAND_USAGE;
    request->options.new_chat =
        (struct chat_new_options){.context = command_context(&request->settings),
                                  .user_ids = (const char *const *)user_ids->values,
                                  .user_count = user_ids->count};
    return state;
}

static int call_new(struct chat_client *client, struct chat_call *call,
                    const struct command_request *request, chat_call_cb cb)
{
    return chat_new(client, call, &request->options.new_chat, cb);
}

const struct command command_new = {
    .name = "new",
    .method = "New",
    .summary = "Make the chat of some users, or find it",
    .response = &chat__new_response__descriptor,
    .prepare = prepare_new,
    .call = call_new,
};
