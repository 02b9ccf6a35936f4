/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the tree of a condition to what evaluates it. Functions are in call.c, paths in path.c.
 *
 * Everything is in the program's arena; regular expressions are freed one by one at its end.
 * Order: values, conditions, inference, programs. Threads: main, at start.
 */
#include <stdlib.h>
#include <strings.h>

#include "ottl/call.h"
#include "ottl/eval.h"
#include "ottl/path.h"
#include "ottl/program.h"
#include "platform/nearest.h"

#define MOST_KEYS 4096 /* of attributes, in one context of one program */

/* ---- values ---- */

struct node *expr_new(struct compiler *k, const struct ast *a, node_fn *eval)
{
    struct node *n = arena_alloc(k->program->arena, sizeof(*n));

    n->eval = eval;
    n->at = a->at;
    return n;
}

static struct node *constant(struct compiler *k, const struct ast *a, struct ottl_value v)
{
    struct node *n = expr_new(k, a, eval_constant);

    n->literal = true;
    n->value = v;
    return n;
}

static const struct {
    const char *name;
    int64_t value;
} enums[] = {
    {"SPAN_KIND_UNSPECIFIED", 0}, {"SPAN_KIND_INTERNAL", 1}, {"SPAN_KIND_SERVER", 2},
    {"SPAN_KIND_CLIENT", 3},      {"SPAN_KIND_PRODUCER", 4}, {"SPAN_KIND_CONSUMER", 5},
    {"STATUS_CODE_UNSET", 0},     {"STATUS_CODE_OK", 1},     {"STATUS_CODE_ERROR", 2},
};

static const char *enum_name(const void *ctx, size_t i)
{
    (void)ctx;
    return i < ARRAY_LEN(enums) ? enums[i].name : NULL;
}

static struct node *enumeration(struct compiler *k, const struct ast *a)
{
    char *name = arena_dup_n(k->program->arena, (const char *)a->text.p, a->text.len);
    const char *near;

    for (size_t i = 0; i < ARRAY_LEN(enums) && k->context >= OTTL_SPAN; i++)
        if (strcmp(enums[i].name, name) == 0)
            return constant(k, a, ottl_int(enums[i].value));
    near = k->context >= OTTL_SPAN ? nearest_name(name, enum_name, NULL) : NULL;
    err_at(k->err, k->text, a->at, "enum symbol, %s, not found%s", name,
           (near ? hint_near(near) : hint_of(a->text)).text);
    return NULL;
}

static struct node *with_operands(struct compiler *k, const struct ast *a, node_fn *eval)
{
    struct node *n = expr_new(k, a, eval);

    n->args = arena_alloc(k->program->arena, (a->n + 1) * sizeof(*n->args));
    for (const struct ast *kid = a->kids; kid; kid = kid->next) {
        struct node *arg = compile_value(k, kid);

        if (!arg)
            return NULL;
        n->args[n->n_args++] = arg;
    }
    return n;
}

static struct node *minus(struct compiler *k, const struct ast *a)
{
    struct node *n = with_operands(k, a, eval_minus);
    const struct ottl_value *v = n ? &n->args[0]->value : NULL;

    if (!n || n->args[0]->eval != eval_constant)
        return n;
    if (v->type == OTTL_INT)
        return constant(k, a, ottl_int(-v->i));
    return v->type == OTTL_DOUBLE ? constant(k, a, ottl_double(-v->d)) : n;
}

/* A list or map of literals is one itself. */
static struct node *container(struct node *n, enum ottl_type type)
{
    if (!n)
        return NULL;
    n->literal = true;
    n->value.type = type;
    for (size_t i = 0; i < n->n_args; i++)
        n->literal &= n->args[i]->literal;
    return n;
}

static struct node *math(struct compiler *k, const struct ast *a)
{
    struct node *n = with_operands(k, a, eval_math);

    if (n)
        n->op = a->op;
    return n;
}

/* Of a map's items with one name the last one counts. */
static void drop_repeated(struct node *n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n->n_args; i++) {
        bool again = false;

        for (size_t k = i + 1; k < n->n_args && !again; k++)
            again = slice_eq(n->names[i], n->names[k]);
        if (again)
            continue;
        n->args[kept] = n->args[i];
        n->names[kept++] = n->names[i];
    }
    n->n_args = kept;
}

static struct node *map(struct compiler *k, const struct ast *a)
{
    struct node *n = with_operands(k, a, eval_map);
    size_t i = 0;

    if (!n)
        return NULL;
    n->names = arena_alloc(k->program->arena, (a->n + 1) * sizeof(*n->names));
    for (const struct ast *kid = a->kids; kid; kid = kid->next)
        n->names[i++] = kid->name;
    drop_repeated(n);
    return container(n, OTTL_MAP);
}

struct node *compile_value(struct compiler *k, const struct ast *a)
{
    switch (a->kind) {
    case AST_NIL:
        return constant(k, a, ottl_nil());
    case AST_BOOL:
        return constant(k, a, ottl_bool(a->i != 0));
    case AST_INT:
        return constant(k, a, ottl_int(a->i));
    case AST_FLOAT:
        return constant(k, a, ottl_double(a->d));
    case AST_STRING:
        return constant(k, a, ottl_str(a->text));
    case AST_BYTES:
        return constant(k, a, ottl_of(OTTL_BYTES, a->text));
    case AST_ENUM:
        return enumeration(k, a);
    case AST_PATH:
        return compile_path(k, a);
    case AST_CALL:
        return compile_call(k, a);
    case AST_MATH:
        return math(k, a);
    case AST_MINUS:
        return minus(k, a);
    case AST_LIST:
        return container(with_operands(k, a, eval_list), OTTL_ITEMS);
    case AST_MAP:
        return map(k, a);
    default:
        err_at(k->err, k->text, a->at, "a function's name is no value%s",
               *hint_of(a->text).text ? hint_of(a->text).text : ": write it with its arguments");
        return NULL;
    }
}

static struct node *word_as_key(struct compiler *k, const struct ast *key)
{
    err_at(k->err, k->text, key->at, "\"%.*s\" is no path: a key is in quotes, [\"%.*s\"]",
           (int)key->kids->text.len, key->kids->text.p, (int)key->kids->text.len,
           key->kids->text.p);
    return NULL;
}

int compile_keys(struct compiler *k, struct node *n, const struct ast *first)
{
    size_t count = 0;

    for (const struct ast *key = first; key; key = key->next)
        count++;
    n->keys = arena_alloc(k->program->arena, (count + 1) * sizeof(*n->keys));
    for (const struct ast *key = first; key; key = key->next) {
        struct node *one = path_is_word(k, key) ? word_as_key(k, key) : compile_value(k, key);

        if (!one)
            return -1;
        n->keys[n->n_keys++] = one;
    }
    return 0;
}

struct regex *compile_regex(struct compiler *k, struct slice pattern, struct err *err)
{
    struct ottl_program *p = k->program;
    struct regex *re = regex_new(arena_dup_n(p->arena, (const char *)pattern.p, pattern.len), err);

    if (!re)
        return NULL;
    if (p->n_regexes == p->cap_regexes) {
        p->cap_regexes = p->cap_regexes ? 2 * p->cap_regexes : 4;
        p->regexes = mem_grow(p->regexes, p->cap_regexes * sizeof(struct regex *));
    }
    p->regexes[p->n_regexes++] = re;
    return re;
}

int program_key(struct ottl_program *p, enum ottl_context c, struct slice key)
{
    struct key_list *l = &p->key_lists[c];

    for (size_t i = 0; i < l->n; i++)
        if (slice_eq(slice_str(l->v[i]), key))
            return (int)i;
    if (l->n == MOST_KEYS)
        return -1;
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 8;
        l->v = mem_grow(l->v, l->cap * sizeof(*l->v));
    }
    l->v[l->n] = arena_dup_n(p->arena, (const char *)key.p, key.len);
    return (int)l->n++;
}

/* ---- conditions ---- */

static struct cond *cond_new(struct compiler *k, enum cond_kind kind)
{
    struct cond *c = arena_alloc(k->program->arena, sizeof(*c));

    c->kind = kind;
    return c;
}

static struct cond *cond_const(struct compiler *k, bool value)
{
    struct cond *c = cond_new(k, COND_CONST);

    c->value = value;
    return c;
}

static struct cond *negation(struct compiler *k, const struct ast *a)
{
    struct cond *c = cond_new(k, COND_NOT);
    const struct cond *inner = compile_condition(k, a->kids);

    if (!inner)
        return NULL;
    if (inner->kind == COND_CONST)
        return cond_const(k, !inner->value);
    c->kids = arena_alloc(k->program->arena, sizeof(*c->kids));
    c->kids[c->n_kids++] = inner;
    return c;
}

/* What is known at start is decided there, as in the Collector: of "x or true" x is never asked, so
 * it cannot fail either. */
static struct cond *with_kids(struct compiler *k, const struct ast *a, enum cond_kind kind)
{
    struct cond *c = cond_new(k, kind);
    bool decisive = kind == COND_OR, decided = false;

    c->kids = arena_alloc(k->program->arena, a->n * sizeof(*c->kids));
    for (const struct ast *kid = a->kids; kid; kid = kid->next) {
        const struct cond *one = compile_condition(k, kid);

        if (!one)
            return NULL;
        if (one->kind != COND_CONST)
            c->kids[c->n_kids++] = one;
        else
            decided |= one->value == decisive;
    }
    return decided || c->n_kids == 0 ? cond_const(k, decided ? decisive : !decisive) : c;
}

static bool is_number_type(enum ottl_type t)
{
    return t == OTTL_INT || t == OTTL_DOUBLE;
}

/* OTTL_ABSENT: only known when it is evaluated. */
static enum ottl_type static_type(const struct node *n)
{
    enum ottl_type a, b;

    if (n->eval == eval_constant)
        return n->value.type;
    if (n->eval != eval_math)
        return path_type(n);
    a = static_type(n->args[0]);
    b = static_type(n->args[1]);
    if (a == OTTL_TIME && b == OTTL_TIME)
        return OTTL_DURATION;
    return is_number_type(a) && is_number_type(b) ? OTTL_DOUBLE : OTTL_ABSENT;
}

static const char *advice(enum ottl_type a, enum ottl_type b)
{
    if ((a == OTTL_TRACE_ID || a == OTTL_SPAN_ID) && b == OTTL_STR)
        return ": its .string is text";
    if (a == OTTL_DURATION && is_number_type(b))
        return ": write Duration(\"1s\")";
    return "";
}

/* A comparison that cannot be meant: values of types that are never equal. The Collector takes it.
 */
static void note_types(struct compiler *k, const struct ast *at, const struct cond *c)
{
    struct ottl_value a = {.type = static_type(c->left)}, b = {.type = static_type(c->right)};
    struct err note;

    if (a.type == OTTL_ABSENT || b.type == OTTL_ABSENT || a.type == b.type ||
        (is_number_type(a.type) && is_number_type(b.type)))
        return;
    err_at(&note, k->text, at->at, "this %s: %s is compared with %s%s",
           c->op == OP_NE ? "always holds" : "never holds", ottl_type_name(&a), ottl_type_name(&b),
           advice(a.type, b.type));
    k->program->note = arena_dup_n(k->program->arena, note.text, strlen(note.text));
}

static struct cond *comparison(struct compiler *k, const struct ast *a)
{
    struct cond *c = cond_new(k, COND_COMPARE);

    c->op = a->compare;
    c->left = compile_value(k, a->kids);
    c->right = c->left ? compile_value(k, a->kids->next) : NULL;
    if (c->right && c->left->literal && c->right->literal)
        return cond_const(k, cond_of_literals(k->program, c));
    if (c->right)
        note_types(k, a->kids, c);
    return c->right ? c : NULL;
}

struct cond *compile_condition(struct compiler *k, const struct ast *a)
{
    struct cond *c;

    switch (a->kind) {
    case AST_AND:
        return with_kids(k, a, COND_AND);
    case AST_OR:
        return with_kids(k, a, COND_OR);
    case AST_NOT:
        return negation(k, a);
    case AST_COMPARE:
        return comparison(k, a);
    case AST_BOOL:
        return cond_const(k, a->i != 0);
    default:
        c = cond_new(k, COND_CALL);
        c->left = compile_value(k, a);
        return c->left ? c : NULL;
    }
}

/* ---- inference ---- */

struct wanted {
    enum ottl_context context;
    bool any;
    bool alias; /* instrumentation_scope., which inference does not take */
};

static void look(const struct ast *a, struct wanted *w)
{
    enum ottl_context c = OTTL_RESOURCE;

    if (a->kind == AST_PATH && path_prefix(a, &c)) {
        w->any = true;
        w->context = c > w->context ? c : w->context;
        w->alias |= a->kids->text.len > 5 && a->kids->text.p[0] == 'i';
    }
    if ((a->kind == AST_CALL && call_needs_span(a->text)) || a->kind == AST_ENUM)
        w->context = w->context > OTTL_SPAN ? w->context : OTTL_SPAN;
    for (const struct ast *kid = a->kids; kid; kid = kid->next)
        look(kid, w);
    for (const struct ast *key = a->keys; key; key = key->next)
        look(key, w);
}

static int look_at_text(struct arena *arena, const char *text, bool statement, struct wanted *w,
                        struct err *err)
{
    struct ast *where = NULL;
    const struct ast *a = statement ? parse_statement(arena, slice_str(text), &where, err)
                                    : parse_condition(arena, slice_str(text), err);

    if (!a)
        return -1;
    look(a, w);
    if (where)
        look(where, w);
    return 0;
}

int ottl_infer_statements(const char *const *statements, size_t n, const char *const *conditions,
                          size_t n_conditions, enum ottl_context *context, struct err *err)
{
    struct arena *arena = arena_new();
    struct wanted w = {0};
    int rc = 0;

    for (size_t i = 0; i < n && rc == 0; i++)
        rc = look_at_text(arena, statements[i], true, &w, err);
    for (size_t i = 0; i < n_conditions && rc == 0; i++)
        rc = look_at_text(arena, conditions[i], false, &w, err);
    arena_free(&arena);
    if (rc)
        return -1;
    if (!w.any)
        return err_set(err, "unable to infer context: write paths with their context: span.name, "
                            "resource.attributes[\"k\"]");
    if (w.alias && w.context == OTTL_SCOPE)
        return err_set(err,
                       "the context \"instrumentation_scope\" cannot be inferred: write \"scope\"");
    *context = w.context;
    return 0;
}

int ottl_infer(const char *const *texts, size_t n, enum ottl_context *context, struct err *err)
{
    return ottl_infer_statements(NULL, 0, texts, n, context, err);
}

int ottl_context_of(const char *name)
{
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        if (strcasecmp(name, context_name(c)) == 0)
            return (int)c;
    return -1;
}

/* ---- programs ---- */

struct ottl_program *ottl_program_new(void)
{
    struct ottl_program *p = mem_alloc(sizeof(*p));

    p->arena = arena_new();
    return p;
}

void ottl_program_free(struct ottl_program **program)
{
    struct ottl_program *p = *program;

    if (!p)
        return;
    for (size_t i = 0; i < p->n_regexes; i++)
        regex_free(&p->regexes[i]);
    free(p->regexes);
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++) {
        keyset_free(&p->keys[c]);
        free(p->key_lists[c].v);
    }
    free(p->conditions);
    free(p->statements);
    arena_free(&p->arena);
    free(p);
    *program = NULL;
}

int ottl_program_add(struct ottl_program *p, const char *text, enum ottl_context context,
                     bool every_prefix, struct err *err)
{
    char *copy = arena_dup_n(p->arena, text, strlen(text));
    struct compiler k = {p, slice_str(copy), context, every_prefix, err, 0, 0};
    const struct ast *a = parse_condition(p->arena, k.text, err);
    const struct cond *root;

    CHECK(!p->keys[OTTL_SPAN]); /* not sealed */
    p->note = NULL;
    root = a ? compile_condition(&k, a) : NULL;
    if (!root)
        return -1;
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 8;
        p->conditions = mem_grow(p->conditions, p->cap * sizeof(*p->conditions));
    }
    p->conditions[p->n] = (struct ottl_condition){root, copy, context, k.reads};
    return (int)p->n++;
}

const char *ottl_program_note(const struct ottl_program *p)
{
    return p->note;
}

void ottl_program_seal(struct ottl_program *p)
{
    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        p->keys[c] = keyset_new(p->key_lists[c].v, p->key_lists[c].n);
}

bool ottl_condition_reads(const struct ottl_program *p, unsigned condition,
                          enum ottl_context context)
{
    CHECK(condition < p->n);
    return p->conditions[condition].reads >> context & 1;
}

unsigned ottl_program_conditions(const struct ottl_program *p)
{
    return p->n;
}

const char *ottl_condition_text(const struct ottl_program *p, unsigned condition)
{
    CHECK(condition < p->n);
    return p->conditions[condition].text;
}

int ottl_check(const char *text, enum ottl_context context, bool every_prefix, struct err *err)
{
    struct ottl_program *p = ottl_program_new();
    int rc = ottl_program_add(p, text, context, every_prefix, err);

    ottl_program_free(&p);
    return rc < 0 ? -1 : 0;
}
