/*
 * The replies are made at the start, one for each method. A request is answered with the bytes that
 * its method has, whatever it holds: nothing is read of it but its subject and its reply subject.
 *
 * "ready" takes a message to itself: when the broker has sent it back, it knows the subscription.
 */
#include "clients/bench/responder.h"

#include "clients/bench/bench_link.h"
#include "clients/bench/request_template.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#define READY_TIMEOUT_MS 5000
#define READY "ready\n"

struct body {
    const char *method;
    uint8_t *bytes; /* owned */
    size_t size;
};

struct responder {
    uv_loop_t loop;
    struct links links;
    struct body bodies[3];
    size_t method_offset; /* of the method in a subject */
    FILE *out;
    FILE *err;
    int exit_status;
    struct connection_subscription echo;
    char echo_subject[LINK_INBOX_BYTES + 8];
    uv_timer_t patience; /* for the echo */
    uv_signal_t interrupt;
    uv_signal_t terminate;
};

/* ---- Answering ---- */

static const struct body *body_of(const struct responder *responder, const char *subject)
{
    for (size_t i = 0; i < 3; i++) {
        const struct body *body = &responder->bodies[i];
        size_t size = strlen(body->method);
        if (strncmp(subject, body->method, size) == 0 &&
            (subject[size] == '\0' || subject[size] == '.'))
            return body;
    }
    return NULL;
}

static void receive(void *data, natsMsg *message)
{
    struct responder *responder = data;
    const char *reply = natsMsg_GetReply(message);
    const struct body *body =
        body_of(responder, natsMsg_GetSubject(message) + responder->method_offset);

    /* A reply that the connection does not take is one that the other side misses, and counts. */
    if (reply != NULL && body != NULL)
        (void)connection_publish(responder->links.links[0].connection, reply, NULL, NULL, NULL,
                                 body->bytes, body->size);
}

/* ---- Starting and stopping ---- */

static int make_body(struct body *body, const char *method, uint64_t size, uint64_t records)
{
    *body = (struct body){.method = method, .bytes = malloc((size_t)size), .size = (size_t)size};
    return body->bytes != NULL && reply_fill(body->bytes, body->size, (size_t)records) ? 0 : -1;
}

static int make_bodies(struct responder *responder, const struct responder_settings *s)
{
    if (make_body(&responder->bodies[0], "Send", s->send_bytes, 1) != 0 ||
        make_body(&responder->bodies[1], "History", s->history_bytes, s->history_messages) != 0 ||
        make_body(&responder->bodies[2], "New", s->new_bytes, 1) != 0)
        return -1;
    return 0;
}

static void free_bodies(struct responder *responder)
{
    for (size_t i = 0; i < 3; i++)
        free(responder->bodies[i].bytes);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    uv_stop(handle->loop);
}

static void on_echo(void *data, natsMsg *message)
{
    struct responder *responder = data;

    (void)message;
    connection_unsubscribe(responder->links.links[0].connection, &responder->echo);
    uv_timer_stop(&responder->patience);
    fputs(READY, responder->out);
    fflush(responder->out);
}

static void on_patience(uv_timer_t *timer)
{
    struct responder *responder = timer->data;

    fputs(BENCH_PROGRAM ": the broker does not answer\n", responder->err);
    responder->exit_status = EXIT_FAILURE;
    uv_stop(&responder->loop);
}

static void await_echo(struct responder *responder)
{
    struct link *link = &responder->links.links[0];

    snprintf(responder->echo_subject, sizeof responder->echo_subject, "%sready", link->inbox);
    responder->echo = (struct connection_subscription){
        .subject = responder->echo_subject, .data = responder, .receive = on_echo};
    connection_subscribe(link->connection, &responder->echo);
    (void)connection_publish(link->connection, responder->echo_subject, NULL, NULL, NULL, NULL, 0);
    uv_timer_init(&responder->loop, &responder->patience);
    responder->patience.data = responder;
    uv_timer_start(&responder->patience, on_patience, READY_TIMEOUT_MS, 0);
}

static void watch_signal(struct responder *responder, uv_signal_t *handle, int number)
{
    uv_signal_init(&responder->loop, handle);
    uv_signal_start(handle, on_signal, number);
}

static void start_handles(struct responder *responder)
{
    watch_signal(responder, &responder->interrupt, SIGINT);
    watch_signal(responder, &responder->terminate, SIGTERM);
    await_echo(responder);
}

static void close_all(struct responder *responder)
{
    uv_close((uv_handle_t *)&responder->patience, NULL);
    uv_close((uv_handle_t *)&responder->interrupt, NULL);
    uv_close((uv_handle_t *)&responder->terminate, NULL);
    links_close(&responder->links);
    uv_run(&responder->loop, UV_RUN_DEFAULT); /* closes the handles */
    uv_loop_close(&responder->loop);
}

int responder_run(const struct responder_settings *settings, FILE *out, FILE *err)
{
    struct responder responder = {.out = out, .err = err, .exit_status = EXIT_SUCCESS};
    char subject[32];
    const struct link_subject requests = {
        .subject = subject, .data = &responder, .receive = receive};

    snprintf(subject, sizeof subject, "%s.>", settings->prefix);
    responder.method_offset = strlen(settings->prefix) + 1;
    if (make_bodies(&responder, settings) != 0 || uv_loop_init(&responder.loop) != 0) {
        fputs(BENCH_PROGRAM ": out of memory\n", err);
        free_bodies(&responder);
        return EXIT_FAILURE;
    }
    if (links_open(&responder.links, &responder.loop, &settings->broker, 1, &requests, err) != 0) {
        uv_loop_close(&responder.loop);
        free_bodies(&responder);
        return EXIT_FAILURE;
    }
    start_handles(&responder);
    uv_run(&responder.loop, UV_RUN_DEFAULT);
    close_all(&responder);
    free_bodies(&responder);
    return responder.exit_status;
}

/* ---- In a process of its own ---- */

static void set_variable(const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0')
        setenv(name, value, 1);
    else
        unsetenv(name);
}

static void set_number(const char *name, uint64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    setenv(name, text, 1);
}

static void set_urls(const struct option_list *urls)
{
    char text[4096] = "";
    size_t used = 0;

    for (size_t i = 0; i < urls->count && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i == 0 ? "" : ",",
                                 urls->values[i]);
    set_variable("CHAT_NATS_URL", text);
}

static void set_environment(const struct responder_settings *s)
{
    set_urls(&s->broker.nats_urls);
    set_variable("CHAT_USER", s->broker.user);
    set_variable("CHAT_PASSWORD", s->broker.password);
    set_variable("CHAT_TOKEN", s->broker.token);
    set_variable("CHAT_NKEY_SEED", s->broker.nkey_seed_file);
    set_variable("CHAT_CREDENTIALS", s->broker.credentials_file);
    set_variable("CHAT_TLS_CA", s->broker.tls_ca_file);
    set_variable("CHAT_TLS_CERT", s->broker.tls_cert_file);
    set_variable("CHAT_TLS_KEY", s->broker.tls_key_file);
    set_variable("CHAT_INBOX_PREFIX", s->broker.inbox_prefix);
    set_variable("CHAT_BENCH_PREFIX", s->prefix);
    set_number("CHAT_BENCH_SEND_BYTES", s->send_bytes);
    set_number("CHAT_BENCH_HISTORY_BYTES", s->history_bytes);
    set_number("CHAT_BENCH_HISTORY_MESSAGES", s->history_messages);
    set_number("CHAT_BENCH_NEW_BYTES", s->new_bytes);
}

/* In the child: only what is safe after a fork. */
static void become_responder(int output, pid_t parent)
{
    static char program[] = BENCH_PROGRAM, command[] = "responder";
    char *const words[] = {program, command, NULL};

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    dup2(output, STDOUT_FILENO);
    execv("/proc/self/exe", words);
    _exit(EXIT_FAILURE);
}

/* The other end closes when the process ends without a word. */
static bool is_ready(int input)
{
    char line[sizeof READY];
    size_t used = 0;

    while (used < strlen(READY)) {
        ssize_t got = read(input, line + used, strlen(READY) - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        used += (size_t)got;
    }
    return memcmp(line, READY, strlen(READY)) == 0;
}

pid_t responder_start(const struct responder_settings *settings, FILE *err)
{
    int ends[2];
    pid_t parent = getpid();
    pid_t pid;

    set_environment(settings);
    if (pipe(ends) != 0) {
        fprintf(err, BENCH_PROGRAM ": no pipe: %s\n", strerror(errno));
        return -1;
    }
    pid = fork();
    if (pid == 0)
        become_responder(ends[1], parent);
    close(ends[1]);
    if (pid > 0 && !is_ready(ends[0])) {
        responder_stop(pid);
        pid = -1;
    }
    close(ends[0]);
    if (pid < 0)
        fputs(BENCH_PROGRAM ": the responder could not be started\n", err);
    return pid;
}

void responder_stop(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGTERM);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}
