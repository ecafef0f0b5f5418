/* The hub's life as a part of the gateway. */
#include "clients/gateway/hub_part.h"

#include "base/log.h"
#include "clients/gateway/hub.h"

static int start(struct gateway *gateway)
{
    const struct hub_options options = {.start_timeout_ms = gateway->settings->timeout_ms};
    int status = hub_create(&gateway->hub, gateway->loop, gateway->client, &options);

    if (status == CHAT_OK)
        return 0;
    LOG_ERROR("hub.not_started", log_text("detail", chat_strerror(status)));
    return -1;
}

static void stop(struct gateway *gateway)
{
    hub_close(gateway->hub, NULL, NULL);
    gateway->hub = NULL;
}

const struct gateway_part hub_part = {.name = "hub", .start = start, .stop = stop};
