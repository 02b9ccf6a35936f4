/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes TLS sessions (net/tls_session.c): a client and a server that really talk, with somebody on
 * the wire between them. Input: byte 0 chooses the settings (bit 0: client certificates, bit 1:
 * TLS 1.2, bit 2: both ends read little at a time), then steps of one byte each, some followed by
 * what they need:
 *
 *   bits 0-3  what happens (enum step)    bit 4  by the server, else by the client    bits 5-7  a
 * small number
 *
 * Whatever happens on the wire, an end reads exactly what the other wrote, or less; a failed
 * session stays failed; all memory is given back. What is random in TLS makes runs differ: an input
 * that fails is run again and again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/tls_session.h"

#define MAX_STEPS  400
#define WIRE_BYTES ((size_t)1 << 20)
#define PEM_BYTES  8192

enum step {
    STEP_PASS,      /* what this end has sent reaches the other */
    STEP_PASS_PART, /* the first part of it; the rest stays on the wire */
    STEP_WRITE,     /* n KiB of plaintext */
    STEP_FLIP,      /* a bit of what is on the wire: two bytes say which */
    STEP_CUT,       /* off the wire's end: one byte */
    STEP_DOUBLE,    /* what is on the wire comes twice */
    STEP_SAY,       /* n bytes of the input as they are */
    STEP_RECORD,    /* a record of n bytes of the input: type byte first */
    STEP_SHUTDOWN,
    STEP_SWALLOW, /* what is on the wire is lost */
    STEPS
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static char pem[PEM_BYTES], ca_file[] = "/tmp/fuzz_tls.XXXXXX";
static struct tls_context *contexts[2][2][2]; /* server or client, client certificates, TLS 1.2 */
static struct budget *budget;

struct end {
    struct tls_session *tls;
    struct buf wire; /* on its way to the other end */
    uint64_t n_written, n_read;
    bool open, failed, eof;
};

/* ---- once ---- */

static void make_certificate(void)
{
    FILE *p = popen("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "
                    "100 -subj /CN=localhost "
                    "-addext subjectAltName=DNS:localhost -keyout - -out - 2>/dev/null",
                    "r");
    int fd = mkstemp(ca_file);

    CHECK(p && fd >= 0);
    size_t n = fread(pem, 1, sizeof pem - 1, p);
    CHECK(pclose(p) == 0 && n > 0 && write(fd, pem, n) == (ssize_t)n);
    close(fd);
}

static struct tls_context *context(bool server, bool mutual, bool old)
{
    struct tls_config cfg = {
        .server = server, .budget = budget, .alpn = TLS_ALPN_H2, .max_version = old ? 0x0303 : 0};
    struct err err;

    if (server || mutual)
        cfg.cert_pem = cfg.key_pem = pem;
    if (!server)
        cfg.ca_pem = pem;
    else if (mutual)
        cfg.client_ca_file = ca_file;
    struct tls_context *c = tls_context_new(&cfg, &err);
    if (!c)
        fprintf(stderr, "%s\n", err.text);
    CHECK(c);
    return c;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    make_certificate();
    budget = budget_new(0, 0);
    for (int i = 0; i < 8; i++)
        contexts[i >> 2][i >> 1 & 1][i & 1] = context(i >> 2, i >> 1 & 1, i & 1);
    unlink(ca_file);
    return 0;
}

/* ---- an end ---- */

/* Byte i of what an end writes. */
static uint8_t said(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 256 + 7);
}

static void collect(struct end *e)
{
    struct buf *out = tls_session_output(e->tls);

    if (e->wire.len + out->len <= WIRE_BYTES)
        buf_put(&e->wire, out->p, out->len);
    buf_clear(out);
}

/* Whatever comes out of a session is what the other end put in. */
static void read_all(struct end *e, const struct end *other, size_t most)
{
    uint8_t dst[4096];
    enum tls_result r;
    size_t got;

    while ((r = tls_session_read(e->tls, dst, most, &got)) == TLS_OK) {
        CHECK(got > 0 && got <= most && e->n_read + got <= other->n_written);
        for (size_t i = 0; i < got; i++)
            CHECK(dst[i] == said(e->n_read + i));
        e->n_read += got;
    }
    CHECK(got == 0);
    e->failed |= r == TLS_FAILED;
    e->eof |= r == TLS_EOF;
}

static void go_on(struct end *e, const struct end *other, size_t most)
{
    if (!e->open) {
        enum tls_result r = tls_session_handshake(e->tls);
        e->open = r == TLS_OK;
        e->failed |= r == TLS_FAILED;
    }
    if (e->open && !e->failed)
        read_all(e, other, most);
    if (e->failed)
        CHECK(tls_session_error(e->tls)[0] && tls_session_handshake(e->tls) == TLS_FAILED);
    collect(e);
}

/* A failed session, or one that has heard the end, is not fed any more, as its connection closes.
 */
static void hear(struct end *e, const struct end *other, const uint8_t *p, size_t n, size_t most)
{
    if (e->failed || e->eof || n == 0)
        return;
    uint8_t *exact = malloc(n); /* so that reading past the end is seen */
    CHECK(exact);
    memcpy(exact, p, n);
    tls_session_feed(e->tls, exact, n);
    go_on(e, other, most);
    tls_session_keep(e->tls);
    memset(exact, 0xdd, n);
    free(exact);
    tls_session_account(e->tls, 0);
}

/* ---- the wire ---- */

struct input {
    const uint8_t *p;
    size_t n;
};

static uint8_t next(struct input *in)
{
    return in->n ? (in->n--, *in->p++) : 0;
}

static struct slice next_bytes(struct input *in, size_t n)
{
    struct slice s = slice_of(in->p, n < in->n ? n : in->n);

    in->p += s.len;
    in->n -= s.len;
    return s;
}

static void pass(struct end *from, struct end *to, size_t n, size_t most)
{
    if (n == 0)
        return;
    hear(to, from, from->wire.p, n, most);
    memmove(from->wire.p, from->wire.p + n, from->wire.len - n);
    from->wire.len -= n;
}

static void write_some(struct end *e, size_t n)
{
    static uint8_t text[TLS_PIECE_BYTES];

    if (!e->open || e->failed)
        return;
    for (size_t i = 0; i < n; i++)
        text[i] = said(e->n_written + i);
    if (tls_session_write(e->tls, text, n) == TLS_OK)
        e->n_written += n;
    else
        e->failed = true;
    collect(e);
}

static void say_record(struct end *e, struct input *in, unsigned n)
{
    uint8_t type = next(in);
    struct slice body = next_bytes(in, (size_t)n * 8);
    uint8_t head[] = {type, 3, 3, 0, (uint8_t)body.len};

    buf_put(&e->wire, head, sizeof head);
    buf_put(&e->wire, body.p, body.len);
}

static void flip(struct end *e, struct input *in)
{
    size_t at = (size_t)next(in) << 8;

    at |= next(in);
    if (e->wire.len > 0)
        e->wire.p[at / 8 % e->wire.len] ^= (uint8_t)(1u << at % 8);
}

static void double_wire(struct end *e)
{
    struct buf copy = {0};

    if (e->wire.len == 0 || e->wire.len > WIRE_BYTES / 2)
        return;
    buf_put(&copy, e->wire.p, e->wire.len);
    buf_put(&e->wire, copy.p, copy.len);
    buf_free(&copy);
}

static void step(struct end ends[2], struct input *in, size_t most)
{
    uint8_t op = next(in);
    struct end *e = &ends[op >> 4 & 1], *other = &ends[!(op >> 4 & 1)];
    unsigned n = 1 + (op >> 5);
    struct slice s;

    switch ((op & 15) % STEPS) {
    case STEP_PASS:
        pass(e, other, e->wire.len, most);
        break;
    case STEP_PASS_PART:
        pass(e, other, e->wire.len * n / 9, most);
        break;
    case STEP_WRITE:
        write_some(e, n * 2000);
        break;
    case STEP_FLIP:
        flip(e, in);
        break;
    case STEP_CUT:
        e->wire.len -= e->wire.len < next(in) + 1u ? e->wire.len : 1;
        break;
    case STEP_DOUBLE:
        double_wire(e);
        break;
    case STEP_SAY:
        s = next_bytes(in, n);
        buf_put(&e->wire, s.p, s.len);
        break;
    case STEP_RECORD:
        say_record(e, in, n);
        break;
    case STEP_SHUTDOWN:
        tls_session_shutdown(e->tls);
        collect(e);
        break;
    default:
        e->wire.len = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t set = next(&in);
    size_t most = set & 4 ? 97 : 4096;
    struct end ends[2] = {0};
    struct err err;

    for (int i = 0; i < 2; i++) {
        ends[i].tls =
            tls_session_new(contexts[i][set & 1][set >> 1 & 1], i ? NULL : "localhost", &err);
        CHECK(ends[i].tls);
    }
    go_on(&ends[0], &ends[1], most);
    for (int i = 0; i < MAX_STEPS && in.n > 0; i++)
        step(ends, &in, most);
    for (int i = 0; i < 2; i++) {
        tls_session_free(&ends[i].tls);
        buf_free(&ends[i].wire);
    }
    CHECK(budget_used(budget) == 0);
    return 0;
}
