/*
 * Many users of libchat in one process, for tests; the broker is in CHAT_NATS_URL.
 *
 *   crowd follow CHAT_ID STATE_FILE FIRST COUNT [slow]
 *     Follows the chat COUNT times. Follower i keeps in record i of the file which seq is its next
 *     one, and a digest of what it was shown, with one write per message: whoever starts the
 *     process again after a kill -9 resumes where it was. Now and then it closes one at random
 *     and resumes it likewise. With `slow` each takes one message per second, until SIGUSR1. What
 *     is not the next message ends it with status 3.
 *
 *   crowd flood CHAT_ID CONNECTIONS COUNT [ATTEMPT_MS]
 *     Makes the connections; then COUNT sends at once, spread over them, with the client ids f-0,
 *     f-1, … and no deadline; each attempt waits so long for a reply. Says how many were
 * acknowledged, when all have ended.
 *
 *   crowd read CHAT_ID
 *     Asks for a page, waits for it, asks again after a pause, until SIGTERM. Then says how long
 *     it waited, in microseconds.
 */
#include "clients/libchat/chat.h"
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLOSE_INTERVAL_MS 50
#define SLOW_INTERVAL_MS 1000
#define READ_PAUSE_MS 5
#define LATENCIES_MAX 1000000

static uv_loop_t *loop;
static const char *url;
static const char *chat_id;

static struct chat_options options_of(const char *name)
{
    return (struct chat_options){.urls = &url, .url_count = 1, .name = name};
}

__attribute__((noreturn)) static void die(const char *what, int status)
{
    fprintf(stderr, "crowd: %s: %s\n", what, chat_strerror(status));
    exit(1);
}

/* ---- follow ---- */

struct record {
    uint64_t next;
    uint64_t digest;
};

struct follower {
    uint64_t index;
    struct record record;
    struct chat_follow *follow; /* NULL while it is closing */
    uv_timer_t pause;
};

static struct chat_client *client;
static struct follower *followers;
static uint64_t follower_count;
static int state_file;
static bool slow;
static bool ending; /* the client and its follows are being closed */

static uint64_t digest_add(uint64_t digest, const char *text)
{
    for (; *text != '\0'; text++)
        digest = (digest ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return digest;
}

static void on_pause_over(uv_timer_t *timer)
{
    struct follower *f = timer->data;

    if (f->follow != NULL && !ending)
        chat_follow_resume(f->follow);
}

static void on_message(struct chat_follow *follow, void *data, const struct chat_message *message)
{
    struct follower *f = data;
    off_t place = (off_t)(f->index * sizeof f->record);

    if (message->seq != f->record.next) {
        fprintf(stderr,
                "crowd: follower %" PRIu64 " was shown %" PRIu64 " instead of %" PRIu64 "\n",
                f->index, message->seq, f->record.next);
        exit(3);
    }
    f->record.next++;
    f->record.digest = digest_add(digest_add(f->record.digest, message->id), message->text);
    if (pwrite(state_file, &f->record, sizeof f->record, place) != (ssize_t)sizeof f->record) {
        perror("crowd: the state file");
        exit(1);
    }
    if (slow) {
        chat_follow_pause(follow);
        uv_timer_start(&f->pause, on_pause_over, SLOW_INTERVAL_MS, 0);
    }
}

static void on_state(struct chat_follow *follow, void *data, enum chat_follow_state state)
{
    const char *detail;

    (void)data;
    if (state != CHAT_FOLLOW_FAILED)
        return;
    (void)chat_follow_error(follow, &detail);
    fprintf(stderr, "crowd: %s\n", detail);
    exit(1);
}

static void start_follow(void *data)
{
    struct follower *f = data;
    const struct chat_follow_options options = {.chat_id = chat_id,
                                                .from_seq = f->record.next,
                                                .data = f,
                                                .message = on_message,
                                                .state = on_state};
    int status;

    if (ending)
        return;
    status = chat_follow_start(client, &f->follow, &options);
    if (status != CHAT_OK)
        die("follow", status);
}

static void on_close_one(uv_timer_t *timer)
{
    struct follower *f = &followers[(uint64_t)rand() % follower_count];
    struct chat_follow *follow = f->follow;

    (void)timer;
    if (follow == NULL || slow || ending)
        return;
    f->follow = NULL;
    chat_follow_close(follow, start_follow, f);
}

static void on_hurry(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    slow = false;
    for (uint64_t i = 0; i < follower_count; i++)
        on_pause_over(&followers[i].pause);
}

static void stop_loop(void *data)
{
    (void)data;
    uv_stop(loop);
}

static void on_terminate(uv_signal_t *handle, int number)
{
    (void)handle;
    (void)number;
    ending = true;
    chat_close(client, stop_loop, NULL);
}

static void watch(uv_signal_t *handle, int number, uv_signal_cb callback)
{
    uv_signal_init(loop, handle);
    uv_signal_start(handle, callback, number);
}

static void start_follower(uint64_t i, uint64_t first)
{
    struct follower *f = &followers[i];

    f->index = first + i;
    uv_timer_init(loop, &f->pause);
    f->pause.data = f;
    if (pread(state_file, &f->record, sizeof f->record, (off_t)(f->index * sizeof f->record)) !=
            (ssize_t)sizeof f->record ||
        f->record.next == 0)
        f->record = (struct record){.next = 1};
    start_follow(f);
}

static int follow(const char *path, uint64_t first, uint64_t count)
{
    const struct chat_options options = options_of("crowd follow");
    uv_signal_t hurry, terminate;
    uv_timer_t closer;
    int status = chat_connect(&client, loop, &options);

    if (status != CHAT_OK)
        die("connect", status);
    state_file = open(path, O_RDWR | O_CREAT, 0600);
    followers = calloc(count, sizeof *followers);
    follower_count = count;
    if (state_file < 0 || followers == NULL) {
        perror("crowd: the state file");
        return 1;
    }
    srand((unsigned)(getpid() + (int)first));
    watch(&hurry, SIGUSR1, on_hurry);
    watch(&terminate, SIGTERM, on_terminate);
    uv_timer_init(loop, &closer);
    uv_timer_start(&closer, on_close_one, CLOSE_INTERVAL_MS, CLOSE_INTERVAL_MS);
    for (uint64_t i = 0; i < count; i++)
        start_follower(i, first);
    uv_run(loop, UV_RUN_DEFAULT);
    free(followers);
    return 0;
}

/* ---- flood ---- */

struct flood {
    uint64_t connections;
    uint64_t count;
    uint64_t up;
    uint64_t ended;
    uint64_t acknowledged;
    uint64_t duplicates;
    uint64_t began_ns;
    struct chat_client **clients;
    struct chat_call *calls;
};

static void on_sent(struct chat_call *call)
{
    struct flood *flood = call->data;

    flood->ended++;
    if (call->status == CHAT_OK) {
        flood->acknowledged++;
        flood->duplicates += call->result.sent.duplicate;
    } else {
        fprintf(stderr, "crowd: %s: %s\n", chat_strerror(call->status), call->detail);
    }
    if (flood->ended == flood->count)
        uv_stop(loop);
}

static void send_all(struct flood *flood)
{
    char id[32];

    flood->began_ns = uv_hrtime();
    for (uint64_t i = 0; i < flood->count; i++) {
        const struct chat_send_options options = {.context.timeout_ms = UINT64_MAX,
                                                  .client_id = id,
                                                  .chat_id = chat_id,
                                                  .user_id = "flood",
                                                  .text = id};
        int status;
        snprintf(id, sizeof id, "f-%" PRIu64, i);
        flood->calls[i].data = flood;
        status =
            chat_send(flood->clients[i % flood->connections], &flood->calls[i], &options, on_sent);
        if (status != CHAT_OK)
            die("send", status);
    }
}

static void on_connection(void *data, int status, const char *detail)
{
    struct flood *flood = data;

    (void)detail;
    if (status == CHAT_OK && ++flood->up == flood->connections && flood->began_ns == 0)
        send_all(flood);
}

static int flood(uint64_t connections, uint64_t count, uint64_t attempt_ms)
{
    struct flood f = {.connections = connections,
                      .count = count,
                      .clients = calloc(connections, sizeof(struct chat_client *)),
                      .calls = calloc(count, sizeof(struct chat_call))};
    struct chat_options options = options_of("crowd flood");

    if (f.clients == NULL || f.calls == NULL)
        die("flood", CHAT_ENOMEM);
    options.data = &f;
    options.connection = on_connection;
    options.attempt_timeout_ms = attempt_ms;
    for (uint64_t i = 0; i < connections; i++) {
        int status = chat_connect(&f.clients[i], loop, &options);
        if (status != CHAT_OK)
            die("connect", status);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    printf("{\"acknowledged\": %" PRIu64 ", \"duplicates\": %" PRIu64 ", \"took_ms\": %" PRIu64
           "}\n",
           f.acknowledged, f.duplicates, (uv_hrtime() - f.began_ns) / 1000000);
    for (uint64_t i = 0; i < connections; i++)
        chat_close(f.clients[i], NULL, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    free(f.clients);
    free(f.calls);
    return f.acknowledged == count ? 0 : 1;
}

/* ---- read ---- */

static uint64_t latencies_us[LATENCIES_MAX];
static size_t latency_count;
static uint64_t asked_ns;
static struct chat_call page;
static uv_timer_t read_pause;

static void on_page(struct chat_call *call)
{
    if (ending)
        return;
    if (call->status != CHAT_OK)
        die(call->detail, call->status);
    if (latency_count < LATENCIES_MAX)
        latencies_us[latency_count++] = (uv_hrtime() - asked_ns) / 1000;
    if (latency_count == 1)
        puts("reading");
    fflush(stdout);
    uv_timer_again(&read_pause);
}

static void on_ask(uv_timer_t *timer)
{
    const struct chat_history_options options = {
        .context.timeout_ms = UINT64_MAX, .chat_id = chat_id, .limit = 10};
    int status;

    uv_timer_stop(timer);
    asked_ns = uv_hrtime();
    status = chat_history(client, &page, &options, on_page);
    if (status != CHAT_OK && !ending)
        die("history", status);
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static int read_pages(void)
{
    const struct chat_options options = options_of("crowd read");
    uv_signal_t terminate;
    int status = chat_connect(&client, loop, &options);

    if (status != CHAT_OK)
        die("connect", status);
    watch(&terminate, SIGTERM, on_terminate);
    uv_timer_init(loop, &read_pause);
    uv_timer_start(&read_pause, on_ask, READ_PAUSE_MS, READ_PAUSE_MS);
    uv_run(loop, UV_RUN_DEFAULT);
    qsort(latencies_us, latency_count, sizeof *latencies_us, ascending);
    if (latency_count > 0)
        printf("{\"count\": %zu, \"p50\": %" PRIu64 ", \"p99\": %" PRIu64 ", \"max\": %" PRIu64
               "}\n",
               latency_count, latencies_us[latency_count / 2],
               latencies_us[latency_count * 99 / 100], latencies_us[latency_count - 1]);
    return 0;
}

int main(int argc, char **argv)
{
    url = getenv("CHAT_NATS_URL");
    loop = uv_default_loop();
    if (url == NULL || argc < 3) {
        fputs("crowd: see the head of crowd.c\n", stderr);
        return 2;
    }
    chat_id = argv[2];
    if (strcmp(argv[1], "follow") == 0 && argc >= 6) {
        slow = argc > 6;
        return follow(argv[3], strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10));
    }
    if (strcmp(argv[1], "flood") == 0 && argc >= 5)
        return flood(strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10),
                     argc > 5 ? strtoull(argv[5], NULL, 10) : 0);
    if (strcmp(argv[1], "read") == 0)
        return read_pages();
    return 2;
}
