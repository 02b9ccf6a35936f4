/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Substitution, with the Collector's rules:
 *   - the first closing brace and the last "${" before it are looked at first: inner before outer;
 *   - an odd number of '$' before that "${" escapes it, and ends the search in this string;
 *   - a value that is nothing but one ${...} becomes whatever YAML the source holds, and keeps the
 *     source's text for fields that want a string; elsewhere the text is put in;
 *   - the result is looked at again, at most 1000 times;
 *   - $$ becomes $ at the very end. Keys are left alone.
 *
 * A value keeps the place where it is used, and names the substitution; what ${file:...} brings in
 * keeps its own lines. Limits: 1 MiB a string, 100,000 substitutions in all.
 */
#include "config/expand.h"

#include <stdlib.h>
#include <string.h>

#include "config/source.h"
#include "config/yaml.h"

#define MAX_ROUNDS        1000
#define MAX_SUBSTITUTIONS 100000
#define MAX_STRING        (1u << 20)

struct expander {
    struct arena *arena;
    struct diags *diags; /* NULL: quiet */
    unsigned substitutions;
    bool given_up; /* a value feeds on itself: nothing more is replaced */
};

struct found {
    size_t start, len; /* of "${...}"; len 0: none */
};

static const struct node *expand(struct expander *x, const struct node *n, unsigned rounds);

static const struct node *bad(struct expander *x, struct pos at)
{
    return node_new(x->arena, NODE_BAD, at);
}

static const struct node *give_up(struct expander *x, struct pos at, const char *why)
{
    if (x->diags && !x->given_up)
        diag_error(x->diags, at, "", "does the value refer to itself?", "%s", why);
    x->given_up = true;
    return bad(x, at);
}

static struct found find_uri(const char *s)
{
    const char *from = s;
    for (;;) {
        const char *close = strchr(from, '}'), *open = NULL;
        if (!close)
            return (struct found){0};
        for (const char *p = from; p + 1 < close; p++)
            if (p[0] == '$' && p[1] == '{')
                open = p;
        if (open) {
            size_t dollars = 0;
            while (open - dollars > from && open[-1 - (ptrdiff_t)dollars] == '$')
                dollars++;
            if (dollars % 2)
                return (struct found){0};
            return (struct found){(size_t)(open - s), (size_t)(close - open) + 1};
        }
        from = close + 1;
    }
}

/* The text behind "${uri}" into out. 0, or -1 with the reason in d. */
static int retrieve(struct expander *x, const char *token, size_t len, struct pos at,
                    struct buf *out)
{
    struct err err = {0};
    char *inner = mem_dup_n(token + 2, len - 3);
    char *uri = strchr(inner, ':') ? mem_dup(inner) : mem_printf("env:%s", inner);
    enum source_result rc = SOURCE_FAILED;

    at.via = NULL;
    if (source_has_scheme(uri) && strchr(strchr(uri, ':'), '$'))
        err_set(&err, "the uri \"%s\" contains unsupported characters ('$')", uri);
    else
        rc = source_read(uri, out, &err);
    if (x->diags && strncmp(uri, "file:", 5) == 0)
        diags_note_file(x->diags, uri + 5);
    if (x->diags && rc == SOURCE_FAILED)
        diag_error(x->diags, at, "", NULL, "${%s}: %s", inner, err.text);
    else if (x->diags && rc == SOURCE_UNSET)
        diag_warn(x->diags, at, "", "${env:NAME:-default} gives a default",
                  "the environment variable %s is not set: the value is empty",
                  strchr(uri, ':') + 1);
    free(inner);
    free(uri);
    return rc == SOURCE_FAILED ? -1 : 0;
}

static const char *unescape(struct expander *x, const char *s)
{
    if (!strstr(s, "$$"))
        return s;
    char *copy = arena_dup_n(x->arena, s, strlen(s)), *to = copy;
    for (const char *p = s; *p; p++) {
        *to++ = *p;
        if (p[0] == '$' && p[1] == '$')
            p++;
    }
    *to = 0;
    return copy;
}

/* Every occurrence of the token in `in` by `by`. -1 when the result would be too long. */
static int replace_all(struct buf *in, const char *token, struct slice by)
{
    struct buf out = {.max = MAX_STRING};
    size_t len = strlen(token);
    const uint8_t *p = in->p, *end = in->p + in->len, *from = p, *hit;
    int rc = 0;
    while (rc == 0 && (hit = memchr(p, '$', (size_t)(end - p))) != NULL) {
        p = hit + 1;
        if ((size_t)(end - hit) < len || memcmp(hit, token, len) != 0)
            continue;
        rc = buf_add(&out, from, (size_t)(hit - from)) || buf_add(&out, by.p, by.len) ? -1 : 0;
        from = p = hit + len;
    }
    if (rc == 0)
        rc = buf_add(&out, from, (size_t)(end - from));
    buf_free(in);
    *in = out;
    return rc;
}

/* The name a value shows for where it came from. */
static const char *via_of(struct expander *x, const struct pos *at, const char *token, size_t len)
{
    return at->via ? at->via : arena_dup_n(x->arena, token, len);
}

/* The text of `n`, which some source gave as a whole, in the shape a string field will want. */
static const char *expand_raw(struct expander *x, const char *raw, struct pos at, unsigned rounds)
{
    struct node *n = node_new(x->arena, NODE_STR, at);
    struct diags *diags = x->diags;
    n->text = raw;
    bool given_up = x->given_up;
    x->diags = NULL; /* what is wrong in here was said about the parsed value */
    const struct node *done = expand(x, n, rounds);
    x->diags = diags;
    x->given_up = given_up;
    return done->type == NODE_STR ? done->text : done->raw;
}

static const struct node *whole_value(struct expander *x, const struct node *n, unsigned rounds)
{
    struct buf text = {0};
    struct pos at = n->at;
    if (retrieve(x, n->text, strlen(n->text), at, &text)) {
        buf_free(&text);
        return bad(x, at);
    }
    const char *raw = arena_dup_n(x->arena, text.len ? (const char *)text.p : "", text.len);
    bool file = strncmp(n->text, "${file:", 7) == 0;
    if (file)
        at = (struct pos){arena_dup_n(x->arena, n->text + 7, strlen(n->text) - 8), 1, 1, NULL};
    else
        at.via = via_of(x, &at, n->text, strlen(n->text));
    const struct node *parsed = yaml_parse(x->arena, &at, !file, slice_of(text.p, text.len), NULL);
    buf_free(&text);
    struct node *v = node_new(x->arena, NODE_STR, at);
    if (parsed && parsed->type != NODE_STR) {
        *v = *parsed;
        v->raw = raw;
    } else {
        v->text = raw; /* a string keeps its source text, quotes included */
    }
    return expand(x, v, rounds + 1);
}

/* One token of s is replaced by its text. NULL: look at s again; else the value is settled. */
static const struct node *replace_one(struct expander *x, struct buf *s, struct found f,
                                      struct pos *at)
{
    const char *token = arena_dup_n(x->arena, (const char *)s->p + f.start, f.len);
    const struct node *settled = NULL;
    struct buf by = {0};
    if (retrieve(x, token, f.len, *at, &by))
        settled = bad(x, *at);
    else if (replace_all(s, token, slice_of(by.p, by.len)))
        settled = give_up(x, *at, "the value is longer than 1 MiB after substitution");
    else
        at->via = via_of(x, at, token, f.len);
    buf_free(&by);
    return settled;
}

static const struct node *expand_found(struct expander *x, struct buf *s, struct found f,
                                       struct pos *at, unsigned rounds)
{
    if (x->given_up)
        return bad(x, *at);
    if (rounds >= MAX_ROUNDS)
        return give_up(x, *at, "too many recursive expansions");
    if (++x->substitutions > MAX_SUBSTITUTIONS)
        return give_up(x, *at, "more than 100000 substitutions");
    if (f.len < s->len - 1)
        return replace_one(x, s, f, at);
    struct node *whole = node_new(x->arena, NODE_STR, *at);
    whole->text = arena_dup_n(x->arena, (const char *)s->p, f.len);
    return whole_value(x, whole, rounds);
}

static const struct node *expand_string(struct expander *x, const struct node *n, unsigned rounds)
{
    struct buf s = {0};
    struct pos at = n->at;
    struct found f;
    const struct node *result = NULL;
    buf_put(&s, n->text, strlen(n->text) + 1);
    while (!result && (f = find_uri((const char *)s.p)).len > 0)
        result = expand_found(x, &s, f, &at, rounds++);
    if (!result) {
        struct node *done = node_new(x->arena, NODE_STR, at);
        done->text = unescape(x, arena_dup_n(x->arena, (const char *)s.p, s.len - 1));
        result = done;
    }
    buf_free(&s);
    return result;
}

static const struct node *expand_parts(struct expander *x, const struct node *n, unsigned rounds)
{
    struct node *whole;
    if (n->type == NODE_SEQ) {
        const struct node **items = mem_alloc_array(n->n + 1, sizeof(*items));
        for (size_t i = 0; i < n->n; i++)
            items[i] = expand(x, n->items[i], rounds);
        whole = node_seq(x->arena, n->at, items, n->n);
        free(items);
    } else {
        struct entry *entries = mem_alloc_array(n->n + 1, sizeof(*entries));
        for (size_t i = 0; i < n->n; i++)
            entries[i] = (struct entry){n->entries[i].key, n->entries[i].at,
                                        expand(x, n->entries[i].value, rounds)};
        whole = node_map(x->arena, n->at, entries, n->n);
        free(entries);
    }
    return whole ? whole : give_up(x, n->at, "too large or too deeply nested after substitution");
}

static const struct node *expand(struct expander *x, const struct node *n, unsigned rounds)
{
    const struct node *done = n;
    if (n->type == NODE_STR && strchr(n->text, '$'))
        done = expand_string(x, n, rounds);
    else if (n->type == NODE_MAP || n->type == NODE_SEQ)
        done = expand_parts(x, n, rounds);
    if (n->raw && done->type != NODE_BAD && done->type != NODE_STR) {
        struct node *copy = node_new(x->arena, done->type, done->at);
        *copy = *done;
        copy->raw = expand_raw(x, n->raw, n->at, rounds);
        return copy;
    }
    return done;
}

const struct node *expand_tree(struct arena *a, const struct node *root, struct diags *d)
{
    struct expander x = {.arena = a, .diags = d};
    return expand(&x, root, 0);
}
