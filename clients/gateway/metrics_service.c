/*
 * Samples of a family must stand together, so that answers are kept until all are there, and then
 * asked for one figure after the other. A figure that an instance does not give is left out: chatd
 * of another version may have more of them, or fewer.
 */
#include "clients/gateway/metrics_service.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PREFIX "chatd_"

/* Of each endpoint, that is of each method. */
static const struct {
    const char *key;
    const char *name;
    const char *help;
    double scale;
} of_endpoints[] = {
    {"num_requests", PREFIX "requests_total", "Requests taken, by method.", 1},
    {"num_errors", PREFIX "errors_total", "Requests answered with an error, by method.", 1},
    {"processing_time", PREFIX "processing_seconds_total",
     "Time from a request's arrival to its answer, added up, in seconds.", 1e-9},
};

/* Of the store, which the endpoint Send has as its data. */
static const struct {
    const char *key;
    const char *name;
    const char *type;
    const char *help;
    double scale;
} of_store[] = {
    {"requests_in_flight", PREFIX "requests_in_flight", "gauge", "Requests that are under way.", 1},
    {"batches", PREFIX "journal_batches_total", "counter",
     "Batches of commands made durable together.", 1},
    {"commands", PREFIX "journal_commands_total", "counter", "Commands made durable.", 1},
    {"sync_us_total", PREFIX "journal_sync_seconds_total", "counter",
     "Time spent on syncing the journal to disk, in seconds.", 1e-6},
    {"journal_bytes", PREFIX "journal_bytes", "gauge", "Size of the journal's segments, in bytes.",
     1},
    {"tail_bytes", PREFIX "tail_bytes", "gauge",
     "Memory for messages that are not in the database yet, in bytes.", 1},
    {"tail_messages", PREFIX "tail_messages", "gauge", "Messages that are not in the database yet.",
     1},
    {"settles", PREFIX "settles_total", "counter",
     "Transactions that took messages to the database.", 1},
    {"settled_lsn", PREFIX "settled_lsn", "gauge", "Last command that is in the database.", 1},
    {"last_lsn", PREFIX "last_lsn", "gauge", "Last command that is durable.", 1},
    {"refused_overloaded", PREFIX "refused_overloaded_total", "counter",
     "Requests refused because too many were under way.", 1},
    {"refused_full", PREFIX "refused_full_total", "counter",
     "Requests refused because the disk was full.", 1},
    {"sync_us_max", PREFIX "journal_sync_max_seconds", "gauge",
     "The longest sync of the journal since the start, in seconds.", 1e-6},
    {"settle_lag_commands", PREFIX "settle_lag_commands", "gauge",
     "Durable commands that are not in the database yet.", 1},
    {"chats_cached", PREFIX "cached_chats", "gauge", "Chats that are known in memory.", 1},
    {"client_lookups", PREFIX "client_lookups_total", "counter",
     "Sends for which the database was asked about their client id.", 1},
    {"events", PREFIX "events_total", "counter", "Events published.", 1},
    {"lost_events", PREFIX "lost_events_total", "counter",
     "Events that could not be published; followers find them in history.", 1},
    {"lost_replies", PREFIX "lost_replies_total", "counter", "Replies that could not be published.",
     1},
    {"refused_replies", PREFIX "refused_replies_total", "counter",
     "Requests with a reply subject that is not answered.", 1},
    {"reply_buffer_bytes", PREFIX "reply_buffer_bytes", "gauge",
     "Replies and events that wait to be written to the broker, in bytes.", 1},
    {"connections", PREFIX "connections", "gauge",
     "Connections to the broker: 2 when all is well, one of them for History.", 1},
    {"connections_lost", PREFIX "connections_lost_total", "counter",
     "Lost connections to the broker.", 1},
    {"recovered_records", PREFIX "recovered_records", "gauge",
     "Records of the journal that the last start replayed.", 1},
    {"recovered_torn_bytes", PREFIX "recovered_torn_bytes", "gauge",
     "Bytes of an unfinished batch that the last start cut off.", 1},
    {"recovery_us", PREFIX "recovery_seconds", "gauge",
     "How long the last start took to recover, in seconds.", 1e-6},
    {"full", PREFIX "disk_full", "gauge", "1 while writes are refused for want of disk space.", 1},
};

#define COUNT(table) (sizeof(table) / sizeof *(table))

/* ---- Answers ---- */

static const char *text_of(const json_t *answer, const char *key)
{
    const char *text = json_string_value(json_object_get(answer, key));

    return text == NULL ? "" : text;
}

bool metrics_service_add(struct metrics_service *service, const char *json, size_t size)
{
    json_t *answer = json_loadb(json, size, 0, NULL);

    if (service->count < METRICS_SERVICE_INSTANCES_MAX && text_of(answer, "id")[0] != '\0' &&
        json_is_array(json_object_get(answer, "endpoints"))) {
        bool known = false;
        for (size_t i = 0; i < service->count; i++)
            known = known || strcmp(text_of(service->answers[i], "id"), text_of(answer, "id")) == 0;
        if (!known) {
            service->answers[service->count++] = answer;
            return true;
        }
    }
    json_decref(answer);
    return false;
}

void metrics_service_clear(struct metrics_service *service)
{
    for (size_t i = 0; i < service->count; i++)
        json_decref(service->answers[i]);
    service->count = 0;
}

/* ---- Writing ---- */

/* True and false are 1 and 0; false is returned for what is no figure. */
static bool number_of(const json_t *object, const char *key, double *number)
{
    const json_t *value = json_object_get(object, key);

    *number = json_is_true(value) ? 1 : json_number_value(value);
    return json_is_number(value) || json_is_boolean(value);
}

static void write_of_endpoints(const struct metrics_service *service, size_t figure,
                               struct metrics_text *text)
{
    const char *name = of_endpoints[figure].name;

    metrics_text_family(text, name, "counter", of_endpoints[figure].help);
    for (size_t i = 0; i < service->count; i++) {
        const json_t *endpoints = json_object_get(service->answers[i], "endpoints");
        for (size_t j = 0; j < json_array_size(endpoints); j++) {
            const json_t *endpoint = json_array_get(endpoints, j);
            const struct metrics_label labels[] = {{"id", text_of(service->answers[i], "id")},
                                                   {"method", text_of(endpoint, "name")}};
            double value;
            if (number_of(endpoint, of_endpoints[figure].key, &value))
                metrics_text_sample(text, name, "", labels, 2, value * of_endpoints[figure].scale);
        }
    }
}

static json_t *store_figures(const json_t *answer)
{
    const json_t *endpoints = json_object_get(answer, "endpoints");

    for (size_t i = 0; i < json_array_size(endpoints); i++) {
        json_t *data = json_object_get(json_array_get(endpoints, i), "data");
        if (json_is_object(data))
            return data;
    }
    return NULL;
}

static void write_of_store(const struct metrics_service *service, size_t figure,
                           struct metrics_text *text)
{
    const char *name = of_store[figure].name;

    metrics_text_family(text, name, of_store[figure].type, of_store[figure].help);
    for (size_t i = 0; i < service->count; i++) {
        const struct metrics_label label = {"id", text_of(service->answers[i], "id")};
        double value;
        if (number_of(store_figures(service->answers[i]), of_store[figure].key, &value))
            metrics_text_sample(text, name, "", &label, 1, value * of_store[figure].scale);
    }
}

/* Under "4" are the batches of 3 and 4 commands; buckets are what is up to their bound. */
static void write_batches_of(const json_t *answer, struct metrics_text *text)
{
    static const char name[] = PREFIX "journal_batch_commands";
    struct metrics_label labels[] = {{"id", text_of(answer, "id")}, {"le", ""}};
    json_t *figures = store_figures(answer), *count;
    json_t *sizes = json_object_get(figures, "batch_sizes");
    double sum = 0, commands;
    const char *bound;

    if (!json_is_object(sizes) || !number_of(figures, "commands", &commands))
        return;
    json_object_foreach(sizes, bound, count)
    {
        sum += json_number_value(count);
        labels[1].value = bound;
        metrics_text_sample(text, name, "_bucket", labels, 2, sum);
    }
    labels[1].value = "+Inf";
    metrics_text_sample(text, name, "_bucket", labels, 2, sum);
    metrics_text_sample(text, name, "_sum", labels, 1, commands);
    metrics_text_sample(text, name, "_count", labels, 1, sum);
}

static void write_batches(const struct metrics_service *service, struct metrics_text *text)
{
    metrics_text_family(text, PREFIX "journal_batch_commands", "histogram",
                        "Commands that were made durable with one sync.");
    for (size_t i = 0; i < service->count; i++)
        write_batches_of(service->answers[i], text);
}

static void write_refusals(const struct metrics_service *service, struct metrics_text *text)
{
    static const char name[] = PREFIX "refused_total";
    json_t *count;
    const char *reason;

    metrics_text_family(text, name, "counter", "Requests refused, by reason.");
    for (size_t i = 0; i < service->count; i++) {
        const json_t *answer = service->answers[i];
        json_object_foreach(json_object_get(store_figures(answer), "refused"), reason, count)
        {
            const struct metrics_label labels[] = {{"id", text_of(answer, "id")},
                                                   {"reason", reason}};
            if (json_is_number(count))
                metrics_text_sample(text, name, "", labels, 2, json_number_value(count));
        }
    }
}

static void write_identities(const struct metrics_service *service, struct metrics_text *text)
{
    metrics_text_family(text, PREFIX "up", "gauge", "1 for each chatd that answers.");
    for (size_t i = 0; i < service->count; i++) {
        const struct metrics_label label = {"id", text_of(service->answers[i], "id")};
        metrics_text_sample(text, PREFIX "up", "", &label, 1, 1);
    }
    metrics_text_family(text, PREFIX "info", "gauge",
                        "Always 1; version and store are its labels.");
    for (size_t i = 0; i < service->count; i++) {
        const json_t *answer = service->answers[i];
        const struct metrics_label labels[] = {
            {"id", text_of(answer, "id")},
            {"version", text_of(answer, "version")},
            {"store_id", text_of(json_object_get(answer, "metadata"), "store_id")}};
        metrics_text_sample(text, PREFIX "info", "", labels, 3, 1);
    }
}

static void write_starts(const struct metrics_service *service, struct metrics_text *text)
{
    static const char name[] = PREFIX "start_time_seconds";

    metrics_text_family(text, name, "gauge", "When it was started, in seconds since 1970, UTC.");
    for (size_t i = 0; i < service->count; i++) {
        const struct metrics_label label = {"id", text_of(service->answers[i], "id")};
        struct tm utc = {0};
        if (strptime(text_of(service->answers[i], "started"), "%Y-%m-%dT%H:%M:%S", &utc) != NULL)
            metrics_text_sample(text, name, "", &label, 1, (double)timegm(&utc));
    }
}

void metrics_service_write(const struct metrics_service *service, struct metrics_text *text)
{
    write_identities(service, text);
    write_starts(service, text);
    for (size_t i = 0; i < COUNT(of_endpoints); i++)
        write_of_endpoints(service, i, text);
    for (size_t i = 0; i < COUNT(of_store); i++)
        write_of_store(service, i, text);
    write_batches(service, text);
    write_refusals(service, text);
}
