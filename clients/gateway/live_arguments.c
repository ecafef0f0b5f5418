#include "clients/gateway/live_arguments.h"

#include "clients/gateway/gateway.h"
#include "proto/check.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    struct live_arguments *arguments;
    bool speaks;
    const char *from_seq;
    const char *unknown;
};

static void see(void *data, const char *name, const char *value)
{
    struct reader *reader = data;

    if (strcmp(name, "access_token") == 0 || strcmp(name, "namespace") == 0)
        return;
    if (strcmp(name, "chat_id") == 0)
        reader->arguments->chat_id = value;
    else if (strcmp(name, "from_seq") == 0)
        reader->from_seq = value;
    else if (reader->speaks && strcmp(name, "user_id") == 0)
        reader->arguments->user_id = value;
    else
        reader->unknown = name;
}

int live_arguments_number(const char *text, uint64_t *number)
{
    char *end;

    if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
        return -1;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 ? 0 : -1;
}

static int refuse(struct exchange *exchange, const char *method, int code, const char *reason,
                  const char *detail)
{
    char id[64];

    snprintf(id, sizeof id, "chat.%s.%s", method, reason);
    exchange_fail(exchange, code, id, "%s", detail);
    return -1;
}

static int check_user(struct exchange *exchange, const char *method,
                      struct live_arguments *arguments)
{
    const char *acting_user = exchange_identity(exchange)->user;
    struct check_text text = {.what = "user_id"};
    struct chat_error error;

    if (arguments->user_id == NULL || arguments->user_id[0] == '\0') {
        if (acting_user[0] == '\0')
            return refuse(exchange, method, 400, "MissingUserID",
                          "user_id is missing: it names the user who sends");
        arguments->user_id = acting_user;
        return 0;
    }
    if (acting_user[0] != '\0' && strcmp(acting_user, arguments->user_id) != 0)
        return refuse(exchange, method, 403, "WrongUser",
                      "user_id is not the user whom the credentials are for");
    text.data = arguments->user_id;
    text.size = strlen(text.data);
    if (check_id(&text, CHAT_INVALID_USER_ID, &error) != 0)
        return refuse(exchange, method, 400, "InvalidUserID", error.detail);
    return 0;
}

int live_arguments_read(struct exchange *exchange, const char *method,
                        struct live_arguments *arguments)
{
    struct reader reader = {.arguments = arguments, .speaks = strcmp(method, "Connect") == 0};
    char detail[256];

    *arguments = (struct live_arguments){0};
    exchange_each_argument(exchange, see, &reader);
    if (reader.unknown != NULL) {
        snprintf(detail, sizeof detail,
                 "there is no argument %s; there are chat_id, %sfrom_seq, "
                 "namespace",
                 reader.unknown, reader.speaks ? "user_id, " : "");
        return refuse(exchange, method, 400, "Malformed", detail);
    }
    if (arguments->chat_id == NULL || arguments->chat_id[0] == '\0')
        return refuse(exchange, method, 400, "MissingChatID",
                      "chat_id is missing: it names the chat to watch, as New returned it");
    if (reader.from_seq != NULL &&
        live_arguments_number(reader.from_seq, &arguments->from_seq) != 0)
        return refuse(exchange, method, 400, "Malformed",
                      "from_seq must be a number: the first seq to be shown, 1 for the beginning, "
                      "0 or nothing for what comes next");
    return reader.speaks ? check_user(exchange, method, arguments) : 0;
}
