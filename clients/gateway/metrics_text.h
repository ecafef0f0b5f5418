/*
 * Figures as the Prometheus text format, version 0.0.4: one family after the other, each with its
 * HELP and TYPE, then its samples. Any thread; ends the process without memory.
 */
#ifndef GATEWAY_METRICS_TEXT_H
#define GATEWAY_METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Zero-initialised; `data` is the caller's to free, and not NUL-terminated. */
struct metrics_text {
    char *data;
    size_t size;
    size_t capacity;
};

struct metrics_label {
    const char *name;
    const char *value; /* any bytes: escaped, and what is no UTF-8 becomes '?' */
};

/* `type` is "counter", "gauge" or "histogram"; `help` says what it is, and in which unit. */
void metrics_text_family(struct metrics_text *text, const char *name, const char *type,
                         const char *help);
/* `suffix` is "", or "_bucket" and the like. */
void metrics_text_sample(struct metrics_text *text, const char *name, const char *suffix,
                         const struct metrics_label *labels, size_t label_count, double value);
/* A family of one sample without labels. */
void metrics_text_single(struct metrics_text *text, const char *name, const char *type,
                         const char *help, double value);

#endif
