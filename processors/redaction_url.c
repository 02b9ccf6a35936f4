/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of url_sanitizer. See redaction_url.h. */
#include "processors/redaction_url.h"

#include <stdlib.h>

#include "model/match.h"
#include "platform/mem.h"
#include "processors/obfuscate.h"

#define S struct url_settings
const struct key url_keys[] = {
    KEY_BOOL(S, enabled, "false",
             "Put * for the parts of URLs that are no words, and cut off queries."),
    KEY_STRS(S, attributes, NULL, "Exact keys of the attributes that hold URLs or paths."),
    KEY_BOOL_OR_NULL(
        S, sanitize_span_name, "true",
        "Also in names of client and server spans that have a / or an attribute of HTTP."),
    KEY_END,
};
#undef S

enum { KIND_SERVER = 2, KIND_CLIENT = 3 };

struct url_rules {
    bool names;
    struct keyset *attributes;
    char **patterns;
    size_t n_patterns;
};

/* Finds the key wherever it stands. */
static char *pattern_of(const char *key)
{
    struct buf out = {0};

    for (const char *p = key; *p; p++) {
        if (strchr("\\.+*?()|[]{}^$", *p))
            buf_putc(&out, '\\');
        buf_putc(&out, *p);
    }
    buf_putc(&out, '\0');
    return (char *)out.p;
}

struct url_rules *url_rules_new(const struct url_settings *s)
{
    struct url_rules *r;

    if (!s->enabled)
        return NULL;
    r = mem_alloc(sizeof(*r));
    r->names = s->sanitize_span_name;
    r->attributes = keyset_new(s->attributes.v, s->attributes.n);
    r->patterns = mem_alloc_array(s->attributes.n + 1, sizeof(*r->patterns));
    for (; r->n_patterns < s->attributes.n; r->n_patterns++)
        r->patterns[r->n_patterns] = pattern_of(s->attributes.v[r->n_patterns]);
    return r;
}

void url_rules_free(struct url_rules **rp)
{
    struct url_rules *r = *rp;

    if (!r)
        return;
    keyset_free(&r->attributes);
    for (size_t i = 0; i < r->n_patterns; i++)
        free(r->patterns[i]);
    free(r->patterns);
    free(r);
    *rp = NULL;
}

struct str_list url_patterns(const struct url_rules *r)
{
    return r ? (struct str_list){(const char *const *)r->patterns, r->n_patterns}
             : (struct str_list){0};
}

bool url_attribute(const struct url_rules *r, struct slice key)
{
    return r && keyset_find(r->attributes, key) >= 0;
}

bool url_span_names(const struct url_rules *r, uint8_t kind)
{
    return r && r->names && (kind == KIND_SERVER || kind == KIND_CLIENT);
}

bool url_is_http(const struct attr_map *m)
{
    static const char *const keys[] = {"http.route",
                                       "http.request.method",
                                       "http.request.method_original",
                                       "http.response.status_code",
                                       "url.full",
                                       "http.scheme",
                                       "http.target",
                                       "http.method",
                                       "http.url"};

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (attr_map_find(m, slice_str(keys[i])))
            return true;
    return false;
}

int url_sanitize(struct slice url, struct buf *out)
{
    buf_clear(out);
    return obfuscate_url(url, out);
}

/* Nothing, or nothing but stars between slashes. */
static bool says_nothing(struct slice name)
{
    bool star = false;

    for (size_t i = 0; i < name.len; i++) {
        bool first = i == 0 || name.p[i - 1] == '/',
             last = i + 1 == name.len || name.p[i + 1] == '/';

        if (name.p[i] == '/')
            continue;
        if (name.p[i] != '*' || !first || !last)
            return false;
        star = true;
    }
    return name.len == 0 || star;
}

int url_sanitize_name(struct slice *name, bool http, struct buf *out)
{
    struct slice now;

    if (name->len == 0 || (!http && !memchr(name->p, '/', name->len)))
        return 0;
    if (url_sanitize(*name, out))
        return -1;
    now = slice_of(out->p, out->len);
    if (!says_nothing(now))
        *name = now;
    return 0;
}
