/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Functions for what other programs write: lines of CSV, levels of severity, ids of network flows.
 * Each is a row in the table at the end. Fields are gathered in the scratch. Order: CSV, severity,
 * flows.
 */
#include "ottl/call.h"
#include "ottl/map_build.h"
#include "platform/digest.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

/* ---- CSV ---- */

/* Fields of all lines; the first of a line continues the last of the line before, behind a line
 * break. Their bytes stand one behind the other in text. */
struct csv {
    struct ottl_eval *e;
    struct slice s; /* what is left */
    struct slice by;
    bool lazy;
    uint8_t *text;
    size_t len;
    size_t *ends; /* of the fields in text */
    size_t n;
    size_t of_line; /* fields of this line */
    unsigned line;
    const uint8_t *line_start;
};

static struct slice behind(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.len - n);
}

static bool begins(struct slice s, struct slice with)
{
    return s.len >= with.len && memcmp(s.p, with.p, with.len) == 0;
}

/* Length of the line break s begins with. */
static size_t line_break(struct slice s)
{
    return s.len && s.p[0] == '\n' ? 1 : s.len > 1 && s.p[0] == '\r' && s.p[1] == '\n' ? 2 : 0;
}

static void begin_field(struct csv *c)
{
    CHECK(c->text);
    if (c->of_line == 0 && c->n) { /* goes on with the last one */
        c->text[c->len++] = '\n';
        c->n--;
    }
    c->of_line++;
}

static void end_field(struct csv *c)
{
    CHECK(c->ends);
    c->ends[c->n++] = c->len;
}

static void add_byte(struct csv *c)
{
    CHECK(c->text);
    c->text[c->len++] = c->s.p[0];
    c->s = behind(c->s, 1);
}

/* A field that cannot be read takes the rest of its line with it; fields before it in the line
 * stay. Without any it is an error. */
static bool bad_field(struct csv *c, const uint8_t *at, const char *why)
{
    if (c->of_line == 0)
        return ottl_fail(c->e, "read csv line: parse error on line %u, column %zu: %s", c->line,
                         (size_t)(at - c->line_start) + 1, why);
    while (c->s.len && !line_break(c->s))
        c->s = behind(c->s, 1);
    return true;
}

/* Where the field without quotes ends; *quote: the first one in it. */
static size_t plain_length(const struct csv *c, const uint8_t **quote)
{
    size_t i = 0;

    *quote = NULL;
    for (; i < c->s.len && !begins(behind(c->s, i), c->by) && !line_break(behind(c->s, i)); i++)
        if (c->s.p[i] == '"' && !*quote)
            *quote = c->s.p + i;
    return i;
}

static bool plain_field(struct csv *c)
{
    const uint8_t *quote;
    size_t len = plain_length(c, &quote);

    if (quote && !c->lazy)
        return bad_field(c, quote, "bare \" in non-quoted-field");
    begin_field(c);
    while (len--)
        add_byte(c);
    end_field(c);
    return true;
}

/* Line breaks within quotes are single characters. */
static void add_quoted_byte(struct csv *c)
{
    size_t n = line_break(c->s);

    if (n == 2)
        c->s = behind(c->s, 1);
    if (n) {
        c->line++;
        c->line_start = c->s.p + 1;
    }
    add_byte(c);
}

static bool quoted_field(struct csv *c)
{
    const struct csv before = *c;

    begin_field(c);
    c->s = behind(c->s, 1);
    for (;;) {
        if (c->s.len == 0) {
            if (c->lazy)
                break;
        } else if (c->s.p[0] != '"') {
            add_quoted_byte(c);
            continue;
        } else if (c->s.len > 1 && c->s.p[1] == '"') {
            c->s = behind(c->s, 1);
            add_byte(c);
            continue;
        } else if (c->s.len == 1 || begins(behind(c->s, 1), c->by) || line_break(behind(c->s, 1))) {
            c->s = behind(c->s, 1);
            break;
        } else if (c->lazy) {
            add_byte(c);
            continue;
        }
        c->n = before.n;
        c->len = before.len;
        c->of_line = before.of_line;
        return bad_field(c, c->s.p, "extraneous or missing \" in quoted-field");
    }
    end_field(c);
    return true;
}

/* With the line break behind it. */
static bool one_line(struct csv *c)
{
    size_t n;

    c->of_line = 0;
    for (;;) {
        size_t had = c->of_line;

        if (c->s.len && c->s.p[0] == '"' ? !quoted_field(c) : !plain_field(c))
            return false;
        if (c->of_line == had || !begins(c->s, c->by))
            break;
        c->s = behind(c->s, c->by.len);
    }
    n = line_break(c->s);
    c->s = behind(c->s, n);
    c->line += n != 0;
    c->line_start = c->s.p;
    return true;
}

static bool all_lines(struct csv *c)
{
    if (c->by.p[0] == '"' || c->by.p[0] == '\r' || c->by.p[0] == '\n')
        return ottl_fail(c->e, "read csv line: csv: invalid field or comment delimiter");
    while (c->s.len) {
        size_t n = line_break(c->s);

        if (n) { /* empty lines are no lines */
            c->s = behind(c->s, n);
            c->line++;
            c->line_start = c->s.p;
        } else if (!one_line(c)) {
            return false;
        }
    }
    return c->n || ottl_fail(c->e, "no csv lines found");
}

static void split(struct csv *c)
{
    for (;;) {
        const uint8_t *at = c->s.len ? memmem(c->s.p, c->s.len, c->by.p, c->by.len) : NULL;
        size_t len = at ? (size_t)(at - c->s.p) : c->s.len;

        CHECK(c->text);
        if (len)
            memcpy(c->text + c->len, c->s.p, len);
        c->len += len;
        end_field(c);
        if (!at)
            return;
        c->s = behind(c->s, len + c->by.len);
    }
}

static bool csv_new(struct ottl_eval *e, struct slice s, struct slice by, struct csv *c)
{
    size_t most = 2;

    *c = (struct csv){.e = e, .s = s, .by = by, .line = 1, .line_start = s.p};
    if (s.len > OTTL_SCRATCH_BYTES)
        return ottl_too_long(e);
    for (size_t i = 0; i < s.len; i++)
        most += s.p[i] == by.p[0] || s.p[i] == '\n';
    c->text = ottl_room(e, s.len + 1);
    c->ends = c->text ? ottl_room(e, most * sizeof(*c->ends)) : NULL;
    return c->ends != NULL;
}

static struct slice field(const struct csv *c, size_t i)
{
    size_t from = i ? c->ends[i - 1] : 0;

    return slice_of(c->text + from, c->ends[i] - from);
}

static bool put_fields(struct ottl_eval *e, const struct csv *keys, const struct csv *fields)
{
    struct map_build map = map_build(ottl_text(e));
    bool fine = true;

    if (keys->n != fields->n)
        return ottl_fail(e, "map csv headers: wrong number of fields: expected %zu, found %zu",
                         keys->n, fields->n);
    for (size_t i = 0; fine && i < keys->n; i++) {
        struct any v = {.type = ANY_STR, .bytes = field(fields, i)};

        fine = map_put(&map, field(keys, i), &v) == 0 || ottl_too_long(e);
    }
    map_finish(&map);
    return fine;
}

struct csv_mode {
    bool lazy, no_quotes;
    struct slice by, header_by;
};

FN(parse_csv)
{
    const struct csv_mode *mode = n->data;
    struct ottl_value v, header;
    struct csv keys, fields;

    if (!arg(e, n, 0, &v) || !arg(e, n, 1, &header))
        return false;
    if (header.s.len == 0)
        return ottl_fail(e, "headers must not be an empty string");
    if (!csv_new(e, header.s, mode->header_by, &keys) || !csv_new(e, v.s, mode->by, &fields))
        return false;
    split(&keys);
    fields.lazy = mode->lazy;
    if (mode->no_quotes)
        split(&fields);
    else if (!all_lines(&fields))
        return false;
    return put_fields(e, &keys, &fields) && ottl_keep_text(e, OTTL_MAP, out);
}

static bool is_character(struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += (s.p[i] & 0xc0) != 0x80;
    return n == 1;
}

static int prepare_csv(struct compiler *k, struct node *n, struct err *err)
{
    struct csv_mode *m = arena_alloc(k->program->arena, sizeof(*m));
    const struct ottl_value *by = arg_constant(n, 2), *header_by = arg_constant(n, 3),
                            *mode = arg_constant(n, 4);

    n->data = m;
    m->by = by ? by->s : slice_str(",");
    m->header_by = header_by ? header_by->s : m->by;
    if (!is_character(m->by))
        return err_set(err, "invalid arguments: delimiter must be a single character");
    if (!is_character(m->header_by))
        return err_set(err, "invalid arguments: header_delimiter must be a single character");
    if (!mode || slice_eq(mode->s, slice_str("strict")))
        return 0;
    m->lazy = slice_eq(mode->s, slice_str("lazyQuotes"));
    m->no_quotes = slice_eq(mode->s, slice_str("ignoreQuotes"));
    return m->lazy || m->no_quotes ? 0
                                   : err_set(err, "unknown mode: %.*s",
                                             (int)(mode->s.len < 80 ? mode->s.len : 80), mode->s.p);
}

/* ---- severity ---- */

static bool bad_criteria(struct ottl_eval *e, const char *why)
{
    return ottl_fail(e, "invalid severity mapping criteria: %s", why);
}

static bool equals(struct ottl_eval *e, const struct ottl_value *list, const struct ottl_value *v,
                   bool *hit)
{
    struct ottl_list_iter it;
    struct ottl_value one;

    if (!ottl_is_list(list))
        return bad_criteria(e, "equals must be a list");
    it = ottl_list_iter(list);
    while (!*hit && ottl_list_next(&it, &one)) {
        if (one.type != OTTL_STR)
            return bad_criteria(e, "equals values must be strings");
        *hit = v->type == OTTL_STR && slice_eq(v->s, one.s);
    }
    return true;
}

static bool limits(struct ottl_eval *e, const struct ottl_value *range, int64_t *min, int64_t *max)
{
    struct ottl_value v;

    if (range->type == OTTL_STR) { /* 2xx to 5xx: statuses of HTTP */
        if (range->s.len != 3 || range->s.p[0] < '2' || range->s.p[0] > '5' ||
            memcmp(range->s.p + 1, "xx", 2) != 0)
            return ottl_fail(e,
                             "invalid severity mapping criteria: unknown range placeholder: %.*s",
                             (int)(range->s.len < 40 ? range->s.len : 40), range->s.p);
        *min = (range->s.p[0] - '0') * 100;
        *max = *min + 99;
        return true;
    }
    if (range->type != OTTL_MAP)
        return bad_criteria(e, "range must be a map or a known placeholder string");
    if (!ottl_map_get(range, slice_str("min"), &v))
        return bad_criteria(e, "range must have a min value");
    *min = v.i;
    if (v.type != OTTL_INT)
        return bad_criteria(e, "min must be an int64");
    if (!ottl_map_get(range, slice_str("max"), &v))
        return bad_criteria(e, "range must have a max value");
    *max = v.i;
    return v.type == OTTL_INT || bad_criteria(e, "max must be an int64");
}

/* One of a level's criteria. */
static bool meets(struct ottl_eval *e, const struct ottl_value *criteria,
                  const struct ottl_value *v, bool *hit)
{
    struct ottl_value by;
    int64_t min = 0, max = 0;

    if (criteria->type != OTTL_MAP)
        return ottl_fail(e, "severity mapping criteria items must be map[string]any");
    if (ottl_map_get(criteria, slice_str("equals"), &by) && !equals(e, &by, v, hit))
        return false;
    if (*hit || !ottl_map_get(criteria, slice_str("range"), &by))
        return true;
    if (!limits(e, &by, &min, &max))
        return false;
    *hit = v->type == OTTL_INT && v->i >= min && v->i <= max;
    return true;
}

static bool level_of(struct ottl_eval *e, const struct ottl_value *mapping,
                     const struct ottl_value *v, struct ottl_value *out)
{
    struct attr_iter it = attr_iter(mapping->s, mapping->aux);
    struct attr a;
    bool hit = false;

    while (attr_next(&it, &a)) {
        struct ottl_value list = ottl_of_any(a.value), one;
        struct ottl_list_iter items = ottl_list_iter(&list);

        if (!ottl_is_list(&list))
            return ottl_fail(e, "severity mapping criteria must be []any");
        while (!hit && ottl_list_next(&items, &one))
            if (!meets(e, &one, v, &hit))
                return false;
        if (hit) {
            *out = ottl_str(a.key);
            return true;
        }
    }
    if (v->type != OTTL_STR && v->type != OTTL_INT)
        return ottl_fail(e, "could not map log level: unsupported value type: %s",
                         v->type == OTTL_NIL ? "<nil>" : ottl_type_name(v));
    return ottl_fail(e, "could not map log level: no matching log level found");
}

FN(parse_severity)
{
    struct ottl_value v, mapping;

    if (!arg(e, n, 0, &v))
        return false;
    if (n->args[1]->eval != eval_map || !n->args[1]->literal)
        return ottl_fail(e, "severity mapping must be a literal PMap");
    return arg(e, n, 1, &mapping) && level_of(e, &mapping, &v, out);
}

/* ---- flows (Community ID, version 1) ---- */

static const struct {
    const char *name;
    uint8_t number;
} protocols[] = {{"ICMP", 1}, {"TCP", 6}, {"UDP", 17}, {"RSVP", 46}, {"ICMP6", 58}, {"SCTP", 132}};

struct flow_end {
    uint8_t ip[16], port[2];
    unsigned len;
};

static bool flow_end(struct ottl_eval *e, const struct node *n, unsigned first, const char *which,
                     struct flow_end *end)
{
    struct ottl_value ip, port;

    if (!arg(e, n, first, &ip) || !arg(e, n, first + 1, &port))
        return false;
    if (!parse_address(ip.s, end->ip, &end->len))
        return ottl_fail(e, "invalid %s IP: %.*s", which, (int)(ip.s.len < 60 ? ip.s.len : 60),
                         ip.s.p);
    if (port.i < 0 || port.i > 65535)
        return ottl_fail(e, "%s port must be between 0 and 65535, got %lld", which,
                         (long long)port.i);
    end->port[0] = (uint8_t)(port.i >> 8);
    end->port[1] = (uint8_t)port.i;
    return true;
}

static bool in_order(const struct flow_end *a, const struct flow_end *b)
{
    unsigned n = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->ip, b->ip, n);

    if (order == 0)
        order = (a->len > b->len) - (a->len < b->len);
    return order < 0 || (order == 0 && memcmp(a->port, b->port, 2) <= 0);
}

static bool protocol(struct ottl_eval *e, const struct ottl_value *v, uint8_t *number)
{
    struct slice name = v->type == OTTL_STR ? v->s : slice_str("TCP");

    for (size_t i = 0; i < ARRAY_LEN(protocols); i++)
        if (slice_eq(name, slice_str(protocols[i].name))) {
            *number = protocols[i].number;
            return true;
        }
    return ottl_fail(e, "unsupported protocol: %.*s", (int)(name.len < 80 ? name.len : 80), name.p);
}

static size_t put_flow(uint8_t *to, const struct flow_end *a, const struct flow_end *b,
                       uint8_t number, int64_t seed)
{
    uint8_t *p = to;

    *p++ = (uint8_t)(seed >> 8);
    *p++ = (uint8_t)seed;
    p = (uint8_t *)mempcpy(p, a->ip, a->len);
    p = (uint8_t *)mempcpy(p, b->ip, b->len);
    *p++ = number;
    *p++ = 0;
    p = (uint8_t *)mempcpy(p, a->port, 2);
    p = (uint8_t *)mempcpy(p, b->port, 2);
    return (size_t)(p - to);
}

FN(community_id)
{
    struct flow_end a, b;
    struct ottl_value name, seed;
    uint8_t number = 0, bytes[64], digest[20], *to;
    size_t len;

    if (!flow_end(e, n, 0, "source", &a) || !flow_end(e, n, 2, "destination", &b) ||
        !arg(e, n, 4, &name) || !arg(e, n, 5, &seed) || !protocol(e, &name, &number))
        return false;
    if (seed.type == OTTL_ABSENT)
        seed.i = 0;
    if (seed.i < 0 || seed.i > 65535)
        return ottl_fail(e, "seed must be between 0 and 65535, got %lld", (long long)seed.i);
    len = in_order(&a, &b) ? put_flow(bytes, &a, &b, number, seed.i)
                           : put_flow(bytes, &b, &a, number, seed.i);
    sha1(bytes, len, digest);
    to = ottl_room(e, 2 + 28);
    if (!to)
        return false;
    to[0] = '1';
    to[1] = ':';
    *out = ottl_str(slice_of(to, 2 + put_base64(slice_of(digest, sizeof(digest)), to + 2)));
    return true;
}

const struct func record_functions[] = {
    {"ParseCSV",
     parse_csv,
     {P("target", ARG_STR), P("header", ARG_STR), OPTIONAL("delimiter", ARG_TEXT),
      OPTIONAL("header_delimiter", ARG_TEXT), OPTIONAL("mode", ARG_TEXT)},
     prepare_csv},
    {"ParseSeverity", parse_severity, {P("target", ARG_ANY), P("mapping", ARG_MAP)}, NULL},
    {"CommunityID",
     community_id,
     {P("source_i_p", ARG_STR), P("source_port", ARG_INT), P("destination_i_p", ARG_STR),
      P("destination_port", ARG_INT), OPTIONAL("protocol", ARG_STR), OPTIONAL("seed", ARG_INT)},
     NULL},
    {.name = NULL},
};
