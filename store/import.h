/*
 * Reading back what export.h wrote: chats into a new store, or one that no process holds.
 *
 * Chat ids, users, seqs, message ids, client ids and times are kept, so that a reader goes on from
 * the seq it has, and a Send retried after the import finds its message. A chat is imported whole
 * or not at all. One that is there already must be the same as far as both go: messages behind its
 * head are added. So an import that stopped can be done again.
 */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "store/status.h"
#include <stdint.h>
#include <stdio.h>

struct import_figures {
    uint64_t lines;
    uint64_t chats; /* written, durable */
    uint64_t messages;
    uint64_t present_chats; /* were there already; messages may have been added to them */
    uint64_t present_messages;
};

/*
 * Returns 0 when all lines up to the last one, which says that it is the end, were taken. Else a
 * status with `failure`, which names the line: STORE_FORMAT (a line is wrong), STORE_CORRUPT (it
 * contradicts what is stored), STORE_LOCKED, STORE_FULL, STORE_IO, STORE_NO_MEMORY. `figures` then
 * say what was written before. Takes the memory of the largest chat, or 16 MiB. Blocks.
 */
int import_read(const char *directory, FILE *in, struct import_figures *figures,
                struct store_failure *failure);

#endif
