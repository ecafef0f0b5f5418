/* Rare and small requests: put together as JSON trees, and answered at once. */
#include "service/monitor.h"

#include "base/version.h"
#include "service/method.h"
#include "service/service.h"
#include "service/subject.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PREFIX "$SRV."
#define TYPE(what) "io.nats.micro.v1." what "_response"

static const char *const verbs[] = {"PING", "INFO", "STATS"};

void monitor_init(struct monitor *monitor, struct service *service)
{
    struct uuid id;
    char seconds[24];
    struct timespec now;
    struct tm utc;
    size_t n = 0;

    *monitor = (struct monitor){.service = service};
    uuid_make(&id);
    uuid_format(&id, monitor->id);
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(monitor->started, sizeof monitor->started, "%s.%09ldZ", seconds, now.tv_nsec);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        snprintf(monitor->subjects[n++], MONITOR_SUBJECT_BYTES, PREFIX "%s", verbs[i]);
        snprintf(monitor->subjects[n++], MONITOR_SUBJECT_BYTES, PREFIX "%s." MONITOR_NAME,
                 verbs[i]);
        snprintf(monitor->subjects[n++], MONITOR_SUBJECT_BYTES, PREFIX "%s." MONITOR_NAME ".%s",
                 verbs[i], monitor->id);
    }
}

/* ---- Endpoints ---- */

/* json_pack gives NULL when out of memory; json_array_append_new and the like pass that on. */
static json_t *endpoint(const struct method *method, bool with_metadata)
{
    json_t *object;
    char subject[64];
    char in_namespace[64];

    snprintf(subject, sizeof subject, "chat.%s", method->name);
    snprintf(in_namespace, sizeof in_namespace, "chat.%s.*", method->name);
    object = json_pack("{s:s,s:s,s:s}", "name", method->name, "subject", subject, "queue_group",
                       LANES_QUEUE_GROUP);
    if (with_metadata)
        json_object_set_new(object, "metadata",
                            json_pack("{s:s}", "namespace_subject", in_namespace));
    return object;
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Batches by size: under "4" are those of 3 and 4 commands. */
static json_t *batch_sizes(const struct store_statistics *statistics)
{
    json_t *object = json_object();
    char name[16];

    for (unsigned i = 0; i < STORE_BATCH_CLASSES; i++) {
        snprintf(name, sizeof name, "%lu", 1ul << i);
        json_object_set_new(object, name, number(statistics->batch_sizes[i]));
    }
    return object;
}

static json_t *refused(const struct service *service)
{
    json_t *object = json_object();

    for (int i = CHAT_REASON_NONE + 1; i < CHAT_REASON_COUNT; i++)
        json_object_set_new(object, chat_error_reason((enum chat_reason)i),
                            number(service->refused[i]));
    return object;
}

static void add_service_figures(const struct service *service, json_t *object)
{
    const struct service_counts *counts = &service->counts;

    json_object_set_new(object, "refused", refused(service));
    json_object_set_new(object, "events", number(counts->events));
    json_object_set_new(object, "lost_events", number(counts->lost_events));
    json_object_set_new(object, "lost_replies", number(counts->lost_replies));
    json_object_set_new(object, "refused_replies", number(counts->refused_replies));
    json_object_set_new(object, "reply_buffer_bytes",
                        number(lanes_buffered_bytes(&service->lanes)));
    json_object_set_new(object, "connections", number(lanes_connected(&service->lanes)));
    json_object_set_new(object, "connections_lost",
                        number(lanes_connections_lost(&service->lanes)));
    json_object_set_new(object, "recovered_records", number(service->opened.records));
    json_object_set_new(object, "recovered_torn_bytes", number(service->opened.torn_bytes));
    json_object_set_new(object, "recovery_us", number(service->opened.took_us));
}

static json_t *store_figures(const struct service *service)
{
    struct store_statistics s;
    json_t *object;

    store_read_statistics(service->store, &s);
    object = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b}",
                       "requests_in_flight", number(s.requests_in_flight), "batches",
                       number(s.batches), "commands", number(s.commands), "sync_us_total",
                       number(s.sync_us_total), "tail_bytes", number(s.tail_bytes), "tail_messages",
                       number(s.tail_messages), "journal_bytes", number(s.journal_bytes), "settles",
                       number(s.settles), "settled_lsn", number(s.settled_lsn), "last_lsn",
                       number(s.last_lsn), "refused_overloaded", number(s.refused_overloaded),
                       "refused_full", number(s.refused_full), "full", (int)s.full);
    json_object_set_new(object, "batch_sizes", batch_sizes(&s));
    json_object_set_new(object, "sync_us_max", number(s.sync_us_max));
    json_object_set_new(object, "settle_lag_commands",
                        number(s.last_lsn > s.settled_lsn ? s.last_lsn - s.settled_lsn : 0));
    json_object_set_new(object, "chats_cached", number(s.chats_cached));
    json_object_set_new(object, "client_lookups", number(s.client_lookups));
    add_service_figures(service, object);
    return object;
}

static json_t *endpoint_with_counts(const struct service *service, enum method_index index)
{
    const struct method_counts *counts = &service->method_counts[index];
    json_t *object = endpoint(method_at(index), false);
    uint64_t average = counts->requests == 0 ? 0 : counts->processing_ns / counts->requests;

    json_object_set_new(object, "num_requests", number(counts->requests));
    json_object_set_new(object, "num_errors", number(counts->errors));
    json_object_set_new(object, "last_error", json_string(counts->last_error));
    json_object_set_new(object, "processing_time", number(counts->processing_ns));
    json_object_set_new(object, "average_processing_time", number(average));
    if (index == METHOD_SEND)
        json_object_set_new(object, "data", store_figures(service));
    return object;
}

static json_t *endpoints(const struct service *service, bool with_counts)
{
    json_t *array = json_array();

    for (int i = 0; i < METHOD_COUNT; i++) {
        enum method_index index = (enum method_index)i;
        json_array_append_new(array, with_counts ? endpoint_with_counts(service, index)
                                                 : endpoint(method_at(index), true));
    }
    return array;
}

/* ---- Answers ---- */

static void add_limit(json_t *metadata, const char *name, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, value);
    json_object_set_new(metadata, name, json_string(text));
}

/* Strings only, as the service API wants it. */
static json_t *metadata_of(const struct monitor *monitor)
{
    const struct service *service = monitor->service;
    const struct codec_limits *limits = &service->settings->limits;
    char store_id[UUID_TEXT_BYTES + 1] = {0};
    json_t *metadata;

    uuid_format(&service->opened.store_id, store_id);
    metadata = json_pack("{s:s,s:s}", "store_id", store_id, "started", monitor->started);
    add_limit(metadata, "journal_format", service->opened.journal_format);
    add_limit(metadata, "database_format", service->opened.database_format);
    add_limit(metadata, "max_request_bytes", limits->request_bytes);
    add_limit(metadata, "max_text_bytes", limits->text_bytes);
    add_limit(metadata, "max_subject_bytes", CODEC_SUBJECT_BYTES_MAX);
    add_limit(metadata, "max_id_bytes", CODEC_ID_BYTES_MAX);
    add_limit(metadata, "max_users", limits->users);
    add_limit(metadata, "max_history_messages", CODEC_HISTORY_MAX);
    add_limit(metadata, "max_requests_in_flight", service->settings->store.requests_max);
    json_object_set_new(metadata, "events", json_string(service->settings->events ? "on" : "off"));
    return metadata;
}

static json_t *identity(const struct monitor *monitor, const char *type)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:o}", "type", type, "name", MONITOR_NAME, "id", monitor->id,
                     "version", CHAT_VERSION, "metadata", metadata_of(monitor));
}

static json_t *answer_to(const struct monitor *monitor, const char *verb)
{
    json_t *answer;

    if (strncmp(verb, "PING", 4) == 0)
        return identity(monitor, TYPE("ping"));
    if (strncmp(verb, "INFO", 4) == 0) {
        answer = identity(monitor, TYPE("info"));
        json_object_set_new(answer, "description", json_string("Chats, durable and in order"));
        json_object_set_new(answer, "endpoints", endpoints(monitor->service, false));
        return answer;
    }
    answer = identity(monitor, TYPE("stats"));
    json_object_set_new(answer, "started", json_string(monitor->started));
    json_object_set_new(answer, "endpoints", endpoints(monitor->service, true));
    return answer;
}

void monitor_receive(const struct lane *lane, natsMsg *message)
{
    const struct monitor *monitor = &lane->service->monitor;
    const char *reply = natsMsg_GetReply(message);
    bool refused;
    json_t *answer;
    char *text;

    if (!subject_is_answerable(reply, &refused)) {
        monitor->service->counts.refused_replies += refused;
        return;
    }
    answer = answer_to(monitor, natsMsg_GetSubject(message) + strlen(PREFIX));
    text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT);
    /* Nobody depends on an answer that cannot be given: monitors ask again. */
    if (text != NULL)
        (void)broker_publish(lane_way_back(lane), reply, text, strlen(text));
    free(text);
    json_decref(answer);
}
