/*
 * What is before the last '@' goes, wherever that is: a password with an unescaped '@' or '/' is
 * no valid URL, but must not be half shown either.
 */
#include "service/nats_url.h"

#include <stdio.h>
#include <string.h>

void nats_url_without_credentials(const char *url, char *text, size_t size)
{
    const char *at = strrchr(url, '@');
    size_t scheme = strspn(url, "abcdefghijklmnopqrstuvwxyz");

    if (at == NULL) {
        snprintf(text, size, "%s", url);
        return;
    }
    scheme = strncmp(url + scheme, "://", 3) == 0 ? scheme + 3 : 0;
    snprintf(text, size, "%.*s%s", (int)scheme, url, at + 1);
}

void nats_urls_without_credentials(char *const *urls, size_t count, char *text, size_t size)
{
    size_t used = 0;

    if (size > 0)
        text[0] = '\0';
    for (size_t i = 0; i < count && used + 1 < size; i++) {
        if (i > 0)
            text[used++] = ',';
        nats_url_without_credentials(urls[i], text + used, size - used);
        used += strlen(text + used);
    }
}
