/* The reply is shown in the callback, for there it is; then the client closes and the loop ends. */
#include "clients/perform.h"

#include "clients/output.h"

struct performance {
    const struct command *command;
    const struct command_request *request;
    const struct command_streams *streams;
    struct chat_client *client;
    struct chat_call call;
    int status;
};

static void on_answer(struct chat_call *call)
{
    struct performance *p = call->data;

    if (call->status == CHAT_OK)
        p->status = output_reply(p->command, call, p->streams->out, p->streams->err);
    else
        p->status = output_failure(p->request, call, p->streams->err);
    chat_close(p->client, NULL, NULL);
}

int perform_connect(struct chat_client **client, uv_loop_t *loop,
                    const struct chat_options *options, FILE *err)
{
    int status = chat_connect(client, loop, options);

    if (status == CHAT_OK)
        return 0;
    fprintf(err,
            "chat: the options for the broker are not usable: %s; is a certificate or key "
            "damaged?\n",
            chat_strerror(status));
    return -1;
}

static void start(struct performance *p)
{
    int status = p->command->call(p->client, &p->call, p->request, on_answer);

    if (status == CHAT_OK)
        return;
    fprintf(p->streams->err, "chat: %s\n", chat_strerror(status));
    chat_close(p->client, NULL, NULL);
}

int perform_call(const struct command *command, const struct command_request *request,
                 const struct command_streams *streams)
{
    const struct chat_options options = command_chat_options(&request->settings);
    struct performance p = {
        .command = command, .request = request, .streams = streams, .status = COMMAND_EXIT_FAILED};
    uv_loop_t loop;

    if (uv_loop_init(&loop) != 0) {
        fputs("chat: no event loop: out of files or memory\n", streams->err);
        return COMMAND_EXIT_FAILED;
    }
    p.call.data = &p;
    if (perform_connect(&p.client, &loop, &options, streams->err) == 0) {
        start(&p);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop);
    return p.status;
}
