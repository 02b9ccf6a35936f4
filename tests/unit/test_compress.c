/* SPDX-License-Identifier: Apache-2.0 */
/* Every codec over bodies in pieces: what comes out is read back by other libraries and by ours. */
#include <check.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "net/compress.h"
#include "platform/hash.h"

static const enum codec codecs[] = {CODEC_GZIP, CODEC_ZLIB, CODEC_ZSTD, CODEC_SNAPPY, CODEC_SNAPPY_FRAMED, CODEC_LZ4};

struct pieces {
    struct iovec iov[512];
    size_t n;
    uint8_t *bytes;
    size_t len;
};

/* kind 0: like spans; 1: noise. Cut into pieces of very different sizes, empty ones among them. */
static void make(struct pieces *p, size_t len, int kind, uint64_t seed)
{
    uint64_t rng = seed | 1;
    size_t at = 0;

    p->bytes = malloc(len + 1);
    p->len = len;
    for (size_t i = 0; i < len; i++)
        p->bytes[i] = kind == 1 ? (uint8_t)random_next(&rng) : (uint8_t)("http.method GET service.name"[i % 28] + (random_next(&rng) % 16 == 0));
    for (p->n = 0; at < len && p->n < 511; p->n++) {
        static const size_t sizes[] = {0, 1, 5, 100, 3000, 70000};
        size_t take = sizes[random_next(&rng) % 6];

        if (take > len - at || p->n == 510)
            take = len - at;
        p->iov[p->n] = (struct iovec){p->bytes + at, take};
        at += take;
    }
}

static const size_t lengths[] = {0, 1, 100, 2048, 2049, 65536, 65537, 300000, 1500000};

static void check_back(struct decompressor *d, enum codec codec, struct slice packed, const struct pieces *p)
{
    struct budget *b = budget_new(0, 0);
    uint8_t *out = NULL;
    size_t n = 0, charged = 0;
    struct err err = {0};

    ck_assert_msg(decompress(d, codec, packed, p->len + 100, b, &out, &n, &charged, &err) == DECOMPRESS_OK,
                  "codec %d: %s", codec, err.text);
    ck_assert_uint_eq(n, p->len);
    ck_assert(n == 0 || memcmp(out, p->bytes, n) == 0);
    budget_release(b, MEM_BODY, charged);
    free(out);
    budget_free(&b);
}

START_TEST(test_round_trip)
{
    struct compressor *c = compressor_new(codecs[_i], 0);
    struct decompressor *d = decompressor_new();
    static struct pieces p;

    ck_assert_ptr_nonnull(c);
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (int kind = 0; kind < 2; kind++) {
            struct buf out = {0};

            make(&p, lengths[i], kind, i + 1);
            ck_assert_int_eq(compress_iov(c, p.iov, p.n, &out), 0); /* the same compressor every time */
            check_back(d, codecs[_i], slice_of(out.p, out.len), &p);
            if (kind == 0 && p.len > 1000)
                ck_assert_uint_lt(out.len, p.len);
            if (kind == 1)
                ck_assert_uint_lt(out.len, p.len + p.len / 100 + 300);
            buf_free(&out);
            free(p.bytes);
        }
    }
    decompressor_free(&d);
    compressor_free(&c);
}
END_TEST

/* Header, trailer and checksums as others read them. */
START_TEST(test_gzip_by_zlib)
{
    static const int levels[] = {0, -1, 1, 5, 9};
    static struct pieces p;

    make(&p, 400000, 0, 3);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        struct compressor *c = compressor_new(CODEC_GZIP, levels[i]);
        struct buf out = {0};
        uint8_t *back = malloc(p.len + 1);
        z_stream z = {0};

        ck_assert_int_eq(compress_iov(c, p.iov, p.n, &out), 0);
        ck_assert_int_eq(inflateInit2(&z, 15 + 16), Z_OK);
        z.next_in = out.p;
        z.avail_in = (uInt)out.len;
        z.next_out = back;
        z.avail_out = (uInt)p.len + 1;
        ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
        ck_assert_uint_eq(z.total_out, p.len);
        ck_assert_uint_eq(z.avail_in, 0);
        ck_assert(memcmp(back, p.bytes, p.len) == 0);
        inflateEnd(&z);
        free(back);
        buf_free(&out);
        compressor_free(&c);
    }
    free(p.bytes);
}
END_TEST

START_TEST(test_zlib_by_libdeflate)
{
    struct compressor *c = compressor_new(CODEC_ZLIB, 0);
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    static struct pieces p;
    struct buf out = {0};
    uint8_t *back;
    size_t n = 0;

    make(&p, 123456, 0, 9);
    back = malloc(p.len);
    ck_assert_int_eq(compress_iov(c, p.iov, p.n, &out), 0);
    ck_assert_int_eq(libdeflate_zlib_decompress(d, out.p, out.len, back, p.len, &n), LIBDEFLATE_SUCCESS);
    ck_assert_uint_eq(n, p.len);
    ck_assert(memcmp(back, p.bytes, n) == 0);
    libdeflate_free_decompressor(d);
    free(back);
    free(p.bytes);
    buf_free(&out);
    compressor_free(&c);
}
END_TEST

START_TEST(test_zstd_states_its_size)
{
    struct compressor *c = compressor_new(CODEC_ZSTD, 0);
    static struct pieces p;
    struct buf out = {0};

    make(&p, 2000000, 0, 5);
    ck_assert_int_eq(compress_iov(c, p.iov, p.n, &out), 0);
    ck_assert_uint_eq(ZSTD_getFrameContentSize(out.p, out.len), p.len);
    buf_free(&out);
    free(p.bytes);
    compressor_free(&c);
}
END_TEST

START_TEST(test_full_output_fails_and_the_next_works)
{
    struct compressor *c = compressor_new(codecs[_i], 0);
    struct decompressor *d = decompressor_new();
    static struct pieces p;
    struct buf small = {.max = 1000}, out = {0};

    make(&p, 100000, 1, 4);
    ck_assert_int_eq(compress_iov(c, p.iov, p.n, &small), -1);
    ck_assert_uint_le(small.len, 1000);
    ck_assert_int_eq(compress_iov(c, p.iov, p.n, &out), 0);
    check_back(d, codecs[_i], slice_of(out.p, out.len), &p);
    buf_free(&small);
    buf_free(&out);
    free(p.bytes);
    decompressor_free(&d);
    compressor_free(&c);
}
END_TEST

START_TEST(test_no_codec_no_compressor)
{
    ck_assert_ptr_null(compressor_new(CODEC_NONE, 0));
    ck_assert_ptr_null(compressor_new(CODEC_UNKNOWN, 0));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("compress");
    TCase *t = tcase_create("compress");
    SRunner *r;
    int failed;

    tcase_add_loop_test(t, test_round_trip, 0, (int)ARRAY_LEN(codecs));
    tcase_add_test(t, test_gzip_by_zlib);
    tcase_add_test(t, test_zlib_by_libdeflate);
    tcase_add_test(t, test_zstd_states_its_size);
    tcase_add_loop_test(t, test_full_output_fails_and_the_next_works, 0, (int)ARRAY_LEN(codecs));
    tcase_add_test(t, test_no_codec_no_compressor);
    suite_add_tcase(s, t);
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
