/*
 * What the tests and the shim share: one page of memory, mapped from a file by the shim and written
 * and read as a file by the tests, while the program runs. All numbers are 64 bits in the machine's
 * order; the tests know the fields by their place in this list (shim.js).
 */
#ifndef TESTS_FAULTS_SHIM_H
#define TESTS_FAULTS_SHIM_H

#include <stdint.h>

/* Which calls are meant, as bits. */
enum shim_call {
    SHIM_WRITE = 1,     /* write, writev, pwrite, pwritev */
    SHIM_DATASYNC = 2,  /* fdatasync */
    SHIM_SYNC = 4,      /* fsync, msync */
    SHIM_ALLOCATE = 8,  /* fallocate, posix_fallocate */
    SHIM_RENAME = 16,   /* rename, renameat */
    SHIM_OPEN = 32,     /* open and openat with O_CREAT */
    SHIM_TRUNCATE = 64, /* truncate, ftruncate */
};

struct shim_control {
    uint64_t calls;      /* the calls that are counted, and fail */
    uint64_t fail_at;    /* the first that fails, counted from 1; 0: none */
    uint64_t fail_count; /* how many fail from there on */
    uint64_t fail_error; /* their errno */
    uint64_t counted;    /* calls until now */
    uint64_t failed;     /* of those */
    uint64_t drop_syncs; /* not 0: syncs do nothing and say that all went well */
    uint64_t sync_delay_us;
    uint64_t syncs;      /* begun */
    uint64_t syncs_done; /* and ended */
    int64_t clock_offset_ns;
    uint64_t allocations_watched; /* not 0: allocations are counted, and fail */
    uint64_t allocations;
    uint64_t allocation_fail_at;    /* the first that fails, counted from 1; 0: none */
    uint64_t allocation_fail_count; /* how many fail from there on */
    uint64_t allocations_failed;
    uint64_t no_direct; /* not 0: O_DIRECT is refused, as by file systems that do not have it */
};

#endif
