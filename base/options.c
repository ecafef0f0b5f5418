/*
 * The words are walked twice. The first walk only looks for --help and --version, so that they
 * work beside mistakes and show the defaults untouched; the second one sets values. What the
 * words did not set is then taken from the environment. The first mistake ends it, with one line
 * that names the word or the variable and says what would be right.
 *
 * getopt_long is not used: it takes abbreviations, which break scripts when a new option makes
 * one ambiguous, and knows nothing of the two spellings of a name (user-ids, user_ids).
 */
#include "base/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMNS 92
/* Help begins here; an option too long for it has a line of its own. */
#define HELP_INDENT 30

static const struct option help_option = {
    .name = "help", .kind = OPTION_FLAG, .help = "Show this help and exit."};
static const struct option version_option = {
    .name = "version", .kind = OPTION_FLAG, .help = "Show the version and exit."};

static const struct {
    const char *name;
    uint64_t bytes;
} units[] = {{"TiB", (uint64_t)1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}};

/* One word of the command line, or two: `--name value`. */
struct item {
    const struct option *option; /* NULL: no option, or one that is unknown */
    const char *word;            /* as it was given */
    const char *value;           /* NULL: none was given */
};

struct parser {
    const struct options *options;
    FILE *err;
};

/* Input goes into messages: on one line, whatever it holds, and not for pages. */
static void print_input(FILE *file, const char *text)
{
    size_t size = strlen(text);
    size_t shown = size > 80 ? 80 : size;

    while (shown > 0 && shown < size && ((unsigned char)text[shown] & 0xc0) == 0x80)
        shown--;
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)text[i];
        putc(c < 0x20 || c == 0x7f ? '?' : c, file);
    }
    if (shown < size)
        fputs("…", file);
}

/* ---- Names ---- */

static char same_dash(char c)
{
    return c == '_' ? '-' : c;
}

static bool name_equals(const char *name, const char *given, size_t size)
{
    if (strlen(name) != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (same_dash(name[i]) != same_dash(given[i]))
            return false;
    }
    return true;
}

static const struct option *find_option(const struct options *options, const char *name,
                                        size_t size)
{
    if (name_equals(help_option.name, name, size))
        return &help_option;
    if (name_equals(version_option.name, name, size))
        return &version_option;
    for (size_t i = 0; i < options->count; i++) {
        if (name_equals(options->table[i].name, name, size))
            return &options->table[i];
    }
    return NULL;
}

/* Levenshtein's distance, for names shorter than the row; others are far from everything. */
static size_t distance(const char *a, size_t a_size, const char *b)
{
    size_t row[64];
    size_t b_size = strlen(b);

    if (a_size >= 64 || b_size >= 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t above = row[j];
            size_t best = diagonal + (same_dash(a[i - 1]) != same_dash(b[j - 1]));
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[b_size];
}

/* The option whose name is nearest to a mistyped one, or NULL when none is near. */
static const struct option *nearest_option(const struct options *options, const char *name,
                                           size_t size)
{
    const struct option *nearest = NULL;
    size_t least = size < 5 ? 2 : 3;

    for (size_t i = 0; i < options->count; i++) {
        size_t far = distance(name, size, options->table[i].name);
        if (far < least) {
            least = far;
            nearest = &options->table[i];
        }
    }
    return nearest;
}

/* ---- Messages ---- */

static void begin_message(const struct parser *parser)
{
    fprintf(parser->err, "%s: ", parser->options->program);
}

static enum options_result end_message(const struct parser *parser)
{
    fprintf(parser->err, " (see %s --help)\n", parser->options->program);
    return OPTIONS_USAGE;
}

static enum options_result unknown_option(const struct parser *parser, const char *word)
{
    const char *name = word + 2;
    const struct option *nearest = nearest_option(parser->options, name, strcspn(name, "="));

    begin_message(parser);
    fputs("unknown option ", parser->err);
    fprintf(parser->err, "%.*s", 2, word);
    char *copy = strndup(name, strcspn(name, "="));
    print_input(parser->err, copy == NULL ? "" : copy);
    free(copy);
    if (nearest != NULL)
        fprintf(parser->err, "; did you mean --%s?", nearest->name);
    return end_message(parser);
}

static enum options_result unexpected_word(const struct parser *parser, const char *word)
{
    begin_message(parser);
    fputs("unexpected word \"", parser->err);
    print_input(parser->err, word);
    fputs("\"; options are written --name=value", parser->err);
    return end_message(parser);
}

static const char *argument_name(const struct option *option)
{
    return option->argument != NULL ? option->argument : "VALUE";
}

static enum options_result missing_value(const struct parser *parser, const struct option *option)
{
    begin_message(parser);
    fprintf(parser->err, "--%s needs a value: --%s=%s", option->name, option->name,
            argument_name(option));
    return end_message(parser);
}

static void print_bytes(FILE *out, uint64_t bytes)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (bytes > 0 && bytes % units[i].bytes == 0) {
            fprintf(out, "%" PRIu64 "%s", bytes / units[i].bytes, units[i].name);
            return;
        }
    }
    fprintf(out, "%" PRIu64, bytes);
}

static void print_number(FILE *out, const struct option *option, uint64_t number)
{
    if (option->kind == OPTION_BYTES)
        print_bytes(out, number);
    else
        fprintf(out, "%" PRIu64, number);
}

/* What would have been right. */
static void print_expected(FILE *out, const struct option *option)
{
    switch (option->kind) {
    case OPTION_FLAG:
        fputs("must be true or false", out);
        return;
    case OPTION_LIST:
        fputs("has an empty item; separate values by single commas", out);
        return;
    case OPTION_TEXT:
        return;
    case OPTION_U64:
        fputs("must be a whole number", out);
        break;
    case OPTION_BYTES:
        fputs("must be a number of bytes, such as 1000 or 64KiB,", out);
        break;
    }
    if (option->maximum > 0) {
        fputs(" from ", out);
        print_number(out, option, option->minimum);
        fputs(" to ", out);
        print_number(out, option, option->maximum);
    } else if (option->minimum > 0) {
        fputs(" of at least ", out);
        print_number(out, option, option->minimum);
    }
}

/* `source` is the option's name or its variable's. */
static enum options_result bad_value(const struct parser *parser, const struct option *option,
                                     const char *source, const char *value)
{
    begin_message(parser);
    fputs(source, parser->err);
    if (!option->secret) {
        fputs("=", parser->err);
        print_input(parser->err, value);
    }
    fputs(": ", parser->err);
    print_expected(parser->err, option);
    return end_message(parser);
}

static enum options_result no_memory(const struct parser *parser)
{
    fprintf(parser->err, "%s: out of memory\n", parser->options->program);
    return OPTIONS_USAGE;
}

/* ---- Values ---- */

static bool parse_flag(const char *text, bool *flag)
{
    if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
        *flag = true;
    else if (strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
        *flag = false;
    else
        return false;
    return true;
}

static bool parse_number(const struct option *option, const char *text, uint64_t *number)
{
    const char *digits = text;
    uint64_t parsed = 0;
    uint64_t unit = 1;

    for (; *text >= '0' && *text <= '9'; text++) {
        if (__builtin_mul_overflow(parsed, 10, &parsed) ||
            __builtin_add_overflow(parsed, (uint64_t)(*text - '0'), &parsed))
            return false;
    }
    if (text == digits)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof units[0] && option->kind == OPTION_BYTES; i++) {
        if (strcmp(text, units[i].name) == 0) {
            unit = units[i].bytes;
            text += strlen(text);
        }
    }
    if (*text != '\0' || __builtin_mul_overflow(parsed, unit, &parsed))
        return false;
    if (parsed < option->minimum || (option->maximum > 0 && parsed > option->maximum))
        return false;
    *number = parsed;
    return true;
}

void option_list_free(struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->values[i]);
    free(list->values);
    list->values = NULL;
    list->count = 0;
}

static bool list_add(struct option_list *list, const char *text, size_t size)
{
    char **grown = realloc(list->values, (list->count + 1) * sizeof *grown);

    if (grown == NULL)
        return false;
    list->values = grown;
    grown[list->count] = strndup(text, size);
    if (grown[list->count] == NULL)
        return false;
    list->count++;
    return true;
}

static bool has_empty_item(const char *text)
{
    size_t size = strlen(text);

    return text[0] == ',' || text[size - 1] == ',' || strstr(text, ",,") != NULL;
}

static bool list_add_items(struct option_list *list, const char *text)
{
    for (;;) {
        size_t size = strcspn(text, ",");
        if (!list_add(list, text, size))
            return false;
        if (text[size] == '\0')
            return true;
        text += size + 1;
    }
}

/* An empty value is an empty list: `--user-ids=` takes back a default. */
static enum options_result set_list(const struct parser *parser, const struct option *option,
                                    const char *source, const char *value)
{
    if (value[0] == '\0')
        return OPTIONS_OK;
    if (has_empty_item(value))
        return bad_value(parser, option, source, value);
    return list_add_items(option->value, value) ? OPTIONS_OK : no_memory(parser);
}

static enum options_result set_value(const struct parser *parser, const struct option *option,
                                     const char *source, const char *value)
{
    bool valid = true;

    switch (option->kind) {
    case OPTION_TEXT:
        *(const char **)option->value = value;
        break;
    case OPTION_LIST:
        return set_list(parser, option, source, value);
    case OPTION_FLAG:
        valid = parse_flag(value, option->value);
        break;
    case OPTION_U64:
    case OPTION_BYTES:
        valid = parse_number(option, value, option->value);
        break;
    }
    return valid ? OPTIONS_OK : bad_value(parser, option, source, value);
}

/* ---- The two walks ---- */

/* Takes the word at `*index`, and the next one where that is its value. */
static struct item take_item(const struct options *options, int argc, char **argv, int *index)
{
    struct item item = {.word = argv[(*index)++]};

    if (strncmp(item.word, "--", 2) != 0)
        return item;
    size_t size = strcspn(item.word + 2, "=");
    item.option = find_option(options, item.word + 2, size);
    if (item.word[2 + size] == '=')
        item.value = item.word + 2 + size + 1;
    else if (item.option != NULL && item.option->kind != OPTION_FLAG && *index < argc)
        item.value = argv[(*index)++];
    return item;
}

static enum options_result find_help(const struct options *options, int argc, char **argv)
{
    for (int index = 1; index < argc;) {
        struct item item = take_item(options, argc, argv, &index);
        if (item.option == &help_option)
            return OPTIONS_HELP;
        if (item.option == &version_option)
            return OPTIONS_VERSION;
    }
    return OPTIONS_OK;
}

static enum options_result set_from_item(const struct parser *parser, const struct item *item,
                                         bool *given)
{
    const struct option *option = item->option;
    char source[128];

    if (option == NULL && strncmp(item->word, "--", 2) == 0 && item->word[2] != '\0')
        return unknown_option(parser, item->word);
    if (option == NULL)
        return unexpected_word(parser, item->word);
    if (item->value == NULL && option->kind != OPTION_FLAG)
        return missing_value(parser, option);
    /* The first use of a list takes the place of its default, further ones add to it. */
    if (option->kind == OPTION_LIST && !*given)
        option_list_free(option->value);
    *given = true;
    snprintf(source, sizeof source, "--%s", option->name);
    return set_value(parser, option, source, item->value == NULL ? "true" : item->value);
}

static enum options_result set_from_environment(const struct parser *parser,
                                                const struct option *option)
{
    const char *value = option->environment == NULL ? NULL : getenv(option->environment);

    if (value == NULL || value[0] == '\0')
        return OPTIONS_OK;
    if (option->kind == OPTION_LIST)
        option_list_free(option->value);
    return set_value(parser, option, option->environment, value);
}

static enum options_result set_all(const struct parser *parser, int argc, char **argv, bool *given)
{
    const struct options *options = parser->options;
    enum options_result result = OPTIONS_OK;

    for (int index = 1; index < argc && result == OPTIONS_OK;) {
        struct item item = take_item(options, argc, argv, &index);
        bool *mark = item.option == NULL ? NULL : &given[item.option - options->table];
        result = set_from_item(parser, &item, mark);
    }
    for (size_t i = 0; i < options->count && result == OPTIONS_OK; i++) {
        if (!given[i])
            result = set_from_environment(parser, &options->table[i]);
    }
    return result;
}

enum options_result options_parse(const struct options *options, int argc, char **argv, FILE *out,
                                  FILE *err)
{
    struct parser parser = {.options = options, .err = err};
    enum options_result result = find_help(options, argc, argv);

    if (result == OPTIONS_HELP)
        options_print_help(options, out);
    if (result != OPTIONS_OK)
        return result;
    bool *given = calloc(options->count + 1, sizeof *given);
    if (given == NULL)
        return no_memory(&parser);
    result = set_all(&parser, argc, argv, given);
    free(given);
    return result;
}

/* ---- Help ---- */

/* Terminal columns of UTF-8 text that has no wide characters. */
static size_t columns_of(const char *text, size_t size)
{
    size_t columns = 0;

    for (size_t i = 0; i < size; i++)
        columns += ((unsigned char)text[i] & 0xc0) != 0x80;
    return columns;
}

/* A word; what is in brackets at its beginning is not broken. */
static size_t word_size(const char *text)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;

    return end == NULL ? strcspn(text, " ") : (size_t)(end - text) + strcspn(end, " ");
}

/* Prints words from `column` on, breaking lines before HELP_COLUMNS; returns where it ended. */
static size_t print_wrapped(FILE *out, const char *text, size_t indent, size_t column)
{
    while (*(text += strspn(text, " ")) != '\0') {
        size_t size = word_size(text);
        size_t width = columns_of(text, size);
        if (column > indent && column + 1 + width > HELP_COLUMNS) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            putc(' ', out);
            column++;
        }
        fwrite(text, 1, size, out);
        column += width;
        text += size;
    }
    return column;
}

static void print_list_default(FILE *out, const struct option_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        fprintf(out, "%s%s", i == 0 ? "[default: " : ",", list->values[i]);
    if (list->count > 0)
        putc(']', out);
}

static void print_default(FILE *out, const struct option *option)
{
    if (option->secret || option->value == NULL)
        return;
    if (option->kind == OPTION_TEXT) {
        const char *value = *(const char **)option->value;
        if (value != NULL && value[0] != '\0')
            fprintf(out, "[default: %s]", value);
    } else if (option->kind == OPTION_LIST) {
        print_list_default(out, option->value);
    } else if (option->kind == OPTION_FLAG) {
        if (*(bool *)option->value)
            fputs("[default: true]", out);
    } else {
        fputs("[default: ", out);
        print_number(out, option, *(uint64_t *)option->value);
        putc(']', out);
    }
}

/* The default and the variable, in brackets behind the help. */
static void print_notes(FILE *out, const struct option *option, size_t column)
{
    char *notes = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&notes, &size);

    if (memory == NULL)
        return;
    print_default(memory, option);
    if (option->environment != NULL)
        fprintf(memory, " [env: %s]", option->environment);
    if (fclose(memory) == 0)
        print_wrapped(out, notes, HELP_INDENT, column);
    free(notes);
}

static void print_option(FILE *out, const struct option *option)
{
    char name[256];

    if (option->kind == OPTION_FLAG)
        snprintf(name, sizeof name, "  --%s", option->name);
    else
        snprintf(name, sizeof name, "  --%s %s", option->name, argument_name(option));
    size_t width = columns_of(name, strlen(name));
    if (width + 2 <= HELP_INDENT)
        fprintf(out, "%s%*s", name, (int)(HELP_INDENT - width), "");
    else
        fprintf(out, "%s\n%*s", name, HELP_INDENT, "");
    size_t column = print_wrapped(out, option->help, HELP_INDENT, HELP_INDENT);
    print_notes(out, option, column);
    putc('\n', out);
}

void options_print_help(const struct options *options, FILE *out)
{
    fprintf(out, "Usage: %s\n\n", options->usage);
    if (options->summary != NULL) {
        print_wrapped(out, options->summary, 0, 0);
        fputs("\n\n", out);
    }
    fputs("Options:\n", out);
    for (size_t i = 0; i < options->count; i++)
        print_option(out, &options->table[i]);
    print_option(out, &help_option);
    print_option(out, &version_option);
    if (options->examples != NULL)
        fprintf(out, "\nExamples:\n%s\n", options->examples);
}

/* ---- Rows of tables ---- */

struct option option_text(const char *name, const char *environment, const char **value,
                          const char *argument, const char *help)
{
    return (struct option){.name = name,
                           .environment = environment,
                           .kind = OPTION_TEXT,
                           .value = value,
                           .argument = argument,
                           .help = help};
}

struct option option_number(const char *name, const char *environment, uint64_t *value,
                            uint64_t minimum, uint64_t maximum, const char *help)
{
    return (struct option){.name = name,
                           .environment = environment,
                           .kind = OPTION_U64,
                           .value = value,
                           .minimum = minimum,
                           .maximum = maximum,
                           .argument = "N",
                           .help = help};
}

struct option option_bytes(const char *name, const char *environment, uint64_t *value,
                           uint64_t minimum, uint64_t maximum, const char *help)
{
    struct option option = option_number(name, environment, value, minimum, maximum, help);

    option.kind = OPTION_BYTES;
    option.argument = "BYTES";
    return option;
}
