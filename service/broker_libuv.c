/*
 * The adapter's functions are not static and not free of warnings under our flags, hence this file
 * and the pragmas. It keeps the loop of the thread in thread-local data: calls from other threads
 * (the library's reconnecting thread) are put in a queue and carried out on the loop.
 */
#include "service/broker_libuv.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <nats/adapters/libuv.h>
#pragma GCC diagnostic pop

const struct broker_libuv broker_libuv = {
    .init = natsLibuv_Init,
    .set_thread_loop = natsLibuv_SetThreadLocalLoop,
    .attach = natsLibuv_Attach,
    .read = natsLibuv_Read,
    .write = natsLibuv_Write,
    .detach = natsLibuv_Detach,
};
