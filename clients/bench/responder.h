/*
 * A service that does nothing: it answers each request at once, with a fixed number of bytes. On
 * the same libraries, set up in the same way, it is the limit of what this broker and these cores
 * allow. One thread, its own loop.
 */
#ifndef CLIENTS_BENCH_RESPONDER_H
#define CLIENTS_BENCH_RESPONDER_H

#include "clients/bench/bench_settings.h"
#include <stdio.h>
#include <sys/types.h>

/* Runs until SIGTERM or SIGINT; writes the line "ready" to `out` once requests arrive. Returns an
 * exit status. */
int responder_run(const struct responder_settings *settings, FILE *out, FILE *err);

/*
 * Runs one in a process of its own, which ends with this one at the latest, and waits until it is
 * ready. Returns its pid, or -1 with a line on `err`. It gets its settings by environment
 * variables, which stay set: a command line could be read by everybody.
 */
pid_t responder_start(const struct responder_settings *settings, FILE *err);
void responder_stop(pid_t pid);

#endif
