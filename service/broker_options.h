/* The NATS client library's options from ours. */
#ifndef SERVICE_BROKER_OPTIONS_H
#define SERVICE_BROKER_OPTIONS_H

#include "service/settings.h"
#include <nats/nats.h>

/*
 * Returns 0 and options for the caller to destroy, or -1 with a log line that names the setting
 * which cannot be used: an address or a file. Files must be readable now. `name` is the
 * connection's, `read_bytes` how much it reads at once.
 */
int broker_options_create(natsOptions **options, const struct broker_settings *settings,
                          const char *name, size_t read_bytes);

#endif
