/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole bodies decompressed under a cap and a budget.
 *
 * The output starts at what the input makes plausible (a size stated by the sender is believed only
 * as far as the format could reach it), and doubles; each step is charged before it is allocated.
 * So a bomb costs at most twice its cap in work and never more than the cap in memory.
 *
 *   gzip, zlib  libdeflate: whole buffers; too little room means growing and once more from the
 *               start of the member
 *   zstd        one shot into the output, which needs no window of its own, whatever the frame asks
 *   snappy      block: the length stands in front; framed: pieces of 64 KiB with CRC32C
 *   lz4         frames, streamed
 *
 * Threads: a decompressor belongs to one thread.
 */
#include "net/compress.h"

#include <libdeflate.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <strings.h>
#include <zstd.h>
#include <zstd_errors.h>

#define FIRST_BYTES  (64u << 10)
#define FIRST_RATIO  16u
#define SNAPPY_RATIO 22u /* a copy of 64 bytes takes at least 3 */
#define SNAPPY_PIECE 65536u
#define KEPT_SLACK   (64u << 10) /* unused room worth giving back */

struct decompressor {
    struct libdeflate_decompressor *deflate; /* each made at first use */
    ZSTD_DCtx *zstd;
};

struct decompressor *decompressor_new(void)
{
    return mem_alloc(sizeof(struct decompressor));
}

void decompressor_free(struct decompressor **d)
{
    struct decompressor *old = *d;

    *d = NULL;
    if (!old)
        return;
    if (old->deflate)
        libdeflate_free_decompressor(old->deflate);
    ZSTD_freeDCtx(old->zstd);
    free(old);
}

/* ---- the output ---- */

struct output {
    uint8_t *p;
    size_t len, cap, max;
    struct budget *budget;
    struct err *err;
};

static enum decompress_result corrupt(struct output *o, const char *text)
{
    err_set(o->err, "%s", text);
    return DECOMPRESS_CORRUPT;
}

static enum decompress_result too_large(struct output *o)
{
    err_set(o->err, "decompressed body larger than max %zu", o->max);
    return DECOMPRESS_TOO_LARGE;
}

static enum decompress_result no_memory(struct output *o)
{
    err_set(o->err, "no memory for the decompressed body");
    return DECOMPRESS_NO_MEMORY;
}

/* Makes the capacity `cap` (at most max); charged first. */
static enum decompress_result resize(struct output *o, size_t cap)
{
    if (cap > o->max)
        cap = o->max;
    if (cap <= o->cap)
        return o->cap >= o->max ? too_large(o) : DECOMPRESS_OK;
    if (!budget_admit(o->budget, MEM_BODY, cap - o->cap))
        return no_memory(o);
    uint8_t *p = o->p ? realloc(o->p, cap) : mem_try(cap);
    if (!p) {
        budget_release(o->budget, MEM_BODY, cap - o->cap);
        return no_memory(o);
    }
    o->p = p;
    o->cap = cap;
    return DECOMPRESS_OK;
}

/* Room for n more bytes, exactly known. */
static enum decompress_result room_for(struct output *o, size_t n)
{
    if (n > o->max - o->len)
        return too_large(o);
    if (o->len + n <= o->cap)
        return DECOMPRESS_OK;
    return resize(o, o->len + n > 2 * o->cap ? o->len + n : 2 * o->cap);
}

static enum decompress_result grow(struct output *o)
{
    return resize(o, 2 * o->cap);
}

/* First guess: what the sender states, if the input could be that much; else a usual ratio. */
static enum decompress_result first_room(struct output *o, size_t in_len, uint64_t stated)
{
    uint64_t usual = (uint64_t)in_len * FIRST_RATIO + FIRST_BYTES;
    uint64_t want = stated > 0 && stated < usual ? stated : usual;

    return o->cap >= want ? DECOMPRESS_OK : resize(o, want > o->max ? o->max : (size_t)want);
}

/* ---- gzip and zlib ---- */

static struct libdeflate_decompressor *deflate_of(struct decompressor *d)
{
    if (!d->deflate)
        d->deflate = libdeflate_alloc_decompressor();
    return d->deflate;
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

typedef enum libdeflate_result (*inflate_fn)(struct libdeflate_decompressor *, const void *, size_t,
                                             void *, size_t, size_t *, size_t *);

/* One member at the end of the output; *used: bytes of it in the input. */
static enum decompress_result inflate_member(struct output *o, struct libdeflate_decompressor *ld,
                                             inflate_fn fn, struct slice in, size_t *used,
                                             const char *what)
{
    for (;;) {
        size_t got = 0;
        enum libdeflate_result r = fn(ld, in.p, in.len, o->p + o->len, o->cap - o->len, used, &got);
        if (r == LIBDEFLATE_SUCCESS) {
            o->len += got;
            return DECOMPRESS_OK;
        }
        if (r != LIBDEFLATE_INSUFFICIENT_SPACE)
            return corrupt(o, what);
        enum decompress_result g = grow(o);
        if (g != DECOMPRESS_OK)
            return g;
    }
}

static enum decompress_result do_gzip(struct decompressor *d, struct slice in, struct output *o)
{
    struct libdeflate_decompressor *ld = deflate_of(d);

    if (!ld)
        return no_memory(o);
    if (in.len < 18)
        return corrupt(o, in.len >= 2 && in.p[0] == 0x1f && in.p[1] == 0x8b
                              ? "unexpected EOF"
                              : "gzip: invalid header");
    enum decompress_result r = first_room(o, in.len, (uint64_t)le32(in.p + in.len - 4) + 1);
    while (r == DECOMPRESS_OK && in.len > 0) {
        size_t used = 0;
        if (in.len < 3 || in.p[0] != 0x1f || in.p[1] != 0x8b || in.p[2] != 8)
            return corrupt(o, "gzip: invalid header");
        r = inflate_member(o, ld, libdeflate_gzip_decompress_ex, in, &used,
                           "gzip: invalid data or checksum");
        in = slice_of(in.p + used, in.len - used);
    }
    return r;
}

static enum decompress_result do_zlib(struct decompressor *d, struct slice in, struct output *o)
{
    struct libdeflate_decompressor *ld = deflate_of(d);
    size_t used = 0;

    if (!ld)
        return no_memory(o);
    if (in.len < 2 || (in.p[0] & 0x0f) != 8 || (in.p[0] << 8 | in.p[1]) % 31 != 0)
        return corrupt(o, "zlib: invalid header");
    enum decompress_result r = first_room(o, in.len, 0);
    if (r == DECOMPRESS_OK)
        r = inflate_member(o, ld, libdeflate_zlib_decompress_ex, in, &used,
                           "zlib: invalid data or checksum");
    if (r == DECOMPRESS_OK && used != in.len)
        r = corrupt(o, "zlib: bytes after the end");
    return r;
}

/* ---- zstd ---- */

/* What the frames' headers say together; 0: not all say. */
static uint64_t zstd_stated(struct slice in)
{
    uint64_t sum = 0;

    while (in.len > 0) {
        unsigned long long n = ZSTD_getFrameContentSize(in.p, in.len);
        size_t used = ZSTD_findFrameCompressedSize(in.p, in.len);
        if (n == ZSTD_CONTENTSIZE_UNKNOWN || n == ZSTD_CONTENTSIZE_ERROR || ZSTD_isError(used) ||
            n > UINT64_MAX - sum)
            return 0;
        sum += n;
        in = slice_of(in.p + used, in.len - used);
    }
    return sum;
}

static enum decompress_result do_zstd(struct decompressor *d, struct slice in, struct output *o)
{
    uint64_t stated = zstd_stated(in);

    if (!d->zstd)
        d->zstd = ZSTD_createDCtx();
    if (!d->zstd)
        return no_memory(o);
    if (in.len < 4 ||
        (le32(in.p) != ZSTD_MAGICNUMBER && le32(in.p) >> 4 != ZSTD_MAGIC_SKIPPABLE_START >> 4))
        return corrupt(o, in.len < 4 ? "unexpected EOF" : "invalid input: magic number mismatch");
    if (stated > o->max)
        return too_large(o);
    enum decompress_result r = first_room(o, in.len, stated);
    while (r == DECOMPRESS_OK) {
        size_t n = ZSTD_decompressDCtx(d->zstd, o->p, o->cap, in.p, in.len);
        if (!ZSTD_isError(n)) {
            o->len = n;
            return DECOMPRESS_OK;
        }
        if (ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
            return corrupt(o, "zstd: damaged frame");
        r = grow(o);
    }
    return r;
}

/* ---- snappy ---- */

static enum decompress_result snappy_block(struct slice in, struct output *o)
{
    size_t n = 0;

    if (snappy_uncompressed_length((const char *)in.p, in.len, &n) != SNAPPY_OK ||
        n > (uint64_t)in.len * SNAPPY_RATIO + 64)
        return corrupt(o, "snappy: corrupt input");
    enum decompress_result r = room_for(o, n ? n : 1);
    if (r != DECOMPRESS_OK)
        return r;
    if (snappy_uncompress((const char *)in.p, in.len, (char *)o->p + o->len, &n) != SNAPPY_OK)
        return corrupt(o, "snappy: corrupt input");
    o->len += n;
    return DECOMPRESS_OK;
}

static uint32_t crc32c_bitwise(uint32_t crc, uint8_t byte)
{
    crc ^= byte;
    for (int k = 0; k < 8; k++)
        crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_hardware(const uint8_t *p, size_t n)
{
    uint64_t crc = 0xffffffffu;

    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        crc = __builtin_ia32_crc32di(crc, v);
    }
    for (; n > 0; p++, n--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}
#endif

static uint32_t crc32c(const uint8_t *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_hardware(p, n);
#endif
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++)
        crc = crc32c_bitwise(crc, p[i]);
    return ~crc;
}

/* The framing format rotates and offsets its checksums. */
static uint32_t crc_mask(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static const char snappy_stream_id[] = "\xff\x06\x00\x00sNaPpY";

/* A data chunk: checksum, then a block (compressed) or bytes. */
static enum decompress_result snappy_piece(struct slice in, bool compressed, struct output *o)
{
    size_t before = o->len, n = 0;

    if (in.len < 4)
        return corrupt(o, "snappy: corrupt input");
    struct slice data = slice_of(in.p + 4, in.len - 4);
    if (compressed ? snappy_uncompressed_length((const char *)data.p, data.len, &n) != SNAPPY_OK ||
                         n > SNAPPY_PIECE
                   : data.len > SNAPPY_PIECE)
        return corrupt(o, "snappy: corrupt input");
    enum decompress_result r =
        compressed ? snappy_block(data, o) : room_for(o, data.len ? data.len : 1);
    if (r != DECOMPRESS_OK)
        return r;
    if (!compressed && data.len) {
        memcpy(o->p + o->len, data.p, data.len);
        o->len += data.len;
    }
    return crc_mask(crc32c(o->p + before, o->len - before)) == le32(in.p)
               ? DECOMPRESS_OK
               : corrupt(o, "snappy: wrong checksum");
}

static enum decompress_result do_snappy_framed(struct slice in, struct output *o)
{
    enum decompress_result r = DECOMPRESS_OK;

    if (in.len < 10 || memcmp(in.p, snappy_stream_id, 10) != 0)
        return corrupt(o, "snappy: corrupt input");
    while (r == DECOMPRESS_OK && in.len > 0) {
        size_t n = in.len >= 4 ? le32(in.p) >> 8 : 0;
        if (in.len < 4 || n > in.len - 4)
            return corrupt(o, "unexpected EOF");
        uint8_t type = in.p[0];
        struct slice chunk = slice_of(in.p + 4, n);
        if (type <= 1)
            r = snappy_piece(chunk, type == 0, o);
        else if (type < 0x80 ||
                 (type == 0xff && (n != 6 || memcmp(in.p, snappy_stream_id, 10) != 0)))
            return corrupt(o, "snappy: unsupported chunk");
        in = slice_of(in.p + 4 + n, in.len - 4 - n);
    }
    return r;
}

static enum decompress_result do_snappy(struct slice in, struct output *o)
{
    bool framed = in.len >= 10 && memcmp(in.p, snappy_stream_id, 10) == 0;

    return framed ? do_snappy_framed(in, o) : snappy_block(in, o);
}

/* ---- lz4 ---- */

static enum decompress_result lz4_frames(LZ4F_dctx *ctx, struct slice in, struct output *o)
{
    enum decompress_result r = first_room(o, in.len, 0);
    size_t hint = 1;

    while (r == DECOMPRESS_OK && (in.len > 0 || hint != 0)) {
        size_t got = o->cap - o->len, used = in.len;
        bool full = got == 0;
        if (!full) {
            hint = LZ4F_decompress(ctx, o->p + o->len, &got, in.p, &used, NULL);
            if (LZ4F_isError(hint))
                return corrupt(o, "lz4: damaged frame");
            o->len += got;
            in = slice_of(in.p + used, in.len - used);
        }
        if (full || o->len == o->cap)
            r = hint == 0 && in.len == 0 ? DECOMPRESS_OK : grow(o);
        else if (got == 0 && used == 0)
            return corrupt(o, "unexpected EOF");
    }
    return r;
}

static enum decompress_result do_lz4(struct slice in, struct output *o)
{
    LZ4F_dctx *ctx = NULL;

    if (in.len == 0)
        return corrupt(o, "unexpected EOF");
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        return no_memory(o);
    enum decompress_result r = lz4_frames(ctx, in, o);
    LZ4F_freeDecompressionContext(ctx);
    return r;
}

/* ---- the door ---- */

static enum decompress_result run(struct decompressor *d, enum codec codec, struct slice in,
                                  struct output *o)
{
    switch (codec) {
    case CODEC_GZIP:
        return do_gzip(d, in, o);
    case CODEC_ZLIB:
        return do_zlib(d, in, o);
    case CODEC_ZSTD:
        return do_zstd(d, in, o);
    case CODEC_SNAPPY:
        return do_snappy(in, o);
    case CODEC_SNAPPY_FRAMED:
        return do_snappy_framed(in, o);
    case CODEC_LZ4:
        return do_lz4(in, o);
    default:
        return corrupt(o, "unknown compression");
    }
}

/* Gives back room that was guessed and not needed. */
static void trim(struct output *o)
{
    size_t keep = o->len ? o->len : 1;

    if (o->cap - o->len <= KEPT_SLACK + o->len / 8)
        return;
    uint8_t *p = realloc(o->p, keep);
    if (!p)
        return;
    o->p = p;
    budget_release(o->budget, MEM_BODY, o->cap - keep);
    o->cap = keep;
}

enum decompress_result decompress(struct decompressor *d, enum codec codec, struct slice in,
                                  size_t max_out, struct budget *b, uint8_t **out, size_t *out_len,
                                  size_t *charged, struct err *err)
{
    struct output o = {.max = max_out, .budget = b, .err = err};
    enum decompress_result r = run(d, codec, in, &o);

    *out = NULL;
    *out_len = *charged = 0;
    if (r != DECOMPRESS_OK) {
        free(o.p);
        budget_release(b, MEM_BODY, o.cap);
        return r;
    }
    if (!o.p && (r = resize(&o, 1)) != DECOMPRESS_OK)
        return r;
    trim(&o);
    *out = o.p;
    *out_len = o.len;
    *charged = o.cap;
    return DECOMPRESS_OK;
}

/* ---- names ---- */

static const struct codec_name {
    const char *grpc, *http; /* NULL: not offered there */
    enum codec codec, grpc_codec;
} codec_names[] = {
    {"identity", "identity", CODEC_NONE, CODEC_NONE},
    {"gzip", "gzip", CODEC_GZIP, CODEC_GZIP},
    {"zstd", "zstd", CODEC_ZSTD, CODEC_ZSTD},
    {"snappy", "snappy", CODEC_SNAPPY, CODEC_SNAPPY_FRAMED},
    {"deflate", "deflate", CODEC_ZLIB, CODEC_ZLIB},
    {NULL, "zlib", CODEC_ZLIB, CODEC_ZLIB},
    {NULL, "x-snappy-framed", CODEC_SNAPPY_FRAMED, CODEC_SNAPPY_FRAMED},
    {NULL, "lz4", CODEC_LZ4, CODEC_LZ4},
};

enum codec codec_of_grpc(struct slice encoding)
{
    for (size_t i = 0; i < ARRAY_LEN(codec_names); i++)
        if (codec_names[i].grpc && slice_eq(encoding, slice_str(codec_names[i].grpc)))
            return codec_names[i].grpc_codec;
    return CODEC_UNKNOWN;
}

enum codec codec_of_http(struct slice encoding)
{
    for (size_t i = 0; i < ARRAY_LEN(codec_names); i++)
        if (strlen(codec_names[i].http) == encoding.len &&
            strncasecmp(codec_names[i].http, (const char *)encoding.p, encoding.len) == 0)
            return codec_names[i].codec;
    return CODEC_UNKNOWN;
}
