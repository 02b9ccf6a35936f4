/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of actions: key rows, rules between keys (with the Collector's texts), compilation. */
#include "processors/attributes_compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "platform/mem.h"

#define S struct action_settings
const struct key action_keys[] = {
    KEY_STR(S, key, "", "The attribute to act on."),
    KEY_STR(S, action, "",
            "insert (only if absent), update (only if present), upsert, delete, hash (SHA-256 in hex), "
            "extract or convert; in any case."),
    KEY_VALUE(S, value, "insert, update, upsert: the value, of any type."),
    KEY_VALUE(S, default_value, "insert, update, upsert: the value when the other source has none."),
    KEY_STR(S, from_attribute, "", "insert, update, upsert: the value is copied from this attribute."),
    KEY_STR(S, from_context, "",
            "insert, update, upsert: the value is the request's: client.address, or metadata.NAME for a "
            "request header (the receiver needs include_metadata), or auth.NAME for what the receiver's "
            "authenticator knows (basicauth: username)."),
    KEY_STR(S, pattern, "",
            "delete, hash: every attribute whose key this regular expression finds. extract: the expression "
            "whose named groups, found in the value, become attributes."),
    KEY_STR(S, converted_type, "", "convert: int, double or string."),
    KEY_END,
};
#undef S

enum action_kind action_kind_of(const char *name)
{
    static const char *const names[] = {"insert", "update", "upsert", "delete", "hash", "extract", "convert"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcasecmp(name, names[i]) == 0)
            return (enum action_kind)i;
    return ACTION_UNKNOWN;
}

bool value_given(const struct value *v)
{
    return v->type != VALUE_NONE && v->type != VALUE_NULL;
}

/* ---- rules ---- */

struct look {
    struct check *c;
    const char *list_key;
    size_t i;
    const struct action_settings *a;
    enum action_kind kind;
};

/* An error at list[i].key, with the Collector's prefix. */
static void bad(const struct look *l, const char *key, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s[%zu].%s", l->list_key, l->i, key);
    check_error(l->c, path, "error with key \"%s\" (%zu-th action): error creating AttrProc%s", l->a->key, l->i, text);
}

static void bad_use(const struct look *l, const char *key, const char *what)
{
    char text[256];

    snprintf(text, sizeof(text), ". Action \"%s\" does not use %s", l->a->action, what);
    bad(l, key, text);
}

static size_t sources(const struct action_settings *a)
{
    return value_given(&a->value) + (size_t)(a->from_attribute[0] != 0) + (size_t)(a->from_context[0] != 0);
}

/* The key to point at for a value source that should not be there. */
static const char *source_key(const struct action_settings *a)
{
    return value_given(&a->value) ? "value" : a->from_attribute[0] ? "from_attribute" : "from_context";
}

static bool all_named(const struct regex *r)
{
    for (size_t i = 1; i <= regex_groups(r); i++)
        if (!regex_group_name(r, i))
            return false;
    return true;
}

static void check_groups(const struct look *l, const struct regex *r)
{
    if (regex_groups(r) == 0)
        bad(l, "pattern", ". Field \"pattern\" contains no named matcher groups");
    else if (!all_named(r))
        bad(l, "pattern", ". Field \"pattern\" contains at least one unnamed matcher group");
}

static void check_pattern(const struct look *l)
{
    struct err err = {""};
    struct regex *r;
    char text[512];

    if (!l->a->pattern[0])
        return;
    r = regex_new(l->a->pattern, &err);
    if (!r) {
        snprintf(text, sizeof(text), ". Field \"pattern\" has invalid pattern: \"%.200s\": %.200s", l->a->pattern,
                 err.text);
        bad(l, "pattern", text);
    } else if (l->kind == ACTION_EXTRACT) {
        check_groups(l, r);
    }
    regex_free(&r);
}

static void check_put(const struct look *l)
{
    const struct action_settings *a = l->a;
    size_t n = sources(a);

    if (n == 0 && !value_given(&a->default_value))
        bad(l, "value",
            ". Either field \"value\", \"from_attribute\", \"from_context\", or \"default_value\" must be specified");
    if (n > 1)
        bad(l, source_key(a), " due to multiple value sources being set");
    if (a->pattern[0])
        bad_use(l, "pattern", "the \"pattern\" field. This must not be specified");
    if (a->converted_type[0])
        bad_use(l, "converted_type", "the \"converted_type\" field. This must not be specified");
}

static void check_pick(const struct look *l)
{
    const struct action_settings *a = l->a;

    if (value_given(&a->value) || a->from_attribute[0])
        bad_use(l, source_key(a), "\"value\" or \"from_attribute\" field. These must not be specified");
    if (a->converted_type[0])
        bad_use(l, "converted_type", "the \"converted_type\" field. This must not be specified");
    check_pattern(l);
}

static void check_extract(const struct look *l)
{
    const struct action_settings *a = l->a;

    if (sources(a))
        bad_use(l, source_key(a), "a value source field. These must not be specified");
    if (a->converted_type[0])
        bad_use(l, "converted_type", "the \"converted_type\" field. This must not be specified");
    if (!a->pattern[0])
        bad(l, "action", " due to missing required field \"pattern\" for action \"extract\"");
    check_pattern(l);
}

static void check_convert(const struct look *l)
{
    const struct action_settings *a = l->a;
    enum convert_to to;
    char text[256];

    if (sources(a) || a->pattern[0])
        bad_use(l, sources(a) ? source_key(a) : "pattern",
                "value sources or \"pattern\" field. These must not be specified");
    if (!a->converted_type[0]) {
        bad(l, "action", " due to missing required field \"converted_type\" for action \"convert\"");
    } else if (!convert_to_of(a->converted_type, &to)) {
        snprintf(text, sizeof(text), " due to invalid value \"%.100s\" in field \"converted_type\" for action \"convert\"",
                 a->converted_type);
        bad(l, "converted_type", text);
    }
}

/* delete and hash live on a pattern alone as well. */
static bool check_key(const struct look *l)
{
    bool pattern_will_do = l->kind == ACTION_DELETE || l->kind == ACTION_HASH;
    char path[128];

    if (l->a->key[0] || (pattern_will_do && l->a->pattern[0]))
        return true;
    snprintf(path, sizeof(path), "%s[%zu]", l->list_key, l->i);
    if (pattern_will_do)
        check_error(l->c, path,
                    "error creating AttrProc due to missing required field (at least one of \"key\" and \"pattern\" "
                    "have to be used) at the %zu-th action",
                    l->i);
    else
        check_error(l->c, path, "error creating AttrProc due to missing required field \"key\" at the %zu-th action",
                    l->i);
    return false;
}

static void check_action(const struct look *l)
{
    char text[256];

    if (!check_key(l))
        return;
    switch (l->kind) {
    case ACTION_INSERT:
    case ACTION_UPDATE:
    case ACTION_UPSERT:
        check_put(l);
        break;
    case ACTION_DELETE:
    case ACTION_HASH:
        check_pick(l);
        break;
    case ACTION_CONVERT:
        check_convert(l);
        break;
    case ACTION_EXTRACT:
        check_extract(l);
        break;
    case ACTION_UNKNOWN:
        snprintf(text, sizeof(text), " due to unsupported action \"%.100s\"", l->a->action);
        bad(l, "action", text);
        break;
    }
}

void actions_check(const struct item_list *items, const char *list_key, struct check *c)
{
    const struct action_settings *a = items->v;

    if (items->n == 0)
        check_error(c, list_key, "missing required field \"%s\"", list_key);
    for (size_t i = 0; i < items->n; i++)
        check_action(&(struct look){c, list_key, i, &a[i], action_kind_of(a[i].action)});
}

/* ---- compilation ---- */

static void encode(const struct value *v, struct buf *out);

static void put_message(struct buf *out, uint32_t number, struct buf *body)
{
    CHECK(wire_put_bytes(out, number, slice_of(body->p, body->len)) == 0);
    buf_free(body);
}

/* ArrayValue: {1: AnyValue}; KeyValueList: {1: KeyValue}. */
static void encode_items(const struct value *v, struct buf *out)
{
    for (size_t i = 0; i < v->n; i++) {
        struct buf item = {0}, kv = {0};

        encode(&v->items[i], &item);
        if (v->type == VALUE_LIST) {
            put_message(out, 1, &item);
            continue;
        }
        CHECK(wire_put_bytes(&kv, KEYVALUE_KEY, slice_str(v->names[i])) == 0);
        put_message(&kv, KEYVALUE_VALUE, &item);
        put_message(out, 1, &kv);
    }
}

/* Appends the AnyValue body of a YAML value. */
static void encode(const struct value *v, struct buf *out)
{
    struct any any = {.type = ANY_EMPTY};
    struct buf body = {0};

    switch (v->type) {
    case VALUE_STR:
        any = (struct any){.type = ANY_STR, .bytes = slice_str(v->s)};
        break;
    case VALUE_BOOL:
        any = (struct any){.type = ANY_BOOL, .i = v->i};
        break;
    case VALUE_INT:
        any = (struct any){.type = ANY_INT, .i = v->i};
        break;
    case VALUE_DOUBLE:
        any = (struct any){.type = ANY_DOUBLE, .d = v->d};
        break;
    case VALUE_LIST:
    case VALUE_MAP:
        encode_items(v, &body);
        any.type = v->type == VALUE_LIST ? ANY_ARRAY : ANY_MAP;
        any.bytes = slice_of(body.p, body.len);
        break;
    case VALUE_NONE:
    case VALUE_NULL:
        break;
    }
    CHECK(any_put(out, &any) == 0);
    buf_free(&body);
}

static struct slice encoded(struct actions *as, const struct value *v)
{
    struct buf out = {0};
    struct slice s;

    encode(v, &out);
    s = slice_of(arena_dup_n(as->arena, (const char *)out.p, out.len), out.len);
    buf_free(&out);
    return s;
}

static void compile_source(struct actions *as, struct action *a, const struct action_settings *s)
{
    a->has_fallback = value_given(&s->default_value);
    if (a->has_fallback)
        a->fallback = encoded(as, &s->default_value);
    if (value_given(&s->value)) {
        a->source = SOURCE_VALUE;
        a->value = encoded(as, &s->value);
    } else if (s->from_attribute[0]) {
        a->source = SOURCE_ATTRIBUTE;
        a->from = s->from_attribute;
    } else if (strcmp(s->from_context, "client.address") == 0) {
        a->source = SOURCE_CLIENT_ADDRESS;
    } else if (strncmp(s->from_context, "auth.", 5) == 0) {
        a->source = SOURCE_AUTH;
        a->from = s->from_context + 5;
    } else if (s->from_context[0]) {
        a->source = SOURCE_HEADER;
        a->from = s->from_context + (strncmp(s->from_context, "metadata.", 9) == 0 ? 9 : 0);
    }
}

struct actions *actions_new(const struct item_list *items, struct err *err)
{
    const struct action_settings *s = items->v;
    struct actions *as = mem_alloc(sizeof(*as));

    as->arena = arena_new();
    as->v = mem_alloc_array(items->n, sizeof(*as->v));
    for (; as->n < items->n; as->n++, s++) {
        struct action *a = &as->v[as->n];

        a->kind = action_kind_of(s->action);
        a->key = slice_str(s->key);
        compile_source(as, a, s);
        if (a->kind == ACTION_CONVERT)
            CHECK(convert_to_of(s->converted_type, &a->convert));
        if (s->pattern[0] && !(a->pattern = regex_new(s->pattern, err))) {
            actions_free(&as);
            return NULL;
        }
        a->n_groups = a->kind == ACTION_EXTRACT ? regex_groups(a->pattern) : 0;
    }
    return as;
}

void actions_free(struct actions **asp)
{
    struct actions *as = *asp;

    if (!as)
        return;
    for (size_t i = 0; i < as->n; i++)
        regex_free(&as->v[i].pattern);
    free(as->v);
    arena_free(&as->arena);
    free(as);
    *asp = NULL;
}
