/* Pages of messages: they come out as they went in, from both sides and whatever the memory before,
 * and their bytes are what a protobuf reader takes for a HistoryResponse. */
#include "store/message_page.h"

#include "chat.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MESSAGES 300

/* Sizes that take one, two and three bytes to say; some messages are empty. */
static size_t size_of(uint64_t seq)
{
    return seq % 50 == 0 ? 20000 : seq % 7 == 0 ? 0 : seq * 37 % 400;
}

/* As a field that Message has not: what is inside is no concern of the page's. */
static void make_message(uint64_t seq, uint8_t bytes[20000])
{
    memset(bytes, (int)(seq % 251), 20000);
}

static void add(struct message_page *page, uint64_t seq, bool backwards)
{
    uint8_t *bytes = malloc(20000);

    assert_non_null(bytes);
    make_message(seq, bytes);
    assert_true(message_page_add(page, seq, bytes, size_of(seq), backwards));
    free(bytes);
}

/* The messages from `first` to `last`, and nothing else. */
static void check(const struct message_page *page, uint64_t first, uint64_t last)
{
    struct message_view view = {0};
    uint8_t *bytes = malloc(20000);
    size_t size = 0;

    assert_non_null(bytes);
    assert_int_equal(page->count, last + 1 - first);
    assert_int_equal(page->first_seq, first);
    assert_true(page->end + MESSAGE_PAGE_SPARE_BYTES <= page->capacity);
    for (uint64_t seq = first; seq <= last; seq++) {
        assert_true(message_page_next(page, &view));
        assert_int_equal(view.seq, seq);
        assert_int_equal(view.size, size_of(seq));
        make_message(seq, bytes);
        assert_memory_equal(view.bytes, bytes, view.size);
        size += view.size;
    }
    assert_false(message_page_next(page, &view));
    assert_int_equal(page->size, size);
    free(bytes);
}

static void test_both_ways(void **state)
{
    struct message_page page = {0};

    (void)state;
    for (int round = 0; round < 4; round++) {
        bool backwards = round % 2 == 1;
        for (uint64_t i = 0; i < MESSAGES; i++) {
            add(&page, backwards ? 1000 - i : 1000 + i, backwards);
            if (i % 60 == 0)
                check(&page, backwards ? 1000 - i : 1000, backwards ? 1000 : 1000 + i);
        }
        check(&page, backwards ? 1001 - MESSAGES : 1000, backwards ? 1000 : 999 + MESSAGES);
        message_page_clear(&page);
    }
    message_page_free(&page);
    assert_null(page.bytes);
}

static void test_empty(void **state)
{
    struct message_page page = {0};
    struct message_view view = {0};

    (void)state;
    assert_false(message_page_next(&page, &view));
    assert_true(message_page_reserve(&page, 0, 100, true));
    assert_false(message_page_next(&page, &view));
    assert_int_equal(page.begin, page.end);
    assert_true(page.end + MESSAGE_PAGE_SPARE_BYTES <= page.capacity);
    message_page_free(&page);
}

/* What was reserved is taken without moving, at the side that it was reserved at. */
static void test_reserve(void **state)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        struct message_page page = {0};
        const uint8_t *bytes;
        (void)state;
        add(&page, 500, backwards != 0);
        assert_true(message_page_reserve(&page, 200, 200 * 20000, backwards != 0));
        bytes = page.bytes;
        for (uint64_t i = 1; i <= 200; i++)
            add(&page, backwards != 0 ? 500 - i : 500 + i, backwards != 0);
        assert_ptr_equal(page.bytes, bytes);
        check(&page, backwards != 0 ? 300 : 500, backwards != 0 ? 500 : 700);
        message_page_free(&page);
    }
}

/* The spare bytes are there to be written to, and the whole is what a decoder takes. */
static void test_wire_form(void **state)
{
    for (int backwards = 0; backwards < 2; backwards++) {
        struct message_page page = {0};
        Chat__HistoryResponse *response;
        uint8_t packed[64];
        (void)state;
        for (uint64_t i = 0; i < 100; i++) {
            uint64_t seq = backwards != 0 ? 1099 - i : 1000 + i;
            Chat__Message message;
            chat__message__init(&message);
            message.seq = seq;
            assert_true(message_page_add(&page, seq, packed, chat__message__pack(&message, packed),
                                         backwards != 0));
        }
        memset(page.bytes + page.end, 0x18,
               MESSAGE_PAGE_SPARE_BYTES); /* more = …, again and again */
        response = chat__history_response__unpack(
            NULL, page.end - page.begin + MESSAGE_PAGE_SPARE_BYTES, page.bytes + page.begin);
        assert_non_null(response);
        assert_true(response->more);
        assert_int_equal(response->n_messages, 100);
        for (size_t i = 0; i < 100; i++)
            assert_int_equal(response->messages[i]->seq, 1000 + i);
        chat__history_response__free_unpacked(response, NULL);
        message_page_free(&page);
    }
}

static void test_budget(void **state)
{
    struct message_page page = {0};

    (void)state;
    assert_true(message_page_fits(&page, 5000, 0)); /* the first one always does */
    assert_true(message_page_add(&page, 1, (const uint8_t *)"0123456789", 10, false));
    assert_true(message_page_fits(&page, 20, 10 + 8 + 20 + 8));
    assert_false(message_page_fits(&page, 21, 10 + 8 + 20 + 8));
    assert_false(message_page_fits(&page, 0, 10 + 8 + 7));
    assert_false(message_page_fits(&page, 0, 10)); /* it is beyond it already */
    assert_false(message_page_fits(&page, 0, 0));
    message_page_free(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_reserve),   cmocka_unit_test(test_wire_form),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
