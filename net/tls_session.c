/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL between two buffers of ours, through a BIO of our own: reads take from the bytes that the
 * socket has just given (no copy of them is kept unless reading stops), writes append to `out`.
 *
 * Limits: `out` may not pass OUT_MAX_BYTES: a peer that asks for answers (key updates) and does not
 * read them ends its connection.
 */
#include "net/tls_session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/tls_lib.h"
#include "net/tls_priv.h"

#define SESSION_BYTES ((size_t)40 << 10) /* OpenSSL's, measured at its largest: in the handshake */
#define OUT_MAX_BYTES ((size_t)512 << 10)

struct tls_session {
    SSL *ssl;
    struct tls_context *context; /* a reference */
    const struct tls_config *cfg;
    struct slice in;  /* what is left of the peer's bytes */
    struct buf kept;  /* their memory, when they outlive their reading */
    struct buf out;
    size_t charged;
    size_t hello_bytes; /* of the handshake so far: OpenSSL keeps whole messages, up to 128 KiB of them */
    bool secured, failed;
    char host[256];
    char error[192];
};

/* ---- the BIO ---- */

static int on_bio_read(BIO *b, char *dst, int n)
{
    struct tls_session *s = ossl.BIO_get_data(b);
    size_t take = s->in.len < (size_t)n ? s->in.len : (size_t)n;

    ossl.BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (take == 0) {
        ossl.BIO_set_flags(b, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        return -1;
    }
    memcpy(dst, s->in.p, take);
    s->in = slice_of(s->in.p + take, s->in.len - take);
    return (int)take;
}

static int on_bio_write(BIO *b, const char *src, int n)
{
    struct tls_session *s = ossl.BIO_get_data(b);

    ossl.BIO_clear_flags(b, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    return n > 0 && buf_add(&s->out, src, (size_t)n) == 0 ? n : -1;
}

static long on_bio_ctrl(BIO *b, int cmd, long arg, void *p)
{
    (void)b;
    (void)arg;
    (void)p;
    return cmd == BIO_CTRL_FLUSH;
}

int tls_session_method_make(struct tls_lib *lib)
{
    lib->method = lib->BIO_meth_new(lib->BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tailrace");
    if (!lib->method)
        return -1;
    lib->BIO_meth_set_read(lib->method, on_bio_read);
    lib->BIO_meth_set_write(lib->method, on_bio_write);
    lib->BIO_meth_set_ctrl(lib->method, on_bio_ctrl);
    return 0;
}

/* ---- why it failed ---- */

static const char *verify_text(const struct tls_session *s, long code)
{
    if (code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY || code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
        code == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
        code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE || code == X509_V_ERR_CERT_SIGNATURE_FAILURE)
        return "certificate signed by unknown authority";
    if (code == X509_V_ERR_CERT_HAS_EXPIRED || code == X509_V_ERR_CERT_NOT_YET_VALID)
        return "certificate has expired or is not yet valid";
    if (code == X509_V_ERR_HOSTNAME_MISMATCH || code == X509_V_ERR_IP_ADDRESS_MISMATCH)
        return "certificate is not valid for";
    (void)s;
    return ossl.X509_verify_cert_error_string(code);
}

static enum tls_result fail(struct tls_session *s)
{
    unsigned long code = ossl.ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    long verify = ossl.SSL_get_verify_result(s->ssl);
    const char *words = code ? ossl.ERR_reason_error_string(code) : NULL;

    s->failed = true;
    if (s->error[0])
        return TLS_FAILED;
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK) {
        bool name = verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH;
        snprintf(s->error, sizeof s->error, "tls: failed to verify certificate: x509: %s%s%.60s", verify_text(s, verify),
                 name ? " " : "", name ? s->host : "");
    } else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        snprintf(s->error, sizeof s->error, "tls: client didn't provide a certificate");
    } else if (reason == SSL_R_HTTP_REQUEST) {
        snprintf(s->error, sizeof s->error, "%s", tls_error_is_http);
    } else {
        snprintf(s->error, sizeof s->error, "tls: %.120s", words ? words : "protocol error");
    }
    ossl.ERR_clear_error();
    return TLS_FAILED;
}

const char tls_error_is_http[] = "tls: client sent an HTTP request to an HTTPS server";

/* What a call of OpenSSL that did not succeed means. */
static enum tls_result result_of(struct tls_session *s, int rc)
{
    int e = ossl.SSL_get_error(s->ssl, rc);

    if (e == SSL_ERROR_WANT_READ)
        return TLS_MORE;
    return e == SSL_ERROR_ZERO_RETURN ? TLS_EOF : fail(s);
}

/* ---- use ---- */

void tls_session_feed(struct tls_session *s, const uint8_t *p, size_t n)
{
    CHECK(s->in.len == 0);
    s->in = slice_of(p, n);
    if (!s->secured)
        s->hello_bytes += n;
}

void tls_session_keep(struct tls_session *s)
{
    struct buf kept = {0};

    if (s->in.len > 0)
        buf_put(&kept, s->in.p, s->in.len);
    buf_free(&s->kept);
    s->kept = kept;
    s->in = slice_of(kept.p, kept.len);
}

/* A gRPC client does not talk to a server that did not agree on HTTP/2. */
static bool alpn_ok(const struct tls_session *s)
{
    const unsigned char *p = NULL;
    unsigned n = 0;

    if (s->cfg->server || s->cfg->alpn != TLS_ALPN_H2)
        return true;
    ossl.SSL_get0_alpn_selected(s->ssl, &p, &n);
    return n == 2 && memcmp(p, "h2", 2) == 0;
}

enum tls_result tls_session_handshake(struct tls_session *s)
{
    if (s->failed)
        return TLS_FAILED;
    if (s->secured)
        return TLS_OK;
    ossl.ERR_clear_error();
    int rc = ossl.SSL_do_handshake(s->ssl);
    if (rc != 1)
        return result_of(s, rc);
    if (!alpn_ok(s)) {
        snprintf(s->error, sizeof s->error, "tls: the server did not agree on HTTP/2 (ALPN h2)");
        s->failed = true;
        return TLS_FAILED;
    }
    s->secured = true;
    s->hello_bytes = 0;
    return TLS_OK;
}

enum tls_result tls_session_read(struct tls_session *s, uint8_t *dst, size_t n, size_t *got)
{
    size_t at = 0;

    *got = 0;
    if (s->failed)
        return TLS_FAILED;
    ossl.ERR_clear_error();
    while (at < n) {
        int rc = ossl.SSL_read(s->ssl, dst + at, (int)(n - at));
        if (rc > 0) {
            at += (size_t)rc;
            continue;
        }
        enum tls_result r = result_of(s, rc);
        if (at == 0 || r == TLS_FAILED)
            return r;
        break; /* what came first goes first; the same result comes again */
    }
    *got = at;
    return TLS_OK;
}

enum tls_result tls_session_write(struct tls_session *s, const uint8_t *p, size_t n)
{
    if (s->failed)
        return TLS_FAILED;
    ossl.ERR_clear_error();
    int rc = ossl.SSL_write(s->ssl, p, (int)n);
    if (rc > 0)
        CHECK((size_t)rc == n); /* no partial writes in this mode */
    return rc > 0 ? TLS_OK : fail(s);
}

void tls_session_shutdown(struct tls_session *s)
{
    if (!s->secured || s->failed)
        return;
    ossl.ERR_clear_error();
    ossl.SSL_shutdown(s->ssl);
    ossl.ERR_clear_error();
}

struct buf *tls_session_output(struct tls_session *s)
{
    return &s->out;
}

const char *tls_session_error(const struct tls_session *s)
{
    return s->error;
}

void tls_session_account(struct tls_session *s, size_t out_bytes)
{
    size_t now = SESSION_BYTES + s->kept.cap + out_bytes + s->hello_bytes;

    if (now > s->charged)
        budget_force(s->cfg->budget, MEM_CONN, now - s->charged);
    else
        budget_release(s->cfg->budget, MEM_CONN, s->charged - now);
    s->charged = now;
}

/* ---- life ---- */

static bool is_ip(const char *host)
{
    uint8_t addr[16];

    return inet_pton(AF_INET, host, addr) == 1 || inet_pton(AF_INET6, host, addr) == 1;
}

/* SNI, and the name that the certificate must have. */
static bool expect_host(struct tls_session *s, const char *host)
{
    X509_VERIFY_PARAM *param = ossl.SSL_get0_param(s->ssl);

    if (s->cfg->server_name && s->cfg->server_name[0])
        host = s->cfg->server_name;
    snprintf(s->host, sizeof s->host, "%s", host ? host : "");
    size_t n = strlen(s->host);
    if (n > 1 && s->host[n - 1] == '.') /* a full name's last dot is not part of certificates */
        s->host[--n] = '\0';
    if (n == 0)
        return true; /* a Unix socket without a name: the chain is checked, the name cannot be */
    if (is_ip(s->host))
        return ossl.X509_VERIFY_PARAM_set1_ip_asc(param, s->host) == 1;
    ossl.X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return ossl.X509_VERIFY_PARAM_set1_host(param, s->host, n) == 1 &&
           ossl.SSL_ctrl(s->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, s->host) == 1;
}

static bool attach_bio(struct tls_session *s)
{
    BIO *bio = ossl.BIO_new(ossl.method);

    if (!bio)
        return false;
    ossl.BIO_set_data(bio, s);
    ossl.BIO_set_init(bio, 1);
    ossl.SSL_set_bio(s->ssl, bio, bio); /* takes the one reference for both */
    return true;
}

struct tls_session *tls_session_new(struct tls_context *ctx, const char *host, struct err *err)
{
    const struct tls_config *cfg = tls_context_config(ctx);

    bool room = cfg->server ? budget_admit(cfg->budget, MEM_CONN, SESSION_BYTES) : budget_charge(cfg->budget, MEM_CONN, SESSION_BYTES);

    if (!room) {
        err_set(err, "tls: no memory for another connection");
        return NULL;
    }
    struct tls_session *s = mem_alloc(sizeof *s);
    tls_context_ref(ctx);
    s->context = ctx;
    s->cfg = cfg;
    s->charged = SESSION_BYTES;
    s->out.max = OUT_MAX_BYTES;
    s->ssl = tls_context_ssl(ctx);
    if (!s->ssl || !attach_bio(s) || (!cfg->server && !expect_host(s, host))) {
        err_set(err, "tls: OpenSSL cannot make a session");
        tls_session_free(&s);
        return NULL;
    }
    if (cfg->server)
        ossl.SSL_set_accept_state(s->ssl);
    else
        ossl.SSL_set_connect_state(s->ssl);
    return s;
}

void tls_session_free(struct tls_session **sp)
{
    struct tls_session *s = *sp;

    *sp = NULL;
    if (!s)
        return;
    if (s->ssl)
        ossl.SSL_free(s->ssl);
    budget_release(s->cfg->budget, MEM_CONN, s->charged);
    buf_free(&s->kept);
    buf_free(&s->out);
    tls_context_free(&s->context);
    free(s);
}
