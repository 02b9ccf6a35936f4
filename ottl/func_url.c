/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URL(text): its parts as a map with the names of OpenTelemetry's conventions.
 *
 * What is a URL, and how it is written again (url.original), follows Go's net/url, as the Collector
 * does: %xx are decoded, what may stand as it is stays. The text is walked a bounded number of
 * times; decoded parts stand in the scratch. Order: escapes, parts, the map, a query
 * alone.
 */
#include <ctype.h>
#include <stdlib.h>

#include "ottl/call.h"

enum part { PART_PATH, PART_USER, PART_HOST, PART_ZONE, PART_FRAGMENT, PART_QUERY };

struct url {
    struct slice text;
    struct slice scheme, opaque, host, query;
    struct slice raw_path, path, raw_fragment, fragment;
    struct slice user, password;
    bool has_user, has_password, empty_query, no_host;
};

/* ---- escapes ---- */

static bool in(const char *set, uint8_t c)
{
    return c && strchr(set, c);
}

/* Must this byte be written as %xx there? */
static bool escaped(uint8_t c, enum part part)
{
    if (isalnum(c) && c < 0x80)
        return false;
    if (in("-_.~", c))
        return false;
    switch (part) {
    case PART_HOST:
    case PART_ZONE:
        return !in("!$&'()*+,;=:[]<>\"", c);
    case PART_USER:
        return !in("$&+,;=", c);
    case PART_PATH:
        return !in("$&+,/:;=@", c);
    default:
        return !in("$&+,/:;=?@!()*", c);
    }
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : isxdigit(c) && c < 0x80 ? (c | 0x20) - 'a' + 10 : -1;
}

static bool bad(struct ottl_eval *e, const struct url *u, const char *why, struct slice what)
{
    int shown = (int)(u->text.len < 80 ? u->text.len : 80);

    return ottl_fail(e, "parse \"%.*s\": %s%.*s", shown, u->text.p, why,
                     (int)(what.len < 40 ? what.len : 40), what.len ? what.p : (const uint8_t *)"");
}

/* In a host only bytes outside ASCII may be written as %xx, and % itself; in a zone also a blank.
 */
static bool may_be_escaped(uint8_t c, bool percent, enum part part)
{
    if (part == PART_HOST)
        return c >= 0x80 || percent;
    return part != PART_ZONE || percent || c == ' ' || !escaped(c, PART_HOST);
}

static bool unescape(struct ottl_eval *e, const struct url *u, struct slice s, enum part part,
                     struct slice *out)
{
    uint8_t *to = ottl_room(e, s.len);
    size_t len = 0;

    if (!to)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (c == '%') {
            size_t left = s.len - i < 3 ? s.len - i : 3;
            int high = left == 3 ? hex_digit(s.p[i + 1]) : -1,
                low = left == 3 ? hex_digit(s.p[i + 2]) : -1;

            c = (uint8_t)((unsigned)high << 4 | (unsigned)low);
            if (high < 0 || low < 0 || !may_be_escaped(c, c == '%', part))
                return bad(e, u, "invalid URL escape ", slice_of(s.p + i, left));
            i += 2;
        } else if ((part == PART_HOST || part == PART_ZONE) && c < 0x80 && escaped(c, part)) {
            return bad(e, u, "invalid character in host name: ", slice_of(s.p + i, 1));
        }
        to[len++] = part == PART_QUERY && s.p[i] == '+' ? ' ' : c;
    }
    *out = slice_of(to, len);
    return true;
}

static int escape(struct buf *out, struct slice s, enum part part)
{
    for (size_t i = 0; i < s.len; i++)
        if (escaped(s.p[i], part) ? buf_printf(out, "%%%02X", s.p[i]) : buf_add(out, &s.p[i], 1))
            return -1;
    return 0;
}

/* As it came when it could have been written so, else anew. */
static int put_escaped(struct buf *out, struct slice raw, struct slice plain, enum part part)
{
    for (size_t i = 0; i < raw.len; i++)
        if (!in("!$&'()*+,;=:@[]%", raw.p[i]) && escaped(raw.p[i], part))
            return escape(out, plain, part);
    return buf_add(out, raw.p, raw.len);
}

/* ---- parts ---- */

static struct slice from(struct slice s, size_t i)
{
    return slice_of(s.p + i, s.len - i);
}

/* Cuts s at the first c: what is behind it is returned, with *found. */
static struct slice cut(struct slice *s, char c, bool *found)
{
    const uint8_t *at = s->len ? memchr(s->p, c, s->len) : NULL;
    struct slice rest = {0};

    *found = at != NULL;
    if (at) {
        rest = from(*s, (size_t)(at - s->p) + 1);
        s->len = (size_t)(at - s->p);
    }
    return rest;
}

static bool port_is_fine(struct slice colon_port)
{
    for (size_t i = 1; i < colon_port.len; i++)
        if (colon_port.p[i] < '0' || colon_port.p[i] > '9')
            return false;
    return colon_port.len == 0 || colon_port.p[0] == ':';
}

static bool take_host(struct ottl_eval *e, struct url *u, struct slice s)
{
    const uint8_t *close = s.len ? memrchr(s.p, ']', s.len) : NULL, *zone, *colon;
    struct slice a = {0}, b = {0}, c = {0};
    struct buf *joined;
    struct ottl_value v;

    colon = s.len ? memrchr(s.p, ':', s.len) : NULL;
    if (s.len == 0 || s.p[0] != '[') {
        if (colon && !port_is_fine(from(s, (size_t)(colon - s.p))))
            return bad(e, u, "invalid port after host: ", from(s, (size_t)(colon - s.p)));
        return unescape(e, u, s, PART_HOST, &u->host);
    }
    if (!close)
        return bad(e, u, "missing ']' in host", slice_of("", 0));
    if (!port_is_fine(from(s, (size_t)(close - s.p) + 1)))
        return bad(e, u, "invalid port after host: ", from(s, (size_t)(close - s.p) + 1));
    zone = memmem(s.p, (size_t)(close - s.p), "%25", 3);
    if (!zone)
        return unescape(e, u, s, PART_HOST, &u->host);
    if (!unescape(e, u, slice_of(s.p, (size_t)(zone - s.p)), PART_HOST, &a) ||
        !unescape(e, u, slice_of(zone, (size_t)(close - zone)), PART_ZONE, &b) ||
        !unescape(e, u, from(s, (size_t)(close - s.p)), PART_HOST, &c))
        return false;
    joined = ottl_text(e);
    if (buf_add(joined, a.p, a.len) || buf_add(joined, b.p, b.len) || buf_add(joined, c.p, c.len))
        return ottl_too_long(e);
    if (!ottl_keep_text(e, OTTL_STR, &v))
        return false;
    u->host = v.s;
    return true;
}

static bool take_user(struct ottl_eval *e, struct url *u, struct slice s)
{
    struct slice password;

    for (size_t i = 0; i < s.len; i++)
        if (!(isalnum(s.p[i]) && s.p[i] < 0x80) && !in("-._:~!$&'()*+,;=%@", s.p[i]))
            return bad(e, u, "net/url: invalid userinfo", slice_of("", 0));
    u->has_user = true;
    password = cut(&s, ':', &u->has_password);
    return unescape(e, u, s, PART_USER, &u->user) &&
           unescape(e, u, password, PART_USER, &u->password);
}

static bool take_authority(struct ottl_eval *e, struct url *u, struct slice s)
{
    const uint8_t *at = s.len ? memrchr(s.p, '@', s.len) : NULL;

    if (!at)
        return take_host(e, u, s);
    return take_host(e, u, from(s, (size_t)(at - s.p) + 1)) &&
           take_user(e, u, slice_of(s.p, (size_t)(at - s.p)));
}

/* Leaves *s behind the colon when there is a scheme. */
static bool take_scheme(struct ottl_eval *e, struct url *u, struct slice *s)
{
    for (size_t i = 0; i < s->len; i++) {
        uint8_t c = s->p[i];

        if (c == ':' && i == 0)
            return bad(e, u, "missing protocol scheme", slice_of("", 0));
        if (c == ':') {
            u->scheme = slice_of(s->p, i);
            *s = from(*s, i + 1);
            return true;
        }
        if (!(isalpha(c) && c < 0x80) && (i == 0 || !((c >= '0' && c <= '9') || in("+-.", c))))
            return true;
    }
    return true;
}

static bool take_query(struct url *u, struct slice *s)
{
    bool found;

    u->query = cut(s, '?', &found);
    u->empty_query = found && u->query.len == 0;
    return true;
}

static bool begins(struct slice s, const char *with)
{
    return s.len >= strlen(with) && memcmp(s.p, with, strlen(with)) == 0;
}

static bool take_hierarchy(struct ottl_eval *e, struct url *u, struct slice s)
{
    const uint8_t *slash = s.len ? memchr(s.p, '/', s.len) : NULL;
    size_t first = slash ? (size_t)(slash - s.p) : s.len;

    if (!begins(s, "/") && u->scheme.len) {
        u->opaque = s;
        return true;
    }
    if (!begins(s, "/") && first && memchr(s.p, ':', first))
        return bad(e, u, "first path segment in URL cannot contain colon", slice_of("", 0));
    if (begins(s, "//") && (u->scheme.len || !begins(s, "///"))) {
        struct slice authority = from(s, 2);

        slash = authority.len ? memchr(authority.p, '/', authority.len) : NULL;
        s = slash ? from(authority, (size_t)(slash - authority.p)) : (struct slice){0};
        authority.len -= s.len;
        if (!take_authority(e, u, authority))
            return false;
    } else {
        u->no_host = u->scheme.len && begins(s, "/");
    }
    u->raw_path = s;
    return unescape(e, u, s, PART_PATH, &u->path);
}

static bool parse_url(struct ottl_eval *e, struct url *u)
{
    struct slice s = u->text;
    bool found;

    if (s.len == 0)
        return ottl_fail(e, "url cannot be empty");
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] == 0x7f)
            return ottl_fail(e, "parse: net/url: invalid control character in URL");
    u->raw_fragment = cut(&s, '#', &found);
    return take_scheme(e, u, &s) && take_query(u, &s) && take_hierarchy(e, u, s) &&
           unescape(e, u, u->raw_fragment, PART_FRAGMENT, &u->fragment);
}

/* ---- the map ---- */

static int put_user(struct buf *out, const struct url *u)
{
    if (escape(out, u->user, PART_USER))
        return -1;
    return u->has_password && (buf_add(out, ":", 1) || escape(out, u->password, PART_USER)) ? -1
                                                                                            : 0;
}

static int put_lower(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (buf_add(out, &(char){(char)tolower(s.p[i])}, 1))
            return -1;
    return 0;
}

static int put_authority(struct buf *out, const struct url *u)
{
    if ((u->scheme.len == 0 && u->host.len == 0 && !u->has_user) ||
        (u->no_host && u->host.len == 0 && !u->has_user))
        return 0;
    if ((u->host.len || u->path.len || u->has_user) && buf_add(out, "//", 2))
        return -1;
    if (u->has_user && (put_user(out, u) || buf_add(out, "@", 1)))
        return -1;
    return escape(out, u->host, PART_HOST);
}

static int put_whole(struct buf *out, const struct url *u)
{
    if (u->scheme.len && (put_lower(out, u->scheme) || buf_add(out, ":", 1)))
        return -1;
    if (u->opaque.len) {
        if (buf_add(out, u->opaque.p, u->opaque.len))
            return -1;
    } else if (put_authority(out, u) || put_escaped(out, u->raw_path, u->path, PART_PATH)) {
        return -1;
    }
    if ((u->empty_query || u->query.len) &&
        (buf_add(out, "?", 1) || buf_add(out, u->query.p, u->query.len)))
        return -1;
    return u->fragment.len && (buf_add(out, "#", 1) ||
                               put_escaped(out, u->raw_fragment, u->fragment, PART_FRAGMENT))
               ? -1
               : 0;
}

/* The eval's text as a string that stays. */
static bool text_of(struct ottl_eval *e, int (*put)(struct buf *, const struct url *),
                    const struct url *u, struct slice *s)
{
    struct ottl_value v;

    if (put(ottl_text(e), u))
        return ottl_too_long(e);
    if (!ottl_keep_text(e, OTTL_STR, &v))
        return false;
    *s = v.s;
    return true;
}

static struct slice port_of(struct slice *host)
{
    const uint8_t *colon = host->len ? memrchr(host->p, ':', host->len) : NULL;
    struct slice port = {0};

    if (colon && port_is_fine(from(*host, (size_t)(colon - host->p)))) {
        port = from(*host, (size_t)(colon - host->p) + 1);
        host->len = (size_t)(colon - host->p);
    }
    if (host->len > 1 && host->p[0] == '[' && host->p[host->len - 1] == ']')
        *host = slice_of(host->p + 1, host->len - 2);
    return port;
}

static struct slice extension_of(struct slice path)
{
    const uint8_t *dot = path.len ? memrchr(path.p, '.', path.len) : NULL;

    return dot ? from(path, (size_t)(dot - path.p) + 1) : (struct slice){0};
}

static int put_part(struct buf *map, const char *key, struct slice s)
{
    return attr_put_str(map, OTTL_MAP_FIELD, slice_str(key), s);
}

static int put_optional(struct buf *map, const char *key, struct slice s)
{
    return s.len ? put_part(map, key, s) : 0;
}

static int put_credentials(struct buf *map, const struct url *u, struct slice info)
{
    if (!u->has_user)
        return 0;
    if (put_part(map, "url.user_info", info) || put_optional(map, "url.username", u->user))
        return -1;
    return u->has_password ? put_part(map, "url.password", u->password) : 0;
}

static bool put_map(struct ottl_eval *e, const struct url *u)
{
    struct slice original = {0}, scheme = {0}, info = {0}, host = u->host, port = port_of(&host);
    struct url only_scheme = {.scheme = u->scheme};
    struct buf *map = &e->text;
    int64_t number = 0;

    if (!text_of(e, put_whole, u, &original) || !text_of(e, put_user, u, &info) ||
        !text_of(e, put_whole, &only_scheme, &scheme))
        return false;
    scheme.len -= scheme.len != 0; /* the colon */
    if (port.len && !parse_int(port, &number))
        return ottl_fail(e, "strconv.Atoi: parsing \"%.*s\": value out of range",
                         (int)(port.len < 80 ? port.len : 80), port.p);
    (void)ottl_text(e);
    if (put_part(map, "url.original", original) || put_part(map, "url.domain", host) ||
        put_part(map, "url.scheme", scheme) || put_part(map, "url.path", u->path) ||
        (port.len && attr_put_int(map, OTTL_MAP_FIELD, slice_str("url.port"), number)) ||
        put_optional(map, "url.fragment", u->fragment) ||
        put_optional(map, "url.query", u->query) ||
        put_optional(map, "url.extension", extension_of(u->path)) || put_credentials(map, u, info))
        return ottl_too_long(e);
    return true;
}

/* ---- a query alone ---- */

/* What the Collector makes of "?a=b&a=c": {"query": {"a": ["b", "c"]}}. */
struct pair {
    struct slice key, value;
    size_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    size_t least = x->key.len < y->key.len ? x->key.len : y->key.len;
    int order = least ? memcmp(x->key.p, y->key.p, least) : 0;

    if (order == 0 && x->key.len != y->key.len)
        order = x->key.len < y->key.len ? -1 : 1;
    return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

/* Both parts of key=value, unescaped. */
static bool read_pair(struct ottl_eval *e, const struct url *u, struct slice part, struct pair *p)
{
    bool found;

    p->key = part;
    p->value = cut(&p->key, '=', &found);
    if (part.len && memchr(part.p, ';', part.len))
        return ottl_fail(e, "invalid semicolon separator in query");
    return unescape(e, u, p->key, PART_QUERY, &p->key) &&
           unescape(e, u, p->value, PART_QUERY, &p->value);
}

static bool read_pairs(struct ottl_eval *e, const struct url *u, struct pair *v, size_t *n)
{
    struct slice rest = from(u->text, 1);
    bool more = true;

    while (more) {
        struct slice part = rest;

        rest = cut(&part, '&', &more);
        if (part.len == 0)
            continue;
        v[*n].at = *n;
        if (!read_pair(e, u, part, &v[*n]))
            return false;
        ++*n;
    }
    return true;
}

/* The values of one key, which stand together, as the body of an ArrayValue. */
static int put_values(struct buf *out, const struct pair *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ottl_put_item(out, v[i].value))
            return -1;
    return 0;
}

static bool put_query(struct ottl_eval *e, const struct pair *v, size_t n)
{
    struct buf map = {.max = OTTL_SCRATCH_BYTES}, values = {.max = OTTL_SCRATCH_BYTES};
    int rc = 0;

    for (size_t i = 0, k; i < n && rc == 0; i = k) {
        struct any a = {.type = ANY_ARRAY};

        for (k = i + 1; k < n && slice_eq(v[i].key, v[k].key);)
            k++;
        buf_clear(&values);
        rc = put_values(&values, v + i, k - i);
        a.bytes = slice_of(values.p, values.len);
        rc = rc ? rc : attr_put(&map, OTTL_MAP_FIELD, v[i].key, &a);
    }
    if (rc == 0 && n)
        rc = attr_put(ottl_text(e), OTTL_MAP_FIELD, slice_str("query"),
                      &(struct any){.type = ANY_MAP, .bytes = slice_of(map.p, map.len)});
    buf_free(&map);
    buf_free(&values);
    return rc == 0 || ottl_too_long(e);
}

static size_t count_of(struct slice s, uint8_t c)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.p[i] == c;
    return n;
}

static bool query_alone(struct ottl_eval *e, const struct url *u, struct ottl_value *out)
{
    size_t n = 0, most = count_of(u->text, '&') + 1;
    struct pair *v =
        most > OTTL_SCRATCH_BYTES / sizeof(*v) ? NULL : ottl_room(e, most * sizeof(*v));

    if (!v)
        return ottl_too_long(e);
    if (!read_pairs(e, u, v, &n))
        return false;
    qsort(v, n, sizeof(*v), by_key);
    (void)ottl_text(e);
    return put_query(e, v, n) && ottl_keep_text(e, OTTL_MAP, out);
}

static bool url(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct url u = {0};
    struct ottl_value v;

    if (!arg(e, n, 0, &v))
        return false;
    u.text = v.s;
    if (v.s.len && v.s.p[0] == '?')
        return query_alone(e, &u, out);
    return parse_url(e, &u) && put_map(e, &u) && ottl_keep_text(e, OTTL_MAP, out);
}

const struct func url_functions[] = {
    {"URL", url, {P("u_r_i", ARG_STR)}, NULL},
    {.name = NULL},
};
