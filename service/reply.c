/*
 * A protobuf result goes out without headers, by the shortest way: it is nearly all there is. JSON
 * says so in a header, and errors are in headers too, so that tools for NATS services see them.
 *
 * A broker without headers is no reason to leave somebody waiting: then the body goes out alone. An
 * error does not when there is just no memory for its headers: without them, bytes of an Error can
 * be read as a result. What is left are connections that are closed or whose buffer is full while
 * the broker is away. All those replies are lost, counted and logged. (The sender retries, and a
 * Send is not carried out twice.)
 */
#include "service/reply.h"

#include "base/log.h"
#include <stdio.h>
#include <string.h>

#define LOST_LOG_INTERVAL_MS 1000

static void count_lost(struct service *service, natsStatus status)
{
    uint64_t withheld = 0;

    service->counts.lost_replies++;
    if (pace_allows(&service->lost_pace, uv_now(service->loop), LOST_LOG_INTERVAL_MS, &withheld))
        LOG_WARN("reply.lost", log_text("error", natsStatus_GetText(status)),
                 log_u64("withheld", withheld));
}

static natsStatus add_json_header(natsMsg *message, enum codec_format format)
{
    if (format != CODEC_JSON)
        return NATS_OK;
    return natsMsgHeader_Set(message, "Content-Type", "application/json");
}

static natsStatus publish_json(const struct reply_address *address, const uint8_t *bytes,
                               size_t size)
{
    natsMsg *message = NULL;
    natsStatus status =
        natsMsg_Create(&message, address->subject, NULL, (const char *)bytes, (int)size);

    if (status == NATS_OK)
        status = add_json_header(message, CODEC_JSON);
    if (status == NATS_OK)
        status = broker_publish_message(lane_way_back(address->lane), message);
    natsMsg_Destroy(message);
    return status;
}

int reply_send(struct service *service, const struct reply_address *address, const uint8_t *bytes,
               size_t size)
{
    natsStatus status = NATS_ERR;

    if (address->subject == NULL)
        return 0;
    if (address->format == CODEC_JSON)
        status = publish_json(address, bytes, size);
    if (status != NATS_OK && status != NATS_MAX_PAYLOAD)
        status = broker_publish(lane_way_back(address->lane), address->subject, bytes, size);
    if (status == NATS_MAX_PAYLOAD)
        return -1;
    if (status != NATS_OK)
        count_lost(service, status);
    return 0;
}

static natsStatus publish_error(const struct reply_address *address, const struct chat_error *error,
                                const uint8_t *bytes, size_t size)
{
    char code[16];
    natsMsg *message = NULL;
    natsStatus status =
        natsMsg_Create(&message, address->subject, NULL, (const char *)bytes, (int)size);

    snprintf(code, sizeof code, "%d", chat_error_code(error->reason));
    if (status == NATS_OK)
        status = natsMsgHeader_Set(message, "Nats-Service-Error", error->detail);
    if (status == NATS_OK)
        status = natsMsgHeader_Set(message, "Nats-Service-Error-Code", code);
    if (status == NATS_OK)
        status = add_json_header(message, address->format);
    if (status == NATS_OK)
        status = broker_publish_message(lane_way_back(address->lane), message);
    natsMsg_Destroy(message);
    return status;
}

void reply_error(struct service *service, const struct reply_address *address, const char *method,
                 const struct chat_error *error)
{
    const uint8_t *bytes = NULL;
    size_t size = 0;
    natsStatus status;

    service->counts.errors++;
    service->refused[error->reason]++;
    if (address->subject == NULL)
        return;
    /* Without memory for the body, the headers still say what is wrong. */
    if (chat_error_encode(error, method, address->format, &service->reply_arena, &bytes, &size) !=
        0)
        size = 0;
    status = publish_error(address, error, bytes, size);
    if (status == NATS_NO_SERVER_SUPPORT && size > 0)
        status = broker_publish(lane_way_back(address->lane), address->subject, bytes, size);
    if (status != NATS_OK)
        count_lost(service, status);
    arena_reset(&service->reply_arena);
}
