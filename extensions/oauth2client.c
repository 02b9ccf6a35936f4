/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oauth2client: an access token for exporters' requests, by the client credentials grant or, with a private key, the
 * jwt-bearer grant.
 *
 *   sign: is there a token? -> yes: set the header
 *                           -> no: wait, ask main -> one fetch for all -> box -> sign again
 *
 * The token is fetched when the first request needs it, and again before it expires, expiry_buffer ahead
 * or after half its life, if it was used since; requests go on with the old one meanwhile. A fetch that fails is a
 * retryable error of the requests that wait, and the next one comes after a growing pause: a server in
 * trouble is not asked for each batch.
 *
 * Threads: fetching is main's. A question goes from a signer's worker to main and back as a message that
 * belongs to nobody (struct ask), so that either end may go first.
 */
#include "extensions/oauth2client.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/box.h"
#include "extensions/extensions.h"
#include "extensions/secret_file.h"
#include "net/http1_client.h"
#include "net/tls.h"
#include "platform/clock.h"

enum { DIAL_MS = 10000, DEFAULT_TIMEOUT_MS = 30000, PAUSE_FIRST_MS = 1000, PAUSE_MAX_MS = 30000 };

static const struct key oauth2_keys[] = {
    KEY_STR(struct oauth2_settings, client_id, "", "The client's id."),
    KEY_STR(struct oauth2_settings, client_id_file, "", "File with the id, read for each fetch; wins over client_id."),
    KEY_SECRET(struct oauth2_settings, client_secret, "", "The client's secret."),
    KEY_STR(struct oauth2_settings, client_secret_file, "",
            "File with the secret, read for each fetch; wins over client_secret."),
    KEY_STR(struct oauth2_settings, token_url, "", "Where tokens are to be had: an http:// or https:// URL."),
    KEY_STR(struct oauth2_settings, grant_type, "", "client_credentials, which is also the default, or " OAUTH2_JWT_BEARER "."),
    KEY_SECRET(struct oauth2_settings, client_certificate_key, "", "jwt-bearer: the RSA key that signs, as PEM."),
    KEY_STR(struct oauth2_settings, client_certificate_key_file, "",
            "jwt-bearer: file with the key, read for each fetch; wins over client_certificate_key."),
    KEY_STR(struct oauth2_settings, client_certificate_key_id, "", "jwt-bearer: the key's id (kid)."),
    KEY_STR(struct oauth2_settings, signature_algorithm, "RS256", "jwt-bearer: RS256, RS384 or RS512."),
    KEY_STR(struct oauth2_settings, iss, "", "jwt-bearer: the issuer; by default the client's id."),
    KEY_STR(struct oauth2_settings, audience, "", "jwt-bearer: for whom the statement is; by default token_url."),
    KEY_VALUE(struct oauth2_settings, claims, "jwt-bearer: further claims, a map; they win over the usual ones."),
    KEY_VALUE(struct oauth2_settings, endpoint_params, "Further parameters of the request: a map of strings or of lists of strings."),
    KEY_STRS(struct oauth2_settings, scopes, NULL, "What the token shall be good for."),
    KEY_DURATION(struct oauth2_settings, timeout, "0s", 0, 3600, "A fetch may take this long; 0: 30s."),
    KEY_DURATION(struct oauth2_settings, expiry_buffer, "5m", 0, 86400,
                 "How long before its end a token is replaced; at the latest after half its life."),
    KEY_SECTION(struct oauth2_settings, tls, tls_client_keys, "TLS, for an https:// token_url."),
    KEY_END,
};

struct token {
    struct boxed base;
    char *value;
    uint64_t ends_ns; /* monotonic; UINT64_MAX: never */
};

struct fetch;

struct oauth2 {
    struct component base;
    const struct oauth2_settings *set;
    struct endpoint endpoint;
    struct proxy proxy;
    struct tls_context *tls; /* NULL: plaintext */
    struct http1_pool *pool;
    struct timer *timeout, *renew;
    struct box box;
    _Atomic bool used; /* since the last fetch */

    struct fetch *fetch; /* under way; NULL: none */
    struct list asks;    /* wait for it */
    enum oauth2_style style;
    bool style_known, closed, told;
    struct backoff pause;
    uint64_t not_before_ns; /* monotonic: no fetch before */
    struct err error;       /* of the last one */
};

/* A request for a token. Outlives its owner when it must. */
struct fetch {
    struct http1_request req;
    struct oauth2 *o; /* NULL: gone */
    struct buf head, body;
    struct iovec iov;
    enum oauth2_style style;
    bool timed_out;
};

struct oauth2_signer {
    struct auth_signer base;
    struct oauth2 *o;
    struct loop *loop;
    struct box_view view;
    struct list waits; /* of struct auth_wait */
    struct ask *ask;   /* on its way; NULL: none */
    bool failed;       /* the last answer was no token */
    struct err error;
};

struct ask {
    struct list node;
    struct oauth2_signer *signer; /* NULL: gone, and so may be the extension */
    struct loop *loop;
    struct oauth2 *o;
    bool ok;
    struct err error;
};

static struct oauth2 *oauth2_of(const struct component *c)
{
    CHECK(c->type == &oauth2client_extension_type);
    return CONTAINER_OF(c, struct oauth2, base);
}

static struct oauth2_signer *signer_of(struct auth_signer *s)
{
    return CONTAINER_OF(s, struct oauth2_signer, base);
}

/* ---- the end of a fetch ---- */

static void token_free(struct boxed *base)
{
    struct token *t = CONTAINER_OF(base, struct token, base);

    secret_free(&t->value);
    free(t);
}

/* On the signer's worker. */
static void on_answer(void *ctx)
{
    struct ask *a = ctx;
    struct oauth2_signer *s = a->signer;
    struct list ready;

    if (s) {
        s->ask = NULL;
        s->failed = !a->ok;
        s->error = a->error;
        list_init(&ready);
        while (!list_empty(&s->waits))
            list_add_tail(&ready, list_pop(&s->waits));
        while (!list_empty(&ready)) {
            struct auth_wait *w = CONTAINER_OF(list_pop(&ready), struct auth_wait, node);
            w->ready(w);
        }
        s->failed = false;
    }
    free(a);
}

/* a is on no list. */
static void answer(struct ask *a, bool ok, const struct err *error)
{
    if (!a->signer) {
        free(a);
        return;
    }
    a->ok = ok;
    a->error = *error;
    loop_post(a->loop, on_answer, a);
}

static void answer_all(struct oauth2 *o, bool ok)
{
    while (!list_empty(&o->asks))
        answer(CONTAINER_OF(list_pop(&o->asks), struct ask, node), ok, &o->error);
}

static void failed(struct oauth2 *o)
{
    o->not_before_ns = clock_mono_ns() + backoff_next_ms(&o->pause) * NS_PER_MS;
    if (!o->told)
        log_warn(&o->base.host->log, "No token could be fetched", LOG_STR("error", o->error.text));
    o->told = true;
    answer_all(o, false);
}

/* Ahead of the end by the buffer, but after half the life at the earliest: short tokens would be fetched
 * without a pause. */
static uint64_t renew_after_ms(const struct oauth2 *o, uint64_t life_s)
{
    uint64_t life = life_s * 1000, ahead = (uint64_t)o->set->expiry_buffer_ns / NS_PER_MS;

    return ahead < life / 2 ? life - ahead : life / 2;
}

static void fetched(struct oauth2 *o, struct oauth2_token *got)
{
    struct token *t = mem_alloc(sizeof(*t));

    t->value = got->value;
    t->ends_ns = got->expires_in_s ? clock_mono_ns() + got->expires_in_s * NS_PER_SEC : UINT64_MAX;
    box_put(&o->box, &t->base, token_free);
    if (o->told)
        log_info(&o->base.host->log, "A token could be fetched again");
    o->told = false;
    o->not_before_ns = 0;
    backoff_reset(&o->pause);
    atomic_store_explicit(&o->used, false, memory_order_relaxed);
    if (got->expires_in_s)
        timer_start(o->renew, renew_after_ms(o, got->expires_in_s), 0);
    answer_all(o, true);
}

/* ---- a fetch ---- */

static void fetch_free(struct fetch *f)
{
    if (f->head.cap)
        explicit_bzero(f->head.p, f->head.cap);
    if (f->body.cap)
        explicit_bzero(f->body.p, f->body.cap);
    buf_free(&f->head);
    buf_free(&f->body);
    free(f);
}

static void start_fetch(struct oauth2 *o);

/* Servers that do not take the header often say so with 400 or 401: then the body is tried. */
static bool try_other_style(struct oauth2 *o, const struct http1_response *resp)
{
    if (o->style_known || oauth2_is_jwt(o->set) || o->style == OAUTH2_BODY || resp->end != HTTP1_END_RESPONSE || resp->status / 100 != 4)
        return false;
    o->style = OAUTH2_BODY;
    return true;
}

static void on_fetched(struct http1_request *req, const struct http1_response *resp)
{
    struct fetch *f = req->ctx;
    struct oauth2 *o = f->o;
    bool timed_out = f->timed_out;
    struct oauth2_token got = {0};

    if (!o) {
        fetch_free(f);
        return;
    }
    o->fetch = NULL;
    timer_stop(o->timeout);
    o->error = (struct err){""};
    if (resp->end == HTTP1_END_RESPONSE && oauth2_answer(resp->status, resp->body, &got, &o->error) == 0) {
        o->style_known = true;
        fetched(o, &got);
    } else if (!o->closed && try_other_style(o, resp)) {
        start_fetch(o);
    } else {
        if (!o->style_known)
            o->style = OAUTH2_HEADER;
        if (resp->end != HTTP1_END_RESPONSE)
            err_set(&o->error, "oauth2: cannot fetch token: %s", timed_out ? "timed out" : resp->reason);
        failed(o);
    }
    fetch_free(f);
}

static void on_timeout(void *ctx)
{
    struct oauth2 *o = ctx;

    if (!o->fetch)
        return;
    o->fetch->timed_out = true;
    http1_pool_cancel(o->pool, &o->fetch->req);
}

static void start_fetch(struct oauth2 *o)
{
    struct fetch *f = mem_alloc(sizeof(*f));
    uint64_t timeout_ms = (uint64_t)o->set->timeout_ns / NS_PER_MS;

    f->o = o;
    f->style = o->style;
    if (oauth2_request(o->set, &o->endpoint, &o->proxy, o->style, &f->head, &f->body, &o->error) < 0) {
        fetch_free(f);
        failed(o);
        return;
    }
    f->iov = (struct iovec){f->body.p, f->body.len};
    f->req = (struct http1_request){.head = slice_of(f->head.p, f->head.len), .body = &f->iov, .n_body = 1,
                                    .body_len = f->body.len, .on_done = on_fetched, .ctx = f};
    o->fetch = f;
    timer_start(o->timeout, timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS, 0);
    http1_pool_send(o->pool, &f->req);
}

static void on_renew(void *ctx)
{
    struct oauth2 *o = ctx;

    if (!o->fetch && !o->closed && atomic_load_explicit(&o->used, memory_order_relaxed))
        start_fetch(o);
}

/* On main: somebody has no token. */
static void on_ask(void *ctx)
{
    struct ask *a = ctx;
    struct oauth2 *o = a->o;

    if (!a->signer) {
        free(a);
        return;
    }
    list_add_tail(&o->asks, &a->node);
    if (o->closed) {
        err_set(&o->error, "shutting down");
        answer_all(o, false);
    } else if (!o->fetch && clock_mono_ns() < o->not_before_ns) {
        answer_all(o, false);
    } else if (!o->fetch) {
        start_fetch(o);
    }
}

/* ---- signers ---- */

static void wait_for_token(struct oauth2_signer *s, struct auth_wait *w)
{
    list_add_tail(&s->waits, &w->node);
    if (s->ask)
        return;
    s->ask = mem_alloc(sizeof(*s->ask));
    *s->ask = (struct ask){.signer = s, .loop = s->loop, .o = s->o};
    list_init(&s->ask->node);
    loop_post(s->o->base.host->loop, on_ask, s->ask);
}

static enum auth_verdict sign(struct auth_signer *base, const struct request_info *info, struct auth_fields *f,
                              struct auth_wait *w, struct err *err)
{
    struct oauth2_signer *s = signer_of(base);
    const struct token *t;

    (void)info;
    box_look(&s->o->box, &s->view);
    t = s->view.seen ? CONTAINER_OF(s->view.seen, struct token, base) : NULL;
    if (t && clock_mono_ns() < t->ends_ns) {
        if (!atomic_load_explicit(&s->o->used, memory_order_relaxed))
            atomic_store_explicit(&s->o->used, true, memory_order_relaxed);
        auth_fields_set(f, "Authorization", t->value);
        return AUTH_OK;
    }
    if (s->failed) {
        *err = s->error;
        return AUTH_REFUSED;
    }
    wait_for_token(s, w);
    return AUTH_LATER;
}

static void cancel(struct auth_signer *s, struct auth_wait *w)
{
    (void)s;
    list_del(&w->node);
}

static bool needs_tls(const struct component *c)
{
    (void)c;
    return true;
}

static struct auth_signer *signer_open(struct component *c, struct host *user)
{
    struct oauth2_signer *s = mem_alloc(sizeof(*s));

    s->base.ops = c->type->auth_client;
    s->o = oauth2_of(c);
    s->loop = user->loop;
    list_init(&s->waits);
    return &s->base;
}

static void signer_close(struct auth_signer **sp)
{
    struct oauth2_signer *s = signer_of(*sp);

    *sp = NULL;
    CHECK(list_empty(&s->waits));
    if (s->ask)
        s->ask->signer = NULL; /* whoever has it frees it */
    box_view_close(&s->view);
    free(s);
}

static const struct auth_client_ops client_ops = {
    .needs_tls = needs_tls, .open = signer_open, .close = signer_close, .sign = sign, .cancel = cancel};

/* ---- life ---- */

static struct component *oauth2_create(struct host *host, const void *settings, struct err *err)
{
    struct oauth2 *o = mem_alloc(sizeof(*o));

    o->base = (struct component){&oauth2client_extension_type, host};
    o->set = settings;
    box_init(&o->box);
    list_init(&o->asks);
    o->pause = (struct backoff){.first_ms = PAUSE_FIRST_MS, .max_ms = PAUSE_MAX_MS, .rng = clock_mono_ns() | 1};
    if (endpoint_parse_url(o->set->token_url, &o->endpoint, err) == 0 &&
        proxy_find(&o->endpoint, o->endpoint.scheme == ENDPOINT_HTTPS, NULL, &o->proxy, err) == 0)
        return &o->base;
    box_close(&o->box);
    free(o);
    return NULL;
}

static int oauth2_start(struct component *c, struct err *err)
{
    struct oauth2 *o = oauth2_of(c);
    struct tls_names names;

    if (o->endpoint.scheme == ENDPOINT_HTTPS) {
        tls_names_of(&o->set->tls, &names);
        o->tls = tls_context_new(&(struct tls_config){TLS_CONFIG_OF(&o->set->tls, &names), .alpn = TLS_ALPN_HTTP1,
                                                      .budget = c->host->budget, .log = &c->host->log}, err);
        if (!o->tls)
            return -1;
    }
    o->timeout = timer_new(c->host->loop, __func__, on_timeout, o);
    o->renew = timer_new(c->host->loop, __func__, on_renew, o);
    o->pool = http1_pool_new(&(struct http1_pool_config){
        .loop = c->host->loop,
        .endpoint = o->endpoint,
        .tls = o->tls,
        .proxy = o->proxy,
        .budget = c->host->budget,
        .max_conns = 1,
        .keep_alive = false,
        .dial_timeout_ms = DIAL_MS,
        .backoff_first_ms = PAUSE_FIRST_MS,
        .backoff_max_ms = PAUSE_MAX_MS,
    });
    return 0;
}

static void on_pool_closed(void *ctx)
{
    host_drained(((struct oauth2 *)ctx)->base.host);
}

static void oauth2_drain(struct component *c)
{
    struct oauth2 *o = oauth2_of(c);

    o->closed = true;
    if (o->pool)
        http1_pool_close(&o->pool, on_pool_closed, o);
    else
        host_drained(c->host);
}

static void oauth2_destroy(struct component **cp)
{
    struct oauth2 *o = oauth2_of(*cp);

    *cp = NULL;
    o->closed = true;
    if (o->fetch)
        o->fetch->o = NULL;
    if (o->pool)
        http1_pool_close(&o->pool, NULL, NULL);
    answer_all(o, false);
    timer_free(&o->timeout);
    timer_free(&o->renew);
    tls_context_free(&o->tls);
    box_close(&o->box);
    free(o);
}

const struct component_type oauth2client_extension_type = {
    .kind = EXTENSION,
    .name = "oauth2client",
    .stability = "beta",
    .summary = "Access tokens for exporters' requests, by the client credentials or jwt-bearer grant of OAuth 2.0.",
    .keys = oauth2_keys,
    .settings_size = sizeof(struct oauth2_settings),
    .check = oauth2_check,
    .create = oauth2_create,
    .start = oauth2_start,
    .drain = oauth2_drain,
    .destroy = oauth2_destroy,
    .auth_client = &client_ops,
};
