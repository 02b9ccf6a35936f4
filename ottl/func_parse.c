/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions that take a string apart: JSON, key=value pairs, named groups of an expression,
 * networks. What they make is attribute values as on the wire, built in buffers of their own and
 * copied to the scratch: they are not for every span's hot path.
 */
#include <arpa/inet.h>
#include <stdlib.h>

#include "model/json_reader.h"
#include "ottl/call.h"
#include "ottl/map_build.h"

#define FN(name)    static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

#define MOST_LEVELS 60 /* of JSON */
#define NETWORKS    64

static bool keep(struct ottl_eval *e, struct buf *b, bool fine, enum ottl_type type,
                 struct ottl_value *out)
{
    fine = fine &&
           (buf_add(ottl_text(e), b->p, b->len) ? ottl_too_long(e) : ottl_keep_text(e, type, out));
    buf_free(b);
    return fine;
}

/* ---- JSON ---- */

static int json_value(struct json_reader *r, struct buf *out, unsigned level);

static int json_object(struct json_reader *r, struct buf *body, unsigned level)
{
    struct buf key = {.max = OTTL_SCRATCH_BYTES}, value = {.max = OTTL_SCRATCH_BYTES};
    struct map_build map = map_build(body);
    int more = jr_enter(r, JR_OBJECT) ? -1 : 1;

    while (more > 0) {
        buf_clear(&key);
        buf_clear(&value);
        more = jr_next_member(r, &key);
        if (more <= 0)
            break;
        if (json_value(r, &value, level)) {
            more = -1;
        } else {
            struct any v = any_parse(slice_of(value.p, value.len));

            if (map_put(&map, slice_of(key.p, key.len), &v))
                more = -1;
        }
    }
    map_finish(&map);
    buf_free(&key);
    buf_free(&value);
    return more;
}

static int json_array(struct json_reader *r, struct buf *body, unsigned level)
{
    struct buf value = {.max = OTTL_SCRATCH_BYTES};
    int more = jr_enter(r, JR_ARRAY) ? -1 : 1;

    while (more > 0) {
        buf_clear(&value);
        more = jr_next_element(r);
        if (more > 0 &&
            (json_value(r, &value, level) || wire_put_bytes(body, 1, slice_of(value.p, value.len))))
            more = -1;
    }
    buf_free(&value);
    return more;
}

static int json_container(struct json_reader *r, struct buf *out, bool object, unsigned level)
{
    struct buf body = {.max = OTTL_SCRATCH_BYTES};
    int rc = level == MOST_LEVELS ? -1
             : object             ? json_object(r, &body, level + 1)
                                  : json_array(r, &body, level + 1);
    struct any v = {.type = object ? ANY_MAP : ANY_ARRAY, .bytes = slice_of(body.p, body.len)};

    if (rc == 0)
        rc = any_put(out, &v);
    buf_free(&body);
    return rc;
}

static int json_number(struct json_reader *r, struct buf *out)
{
    struct any v = {.type = ANY_DOUBLE};
    struct slice text;

    if (jr_take_number(r, &text) || !parse_double(text, &v.d))
        return -1;
    return any_put(out, &v);
}

static int json_string(struct json_reader *r, struct buf *out)
{
    struct buf text = {.max = OTTL_SCRATCH_BYTES};
    int rc = jr_take_string(r, &text);
    struct any v = {.type = ANY_STR, .bytes = slice_of(text.p, text.len)};

    if (rc == 0)
        rc = any_put(out, &v);
    buf_free(&text);
    return rc;
}

/* An AnyValue body; that of null is empty. */
static int json_value(struct json_reader *r, struct buf *out, unsigned level)
{
    enum jr_kind kind = jr_peek(r);
    struct any v = {.type = ANY_BOOL, .i = kind == JR_TRUE};

    switch (kind) {
    case JR_OBJECT:
    case JR_ARRAY:
        return json_container(r, out, kind == JR_OBJECT, level);
    case JR_STRING:
        return json_string(r, out);
    case JR_NUMBER:
        return json_number(r, out);
    case JR_TRUE:
    case JR_FALSE:
        return jr_take_literal(r) ? -1 : any_put(out, &v);
    default:
        return jr_take_literal(r);
    }
}

FN(parse_json)
{
    struct buf body = {.max = OTTL_SCRATCH_BYTES};
    struct ottl_value v;
    struct json_reader r;
    struct err why = {.text = "it is neither an object nor an array"};
    bool object;
    int rc = -1;

    if (!arg(e, n, 0, &v))
        return false;
    jr_init(&r, v.s, &why);
    object = jr_peek(&r) == JR_OBJECT;
    if (object || jr_peek(&r) == JR_ARRAY)
        rc = object ? json_object(&r, &body, 1) : json_array(&r, &body, 1);
    if (rc == 0)
        rc = jr_finish(&r);
    if (rc)
        ottl_fail(e, "could not parse JSON: %.160s", why.text);
    return keep(e, &body, rc == 0, object ? OTTL_MAP : OTTL_LIST, out);
}

/* ---- key=value ---- */

static struct slice trimmed(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
        s = slice_of(s.p + 1, s.len - 1);
    while (s.len && (s.p[s.len - 1] == ' ' || (s.p[s.len - 1] >= '\t' && s.p[s.len - 1] <= '\r')))
        s.len--;
    return s;
}

static bool begins(struct slice s, struct slice with)
{
    return s.len >= with.len && memcmp(s.p, with.p, with.len) == 0;
}

static bool put_pair(struct ottl_eval *e, struct map_build *map, struct slice pair, struct slice by)
{
    const uint8_t *at = pair.len ? memmem(pair.p, pair.len, by.p, by.len) : NULL;
    struct any v = {.type = ANY_STR};
    struct slice key;

    if (!at)
        return ottl_fail(e, "cannot split \"%.*s\" into a key and a value",
                         (int)(pair.len < 80 ? pair.len : 80), pair.p);
    key = trimmed(slice_of(pair.p, (size_t)(at - pair.p)));
    v.bytes = trimmed(slice_of(at + by.len, pair.len - (size_t)(at - pair.p) - by.len));
    return map_put(map, key, &v) == 0 || ottl_too_long(e);
}

/* Pairs in turn; quotes group and go, a backslash keeps the quote that follows from doing so. */
static bool put_pairs(struct ottl_eval *e, struct map_build *map, struct buf *pair, struct slice s,
                      struct slice by, struct slice between)
{
    uint8_t quote = 0;
    bool escaped = false;

    while (s.len) {
        uint8_t c = s.p[0];

        if (!quote && begins(s, between)) {
            if (pair->len && !put_pair(e, map, slice_of(pair->p, pair->len), by))
                return false;
            buf_clear(pair);
            s = slice_of(s.p + between.len, s.len - between.len);
            continue;
        }
        s = slice_of(s.p + 1, s.len - 1);
        if (!escaped && !quote && (c == '"' || c == '\'')) {
            quote = c;
            continue;
        }
        if (!escaped && quote && c == quote) {
            quote = 0;
            continue;
        }
        escaped = !escaped && c == '\\';
        if (buf_add(pair, &c, 1))
            return ottl_too_long(e);
    }
    if (quote)
        return ottl_fail(e, "never reached the end of a quoted value");
    return pair->len == 0 || put_pair(e, map, slice_of(pair->p, pair->len), by);
}

FN(parse_key_value)
{
    struct buf map = {.max = OTTL_SCRATCH_BYTES}, pair = {.max = OTTL_SCRATCH_BYTES};
    struct map_build build = map_build(&map);
    struct ottl_value v, by, between;
    bool fine;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &by) || !arg(e, n, 2, &between))
        return false;
    if (v.s.len == 0)
        return ottl_fail(e, "cannot parse from empty target");
    fine = put_pairs(e, &build, &pair, v.s, by.type == OTTL_STR ? by.s : slice_str("="),
                     between.type == OTTL_STR ? between.s : slice_str(" "));
    map_finish(&build);
    buf_free(&pair);
    return keep(e, &map, fine, OTTL_MAP, out);
}

int prepare_key_value(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *by = arg_constant(n, 1), *between = arg_constant(n, 2);
    struct slice a = by ? by->s : slice_str("="), b = between ? between->s : slice_str(" ");

    (void)k;
    if (a.len == 0)
        return err_set(err, "delimiter cannot be set to an empty string");
    if (b.len == 0)
        return err_set(err, "pair delimiter cannot be set to an empty string");
    if (slice_eq(a, b))
        return err_set(err, "pair delimiter \"%.*s\" cannot be equal to delimiter",
                       (int)(b.len < 60 ? b.len : 60), b.p);
    return 0;
}

/* ---- named groups ---- */

static bool put_groups(struct ottl_eval *e, const struct regex *re, struct slice s, struct map_build *map)
{
    size_t groups = regex_groups(re), named = 0;
    struct slice *found = ottl_room(e, (groups + 1) * sizeof(*found));

    if (!found)
        return false;
    for (size_t i = 1; i <= groups; i++)
        named += regex_group_name(re, i) != NULL;
    if (!named)
        return ottl_fail(e, "at least 1 named capture group must be supplied in the given regex");
    if (!regex_capture(re, s, found))
        return true;
    for (size_t i = 1; i <= groups; i++) {
        const char *name = regex_group_name(re, i);
        struct any v = {.type = ANY_STR, .bytes = found[i - 1].p ? found[i - 1] : slice_str("")};

        if (name && map_put(map, slice_str(name), &v))
            return ottl_too_long(e);
    }
    return true;
}

FN(extract_patterns)
{
    struct buf map = {.max = OTTL_SCRATCH_BYTES};
    struct map_build build = map_build(&map);
    struct ottl_value v;
    struct regex *own_re;
    const struct regex *re;
    bool fine;

    if (!arg(e, n, 0, &v))
        return false;
    re = arg_regex(e, n, 1, &own_re);
    if (!re)
        return false;
    fine = put_groups(e, re, v.s, &build);
    map_finish(&build);
    if (own_re)
        regex_free(&own_re);
    return keep(e, &map, fine, OTTL_MAP, out);
}

/* ---- networks ---- */

struct network {
    uint8_t ip[16];
    unsigned bits, len; /* len: of an address, 4 or 16 bytes */
};

bool parse_address(struct slice s, uint8_t ip[static 16], unsigned *len)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[64];

    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.p, 0, s.len))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = 0;
    *len = 4;
    if (inet_pton(AF_INET, text, ip) == 1)
        return true;
    *len = 16;
    if (inet_pton(AF_INET6, text, ip) != 1)
        return false;
    if (memcmp(ip, mapped, sizeof(mapped)) == 0) {
        memmove(ip, ip + 12, 4);
        *len = 4;
    }
    return true;
}

static bool network_of(struct slice s, struct network *w)
{
    const uint8_t *slash = s.len ? memchr(s.p, '/', s.len) : NULL;
    int64_t bits;

    if (!slash || !parse_address(slice_of(s.p, (size_t)(slash - s.p)), w->ip, &w->len) ||
        !parse_int(slice_of(slash + 1, s.len - (size_t)(slash - s.p) - 1), &bits) ||
        slash[1] == '+' || bits < 0 || bits > 8 * (int64_t)w->len)
        return false;
    w->bits = (unsigned)bits;
    return true;
}

static bool inside(const struct network *w, const uint8_t *ip, unsigned len)
{
    unsigned whole = w->bits / 8, rest = w->bits % 8;

    if (w->len != len || memcmp(w->ip, ip, whole) != 0)
        return false;
    return rest == 0 || (w->ip[whole] ^ ip[whole]) >> (8 - rest) == 0;
}

struct networks {
    size_t n;
    struct network v[];
};

FN(is_in_cidr)
{
    const struct networks *all = n->data;
    struct ottl_value v;
    uint8_t ip[16];
    unsigned len;

    if (!arg(e, n, 0, &v))
        return false;
    *out = ottl_bool(false);
    if (!parse_address(v.s, ip, &len))
        return true; /* what is no address is in no network */
    for (size_t i = 0; i < all->n && !out->i; i++)
        out->i = inside(&all->v[i], ip, len);
    return true;
}

static int prepare_cidr(struct compiler *k, struct node *n, struct err *err)
{
    const struct node *list = n->args[1];
    struct networks *all;

    if (list->n_args == 0 || list->n_args > NETWORKS)
        return err_set(err, "1 to %d networks are needed", NETWORKS);
    all = arena_alloc(k->program->arena, sizeof(*all) + list->n_args * sizeof(all->v[0]));
    for (; all->n < list->n_args; all->n++) {
        struct slice s = list->args[all->n]->value.s;

        if (!network_of(s, &all->v[all->n]))
            return err_set(err, "invalid CIDR address: %.*s", (int)(s.len < 80 ? s.len : 80), s.p);
    }
    n->data = all;
    return 0;
}

const struct func parse_functions[] = {
    {"ParseJSON", parse_json, {P("target", ARG_STR)}, NULL},
    {"ParseKeyValue",
     parse_key_value,
     {P("target", ARG_STR), OPTIONAL("delimiter", ARG_TEXT), OPTIONAL("pair_delimiter", ARG_TEXT)},
     prepare_key_value},
    {"ExtractPatterns", extract_patterns, {P("target", ARG_STR), P("pattern", ARG_REGEX)}, NULL},
    {"IsInCIDR", is_in_cidr, {P("target", ARG_STR), P("networks", ARG_TEXTS)}, prepare_cidr},
    {.name = NULL},
};
