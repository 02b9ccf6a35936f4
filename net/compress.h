/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole bodies in, whole bodies out, with a cap on what comes out. Contexts are reused: one
 * decompressor and one compressor per worker or exporter, never one per request.
 */
#ifndef TAILRACE_NET_COMPRESS_H
#define TAILRACE_NET_COMPRESS_H

#include <sys/uio.h>

#include "platform/buf.h"
#include "platform/err.h"
#include "platform/mem.h"

enum codec {
    CODEC_NONE,
    CODEC_GZIP,          /* RFC 1952, several members are one body */
    CODEC_ZLIB,          /* RFC 1950; HTTP's "deflate" as well */
    CODEC_ZSTD,          /* several frames are one body */
    CODEC_SNAPPY,        /* block format; a framed stream is recognised when decompressing */
    CODEC_SNAPPY_FRAMED,
    CODEC_LZ4,           /* frame format */
    CODEC_UNKNOWN
};

enum decompress_result { DECOMPRESS_OK, DECOMPRESS_CORRUPT, DECOMPRESS_TOO_LARGE, DECOMPRESS_NO_MEMORY };

struct decompressor;
struct decompressor *decompressor_new(void) MUST_USE;
void decompressor_free(struct decompressor **d);

/* *out: malloc'ed, *out_len bytes, *charged bytes of it charged to the budget as MEM_BODY (charge grows with
 * the output, never the full cap at once); the caller owns both. max_out: bytes. On failure nothing is
 * held and err says what ("gzip: invalid header"). net/decompress.c. */
enum decompress_result decompress(struct decompressor *d, enum codec codec, struct slice in, size_t max_out,
                                  struct budget *b, uint8_t **out, size_t *out_len, size_t *charged,
                                  struct err *err) MUST_USE;

/* The codec a header names: grpc-encoding (case matters, snappy means framed) or Content-Encoding. */
enum codec codec_of_grpc(struct slice encoding);
enum codec codec_of_http(struct slice encoding);

struct compressor;
/* level 0: the default of the codec here (gzip: isa-l level 1; zstd: 1). NULL: codec cannot compress. net/compress.c. */
struct compressor *compressor_new(enum codec codec, int level) MUST_USE;
void compressor_free(struct compressor **c);
/* Appends the compressed form of the iovecs to out. -1: out is full or no memory. */
int compress_iov(struct compressor *c, const struct iovec *iov, size_t n_iov, struct buf *out) MUST_USE;

#endif
