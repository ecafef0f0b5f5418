/*
 * Tables: all rows are put together as texts first, so that each column is as wide as its widest
 * text. The figures of the inside are shown as they come, whatever their names, so that this need
 * not know them.
 */
#include "clients/discovery_show.h"

#include "clients/output.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 6
#define CELL_BYTES 160

struct table {
    size_t columns;
    size_t rows;
    size_t capacity;
    bool numbers[COLUMNS_MAX]; /* aligned to the right */
    char (*cells)[CELL_BYTES];
};

/* ---- Tables ---- */

/* The cells of a further row, empty; NULL when out of memory. */
static char (*add_row(struct table *table))[CELL_BYTES]
{
    char(*row)[CELL_BYTES];

    if (table->rows == table->capacity) {
        size_t capacity = table->capacity == 0 ? 16 : table->capacity * 2;
        char(*cells)[CELL_BYTES] =
            realloc(table->cells, capacity * table->columns * sizeof *table->cells);
        if (cells == NULL)
            return NULL;
        table->cells = cells;
        table->capacity = capacity;
    }
    row = table->cells + table->rows++ * table->columns;
    memset(row, 0, table->columns * sizeof *row);
    return row;
}

/* Bytes that begin a character: what is shown is UTF-8. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *text, size_t width, bool number, bool last, FILE *out)
{
    size_t blanks = width - width_of(text);

    if (number)
        fprintf(out, "%*s", (int)blanks, "");
    output_safely(text, out);
    if (!number && !last)
        fprintf(out, "%*s", (int)blanks, "");
}

static void print_table(struct table *table, const char *indent, FILE *out)
{
    size_t widths[COLUMNS_MAX] = {0};

    for (size_t i = 0; i < table->rows * table->columns; i++) {
        size_t width = width_of(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    for (size_t r = 0; r < table->rows; r++) {
        fputs(indent, out);
        for (size_t c = 0; c < table->columns; c++) {
            if (c > 0)
                fputs("  ", out);
            print_cell(table->cells[r * table->columns + c], widths[c], table->numbers[c],
                       c + 1 == table->columns, out);
        }
        putc('\n', out);
    }
    free(table->cells);
    table->cells = NULL;
    table->rows = table->capacity = 0;
}

/* ---- Values ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static void write_value(const json_t *value, char cell[CELL_BYTES])
{
    char *text;

    if (json_is_string(value)) {
        snprintf(cell, CELL_BYTES, "%s", json_string_value(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(6));
    snprintf(cell, CELL_BYTES, "%s", text == NULL ? "" : text);
    free(text);
}

static void write_milliseconds(const json_t *value, char cell[CELL_BYTES])
{
    snprintf(cell, CELL_BYTES, "%.3f", json_number_value(value) / 1e6);
}

/* `name value` for each member; those of objects in it as `name.member`. */
static void add_members(struct table *table, const char *prefix, json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        char full[CELL_BYTES];
        char(*row)[CELL_BYTES];

        snprintf(full, sizeof full, "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", name);
        if (json_is_object(value)) {
            if (strlen(full) < CELL_BYTES - 1)
                add_members(table, full, value);
            continue;
        }
        row = add_row(table);
        if (row == NULL)
            return;
        snprintf(row[0], CELL_BYTES, "%s", full);
        write_value(value, row[1]);
    }
}

static void show_members(json_t *object, bool numbers, const char *indent, FILE *out)
{
    struct table table = {.columns = 2, .numbers = {false, numbers}};

    add_members(&table, "", object);
    print_table(&table, indent, out);
}

/* ---- Answers ---- */

static void show_ping(const json_t *answers, FILE *out)
{
    static const char *const names[] = {"name", "id", "version"};
    struct table table = {.columns = 4};
    char(*row)[CELL_BYTES] = add_row(&table);
    json_t *answer;
    size_t i;

    for (size_t c = 0; row != NULL && c < 3; c++)
        snprintf(row[c], CELL_BYTES, "%s", names[c]);
    if (row != NULL)
        snprintf(row[3], CELL_BYTES, "store_id");
    json_array_foreach(answers, i, answer)
    {
        row = add_row(&table);
        for (size_t c = 0; row != NULL && c < 3; c++)
            snprintf(row[c], CELL_BYTES, "%s", text_of(answer, names[c]));
        if (row != NULL)
            snprintf(row[3], CELL_BYTES, "%s",
                     text_of(json_object_get(answer, "metadata"), "store_id"));
    }
    print_table(&table, "", out);
}

static void show_heading(const json_t *answer, FILE *out)
{
    output_safely(text_of(answer, "name"), out);
    putc(' ', out);
    output_safely(text_of(answer, "version"), out);
    fputs("  id ", out);
    output_safely(text_of(answer, "id"), out);
    if (text_of(answer, "started")[0] != '\0') {
        fputs("  started ", out);
        output_safely(text_of(answer, "started"), out);
    }
    putc('\n', out);
}

static void show_info_endpoints(json_t *endpoints, FILE *out)
{
    static const char *const names[] = {"name", "subject", "queue_group"};
    struct table table = {.columns = 4};
    char(*row)[CELL_BYTES] = add_row(&table);
    json_t *endpoint;
    size_t i;

    for (size_t c = 0; row != NULL && c < 3; c++)
        snprintf(row[c], CELL_BYTES, "%s", c == 0 ? "endpoint" : names[c]);
    if (row != NULL)
        snprintf(row[3], CELL_BYTES, "in a namespace");
    json_array_foreach(endpoints, i, endpoint)
    {
        row = add_row(&table);
        for (size_t c = 0; row != NULL && c < 3; c++)
            snprintf(row[c], CELL_BYTES, "%s", text_of(endpoint, names[c]));
        if (row != NULL)
            snprintf(row[3], CELL_BYTES, "%s",
                     text_of(json_object_get(endpoint, "metadata"), "namespace_subject"));
    }
    print_table(&table, "  ", out);
}

static void show_info(const json_t *answer, FILE *out)
{
    show_heading(answer, out);
    fputs("  ", out);
    output_safely(text_of(answer, "description"), out);
    fputs("\n\n", out);
    show_members(json_object_get(answer, "metadata"), false, "  ", out);
    putc('\n', out);
    show_info_endpoints(json_object_get(answer, "endpoints"), out);
}

static void show_counts(json_t *endpoints, FILE *out)
{
    static const char *const titles[] = {"endpoint", "requests", "errors", "average ms",
                                         "last error"};
    struct table table = {.columns = 5, .numbers = {false, true, true, true, false}};
    char(*row)[CELL_BYTES] = add_row(&table);
    json_t *endpoint;
    size_t i;

    for (size_t c = 0; row != NULL && c < 5; c++)
        snprintf(row[c], CELL_BYTES, "%s", titles[c]);
    json_array_foreach(endpoints, i, endpoint)
    {
        row = add_row(&table);
        if (row == NULL)
            break;
        snprintf(row[0], CELL_BYTES, "%s", text_of(endpoint, "name"));
        write_value(json_object_get(endpoint, "num_requests"), row[1]);
        write_value(json_object_get(endpoint, "num_errors"), row[2]);
        write_milliseconds(json_object_get(endpoint, "average_processing_time"), row[3]);
        snprintf(row[4], CELL_BYTES, "%s", text_of(endpoint, "last_error"));
    }
    print_table(&table, "  ", out);
}

static void show_stats(const json_t *answer, FILE *out)
{
    json_t *endpoints = json_object_get(answer, "endpoints");
    json_t *endpoint;
    size_t i;

    show_heading(answer, out);
    putc('\n', out);
    show_counts(endpoints, out);
    json_array_foreach(endpoints, i, endpoint)
    {
        json_t *data = json_object_get(endpoint, "data");
        if (json_object_size(data) == 0)
            continue;
        putc('\n', out);
        show_members(data, true, "  ", out);
    }
}

void discovery_show(const json_t *answers, enum chat_discover_kind kind, bool as_json, FILE *out)
{
    json_t *answer;
    size_t i;

    if (!as_json && kind == CHAT_DISCOVER_PING) {
        show_ping(answers, out);
        return;
    }
    json_array_foreach(answers, i, answer)
    {
        if (as_json) {
            (void)json_dumpf(answer, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
            putc('\n', out);
            continue;
        }
        if (i > 0)
            putc('\n', out);
        if (kind == CHAT_DISCOVER_INFO)
            show_info(answer, out);
        else
            show_stats(answer, out);
    }
}
