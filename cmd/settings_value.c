/* SPDX-License-Identifier: Apache-2.0 */
/* Settings as values: see settings_value.h. The mirror of config/decode.c. */
#include "cmd/settings_value.h"

#include <string.h>

#include "config/scalar.h"
#include "platform/check.h"

static const char redacted[] = "[REDACTED]";

struct value_map value_map_new(struct arena *a, size_t cap)
{
    return (struct value_map){arena_alloc(a, (cap + 1) * sizeof(struct value)),
                              arena_alloc(a, (cap + 1) * sizeof(char *)), 0, cap};
}

void value_map_add(struct value_map *m, const char *name, struct value v)
{
    size_t i = m->n++;
    CHECK(i < m->cap);
    for (; i && strcmp(m->names[i - 1], name) > 0; i--) {
        m->names[i] = m->names[i - 1];
        m->items[i] = m->items[i - 1];
    }
    m->names[i] = name;
    m->items[i] = v;
}

struct value value_map_done(struct value_map *m)
{
    return (struct value){.type = VALUE_MAP, .items = m->items, .names = m->names, .n = m->n};
}

static struct value string_value(const char *s)
{
    return (struct value){.type = s ? VALUE_STR : VALUE_NONE, .s = s};
}

static struct value duration_value(struct arena *a, int64_t ns)
{
    struct buf text = {0};
    duration_print(&text, ns);
    struct value v = {
        .type = VALUE_INT, .i = ns, .s = arena_dup_n(a, (const char *)text.p, text.len)};
    buf_free(&text);
    return v;
}

static struct value uint_value(uint64_t u)
{
    if (u > INT64_MAX)
        return (struct value){.type = VALUE_DOUBLE, .d = (double)u};
    return (struct value){.type = VALUE_INT, .i = (int64_t)u};
}

static struct value strs_value(struct arena *a, const struct str_list *list, bool redact)
{
    struct value *items = arena_alloc(a, (list->n + 1) * sizeof(*items));
    for (size_t i = 0; i < list->n; i++)
        items[i] = string_value(redact ? redacted : list->v[i]);
    return (struct value){.type = VALUE_LIST, .items = items, .n = list->n};
}

static struct value pairs_value(struct arena *a, const struct pair_list *list, bool redact)
{
    struct value *items = arena_alloc(a, (list->n + 1) * sizeof(*items));
    for (size_t i = 0; i < list->n; i++) {
        struct value_map m = value_map_new(a, 2);
        value_map_add(&m, "name", string_value(list->v[i].name));
        value_map_add(&m, "value", string_value(redact ? redacted : list->v[i].value));
        items[i] = value_map_done(&m);
    }
    return (struct value){.type = VALUE_LIST, .items = items, .n = list->n};
}

static struct value list_value(struct arena *a, const struct key *k, const struct item_list *list,
                               bool redact)
{
    struct value *items = arena_alloc(a, (list->n + 1) * sizeof(*items));
    for (size_t i = 0; i < list->n; i++)
        items[i] = settings_value(a, k->sub, (const char *)list->v + i * k->sub_size, redact);
    return (struct value){.type = VALUE_LIST, .items = items, .n = list->n};
}

static struct value section_value(struct arena *a, const struct key *k, const char *base,
                                  bool redact)
{
    /* what is off must be off again when the output is read: a null would turn some sections on */
    if (k->mode != SECTION_PLAIN && !*(const bool *)(base + k->enabled_offset)) {
        struct value_map off = value_map_new(a, 1);
        value_map_add(&off, "enabled", (struct value){.type = VALUE_BOOL});
        return k->mode == SECTION_OFF ? (struct value){.type = VALUE_NULL} : value_map_done(&off);
    }
    return settings_value(a, k->sub, base + k->offset, redact);
}

static struct value field_value(struct arena *a, const struct key *k, const char *base, bool redact)
{
    const void *f = base + k->offset;
    switch (k->type) {
    case KEY_T_BOOL:
        return (struct value){.type = VALUE_BOOL, .i = *(const bool *)f};
    case KEY_T_INT:
        return (struct value){.type = VALUE_INT, .i = *(const int64_t *)f};
    case KEY_T_UINT:
        return uint_value(*(const uint64_t *)f);
    case KEY_T_DOUBLE:
        return (struct value){.type = VALUE_DOUBLE, .d = *(const double *)f};
    case KEY_T_DURATION:
        return duration_value(a, *(const int64_t *)f);
    case KEY_T_STR:
    case KEY_T_ENUM:
    case KEY_T_EXTENSION:
        return string_value(*(const char *const *)f);
    case KEY_T_SECRET: {
        const char *s = *(const char *const *)f;
        return string_value(redact && s && s[0] ? redacted : s);
    }
    case KEY_T_STRS:
        return strs_value(a, f, redact && k->secret);
    case KEY_T_PAIRS:
        return pairs_value(a, f, redact);
    case KEY_T_SECTION:
        return section_value(a, k, base, redact);
    case KEY_T_LIST:
        return list_value(a, k, f, redact);
    case KEY_T_VALUE:
        return *(const struct value *)f;
    case KEY_T_IGNORED:
    case KEY_T_NOT_YET:
    case KEY_T_END:
        break;
    }
    return (struct value){.type = VALUE_NONE};
}

/* Of some keys it matters whether they were given, not only what they hold: printing the default would say
 * they were. */
static bool not_given(const struct key *k, const void *settings)
{
    bool leaf = k->type == KEY_T_STR || k->type == KEY_T_ENUM || k->type == KEY_T_STRS;
    return leaf && !k->required && k->set_offset_valid &&
           !*(const bool *)((const char *)settings + k->set_offset);
}

struct value settings_value(struct arena *a, const struct key *keys, const void *settings,
                            bool redact)
{
    size_t n = 0;
    for (const struct key *k = keys; k && k->type != KEY_T_END; k++)
        n++;
    struct value_map m = value_map_new(a, n);
    for (const struct key *k = keys; k && k->type != KEY_T_END; k++) {
        struct value v = field_value(a, k, settings, redact);
        if (v.type != VALUE_NONE && !not_given(k, settings))
            value_map_add(&m, k->name, v);
    }
    return value_map_done(&m);
}

void value_put_exact(struct buf *out, const struct value *v)
{
    buf_putf(out, "%d", (int)v->type);
    if (v->type == VALUE_STR)
        buf_put_json(out, slice_str(v->s));
    else if (v->type == VALUE_DOUBLE)
        buf_putf(out, " %a", v->d);
    else
        buf_putf(out, " %lld", (long long)v->i);
    if (v->type != VALUE_LIST && v->type != VALUE_MAP)
        return;
    buf_putc(out, '(');
    for (size_t i = 0; i < v->n; i++) {
        if (v->type == VALUE_MAP)
            buf_put_json(out, slice_str(v->names[i]));
        value_put_exact(out, &v->items[i]);
        buf_putc(out, ',');
    }
    buf_putc(out, ')');
}
