#include "clients/gateway/shared_bytes.h"

#include <stdio.h>
#include <stdlib.h>

struct shared_bytes *shared_bytes_make(size_t size)
{
    struct shared_bytes *bytes = malloc(sizeof *bytes + size);

    if (bytes == NULL) {
        fputs("chat-gateway: out of memory\n", stderr);
        abort();
    }
    bytes->holders = 1;
    bytes->size = size;
    return bytes;
}

struct shared_bytes *shared_bytes_hold(struct shared_bytes *bytes)
{
    bytes->holders++;
    return bytes;
}

void shared_bytes_drop(struct shared_bytes *bytes)
{
    if (bytes != NULL && --bytes->holders == 0)
        free(bytes);
}
