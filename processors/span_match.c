/* SPDX-License-Identifier: Apache-2.0 */
/* Which spans: see span_match.h. Order: settings, texts, values, lists, build, matching. */
#include "processors/span_match.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/attr.h"
#include "platform/num.h"
#include "platform/regex.h"
#include "model/wire_checked.h"

#define NO_SERVICE "<nil-service-name>"

struct match_attribute_settings {
    const char *key;
    struct value value;
};

struct match_library_settings {
    const char *name, *version;
    bool version_given;
};

static const struct key attribute_keys[] = {
    KEY_STR(struct match_attribute_settings, key, "", "The attribute's key."),
    KEY_VALUE(struct match_attribute_settings, value,
              "strict: type and value; regexp: an expression for the value as text. Absent: any value."),
    KEY_END,
};

static const struct key library_keys[] = {
    KEY_STR(struct match_library_settings, name, "", "The scope's name."),
    {.name = "version", .type = KEY_T_STR, .offset = KEY_AT(const char *, struct match_library_settings, version),
     .dflt = "", KEY_ANY, .set_offset_valid = true, .set_offset = KEY_AT(bool, struct match_library_settings, version_given),
     .doc = "The scope's version. Absent: any."},
    KEY_END,
};

#define S struct match_settings
const struct key match_keys[] = {
    KEY_STR(S, match_type, "", "strict (equal) or regexp (found anywhere)."),
    KEY_IGNORED("regexp", false, "Settings of a cache that is not needed here."),
    KEY_STRS(S, services, NULL, "The resource's service.name is one of these."),
    KEY_STRS(S, span_names, NULL, "The span's name is one of these."),
    KEY_STRS(S, span_kinds, NULL, "The span's kind is one of these: SPAN_KIND_SERVER and so on."),
    KEY_LIST(S, attributes, struct match_attribute_settings, attribute_keys, "The span has all of these attributes."),
    KEY_LIST(S, resources, struct match_attribute_settings, attribute_keys, "The resource has all of these attributes."),
    KEY_LIST(S, libraries, struct match_library_settings, library_keys, "The scope is all of these."),
    KEY_END,
};
#undef S

/* ---- texts: any of some strings or expressions ---- */

struct texts {
    const char *const *v;
    struct regex **re; /* NULL: strict */
    size_t n;
};

static int texts_build(struct texts *t, const struct str_list *from, bool regexp, struct err *err)
{
    t->v = from->v;
    t->n = from->n;
    if (!regexp)
        return 0;
    t->re = mem_alloc_array(from->n, sizeof(*t->re));
    for (size_t i = 0; i < from->n; i++)
        if (!(t->re[i] = regex_new(from->v[i], err)))
            return -1;
    return 0;
}

static void texts_free(struct texts *t)
{
    for (size_t i = 0; t->re && i < t->n; i++)
        regex_free(&t->re[i]);
    free(t->re);
}

/* An empty list asks for nothing. */
static bool texts_match(const struct texts *t, struct slice s)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->re ? regex_search(t->re[i], s, 0, NULL, NULL) : slice_eq(slice_str(t->v[i]), s))
            return true;
    return t->n == 0;
}

/* ---- values ---- */

static bool value_is(const struct value *v, const struct any *a);

static bool item_is(const struct value *v, struct slice any_value_body)
{
    struct any a = any_parse(any_value_body);

    return value_is(v, &a);
}

/* An item of a list, an entry of a map: their only field; others are unknown. */
static bool next_item(struct field_iter *it, struct field *f)
{
    while (field_next(it, f))
        if (f->number == 1 && f->wire == 2)
            return true;
    return false;
}

static bool list_is(const struct value *v, struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    size_t n = 0;

    for (; next_item(&it, &f); n++)
        if (n == v->n || !item_is(&v->items[n], f.bytes))
            return false;
    return n == v->n;
}

static bool map_is(const struct value *v, struct slice body)
{
    struct field_iter it = field_iter(body);
    struct field f;
    struct attr a;
    size_t n = 0;

    while (next_item(&it, &f))
        n++;
    for (size_t i = 0; n == v->n && i < n; i++)
        if (!attr_find(body, 1, slice_str(v->names[i]), &a) || !item_is(&v->items[i], a.value))
            return false;
    return n == v->n;
}

/* Same type and same value. */
static bool value_is(const struct value *v, const struct any *a)
{
    switch (v->type) {
    case VALUE_STR:
        return a->type == ANY_STR && slice_eq(a->bytes, slice_str(v->s));
    case VALUE_BOOL:
        return a->type == ANY_BOOL && a->i == v->i;
    case VALUE_INT:
        return a->type == ANY_INT && a->i == v->i;
    case VALUE_DOUBLE:
        return a->type == ANY_DOUBLE && a->d == v->d;
    case VALUE_LIST:
        return a->type == ANY_ARRAY && list_is(v, a->bytes);
    case VALUE_MAP:
        return a->type == ANY_MAP && map_is(v, a->bytes);
    case VALUE_NONE:
    case VALUE_NULL:
        return a->type == ANY_EMPTY;
    }
    return false;
}

/* A double in plain digits, however many: "1e+21" becomes 1 and 21 zeros. dst: 400 bytes. */
static size_t plain_digits(char dst[static 400], double d)
{
    char text[32], digits[32], *out = dst;
    size_t len = num_json(text, d);
    const char *e = memchr(text, 'e', len);
    int n = 0, point, i = 0; /* digits, and how many of them stand before the point */

    if (!e) {
        memcpy(dst, text, len);
        return len;
    }
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    point = 1 + atoi(e + 1);
    if (d < 0)
        *out++ = '-';
    if (point <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (; point < 0; point++)
            *out++ = '0';
        point = -1;
    }
    for (; i < n || i < point; i++) {
        if (i == point)
            *out++ = '.';
        *out++ = i < n ? digits[i] : '0';
    }
    return (size_t)(out - dst);
}

/* The text that expressions see; false for values that never match. buf: 400 bytes. */
static bool text_of(const struct any *a, char buf[static 400], struct slice *text)
{
    switch (a->type) {
    case ANY_STR:
        *text = a->bytes;
        return true;
    case ANY_BOOL:
        *text = slice_str(a->i ? "true" : "false");
        return true;
    case ANY_INT:
        *text = slice_of(buf, (size_t)snprintf(buf, 400, "%lld", (long long)a->i));
        return true;
    case ANY_DOUBLE:
        if (isfinite(a->d))
            *text = slice_of(buf, plain_digits(buf, a->d));
        else
            *text = slice_str(isnan(a->d) ? "NaN" : a->d > 0 ? "+Inf" : "-Inf");
        return true;
    default:
        return false;
    }
}

/* ---- attributes: all of some ---- */

struct attributes_match {
    const struct match_attribute_settings *v;
    struct regex **re; /* NULL: strict; re[i] NULL: presence */
    size_t n;
};

static int attributes_build(struct attributes_match *m, const struct item_list *from, bool regexp, struct err *err)
{
    m->v = from->v;
    m->n = from->n;
    if (!regexp)
        return 0;
    m->re = mem_alloc_array(from->n, sizeof(*m->re));
    for (size_t i = 0; i < from->n; i++)
        if (m->v[i].value.type == VALUE_STR && !(m->re[i] = regex_new(m->v[i].value.s, err)))
            return -1;
    return 0;
}

static void attributes_free(struct attributes_match *m)
{
    for (size_t i = 0; m->re && i < m->n; i++)
        regex_free(&m->re[i]);
    free(m->re);
}

static bool attribute_matches(const struct attributes_match *m, size_t i, struct slice value)
{
    struct any a = wire_any(value);
    struct slice text;
    char buf[400];

    if (m->v[i].value.type == VALUE_NONE || m->v[i].value.type == VALUE_NULL)
        return true;
    if (!m->re)
        return value_is(&m->v[i].value, &a);
    return text_of(&a, buf, &text) && regex_search(m->re[i], text, 0, NULL, NULL);
}

static bool resource_matches(const struct attributes_match *m, struct slice resource)
{
    struct attr a;

    for (size_t i = 0; i < m->n; i++)
        if (!attr_find(resource, RESOURCE_ATTRIBUTES, slice_str(m->v[i].key), &a) || !attribute_matches(m, i, a.value))
            return false;
    return true;
}

static bool attributes_match(const struct attributes_match *m, const struct open_span *s)
{
    struct slice value;

    for (size_t i = 0; i < m->n; i++)
        if (!open_span_attr(s, slice_str(m->v[i].key), &value) || !attribute_matches(m, i, value))
            return false;
    return true;
}

/* ---- libraries: all of some ---- */

struct library {
    struct texts name, version;
    bool any_version;
};

struct match {
    struct texts services, span_names, span_kinds;
    struct attributes_match attributes, resources;
    struct library *libraries;
    size_t n_libraries;
};

static int libraries_build(struct match *m, const struct item_list *from, bool regexp, struct err *err)
{
    const struct match_library_settings *s = from->v;

    m->libraries = mem_alloc_array(from->n, sizeof(*m->libraries));
    for (; m->n_libraries < from->n; m->n_libraries++, s++) {
        struct library *l = &m->libraries[m->n_libraries];

        l->any_version = !s->version_given;
        if (texts_build(&l->name, &(struct str_list){&s->name, 1}, regexp, err) ||
            texts_build(&l->version, &(struct str_list){&s->version, 1}, regexp, err))
            return -1;
    }
    return 0;
}

static bool library_matches(const struct library *l, struct slice scope)
{
    return texts_match(&l->name, field_bytes(scope, SCOPE_NAME)) &&
           (l->any_version || texts_match(&l->version, field_bytes(scope, SCOPE_VERSION)));
}

/* ---- rules between keys ---- */

struct look {
    struct check *c;
    const char *section;
    bool regexp;
};

static void bad(const struct look *l, const char *key, size_t i, const char *what, const char *text)
{
    char path[128];

    snprintf(path, sizeof(path), "%s.%s[%zu]", l->section, key, i);
    check_error(l->c, path, "error creating %s filters: %s", what, text);
}

static void check_regex(const struct look *l, const char *key, size_t i, const char *what, const char *pattern)
{
    struct err err = {""};
    struct regex *r = l->regexp ? regex_new(pattern, &err) : NULL;

    if (l->regexp && !r)
        bad(l, key, i, what, err.text);
    regex_free(&r);
}

static void check_texts(const struct look *l, const char *key, const char *what, const struct str_list *t)
{
    for (size_t i = 0; i < t->n; i++)
        check_regex(l, key, i, what, t->v[i]);
}

static const char *type_name(enum value_type t)
{
    static const char *const names[] = {[VALUE_BOOL] = "Bool", [VALUE_INT] = "Int", [VALUE_DOUBLE] = "Double",
                                        [VALUE_LIST] = "Slice", [VALUE_MAP] = "Map"};

    return names[t];
}

static void check_attributes(const struct look *l, const char *key, const char *what, const struct item_list *list)
{
    const struct match_attribute_settings *a = list->v;
    char text[256];

    for (size_t i = 0; i < list->n; i++) {
        enum value_type type = a[i].value.type;

        if (!a[i].key[0]) {
            bad(l, key, i, what, "can't have empty key in the list of attributes");
        } else if (type == VALUE_STR) {
            check_regex(l, key, i, what, a[i].value.s);
        } else if (l->regexp && type != VALUE_NONE && type != VALUE_NULL) {
            snprintf(text, sizeof(text), "match_type=regexp for \"%.100s\" only supports Str, but found %s", a[i].key,
                     type_name(type));
            bad(l, key, i, what, text);
        }
    }
}

static void check_libraries(const struct look *l, const struct item_list *list)
{
    const struct match_library_settings *s = list->v;

    for (size_t i = 0; i < list->n; i++) {
        check_regex(l, "libraries", i, "library name", s[i].name);
        check_regex(l, "libraries", i, "library version", s[i].version);
    }
}

static const char *const kind_names[] = {"SPAN_KIND_UNSPECIFIED", "SPAN_KIND_INTERNAL", "SPAN_KIND_SERVER",
                                         "SPAN_KIND_CLIENT",      "SPAN_KIND_PRODUCER", "SPAN_KIND_CONSUMER"};

static void check_kinds(const struct look *l, const struct str_list *kinds)
{
    char path[64];

    snprintf(path, sizeof(path), "%s.span_kinds", l->section);
    for (size_t i = 0; !l->regexp && i < kinds->n; i++) {
        size_t k = 1;

        while (k < ARRAY_LEN(kind_names) && strcmp(kinds->v[i], kind_names[k]) != 0)
            k++;
        if (k == ARRAY_LEN(kind_names))
            check_error(l->c, path,
                        "span_kinds string must match one of the standard span kinds when match_type=strict: "
                        "[SPAN_KIND_CLIENT SPAN_KIND_CONSUMER SPAN_KIND_INTERNAL SPAN_KIND_PRODUCER SPAN_KIND_SERVER]");
    }
}

void match_check(const struct match_settings *s, const char *section, struct check *c)
{
    struct look l = {c, section, strcmp(s->match_type, "regexp") == 0};
    char path[64];

    if (!s->services.n && !s->span_names.n && !s->span_kinds.n && !s->attributes.n && !s->resources.n && !s->libraries.n) {
        check_error(c, section, "at least one of \"attributes\", \"libraries\",  or \"resources\" field must be specified");
        return;
    }
    if (!l.regexp && strcmp(s->match_type, "strict") != 0) {
        snprintf(path, sizeof(path), "%s.match_type", section);
        check_error(c, path, "unrecognized match_type: '%s', valid types are: [regexp strict]", s->match_type);
    }
    check_texts(&l, "services", "service name", &s->services);
    check_texts(&l, "span_names", "span name", &s->span_names);
    check_texts(&l, "span_kinds", "span kind", &s->span_kinds);
    check_kinds(&l, &s->span_kinds);
    check_attributes(&l, "attributes", "attribute", &s->attributes);
    check_attributes(&l, "resources", "resource", &s->resources);
    check_libraries(&l, &s->libraries);
}

/* ---- build and match ---- */

struct match *match_new(const struct match_settings *s, struct err *err)
{
    bool regexp = strcmp(s->match_type, "regexp") == 0;
    struct match *m = mem_alloc(sizeof(*m));

    if (texts_build(&m->services, &s->services, regexp, err) || texts_build(&m->span_names, &s->span_names, regexp, err) ||
        texts_build(&m->span_kinds, &s->span_kinds, regexp, err) ||
        attributes_build(&m->attributes, &s->attributes, regexp, err) ||
        attributes_build(&m->resources, &s->resources, regexp, err) || libraries_build(m, &s->libraries, regexp, err))
        match_free(&m);
    return m;
}

void match_free(struct match **mp)
{
    struct match *m = *mp;

    if (!m)
        return;
    texts_free(&m->services);
    texts_free(&m->span_names);
    texts_free(&m->span_kinds);
    attributes_free(&m->attributes);
    attributes_free(&m->resources);
    for (size_t i = 0; i < m->n_libraries; i++) {
        texts_free(&m->libraries[i].name);
        texts_free(&m->libraries[i].version);
    }
    free(m->libraries);
    free(m);
    *mp = NULL;
}

static bool service_matches(const struct match *m, struct slice resource)
{
    struct slice name = slice_str(NO_SERVICE);
    struct buf text = {0};
    struct attr a;
    struct any v;
    bool found;

    if (m->services.n == 0)
        return true;
    if (attr_find(resource, RESOURCE_ATTRIBUTES, slice_str("service.name"), &a)) {
        v = any_parse(a.value);
        if (any_as_string(&v, &text) < 0) {
            buf_free(&text);
            return false;
        }
        name = slice_of(text.p, text.len);
    }
    found = texts_match(&m->services, name);
    buf_free(&text);
    return found;
}

bool match_scope(const struct match *m, struct slice resource, struct slice scope)
{
    if (!service_matches(m, resource) || !resource_matches(&m->resources, resource))
        return false;
    for (size_t i = 0; i < m->n_libraries; i++)
        if (!library_matches(&m->libraries[i], scope))
            return false;
    return true;
}

bool match_looks(const struct match *m)
{
    return m->services.n || m->resources.n || m->n_libraries;
}

bool match_span(const struct match *m, const struct open_span *s)
{
    const struct span *now = open_span_now(s);
    struct slice kind = slice_str(now->kind < ARRAY_LEN(kind_names) ? kind_names[now->kind] : "");

    return texts_match(&m->span_kinds, kind) &&
           (m->span_names.n == 0 || texts_match(&m->span_names, field_bytes(span_body(now), SPAN_NAME))) &&
           attributes_match(&m->attributes, s);
}
