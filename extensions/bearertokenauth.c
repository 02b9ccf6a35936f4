/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bearertokenauth: one of some tokens in a header. As a server it lets those in that show one of them,
 * as a client it shows the first.
 *
 * Tokens from a file are read again when it changes; what cannot be read changes nothing. The list in
 * force is a boxed value that every door and signer looks at.
 * Limits: a token is compared with all of the list. Threads: the file is main's, doors and signers are
 * their workers'.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "component/auth.h"
#include "extensions/box.h"
#include "extensions/extensions.h"
#include "extensions/secret_file.h"

struct bearer_settings {
    const char *scheme, *header, *token;
    struct str_list tokens;
    const char *filename;
};

static const struct key bearer_keys[] = {
    KEY_STR(struct bearer_settings, scheme, "Bearer", "Word before the token; \"\": the token stands alone."),
    KEY_STR(struct bearer_settings, header, "Authorization", "Header that carries the token."),
    KEY_SECRET(struct bearer_settings, token, "", "The token."),
    {.name = "tokens", .type = KEY_T_STRS, .offset = KEY_AT(struct str_list, struct bearer_settings, tokens), KEY_ANY,
     .secret = true, .doc = "Several tokens: a server takes any of them, a client sends the first."},
    KEY_STR(struct bearer_settings, filename, "",
            "File with tokens, one a line; read again when it changes. Wins over token and tokens."),
    KEY_END,
};

struct token {
    char *value;            /* of the whole header: "Bearer abc" */
    struct auth_data *data; /* of those who show it */
};

struct tokens {
    struct boxed base;
    size_t n;
    struct token v[];
};

struct bearer {
    struct component base;
    const struct bearer_settings *set;
    char *header; /* lower case */
    char *challenge, *missing;
    struct box box;
    struct secret_file *file;
};

struct bearer_door {
    struct auth_door base;
    struct bearer *b;
    struct box_view view;
};

struct bearer_signer {
    struct auth_signer base;
    struct bearer *b;
    struct box_view view;
};

static struct bearer *bearer_of(const struct component *c)
{
    CHECK(c->type == &bearertokenauth_extension_type);
    return CONTAINER_OF(c, struct bearer, base);
}

/* ---- tokens ---- */

static void tokens_free(struct boxed *base)
{
    struct tokens *t = CONTAINER_OF(base, struct tokens, base);

    for (size_t i = 0; i < t->n; i++) {
        secret_free(&t->v[i].value);
        auth_data_unref(&t->v[i].data);
    }
    free(t);
}

static void add_token(const struct bearer *b, struct tokens *t, const char *token, size_t len)
{
    const char *scheme = b->set->scheme;

    while (len && isspace((unsigned char)*token))
        token++, len--;
    while (len && isspace((unsigned char)token[len - 1]))
        len--;
    if (!len)
        return;
    struct token *new = &t->v[t->n++];
    new->value = mem_printf("%s%s%.*s", scheme, scheme[0] ? " " : "", (int)len, token);
    new->data = auth_data_new(1);
    new->data->v[0] = (struct auth_attribute){mem_dup("raw"), mem_dup(new->value)};
}

static struct tokens *tokens_new(size_t max)
{
    return mem_alloc(sizeof(struct tokens) + max * sizeof(struct token));
}

static struct tokens *tokens_of_settings(const struct bearer *b)
{
    const struct bearer_settings *s = b->set;
    struct tokens *t = tokens_new(s->tokens.n + 1);

    if (s->token[0])
        add_token(b, t, s->token, strlen(s->token));
    for (size_t i = 0; i < s->tokens.n; i++)
        add_token(b, t, s->tokens.v[i], strlen(s->tokens.v[i]));
    return t;
}

static struct tokens *tokens_of_file(const struct bearer *b, struct err *err)
{
    char *text = secret_read(b->set->filename, err);
    struct tokens *t;
    size_t lines = 1;

    if (!text)
        return NULL;
    for (const char *p = text; *p; p++)
        lines += *p == '\n';
    t = tokens_new(lines);
    for (const char *p = text; *p; p += *p == '\n') {
        size_t len = strcspn(p, "\n");
        add_token(b, t, p, len);
        p += len;
    }
    secret_free(&text);
    if (t->n)
        return t;
    tokens_free(&t->base);
    err_set(err, "%s: there is no token in it", b->set->filename);
    return NULL;
}

static void on_file(void *ctx)
{
    struct bearer *b = ctx;
    struct err err = {""};
    struct tokens *t = tokens_of_file(b, &err);

    if (t) {
        box_put(&b->box, &t->base, tokens_free);
        log_info(&b->base.host->log, "Tokens read again", LOG_STR("filename", b->set->filename));
    } else {
        log_warn(&b->base.host->log, "The token file cannot be used, the tokens stay", LOG_STR("error", err.text));
    }
}

/* ---- server ---- */

static struct auth_door *door_open(struct component *c, struct host *user)
{
    struct bearer_door *d = mem_alloc(sizeof(*d));

    (void)user;
    *d = (struct bearer_door){.base = {c->type->auth_server}, .b = bearer_of(c)};
    return &d->base;
}

static struct bearer_door *door_of(const struct auth_door *d)
{
    return CONTAINER_OF(d, struct bearer_door, base);
}

static void door_close(struct auth_door **dp)
{
    struct bearer_door *d = door_of(*dp);

    *dp = NULL;
    box_view_close(&d->view);
    free(d);
}

static const char *door_header(const struct auth_door *d)
{
    return door_of(d)->b->header;
}

static const char *door_challenge(const struct auth_door *d)
{
    return door_of(d)->b->challenge;
}

static void refuse(struct auth_check *k, const char *text)
{
    k->verdict = AUTH_REFUSED;
    k->text = text;
}

static void door_check(struct auth_door *base, struct slice value, struct auth_check *k)
{
    struct bearer_door *d = door_of(base);
    const struct tokens *t;
    const struct token *found = NULL;

    if (!value.p) {
        refuse(k, d->b->missing);
        return;
    }
    box_look(&d->b->box, &d->view);
    t = CONTAINER_OF(d->view.seen, struct tokens, base);
    for (size_t i = 0; i < t->n; i++)
        if (auth_equal(slice_str(t->v[i].value), value))
            found = &t->v[i];
    if (!found) {
        refuse(k, "provided authorization does not match expected scheme or token");
        return;
    }
    k->verdict = AUTH_OK;
    k->data = auth_data_ref(found->data);
}

static void door_forget(struct auth_door *d, struct auth_check *k)
{
    (void)d;
    (void)k;
}

static const struct auth_server_ops server_ops = {
    .open = door_open,
    .close = door_close,
    .header = door_header,
    .challenge = door_challenge,
    .check = door_check,
    .forget = door_forget,
};

/* ---- client ---- */

static bool needs_tls(const struct component *c)
{
    (void)c;
    return true;
}

static struct auth_signer *signer_open(struct component *c, struct host *user)
{
    struct bearer_signer *s = mem_alloc(sizeof(*s));

    (void)user;
    *s = (struct bearer_signer){.base = {c->type->auth_client}, .b = bearer_of(c)};
    return &s->base;
}

static void signer_close(struct auth_signer **sp)
{
    struct bearer_signer *s = CONTAINER_OF(*sp, struct bearer_signer, base);

    *sp = NULL;
    box_view_close(&s->view);
    free(s);
}

static enum auth_verdict sign(struct auth_signer *base, const struct request_info *info, struct auth_fields *f,
                              struct auth_wait *w, struct err *err)
{
    struct bearer_signer *s = CONTAINER_OF(base, struct bearer_signer, base);

    (void)info;
    (void)w;
    (void)err;
    box_look(&s->b->box, &s->view);
    auth_fields_set(f, s->b->set->header, CONTAINER_OF(s->view.seen, struct tokens, base)->v[0].value);
    return AUTH_OK;
}

static void cancel(struct auth_signer *s, struct auth_wait *w)
{
    (void)s;
    (void)w;
}

static const struct auth_client_ops client_ops = {
    .needs_tls = needs_tls, .open = signer_open, .close = signer_close, .sign = sign, .cancel = cancel};

/* ---- life ---- */

static bool header_name_ok(const char *s)
{
    size_t n = strlen(s);

    return n && strspn(s, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == n;
}

static bool has_control(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || (unsigned char)*s == 0x7f)
            return true;
    return false;
}

static void bearer_check(const void *settings, struct check *c)
{
    const struct bearer_settings *s = settings;

    if (!s->token[0] && !s->tokens.n && !s->filename[0])
        check_error(c, "", "no bearer token provided");
    if (s->token[0] && s->tokens.n)
        check_error(c, "tokens", "either tokens or token should be provided, not both");
    if (!header_name_ok(s->header))
        check_error(c, "header", "\"%s\" is not the name of a header", s->header);
    if (has_control(s->scheme))
        check_error(c, "scheme", "there is a control character in it");
    for (size_t i = 0; i < s->tokens.n; i++)
        if (!s->tokens.v[i][0] || has_control(s->tokens.v[i]))
            check_error(c, "tokens", "a token is empty or has a control character in it");
    if (has_control(s->token))
        check_error(c, "token", "there is a control character in it");
}

static struct component *bearer_create(struct host *host, const void *settings, struct err *err)
{
    struct bearer *b = mem_alloc(sizeof(*b));
    const struct bearer_settings *s = settings;

    (void)err;
    *b = (struct bearer){.base = {&bearertokenauth_extension_type, host}, .set = s};
    b->header = mem_dup(s->header);
    for (char *p = b->header; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    b->missing = mem_printf("missing or empty authorization header: %s", s->header);
    b->challenge = mem_dup(s->scheme[0] ? s->scheme : "Bearer");
    box_init(&b->box);
    return &b->base;
}

static int bearer_start(struct component *c, struct err *err)
{
    struct bearer *b = bearer_of(c);
    bool file = b->set->filename[0];
    struct tokens *t = file ? tokens_of_file(b, err) : tokens_of_settings(b);

    if (!t)
        return -1;
    box_put(&b->box, &t->base, tokens_free);
    if (file && (b->set->token[0] || b->set->tokens.n))
        log_warn(&c->host->log, "token and tokens are not used, as there is a filename");
    if (file)
        b->file = secret_watch(c->host->loop, b->set->filename, on_file, b);
    return 0;
}

static void bearer_drain(struct component *c)
{
    host_drained(c->host);
}

static void bearer_destroy(struct component **cp)
{
    struct bearer *b = bearer_of(*cp);

    *cp = NULL;
    secret_unwatch(&b->file);
    box_close(&b->box);
    free(b->header);
    free(b->challenge);
    free(b->missing);
    free(b);
}

const struct component_type bearertokenauth_extension_type = {
    .kind = EXTENSION,
    .name = "bearertokenauth",
    .stability = "beta",
    .summary = "Tokens in a header: asked for by receivers, sent by exporters.",
    .keys = bearer_keys,
    .settings_size = sizeof(struct bearer_settings),
    .check = bearer_check,
    .create = bearer_create,
    .start = bearer_start,
    .drain = bearer_drain,
    .destroy = bearer_destroy,
    .auth_server = &server_ops,
    .auth_client = &client_ops,
};
