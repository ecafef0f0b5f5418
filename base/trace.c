/* Source: www.w3.org/TR/trace-context. Later versions may be longer; of them nothing is known. */
#include "base/trace.h"

#include <stddef.h>
#include <string.h>

static bool is_hex(const char *text, size_t size)
{
    return strspn(text, "0123456789abcdef") >= size;
}

static bool is_id(const char *text, size_t size)
{
    return is_hex(text, size) && strspn(text, "0") < size;
}

bool trace_parent_is_valid(const char *value)
{
    return strlen(value) == TRACE_PARENT_BYTES - 1 && is_hex(value, 2) &&
           strncmp(value, "ff", 2) != 0 && value[2] == '-' && is_id(value + 3, 32) &&
           value[35] == '-' && is_id(value + 36, 16) && value[52] == '-' && is_hex(value + 53, 2);
}
