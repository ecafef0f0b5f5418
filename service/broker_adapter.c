/*
 * The adapter's functions are not static and not free of warnings under our flags, hence this file
 * and the pragmas. It keeps the loop of the thread in thread-local data: calls from other threads
 * (the library's reconnecting thread) are put in a queue and carried out on the loop.
 */
#include "service/broker_adapter.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <nats/adapters/libuv.h>
#pragma GCC diagnostic pop

natsStatus broker_adapter_install(natsOptions *options, uv_loop_t *loop)
{
    natsLibuv_Init();
    natsLibuv_SetThreadLocalLoop(loop);
    return natsOptions_SetEventLoop(options, loop, natsLibuv_Attach, natsLibuv_Read,
                                    natsLibuv_Write, natsLibuv_Detach);
}
