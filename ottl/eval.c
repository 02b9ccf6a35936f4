/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Evaluation: conditions, sums, lists and maps, and indexing. See ottl.h for use.
 *
 * Recursion is as deep as the text is nested, which the parser bounds. Strings and containers that
 * are made live in the eval's scratch until the next condition.
 * Order: life and errors, conditions, sums, containers, indexing. Threads: one worker an eval.
 */
#include "ottl/eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "model/utf8.h"
#include "ottl/call.h"

const char *const ottl_error_mode_names[] = {"ignore", "silent", "propagate", NULL};

int ottl_error_mode_of(const char *name)
{
    for (int i = 0; ottl_error_mode_names[i]; i++)
        if (strcasecmp(name, ottl_error_mode_names[i]) == 0)
            return i;
    return -1;
}

#define SCRATCH_KEPT_BYTES 4096
#define NS_PER_S           1000000000

/* ---- life and errors ---- */

static struct ottl_eval *eval_new(const struct ottl_program *p)
{
    struct ottl_eval *e = mem_alloc(sizeof(*e));

    e->program = p;
    e->text.max = OTTL_SCRATCH_BYTES;
    scratch_init(&e->scratch, SCRATCH_KEPT_BYTES, OTTL_SCRATCH_BYTES);
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        e->views[c].found = mem_alloc_array(p->key_lists[c].n + 1, sizeof(struct slice));
    return e;
}

struct ottl_eval *ottl_eval_new(const struct ottl_program *p)
{
    CHECK(p->keys[OTTL_SPAN]); /* sealed */
    return eval_new(p);
}

void ottl_eval_free(struct ottl_eval **eval)
{
    struct ottl_eval *e = *eval;

    if (!e)
        return;
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        free(e->views[c].found);
    edits_free(&e->edits);
    scratch_free(&e->scratch);
    buf_free(&e->text);
    free(e);
    *eval = NULL;
}

static void view_set(struct ottl_eval *e, enum ottl_context c, struct slice message)
{
    e->views[c].message = message;
    e->views[c].scanned = false;
    e->views[c].draft = NULL;
    e->views[c].map = NULL;
    e->views[c].loaded = false;
}

void ottl_set_resource(struct ottl_eval *e, struct slice resource_body, struct slice schema_url)
{
    view_set(e, OTTL_RESOURCE, resource_body);
    e->schema_url[0] = schema_url;
    edits_forget_schema(e, OTTL_RESOURCE);
}

void ottl_set_scope(struct ottl_eval *e, struct slice scope_body, struct slice schema_url)
{
    view_set(e, OTTL_SCOPE, scope_body);
    e->schema_url[1] = schema_url;
    edits_forget_schema(e, OTTL_SCOPE);
}

void ottl_set_span(struct ottl_eval *e, const struct span *s)
{
    view_set(e, OTTL_SPAN, span_body(s));
    e->fields.known = false;
    e->span = s;
}

void ottl_set_event(struct ottl_eval *e, struct slice event_body)
{
    view_set(e, OTTL_SPANEVENT, event_body);
}

void ottl_set_request(struct ottl_eval *e, const struct request_info *info)
{
    e->request = info;
}

bool ottl_fail(struct ottl_eval *e, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(e->error, sizeof(e->error), fmt, ap);
    va_end(ap);
    return false;
}

const char *ottl_error(const struct ottl_eval *e)
{
    return e->error;
}

bool ottl_too_long(struct ottl_eval *e)
{
    return ottl_fail(e, "the result is larger than %d bytes", OTTL_SCRATCH_BYTES);
}

void *ottl_room(struct ottl_eval *e, size_t n)
{
    void *p = scratch_room(&e->scratch, n ? n : 1);

    if (!p)
        (void)ottl_too_long(e);
    return p;
}

struct buf *ottl_text(struct ottl_eval *e)
{
    buf_clear(&e->text);
    return &e->text;
}

bool ottl_keep_text(struct ottl_eval *e, enum ottl_type type, struct ottl_value *out)
{
    uint8_t *p = ottl_room(e, e->text.len);

    if (!p)
        return false;
    if (e->text.len)
        memcpy(p, e->text.p, e->text.len);
    *out = ottl_of(type, slice_of(p, e->text.len));
    if (type != OTTL_MAP && type != OTTL_LIST)
        return true;
    if (type == OTTL_MAP)
        out->aux = OTTL_MAP_FIELD;
    return ottl_clean(e, type, &out->s);
}

/* ---- conditions ---- */

static enum ottl_verdict call(struct ottl_eval *e, const struct cond *c)
{
    struct ottl_value v;

    if (!node_eval(e, c->left, &v))
        return OTTL_ERROR;
    if (v.type == OTTL_BOOL)
        return v.i ? OTTL_TRUE : OTTL_FALSE;
    ottl_fail(e, "value returned by the converter must be a boolean but is %s", ottl_type_name(&v));
    return OTTL_ERROR;
}

static enum ottl_verdict comparison(struct ottl_eval *e, const struct cond *c)
{
    struct ottl_value a, b;

    if (!node_eval(e, c->left, &a) || !node_eval(e, c->right, &b))
        return OTTL_ERROR;
    return ottl_compare(&a, &b, c->op) ? OTTL_TRUE : OTTL_FALSE;
}

/* The first kid that says `decisive` or fails decides. */
static enum ottl_verdict chain(struct ottl_eval *e, const struct cond *c,
                               enum ottl_verdict decisive)
{
    for (size_t i = 0; i < c->n_kids; i++) {
        enum ottl_verdict v = cond_eval(e, c->kids[i]);

        if (v == decisive || v == OTTL_ERROR)
            return v;
    }
    return decisive == OTTL_TRUE ? OTTL_FALSE : OTTL_TRUE;
}

enum ottl_verdict cond_eval(struct ottl_eval *e, const struct cond *c)
{
    enum ottl_verdict v;

    switch (c->kind) {
    case COND_COMPARE:
        return comparison(e, c);
    case COND_CALL:
        return call(e, c);
    case COND_AND:
        return chain(e, c, OTTL_FALSE);
    case COND_OR:
        return chain(e, c, OTTL_TRUE);
    case COND_NOT:
        v = cond_eval(e, c->kids[0]);
        return v == OTTL_ERROR ? v : v == OTTL_TRUE ? OTTL_FALSE : OTTL_TRUE;
    case COND_CONST:
        break;
    }
    return c->value ? OTTL_TRUE : OTTL_FALSE;
}

bool cond_of_literals(const struct ottl_program *p, const struct cond *c)
{
    struct ottl_eval *e = eval_new(p);
    enum ottl_verdict v = comparison(e, c);

    ottl_eval_free(&e);
    return v == OTTL_TRUE; /* literals are as long as their text: nothing fails */
}

enum ottl_verdict ottl_condition(struct ottl_eval *e, unsigned condition)
{
    CHECK(condition < e->program->n);
    scratch_reset(&e->scratch);
    return cond_eval(e, e->program->conditions[condition].root);
}

/* ---- sums ---- */

bool eval_constant(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    (void)e;
    *out = n->value;
    return true;
}

bool eval_minus(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    if (!node_eval(e, n->args[0], out))
        return false;
    if (out->type == OTTL_INT)
        out->i = (int64_t)(0 - (uint64_t)out->i);
    else if (out->type == OTTL_DOUBLE)
        out->d = -out->d;
    else
        return ottl_fail(e, "unsupported type for unary operations: %s", ottl_type_name(out));
    return true;
}

static bool ints(struct ottl_eval *e, char op, int64_t a, int64_t b, struct ottl_value *out)
{
    uint64_t x = (uint64_t)a, y = (uint64_t)b;

    if (op == '/' && b == 0)
        return ottl_fail(e, "attempted to divide by 0");
    if (op == '/')
        *out = ottl_int(b == -1 ? (int64_t)(0 - x) : a / b);
    else
        *out = ottl_int((int64_t)(op == '+' ? x + y : op == '-' ? x - y : x * y));
    return true;
}

static bool doubles(struct ottl_eval *e, char op, double a, double b, struct ottl_value *out)
{
    if (op == '/' && b == 0)
        return ottl_fail(e, "attempted to divide by 0");
    *out = ottl_double(op == '+' ? a + b : op == '-' ? a - b : op == '*' ? a * b : a / b);
    return true;
}

static struct ottl_value shifted(const struct ottl_value *time, int64_t ns)
{
    struct ottl_value v = *time;
    int64_t rest = (int64_t)time->aux + ns % NS_PER_S;

    v.at.s += ns / NS_PER_S;
    if (rest < 0 || rest >= NS_PER_S) {
        v.at.s += rest < 0 ? -1 : 1;
        rest += rest < 0 ? NS_PER_S : -NS_PER_S;
    }
    v.aux = (uint32_t)rest;
    return v;
}

/* Saturates, as Go's time.Sub does. */
static int64_t between(const struct ottl_value *a, const struct ottl_value *b)
{
    __int128 ns = (__int128)(a->at.s - b->at.s) * NS_PER_S + (int64_t)a->aux - (int64_t)b->aux;

    return ns > INT64_MAX ? INT64_MAX : ns < INT64_MIN ? INT64_MIN : (int64_t)ns;
}

static bool times(struct ottl_eval *e, char op, const struct ottl_value *a,
                  const struct ottl_value *b, struct ottl_value *out)
{
    if (op != '+' && op != '-')
        return ottl_fail(e, "only addition and subtraction supported for %s and %s",
                         ottl_type_name(a), ottl_type_name(b));
    if (a->type == OTTL_DURATION && b->type == OTTL_DURATION) {
        uint64_t x = (uint64_t)a->i, y = (uint64_t)b->i;

        *out =
            (struct ottl_value){.type = OTTL_DURATION, .i = (int64_t)(op == '+' ? x + y : x - y)};
    } else if (a->type == OTTL_TIME && b->type == OTTL_DURATION) {
        *out = shifted(a, op == '+' ? b->i : (int64_t)(0 - (uint64_t)b->i));
    } else if (a->type == OTTL_DURATION && b->type == OTTL_TIME && op == '+') {
        *out = shifted(b, a->i);
    } else if (a->type == OTTL_TIME && b->type == OTTL_TIME && op == '-') {
        *out = (struct ottl_value){.type = OTTL_DURATION, .i = between(a, b)};
    } else {
        return ottl_fail(e, "%c of %s and %s is not supported", op, ottl_type_name(a),
                         ottl_type_name(b));
    }
    return true;
}

static bool is_time(const struct ottl_value *v)
{
    return v->type == OTTL_TIME || v->type == OTTL_DURATION;
}

static bool is_number(const struct ottl_value *v)
{
    return v->type == OTTL_INT || v->type == OTTL_DOUBLE;
}

bool eval_math(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct ottl_value a, b;

    if (!node_eval(e, n->args[0], &a) || !node_eval(e, n->args[1], &b))
        return false;
    if (a.type == OTTL_INT && b.type == OTTL_INT)
        return ints(e, n->op, a.i, b.i, out);
    if (is_number(&a) && is_number(&b))
        return doubles(e, n->op, a.type == OTTL_INT ? (double)a.i : a.d,
                       b.type == OTTL_INT ? (double)b.i : b.d, out);
    if (is_time(&a) && is_time(&b))
        return times(e, n->op, &a, &b, out);
    return ottl_fail(e, "%s must be int64, float64, time.Time or time.Duration",
                     ottl_type_name(is_number(&a) || is_time(&a) ? &b : &a));
}

/* ---- containers ---- */

bool eval_list(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct ottl_value *v = ottl_room(e, n->n_args * sizeof(*v));

    if (!v)
        return false;
    for (size_t i = 0; i < n->n_args; i++)
        if (!node_eval(e, n->args[i], &v[i]))
            return false;
    *out = (struct ottl_value){.type = OTTL_ITEMS, .items = {v, n->n_args}};
    return true;
}

static int put_any_value(struct buf *out, const struct ottl_value *v);

/* A list as the body of an ArrayValue. */
static int put_items(struct buf *out, const struct ottl_value *list)
{
    struct ottl_list_iter it = ottl_list_iter(list);
    struct ottl_value v;

    while (ottl_list_next(&it, &v)) {
        struct buf one = {.max = OTTL_SCRATCH_BYTES};
        int rc = put_any_value(&one, &v);

        if (rc == 0)
            rc = wire_put_bytes(out, 1, slice_of(one.p, one.len));
        buf_free(&one);
        if (rc)
            return rc;
    }
    return 0;
}

/* An AnyValue body. -1: too large; -2: no attribute can hold it. */
static int put_any_value(struct buf *out, const struct ottl_value *v)
{
    struct buf items = {.max = OTTL_SCRATCH_BYTES};
    struct any a;
    int rc;

    if (v->type != OTTL_ITEMS)
        return ottl_to_any(v, &a) ? any_put(out, &a) : -2;
    rc = put_items(&items, v);
    a = (struct any){.type = ANY_ARRAY, .bytes = slice_of(items.p, items.len)};
    if (rc == 0)
        rc = any_put(out, &a);
    buf_free(&items);
    return rc;
}

/* What functions cut may be no UTF-8 any more; what goes into spans must be. */
static bool clean(struct ottl_eval *e, struct slice *s)
{
    uint8_t *p;
    size_t len;

    if (LIKELY(utf8_valid(s->p, s->len)))
        return true;
    len = utf8_repair(NULL, s->p, s->len);
    p = ottl_room(e, len);
    if (!p)
        return false;
    utf8_repair(p, s->p, s->len);
    *s = slice_of(p, len);
    return true;
}

static bool fit_item(struct ottl_eval *e, const struct ottl_value *item, struct ottl_value *v,
                     const struct ottl_value **unfit)
{
    struct any a;

    *v = *item;
    if (v->type == OTTL_STR)
        return clean(e, &v->s);
    if (v->type == OTTL_ITEMS)
        return eval_fit_items(e, v, unfit);
    if (v->type == OTTL_MAP)
        return map_plain(e, v);
    if (!ottl_to_any(v, &a)) {
        *unfit = item;
        *v = ottl_nil();
    }
    return true;
}

bool eval_fit_items(struct ottl_eval *e, struct ottl_value *list, const struct ottl_value **unfit)
{
    struct ottl_value *v = ottl_room(e, list->items.n * sizeof(*v));

    if (!v)
        return false;
    for (size_t i = 0; i < list->items.n; i++)
        if (!fit_item(e, &list->items.v[i], &v[i], unfit))
            return false;
    list->items.v = v;
    return true;
}

bool eval_to_any(struct ottl_eval *e, const struct ottl_value *v, struct any *out)
{
    struct ottl_value list;

    if (v->type != OTTL_ITEMS)
        return ottl_to_any(v, out) ||
               ottl_fail(e, "an attribute cannot hold %s", ottl_type_name(v));
    switch (put_items(ottl_text(e), v)) {
    case 0:
        if (!ottl_keep_text(e, OTTL_LIST, &list))
            return false;
        *out = (struct any){.type = ANY_ARRAY, .bytes = list.s};
        return true;
    case -1:
        return ottl_too_long(e);
    default:
        return ottl_fail(e, "an attribute cannot hold what is in the list");
    }
}

/* Lists of attributes and what Split makes are no values of a map in braces, as in the Collector;
 * maps are in a list there, but not deeper. */
static bool fit_entry(struct ottl_eval *e, struct ottl_value *v)
{
    const struct ottl_value item = *v, *unfit = NULL;

    if (v->type == OTTL_LIST || (v->type == OTTL_ITEMS && v->aux))
        unfit = v;
    for (size_t i = 0; v->type == OTTL_ITEMS && !unfit && i < v->items.n; i++)
        if (v->items.v[i].type != OTTL_MAP)
            unfit = ottl_not_plain(&v->items.v[i]);
    if (unfit)
        return ottl_fail(e, "<Invalid value type %s>", ottl_type_name(unfit));
    if (!fit_item(e, &item, v, &unfit))
        return false;
    return !unfit || ottl_fail(e, "<Invalid value type %s>", ottl_type_name(unfit));
}

bool eval_map(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct buf b = {.max = OTTL_SCRATCH_BYTES};
    bool fine = true;

    for (size_t i = 0; i < n->n_args && fine; i++) {
        struct ottl_value v;
        struct any a;

        fine = node_eval(e, n->args[i], &v);
        fine = fine && fit_entry(e, &v) && eval_to_any(e, &v, &a);
        if (fine && attr_put(&b, OTTL_MAP_FIELD, n->names[i], &a))
            fine = ottl_too_long(e);
    }
    if (fine) {
        fine =
            buf_add(ottl_text(e), b.p, b.len) ? ottl_too_long(e) : ottl_keep_text(e, OTTL_MAP, out);
    }
    buf_free(&b);
    return fine;
}

/* ---- indexing ---- */

static bool list_at(struct ottl_eval *e, struct ottl_value *v, int64_t i)
{
    struct ottl_value list = *v;
    struct ottl_list_iter it = ottl_list_iter(&list);

    for (int64_t k = 0; i >= 0 && ottl_list_next(&it, v); k++)
        if (k == i)
            return true;
    return ottl_fail(e, "index %lld out of bounds: the list has %zu values", (long long)i,
                     ottl_list_len(&list));
}

enum step { STEP_OK, STEP_MISSING, STEP_FAILED };

static enum step step(struct ottl_eval *e, const struct node *key, struct ottl_value *v)
{
    struct ottl_value k, map = *v;

    if (!node_eval(e, key, &k))
        return STEP_FAILED;
    if (k.type == OTTL_STR && v->type == OTTL_MAP)
        return ottl_map_get(&map, k.s, v) ? STEP_OK : STEP_MISSING;
    if (k.type == OTTL_INT && ottl_is_list(v))
        return list_at(e, v, k.i) ? STEP_OK : STEP_FAILED;
    if (k.type == OTTL_STR || k.type == OTTL_INT)
        ottl_fail(e, "type %s does not support %s indexing", ottl_type_name(v),
                  k.type == OTTL_STR ? "string" : "int");
    else
        ottl_fail(e, "a key must be a string or an int, not %s", ottl_type_name(&k));
    return STEP_FAILED;
}

bool index_path(struct ottl_eval *e, const struct node *n, size_t first, struct ottl_value *v)
{
    for (size_t i = first; i < n->n_keys; i++)
        switch (step(e, n->keys[i], v)) {
        case STEP_OK:
            break;
        case STEP_MISSING:
            *v = ottl_nil();
            return true;
        case STEP_FAILED:
            return false;
        }
    return true;
}

bool index_result(struct ottl_eval *e, const struct node *n, struct ottl_value *v)
{
    for (size_t i = 0; i < n->n_keys; i++)
        switch (step(e, n->keys[i], v)) {
        case STEP_OK:
            break;
        case STEP_MISSING:
            return ottl_fail(e, "key not found in map");
        case STEP_FAILED:
            return false;
        }
    return true;
}
