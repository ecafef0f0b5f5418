/* What embed.sh writes. */
#ifndef GATEWAY_WEB_FILES_TABLE_H
#define GATEWAY_WEB_FILES_TABLE_H

#include <stdint.h>

struct embedded_file {
    const char *name; /* without its folder; NULL ends the table */
    const uint8_t *start;
    const uint8_t *end;
};

extern const struct embedded_file web_files_table[];

#endif
