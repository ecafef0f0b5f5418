/*
 * How the programs of this room reach the broker: the same options, variables and checks for all
 * of them, from one table. Single-threaded, for the start of a program; texts are borrowed from
 * argv or the environment.
 */
#ifndef CLIENTS_BROKER_ACCESS_H
#define CLIENTS_BROKER_ACCESS_H

#include "base/options.h"
#include "clients/libchat/chat.h"
#include <stdio.h>

/* Texts are NULL or empty where not given. */
struct broker_access {
    struct option_list nats_urls; /* with credentials, maybe: never log them as they are */
    const char *user;
    const char *password;
    const char *token;
    const char *nkey_seed_file;
    const char *credentials_file; /* a JWT and its seed */
    const char *tls_ca_file;
    const char *tls_cert_file;
    const char *tls_key_file;
    const char *inbox_prefix;
    const char *connection_name;
};

#define BROKER_ACCESS_OPTIONS 11

/* Writes that many options to `table`, which put what is given into `access`. */
size_t broker_access_put_options(struct broker_access *access, struct option *table);

/*
 * What a table cannot say: addresses and prefixes that cannot be right, options that exclude or
 * need each other, files that cannot be read. Returns OPTIONS_OK, or OPTIONS_USAGE with a line on
 * `err` that begins with `program`.
 */
enum options_result broker_access_check(const struct broker_access *access, const char *program,
                                        FILE *err);

/* For chat_connect, borrowed from `access`; `name` is for the broker's monitoring when none was
 * given. */
struct chat_options broker_access_options(const struct broker_access *access, const char *name);

/* Gives back the list of addresses. */
void broker_access_free(struct broker_access *access);

#endif
