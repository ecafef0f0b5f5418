/*
 * Nearly all strings are mostly ASCII, so both checks take eight bytes at a time as long as
 * these need no closer look, and decode character by character only where they do. The rest of a
 * string is the end of its last eight bytes: with these before it in order, it is too.
 */
#include "proto/utf8.h"

#include <string.h>

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t load_8(const char *data)
{
    uint64_t word;
    memcpy(&word, data, sizeof(word));
    return word;
}

/* How many continuation bytes follow this lead byte; -1 when it is no lead byte. */
static int continuation_count(uint8_t lead)
{
    if (lead < 0x80)
        return 0;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef)
        return 2;
    return lead >= 0xf0 && lead <= 0xf4 ? 3 : -1;
}

size_t utf8_read(const char *data, size_t size, uint32_t *character)
{
    static const uint8_t lead_mask[] = {0x7f, 0x1f, 0x0f, 0x07};
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    uint8_t lead = (uint8_t)data[0];
    int count = continuation_count(lead);
    if (count < 0 || size <= (size_t)count)
        return 0;
    uint32_t value = lead & lead_mask[count];
    for (int i = 1; i <= count; i++) {
        uint8_t byte = (uint8_t)data[i];
        if ((byte & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (byte & 0x3f);
    }
    if (value < smallest[count] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *character = value;
    return (size_t)count + 1;
}

static bool all_ascii(uint64_t word)
{
    return (word & EACH_BYTE(0x80)) == 0;
}

/* The end of what is plain from `at` on, which is where a character begins: as far as that can be
 * told from eight bytes at a time. */
static inline size_t skip_plain(const char *data, size_t size, size_t at,
                                bool (*is_plain)(uint64_t word))
{
    while (size - at >= 8 && is_plain(load_8(data + at)))
        at += 8;
    if (size - at < 8 && size >= 8 && is_plain(load_8(data + size - 8)))
        return size;
    return at;
}

size_t utf8_valid_length(const char *data, size_t size)
{
    size_t at = 0;
    while ((at = skip_plain(data, size, at, all_ascii)) < size) {
        if ((uint8_t)data[at] < 0x80) {
            at++;
            continue;
        }
        uint32_t character;
        size_t length = utf8_read(data + at, size - at, &character);
        if (length == 0)
            break;
        at += length;
    }
    return at;
}

/*
 * Whether eight bytes are all within 0x20 … 0x7e. Without a high bit anywhere, adding 1 carries
 * 0x7f into its high bit, and adding 0x60 carries all but those below 0x20 into theirs.
 */
static bool all_printable_ascii(uint64_t word)
{
    const uint64_t high = EACH_BYTE(0x80);
    return ((word | (word + EACH_BYTE(0x01))) & high) == 0 &&
           ((word + EACH_BYTE(0x60)) & high) == high;
}

size_t utf8_printable_length(const char *data, size_t size)
{
    size_t at = 0;
    while ((at = skip_plain(data, size, at, all_printable_ascii)) < size) {
        if ((uint8_t)(data[at] - 0x20) < 0x7f - 0x20) {
            at++;
            continue;
        }
        uint32_t character;
        size_t length = utf8_read(data + at, size - at, &character);
        if (length == 0 || utf8_is_control(character))
            break;
        at += length;
    }
    return at;
}
