/* Rare and small requests: put together as JSON trees, and answered at once. */
#include "service/monitor.h"

#include "base/version.h"
#include "service/method.h"
#include "service/service.h"
#include "service/subject.h"
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
    time_t now = time(NULL);
    struct tm utc;
    size_t n = 0;

    *monitor = (struct monitor){.service = service};
    uuid_make(&id);
    uuid_format(&id, monitor->id);
    gmtime_r(&now, &utc);
    strftime(monitor->started, sizeof monitor->started, "%Y-%m-%dT%H:%M:%SZ", &utc);
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
static json_t *endpoint(const struct method *method)
{
    char subject[64];
    char in_namespace[64];

    snprintf(subject, sizeof subject, "chat.%s", method->name);
    snprintf(in_namespace, sizeof in_namespace, "chat.%s.*", method->name);
    return json_pack("{s:s,s:s,s:s,s:{s:s}}", "name", method->name, "subject", subject,
                     "queue_group", SERVICE_QUEUE_GROUP, "metadata", "namespace_subject",
                     in_namespace);
}

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *store_figures(const struct service *service)
{
    struct store_statistics s;

    store_read_statistics(service->store, &s);
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b}", "requests_in_flight",
                     number(s.requests_in_flight), "batches", number(s.batches), "commands",
                     number(s.commands), "sync_us_total", number(s.sync_us_total), "tail_bytes",
                     number(s.tail_bytes), "tail_messages", number(s.tail_messages),
                     "journal_bytes", number(s.journal_bytes), "settles", number(s.settles),
                     "settled_lsn", number(s.settled_lsn), "last_lsn", number(s.last_lsn),
                     "refused_overloaded", number(s.refused_overloaded), "refused_full",
                     number(s.refused_full), "full", (int)s.full);
}

static json_t *endpoint_with_counts(const struct service *service, enum method_index index)
{
    const struct method_counts *counts = &service->method_counts[index];
    json_t *object = endpoint(method_at(index));
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
                                                 : endpoint(method_at(index)));
    }
    return array;
}

/* ---- Answers ---- */

static json_t *identity(const struct monitor *monitor, const char *type)
{
    char store_id[UUID_TEXT_BYTES + 1] = {0};

    uuid_format(&monitor->service->opened.store_id, store_id);
    return json_pack("{s:s,s:s,s:s,s:s,s:{s:s}}", "type", type, "name", MONITOR_NAME, "id",
                     monitor->id, "version", CHAT_VERSION, "metadata", "store_id", store_id);
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

void monitor_receive(void *data, natsMsg *message)
{
    const struct monitor *monitor = data;
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
        (void)broker_publish(monitor->service->broker, reply, text, strlen(text));
    free(text);
    json_decref(answer);
}
