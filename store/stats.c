#include "store/stats.h"

#include "store/view.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct counting {
    struct stats *stats;
    struct store_failure *failure;
    size_t last; /* neighbouring chats are often of one namespace */
};

static struct stats_namespace *find_namespace(struct counting *counting, const char *name)
{
    struct stats *stats = counting->stats;
    struct stats_namespace *grown;

    if (counting->last < stats->namespace_count &&
        strcmp(stats->namespaces[counting->last].name, name) == 0)
        return &stats->namespaces[counting->last];
    for (size_t i = 0; i < stats->namespace_count; i++) {
        if (strcmp(stats->namespaces[i].name, name) == 0) {
            counting->last = i;
            return &stats->namespaces[i];
        }
    }
    grown = realloc(stats->namespaces, (stats->namespace_count + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    stats->namespaces = grown;
    grown += counting->last = stats->namespace_count++;
    *grown = (struct stats_namespace){.chats = 0};
    strcpy(grown->name, name);
    return grown;
}

static int count_chat(void *data, const struct view_chat *chat)
{
    struct counting *counting = data;
    struct stats_namespace *counts = find_namespace(counting, chat->chat.namespace_name);

    if (counts == NULL)
        return store_fail(counting->failure, STORE_NO_MEMORY, "out of memory");
    counts->chats++;
    counts->messages += chat->head_seq;
    counting->stats->chats++;
    counting->stats->messages += chat->head_seq;
    return 0;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct stats_namespace *)left)->name,
                  ((const struct stats_namespace *)right)->name);
}

static int count_all(struct view *view, struct stats *stats, struct store_failure *failure)
{
    struct counting counting = {.stats = stats, .failure = failure};
    struct database_statistics database;
    int rc = database_read_statistics(view->snapshot, &database);

    if (rc != 0)
        return store_fail(failure, rc, "the database cannot be read");
    stats->database_format = database.format;
    stats->database_bytes = database.file_bytes;
    stats->store_id = view->meta.store_id;
    stats->in_use = view->lock < 0;
    stats->settled_lsn = view->meta.settled_lsn;
    stats->reached_lsn = view->meta.reached_lsn;
    stats->last_lsn = view->last_lsn;
    stats->journal = view->journal;
    rc = view_each_chat(view, count_chat, &counting, failure);
    if (stats->namespace_count > 0)
        qsort(stats->namespaces, stats->namespace_count, sizeof *stats->namespaces, by_name);
    return rc;
}

int stats_read(const char *directory, struct stats *stats, struct store_failure *failure)
{
    struct view *view;
    int rc;

    *stats = (struct stats){0};
    rc = view_open(&view, directory, VIEW_ANY, failure);
    if (rc != 0)
        return rc;
    rc = count_all(view, stats, failure);
    view_close(view);
    return rc;
}

void stats_free(struct stats *stats)
{
    free(stats->namespaces);
    stats->namespaces = NULL;
}

/* --- writing --- */

static json_t *namespaces_json(const struct stats *stats)
{
    json_t *object = json_object();

    for (size_t i = 0; i < stats->namespace_count; i++)
        json_object_set_new(object, stats->namespaces[i].name,
                            json_pack("{s:I, s:I}", "chats", (json_int_t)stats->namespaces[i].chats,
                                      "messages", (json_int_t)stats->namespaces[i].messages));
    return object;
}

static json_t *stats_json(const struct stats *stats)
{
    char id[UUID_TEXT_BYTES];

    uuid_format(&stats->store_id, id);
    return json_pack(
        "{s:s#, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "store_id", id,
        UUID_TEXT_BYTES, "in_use", (int)stats->in_use, "chats", (json_int_t)stats->chats,
        "messages", (json_int_t)stats->messages, "database_bytes",
        (json_int_t)stats->database_bytes, "journal_bytes", (json_int_t)stats->journal.bytes,
        "journal_segments", (json_int_t)stats->journal.segments, "settled_lsn",
        (json_int_t)stats->settled_lsn, "reached_lsn", (json_int_t)stats->reached_lsn, "last_lsn",
        (json_int_t)stats->last_lsn, "unsettled_records",
        (json_int_t)(stats->last_lsn - stats->settled_lsn), "database_format",
        (json_int_t)stats->database_format, "journal_format",
        (json_int_t)stats->journal.format_version, "namespaces", namespaces_json(stats));
}

static void write_value(const char *name, const json_t *value, FILE *out)
{
    fprintf(out, "%-18s ", name);
    if (json_is_string(value))
        fprintf(out, "%s\n", json_string_value(value));
    else if (json_is_boolean(value))
        fprintf(out, "%s\n", json_is_true(value) ? "yes" : "no");
    else
        fprintf(out, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
}

static void write_text(const struct stats *stats, json_t *object, FILE *out)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (!json_is_object(value))
            write_value(name, value, out);
    }
    for (size_t i = 0; i < stats->namespace_count; i++)
        fprintf(out, "namespace %s: %" PRIu64 " chats, %" PRIu64 " messages\n",
                stats->namespaces[i].name, stats->namespaces[i].chats,
                stats->namespaces[i].messages);
}

int stats_write(const struct stats *stats, bool json, FILE *out)
{
    json_t *object = stats_json(stats);
    int rc = object == NULL ? STORE_IO : 0;

    if (rc == 0 && json)
        rc = json_dumpf(object, out, JSON_INDENT(2)) == 0 && fputc('\n', out) != EOF ? 0 : STORE_IO;
    else if (rc == 0)
        write_text(stats, object, out);
    json_decref(object);
    return rc == 0 && fflush(out) == 0 ? 0 : STORE_IO;
}
