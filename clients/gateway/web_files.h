/*
 * The files of clients/gateway/web/, and openapi.json beside it, embedded into the program when it
 * is built: it needs no files beside it. index.html is "/", other pages lose their ".html"
 * ("/status"), everything else keeps its name ("/chat.css"). Each goes out with its type, an ETag,
 * and the security headers: a strict Content-Security-Policy with nothing inline and nothing from
 * elsewhere (scripts, styles, images, fonts and connections of 'self' only; also images as data:).
 */
#ifndef GATEWAY_WEB_FILES_H
#define GATEWAY_WEB_FILES_H

#include "clients/gateway/exchange.h"

struct web_file {
    const char *path; /* "/", "/status", "/chat.css" */
    const char *content_type;
    const uint8_t *data;
    size_t size;
    char etag[20]; /* with its quotes */
};

/* NULL when there is no such file. */
const struct web_file *web_files_find(const char *path);
/* Answers with it: 200, or 304 when the client has it already. */
void web_files_reply(const struct web_file *file, struct exchange *exchange);

#endif
