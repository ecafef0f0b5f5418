/*
 * Command lines: the input's lines are the words. Both a small table with every kind of option and
 * the table of chatd.
 */
#include "base/options.h"
#include "service/settings.h"
#include "tests/fuzz/fuzz.h"

#define WORDS_MAX 32

static FILE *nowhere;

static void check_table(int argc, char **argv)
{
    const char *text = NULL;
    struct option_list list = {0};
    bool flag = false;
    uint64_t number = 5, bytes = 4096;
    const struct option table[] = {
        {"text", NULL, OPTION_TEXT, &text, 0, 0, "TEXT", "A text.", false},
        {"user_ids", NULL, OPTION_LIST, &list, 0, 0, "ID,…", "A list.", false},
        {"flag", NULL, OPTION_FLAG, &flag, 0, 0, NULL, "A flag.", false},
        {"number", NULL, OPTION_U64, &number, 2, 1000, "N", "A number.", false},
        {"size", NULL, OPTION_BYTES, &bytes, 1024, 1 << 20, "SIZE", "A size.", true},
    };
    const struct options options = {.program = "fuzz",
                                    .usage = "fuzz [options]",
                                    .summary = "Parses options.",
                                    .table = table,
                                    .count = sizeof table / sizeof *table};

    if (options_parse(&options, argc, argv, nowhere, nowhere) == OPTIONS_OK) {
        FUZZ_CHECK(number >= 2 && number <= 1000);
        FUZZ_CHECK(bytes >= 1024 && bytes <= 1 << 20);
        for (size_t i = 0; i < list.count; i++)
            FUZZ_CHECK(list.values[i][0] != '\0' && strchr(list.values[i], ',') == NULL);
    }
    option_list_free(&list);
}

static void check_settings(int argc, char **argv)
{
    struct settings settings;

    if (settings_parse(&settings, argc, argv, nowhere, nowhere) == OPTIONS_OK)
        FUZZ_CHECK(settings.store.directory != NULL);
    settings_free(&settings);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    char *words[WORDS_MAX + 2] = {(char[]){"fuzz"}};
    char *next = text;
    int count = 1;

    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "w");
    FUZZ_CHECK(nowhere != NULL);
    while (next != NULL && count <= WORDS_MAX)
        words[count++] = strsep(&next, "\n");
    check_table(count, words);
    check_settings(count, words);
    free(text);
    return 0;
}
