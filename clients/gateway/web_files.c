/* The table of files is made when the program is built (embed.sh); what it holds is in the program.
 */
#include "clients/gateway/web_files.h"

#include "clients/gateway/http_connection.h"
#include "clients/gateway/web_files_table.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

/* Nothing inline, nothing from elsewhere, nothing that frames us. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
    "data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static const struct {
    const char *ending;
    const char *content_type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".json", "application/json"},
    {".webmanifest", "application/manifest+json"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".woff2", "font/woff2"},
    {".txt", "text/plain; charset=utf-8"},
};

#define FILES_MAX 64

static struct web_file files[FILES_MAX];
static char paths[FILES_MAX][80];
static size_t file_count;

static const char *type_of(const char *name)
{
    const char *ending = strrchr(name, '.');

    for (size_t i = 0; ending != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(ending, types[i].ending) == 0)
            return types[i].content_type;
    }
    return "application/octet-stream";
}

/* index.html is "/", status.html is "/status", chat.css is "/chat.css". */
static void make_path(const char *name, char *path, size_t size)
{
    size_t length = strlen(name);

    if (strcmp(name, "index.html") == 0)
        snprintf(path, size, "/");
    else if (length > 5 && strcmp(name + length - 5, ".html") == 0)
        snprintf(path, size, "/%.*s", (int)(length - 5), name);
    else
        snprintf(path, size, "/%s", name);
}

static void make_etag(struct web_file *file)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    char *out = file->etag;

    SHA256(file->data, file->size, digest);
    *out++ = '"';
    for (size_t i = 0; i < 8; i++)
        out += sprintf(out, "%02x", digest[i]);
    memcpy(out, "\"", 2);
}

static void load(void)
{
    const struct embedded_file *embedded = web_files_table;

    for (; embedded->name != NULL && file_count < FILES_MAX; embedded++) {
        struct web_file *file = &files[file_count];
        make_path(embedded->name, paths[file_count], sizeof paths[file_count]);
        *file = (struct web_file){.path = paths[file_count],
                                  .content_type = type_of(embedded->name),
                                  .data = embedded->start,
                                  .size = (size_t)(embedded->end - embedded->start)};
        make_etag(file);
        file_count++;
    }
}

const struct web_file *web_files_find(const char *path)
{
    if (file_count == 0)
        load();
    for (size_t i = 0; i < file_count; i++) {
        if (strcmp(files[i].path, path) == 0)
            return &files[i];
    }
    return NULL;
}

void web_files_reply(const struct web_file *file, struct exchange *exchange)
{
    const char *known = exchange_header(exchange, "if-none-match");
    bool has_it = known != NULL &&
                  (strcmp(known, "*") == 0 || http_list_has(known, strlen(known), file->etag));

    exchange->is_page = true;
    exchange_add_field(exchange, "Content-Security-Policy", policy);
    exchange_add_field(exchange, "Cache-Control", "no-cache");
    exchange_add_field(exchange, "Cross-Origin-Opener-Policy", "same-origin");
    exchange_add_field(exchange, "Permissions-Policy", "camera=(), geolocation=(), microphone=()");
    exchange_add_field(exchange, "ETag", file->etag);
    exchange_reply(exchange,
                   &(struct exchange_answer){.code = has_it ? 304 : 200,
                                             .content_type = has_it ? NULL : file->content_type,
                                             .body = file->data,
                                             .body_size = file->size});
}
