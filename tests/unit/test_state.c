/*
 * The state machine without journal, database or threads: what commands amount to, and that between
 * the tail and the database nothing is ever in neither while a request may look for it.
 */
#include "store/state.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct state state;
};

static int setup(void **fixture)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct database_meta meta = {0};

    assert_int_equal(state_init(&f->state, &meta, 0), 0);
    *fixture = f;
    return 0;
}

static int teardown(void **fixture)
{
    struct fixture *f = *fixture;
    state_free(&f->state);
    free(f);
    return 0;
}

static struct command_text text_of(const char *string)
{
    return (struct command_text){string, strlen(string)};
}

/* New for one blob of users, "\3ann\3bob" say. */
static struct state_new_result apply_new(struct fixture *f, const char *namespace_name,
                                         const char *users, const struct state_found *found)
{
    struct command_new command = {.namespace_name = namespace_name,
                                  .namespace_size = strlen(namespace_name),
                                  .users = (const uint8_t *)users,
                                  .users_size = strlen(users)};
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    struct state_new_result result;

    uuid_make(&command.chat_id);
    assert_int_equal(digest_users(&f->state.digester, command.users, command.users_size, digest),
                     0);
    assert_int_equal(state_apply_new(&f->state, &command, digest, found, &result), 0);
    return result;
}

static void client_digest(struct fixture *f, const char *user, const char *client,
                          uint8_t digest[DATABASE_DIGEST_BYTES])
{
    assert_int_equal(
        digest_client(&f->state.digester, user, strlen(user), client, strlen(client), digest), 0);
}

static struct state_send_result apply_send(struct fixture *f, struct chat *chat, const char *user,
                                           const char *client, const char *text,
                                           const struct state_found *found)
{
    struct command_send command = {.chat_id = chat->id,
                                   .sent_ns = 1,
                                   .user_id = text_of(user),
                                   .client_id = text_of(client),
                                   .subject = text_of(""),
                                   .text = text_of(text)};
    uint8_t payload[1024];
    uint8_t digest[DATABASE_DIGEST_BYTES];
    struct state_send_result result;

    uuid_make(&command.id);
    command_send_write(&command, payload);
    client_digest(f, user, client, digest);
    assert_int_equal(state_apply_send(&f->state, chat, digest, payload, command_send_size(&command),
                                      found, &result),
                     0);
    return result;
}

static struct chat *make_chat(struct fixture *f, const char *users)
{
    struct state_new_result result = apply_new(f, "default", users, NULL);
    struct chat *chat = state_find_chat(&f->state, &result.chat_id);

    assert_true(result.created);
    assert_non_null(chat);
    return chat;
}

/* A settle job from begin to the last eviction. */
static void settle(struct fixture *f)
{
    struct state_range range;

    state_settle_begin(&f->state, &range);
    state_settle_done(&f->state, &range);
    while (state_evict(&f->state, 1))
        ;
}

static void test_new_by_users_and_namespace(void **fixture)
{
    struct fixture *f = *fixture;
    struct state_new_result first = apply_new(f, "default", "\3ann\3bob", NULL);
    struct state_new_result again = apply_new(f, "default", "\3ann\3bob", NULL);
    struct state_new_result other = apply_new(f, "tenant", "\3ann\3bob", NULL);
    struct state_new_result third = apply_new(f, "default", "\3ann", NULL);

    assert_true(first.created);
    assert_false(again.created);
    assert_memory_equal(&first.chat_id, &again.chat_id, UUID_BYTES);
    assert_true(other.created);
    assert_memory_not_equal(&first.chat_id, &other.chat_id, UUID_BYTES);
    assert_true(third.created);
    assert_int_equal(f->state.chat_number_last, 3);
    assert_int_equal(f->state.applied_lsn, 4);
}

static void test_new_found_in_database(void **fixture)
{
    struct fixture *f = *fixture;
    struct state_found found = {.found = true};
    struct state_new_result result;

    uuid_make(&found.chat_id);
    result = apply_new(f, "default", "\3ann", &found);
    assert_false(result.created);
    assert_memory_equal(&result.chat_id, &found.chat_id, UUID_BYTES);
    assert_int_equal(f->state.chat_number_last, 0);
}

static void test_send_numbers_and_deduplicates(void **fixture)
{
    struct fixture *f = *fixture;
    struct chat *chat = make_chat(f, "\3ann");
    struct chat *other = make_chat(f, "\3bob");
    struct state_send_result first = apply_send(f, chat, "ann", "1", "hello", NULL);
    struct state_send_result again = apply_send(f, chat, "ann", "1", "hello", NULL);

    assert_int_equal(first.seq, 1);
    assert_false(first.duplicate);
    assert_true(again.duplicate);
    assert_ptr_equal(again.message, first.message);
    assert_int_equal(apply_send(f, chat, "ann", "1", "HELLO", NULL).status, STORE_CLIENT_ID_REUSED);
    assert_int_equal(apply_send(f, chat, "bob", "1", "hello", NULL).seq, 2);
    assert_int_equal(apply_send(f, other, "ann", "1", "hello", NULL).seq, 1);
    /* The boundary between user and client id is part of the key. */
    assert_int_equal(apply_send(f, chat, "an", "n1", "hello", NULL).seq, 3);
    assert_int_equal(chat->head_seq, 3);
    assert_int_equal(f->state.applied_lsn, 8);
}

static void test_send_found_in_database(void **fixture)
{
    struct fixture *f = *fixture;
    struct chat *chat = make_chat(f, "\3ann");
    struct state_send_result original = apply_send(f, chat, "ann", "1", "hello", NULL);
    uint8_t copy[512];
    struct state_found found = {.found = true, .message = copy, .seq = 1};
    struct state_send_result result;

    memcpy(copy, original.message, original.message_size);
    found.message_size = original.message_size;
    settle(f);
    assert_int_equal(state_tail_seq(chat), 2);
    result = apply_send(f, chat, "ann", "1", "hello", &found);
    assert_true(result.duplicate);
    assert_int_equal(result.seq, 1);
    assert_int_equal(apply_send(f, chat, "ann", "1", "other", &found).status,
                     STORE_CLIENT_ID_REUSED);
    found.message = NULL; /* the row is damaged: still no second message */
    assert_int_equal(apply_send(f, chat, "ann", "1", "hello", &found).status, STORE_CORRUPT);
    assert_int_equal(chat->head_seq, 1);
}

static void test_ring_grows_and_wraps(void **fixture)
{
    struct fixture *f = *fixture;
    struct chat *chat = make_chat(f, "\3ann");
    char client[16];
    uint64_t sent = 0;

    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 7 + round * 10; i++) {
            snprintf(client, sizeof client, "%" PRIu64, ++sent);
            assert_int_equal(apply_send(f, chat, "ann", client, client, NULL).seq, sent);
        }
        for (uint64_t seq = state_tail_seq(chat); seq <= sent; seq++)
            assert_int_equal(state_message(chat, seq)->seq, seq);
        if (round != 2)
            settle(f);
    }
}

/* A request that looked before the commit may not see in its snapshot what was settled: the tail
 * must keep it. */
static void test_eviction_waits_for_older_requests(void **fixture)
{
    struct fixture *f = *fixture;
    struct chat *chat = make_chat(f, "\3ann");
    uint8_t digest[DATABASE_DIGEST_BYTES];
    struct state_range range;
    unsigned older = state_enter(&f->state);
    unsigned newer;

    client_digest(f, "ann", "1", digest);
    apply_send(f, chat, "ann", "1", "hello", NULL);
    state_settle_begin(&f->state, &range);
    state_settle_done(&f->state, &range);
    newer = state_enter(&f->state);
    assert_false(state_evict(&f->state, 100));
    assert_non_null(state_find_client(&f->state, chat, digest));
    assert_true(state_evicting(&f->state));
    state_leave(&f->state, older);
    /* The newer one began after the commit and holds nothing up. */
    assert_false(state_evict(&f->state, 100));
    assert_null(state_find_client(&f->state, chat, digest));
    assert_false(state_evicting(&f->state));
    state_leave(&f->state, newer);
}

/* A request that waits for room must not keep the next jobs from making it: however many finish
 * meanwhile, each message stays until those are through that began before its commit. */
static void test_more_jobs_finish_before_the_first_is_evicted(void **fixture)
{
    struct fixture *f = *fixture;
    struct chat *chat = make_chat(f, "\3ann");
    const char *names[] = {"1", "2", "3"};
    uint8_t digest[3][DATABASE_DIGEST_BYTES];
    struct state_range range;
    unsigned older = state_enter(&f->state);
    unsigned between = 0;

    for (unsigned i = 0; i < 3; i++) {
        client_digest(f, "ann", names[i], digest[i]);
        apply_send(f, chat, "ann", names[i], "text", NULL);
        state_settle_begin(&f->state, &range);
        assert_int_equal(range.message_count, 1);
        assert_int_equal(range.first->seq, i + 1);
        state_settle_done(&f->state, &range);
        if (i == 0)
            between = state_enter(&f->state);
    }
    /* A job that had nothing to write takes nothing back. */
    state_settle_begin(&f->state, &range);
    state_settle_done(&f->state, &range);
    assert_false(state_evict(&f->state, 100));
    assert_non_null(state_find_client(&f->state, chat, digest[0]));
    state_leave(&f->state, older);
    while (state_evict(&f->state, 100))
        ;
    assert_null(state_find_client(&f->state, chat, digest[0]));
    assert_non_null(state_find_client(&f->state, chat, digest[1]));
    assert_non_null(state_find_client(&f->state, chat, digest[2]));
    state_leave(&f->state, between);
    while (state_evict(&f->state, 100))
        ;
    assert_null(state_find_client(&f->state, chat, digest[1]));
    assert_null(state_find_client(&f->state, chat, digest[2]));
    assert_int_equal(f->state.tail.count, 0);
    assert_false(state_evicting(&f->state));
}

/* A job that failed is begun again, with what came since. */
static void test_a_failed_job_changes_nothing(void **fixture)
{
    struct fixture *f = *fixture;
    struct chat *chat = make_chat(f, "\3ann");
    struct state_range range;

    apply_send(f, chat, "ann", "1", "one", NULL);
    state_settle_begin(&f->state, &range);
    apply_send(f, chat, "ann", "2", "two", NULL);
    state_settle_begin(&f->state, &range);
    assert_int_equal(range.message_count, 2);
    assert_int_equal(range.chat_count, 1);
    assert_int_equal(range.settled_lsn, 3);
}

/* The limit is 0: of all chats that have settled, the last one stays. */
static void test_namespaces_go_with_their_chats(void **fixture)
{
    struct fixture *f = *fixture;
    struct state_new_result last = {0};
    char name[16];

    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "tenant-%d", i % 500);
        last = apply_new(f, name, i < 500 ? "\3ann" : "\3bob", NULL);
    }
    assert_int_equal(f->state.namespaces.count, 500);
    settle(f);
    assert_int_equal(f->state.chats.count, 1);
    assert_int_equal(f->state.namespaces.count, 1);
    assert_string_equal(state_find_chat(&f->state, &last.chat_id)->namespace_name, "tenant-499");
}

static void test_idle_chats_are_dropped(void **fixture)
{
    struct fixture *f = *fixture; /* its limit is 0: one idle chat stays, the last */
    struct chat *first = make_chat(f, "\3ann");
    struct uuid first_id = first->id;
    struct uuid second_id;

    state_pin(&f->state, first);
    second_id = make_chat(f, "\3bob")->id;
    settle(f);
    assert_non_null(state_find_chat(&f->state, &first_id));
    assert_non_null(state_find_chat(&f->state, &second_id));
    state_unpin(&f->state, first);
    assert_non_null(state_find_chat(&f->state, &first_id));
    assert_null(state_find_chat(&f->state, &second_id));
}

static void test_unsettled_chats_stay(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid ids[3];
    struct chat *chat;

    ids[0] = make_chat(f, "\3ann")->id;
    ids[1] = make_chat(f, "\3bob")->id;
    ids[2] = make_chat(f, "\3eve")->id;
    settle(f);
    chat = make_chat(f, "\3joe");
    for (int i = 0; i < 3; i++)
        state_pin(&f->state, chat), state_unpin(&f->state, chat);
    assert_false(chat->idle);
    assert_non_null(state_find_chat(&f->state, &chat->id));
    apply_send(f, chat, "joe", "1", "hi", NULL);
    settle(f);
    assert_true(chat->idle);
    assert_null(state_find_chat(&f->state, &ids[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_new_by_users_and_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(test_new_found_in_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_numbers_and_deduplicates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_send_found_in_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ring_grows_and_wraps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eviction_waits_for_older_requests, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_jobs_finish_before_the_first_is_evicted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_job_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_namespaces_go_with_their_chats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_idle_chats_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unsettled_chats_stay, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
