/*
 * The adapter's functions are not static and not free of warnings under our flags, hence this file
 * and the pragmas; and the names, so that another file that includes it can be linked with this
 * one.
 */
#include "clients/bench/bench_adapter.h"

#define natsLibuv_Init bench_natsLibuv_Init
#define natsLibuv_SetThreadLocalLoop bench_natsLibuv_SetThreadLocalLoop
#define natsLibuv_Attach bench_natsLibuv_Attach
#define natsLibuv_Read bench_natsLibuv_Read
#define natsLibuv_Write bench_natsLibuv_Write
#define natsLibuv_Detach bench_natsLibuv_Detach

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <nats/adapters/libuv.h>
#pragma GCC diagnostic pop

natsStatus bench_adapter_install(natsOptions *options, uv_loop_t *loop)
{
    natsLibuv_Init();
    natsLibuv_SetThreadLocalLoop(loop);
    return natsOptions_SetEventLoop(options, loop, natsLibuv_Attach, natsLibuv_Read,
                                    natsLibuv_Write, natsLibuv_Detach);
}
