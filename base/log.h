/*
 * Structured log lines on standard error, one event a line (logfmt):
 *
 *     time=2026-01-31T12:00:00.123Z level=info event=ready nats_url="nats://127.0.0.1:4222"
 *
 * Values that hold anything but [A-Za-z0-9._:/@+-] are quoted and escaped, so that no
 * input can forge a line or a field. Any thread may call: a line is one write(2).
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_kind { LOG_KIND_TEXT, LOG_KIND_U64, LOG_KIND_I64, LOG_KIND_F64, LOG_KIND_BOOL };

struct log_field {
    const char *name; /* lower_snake, with its unit: size_bytes, took_ms */
    enum log_kind kind;
    union {
        struct {
            const char *data;
            size_t size;
        } text;
        uint64_t u64;
        int64_t i64;
        double f64;
        bool boolean;
    } value;
};

struct log_field log_text(const char *name, const char *value);
struct log_field log_bytes(const char *name, const char *data, size_t size);
struct log_field log_u64(const char *name, uint64_t value);
struct log_field log_i64(const char *name, int64_t value);
struct log_field log_f64(const char *name, double value); /* three decimals */
struct log_field log_bool(const char *name, bool value);

/* Lines below this level are dropped; LOG_LEVEL_INFO until set. */
void log_set_level(enum log_level level);
/* "debug", "info", "warn" or "error"; false for anything else. */
bool log_parse_level(const char *name, enum log_level *level);

/* `event` is lower_snake words joined by dots, such as "journal.recovered". Borrows everything. */
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);

#define LOG_FIELDS_(...) ((const struct log_field[]){__VA_ARGS__})
#define LOG_WRITE_(level, event, ...)                                                              \
    log_write(level, event, LOG_FIELDS_(__VA_ARGS__),                                              \
              sizeof(LOG_FIELDS_(__VA_ARGS__)) / sizeof(struct log_field))

/* LOG_INFO("ready", log_text("nats_url", url), log_u64("records", n)); at least one field. */
#define LOG_DEBUG(event, ...) LOG_WRITE_(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define LOG_INFO(event, ...) LOG_WRITE_(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define LOG_WARN(event, ...) LOG_WRITE_(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define LOG_ERROR(event, ...) LOG_WRITE_(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif
