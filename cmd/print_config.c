/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print-config: settings structs back to values through their key rows, then text. Keys are sorted,
 * so that two outputs can be compared line by line.
 *
 *   settings + rows -> struct value (maps sorted) -> put_yaml | put_json
 */
#include "cmd/print_config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/settings_value.h"
#include "config/node.h"
#include "config/scalar.h"
#include "config/telemetry.h"
#include "pipeline/registry.h"
#include "platform/num.h"

/* ---- YAML ---- */

/* Would the text be read back as something else, or break the line? */
static bool needs_quotes(const char *s)
{
    struct node n = {.text = s};
    scalar_resolve(&n);
    if (n.type != NODE_STR || strchr("-?:,[]{}#&*!|>'\"%@` ", s[0]) || strchr(s, '#') ||
        strstr(s, ": "))
        return true;
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return true;
    size_t len = strlen(s);
    return s[len - 1] == ':' || s[len - 1] == ' ';
}

static void put_yaml_string(struct buf *out, const char *s)
{
    if (!needs_quotes(s)) {
        buf_puts(out, s);
        return;
    }
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            buf_put_json(out, slice_str(s)); /* JSON's escapes are YAML's */
            return;
        }
    buf_putc(out, '\'');
    for (const char *p = s; *p; p++) {
        if (*p == '\'')
            buf_putc(out, '\'');
        buf_putc(out, *p);
    }
    buf_putc(out, '\'');
}

static void put_double(struct buf *out, double d, bool json)
{
    char text[32];
    if (isfinite(d))
        buf_put(out, text, num_json(text, d));
    else if (json)
        buf_puts(out, "null");
    else
        buf_puts(out, isnan(d) ? ".nan" : d > 0 ? ".inf" : "-.inf");
}

static void put_scalar(struct buf *out, const struct value *v, bool json)
{
    if (v->type == VALUE_BOOL)
        buf_puts(out, v->i ? "true" : "false");
    else if (v->type == VALUE_INT && v->s && !json) /* a duration */
        buf_puts(out, v->s);
    else if (v->type == VALUE_INT)
        buf_putf(out, "%lld", (long long)v->i);
    else if (v->type == VALUE_DOUBLE)
        put_double(out, v->d, json);
    else if (v->type == VALUE_STR && json)
        buf_put_json(out, slice_str(v->s));
    else if (v->type == VALUE_STR)
        put_yaml_string(out, v->s);
    else
        buf_puts(out, "null");
}

static void indent(struct buf *out, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        buf_puts(out, "    ");
}

static bool has_lines(const struct value *v)
{
    return (v->type == VALUE_MAP || v->type == VALUE_LIST) && v->n;
}

static void put_yaml(struct buf *out, const struct value *v, unsigned level, bool in_list);

/* "key:" has been written. */
static void put_yaml_after_key(struct buf *out, const struct value *v, unsigned level)
{
    if (has_lines(v)) {
        buf_putc(out, '\n');
        put_yaml(out, v, level, false);
        return;
    }
    buf_putc(out, ' ');
    if (v->type == VALUE_MAP || v->type == VALUE_LIST)
        buf_puts(out, v->type == VALUE_MAP ? "{}" : "[]");
    else
        put_scalar(out, v, false);
    buf_putc(out, '\n');
}

/* in_list: the first line stands behind "- " already. */
static void put_yaml(struct buf *out, const struct value *v, unsigned level, bool in_list)
{
    for (size_t i = 0; has_lines(v) && i < v->n; i++) {
        if (i || !in_list)
            indent(out, level);
        if (v->type == VALUE_MAP) {
            put_yaml_string(out, v->names[i]);
            buf_putc(out, ':');
            put_yaml_after_key(out, &v->items[i], level + 1);
        } else if (has_lines(&v->items[i])) {
            buf_puts(out, "-   ");
            put_yaml(out, &v->items[i], level + 1, true);
        } else {
            buf_putc(out, '-');
            put_yaml_after_key(out, &v->items[i], level + 1);
        }
    }
}

/* ---- JSON ---- */

static void put_json(struct buf *out, const struct value *v, unsigned level)
{
    bool map = v->type == VALUE_MAP;
    if (!map && v->type != VALUE_LIST) {
        put_scalar(out, v, true);
        return;
    }
    buf_putc(out, map ? '{' : '[');
    for (size_t i = 0; i < v->n; i++) {
        buf_putf(out, "%s\n", i ? "," : "");
        for (unsigned k = 0; k <= level; k++)
            buf_puts(out, "  ");
        if (map) {
            buf_put_json(out, slice_str(v->names[i]));
            buf_puts(out, ": ");
        }
        put_json(out, &v->items[i], level + 1);
    }
    if (v->n)
        buf_putc(out, '\n');
    for (unsigned k = 0; v->n && k < level; k++)
        buf_puts(out, "  ");
    buf_putc(out, map ? '}' : ']');
}

/* ---- the plan ---- */

static struct value ids_value(struct arena *a, const struct plan_component *const *v, size_t n)
{
    struct value *items = arena_alloc(a, (n + 1) * sizeof(*items));
    for (size_t i = 0; i < n; i++)
        items[i] = (struct value){.type = VALUE_STR, .s = v[i]->id};
    return (struct value){.type = VALUE_LIST, .items = items, .n = n};
}

static struct value pipelines_value(struct arena *a, const struct plan *plan)
{
    struct value_map all = value_map_new(a, plan->n_pipelines);
    for (size_t i = 0; i < plan->n_pipelines; i++) {
        const struct plan_pipeline *p = &plan->pipelines[i];
        struct value_map one = value_map_new(a, 3);
        value_map_add(&one, "receivers", ids_value(a, p->receivers, p->n_receivers));
        value_map_add(&one, "processors", ids_value(a, p->processors, p->n_processors));
        value_map_add(&one, "exporters", ids_value(a, p->exporters, p->n_exporters));
        value_map_add(&all, p->id, value_map_done(&one));
    }
    return value_map_done(&all);
}

static struct value section_value(struct arena *a, const struct plan *plan,
                                  enum component_kind kind, bool redact)
{
    struct value_map m = value_map_new(a, plan->n_components);
    for (size_t i = 0; i < plan->n_components; i++) {
        const struct plan_component *c = &plan->components[i];
        if (c->type->kind == kind)
            value_map_add(&m, c->id, settings_value(a, c->type->keys, c->settings, redact));
    }
    return value_map_done(&m);
}

void config_print(const struct plan *plan, bool json, bool redact, struct buf *out)
{
    struct arena *a = arena_new();
    struct value_map top = value_map_new(a, COMPONENT_KINDS + 1), service = value_map_new(a, 3);
    for (int kind = 0; kind < COMPONENT_KINDS; kind++)
        value_map_add(&top, component_kind_section((enum component_kind)kind),
                      section_value(a, plan, (enum component_kind)kind, redact));
    value_map_add(&service, "extensions", ids_value(a, plan->extensions, plan->n_extensions));
    value_map_add(&service, "pipelines", pipelines_value(a, plan));
    if (plan->telemetry)
        value_map_add(&service, "telemetry",
                      settings_value(a, telemetry_keys, plan->telemetry, redact));
    value_map_add(&top, "service", value_map_done(&service));
    struct value all = value_map_done(&top);
    if (json) {
        put_json(out, &all, 0);
        buf_putc(out, '\n');
    } else {
        put_yaml(out, &all, 0, false);
    }
    arena_free(&a);
}
