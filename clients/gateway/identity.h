/* In whose name a request is made. A plain value; the guard fills it in (gateway.h). */
#ifndef GATEWAY_IDENTITY_H
#define GATEWAY_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#define IDENTITY_NAMESPACE_BYTES 65 /* with the NUL */
#define IDENTITY_USER_BYTES 129
#define IDENTITY_ID_BYTES 32

struct identity {
    char namespace_name[IDENTITY_NAMESPACE_BYTES]; /* "" is the default one */
    char user[IDENTITY_USER_BYTES]; /* to act for, as Chat-User; "": a trusted caller, who decides
                                       for itself */

    /* How that is known; for auth.h, which says with it later whether it still holds. */
    bool known;                    /* by a token; `id` then tells it from other tokens */
    bool from_file;                /* by one of --auth-tokens, otherwise by a JWT */
    bool anywhere;                 /* not bound to its namespace: it could name any */
    uint8_t id[IDENTITY_ID_BYTES]; /* of the token, or of the user whom a JWT is for */
    int64_t expires_s;             /* since 1970; INT64_MAX: never */
    uint64_t generation;           /* of the keys that a JWT was checked with */
};

#endif
