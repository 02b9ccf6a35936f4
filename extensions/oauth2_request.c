/* SPDX-License-Identifier: Apache-2.0 */
/* The request for a token (RFC 6749, 4.4; RFC 7523 with a key) as text, what its answer means, and the rules of the
 * settings. Pure, but for the files that ids and secrets may stand in. */
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/oauth2client.h"
#include "extensions/secret_file.h"
#include "net/grpc.h"

static bool is_set(const char *s)
{
    return s && s[0];
}

/* ---- rules ---- */

static bool params_ok(const struct value *v)
{
    if (v->type == VALUE_NONE || v->type == VALUE_NULL)
        return true;
    for (size_t i = 0; v->type == VALUE_MAP && i < v->n; i++) {
        const struct value *p = &v->items[i];
        for (size_t k = 0; p->type == VALUE_LIST && k < p->n; k++)
            if (p->items[k].type != VALUE_STR)
                return false;
        if (p->type != VALUE_LIST && p->type != VALUE_STR)
            return false;
    }
    return v->type == VALUE_MAP;
}

bool oauth2_is_jwt(const struct oauth2_settings *s)
{
    return is_set(s->grant_type) && strcmp(s->grant_type, OAUTH2_JWT_BEARER) == 0;
}

static void check_grant(const struct oauth2_settings *s, struct check *c)
{
    if (oauth2_is_jwt(s)) {
        if (!is_set(s->client_certificate_key) && !is_set(s->client_certificate_key_file))
            check_error(c, "client_certificate_key", "no ClientCertificateKey provided in the OAuth2 exporter configuration");
        if (!oauth2_signature_bits(s->signature_algorithm))
            check_error(c, "signature_algorithm", "invalid signature algorithm");
        if (s->claims.type != VALUE_NONE && s->claims.type != VALUE_NULL && s->claims.type != VALUE_MAP)
            check_error(c, "claims", "expected a map");
        return;
    }
    if (!is_set(s->client_secret) && !is_set(s->client_secret_file))
        check_error(c, "client_secret", "no ClientSecret provided in OAuth Client Credentials configuration");
    if (is_set(s->grant_type) && strcmp(s->grant_type, "client_credentials") != 0)
        check_error(c, "grant_type", "only client_credentials and " OAUTH2_JWT_BEARER " are supported");
}

void oauth2_check(const void *settings, struct check *c)
{
    const struct oauth2_settings *s = settings;
    struct endpoint e;
    struct err err = {""};

    if (!is_set(s->client_id) && !is_set(s->client_id_file))
        check_error(c, "client_id", "no ClientID provided in the OAuth2 exporter configuration");
    check_grant(s, c);
    if (!is_set(s->token_url))
        check_error(c, "token_url", "no TokenURL provided in OAuth Client Credentials configuration");
    else if (endpoint_parse_url(s->token_url, &e, &err) != 0)
        check_error(c, "token_url", "%s", err.text);
    if (!params_ok(&s->endpoint_params))
        check_error(c, "endpoint_params", "expected a map of strings, or of lists of strings");
    tls_client_check(&s->tls, "tls", c);
}

/* ---- the request ---- */

static void put_escaped(struct buf *out, const char *s)
{
    for (; *s; s++)
        if (isalnum((unsigned char)*s) || strchr("-_.~", *s))
            buf_putc(out, *s);
        else if (*s == ' ')
            buf_putc(out, '+');
        else
            buf_putf(out, "%%%02X", (unsigned char)*s);
}

static void put_param(struct buf *out, const char *name, const char *value)
{
    if (out->len)
        buf_putc(out, '&');
    put_escaped(out, name);
    buf_putc(out, '=');
    put_escaped(out, value);
}

static void put_params(struct buf *out, const struct value *v)
{
    for (size_t i = 0; v->type == VALUE_MAP && i < v->n; i++) {
        const struct value *p = &v->items[i];
        for (size_t k = 0; p->type == VALUE_LIST && k < p->n; k++)
            put_param(out, v->names[i], p->items[k].s);
        if (p->type == VALUE_STR)
            put_param(out, v->names[i], p->s);
    }
}

static void put_scopes(struct buf *out, const struct str_list *scopes)
{
    struct buf all = {0};

    for (size_t i = 0; i < scopes->n; i++)
        buf_putf(&all, "%s%s", i ? " " : "", scopes->v[i]);
    buf_putc(&all, '\0');
    if (scopes->n)
        put_param(out, "scope", (const char *)all.p);
    buf_free(&all);
}

static void put_basic(struct buf *head, const char *id, const char *secret)
{
    struct buf both = {0};
    size_t from;

    put_escaped(&both, id);
    buf_putc(&both, ':');
    put_escaped(&both, secret);
    buf_puts(head, "Authorization: Basic ");
    from = head->len;
    base64_encode(head, slice_of(both.p, both.len));
    while ((head->len - from) % 4)
        buf_putc(head, '=');
    buf_puts(head, "\r\n");
    explicit_bzero(both.p, both.cap);
    buf_free(&both);
}

static void put_head(const struct endpoint *e, const struct proxy *proxy, struct buf *head)
{
    bool whole = proxy->used && e->scheme != ENDPOINT_HTTPS;

    if (whole && proxy->authorization[0])
        buf_putf(head, "POST http://%s%s%s HTTP/1.1\r\nProxy-Authorization: %s\r\n", e->authority, e->path[0] == '/' ? "" : "/", e->path,
                 proxy->authorization);
    else
        buf_putf(head, "POST %s%s%s%s HTTP/1.1\r\n", whole ? "http://" : "", whole ? e->authority : "", e->path[0] == '/' ? "" : "/",
                 e->path);
    buf_putf(head, "Host: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                   "Accept: application/json\r\nUser-Agent: tailrace/" TAILRACE_VERSION "\r\n",
             e->authority);
}

static void put_credentials(enum oauth2_style style, const char *id, const char *secret, struct buf *head, struct buf *body)
{
    if (style == OAUTH2_HEADER) {
        put_basic(head, id, secret);
    } else {
        put_param(body, "client_id", id);
        put_param(body, "client_secret", secret);
    }
}

static int put_assertion(const struct oauth2_settings *s, const char *id, const char *key, struct buf *body, struct err *err)
{
    struct buf jwt = {0};
    int rc = oauth2_assertion(s, id, slice_str(key), &jwt, err);

    buf_putc(&jwt, '\0');
    if (rc == 0)
        put_param(body, "assertion", (const char *)jwt.p);
    explicit_bzero(jwt.p, jwt.cap);
    buf_free(&jwt);
    return rc;
}

static char *file_or_text(const char *file, const char *text, struct err *err)
{
    return is_set(file) ? secret_read(file, err) : mem_dup(text);
}

int oauth2_request(const struct oauth2_settings *s, const struct endpoint *e, const struct proxy *proxy,
                   enum oauth2_style style, struct buf *head, struct buf *body, struct err *err)
{
    bool jwt = oauth2_is_jwt(s);
    char *id = file_or_text(s->client_id_file, s->client_id, err);
    char *secret = !id   ? NULL
                   : jwt ? file_or_text(s->client_certificate_key_file, s->client_certificate_key, err)
                         : file_or_text(s->client_secret_file, s->client_secret, err);
    int rc = secret ? 0 : -1;

    put_head(e, proxy, head);
    put_param(body, "grant_type", jwt ? OAUTH2_JWT_BEARER : "client_credentials");
    put_scopes(body, &s->scopes);
    put_params(body, &s->endpoint_params);
    if (secret && jwt)
        rc = put_assertion(s, id, secret, body, err);
    else if (secret)
        put_credentials(style, id, secret, head, body);
    free(id);
    secret_free(&secret);
    return rc;
}

/* ---- the answer ---- */

/* What the server says about itself, in one line of printable ASCII. */
static void put_words(struct err *err, const json_t *root, const char *name)
{
    const char *s = json_string_value(json_object_get(root, name));
    size_t len = strlen(err->text);

    if (!s || len + 8 > sizeof(err->text))
        return;
    snprintf(err->text + len, sizeof(err->text) - len, ": %.200s", s);
    for (char *p = err->text; *p; p++)
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
}

static uint64_t seconds_of(const json_t *v)
{
    double s = json_is_string(v) ? strtod(json_string_value(v), NULL) : json_number_value(v);

    return s >= 1 && s < 1e9 ? (uint64_t)s : 0;
}

/* "bearer" is "Bearer" in the header. */
static const char *scheme_of(const json_t *root)
{
    const char *type = json_string_value(json_object_get(root, "token_type"));

    return !is_set(type) || strcasecmp(type, "bearer") == 0 ? "Bearer" : type;
}

static int take(const json_t *root, struct oauth2_token *out, struct err *err)
{
    const char *token = json_string_value(json_object_get(root, "access_token"));

    if (!is_set(token))
        return err_set(err, "oauth2: server response missing access_token");
    out->value = mem_printf("%s %s", scheme_of(root), token);
    out->expires_in_s = seconds_of(json_object_get(root, "expires_in"));
    return 0;
}

int oauth2_answer(int status, struct slice body, struct oauth2_token *out, struct err *err)
{
    json_t *root = body.len ? json_loadb((const char *)body.p, body.len, 0, NULL) : NULL;
    int rc;

    if (status / 100 != 2) {
        rc = err_set(err, "oauth2: cannot fetch token: HTTP status %d", status);
        put_words(err, root, "error");
        put_words(err, root, "error_description");
    } else if (!json_is_object(root)) {
        rc = err_set(err, "oauth2: cannot parse the server's answer: it is not a JSON object");
    } else {
        rc = take(root, out, err);
    }
    json_decref(root);
    return rc;
}
