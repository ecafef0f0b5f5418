/* Subjects, reply subjects, headers and broker addresses, as they come from others. */
#include "service/headers.h"
#include "service/nats_url.h"
#include "service/subject.h"
#include "tests/fuzz/fuzz.h"

#include <ctype.h>

static void check_subject(const char *subject)
{
    struct subject_target target;
    char event[SUBJECT_EVENT_BYTES];
    struct uuid id = {{0}};

    memset(&target, 'x', sizeof target);
    if (subject_parse(subject, &target) != 0)
        return;
    FUZZ_CHECK(subject_is_namespace(target.namespace_name));
    FUZZ_CHECK(memchr(target.method, '\0', sizeof target.method) != NULL);
    for (const char *next = target.method; *next != '\0'; next++)
        FUZZ_CHECK(isalnum((uint8_t)*next) || *next == '_' || *next == '-');
    subject_of_event(target.namespace_name, &id, event);
    FUZZ_CHECK(strncmp(event, "chat.events.", 12) == 0);
    FUZZ_CHECK(strpbrk(event, " \t\r\n*>") == NULL);
}

static void check_reply(const char *reply)
{
    bool refused = false;
    bool answerable = subject_is_answerable(reply, &refused);

    FUZZ_CHECK(!answerable || (reply[0] != '\0' && strncmp(reply, "chat.", 5) != 0 &&
                               strncmp(reply, "$SRV.", 5) != 0 && strncmp(reply, "$JS.", 4) != 0 &&
                               strncmp(reply, "$SYS.", 5) != 0));
}

static void check_url(const char *url)
{
    char text[NATS_URL_TEXT_BYTES];

    nats_url_without_credentials(url, text, sizeof text);
    FUZZ_CHECK(strlen(text) < sizeof text);
    nats_url_without_credentials(url, text, 8);
    FUZZ_CHECK(strlen(text) < 8);
}

/* Pairs of lines: a header's name and its value. */
static void check_headers(char *lines)
{
    struct request_headers headers;
    struct chat_error error;
    natsMsg *message;
    char *rest = NULL;

    FUZZ_CHECK(natsMsg_Create(&message, "chat.Send", NULL, NULL, 0) == NATS_OK);
    for (char *name = strtok_r(lines, "\n", &rest); name != NULL;
         name = strtok_r(NULL, "\n", &rest)) {
        char *value = strtok_r(NULL, "\n", &rest);
        if (value != NULL)
            natsMsgHeader_Add(message, name, value);
    }
    if (headers_read(message, &headers, &error) != 0)
        FUZZ_CHECK(error.reason == CHAT_MALFORMED || error.reason == CHAT_INVALID_USER_ID);
    else if (headers.acting_user != NULL)
        FUZZ_CHECK(strlen(headers.acting_user) >= 1 && strlen(headers.acting_user) <= 128);
    natsMsg_Destroy(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);

    /* Its collector of messages must be there; what is open already stays so. */
    FUZZ_CHECK(nats_Open(-1) == NATS_OK);
    check_subject(text);
    check_reply(text);
    check_url(text);
    (void)headers_is_json(text);
    check_headers(text);
    free(text);
    return 0;
}
