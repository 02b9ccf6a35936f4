/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression: every codec there and back, bombs against the cap and the budget, damage. */
#include <check.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "net/compress.h"

static struct decompressor *d;
static struct budget *budget;

static void setup(void)
{
    d = decompressor_new();
    budget = budget_new(0, 0);
}

static void teardown(void)
{
    ck_assert_uint_eq(budget_used(budget), 0);
    decompressor_free(&d);
    budget_free(&budget);
}

static struct buf plain_text(size_t n)
{
    struct buf b = {0};
    for (uint32_t i = 0; b.len < n; i++)
        buf_putf(&b, "span %u of trace %u;", i * 2654435761u >> 12, i / 7);
    b.len = n;
    return b;
}

static struct buf zlib_pack(struct slice in, int window_bits)
{
    struct buf out = {0};
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(buf_reserve(&out, deflateBound(&z, in.len) + 64), 0);
    z.next_in = (Bytef *)in.p;
    z.avail_in = (uInt)in.len;
    z.next_out = out.p;
    z.avail_out = (uInt)out.cap;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.len = z.total_out;
    deflateEnd(&z);
    return out;
}

static uint32_t crc32c_plain(const uint8_t *p, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

static void put_chunk(struct buf *out, uint8_t type, uint32_t crc, struct slice s)
{
    uint32_t n = (uint32_t)s.len + 4, masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    uint8_t head[8] = {type,
                       (uint8_t)n,
                       (uint8_t)(n >> 8),
                       (uint8_t)(n >> 16),
                       (uint8_t)masked,
                       (uint8_t)(masked >> 8),
                       (uint8_t)(masked >> 16),
                       (uint8_t)(masked >> 24)};
    buf_put(out, head, 8);
    buf_put(out, s.p, s.len);
}

static struct buf snappy_pack(struct slice in)
{
    struct buf out = {0};
    size_t n = snappy_max_compressed_length(in.len);
    ck_assert_int_eq(buf_reserve(&out, n + 1), 0);
    ck_assert_int_eq(snappy_compress((const char *)in.p, in.len, (char *)out.p, &n), SNAPPY_OK);
    out.len = n;
    return out;
}

static struct buf framed_pack(struct slice in)
{
    struct buf out = {0};
    buf_put(&out, "\xff\x06\x00\x00sNaPpY", 10);
    buf_put(&out, "\xfe\x03\x00\x00pad", 7);
    for (size_t at = 0, k = 0; at < in.len; k++) {
        struct slice piece = slice_of(in.p + at, in.len - at < 65536 ? in.len - at : 65536);
        if (k % 2) {
            put_chunk(&out, 1, crc32c_plain(piece.p, piece.len), piece);
        } else {
            struct buf c = snappy_pack(piece);
            put_chunk(&out, 0, crc32c_plain(piece.p, piece.len), slice_of(c.p, c.len));
            buf_free(&c);
        }
        at += piece.len;
    }
    return out;
}

static struct buf zstd_pack(struct slice in, bool with_size)
{
    struct buf out = {0};
    ZSTD_CCtx *c = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, with_size);
    ck_assert_int_eq(buf_reserve(&out, ZSTD_compressBound(in.len) + 1), 0);
    out.len = ZSTD_compress2(c, out.p, out.cap, in.p, in.len);
    ck_assert(!ZSTD_isError(out.len));
    ZSTD_freeCCtx(c);
    return out;
}

static struct buf lz4_pack(struct slice in)
{
    struct buf out = {0};
    ck_assert_int_eq(buf_reserve(&out, LZ4F_compressFrameBound(in.len, NULL)), 0);
    out.len = LZ4F_compressFrame(out.p, out.cap, in.p, in.len, NULL);
    ck_assert(!LZ4F_isError(out.len));
    return out;
}

static struct buf pack(int how, struct slice in)
{
    switch (how) {
    case 0:
        return zlib_pack(in, 15 + 16);
    case 1:
        return zlib_pack(in, 15);
    case 2:
        return zstd_pack(in, true);
    case 3:
        return zstd_pack(in, false);
    case 4:
        return snappy_pack(in);
    case 5:
        return framed_pack(in);
    default:
        return lz4_pack(in);
    }
}
static const enum codec codecs[] = {CODEC_GZIP,   CODEC_ZLIB,   CODEC_ZSTD, CODEC_ZSTD,
                                    CODEC_SNAPPY, CODEC_SNAPPY, CODEC_LZ4};
#define HOWS ((int)ARRAY_LEN(codecs))

static enum decompress_result try(enum codec codec, struct slice in, size_t max, struct buf *out,
                                  struct err *err)
{
    uint8_t *p;
    size_t len, charged;
    *err = (struct err){0};
    enum decompress_result r = decompress(d, codec, in, max, budget, &p, &len, &charged, err);
    ck_assert_uint_eq(budget_used(budget), charged);
    if (r != DECOMPRESS_OK) {
        ck_assert_ptr_null(p);
        ck_assert_str_ne(err->text, "");
        return r;
    }
    ck_assert_uint_ge(charged, len);
    if (out)
        buf_put(out, p, len);
    free(p);
    budget_release(budget, MEM_BODY, charged);
    return r;
}

START_TEST(there_and_back)
{
    static const size_t sizes[] = {0, 1, 100, 4096, 65535, 65536, 65537, 1000000};
    struct err err;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct buf plain = plain_text(sizes[i]), back = {0};
        struct buf packed = pack(_i, slice_of(plain.p, plain.len));
        ck_assert_msg(try(codecs[_i], slice_of(packed.p, packed.len), 2000000, &back, &err) ==
                          DECOMPRESS_OK,
                      "%d %zu: %s", _i, sizes[i], err.text);
        ck_assert(slice_eq(slice_of(back.p, back.len), slice_of(plain.p, plain.len)));
        buf_free(&plain);
        buf_free(&back);
        buf_free(&packed);
    }
}
END_TEST

START_TEST(several_members_are_one_body)
{
    static const int hows[] = {0, 2, 3, 6};
    int how = hows[_i];
    struct buf plain = plain_text(300000), back = {0};
    struct buf a = pack(how, slice_of(plain.p, 1000)),
               b = pack(how, slice_of(plain.p + 1000, plain.len - 1000));
    struct err err;
    buf_put(&a, b.p, b.len);
    ck_assert_int_eq(try(codecs[how], slice_of(a.p, a.len), 400000, &back, &err), DECOMPRESS_OK);
    ck_assert(slice_eq(slice_of(back.p, back.len), slice_of(plain.p, plain.len)));
    buf_free(&plain);
    buf_free(&back);
    buf_free(&a);
    buf_free(&b);
}
END_TEST

START_TEST(the_cap_holds)
{
    struct buf plain = {0};
    struct err err;
    ck_assert_int_eq(buf_reserve(&plain, 8 << 20), 0);
    plain.len = 8 << 20;
    memset(plain.p, 0, plain.len);
    struct buf packed = pack(_i, slice_of(plain.p, plain.len));
    ck_assert_int_eq(try(codecs[_i], slice_of(packed.p, packed.len), (8 << 20) - 1, NULL, &err),
                     DECOMPRESS_TOO_LARGE);
    ck_assert_int_eq(try(codecs[_i], slice_of(packed.p, packed.len), 1000, NULL, &err),
                     DECOMPRESS_TOO_LARGE);
    ck_assert_int_eq(try(codecs[_i], slice_of(packed.p, packed.len), (8 << 20) + 1, NULL, &err),
                     DECOMPRESS_OK);
    buf_free(&plain);
    buf_free(&packed);
}
END_TEST

START_TEST(the_budget_holds)
{
    struct buf plain = {0};
    struct err err;
    uint8_t *p;
    size_t len, charged;
    struct budget *small = budget_new(1 << 20, 1 << 20);
    ck_assert_int_eq(buf_reserve(&plain, 8 << 20), 0);
    plain.len = 8 << 20;
    memset(plain.p, 'x', plain.len);
    struct buf packed = pack(_i, slice_of(plain.p, plain.len));
    ck_assert_int_eq(decompress(d, codecs[_i], slice_of(packed.p, packed.len), 16 << 20, small, &p,
                                &len, &charged, &err),
                     DECOMPRESS_NO_MEMORY);
    ck_assert_uint_eq(budget_used(small), 0);
    budget_free(&small);
    buf_free(&plain);
    buf_free(&packed);
}
END_TEST

START_TEST(a_small_input_reserves_little)
{
    /* Headers that promise 3 GiB: nothing like that is charged before it is there. */
    static const uint8_t gzip[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
                                   3,    0,    0, 0, 0, 0, 0, 0, 0, 0xc0};
    static const uint8_t snappy[] = {0xff, 0xff, 0xff, 0xff, 0x0b, 0};
    struct budget *small = budget_new(1 << 20, 1 << 20);
    struct err err;
    uint8_t *p;
    size_t len, charged;
    ck_assert_int_eq(decompress(d, CODEC_GZIP, slice_of(gzip, sizeof gzip), 1u << 31, small, &p,
                                &len, &charged, &err),
                     DECOMPRESS_CORRUPT);
    ck_assert_int_eq(decompress(d, CODEC_SNAPPY, slice_of(snappy, sizeof snappy), 1u << 31, small,
                                &p, &len, &charged, &err),
                     DECOMPRESS_CORRUPT);
    budget_free(&small);
}
END_TEST

START_TEST(damage_is_found)
{
    struct buf plain = plain_text(50000);
    struct buf packed = pack(_i, slice_of(plain.p, plain.len));
    struct err err;
    bool checked =
        _i != 2 && _i != 3 && _i != 4 && _i != 6; /* those carry no checksum of the content */
    for (size_t cut = 0; cut < packed.len; cut += 1 + cut / 16)
        ck_assert_msg(try(codecs[_i], slice_of(packed.p, cut), 100000, NULL, &err) !=
                              DECOMPRESS_OK ||
                          (_i == 5 &&
                           (cut == 10 || cut == 17)), /* a framed stream may end behind any chunk */
                      "%d cut at %zu", _i, cut);
    for (size_t at = 0; at < packed.len; at += 1 + packed.len / 200) {
        struct buf back = {0};
        packed.p[at] ^= 0x10;
        enum decompress_result r =
            try(codecs[_i], slice_of(packed.p, packed.len), 100000, &back, &err);
        if (checked && r == DECOMPRESS_OK) /* only bytes that mean nothing may be touched */
            ck_assert(slice_eq(slice_of(back.p, back.len), slice_of(plain.p, plain.len)));
        packed.p[at] ^= 0x10;
        buf_free(&back);
    }
    buf_free(&plain);
    buf_free(&packed);
}
END_TEST

START_TEST(words_of_errors)
{
    struct err err;
    ck_assert_int_eq(try(CODEC_GZIP, slice_str("this is certainly not gzip"), 1000, NULL, &err),
                     DECOMPRESS_CORRUPT);
    ck_assert_str_eq(err.text, "gzip: invalid header");
    ck_assert_int_eq(try(CODEC_ZLIB, slice_str("this is certainly not zlib"), 1000, NULL, &err),
                     DECOMPRESS_CORRUPT);
    ck_assert_str_eq(err.text, "zlib: invalid header");
    ck_assert_int_eq(try(CODEC_ZSTD, slice_str("this is certainly not zstd"), 1000, NULL, &err),
                     DECOMPRESS_CORRUPT);
    ck_assert_str_eq(err.text, "invalid input: magic number mismatch");
}
END_TEST

START_TEST(names)
{
    ck_assert_int_eq(codec_of_grpc(slice_str("snappy")), CODEC_SNAPPY_FRAMED);
    ck_assert_int_eq(codec_of_grpc(slice_str("GZIP")), CODEC_UNKNOWN);
    ck_assert_int_eq(codec_of_grpc(slice_str("lz4")), CODEC_UNKNOWN);
    ck_assert_int_eq(codec_of_http(slice_str("GZIP")), CODEC_GZIP);
    ck_assert_int_eq(codec_of_http(slice_str("snappy")), CODEC_SNAPPY);
    ck_assert_int_eq(codec_of_http(slice_str("deflate")), CODEC_ZLIB);
    ck_assert_int_eq(codec_of_http(slice_str("br")), CODEC_UNKNOWN);
    ck_assert_int_eq(codec_of_http(slice_str("")), CODEC_UNKNOWN);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decompress");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, there_and_back, 0, HOWS);
    tcase_add_loop_test(t, several_members_are_one_body, 0, 4);
    tcase_add_loop_test(t, the_cap_holds, 0, HOWS);
    tcase_add_loop_test(t, the_budget_holds, 0, HOWS);
    tcase_add_test(t, a_small_input_reserves_little);
    tcase_add_loop_test(t, damage_is_found, 0, HOWS);
    tcase_add_test(t, words_of_errors);
    tcase_add_test(t, names);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
