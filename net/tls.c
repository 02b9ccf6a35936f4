/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Contexts: from PEM to an SSL_CTX, and again when files change.
 *
 *   parts (the PEM text of certificate, key, authorities) -> build() -> SSL_CTX
 *
 * A reload reads the part again, builds a whole new SSL_CTX with it, and only then lets go of the old
 * one: a half-written file, or a key that does not belong to the certificate, changes nothing. Sessions
 * hold their own reference, so connections live on with what they began with.
 *
 * Files are small and local; they are read on the loop's thread, at most once per interval.
 */
#include "net/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/tls_priv.h"
#include "platform/buf.h"
#include "platform/clock.h"

#define FILE_MAX_BYTES ((size_t)4 << 20)
#define CA_RELOAD_NS   NS_PER_SEC

/* What Go's TLS offers by default up to TLS 1.2. Those of 1.3 are not to be chosen, there as here. */
#define DEFAULT_CIPHERS                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                       \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                       \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"                       \
    "ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"

enum part { PART_CERT, PART_KEY, PART_CA, PART_CLIENT_CA, PARTS };

struct tls_context {
    struct tls_config cfg;
    atomic_uint refs; /* the owner's, and one for each session */
    char *ciphers, *groups;
    pthread_mutex_t lock; /* of what follows */
    SSL_CTX *ssl_ctx;
    struct buf part[PARTS];
    uint64_t next_cert_ns, next_ca_ns;
    struct tls_reloads reloads;
    char told[sizeof(((struct err *)0)->text)]; /* the last failure that was logged */
};

static bool is_set(const char *s)
{
    return s && s[0];
}

/* ---- parts ---- */

static int read_open_file(int fd, const char *path, struct buf *out, struct err *err)
{
    uint8_t block[8192];
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return err_set(err, "open %s: not a regular file", path);
    while ((n = read(fd, block, sizeof block)) > 0)
        if (buf_add(out, block, (size_t)n) != 0)
            return err_set(err, "%s: too large", path);
    return n == 0 ? 0 : err_set(err, "read %s: %s", path, strerrordesc_np(errno));
}

static int read_file(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    *out = (struct buf){.max = FILE_MAX_BYTES};
    if (fd < 0)
        return err_set(err, "open %s: %s", path, errno == ENOENT ? "no such file or directory" : strerrordesc_np(errno));
    int rc = read_open_file(fd, path, out, err);
    close(fd);
    if (rc != 0)
        buf_free(out);
    return rc;
}

static const char *part_file(const struct tls_config *cfg, enum part part)
{
    const char *const files[PARTS] = {cfg->cert_file, cfg->key_file, cfg->ca_file, cfg->client_ca_file};

    return is_set(files[part]) ? files[part] : NULL;
}

/* From the file, or the text of the configuration; empty when neither is set. */
static int read_part(const struct tls_config *cfg, enum part part, struct buf *out, struct err *err)
{
    const char *const texts[PARTS] = {cfg->cert_pem, cfg->key_pem, cfg->ca_pem, NULL};

    *out = (struct buf){0};
    if (part_file(cfg, part))
        return read_file(part_file(cfg, part), out, err);
    if (is_set(texts[part]))
        buf_puts(out, texts[part]);
    return 0;
}

static void part_free(struct buf *part)
{
    if (part->p)
        explicit_bzero(part->p, part->cap);
    buf_free(part);
}

/* ---- building ---- */

static const char *reason_text(void)
{
    unsigned long code = ossl.ERR_peek_last_error();
    const char *text = code ? ossl.ERR_reason_error_string(code) : NULL;

    return text ? text : "unusable";
}

static BIO *bio_of(const struct buf *pem)
{
    return ossl.BIO_new_mem_buf(pem->p, (int)pem->len);
}

/* Without this OpenSSL would ask for a passphrase on the terminal. */
static int no_passphrase(char *buf, int size, int for_writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)for_writing;
    (void)ctx;
    return -1;
}

/* The first certificate is ours, the others are sent along. */
static int use_chain(SSL_CTX *ctx, const struct buf *pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    unsigned n = 0;
    int rc = 0;

    for (X509 *x; rc == 0 && bio && (x = ossl.PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)); n++) {
        bool ok = n == 0 ? ossl.SSL_CTX_use_certificate(ctx, x) == 1
                         : ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 1, x) == 1;
        ossl.X509_free(x);
        if (!ok)
            rc = err_set(err, "tls: %s", reason_text());
    }
    if (rc == 0 && n == 0)
        rc = err_set(err, "tls: failed to find any PEM data in certificate input");
    if (bio)
        ossl.BIO_free(bio);
    return rc;
}

static int use_key(SSL_CTX *ctx, const struct buf *pem, struct err *err)
{
    BIO *bio = bio_of(pem);
    EVP_PKEY *key = bio ? ossl.PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    int rc = 0;

    if (!key)
        rc = err_set(err, "tls: failed to find any PEM data in key input");
    else if (ossl.SSL_CTX_use_PrivateKey(ctx, key) != 1 || ossl.SSL_CTX_check_private_key(ctx) != 1)
        rc = err_set(err, "tls: private key does not match public key");
    ossl.EVP_PKEY_free(key);
    if (bio)
        ossl.BIO_free(bio);
    return rc;
}

/* Every certificate of the text is trusted by itself, also one that another has signed. */
static int trust(SSL_CTX *ctx, const struct buf *pem, bool for_clients, const char *name, struct err *err)
{
    X509_STORE *store = ossl.SSL_CTX_get_cert_store(ctx);
    BIO *bio = bio_of(pem);
    unsigned n = 0;

    for (X509 *x; bio && (x = ossl.PEM_read_bio_X509(bio, NULL, no_passphrase, NULL));) {
        n += ossl.X509_STORE_add_cert(store, x) == 1;
        if (for_clients)
            ossl.SSL_CTX_add_client_CA(ctx, x);
        ossl.X509_free(x);
    }
    if (bio)
        ossl.BIO_free(bio);
    return n > 0 ? 0 : err_set(err, "failed to parse cert %s", name);
}

/* "X25519:P-256": what this OpenSSL does not know is left out, as long as something is left. */
static int set_groups(SSL_CTX *ctx, const char *wanted, struct err *err)
{
    char all[256] = "", one[64];
    size_t n = 0;

    for (const char *p = wanted; *p; p += strcspn(p, ":"), p += *p == ':') {
        snprintf(one, sizeof one, "%.*s", (int)strcspn(p, ":"), p);
        if (ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, one) == 1 && n + strlen(one) + 2 < sizeof all)
            n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", n ? ":" : "", one);
    }
    if (n == 0 || ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, all) != 1)
        return err_set(err, "this OpenSSL has none of the curve_preferences (%s)", wanted);
    return 0;
}

static int set_rules(struct tls_context *c, SSL_CTX *ctx, struct err *err)
{
    const struct tls_config *cfg = &c->cfg;
    int min = cfg->min_version ? cfg->min_version : TLS1_2_VERSION;

    ossl.SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER, NULL);
    ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    if (min < TLS1_2_VERSION)
        ossl.SSL_CTX_set_security_level(ctx, 0); /* their signatures count as broken above it */
    if (ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, min, NULL) != 1 ||
        ossl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MAX_PROTO_VERSION, cfg->max_version, NULL) != 1)
        return err_set(err, "this OpenSSL does not speak the TLS versions asked for");
    if (ossl.SSL_CTX_set_cipher_list(ctx, c->ciphers ? c->ciphers : DEFAULT_CIPHERS) != 1)
        return err_set(err, "this OpenSSL has none of the cipher_suites");
    return c->groups ? set_groups(ctx, c->groups, err) : 0;
}

static const unsigned char alpn_h2[] = "\x02h2", alpn_both[] = "\x02h2\x08http/1.1", alpn_http1[] = "\x08http/1.1";

static struct slice alpn_names(enum tls_alpn alpn)
{
    return alpn == TLS_ALPN_H2          ? slice_of(alpn_h2, sizeof alpn_h2 - 1)
           : alpn == TLS_ALPN_H2_HTTP1 ? slice_of(alpn_both, sizeof alpn_both - 1)
                                        : slice_of(alpn_http1, sizeof alpn_http1 - 1);
}

/* The first of ours that the client has too; it is told when there is none. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len,
                   void *arg)
{
    const struct tls_context *c = arg;
    struct slice ours = alpn_names(c->cfg.alpn);

    (void)ssl;
    for (size_t i = 0; i < ours.len; i += 1u + ours.p[i]) {
        for (unsigned k = 0; k < in_len && k + 1u + in[k] <= in_len; k += 1u + in[k]) {
            if (in[k] != ours.p[i] || memcmp(in + k + 1, ours.p + i + 1, in[k]) != 0)
                continue;
            *out = in + k + 1;
            *out_len = in[k];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int set_server(struct tls_context *c, SSL_CTX *ctx, const struct buf part[static PARTS], struct err *err)
{
    ossl.SSL_CTX_set_alpn_select_cb(ctx, on_alpn, c);
    ossl.SSL_CTX_set_num_tickets(ctx, 1);
    if (!part_file(&c->cfg, PART_CLIENT_CA))
        return 0;
    if (trust(ctx, &part[PART_CLIENT_CA], true, c->cfg.client_ca_file, err) != 0)
        return err_wrap(err, "failed to load client CA CertPool: failed to load cert %s", c->cfg.client_ca_file);
    ossl.SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET); /* every connection shows its certificate */
    ossl.SSL_CTX_set_num_tickets(ctx, 0);
    ossl.SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

static int set_client(struct tls_context *c, SSL_CTX *ctx, const struct buf part[static PARTS], struct err *err)
{
    const struct tls_config *cfg = &c->cfg;
    struct slice alpn = alpn_names(cfg->alpn);

    if (ossl.SSL_CTX_set_alpn_protos(ctx, alpn.p, (unsigned)alpn.len) != 0)
        return err_set(err, "ALPN cannot be set");
    if (part[PART_CA].len > 0 && trust(ctx, &part[PART_CA], false, is_set(cfg->ca_file) ? cfg->ca_file : "ca_pem", err) != 0)
        return err_wrap(err, "failed to load CA CertPool");
    if (part[PART_CA].len == 0 || cfg->system_cas)
        ossl.SSL_CTX_set_default_verify_paths(ctx);
    ossl.SSL_CTX_set_verify(ctx, cfg->skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    return 0;
}

static int configure(struct tls_context *c, SSL_CTX *ctx, const struct buf part[static PARTS], struct err *err)
{
    X509_VERIFY_PARAM *param = ossl.SSL_CTX_get0_param(ctx);

    ossl.X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    if (set_rules(c, ctx, err) != 0)
        return -1;
    if (part[PART_CERT].len > 0 && (use_chain(ctx, &part[PART_CERT], err) != 0 || use_key(ctx, &part[PART_KEY], err) != 0))
        return err_wrap(err, "failed to load TLS cert and key");
    return c->cfg.server ? set_server(c, ctx, part, err) : set_client(c, ctx, part, err);
}

static SSL_CTX *build(struct tls_context *c, const struct buf part[static PARTS], struct err *err)
{
    SSL_CTX *ctx;

    ossl.ERR_clear_error();
    ctx = ossl.SSL_CTX_new(ossl.TLS_method());
    if (!ctx) {
        err_set(err, "OpenSSL: %s", reason_text());
        return NULL;
    }
    int rc = configure(c, ctx, part, err);
    ossl.ERR_clear_error();
    if (rc != 0) {
        ossl.SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

/* ---- reload ---- */

static void log_failure(struct tls_context *c, const struct err *err)
{
    c->reloads.failed++;
    if (c->cfg.log && strcmp(c->told, err->text) != 0)
        log_error(c->cfg.log, "Failed to reload TLS files, the old ones stay in use", LOG_STR("error", err->text));
    snprintf(c->told, sizeof c->told, "%s", err->text);
}

static void take_over(struct tls_context *c, SSL_CTX *fresh, struct buf part[static PARTS], unsigned mask)
{
    ossl.SSL_CTX_free(c->ssl_ctx);
    c->ssl_ctx = fresh;
    for (unsigned i = 0; i < PARTS; i++) {
        if (!(mask & 1u << i))
            continue;
        part_free(&c->part[i]);
        c->part[i] = part[i];
    }
    c->reloads.done++;
    c->told[0] = '\0';
    if (c->cfg.log)
        log_info(c->cfg.log, "TLS files reloaded");
}

/* Reads the parts of the mask again. */
static void reload(struct tls_context *c, unsigned mask)
{
    struct buf part[PARTS];
    struct err err = {0};
    bool changed = false, ok = true;
    SSL_CTX *fresh = NULL;

    memcpy(part, c->part, sizeof part);
    for (unsigned i = 0; i < PARTS; i++) {
        if (!(mask & 1u << i))
            continue;
        ok = read_part(&c->cfg, (enum part)i, &part[i], &err) == 0 && ok;
        changed |= !slice_eq(slice_of(part[i].p, part[i].len), slice_of(c->part[i].p, c->part[i].len));
    }
    if (ok && changed)
        fresh = build(c, part, &err);
    if (fresh) {
        take_over(c, fresh, part, mask);
        return;
    }
    if (!ok || changed)
        log_failure(c, &err);
    for (unsigned i = 0; i < PARTS; i++)
        if (mask & 1u << i)
            part_free(&part[i]);
}

static void reload_if_due(struct tls_context *c, uint64_t now)
{
    bool own_files = part_file(&c->cfg, PART_CERT) || part_file(&c->cfg, PART_KEY);

    if (c->cfg.reload_interval_ns && now >= c->next_cert_ns) {
        c->next_cert_ns = now + c->cfg.reload_interval_ns;
        if (own_files)
            reload(c, 1u << PART_CERT | 1u << PART_KEY);
        if (!c->cfg.server && part_file(&c->cfg, PART_CA)) /* whom we trust may be rotated at another time */
            reload(c, 1u << PART_CA);
    }
    if (c->cfg.client_ca_file_reload && part_file(&c->cfg, PART_CLIENT_CA) && now >= c->next_ca_ns) {
        c->next_ca_ns = now + CA_RELOAD_NS;
        reload(c, 1u << PART_CLIENT_CA);
    }
}

/* ---- use ---- */

const struct tls_config *tls_context_config(const struct tls_context *c)
{
    return &c->cfg;
}

SSL *tls_context_ssl(struct tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    reload_if_due(c, clock_mono_ns());
    SSL *ssl = ossl.SSL_new(c->ssl_ctx);
    pthread_mutex_unlock(&c->lock);
    return ssl;
}

struct tls_reloads tls_context_reloads(struct tls_context *c)
{
    pthread_mutex_lock(&c->lock);
    struct tls_reloads r = c->reloads;
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* ---- life ---- */

static int load_parts(struct tls_context *c, struct err *err)
{
    static const char *const contexts[PARTS] = {
        "failed to load TLS cert and key", "failed to load TLS cert and key",
        "failed to load CA CertPool", "failed to load client CA CertPool"};

    for (unsigned i = 0; i < PARTS; i++)
        if (read_part(&c->cfg, (enum part)i, &c->part[i], err) != 0)
            return err_wrap(err, "%s", contexts[i]);
    c->ssl_ctx = build(c, c->part, err);
    return c->ssl_ctx ? 0 : -1;
}

struct tls_context *tls_context_new(const struct tls_config *cfg, struct err *err)
{
    if (tls_lib_load(err) != 0)
        return NULL;
    struct tls_context *c = mem_alloc(sizeof *c);
    uint64_t now = clock_mono_ns();

    c->cfg = *cfg;
    atomic_init(&c->refs, 1);
    c->ciphers = is_set(cfg->ciphers) ? mem_dup(cfg->ciphers) : NULL;
    c->groups = is_set(cfg->groups) ? mem_dup(cfg->groups) : NULL;
    c->next_cert_ns = now + cfg->reload_interval_ns;
    c->next_ca_ns = now + CA_RELOAD_NS;
    pthread_mutex_init(&c->lock, NULL);
    if (load_parts(c, err) != 0) {
        err_wrap(err, "failed to load TLS config");
        tls_context_free(&c);
    }
    return c;
}

void tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
}

void tls_context_free(struct tls_context **cp)
{
    struct tls_context *c = *cp;

    *cp = NULL;
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (c->ssl_ctx)
        ossl.SSL_CTX_free(c->ssl_ctx);
    for (unsigned i = 0; i < PARTS; i++)
        part_free(&c->part[i]);
    pthread_mutex_destroy(&c->lock);
    free(c->ciphers);
    free(c->groups);
    free(c);
}
