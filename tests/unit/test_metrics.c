#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clients/gateway/metrics.h"
#include "clients/gateway/metrics_service.h"

static void assert_has(const struct metrics_text *text, const char *expected)
{
    char *copy = strndup(text->data, text->size);

    assert_non_null(copy);
    if (strstr(copy, expected) == NULL)
        fail_msg("not there: %s\n%s", expected, copy);
    free(copy);
}

static void labels_are_escaped(void **state)
{
    const struct metrics_label labels[] = {{"a", "x\"y\\z\nw"}, {"b", "\xff\xc3\xa4"}};
    struct metrics_text text = {0};

    (void)state;
    metrics_text_sample(&text, "m", "_sum", labels, 2, 1);
    assert_has(&text, "m_sum{a=\"x\\\"y\\\\z\\nw\",b=\"?\xc3\xa4\"} 1\n");
    free(text.data);
}

static void numbers_keep_their_digits(void **state)
{
    struct metrics_text text = {0};

    (void)state;
    metrics_text_sample(&text, "a", "", NULL, 0, 4503599627370497.0);
    metrics_text_sample(&text, "b", "", NULL, 0, 0.1);
    metrics_text_sample(&text, "c", "", NULL, 0, 1e300);
    assert_has(&text, "a 4503599627370497\n");
    assert_has(&text, "b 0.1\n");
    assert_has(&text, "c 1e+300\n");
    free(text.data);
}

static void requests_are_counted_by_route_and_code(void **state)
{
    static const char *const routes[] = {"Send", "History", "History"};
    struct metrics *metrics = metrics_create(routes, 3);
    struct metrics_text text = {0};

    (void)state;
    metrics_request(metrics, "Send", 200, 400);
    metrics_request(metrics, "Send", 200, 500);
    metrics_request(metrics, "Send", 404, 501);
    metrics_request(metrics, "History", 404, 20000000);
    metrics_request(metrics, NULL, 404, 1);
    metrics_request(metrics, "unheard", 0, 1);
    metrics_refuse(metrics, METRICS_REFUSED_RATE_TOKEN);
    metrics_write(metrics, &text);
    assert_has(&text, "chat_gateway_http_requests_total{route=\"Send\",code=\"200\"} 2\n"
                      "chat_gateway_http_requests_total{route=\"Send\",code=\"404\"} 1\n"
                      "chat_gateway_http_requests_total{route=\"History\",code=\"404\"} 1\n"
                      "chat_gateway_http_requests_total{route=\"other\",code=\"0\"} 1\n"
                      "chat_gateway_http_requests_total{route=\"other\",code=\"404\"} 1\n# HELP");
    assert_has(&text, "chat_gateway_http_errors_total{code=\"404\"} 3\n");
    assert_has(&text, "_bucket{route=\"Send\",le=\"0.0005\"} 2\n");
    assert_has(&text, "_bucket{route=\"Send\",le=\"0.001\"} 3\n");
    assert_has(&text, "_bucket{route=\"History\",le=\"10\"} 0\n"
                      "chat_gateway_http_request_duration_seconds_bucket{route=\"History\","
                      "le=\"+Inf\"} 1\n");
    assert_has(&text, "_sum{route=\"History\"} 20\n");
    assert_has(&text, "_count{route=\"Send\"} 3\n");
    assert_has(&text, "chat_gateway_refused_total{reason=\"rate_token\"} 1\n");
    metrics_free(metrics);
    free(text.data);
}

#define ANSWER(id, requests)                                                                       \
    "{\"type\":\"io.nats.micro.v1.stats_response\",\"name\":\"chat\",\"id\":\"" id "\","           \
    "\"version\":\"0.1.0\",\"metadata\":{\"store_id\":\"s\"},\"started\":\"2026-01-01T00:00:"      \
    "00Z\","                                                                                       \
    "\"endpoints\":[{\"name\":\"New\",\"num_requests\":" requests ",\"num_errors\":1,"             \
    "\"processing_time\":1500000000},{\"name\":\"Send\",\"num_requests\":7,"                       \
    "\"data\":{\"batch_sizes\":{\"1\":2,\"2\":3},\"commands\":8,"                                  \
    "\"refused\":{\"MissingText\":5,\"NotAMember\":0},\"full\":true,\"sync_us_total\":2500000,"    \
    "\"last_lsn\":\"none\"}}]}"

static void each_instance_has_its_figures(void **state)
{
    const char *one = ANSWER("one", "3"), *two = ANSWER("two", "4");
    struct metrics_service service = {0};
    struct metrics_text text = {0};

    (void)state;
    assert_true(metrics_service_add(&service, one, strlen(one)));
    assert_true(metrics_service_add(&service, two, strlen(two)));
    assert_false(metrics_service_add(&service, two, strlen(two)));
    assert_false(metrics_service_add(&service, "{", 1));
    assert_false(metrics_service_add(&service, "[]", 2));
    assert_false(metrics_service_add(&service, "{\"id\":\"x\"}", 10));
    metrics_service_write(&service, &text);
    assert_has(&text, "chatd_up{id=\"one\"} 1\nchatd_up{id=\"two\"} 1\n# HELP");
    assert_has(&text, "chatd_info{id=\"two\",version=\"0.1.0\",store_id=\"s\"} 1\n");
    assert_has(&text, "chatd_start_time_seconds{id=\"one\"} 1767225600\n");
    assert_has(&text, "chatd_requests_total{id=\"one\",method=\"New\"} 3\n"
                      "chatd_requests_total{id=\"one\",method=\"Send\"} 7\n"
                      "chatd_requests_total{id=\"two\",method=\"New\"} 4\n");
    assert_has(&text, "chatd_processing_seconds_total{id=\"one\",method=\"New\"} 1.5\n");
    assert_has(&text, "chatd_journal_sync_seconds_total{id=\"one\"} 2.5\n");
    assert_has(&text, "chatd_disk_full{id=\"one\"} 1\n");
    assert_has(&text, "chatd_journal_batch_commands_bucket{id=\"one\",le=\"1\"} 2\n"
                      "chatd_journal_batch_commands_bucket{id=\"one\",le=\"2\"} 5\n"
                      "chatd_journal_batch_commands_bucket{id=\"one\",le=\"+Inf\"} 5\n"
                      "chatd_journal_batch_commands_sum{id=\"one\"} 8\n"
                      "chatd_journal_batch_commands_count{id=\"one\"} 5\n");
    assert_has(&text, "chatd_refused_total{id=\"two\",reason=\"MissingText\"} 5\n");
    assert_has(&text, "# TYPE chatd_last_lsn gauge\n# HELP");
    metrics_service_clear(&service);
    free(text.data);
}

static void there_are_only_so_many_instances(void **state)
{
    struct metrics_service service = {0};
    char answer[64];

    (void)state;
    for (int i = 0; i < METRICS_SERVICE_INSTANCES_MAX + 2; i++) {
        int size = snprintf(answer, sizeof answer, "{\"id\":\"%d\",\"endpoints\":[]}", i);
        assert_int_equal(metrics_service_add(&service, answer, (size_t)size),
                         i < METRICS_SERVICE_INSTANCES_MAX);
    }
    metrics_service_clear(&service);
    assert_int_equal(service.count, 0);
}

static void the_process_has_figures(void **state)
{
    struct metrics_text text = {0};

    (void)state;
    metrics_write_process(&text);
    assert_has(&text, "\nprocess_resident_memory_bytes ");
    assert_has(&text, "\nprocess_open_fds ");
    assert_has(&text, "\nprocess_cpu_seconds_total ");
    free(text.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_escaped),
        cmocka_unit_test(numbers_keep_their_digits),
        cmocka_unit_test(requests_are_counted_by_route_and_code),
        cmocka_unit_test(each_instance_has_its_figures),
        cmocka_unit_test(there_are_only_so_many_instances),
        cmocka_unit_test(the_process_has_figures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
