/*
 * The database's rows. The first byte says which table; what follows is a key and a row, with and
 * without the right CRC, so that what is behind the check is reached, too.
 */
#include "store/database_rows.h"
#include "tests/fuzz/fuzz.h"

static void check_meta(const struct database_row *row)
{
    uint8_t again[DATABASE_META_ROW_BYTES];
    struct database_totals totals;
    uint32_t format;

    if (database_decode_meta(row, &totals, &format) != 0 ||
        row->key_size != DATABASE_META_KEY_BYTES ||
        memcmp(row->key, DATABASE_META_KEY, DATABASE_META_KEY_BYTES) != 0)
        return;
    FUZZ_CHECK(totals.meta.reached_lsn >= totals.meta.settled_lsn);
    if (format != DATABASE_FORMAT)
        return;
    FUZZ_CHECK(database_encode_meta(again, &totals) == row->size);
    FUZZ_CHECK(memcmp(again, row->bytes, row->size) == 0);
}

static void check_chat(const struct database_row *row)
{
    uint8_t again[DATABASE_CHAT_ROW_BYTES_MAX];
    struct database_chat chat;
    struct database_new_chat same;

    if (!database_decode_chat(row, &chat))
        return;
    FUZZ_CHECK(chat.namespace_size <= DATABASE_NAMESPACE_BYTES_MAX);
    if (strlen(chat.namespace_name) != chat.namespace_size)
        return;
    same = (struct database_new_chat){.id = chat.id,
                                      .number = chat.number,
                                      .created_ns = chat.created_ns,
                                      .namespace_name = chat.namespace_name};
    FUZZ_CHECK(database_encode_chat(again, &same) == row->size);
    FUZZ_CHECK(memcmp(again, row->bytes, row->size) == 0);
}

static void check_small(const struct database_row *row)
{
    uint64_t head;
    struct uuid id;

    if (database_decode_head(row, &head))
        FUZZ_CHECK(row->size == DATABASE_HEAD_ROW_BYTES);
    if (database_decode_users(row, &id))
        FUZZ_CHECK(memcmp(id.bytes, row->bytes, UUID_BYTES) == 0);
}

static void check_chunk(const struct database_row *row)
{
    static struct database_chunk chunk;
    const uint8_t *bytes;
    uint32_t size;

    if (!database_open_chunk(row, &chunk))
        return;
    FUZZ_CHECK(chunk.count <= DATABASE_CHUNK_MESSAGES_MAX);
    for (size_t i = 0; i < chunk.count; i++) {
        if (database_decode_message(&chunk, i, &bytes, &size))
            FUZZ_CHECK(bytes >= row->bytes && bytes + size <= row->bytes + row->size);
    }
}

static void check_bucket(const struct database_row *row)
{
    static uint8_t again[DATABASE_ROW_BYTES_MAX];
    static struct database_client clients[DATABASE_BUCKET_CLIENTS_MAX];
    bool sorted = true;
    size_t count;
    uint64_t seq;

    if (!database_open_bucket(row, &count))
        return;
    FUZZ_CHECK(count <= DATABASE_BUCKET_CLIENTS_MAX);
    for (size_t i = 0; i < count; i++) {
        database_decode_client(row, i, &clients[i]);
        sorted = sorted && (i == 0 || memcmp(clients[i - 1].digest, clients[i].digest,
                                             DATABASE_DIGEST_BYTES) < 0);
    }
    for (size_t i = 0; i < count; i++) {
        bool found = database_search_bucket(row, count, clients[i].digest, &seq);
        FUZZ_CHECK(!sorted || (found && seq == clients[i].seq));
    }
    FUZZ_CHECK(database_encode_bucket(again, row->key, row->key_size, clients, count, 0) <=
               row->size);
}

static void check(uint8_t table, const struct database_row *row)
{
    if (table % 5 == 0)
        check_meta(row);
    else if (table % 5 == 1)
        check_chat(row);
    else if (table % 5 == 2)
        check_small(row);
    else if (table % 5 == 3)
        check_chunk(row);
    else
        check_bucket(row);
}

/* Messages that were put into a chunk come out of it; the rest of the input is their text. */
static void check_messages(struct fuzz_input input)
{
    static uint8_t bytes[DATABASE_ROW_BYTES_MAX];
    static struct database_chunk chunk;
    uint8_t key[DATABASE_LOG_KEY_BYTES];
    size_t size = 0, count = 0, sizes[DATABASE_CHUNK_MESSAGES_MAX];
    const uint8_t *got, *texts = input.bytes;
    uint32_t got_size;

    while (input.size > 0 && count < DATABASE_CHUNK_MESSAGES_MAX) {
        size_t wanted = input.bytes[0] < input.size ? input.bytes[0] : input.size;
        struct database_message message = {
            .chat_number = 7, .seq = 1 + count, .bytes = input.bytes, .size = (uint32_t)wanted};
        if (wanted == 0 || size + database_message_bytes(message.size) > sizeof bytes)
            break;
        database_encode_message(bytes + size, &message);
        size += database_message_bytes(message.size);
        sizes[count++] = wanted;
        input.bytes += wanted;
        input.size -= wanted;
    }
    database_log_key(key, 7, 1);
    if (count == 0)
        return;
    FUZZ_CHECK(database_open_chunk(&(struct database_row){key, sizeof key, bytes, size}, &chunk));
    FUZZ_CHECK(chunk.count == count && !chunk.damaged && chunk.first_seq == 1);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(database_decode_message(&chunk, i, &got, &got_size));
        FUZZ_CHECK(got_size == sizes[i] && memcmp(got, texts, got_size) == 0);
        texts += got_size;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = {bytes, size};
    uint8_t table = fuzz_u8(&input), key_size = (uint8_t)(fuzz_u8(&input) % 98);
    uint8_t *key = malloc((size_t)key_size + 1);
    uint8_t *row;
    size_t row_size;

    FUZZ_CHECK(key != NULL);
    fuzz_take(&input, key, key_size);
    row_size = input.size;
    row = malloc(row_size + DATABASE_CRC_BYTES);
    FUZZ_CHECK(row != NULL);
    if (row_size > 0)
        memcpy(row, input.bytes, row_size);
    check(table, &(struct database_row){key, key_size, row, row_size});
    row_size = database_row_seal(key, key_size, row, row_size);
    check(table, &(struct database_row){key, key_size, row, row_size});
    check_messages(input);
    free(key);
    free(row);
    return 0;
}
