/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML: libyaml's events become nodes, by plain recursion that follows the nesting.
 *
 * Aliases share the node they name, so a small text cannot become a large tree: each node knows its
 * weight with aliases counted as often as they stand, and a document over NODE_MAX_WEIGHT is
 * refused where it crosses that line. `<<` merges are resolved here. Of several documents the first
 * counts, as for the Collector; what follows is a warning.
 *
 * Limits: YAML_MAX_BYTES of text, NODE_MAX_DEPTH levels, NODE_MAX_WEIGHT nodes, 1 MiB a scalar.
 */
#include "config/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config/scalar.h"

struct anchor {
    const char *name;
    const struct node *node; /* NULL: still open */
};

struct reader {
    yaml_parser_t parser;
    struct arena *arena;
    struct diags *diags;
    struct pos place;
    bool fixed;
    struct slice text;
    struct anchor *anchors;
    size_t n_anchors, cap_anchors;
};

static struct pos pos_of(const struct reader *r, yaml_mark_t m)
{
    if (r->fixed)
        return r->place;
    return (struct pos){r->place.file, (uint32_t)m.line + 1, (uint32_t)m.column + 1, r->place.via};
}

static void fail(struct reader *r, struct pos at, const char *hint, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
static void fail(struct reader *r, struct pos at, const char *hint, const char *fmt, ...)
{
    va_list ap;
    if (!r->diags)
        return;
    va_start(ap, fmt);
    diag_addv(r->diags, DIAG_ERROR, at, "", hint, fmt, ap);
    va_end(ap);
}

/* ---- libyaml's own complaints, in plainer words ---- */

static const struct {
    const char *theirs, *ours, *hint;
} complaints[] = {
    {"mapping values are not allowed in this context", "a second \":\" in one value",
     "quote the value when the colon belongs to it, or check the indentation of the line above"},
    {"did not find expected key", "a key was expected here",
     "the indentation does not fit the lines above, or a quote or bracket before it is not closed"},
    {"did not find expected '-' indicator", "a list entry (\"- \") was expected here",
     "the indentation does not fit the list above"},
    {"did not find expected ',' or ']'", "a \",\" or \"]\" is missing",
     "the list begun by \"[\" is not closed"},
    {"did not find expected ',' or '}'", "a \",\" or \"}\" is missing",
     "the map begun by \"{\" is not closed"},
    {"could not find expected ':'", "a \":\" is missing after the key",
     "a space must follow the colon"},
    {"block sequence entries are not allowed in this context", "a list entry cannot stand here",
     "put the list on the lines below its key"},
    {"found unexpected end of stream", "the text ends inside a quoted value",
     "a closing quote is missing"},
    {"found unknown escape character", "unknown escape in a \"double-quoted\" value",
     "use 'single quotes' for text with backslashes"},
    {"control characters are not allowed", "a control character", NULL},
};

/* The text of the line a mark is on, up to the mark's column. */
static bool tab_before(const struct reader *r, yaml_mark_t m)
{
    const char *p = (const char *)r->text.p, *end = p + r->text.len;
    for (size_t line = 0; line < m.line && p < end; line++) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        p = nl ? nl + 1 : end;
    }
    for (; p < end && (*p == ' ' || *p == '\t'); p++)
        if (*p == '\t')
            return true;
    return false;
}

static struct pos byte_pos(const struct reader *r, size_t offset)
{
    struct pos at = {r->place.file, 1, 1, r->place.via};
    if (r->fixed)
        return r->place;
    for (size_t i = 0; i < offset && i < r->text.len; i++) {
        at.col++;
        if (r->text.p[i] == '\n') {
            at.line++;
            at.col = 1;
        }
    }
    return at;
}

static void fail_parser(struct reader *r)
{
    const yaml_parser_t *p = &r->parser;
    const char *problem = p->problem ? p->problem : "it is not YAML";
    if (p->error == YAML_MEMORY_ERROR) {
        fail(r, r->place, NULL, "out of memory");
        return;
    }
    if (p->error == YAML_READER_ERROR) {
        bool control = strstr(problem, "control") != NULL;
        fail(r, byte_pos(r, p->problem_offset), NULL, "%s",
             control ? "a control character, which YAML does not allow" : "the text is not UTF-8");
        return;
    }
    struct pos at = pos_of(r, p->problem_mark);
    if (strstr(problem, "tab character") ||
        (strstr(problem, "cannot start any token") && tab_before(r, p->problem_mark))) {
        fail(r, at, "YAML wants spaces", "a tab is used for indentation");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(complaints); i++)
        if (strcmp(problem, complaints[i].theirs) == 0) {
            fail(r, at, complaints[i].hint, "not valid YAML: %s", complaints[i].ours);
            return;
        }
    fail(r, at, NULL, "not valid YAML: %s%s%s", problem, p->context ? " " : "",
         p->context ? p->context : "");
}

static int next_event(struct reader *r, yaml_event_t *e)
{
    if (yaml_parser_parse(&r->parser, e))
        return 0;
    fail_parser(r);
    return -1;
}

/* ---- anchors ---- */

static struct anchor *anchor_find(struct reader *r, const char *name)
{
    for (size_t i = r->n_anchors; i > 0; i--)
        if (strcmp(r->anchors[i - 1].name, name) == 0)
            return &r->anchors[i - 1];
    return NULL;
}

/* Returns its number; the node follows when it is complete. SIZE_MAX: no anchor. */
static size_t anchor_open(struct reader *r, const yaml_char_t *name)
{
    if (!name)
        return SIZE_MAX;
    if (r->n_anchors == r->cap_anchors) {
        r->cap_anchors = r->cap_anchors ? r->cap_anchors * 2 : 8;
        r->anchors = mem_grow(r->anchors, r->cap_anchors * sizeof(*r->anchors));
    }
    const char *s = (const char *)name;
    r->anchors[r->n_anchors] = (struct anchor){arena_dup_n(r->arena, s, strlen(s)), NULL};
    return r->n_anchors++;
}

static const struct node *alias_of(struct reader *r, const yaml_event_t *e)
{
    const char *name = (const char *)e->data.alias.anchor;
    const struct anchor *a = anchor_find(r, name);
    if (!a)
        fail(r, pos_of(r, e->start_mark), NULL, "the alias *%s has no anchor &%s before it", name,
             name);
    else if (!a->node)
        fail(r, pos_of(r, e->start_mark), NULL, "the alias *%s stands inside its own anchor", name);
    return a ? a->node : NULL;
}

/* ---- nodes ---- */

static const struct node *read_node(struct reader *r, yaml_event_t *e, unsigned depth);

static bool tag_is(const yaml_char_t *tag, const char *name)
{
    static const char prefix[] = "tag:yaml.org,2002:";
    return tag && strncmp((const char *)tag, prefix, sizeof(prefix) - 1) == 0 &&
           strcmp((const char *)tag + sizeof(prefix) - 1, name) == 0;
}

/* An explicit !!type: the value must be one. */
static bool apply_tag(struct reader *r, struct node *n, const yaml_char_t *tag)
{
    static const struct {
        const char *tag;
        enum node_type type;
    } known[] = {{"int", NODE_INT},
                 {"float", NODE_FLOAT},
                 {"bool", NODE_BOOL},
                 {"null", NODE_NULL},
                 {"timestamp", NODE_TIME}};
    n->type = NODE_STR;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (!tag_is(tag, known[i].tag))
            continue;
        scalar_resolve(n);
        if (known[i].type == NODE_FLOAT && n->type == NODE_INT) {
            n->type = NODE_FLOAT;
            n->d = n->big ? (double)n->u : (double)n->i;
        }
        if (n->type != known[i].type) {
            fail(r, n->at, NULL, "\"%s\" is not what its tag !!%s says", n->text, known[i].tag);
            return false;
        }
    }
    return true;
}

static const struct node *read_scalar(struct reader *r, const yaml_event_t *e)
{
    struct node *n = node_new(r->arena, NODE_STR, pos_of(r, e->start_mark));
    const char *s = (const char *)e->data.scalar.value;
    if (e->data.scalar.length > (1u << 20)) {
        fail(r, n->at, NULL, "a value of more than 1 MiB");
        return NULL;
    }
    if (strlen(s) != e->data.scalar.length) {
        fail(r, n->at, NULL, "a value holds a NUL character");
        return NULL;
    }
    n->text = arena_dup_n(r->arena, s, e->data.scalar.length);
    if (e->data.scalar.plain_implicit)
        scalar_resolve(n);
    else if (!e->data.scalar.quoted_implicit && e->data.scalar.tag &&
             !apply_tag(r, n, e->data.scalar.tag))
        return NULL;
    return n;
}

struct parts {
    union {
        const struct node **items;
        struct entry *entries;
    } v;
    size_t n, cap;
};

static void too_big(struct reader *r, struct pos at)
{
    fail(r, at, "aliases count as often as they are used",
         "the document is too large: more than %d values, %d levels or %d keys in a map",
         NODE_MAX_WEIGHT, NODE_MAX_DEPTH, NODE_MAX_KEYS);
}

static const struct node *read_seq(struct reader *r, struct pos at, unsigned depth)
{
    struct parts p = {0};
    const struct node *whole = NULL;
    yaml_event_t e;
    for (;;) {
        if (next_event(r, &e))
            goto out;
        if (e.type == YAML_SEQUENCE_END_EVENT) {
            yaml_event_delete(&e);
            break;
        }
        const struct node *item = read_node(r, &e, depth + 1);
        if (!item)
            goto out;
        if (p.n == p.cap) {
            p.cap = p.cap ? p.cap * 2 : 8;
            p.v.items = mem_grow(p.v.items, p.cap * sizeof(struct node *));
        }
        p.v.items[p.n++] = item;
    }
    whole = node_seq(r->arena, at, p.v.items, p.n);
    if (!whole)
        too_big(r, at);
out:
    free(p.v.items);
    return whole;
}

static struct entry *parts_find(const struct parts *p, const char *key)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->v.entries[i].key, key) == 0)
            return &p->v.entries[i];
    return NULL;
}

static void parts_add(struct parts *p, struct entry e)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 8;
        p->v.entries = mem_grow(p->v.entries, p->cap * sizeof(struct entry));
    }
    p->v.entries[p->n++] = e;
}

/* What `<<` brings in: it never replaces a key that is there. */
static int merge_in(struct reader *r, struct parts *p, const struct node *from, struct pos at)
{
    if (from->type == NODE_SEQ) {
        for (size_t i = 0; i < from->n; i++)
            if (from->items[i]->type == NODE_SEQ || merge_in(r, p, from->items[i], at))
                goto bad;
        return 0;
    }
    if (from->type != NODE_MAP)
        goto bad;
    for (size_t i = 0; i < from->n; i++)
        if (!parts_find(p, from->entries[i].key))
            parts_add(p, from->entries[i]);
    return 0;
bad:
    fail(r, at, NULL, "\"<<\" merges a map or a list of maps, not %s", node_type_name(from));
    return -1;
}

static const char *key_text(struct reader *r, const struct node *key)
{
    if (key->type == NODE_INT)
        return key->big ? arena_printf(r->arena, "%llu", (unsigned long long)key->u)
                        : arena_printf(r->arena, "%lld", (long long)key->i);
    if (key->text)
        return key->text;
    fail(r, key->at, NULL, "a key must be a plain word, not %s", node_type_name(key));
    return NULL;
}

/* One "key: value" into p, or into merges. 1 at the end of the map, -1 after an error. */
static int read_entry(struct reader *r, struct parts *p, struct parts *merges, unsigned depth)
{
    yaml_event_t e;
    if (next_event(r, &e))
        return -1;
    if (e.type == YAML_MAPPING_END_EVENT) {
        yaml_event_delete(&e);
        return 1;
    }
    bool merge = e.type == YAML_SCALAR_EVENT && e.data.scalar.plain_implicit &&
                 strcmp((const char *)e.data.scalar.value, "<<") == 0;
    struct pos at = pos_of(r, e.start_mark);
    const struct node *key = read_node(r, &e, depth + 1);
    const char *name = key ? key_text(r, key) : NULL;
    if (!name || next_event(r, &e))
        return -1;
    const struct node *value = read_node(r, &e, depth + 1);
    if (!value)
        return -1;
    if (p->n == NODE_MAX_KEYS) {
        too_big(r, at);
        return -1;
    }
    const struct entry *before = parts_find(merge ? merges : p, name);
    if (before) {
        fail(r, at, NULL, "the key \"%s\" is given twice, first in line %u", name, before->at.line);
        return -1;
    }
    parts_add(merge ? merges : p, (struct entry){name, at, value});
    return 0;
}

static const struct node *read_map(struct reader *r, struct pos at, unsigned depth)
{
    struct parts p = {0}, merges = {0};
    const struct node *whole = NULL;
    int rc;
    do
        rc = read_entry(r, &p, &merges, depth);
    while (rc == 0);
    if (rc == 1 && merges.n && merge_in(r, &p, merges.v.entries[0].value, merges.v.entries[0].at))
        rc = -1;
    if (rc == 1) {
        whole = node_map(r->arena, at, p.v.entries, p.n);
        if (!whole)
            too_big(r, at);
    }
    free(p.v.entries);
    free(merges.v.entries);
    return whole;
}

/* The node that begins with *e, which is used up. */
static const struct node *read_node(struct reader *r, yaml_event_t *e, unsigned depth)
{
    const struct node *n = NULL;
    struct pos at = pos_of(r, e->start_mark);
    size_t anchor = SIZE_MAX;
    if (depth > NODE_MAX_DEPTH) {
        too_big(r, at);
    } else if (e->type == YAML_ALIAS_EVENT) {
        n = alias_of(r, e);
    } else if (e->type == YAML_SCALAR_EVENT) {
        anchor = anchor_open(r, e->data.scalar.anchor);
        n = read_scalar(r, e);
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = anchor_open(r, e->data.sequence_start.anchor);
        n = read_seq(r, at, depth);
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = anchor_open(r, e->data.mapping_start.anchor);
        n = read_map(r, at, depth);
    }
    yaml_event_delete(e);
    if (anchor != SIZE_MAX)
        r->anchors[anchor].node = n;
    return n;
}

/* After the first document: is there another? */
static void look_for_second(struct reader *r)
{
    yaml_event_t e;
    if (!r->diags || next_event(r, &e)) /* DOCUMENT-END */
        return;
    yaml_event_delete(&e);
    if (!yaml_parser_parse(&r->parser, &e))
        return;
    if (e.type == YAML_DOCUMENT_START_EVENT)
        diag_warn(r->diags, pos_of(r, e.start_mark), "",
                  "give it to another --config to merge both",
                  "a second document begins here: it is ignored, as the Collector ignores it");
    yaml_event_delete(&e);
}

static const struct node *read_document(struct reader *r)
{
    yaml_event_t e;
    if (next_event(r, &e)) /* STREAM-START */
        return NULL;
    yaml_event_delete(&e);
    if (next_event(r, &e))
        return NULL;
    if (e.type == YAML_STREAM_END_EVENT) {
        struct node *empty = node_new(r->arena, NODE_NULL, pos_of(r, e.start_mark));
        empty->text = "";
        yaml_event_delete(&e);
        return empty;
    }
    yaml_event_delete(&e); /* DOCUMENT-START */
    if (next_event(r, &e))
        return NULL;
    const struct node *n = read_node(r, &e, 0);
    if (n)
        look_for_second(r);
    return n;
}

const struct node *yaml_parse(struct arena *a, const struct pos *place, bool fixed,
                              struct slice text, struct diags *d)
{
    struct reader r = {.arena = a, .diags = d, .place = *place, .fixed = fixed, .text = text};
    if (text.len > YAML_MAX_BYTES) {
        fail(&r, *place, NULL, "the text is larger than %u MiB", YAML_MAX_BYTES >> 20);
        return NULL;
    }
    if (!yaml_parser_initialize(&r.parser)) {
        fail(&r, *place, NULL, "out of memory");
        return NULL;
    }
    yaml_parser_set_input_string(&r.parser, text.p ? text.p : (const uint8_t *)"", text.len);
    const struct node *n = read_document(&r);
    yaml_parser_delete(&r.parser);
    free(r.anchors);
    return n;
}
