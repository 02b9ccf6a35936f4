/* SPDX-License-Identifier: Apache-2.0 */
/* MD5, SHA-1, SHA3-256, SHA-512 and HMAC: the standards' examples, and all short lengths as one digest
 * over the digests of 0, 1, ... 300 bytes "a"; those values come from another implementation. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/check.h"
#include "platform/digest.h"
#include "platform/hex.h"
#include "platform/hmac.h"
#include "platform/mem.h"
#include "platform/sha512.h"

static size_t run_md5(const void *p, size_t n, uint8_t *out)
{
    md5(p, n, out);
    return 16;
}

static size_t run_sha1(const void *p, size_t n, uint8_t *out)
{
    sha1(p, n, out);
    return 20;
}

static size_t run_sha3_256(const void *p, size_t n, uint8_t *out)
{
    sha3_256(p, n, out);
    return 32;
}

static size_t run_sha512(const void *p, size_t n, uint8_t *out)
{
    sha512(p, n, out);
    return 64;
}

/* A key shorter than a block, and one longer than it. */
static size_t run_hmac_sha256(const void *p, size_t n, uint8_t *out)
{
    struct hmac_sha256_key k;
    char key[40];

    memset(key, 'k', sizeof(key));
    hmac_sha256_init(&k, key, sizeof(key));
    hmac_sha256(&k, p, n, out);
    return 32;
}

static size_t run_hmac_sha512(const void *p, size_t n, uint8_t *out)
{
    struct hmac_sha512_key k;
    char key[200];

    memset(key, 'k', sizeof(key));
    hmac_sha512_init(&k, key, sizeof(key));
    hmac_sha512(&k, p, n, out);
    return 64;
}

static const struct {
    const char *name;
    size_t (*run)(const void *p, size_t n, uint8_t *out);
    const char *of_nothing, *of_abc, *of_all;
} rows[] = {
    {"md5", run_md5, "d41d8cd98f00b204e9800998ecf8427e",
     "900150983cd24fb0d6963f7d28e17f72",
     "16cf437a90cf3ffd37c953f0e470b487"},
    {"sha1", run_sha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709",
     "a9993e364706816aba3e25717850c26c9cd0d89d",
     "9c723e6d1a3322c163723daf00acf97e827fb5a0"},
    {"sha3_256", run_sha3_256, "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
     "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
     "69df31eeecbb37f6b4741939bde2fd24eb68203664d8f4c065f33aacffbee393"},
    {"sha512", run_sha512, "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "b0252e29bae50b5a42c84d684a695d3ce9eb9f45564b98f09503ce01bcdc907c14d2fad620cea072e46915da1321a945dee073b717b9c105a6a57beb402eddc5"},
    {"hmac_sha256", run_hmac_sha256, "4259a0e4f8eacaf2fbfcba3f7bf2cccaecbe890c0b9569efcb36d147d3188fc2",
     "be385da548ba7f72b0fd2467107712978a5bfa23eda6ae6efeb97c1a11f01450",
     "bae70c70d5e80bad7924a676b8fe49933c8c3b157a55e9f2c519157af842783d"},
    {"hmac_sha512", run_hmac_sha512, "25817dd748c9446b2b0201af68cec787d1732c0f570ef6803bf33a577080b794f706754f99214ec4606384f9c72131ea2f62d01d07eb2e0e7d7e4a75ab6e3f1c",
     "600057e6cba9ce3e078c0ae32f0ba3a786002d1da4853945c899aa7678f932f03c77200044e668ac0ae89029a08cae59b9ed7f93ffed3b39371e4d4f08c3c376",
     "7b8b8379efb483b60d6459387a098041e289b9661399886562a625af267b6541fff0a29d8f69ed9121cce1818559eea3b403426f7b1d76d509a712e2f8525a41"},
};

static const char *hex(const uint8_t *digest, size_t n)
{
    static char text[129];

    for (size_t i = 0; i < n; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

START_TEST(known_texts)
{
    uint8_t digest[64];
    size_t n = rows[_i].run("", 0, digest);

    ck_assert_str_eq(hex(digest, n), rows[_i].of_nothing);
    n = rows[_i].run("abc", 3, digest);
    ck_assert_str_eq(hex(digest, n), rows[_i].of_abc);
}
END_TEST

START_TEST(all_short_lengths)
{
    char text[300];
    uint8_t all[301 * 64], digest[64];
    size_t at = 0;

    memset(text, 'a', sizeof(text));
    for (size_t n = 0; n <= sizeof(text); n++)
        at += rows[_i].run(text, n, all + at);
    ck_assert_str_eq(hex(digest, rows[_i].run(all, at, digest)), rows[_i].of_all);
}
END_TEST

/* RFC 4231, test case 2. */
START_TEST(hmac_of_the_standard)
{
    static const char text[] = "what do ya want for nothing?";
    struct hmac_sha256_key k256;
    struct hmac_sha512_key k512;
    uint8_t digest[64];

    hmac_sha256_init(&k256, "Jefe", 4);
    hmac_sha256(&k256, text, sizeof(text) - 1, digest);
    ck_assert_str_eq(hex(digest, 32), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    hmac_sha512_init(&k512, "Jefe", 4);
    hmac_sha512(&k512, text, sizeof(text) - 1, digest);
    ck_assert_str_eq(hex(digest, 64), "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                                      "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
}
END_TEST

START_TEST(digits_of_all_bytes)
{
    uint8_t bytes[256], text[512];
    char want[3];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof(bytes); n += n < 9 ? 1 : 13) {
        memset(text, '!', sizeof(text));
        hex_put(text, bytes, n);
        for (size_t i = 0; i < n; i++) {
            snprintf(want, sizeof(want), "%02x", bytes[i]);
            ck_assert_mem_eq(text + 2 * i, want, 2);
        }
        ck_assert(n == sizeof(bytes) || text[2 * n] == '!');
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("digest");
    TCase *t = tcase_create("digest");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_add_loop_test(t, known_texts, 0, (int)ARRAY_LEN(rows));
    tcase_add_loop_test(t, all_short_lengths, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(t, hmac_of_the_standard);
    tcase_add_test(t, digits_of_all_bytes);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
