/* Seeds and the public keys that belong to them; the pairs were made by the nkeys tool. */
#include "base/nkey.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const pairs[][2] = {
    {"SUACUSVONEKM6HCAX3PJMBBYUT2HKPSKLKFAU4MISOIFSNGO6UHEC6HV5U",
     "UBEZVGNFYWQCHC5IAMJF7GYUEXLJOCVS2POXL6DSXK6DQVJHKFENJBZ2"},
    {"SUAOA73RDNB7JYCLZ433Y7G543V672GWWLQPX5UXF7VLLQRRISOLGWQG2Q",
     "UB6QVCZIGQNVHMNXNA3XR3XGH767FFO5NENJU6XOQV6BGIVR7ACHHJUC"},
    {"SUALVVED7QMJ62YDRM2V2QHBPAMSTBCZDCM5WCPTGV3W2FBUF66QFFSNWM",
     "UA7AZH6FAW4LH3VX4IXMQTCMCGLZ4R6CYXOWTIV7YN5JTWCHI5OKVQ6N"},
};

static void seeds_have_their_public_keys(void **state)
{
    char public_key[NKEY_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(nkey_public_key(pairs[i][0], public_key), 0);
        assert_string_equal(public_key, pairs[i][1]);
    }
}

static void any_other_character_is_noticed(void **state)
{
    char public_key[NKEY_TEXT_BYTES];
    char seed[NKEY_TEXT_BYTES];

    (void)state;
    /* The last one has two bits that mean nothing. */
    for (size_t i = 0; i < strlen(pairs[0][0]) - 1; i++) {
        strcpy(seed, pairs[0][0]);
        seed[i] = seed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(nkey_public_key(seed, public_key), -1);
        seed[i] = '1';
        assert_int_equal(nkey_public_key(seed, public_key), -1);
    }
    assert_int_equal(nkey_public_key("", public_key), -1);
    assert_int_equal(nkey_public_key(pairs[0][1], public_key), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_have_their_public_keys),
        cmocka_unit_test(any_other_character_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
