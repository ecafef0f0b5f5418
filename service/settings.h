/*
 * What chatd is told at its start: one table of options, each also an environment variable.
 * Strings are borrowed from argv and the environment. Read-only once parsed.
 */
#ifndef SERVICE_SETTINGS_H
#define SERVICE_SETTINGS_H

#include "base/log.h"
#include "base/options.h"
#include "proto/codec.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define SETTINGS_PROGRAM "chatd"

struct broker_settings {
    struct option_list urls; /* with credentials, maybe: never log them as they are */
    const char *user;        /* NULL where not given, as all below */
    const char *password;
    const char *token;
    const char *nkey_seed;   /* file */
    const char *credentials; /* file */
    const char *tls_ca;      /* files */
    const char *tls_cert;
    const char *tls_key;
    const char *inbox_prefix; /* of reply subjects; checked */
    const char *connection_name;
};

struct settings {
    struct broker_settings broker;
    struct store_options store;
    struct codec_limits limits;
    uint64_t reply_buffer_bytes; /* replies waiting for the broker; past it 503 */
    uint64_t slow_ms;            /* requests that take as long are logged; 0: none */
    bool events;                 /* publish chat.events.… */
    enum log_level log_level;

    /* As the option table wrote them. */
    uint64_t text_bytes_max;
    uint64_t users_max;
    const char *log_level_name;
    const char *check_name;
};

/*
 * Fills `settings` from defaults, the environment and the words. Prints help, version and mistakes
 * itself. Returns as options_parse; free `settings` in any case.
 */
enum options_result settings_parse(struct settings *settings, int argc, char **argv, FILE *out,
                                   FILE *err);
void settings_free(struct settings *settings);

#endif
