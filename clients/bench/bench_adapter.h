/* The NATS client library's libuv adapter, which is code in a header: compiled in one place. */
#ifndef CLIENTS_BENCH_BENCH_ADAPTER_H
#define CLIENTS_BENCH_BENCH_ADAPTER_H

#include <nats/nats.h>
#include <uv.h>

/* Lets connections made with `options` read and write on `loop`. To be called on the loop's thread,
 * which must also be the one that connects. */
natsStatus bench_adapter_install(natsOptions *options, uv_loop_t *loop);

#endif
