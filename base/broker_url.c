/*
 * The library takes any text for an address, and finds out when it connects, again and again. What
 * can never work is better said at once.
 */
#include "base/broker_url.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BYTES_MAX 253
#define PREFIX_BYTES_MAX 200
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

static const char *port_mistake(const char *port)
{
    size_t size = strspn(port, DIGITS);
    long number = size <= 5 ? strtol(port, NULL, 10) : 0;

    if (size == 0 || port[size] != '\0' || number < 1 || number > 65535)
        return "its port must be a number from 1 to 65535";
    return NULL;
}

static const char *ipv6_mistake(const char *host)
{
    static const char mistake[] = "an IPv6 address must be whole and in brackets, as in [::1]:4222";
    const char *end = strchr(host, ']');
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t size;

    if (end == NULL)
        return mistake;
    size = (size_t)(end - host) - 1;
    if (size >= sizeof text)
        return mistake;
    memcpy(text, host + 1, size);
    text[size] = '\0';
    if (inet_pton(AF_INET6, text, &address) != 1 || (end[1] != '\0' && end[1] != ':'))
        return mistake;
    return end[1] == ':' ? port_mistake(end + 2) : NULL;
}

static const char *host_mistake(const char *host)
{
    size_t size = strcspn(host, ":");

    if (host[0] == '[')
        return ipv6_mistake(host);
    if (size == 0)
        return "it has no host";
    if (size > HOST_BYTES_MAX || strspn(host, LETTERS DIGITS "._-") < size)
        return "its host must be a name, an IPv4 address or an [IPv6] address, and a path has no "
               "meaning";
    return host[size] == ':' ? port_mistake(host + size + 1) : NULL;
}

const char *broker_url_mistake(const char *url)
{
    const char *scheme_end = strstr(url, "://");
    const char *rest = url;
    const char *at;
    size_t size;

    for (const char *c = url; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return "it holds a space or a control character";
    }
    if (scheme_end != NULL) {
        if (strncmp(url, "nats://", 7) != 0 && strncmp(url, "tls://", 6) != 0)
            return "it must begin with nats:// or tls://";
        rest = scheme_end + strlen("://");
    }
    at = strrchr(rest, '@');
    if (at != NULL)
        rest = at + 1;
    size = strlen(rest);
    /* What a URL that was copied from elsewhere ends with. */
    if (size > 1 && rest[size - 1] == '/')
        return "it must end with the port, without a slash";
    return host_mistake(rest);
}

bool broker_url_is_tls(const char *url)
{
    return strncmp(url, "tls://", 6) == 0;
}

bool broker_inbox_prefix_is_valid(const char *prefix)
{
    size_t size = strlen(prefix);

    if (size == 0 || size > PREFIX_BYTES_MAX || prefix[0] == '.' || prefix[size - 1] == '.')
        return false;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)prefix[i];
        if (c <= ' ' || c >= 0x7f || c == '*' || c == '>' || (c == '.' && prefix[i + 1] == '.'))
            return false;
    }
    return true;
}
