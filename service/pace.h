/*
 * Log lines that could come a thousand times a second come at most once in an interval. One
 * thread at a time for each pace; libraries' threads use the caller's own lock.
 */
#ifndef SERVICE_PACE_H
#define SERVICE_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    uint64_t next_ms;  /* zero-initialised: the first one is let through */
    uint64_t withheld; /* since the last that was let through */
};

/* Whether now is the time to speak; `withheld` is set to how many were not heard since. */
static inline bool pace_allows(struct pace *pace, uint64_t now_ms, uint64_t interval_ms,
                               uint64_t *withheld)
{
    if (pace->next_ms != 0 && now_ms < pace->next_ms) {
        pace->withheld++;
        return false;
    }
    *withheld = pace->withheld;
    pace->withheld = 0;
    pace->next_ms = now_ms + interval_ms;
    return true;
}

#endif
