/* The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Numbers are written
 * with as many digits as a double has; counts up to 2^53 are exact. */
#include "clients/gateway/metrics_text.h"

#include "proto/utf8.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct metrics_text *text, const char *bytes, size_t size)
{
    if (text->size + size > text->capacity) {
        text->capacity = 2 * text->capacity + size + 4096;
        text->data = realloc(text->data, text->capacity);
        if (text->data == NULL)
            abort();
    }
    memcpy(text->data + text->size, bytes, size);
    text->size += size;
}

static void put_text(struct metrics_text *text, const char *words)
{
    put(text, words, strlen(words));
}

static void put_escaped(struct metrics_text *text, const char *value)
{
    size_t size = strlen(value), taken;
    uint32_t character;

    for (; size > 0; value += taken, size -= taken) {
        taken = utf8_read(value, size, &character);
        if (taken == 0) {
            put_text(text, "?");
            taken = 1;
        } else if (*value == '\n') {
            put_text(text, "\\n");
        } else {
            if (*value == '"' || *value == '\\')
                put_text(text, "\\");
            put(text, value, taken);
        }
    }
}

static void put_number(struct metrics_text *text, double value)
{
    char digits[40];

    if (isnan(value) || isinf(value)) {
        put_text(text, isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf");
        return;
    }
    snprintf(digits, sizeof digits, "%.15g", value);
    if (strtod(digits, NULL) != value)
        snprintf(digits, sizeof digits, "%.17g", value);
    put_text(text, digits);
}

void metrics_text_family(struct metrics_text *text, const char *name, const char *type,
                         const char *help)
{
    put_text(text, "# HELP ");
    put_text(text, name);
    put_text(text, " ");
    put_text(text, help);
    put_text(text, "\n# TYPE ");
    put_text(text, name);
    put_text(text, " ");
    put_text(text, type);
    put_text(text, "\n");
}

void metrics_text_sample(struct metrics_text *text, const char *name, const char *suffix,
                         const struct metrics_label *labels, size_t label_count, double value)
{
    put_text(text, name);
    put_text(text, suffix);
    for (size_t i = 0; i < label_count; i++) {
        put_text(text, i == 0 ? "{" : ",");
        put_text(text, labels[i].name);
        put_text(text, "=\"");
        put_escaped(text, labels[i].value);
        put_text(text, "\"");
    }
    put_text(text, label_count > 0 ? "} " : " ");
    put_number(text, value);
    put_text(text, "\n");
}

void metrics_text_single(struct metrics_text *text, const char *name, const char *type,
                         const char *help, double value)
{
    metrics_text_family(text, name, type, help);
    metrics_text_sample(text, name, "", NULL, 0, value);
}
