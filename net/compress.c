/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressing a body that lies in pieces. The streaming codecs (gzip, zlib, zstd, lz4) take the pieces
 * as they are, but small ones are gathered first: a request merged from many others has thousands
 * of slices, and a call per slice would cost more than its bytes. Snappy wants its input in one piece:
 * the framed form 64 KiB at a time, the block form whole.
 *
 * Memory: the contexts (isa-l about 0.3 MiB, zstd level 1 about 1 MiB) live as long as the compressor.
 * The gathering buffer is kept between bodies unless one was larger than KEEP_BYTES.
 * Threads: one compressor, one thread.
 */
#include "net/compress.h"

#include <isa-l.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zstd.h>

#define GATHER_BYTES ((size_t)32 * 1024)
#define SMALL_PIECE_BYTES ((size_t)2048)
#define OUT_STEP_BYTES ((size_t)64 * 1024)
#define KEEP_BYTES ((size_t)1 << 20)
#define SNAPPY_CHUNK_BYTES ((size_t)65536)

struct compressor {
    enum codec codec;
    int level;
    struct isal_zstream *deflate;
    uint8_t *deflate_level_buf;
    ZSTD_CCtx *zstd;
    LZ4F_cctx *lz4;
    LZ4F_preferences_t lz4_prefs;
    struct buf gather;
};

/* ---- the pieces, small ones joined ---- */

struct pieces {
    const struct iovec *iov;
    size_t n, i;
    struct buf *gather;
};

static size_t iov_total(const struct iovec *iov, size_t n)
{
    size_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += iov[i].iov_len;
    return total;
}

/* The next piece to feed; false at the end. It is valid until the next call. The gathering buffer has
 * been given its room before. */
static bool pieces_next(struct pieces *p, struct slice *out)
{
    struct buf *g = p->gather;

    buf_clear(g);
    while (p->i < p->n) {
        const struct iovec *v = &p->iov[p->i];

        if (v->iov_len > SMALL_PIECE_BYTES) {
            if (g->len > 0)
                break;
            p->i++;
            *out = slice_of(v->iov_base, v->iov_len);
            return true;
        }
        if (g->len + v->iov_len > GATHER_BYTES)
            break;
        if (v->iov_len > 0)
            memcpy(g->p + g->len, v->iov_base, v->iov_len);
        g->len += v->iov_len;
        p->i++;
    }
    *out = slice_of(g->p, g->len);
    return g->len > 0;
}

static bool pieces_done(const struct pieces *p)
{
    return p->i >= p->n;
}

/* Room for the next output of a streaming codec: a step, or what is left below the cap. */
static int out_room(struct buf *out)
{
    size_t n = OUT_STEP_BYTES;

    if (out->max != 0 && out->max - out->len < n)
        n = out->max - out->len;
    return n == 0 ? -1 : buf_reserve(out, n);
}

/* ---- gzip and zlib ---- */

static const uint32_t deflate_level_bytes[] = {
    ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT,
};

/* zlib's scale to isa-l's: 0 (unset), -1 and below and 1..3 are the fast one. */
static int deflate_level(int level)
{
    return level >= 7 ? 3 : level >= 4 ? 2 : 1;
}

static int deflate_new(struct compressor *c)
{
    int level = deflate_level(c->level);

    c->deflate = mem_alloc(sizeof(*c->deflate));
    c->deflate_level_buf = mem_alloc(deflate_level_bytes[level]);
    isal_deflate_init(c->deflate);
    c->deflate->level = (uint32_t)level;
    c->deflate->level_buf = c->deflate_level_buf;
    c->deflate->level_buf_size = deflate_level_bytes[level];
    return 0;
}

static int deflate_feed(struct isal_zstream *z, struct slice in, bool last, struct buf *out)
{
    z->next_in = (uint8_t *)in.p;
    z->avail_in = (uint32_t)in.len;
    z->end_of_stream = last;
    do {
        if (out_room(out) != 0)
            return -1;
        z->next_out = out->p + out->len;
        z->avail_out = (uint32_t)(out->cap - out->len);
        if (isal_deflate(z) != COMP_OK)
            return -1;
        out->len = (size_t)(z->next_out - out->p);
    } while (z->avail_out == 0 || z->avail_in > 0);
    return 0;
}

static int deflate_run(struct compressor *c, struct pieces *p, struct buf *out)
{
    struct isal_zstream *z = c->deflate;
    struct slice in;

    isal_deflate_reset(z);
    z->gzip_flag = c->codec == CODEC_GZIP ? IGZIP_GZIP : IGZIP_ZLIB;
    z->flush = NO_FLUSH;
    while (pieces_next(p, &in))
        if (deflate_feed(z, in, false, out) != 0)
            return -1;
    return deflate_feed(z, slice_of(NULL, 0), true, out);
}

/* ---- zstd ---- */

/* The Collector's four steps. */
static int zstd_level(int level)
{
    return level < 3 ? 1 : level < 6 ? 3 : level < 10 ? 7 : 11;
}

static int zstd_new(struct compressor *c)
{
    c->zstd = ZSTD_createCCtx();
    if (c->zstd == NULL)
        return -1;
    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, zstd_level(c->level));
    ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_windowLog, 19); /* peers may refuse larger windows */
    return 0;
}

static int zstd_feed(ZSTD_CCtx *z, struct slice s, ZSTD_EndDirective mode, struct buf *out)
{
    ZSTD_inBuffer in = {s.p, s.len, 0};
    size_t left;

    do {
        if (out_room(out) != 0)
            return -1;
        ZSTD_outBuffer o = {out->p + out->len, out->cap - out->len, 0};

        left = ZSTD_compressStream2(z, &o, &in, mode);
        if (ZSTD_isError(left))
            return -1;
        out->len += o.pos;
    } while (mode == ZSTD_e_end ? left > 0 : in.pos < in.size);
    return 0;
}

static int zstd_run(struct compressor *c, struct pieces *p, size_t total, struct buf *out)
{
    struct slice in;

    ZSTD_CCtx_reset(c->zstd, ZSTD_reset_session_only);
    ZSTD_CCtx_setPledgedSrcSize(c->zstd, total);
    while (pieces_next(p, &in)) {
        bool last = pieces_done(p);

        if (zstd_feed(c->zstd, in, last ? ZSTD_e_end : ZSTD_e_continue, out) != 0)
            return -1;
        if (last)
            return 0;
    }
    return zstd_feed(c->zstd, slice_of(NULL, 0), ZSTD_e_end, out);
}

/* ---- lz4 frame ---- */

static int lz4_new(struct compressor *c)
{
    c->lz4_prefs.compressionLevel = c->level > 0 ? c->level : 0;
    return LZ4F_isError(LZ4F_createCompressionContext(&c->lz4, LZ4F_VERSION)) ? -1 : 0;
}

/* n: what LZ4F_* returned. */
static int lz4_took(struct buf *out, size_t n)
{
    if (LZ4F_isError(n))
        return -1;
    out->len += n;
    return 0;
}

static int lz4_feed(struct compressor *c, struct slice in, struct buf *out)
{
    while (in.len > 0) {
        size_t n = in.len < OUT_STEP_BYTES ? in.len : OUT_STEP_BYTES;

        if (buf_reserve(out, LZ4F_compressBound(n, &c->lz4_prefs)) != 0 ||
            lz4_took(out, LZ4F_compressUpdate(c->lz4, out->p + out->len, out->cap - out->len, in.p, n,
                                              NULL)) != 0)
            return -1;
        in = slice_of(in.p + n, in.len - n);
    }
    return 0;
}

static int lz4_run(struct compressor *c, struct pieces *p, struct buf *out)
{
    struct slice in;

    if (buf_reserve(out, LZ4F_HEADER_SIZE_MAX) != 0 ||
        lz4_took(out, LZ4F_compressBegin(c->lz4, out->p + out->len, out->cap - out->len, &c->lz4_prefs)) != 0)
        return -1;
    while (pieces_next(p, &in))
        if (lz4_feed(c, in, out) != 0)
            return -1;
    if (buf_reserve(out, LZ4F_compressBound(0, &c->lz4_prefs)) != 0)
        return -1;
    return lz4_took(out, LZ4F_compressEnd(c->lz4, out->p + out->len, out->cap - out->len, NULL));
}

/* ---- snappy ---- */

/* Appends up to n bytes of the pieces to the gathering buffer; returns how many came. */
static size_t snappy_gather(struct pieces *p, size_t *offset, size_t n)
{
    struct buf *g = p->gather;

    buf_clear(g);
    while (p->i < p->n && g->len < n) {
        const struct iovec *v = &p->iov[p->i];
        size_t take = v->iov_len - *offset;

        if (take > n - g->len)
            take = n - g->len;
        if (take > 0)
            memcpy(g->p + g->len, (const uint8_t *)v->iov_base + *offset, take);
        g->len += take;
        *offset += take;
        if (*offset == v->iov_len) {
            p->i++;
            *offset = 0;
        }
    }
    return g->len;
}

static int snappy_block(struct slice in, struct buf *out)
{
    size_t n = snappy_max_compressed_length(in.len);

    if (buf_reserve(out, n) != 0 ||
        snappy_compress((const char *)in.p, in.len, (char *)out->p + out->len, &n) != SNAPPY_OK)
        return -1;
    out->len += n;
    return 0;
}

static int snappy_run_block(struct pieces *p, size_t total, struct buf *out)
{
    size_t offset = 0;
    struct slice in;

    snappy_gather(p, &offset, total);
    in = slice_of(p->gather->p, p->gather->len);
    return snappy_block(in, out);
}

static uint32_t snappy_masked_crc(struct slice in)
{
    uint32_t crc = ~crc32_iscsi((unsigned char *)in.p, (int)in.len, 0xffffffffu);

    return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

/* One chunk: type, 24-bit length, masked CRC-32C of the plain bytes, data (compressed if smaller). */
static int snappy_chunk(struct slice in, struct buf *out)
{
    uint32_t crc = snappy_masked_crc(in);
    size_t at = out->len, body;

    if (buf_reserve(out, 8 + snappy_max_compressed_length(in.len)) != 0)
        return -1;
    out->len += 8;
    if (snappy_block(in, out) != 0)
        return -1;
    out->p[at] = 0x00;
    if (out->len - at - 8 >= in.len) {
        out->p[at] = 0x01;
        memcpy(out->p + at + 8, in.p, in.len);
        out->len = at + 8 + in.len;
    }
    body = out->len - at - 4;
    for (int i = 0; i < 3; i++)
        out->p[at + 1 + (size_t)i] = (uint8_t)(body >> (8 * i));
    for (int i = 0; i < 4; i++)
        out->p[at + 4 + (size_t)i] = (uint8_t)(crc >> (8 * i));
    return 0;
}

static int snappy_run_framed(struct pieces *p, struct buf *out)
{
    size_t offset = 0;

    if (buf_add(out, "\xff\x06\x00\x00sNaPpY", 10) != 0)
        return -1;
    while (snappy_gather(p, &offset, SNAPPY_CHUNK_BYTES) > 0)
        if (snappy_chunk(slice_of(p->gather->p, p->gather->len), out) != 0)
            return -1;
    return 0;
}

/* ---- life ---- */

static int codec_new(struct compressor *c)
{
    switch (c->codec) {
    case CODEC_GZIP:
    case CODEC_ZLIB:
        return deflate_new(c);
    case CODEC_ZSTD:
        return zstd_new(c);
    case CODEC_LZ4:
        return lz4_new(c);
    case CODEC_SNAPPY:
    case CODEC_SNAPPY_FRAMED:
        return 0;
    case CODEC_NONE:
    case CODEC_UNKNOWN:
        break;
    }
    return -1;
}

struct compressor *compressor_new(enum codec codec, int level)
{
    struct compressor *c = mem_alloc(sizeof(*c));

    c->codec = codec;
    c->level = level;
    if (codec_new(c) != 0)
        compressor_free(&c);
    return c;
}

void compressor_free(struct compressor **c)
{
    struct compressor *x = *c;

    *c = NULL;
    if (x == NULL)
        return;
    free(x->deflate_level_buf);
    free(x->deflate);
    ZSTD_freeCCtx(x->zstd);
    if (x->lz4 != NULL)
        LZ4F_freeCompressionContext(x->lz4);
    buf_free(&x->gather);
    free(x);
}

static size_t gather_need(const struct compressor *c, size_t total)
{
    if (c->codec == CODEC_SNAPPY)
        return total;
    return c->codec == CODEC_SNAPPY_FRAMED ? SNAPPY_CHUNK_BYTES : GATHER_BYTES;
}

static int codec_run(struct compressor *c, struct pieces *p, size_t total, struct buf *out)
{
    switch (c->codec) {
    case CODEC_GZIP:
    case CODEC_ZLIB:
        return deflate_run(c, p, out);
    case CODEC_ZSTD:
        return zstd_run(c, p, total, out);
    case CODEC_LZ4:
        return lz4_run(c, p, out);
    case CODEC_SNAPPY:
        return snappy_run_block(p, total, out);
    case CODEC_SNAPPY_FRAMED:
        return snappy_run_framed(p, out);
    case CODEC_NONE:
    case CODEC_UNKNOWN:
        break;
    }
    return -1;
}

int compress_iov(struct compressor *c, const struct iovec *iov, size_t n_iov, struct buf *out)
{
    struct pieces p = {.iov = iov, .n = n_iov, .gather = &c->gather};
    size_t total = iov_total(iov, n_iov);
    int rc;

    buf_clear(&c->gather);
    if (buf_reserve(&c->gather, gather_need(c, total) + 1) != 0)
        return -1;
    rc = codec_run(c, &p, total, out);
    if (c->gather.cap > KEEP_BYTES)
        buf_free(&c->gather);
    return rc;
}
