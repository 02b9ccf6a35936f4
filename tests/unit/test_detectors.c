/* SPDX-License-Identifier: Apache-2.0 */
/* The detectors of redact-check: what each finds and what it leaves; no find is printed whole. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/detectors.h"

static const struct {
    const char *text, *name; /* NULL: nothing finds anything */
} rows[] = {
    {"card 4111111111111111.", "card number"},
    {"4111 1111 1111 1111", "card number"},
    {"5555-5555-5555-4444", "card number"},
    {"378282246310005", "card number"},
    {"4111111111111112", NULL},
    {"1700000000000000000", NULL},
    {"x4111111111111111", NULL},
    {"41111111111111114111111111111111", NULL},
    {"mail jane.doe+x@mail.example.org now", "e-mail address"},
    {"user@localhost", NULL},
    {"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "JWT"},
    {"eyJhbGciOiJIUzI1NiJ9", NULL},
    {"AKIAIOSFODNN7EXAMPLE", "AWS key id"},
    {"AKIAIOSFODNN7EXAMPL", NULL},
    {"aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "AWS secret key"},
    {"Authorization: Bearer abcdefgh12345", "authorization value"},
    {"bearer abc", NULL},
    {"-----BEGIN RSA PRIVATE KEY-----\nMII", "private key"},
    {"-----BEGIN PRIVATE KEY-----", "private key"},
    {"-----BEGIN PUBLIC KEY-----", NULL},
    {"", NULL},
    {"plain text, 42, /api/v1/users", NULL},
};

START_TEST(finds)
{
    struct detectors *d = detectors_new();
    const char *found = NULL;

    for (size_t i = 0; i < detectors_n(d); i++) {
        struct slice s;

        if (detector_find(d, i, slice_str(rows[_i].text), 0, &s)) {
            ck_assert_msg(!found, "%s: %s and %s", rows[_i].text, found, detector_name(d, i));
            ck_assert(s.len > 0 && s.p >= (const uint8_t *)rows[_i].text);
            found = detector_name(d, i);
        }
    }
    ck_assert_msg(!found == !rows[_i].name && (!found || strcmp(found, rows[_i].name) == 0), "%s: %s", rows[_i].text, found ? found : "nothing");
    detectors_free(&d);
}
END_TEST

static const char *safe(const struct detectors *d, const char *text, size_t max)
{
    static struct buf out;

    buf_clear(&out);
    buf_puts(&out, "<");
    detectors_put_safe(d, &out, slice_str(text), max);
    buf_putc(&out, '\0');
    return (const char *)out.p + 1;
}

START_TEST(samples_are_safe)
{
    struct detectors *d = detectors_new();

    ck_assert_str_eq(safe(d, "a 4111111111111111 b jane@example.org c", 200), "a 41*** (16 characters) b ja*** (16 characters) c");
    ck_assert_str_eq(safe(d, "plain\ntext\x01", 200), "plain?text?");
    ck_assert_str_eq(safe(d, "0123456789", 5), "01234...");
    ck_assert_str_eq(safe(d, "\xc3\xa9\xc3\xa9\xc3\xa9", 3), "\xc3\xa9...");
    ck_assert_str_eq(safe(d, "", 5), "");
    detectors_free(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("detectors");
    TCase *t = tcase_create("detectors");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_loop_test(t, finds, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, samples_are_safe);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
