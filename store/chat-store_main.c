/*
 * chat-store: what an operator does with a data directory besides running the service on it.
 *
 *     chat-store <command> --data-dir DIR [options]
 *
 *     exit status   0  done; of verify: clean
 *                   1  problems were found, or the input or the store does not permit it
 *                   2  the command line is wrong, or the directory is not there or in use
 */
#include "base/options.h"
#include "base/standard_files.h"
#include "base/version.h"
#include "store/backup.h"
#include "store/export.h"
#include "store/import.h"
#include "store/stats.h"
#include "store/verify.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_CLEAN = 0, EXIT_PROBLEMS = 1, EXIT_USAGE = 2 };

/* What the options of all commands set. */
struct settings {
    const char *directory;
    const char *target;
    const char *namespace_name;
    const char *chat_id;
    bool json;
};

struct command {
    const char *name;
    const char *usage;
    const char *summary;
    const char *details;
    const char *examples;
    int (*run)(const struct settings *settings);
};

static struct settings settings;

#define DATA_DIR                                                                                   \
    {                                                                                              \
        .name = "data-dir", .environment = "CHAT_DATA_DIR", .kind = OPTION_TEXT,                   \
        .value = &settings.directory, .argument = "DIR",                                           \
        .help = "The data directory of the service. Required."                                     \
    }

static int report(const char *command, const struct store_failure *failure)
{
    fprintf(stderr, "chat-store %s: %s\n", command, failure->detail);
    return failure->status == STORE_NOT_FOUND || failure->status == STORE_LOCKED ? EXIT_USAGE
                                                                                 : EXIT_PROBLEMS;
}

static int finish(const char *command, int status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return status;
    fprintf(stderr, "chat-store %s: cannot write the output\n", command);
    return EXIT_PROBLEMS;
}

/* --- the commands --- */

static void print_verified(const struct verify_figures *figures, FILE *out)
{
    fprintf(out,
            "%" PRIu64 " chats, %" PRIu64 " messages (%" PRIu64 " bytes), %" PRIu64
            " client ids, %" PRIu64 " pages, %" PRIu64 " journal records behind LSN %" PRIu64
            ": %s%" PRIu64 " problems\n",
            figures->rows.chats, figures->rows.messages, figures->rows.message_bytes,
            figures->rows.client_ids, figures->pages.pages_read, figures->journal_records,
            figures->settled_lsn, figures->problems == 0 ? "clean, " : "", figures->problems);
}

static int run_verify(const struct settings *s)
{
    struct verify_figures figures;
    struct store_failure failure;

    if (verify_directory(s->directory, stdout, &figures, &failure) != 0)
        return finish("verify", report("verify", &failure));
    print_verified(&figures, stdout);
    return finish("verify", figures.problems == 0 ? EXIT_CLEAN : EXIT_PROBLEMS);
}

static int run_stats(const struct settings *s)
{
    struct store_failure failure;
    struct stats stats;
    int status = EXIT_CLEAN;

    if (stats_read(s->directory, &stats, &failure) != 0)
        status = report("stats", &failure);
    else
        stats_write(&stats, s->json, stdout);
    stats_free(&stats);
    return finish("stats", status);
}

static int run_backup(const struct settings *s)
{
    struct verify_figures figures;
    struct store_failure failure;

    if (backup_make(s->directory, s->target, &figures, &failure) != 0)
        return report("backup", &failure);
    printf("%s: ", s->target);
    print_verified(&figures, stdout);
    return finish("backup", EXIT_CLEAN);
}

static int run_export(const struct settings *s)
{
    struct export_choice choice = {.namespace_name = s->namespace_name};
    struct export_figures figures;
    struct store_failure failure;
    struct uuid chat_id;

    if (s->chat_id != NULL) {
        if (!uuid_parse(s->chat_id, strlen(s->chat_id), &chat_id)) {
            fputs("chat-store export: --chat_id is no UUID\n", stderr);
            return EXIT_USAGE;
        }
        choice.chat_id = &chat_id;
    }
    if (export_write(s->directory, &choice, stdout, &figures, &failure) != 0)
        return report("export", &failure);
    return finish("export", EXIT_CLEAN);
}

static int run_import(const struct settings *s)
{
    struct import_figures figures;
    struct store_failure failure;
    int status = EXIT_CLEAN;

    if (import_read(s->directory, stdin, &figures, &failure) != 0)
        status = report("import", &failure);
    printf("%" PRIu64 " chats and %" PRIu64 " messages were imported; %" PRIu64
           " chats and %" PRIu64 " messages were there already\n",
           figures.chats, figures.messages, figures.present_chats, figures.present_messages);
    return finish("import", status);
}

/* --- the command line --- */

static const struct option data_dir[] = {DATA_DIR};
static const struct option stats_options[] = {
    DATA_DIR,
    {.name = "json", .kind = OPTION_FLAG, .value = &settings.json, .help = "As a JSON object."},
};
static const struct option backup_options[] = {
    DATA_DIR,
    {.name = "to",
     .kind = OPTION_TEXT,
     .value = &settings.target,
     .argument = "BACKUPDIR",
     .help = "The directory to make, on the same file system as the one it is in. Can be given "
             "without \"--to\". Required."},
};
static const struct option export_options[] = {
    DATA_DIR,
    {.name = "namespace",
     .environment = "CHAT_NAMESPACE",
     .kind = OPTION_TEXT,
     .value = &settings.namespace_name,
     .argument = "NAME",
     .help = "Chats of this namespace only."},
    {.name = "chat_id",
     .environment = "CHAT_CHAT_ID",
     .kind = OPTION_TEXT,
     .value = &settings.chat_id,
     .argument = "ID",
     .help = "This chat only."},
};

static const struct {
    struct command command;
    const struct option *table;
    size_t count;
} commands[] = {
    {{"verify", "chat-store verify --data-dir DIR",
      "Check everything that is stored: every checksum, every index",
      "Checks a data directory that no service runs on: the pages of the database, all rows and "
      "their checksums, every index both ways, every seq, and the journal. Writes a line for each "
      "problem and a summary. Exit status 0: clean; 1: there are problems; 2: it could not be "
      "checked. To check the store of a running service, back it up: that verifies the copy.",
      "  chat-store verify --data-dir /var/lib/chatd", run_verify},
     data_dir,
     1},
    {{"stats", "chat-store stats --data-dir DIR [--json]", "Show what is in a store",
      "Shows how many chats and messages there are, in which namespaces, what they take on disk, "
      "and how far the database is behind the journal. Beside a running service too.",
      "  chat-store stats --data-dir /var/lib/chatd --json", run_stats},
     stats_options,
     2},
    {{"backup", "chat-store backup --data-dir DIR BACKUPDIR",
      "Make a verified copy of a store, while the service runs",
      "Makes a copy that the service can be started with: all that was acknowledged when the "
      "command began, and maybe a little more, without a gap. The service goes on meanwhile. The "
      "copy is synced and verified before it gets its name. To restore, stop the service, move "
      "its data directory away and copy the backup there.",
      "  chat-store backup --data-dir /var/lib/chatd /backup/chat-2026-01-31", run_backup},
     backup_options,
     2},
    {{"export", "chat-store export --data-dir DIR [--namespace NAME] [--chat_id ID]",
      "Write chats as lines of JSON",
      "Writes chats with their users and messages to standard output, a JSON object on each line. "
      "Beside a running service too, as of the moment of its beginning.",
      "  chat-store export --data-dir /var/lib/chatd --namespace acme >acme.jsonl", run_export},
     export_options,
     3},
    {{"import", "chat-store import --data-dir DIR <LINES", "Read what export has written",
      "Reads chats from standard input into a new store, or one that no service runs on. All ids, "
      "seqs and times stay, so that readers go on where they are and a repeated Send finds its "
      "message. Chats that are there already must be the same as far as they go. Each chat is "
      "imported whole or not at all; an import that stopped can be repeated.",
      "  chat-store import --data-dir /var/lib/chatd <acme.jsonl", run_import},
     data_dir,
     1},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fputs("Usage: chat-store <command> --data-dir DIR [options]\n\n"
          "What an operator does with the data directory of the chat service.\n\nCommands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s%s\n", commands[i].command.name, commands[i].command.summary);
    fputs("\nOptions:\n  --help    Show this help, or behind a command its own, and exit.\n"
          "  --version Show the version and exit.\n",
          out);
}

/* Makes a word that belongs to no option the value of --to: `backup --data-dir DIR BACKUPDIR`. */
static int take_target(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            if (strchr(argv[i], '=') == NULL)
                i++;
            continue;
        }
        settings.target = argv[i];
        memmove(argv + i, argv + i + 1, (size_t)(argc - i) * sizeof *argv);
        return argc - 1;
    }
    return argc;
}

static int run(size_t index, int argc, char **argv)
{
    const struct command *command = &commands[index].command;
    char program[32];
    struct options options = {.program = program,
                              .usage = command->usage,
                              .summary = command->details,
                              .examples = command->examples,
                              .table = commands[index].table,
                              .count = commands[index].count};

    snprintf(program, sizeof program, "chat-store %s", command->name);
    if (command->run == run_backup)
        argc = take_target(argc, argv);
    switch (options_parse(&options, argc, argv, stdout, stderr)) {
    case OPTIONS_OK:
        break;
    case OPTIONS_HELP:
        return finish(command->name, EXIT_CLEAN);
    case OPTIONS_VERSION:
        puts("chat-store " CHAT_VERSION);
        return finish(command->name, EXIT_CLEAN);
    case OPTIONS_USAGE:
        return EXIT_USAGE;
    }
    if (settings.directory != NULL && settings.directory[0] != '\0' &&
        (command->run != run_backup || (settings.target != NULL && settings.target[0] != '\0')))
        return command->run(&settings);
    fprintf(stderr, "%s: %s is missing: %s (see %s --help)\n", program,
            settings.directory == NULL ? "--data-dir" : "the directory", command->usage, program);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    standard_files_hold();
    /* A limit on the size of files is a full disk to us. */
    signal(SIGXFSZ, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("chat-store " CHAT_VERSION);
        return finish("--version", EXIT_CLEAN);
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
        print_help(stdout);
        return finish("--help", EXIT_CLEAN);
    }
    for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i].command.name) == 0)
            return run(i, argc - 1, argv + 1);
    if (argc > 1)
        fprintf(stderr, "chat-store: unknown command \"%.80s\" (see chat-store --help)\n", argv[1]);
    else
        print_help(stderr);
    return EXIT_USAGE;
}
