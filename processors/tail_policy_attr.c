/* SPDX-License-Identifier: Apache-2.0 */
/*
 * string_attribute, numeric_attribute, boolean_attribute: conditions on one attribute key, looked up
 * on the resource and on each span (not on scopes, events or links).
 *
 * Values of another type are read as the Collector's getters read them: as "", 0 or false. A string
 * condition takes "" on a resource for a value (an expression may accept it) but never on a span.
 */
#include <stdlib.h>

#include "model/attr.h"
#include "processors/tail_policy.h"

static int string_exact(struct condition *c, const struct string_settings *s)
{
    c->type = COND_STRING;
    c->u.string.values = mem_alloc_array(s->values.n + 1, sizeof(struct slice));
    for (size_t i = 0; i < s->values.n; i++)
        if (*s->values.v[i])
            c->u.string.values[c->u.string.n++] = slice_str(s->values.v[i]);
    return 0;
}

/* Each alone first: the error then names the one that is wrong. */
static int regexes_valid(const struct str_list *values, struct err *err)
{
    for (size_t i = 0; i < values->n; i++) {
        struct regex *r = regex_new(values->v[i], err);

        if (!r)
            return err_wrap(err, "invalid regex `%s`", values->v[i]);
        regex_free(&r);
    }
    return 0;
}

static int string_regex(struct condition *c, const struct string_settings *s, struct err *err)
{
    c->type = COND_REGEX;
    if (s->values.n == 0)
        return 0;
    if (regexes_valid(&s->values, err) != 0)
        return -1;
    c->u.string.regexes = regex_set_new(s->values.v, s->values.n, err);
    return c->u.string.regexes ? 0 : -1;
}

static int numeric(struct condition *c, const struct numeric_settings *s, struct err *err)
{
    if (s->min_value == 0 && s->max_value == 0)
        return err_set(err, "at least one of min_value and max_value must be set (0 means unset)");
    c->type = COND_NUMERIC;
    c->u.numeric.min = s->min_value ? s->min_value : INT64_MIN;
    c->u.numeric.max = s->max_value ? s->max_value : INT64_MAX;
    return 0;
}

int tail_condition_attribute(struct condition *c, const struct leaf_settings *s, const char **key,
                             struct err *err)
{
    if (strcmp(s->type, "string_attribute") == 0) {
        *key = s->string_attribute.key;
        c->invert = s->string_attribute.invert_match;
        return s->string_attribute.enabled_regex_matching
                   ? string_regex(c, &s->string_attribute, err)
                   : string_exact(c, &s->string_attribute);
    }
    if (strcmp(s->type, "numeric_attribute") == 0) {
        *key = s->numeric_attribute.key;
        c->invert = s->numeric_attribute.invert_match;
        return numeric(c, &s->numeric_attribute, err);
    }
    *key = s->boolean_attribute.key;
    c->invert = s->boolean_attribute.invert_match;
    c->type = COND_BOOLEAN;
    c->u.boolean.value = s->boolean_attribute.value;
    return 0;
}

static bool string_match(const struct condition *c, const struct any *v, bool on_resource)
{
    struct slice s = v->type == ANY_STR ? v->bytes : slice_of("", 0);

    if (s.len == 0 && !on_resource)
        return false;
    if (c->type == COND_REGEX)
        return c->u.string.regexes && regex_set_match(c->u.string.regexes, s, NULL);
    for (size_t i = 0; i < c->u.string.n; i++)
        if (slice_eq(s, c->u.string.values[i]))
            return true;
    return false;
}

bool tail_attribute_match(const struct condition *c, struct slice any_value, bool on_resource)
{
    struct any v = any_parse(any_value);
    int64_t i = v.type == ANY_INT ? v.i : 0;

    switch (c->type) {
    case COND_NUMERIC:
        return c->u.numeric.min <= i && i <= c->u.numeric.max;
    case COND_BOOLEAN:
        return (v.type == ANY_BOOL && v.i != 0) == c->u.boolean.value;
    default:
        return string_match(c, &v, on_resource);
    }
}
