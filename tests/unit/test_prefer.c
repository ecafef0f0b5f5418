#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/gateway/prefer.h"

static void minimal_is_found_however_it_is_written(void **state)
{
    static const char *const values[] = {
        "return=minimal",
        "return=\"minimal\"",
        "Return = \"mini\\mal\"",
        "return=minimal; foo=\"a, return=representation\"",
        "respond-async, return=minimal",
        "wait=10 ,\t return=minimal, handling=lenient",
        "note=\"say \\\"return=representation, \", return=minimal",
        ",,return=minimal,",
        "a-name-longer-than-any-that-is-looked-for=1, return=minimal",
        "return=minimal, return=representation",
    };

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (!prefer_is_minimal(values[i]))
            fail_msg("not minimal: %s", values[i]);
    }
}

static void nothing_else_is_taken_for_it(void **state)
{
    static const char *const values[] = {
        "",
        ",",
        "return",
        "return=",
        "return=representation",
        "return=representation, return=minimal",
        "return=minimalist",
        "return=\"minimal",
        "returns=minimal",
        "note=\"return=minimal\"",
        "note=\"a, return=minimal\"",
        "foo; return=minimal",
        "minimal",
        "=minimal",
        "\"",
        "\\",
        ";=\"\\",
    };

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        if (prefer_is_minimal(values[i]))
            fail_msg("minimal: %s", values[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minimal_is_found_however_it_is_written),
        cmocka_unit_test(nothing_else_is_taken_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
