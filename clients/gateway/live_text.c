#include "clients/gateway/live_text.h"

#include "clients/gateway/exchange.h"
#include "proto/error.h"
#include <jansson.h>
#include <stdlib.h>

/* Takes the object, which is NULL where there was no memory, or a string was no UTF-8. */
static char *dump(json_t *object)
{
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);

    if (text == NULL)
        abort();
    json_decref(object);
    return text;
}

static json_t *error_object(const struct live_error *error)
{
    struct chat_error safe;
    json_t *object;

    (void)chat_error_set(&safe, CHAT_INTERNAL, "%s", error->detail);
    object = json_pack("{s:s,s:i,s:s,s:s}", "id", error->id, "code", error->code, "detail",
                       safe.detail, "status", exchange_status_text(error->code));
    if (object != NULL && error->client_id != NULL && error->client_id[0] != '\0')
        json_object_set_new(object, "client_id", json_string(error->client_id));
    return object;
}

char *live_text_error(const struct live_error *error)
{
    return dump(error_object(error));
}

char *live_text_error_frame(const struct live_error *error)
{
    return dump(json_pack("{s:o}", "error", error_object(error)));
}

char *live_text_ack(const char *client_id, uint64_t seq, bool duplicate)
{
    return dump(json_pack("{s:{s:s,s:I,s:b}}", "ack", "client_id", client_id, "seq",
                          (json_int_t)seq, "duplicate", (int)duplicate));
}
