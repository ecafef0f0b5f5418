/* Who comes in when nobody is asked for credentials: --auth none. */
#include "clients/gateway/gateway.h"

#include <stdio.h>
#include <string.h>

int guard_wanted_namespace(struct exchange *exchange, char name[IDENTITY_NAMESPACE_BYTES])
{
    const char *header = exchange_header(exchange, "micro-namespace");
    const char *argument = exchange_argument(exchange, "namespace");
    const char *wanted = header != NULL ? header : argument;

    name[0] = '\0';
    if (wanted == NULL || wanted[0] == '\0')
        return 0;
    if (header != NULL && argument != NULL && strcmp(header, argument) != 0) {
        exchange_fail(exchange, 400, "gateway.InvalidNamespace",
                      "the header micro-namespace and the argument namespace differ; give one");
        return -1;
    }
    if (!chat_namespace_is_valid(wanted)) {
        exchange_fail(exchange, 400, "gateway.InvalidNamespace",
                      "the namespace must be 1 to 64 of A-Z a-z 0-9 _ -");
        return -1;
    }
    snprintf(name, IDENTITY_NAMESPACE_BYTES, "%s", wanted);
    return 0;
}

int guard_anybody(struct exchange *exchange, struct identity *identity)
{
    identity->user[0] = '\0';
    return guard_wanted_namespace(exchange, identity->namespace_name);
}
