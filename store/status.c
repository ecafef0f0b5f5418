#include "store/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *store_status_text(int status)
{
    switch (status) {
    case STORE_OK:
        return "done";
#define X(name, value, text)                                                                       \
    case STORE_##name:                                                                             \
        return text;
        STORE_STATUSES(X)
#undef X
    default:
        return "unknown status";
    }
}

int store_fail(struct store_failure *failure, int status, const char *format, ...)
{
    va_list arguments;

    failure->status = status;
    va_start(arguments, format);
    vsnprintf(failure->detail, sizeof failure->detail, format, arguments);
    va_end(arguments);
    return status;
}
