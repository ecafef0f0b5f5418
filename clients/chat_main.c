/*
 * chat: the chat service from the command line.
 *
 *     chat [chat] <command> [options]   →   prepare   →   call   →   JSON on standard output
 *                                              │            │
 *                                       usage: exit 2   refused or failed: exit 1
 *
 * A leading word `chat` is skipped, so that with `alias micro=chat` a command line written as
 * `micro chat send …` works as it stands.
 */
#include "base/standard_files.h"
#include "base/version.h"
#include "clients/command.h"
#include "clients/output.h"
#include "clients/perform.h"
#include <signal.h>
#include <string.h>

static const struct command *const commands[] = {&command_new,     &command_send, &command_history,
                                                 &command_connect, &command_ping, &command_info,
                                                 &command_stats};
#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static void print_help(FILE *out)
{
    fputs("Usage: chat <command> [options]\n\n"
          "The chat service from the command line: results are JSON on standard output, errors "
          "are on\nstandard error with exit status 1, or 2 when the command line is wrong.\n\n"
          "Commands:\n",
          out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s%s\n", commands[i]->name, commands[i]->summary);
    fputs("  help      Show the help of a command: chat help send\n\n"
          "Options, after the command, are written --name=value; each is also an environment "
          "variable.\n  --help    Show this help, or with a command its own, and exit.\n"
          "  --version Show the version and exit.\n\n"
          "Examples:\n"
          "  chat new --user_ids=John,Barry\n"
          "  chat send --chat_id=$CHAT --user_id=John --subject=Hello --text='Hey Barry'\n"
          "  chat history --chat_id=$CHAT\n"
          "  chat connect --chat_id=$CHAT --user_id=John\n",
          out);
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i]->name) == 0)
            return commands[i];
    }
    return NULL;
}

static int unknown_command(const char *word)
{
    if (word[0] == '-')
        fputs("chat: the command comes first: chat send --name=value", stderr);
    else
        fprintf(stderr,
                "chat: unknown command \"%.80s\"; it must be new, send, history, connect, ping, "
                "info or stats",
                word);
    fputs(" (see chat --help)\n", stderr);
    return COMMAND_EXIT_USAGE;
}

static int perform(const struct command *command, const struct command_request *request,
                   const struct command_streams *streams)
{
    return command->run != NULL ? command->run(request, streams)
                                : perform_call(command, request, streams);
}

static int run(const struct command *command, int argc, char **argv)
{
    const struct command_streams streams = {.in = stdin, .out = stdout, .err = stderr};
    struct command_request request = {0};
    int status = COMMAND_EXIT_FAILED;

    switch (command->prepare(argc, argv, &streams, &request)) {
    case COMMAND_READY:
        status = perform(command, &request, &streams);
        break;
    case COMMAND_DONE:
        status = output_flush(stdout, stderr);
        break;
    case COMMAND_USAGE:
        status = COMMAND_EXIT_USAGE;
        break;
    case COMMAND_FAILED:
        break;
    }
    command_request_free(&request);
    return status;
}

/* `chat help send` is `chat send --help`. */
static int help(const char *word)
{
    const struct command *command = word == NULL ? NULL : find_command(word);

    if (word == NULL) {
        print_help(stdout);
        return output_flush(stdout, stderr);
    }
    if (command == NULL)
        return unknown_command(word);
    return run(command, 2, (char *[]){(char[]){"help"}, (char[]){"--help"}, NULL});
}

int main(int argc, char **argv)
{
    standard_files_hold();
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "chat") == 0) {
        argc--;
        argv++;
    }
    if (argc < 2) {
        print_help(stderr);
        return COMMAND_EXIT_USAGE;
    }
    if (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
        strcmp(argv[1], "-h") == 0)
        return help(argc > 2 ? argv[2] : NULL);
    if (strcmp(argv[1], "--version") == 0) {
        puts("chat " CHAT_VERSION);
        return output_flush(stdout, stderr);
    }
    const struct command *command = find_command(argv[1]);
    return command == NULL ? unknown_command(argv[1]) : run(command, argc - 1, argv + 1);
}
