/* `chat new`: the chat of these users. The same users are the same chat, so it may be repeated. */
#include "chat.pb-c.h"
#include "clients/command.h"

static enum command_state prepare_new(int argc, char **argv, const struct command_streams *streams,
                                      struct command_request *request)
{
    struct option_list user_ids = {0};
    const struct option table[] = {
        {"user_ids", "CHAT_USER_IDS", OPTION_LIST, &user_ids, 0, 0, "ID,…",
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
    enum command_state state = command_parse(&command_new, &own, argc, argv, streams, request);

    if (state == COMMAND_READY && !command_has(&own, "user_ids", user_ids.count > 0, streams->err))
        state = COMMAND_USAGE;
    if (state == COMMAND_READY) {
        Chat__NewRequest message = CHAT__NEW_REQUEST__INIT;
        message.n_user_ids = user_ids.count;
        message.user_ids = user_ids.values;
        state = command_pack(&message.base, streams->err, request);
    }
    option_list_free(&user_ids);
    return state;
}

const struct command command_new = {
    .name = "new",
    .method = "New",
    .summary = "Make the chat of some users, or find it",
    .response = &chat__new_response__descriptor,
    .prepare = prepare_new,
};
