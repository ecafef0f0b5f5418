/*
 * Command-line options from one table: name, environment variable, default, help.
 *
 * The same table parses `--name=value` and `--name value`, reads the environment variable where
 * the option is not given, and prints --help. Dashes and underscores in names are the same:
 * `--user-ids` is `--user_ids`. Of a repeated option the last one counts; lists add up. An empty
 * environment variable counts as unset. Single-threaded, for the start of a program.
 *
 * `struct option` is ours: a file that includes this cannot include <getopt.h>.
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_TEXT,  /* const char **; borrowed from argv or the environment */
    OPTION_LIST,  /* struct option_list *; repeated, and split at commas; the caller frees it */
    OPTION_FLAG,  /* bool *; `--name`, or `--name=true|false`, environment 1/true/0/false */
    OPTION_U64,   /* uint64_t *; decimal, checked against minimum and maximum */
    OPTION_BYTES, /* uint64_t *; decimal with an optional KiB, MiB, GiB or TiB; same checks */
};

struct option_list {
    char **values; /* owned by the list; NUL-terminated copies */
    size_t count;
};

struct option {
    const char *name;        /* without the dashes: "nats-url" */
    const char *environment; /* "CHAT_NATS_URL", or NULL */
    enum option_kind kind;
    void *value;          /* where it goes; holds the default before options_parse */
    uint64_t minimum;     /* of OPTION_U64 and OPTION_BYTES */
    uint64_t maximum;     /* 0: none */
    const char *argument; /* what --help calls the value: "URL"; NULL for flags */
    const char *help;     /* one sentence or two; --help wraps it and adds default and variable */
    bool secret;          /* the default and the environment's value are not shown */
};

struct options {
    const char *program;  /* "chatd" */
    const char *usage;    /* "chatd --data-dir DIR [options]" */
    const char *summary;  /* a paragraph under the usage */
    const char *examples; /* lines shown as they are under the options; NULL for none */
    const struct option *table;
    size_t count;
};

enum options_result {
    OPTIONS_OK = 0,
    OPTIONS_HELP = 1,    /* --help was given and has been printed on `out` */
    OPTIONS_VERSION = 2, /* --version was given; the caller prints it */
    OPTIONS_USAGE = -1,  /* one line on `err` says what is wrong and what would be right */
};

/*
 * Parses argv[1..argc-1]. Words that are no options are refused by name. `--help` and `--version`
 * belong to every table without being in it, and count wherever they stand, even beside mistakes.
 * After OPTIONS_USAGE some values may have been set; lists are still the caller's to free.
 */
enum options_result options_parse(const struct options *options, int argc, char **argv, FILE *out,
                                  FILE *err);
void options_print_help(const struct options *options, FILE *out);
void option_list_free(struct option_list *list);

/*
 * Rows of the commonest kinds, for tables that have many of them; what is given is borrowed as in
 * struct option. A number is called "N" in the help, bytes are called "BYTES".
 */
struct option option_text(const char *name, const char *environment, const char **value,
                          const char *argument, const char *help);
struct option option_number(const char *name, const char *environment, uint64_t *value,
                            uint64_t minimum, uint64_t maximum, const char *help);
struct option option_bytes(const char *name, const char *environment, uint64_t *value,
                           uint64_t minimum, uint64_t maximum, const char *help);

#endif
