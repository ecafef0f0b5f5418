/*
 *     standard input ─▶ lines ─▶ queue ─▶ chat_send, one at a time ─▶ acknowledged
 *     follow ─▶ messages ─▶ standard output
 *
 * One line at a time is what keeps their order: the next one is sent when the one before it is on
 * disk. When many are waiting, no more input is read. When the reader of the output is slow, the
 * follow pauses; that neither holds up the broker nor takes memory.
 *
 * The end, by the end of input: the queue empties, what has been sent is shown, too, and the client
 * closes. By a signal: the queue empties. By a second one, or when the output is gone: at
 * once; what is not acknowledged is named.
 *
 * A line that is refused is named, and the next one is tried. One without an answer is, too, on a
 * terminal; in a pipe it ends the session, since what follows might depend on it.
 */
#include "clients/session.h"

#include "base/uuid.h"
#include "clients/line_input.h"
#include "clients/line_output.h"
#include "clients/output.h"
#include "clients/perform.h"
#include "clients/session_show.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_LINES_MAX 64

struct line {
    struct line *next;
    uint64_t number;
    char client_id[UUID_TEXT_BYTES + 1];
    char text[];
};

struct session {
    const struct command_request *request;
    FILE *err;
    uv_loop_t loop;
    struct chat_client *client;
    struct chat_follow *follow;
    bool following;
    struct line_input input;
    bool has_input; /* until it is closed */
    struct line_output output;
    bool has_output;
    bool for_people;
    bool typed;
    uv_signal_t interrupt;
    uv_signal_t terminate;
    uv_timer_t patience; /* for showing what has been sent */
    struct chat_call call;
    bool sending; /* `call` is under way, for the first of the lines */
    struct line *first;
    struct line *last;
    unsigned queued;
    uint64_t lines;        /* read, empty ones too */
    uint64_t acknowledged; /* the highest seq of ours */
    bool caught_up;        /* was live at least once */
    bool away;             /* the connection is, and has been told of */
    bool input_ended;
    bool interrupted;
    bool closing;
    int status;
    struct jsonpb_buffer shown;
};

static void consider(struct session *session);

/* ---- Closing ---- */

static void nothing(void *data)
{
    (void)data;
}

static void on_client_closed(void *data)
{
    struct session *session = data;

    uv_close((uv_handle_t *)&session->interrupt, NULL);
    uv_close((uv_handle_t *)&session->terminate, NULL);
    uv_close((uv_handle_t *)&session->patience, NULL);
    if (session->has_output)
        line_output_close(&session->output, nothing);
}

static void close_session(struct session *session)
{
    if (session->closing)
        return;
    session->closing = true;
    uv_timer_stop(&session->patience);
    if (session->has_input)
        line_input_close(&session->input, nothing);
    session->has_input = false;
    chat_close(session->client, on_client_closed, session);
}

static void stop_input(struct session *session)
{
    session->input_ended = true;
    if (session->has_input)
        line_input_close(&session->input, nothing);
    session->has_input = false;
}

/* ---- Lines that are not acknowledged ---- */

static void say_repeat(const struct session *session, const struct line *line)
{
    fputs("; it is safe to repeat it with chat send --client_id=", session->err);
    output_client_id(line->client_id, session->err);
    putc('\n', session->err);
}

static void say_failure(struct session *session, const struct line *line,
                        const struct chat_call *call)
{
    bool unknown = call->maybe_done || call->code == 500;

    session->status = COMMAND_EXIT_FAILED;
    fprintf(session->err,
            unknown ? "chat connect: the outcome of line %" PRIu64 " is unknown: "
                    : "chat connect: line %" PRIu64 " was not sent: ",
            line->number);
    output_reason(call, session->err);
    if (call->status == CHAT_EREFUSED && call->code < 500)
        putc('\n', session->err);
    else
        say_repeat(session, line);
}

static struct line *take_line(struct session *session)
{
    struct line *line = session->first;

    session->first = line->next;
    session->queued--;
    if (session->first == NULL)
        session->last = NULL;
    return line;
}

/* Those that were read and never tried. */
static void abandon_queue(struct session *session)
{
    uint64_t from = session->first == NULL ? 0 : session->first->number;
    uint64_t to = session->first == NULL ? 0 : session->last->number;

    while (session->first != NULL)
        free(take_line(session));
    if (from == 0)
        return;
    session->status = COMMAND_EXIT_FAILED;
    if (from == to)
        fprintf(session->err, "chat connect: line %" PRIu64 " was not sent\n", from);
    else
        fprintf(session->err, "chat connect: lines %" PRIu64 " to %" PRIu64 " were not sent\n",
                from, to);
}

/* ---- Sending ---- */

static void send_next(struct session *session);

static void on_sent(struct chat_call *call)
{
    struct session *session = call->data;
    struct line *line = take_line(session);

    session->sending = false;
    if (call->status == CHAT_OK) {
        if (call->result.sent.message->seq > session->acknowledged)
            session->acknowledged = call->result.sent.message->seq;
    } else {
        say_failure(session, line, call);
    }
    free(line);
    if (call->status != CHAT_OK && call->status != CHAT_EREFUSED && !session->typed) {
        stop_input(session);
        abandon_queue(session);
        session->interrupted = true;
    }
    if (call->status == CHAT_ECANCELED)
        abandon_queue(session);
    consider(session);
}

static void send_next(struct session *session)
{
    struct line *line = session->first;
    struct chat_send_options options = {
        .context = command_context(&session->request->settings),
        .chat_id = session->request->options.connect.chat_id,
        .user_id = session->request->options.connect.user_id,
    };
    int status;

    if (line == NULL || session->sending || session->closing)
        return;
    options.client_id = line->client_id;
    options.text = line->text;
    session->call.data = session;
    status = chat_send(session->client, &session->call, &options, on_sent);
    session->sending = status == CHAT_OK;
    if (status == CHAT_OK)
        return;
    fprintf(session->err, "chat connect: %s\n", chat_strerror(status));
    stop_input(session);
    abandon_queue(session);
    session->interrupted = true;
}

/* ---- Input ---- */

static void bad_line(struct session *session, const char *why)
{
    session->status = COMMAND_EXIT_FAILED;
    fprintf(session->err, "chat connect: line %" PRIu64 " was not sent: %s\n", session->lines, why);
}

static void on_line(void *data, const char *text, size_t size)
{
    struct session *session = data;
    struct line *line;
    struct uuid uuid;

    session->lines++;
    if (text != NULL && size == 0)
        return;
    if (text == NULL) {
        bad_line(session, "it is longer than the 256 KiB that a request may have");
        return;
    }
    if (memchr(text, '\0', size) != NULL) {
        bad_line(session, "it holds a NUL byte, which no text may hold");
        return;
    }
    line = calloc(1, sizeof *line + size + 1);
    if (line == NULL) {
        bad_line(session, "out of memory");
        return;
    }
    line->number = session->lines;
    memcpy(line->text, text, size);
    uuid_make(&uuid);
    uuid_format(&uuid, line->client_id);
    if (session->last != NULL)
        session->last->next = line;
    else
        session->first = line;
    session->last = line;
    session->queued++;
    consider(session);
}

static void on_input_end(void *data, int error)
{
    struct session *session = data;

    if (error != 0) {
        session->status = COMMAND_EXIT_FAILED;
        fprintf(session->err, "chat connect: standard input cannot be read: %s\n",
                uv_strerror(error));
    }
    stop_input(session);
    consider(session);
}

/* ---- Output ---- */

static void on_message(struct chat_follow *follow, void *data, const struct chat_message *message)
{
    struct session *session = data;

    if (session_show(message, session->for_people, &session->shown) == 0)
        line_output_write(&session->output, session->shown.data, session->shown.size);
    else
        fprintf(session->err, "chat connect: message %" PRIu64 " cannot be shown\n", message->seq);
    if (line_output_is_full(&session->output))
        chat_follow_pause(follow);
    consider(session);
}

static void on_drained(void *data)
{
    struct session *session = data;

    if (session->following && !session->closing)
        chat_follow_resume(session->follow);
    consider(session);
}

static void on_output_failed(void *data, int error)
{
    struct session *session = data;

    session->status = COMMAND_EXIT_FAILED;
    fprintf(session->err, "chat connect: standard output cannot be written: %s\n",
            uv_strerror(error));
    stop_input(session);
    session->interrupted = true;
    if (session->following)
        chat_follow_close(session->follow, NULL, NULL);
    session->following = false;
    consider(session);
}

static void on_state(struct chat_follow *follow, void *data, enum chat_follow_state state)
{
    struct session *session = data;
    const char *detail;

    if (state == CHAT_FOLLOW_LIVE && !session->caught_up) {
        session->caught_up = true;
        fprintf(session->err, "chat connect: live, from seq %" PRIu64 " on\n",
                chat_follow_next_seq(follow));
    }
    if (state == CHAT_FOLLOW_FAILED) {
        session->status = COMMAND_EXIT_FAILED;
        (void)chat_follow_error(follow, &detail);
        fputs("chat connect: the chat cannot be shown: ", session->err);
        output_safely(detail, session->err);
        putc('\n', session->err);
        stop_input(session);
        session->interrupted = true;
    }
    consider(session);
}

/* Once for each time that it goes away, not for each attempt. */
static void on_connection(void *data, int status, const char *detail)
{
    struct session *session = data;

    if (status == CHAT_OK && session->away)
        fputs("chat connect: the connection is back\n", session->err);
    if (status != CHAT_OK && !session->away) {
        fputs("chat connect: ", session->err);
        output_safely(detail, session->err);
        fputs("; trying again\n", session->err);
    }
    session->away = status != CHAT_OK;
}

/* ---- What next ---- */

static bool all_is_shown(const struct session *session)
{
    return !session->following ||
           (session->caught_up && chat_follow_next_seq(session->follow) > session->acknowledged);
}

static void on_patience(uv_timer_t *timer)
{
    struct session *session = timer->data;

    session->status = COMMAND_EXIT_FAILED;
    fputs("chat connect: all lines have been sent, but not all messages could be shown in time\n",
          session->err);
    close_session(session);
}

static void consider(struct session *session)
{
    if (session->closing)
        return;
    send_next(session);
    if (session->has_input) {
        if (session->queued >= QUEUE_LINES_MAX)
            line_input_pause(&session->input);
        else
            line_input_resume(&session->input);
    }
    if (!session->input_ended || session->first != NULL)
        return;
    if (!session->interrupted && !uv_is_active((uv_handle_t *)&session->patience))
        uv_timer_start(&session->patience, on_patience, session->request->settings.timeout_ms, 0);
    if (session->interrupted || all_is_shown(session)) {
        if (session->output.error != 0 || line_output_is_empty(&session->output))
            close_session(session);
    }
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct session *session = handle->data;

    (void)number;
    if (session->interrupted) {
        close_session(session);
        return;
    }
    session->interrupted = true;
    if (session->first != NULL)
        fprintf(session->err,
                "chat connect: waiting for %u line%s to be acknowledged; a second signal ends it "
                "at once\n",
                session->queued, session->queued == 1 ? "" : "s");
    stop_input(session);
    if (session->following)
        chat_follow_close(session->follow, NULL, NULL);
    session->following = false;
    consider(session);
}

/* ---- Beginning ---- */

static int start_follow(struct session *session)
{
    const struct command_connect *words = &session->request->options.connect;
    const struct chat_follow_options options = {
        .context = command_context(&session->request->settings),
        .chat_id = words->chat_id,
        .from_seq = words->from_seq,
        .data = session,
        .message = on_message,
        .state = on_state,
    };
    int status = chat_follow_start(session->client, &session->follow, &options);

    session->following = status == CHAT_OK;
    if (status == CHAT_EINVAL)
        fputs("chat connect: --chat_id must be a UUID, as chat new shows it\n", session->err);
    else if (status != CHAT_OK)
        fprintf(session->err, "chat connect: %s\n", chat_strerror(status));
    return status == CHAT_OK ? 0 : -1;
}

static int start_input(struct session *session)
{
    const struct line_input_handlers handlers = {
        .data = session, .line = on_line, .end = on_input_end};
    int error = line_input_start(&session->input, &session->loop, STDIN_FILENO, &handlers);

    session->has_input = error == 0;
    if (error != 0)
        fprintf(session->err, "chat connect: standard input cannot be read: %s\n",
                uv_strerror(error));
    return error;
}

static int start_output(struct session *session)
{
    const struct line_output_handlers handlers = {
        .data = session, .drained = on_drained, .failed = on_output_failed};
    int error = line_output_start(&session->output, &session->loop, STDOUT_FILENO, &handlers);

    session->has_output = error == 0;
    if (error != 0)
        fprintf(session->err, "chat connect: standard output cannot be written: %s\n",
                uv_strerror(error));
    return error;
}

static void watch(struct session *session, uv_signal_t *handle, int number)
{
    uv_signal_init(&session->loop, handle);
    handle->data = session;
    uv_signal_start(handle, on_signal, number);
}

static void start(struct session *session)
{
    watch(session, &session->interrupt, SIGINT);
    watch(session, &session->terminate, SIGTERM);
    uv_timer_init(&session->loop, &session->patience);
    session->patience.data = session;
    if (start_output(session) == 0 && start_follow(session) == 0 && start_input(session) == 0)
        return;
    session->status = COMMAND_EXIT_FAILED;
    close_session(session);
}

int session_run(const struct command_request *request, const struct command_streams *streams)
{
    struct chat_options options = command_chat_options(&request->settings);
    struct session session = {.request = request,
                              .err = streams->err,
                              .for_people = uv_guess_handle(STDOUT_FILENO) == UV_TTY,
                              .typed = uv_guess_handle(STDIN_FILENO) == UV_TTY};

    if (uv_loop_init(&session.loop) != 0) {
        fputs("chat connect: no event loop: out of files or memory\n", streams->err);
        return COMMAND_EXIT_FAILED;
    }
    options.data = &session;
    options.connection = on_connection;
    if (perform_connect(&session.client, &session.loop, &options, streams->err) == 0) {
        start(&session);
        uv_run(&session.loop, UV_RUN_DEFAULT);
    } else {
        session.status = COMMAND_EXIT_FAILED;
    }
    uv_loop_close(&session.loop);
    jsonpb_buffer_free(&session.shown);
    return session.status;
}
