/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 against the vectors of FIPS 180-4's examples and of NIST's long-message tests. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/check.h"
#include "platform/mem.h"
#include "platform/sha256.h"

static const char *hex(const uint8_t digest[static 32])
{
    static char text[65];

    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

static const struct {
    const char *text, *digest;
} vectors[] = {
    {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
     "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    {"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
     "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"},
};

START_TEST(known_texts)
{
    uint8_t digest[32];

    sha256(vectors[_i].text, strlen(vectors[_i].text), digest);
    ck_assert_str_eq(hex(digest), vectors[_i].digest);
}
END_TEST

START_TEST(a_million_a)
{
    char *text = mem_alloc(1000000);
    uint8_t digest[32];

    memset(text, 'a', 1000000);
    sha256(text, 1000000, digest);
    ck_assert_str_eq(hex(digest), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(text);
}
END_TEST

/* Lengths around the padding's edges, as one digest over the digests of 0, 1, ... 200 bytes "a".
 * The expected value comes from another implementation. */
START_TEST(all_short_lengths)
{
    char text[200];
    uint8_t all[201 * 32], digest[32];

    memset(text, 'a', sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n++)
        sha256(text, n, all + 32 * n);
    sha256(all, sizeof(all), digest);
    ck_assert_str_eq(hex(digest), "1be2d7d291484baf4c78d463a65b40a26c255b1946e5205eac8edad606a76fdd");
}
END_TEST

/* The CPU's instructions and the plain rounds give the same. */
START_TEST(both_ways)
{
    uint8_t bytes[300], a[32], b[32];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof(bytes); n++) {
        sha256(bytes, n, a);
        sha256_plain(bytes, n, b);
        ck_assert_mem_eq(a, b, 32);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sha256");
    TCase *t = tcase_create("sha256");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_loop_test(t, known_texts, 0, (int)ARRAY_LEN(vectors));
    tcase_add_test(t, a_million_a);
    tcase_add_test(t, all_short_lengths);
    tcase_add_test(t, both_ways);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
