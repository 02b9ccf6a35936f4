/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jwt-bearer grant (RFC 7523): a signed statement of who asks instead of a secret.
 *
 *   header.claims.signature     each in base64url without padding
 *
 * Claims are iss, sub, aud, iat, exp (half an hour on), jti and scope; those of `claims` win over them. Pure, but
 * for the clock and the random jti.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/oauth2client.h"
#include "net/grpc.h"
#include "net/tls_sign.h"
#include "platform/clock.h"
#include "platform/hash.h"

enum { LIFE_S = 1800 };

static bool is_set(const char *s)
{
    return s && s[0];
}

unsigned oauth2_signature_bits(const char *algorithm)
{
    if (!is_set(algorithm))
        return 256;
    return strcmp(algorithm, "RS256") == 0 ? 256 : strcmp(algorithm, "RS384") == 0 ? 384 : strcmp(algorithm, "RS512") == 0 ? 512 : 0;
}

/* ---- claims ---- */

static json_t *json_of(const struct value *v);

static json_t *json_list(const struct value *v)
{
    json_t *list = json_array();

    for (size_t i = 0; i < v->n; i++)
        json_array_append_new(list, json_of(&v->items[i]));
    return list;
}

static json_t *json_map(const struct value *v)
{
    json_t *map = json_object();

    for (size_t i = 0; i < v->n; i++)
        json_object_set_new(map, v->names[i], json_of(&v->items[i]));
    return map;
}

static json_t *json_of(const struct value *v)
{
    switch (v->type) {
    case VALUE_STR: return json_string(v->s);
    case VALUE_BOOL: return json_boolean(v->i);
    case VALUE_INT: return json_integer(v->i);
    case VALUE_DOUBLE: return json_real(v->d);
    case VALUE_LIST: return json_list(v);
    case VALUE_MAP: return json_map(v);
    case VALUE_NONE:
    case VALUE_NULL: break;
    }
    return json_null();
}

static void set_jti(json_t *claims)
{
    uint8_t b[16];
    char text[33];

    random_secure(b, sizeof(b));
    for (size_t i = 0; i < sizeof(b); i++)
        snprintf(text + 2 * i, 3, "%02x", b[i]);
    json_object_set_new(claims, "jti", json_string(text));
}

static void set_scope(json_t *claims, const struct str_list *scopes)
{
    struct buf all = {0};

    for (size_t i = 0; i < scopes->n; i++)
        buf_putf(&all, "%s%s", i ? " " : "", scopes->v[i]);
    if (scopes->n)
        json_object_set_new(claims, "scope", json_stringn((const char *)all.p, all.len));
    buf_free(&all);
}

static json_t *make_claims(const struct oauth2_settings *s, const char *id, json_int_t now_s)
{
    json_t *claims = json_object();

    json_object_set_new(claims, "iss", json_string(is_set(s->iss) ? s->iss : id));
    json_object_set_new(claims, "sub", json_string(id));
    json_object_set_new(claims, "aud", json_string(is_set(s->audience) ? s->audience : s->token_url));
    json_object_set_new(claims, "iat", json_integer(now_s));
    json_object_set_new(claims, "exp", json_integer(now_s + LIFE_S));
    set_jti(claims);
    set_scope(claims, &s->scopes);
    for (size_t i = 0; s->claims.type == VALUE_MAP && i < s->claims.n; i++)
        json_object_set_new(claims, s->claims.names[i], json_of(&s->claims.items[i]));
    return claims;
}

static json_t *make_header(const struct oauth2_settings *s)
{
    json_t *header = json_object();

    json_object_set_new(header, "alg", json_string(is_set(s->signature_algorithm) ? s->signature_algorithm : "RS256"));
    json_object_set_new(header, "typ", json_string("JWT"));
    if (is_set(s->client_certificate_key_id))
        json_object_set_new(header, "kid", json_string(s->client_certificate_key_id));
    return header;
}

/* ---- the statement ---- */

static void put_base64url(struct buf *out, struct slice s)
{
    size_t from = out->len;

    base64_encode(out, s);
    for (size_t i = from; i < out->len; i++)
        out->p[i] = out->p[i] == '+' ? '-' : out->p[i] == '/' ? '_' : out->p[i];
}

/* -1: a text in it is no UTF-8. Takes the object. */
static int put_part(struct buf *out, json_t *part)
{
    char *text = json_dumps(part, JSON_COMPACT | JSON_SORT_KEYS);

    json_decref(part);
    if (!text)
        return -1;
    put_base64url(out, slice_str(text));
    free(text);
    return 0;
}

int oauth2_assertion(const struct oauth2_settings *s, const char *id, struct slice key, struct buf *out, struct err *err)
{
    struct buf signature = {0};
    size_t from = out->len;
    int rc = put_part(out, make_header(s));

    buf_putc(out, '.');
    if (put_part(out, make_claims(s, id, (json_int_t)(clock_wall_ns() / NS_PER_SEC))) != 0 || rc != 0)
        return err_set(err, "oauth2: the claims are not UTF-8");
    rc = tls_sign_rsa(key, oauth2_signature_bits(s->signature_algorithm), slice_of(out->p + from, out->len - from), &signature, err);
    if (rc == 0) {
        buf_putc(out, '.');
        put_base64url(out, slice_of(signature.p, signature.len));
    } else {
        (void)err_wrap(err, "oauth2: cannot sign");
    }
    buf_free(&signature);
    return rc;
}
