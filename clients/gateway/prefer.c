/*
 * preference *( "," preference ), each: token [ "=" word ] *( ";" parameter ), where a word is a
 * token or a quoted string, in which commas and semicolons mean nothing.
 */
#include "clients/gateway/prefer.h"

#include <string.h>
#include <strings.h>

#define BLANKS " \t"
/* Longer than any that is looked for. */
#define WORD_BYTES 16

/* Behind the word that begins at `text`, whose first bytes go to `word`, without quotes. */
static const char *read_word(const char *text, char word[WORD_BYTES])
{
    bool quoted = *text == '"';
    size_t size = 0;

    if (quoted)
        text++;
    for (; *text != '\0' && (quoted ? *text != '"' : strchr(BLANKS "=;,\"", *text) == NULL);
         text++) {
        if (quoted && *text == '\\' && text[1] != '\0')
            text++;
        if (size < WORD_BYTES - 1)
            word[size++] = *text;
    }
    word[size] = '\0';
    if (quoted && *text == '"')
        return text + 1;
    if (quoted)
        word[0] = '\0'; /* its end is missing */
    return text;
}

/* Behind what is left of a preference: at its comma or the end. */
static const char *skip_rest(const char *text)
{
    char word[WORD_BYTES];

    while (*text != '\0' && *text != ',')
        text = *text == '"' ? read_word(text, word) : text + 1;
    return text;
}

bool prefer_is_minimal(const char *value)
{
    const char *text = value;

    for (;;) {
        char name[WORD_BYTES];
        char word[WORD_BYTES] = "";
        text += strspn(text, BLANKS ",");
        if (*text == '\0')
            return false;
        text = read_word(text, name);
        text += strspn(text, BLANKS);
        if (*text == '=')
            text = read_word(text + 1 + strspn(text + 1, BLANKS), word);
        text = skip_rest(text);
        if (strcasecmp(name, "return") == 0)
            return strcasecmp(word, "minimal") == 0;
    }
}
