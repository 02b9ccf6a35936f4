/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference page: one chapter per component, one table row per key, nested sections by their
 * dotted path. All text comes from the rows, so the page cannot say other than the program does.
 */
#include "cmd/reference.h"

#include <stdlib.h>
#include <string.h>

#include "config/describe.h"
#include "config/telemetry.h"
#include "pipeline/registry.h"

#define MAX_LEVELS 8

static const char intro[] =
    "# Configuration\n"
    "\n"
    "Made by `tailrace reference` from the tables in the code; do not edit.\n"
    "\n"
    "The file is a Collector's `collector.yaml`: `receivers`, `processors`, `exporters`, "
    "`connectors` and `extensions`\n"
    "define components by id (`type` or `type/name`), `service` says which of them run and in what "
    "order.\n"
    "\n"
    "- A **duration** is text such as `30s`, `1m30s` or `500ms`. A bare number means nanoseconds, "
    "and is warned about.\n"
    "- A **list of strings** may also be one string with commas.\n"
    "- A **map of strings** may also be a list of `{name, value}`; its values are shown as "
    "`[REDACTED]` by `print-config`.\n"
    "- A **secret** is a string that `print-config` shows as `[REDACTED]`.\n"
    "- A **section** that says *off unless given* comes to life when it is written, even empty; "
    "every section that can be\n"
    "  off takes `enabled: false`.\n"
    "- `${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}` and `${yaml:TEXT}` stand for text "
    "from elsewhere; `$$` is a `$`.\n"
    "- Numbers are written without quotes, strings that look like numbers with them.\n";

/* A cell must not end the table's row. */
static void put_cell(struct buf *out, const char *s)
{
    for (; *s; s++) {
        if (*s == '|')
            buf_putc(out, '\\');
        buf_putc(out, *s == '\n' ? ' ' : *s);
    }
}

static void put_default(struct buf *out, const struct key *k)
{
    if (k->required) {
        buf_puts(out, "required");
    } else if (k->type == KEY_T_SECTION) {
        static const char *const modes[] = {[SECTION_PLAIN] = "",
                                            [SECTION_OFF] = "off unless given",
                                            [SECTION_DEFAULT_OFF] = "off unless given",
                                            [SECTION_ON] = "on"};
        buf_puts(out, modes[k->mode]);
    } else if (k->dflt) {
        buf_putc(out, '`');
        put_cell(out, k->dflt[0] ? k->dflt : "\"\"");
        buf_putc(out, '`');
    }
}

static void put_type(struct buf *out, const struct key *k)
{
    struct buf range = {0};
    buf_puts(out, key_type_name(k));
    if (k->unit)
        buf_putf(out, ", %s", k->unit);
    key_put_range(&range, k);
    if (range.len) {
        buf_puts(out, "; ");
        buf_putc(&range, 0);
        put_cell(out, (const char *)range.p);
    }
    buf_free(&range);
}

static void put_meaning(struct buf *out, const struct key *k)
{
    if (k->type == KEY_T_IGNORED)
        buf_puts(out, "*No effect.* ");
    put_cell(out, k->doc ? k->doc : "");
    if (k->old_name)
        buf_putf(out, " Old name: `%s`.", k->old_name);
}

static void put_keys(struct buf *out, const struct key *keys, const char *prefix, unsigned level)
{
    for (const struct key *k = keys; level < MAX_LEVELS && k && k->type != KEY_T_END; k++) {
        buf_putf(out, "| `%s%s` | ", prefix, k->name);
        put_type(out, k);
        buf_puts(out, " | ");
        put_default(out, k);
        buf_puts(out, " | ");
        put_meaning(out, k);
        buf_puts(out, " |\n");
        if (k->type != KEY_T_SECTION && k->type != KEY_T_LIST)
            continue;
        struct buf below = {0};
        buf_putf(&below, "%s%s%s", prefix, k->name, k->type == KEY_T_LIST ? "[]." : ".");
        buf_putc(&below, 0);
        if (k->sub != keys)
            put_keys(out, k->sub, (const char *)below.p, level + 1);
        buf_free(&below);
    }
}

static void put_table(struct buf *out, const struct key *keys)
{
    if (!keys || keys->type == KEY_T_END) {
        buf_puts(out, "No keys.\n");
        return;
    }
    buf_puts(out, "| key | type | default | meaning |\n|---|---|---|---|\n");
    put_keys(out, keys, "", 0);
}

static void put_metrics(struct buf *out, const struct component_type *t)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};
    static const char *const levels[] = {
        [METRIC_BASIC] = "basic", [METRIC_NORMAL] = "normal", [METRIC_DETAILED] = "detailed"};
    if (!t->metrics || !t->metrics->name)
        return;
    buf_puts(out, "\n| metric | type | level | meaning |\n|---|---|---|---|\n");
    for (const struct metric_row *m = t->metrics; m->name; m++) {
        buf_putf(out, "| `%s` | %s%s%s | %s | ", m->name, types[m->type],
                 m->unit && m->unit[0] ? ", " : "", m->unit ? m->unit : "", levels[m->level]);
        put_cell(out, m->help ? m->help : "");
        buf_puts(out, " |\n");
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct component_type *const *)a)->name,
                  (*(const struct component_type *const *)b)->name);
}

static void put_provides(struct buf *out, const struct component_type *t)
{
    unsigned provides = extension_provides(t, NULL);
    for (unsigned bit = 1; bit <= provides; bit <<= 1)
        if (provides & bit)
            buf_putf(out, " Provides %s.", extension_thing(bit));
}

static void put_kind(struct buf *out, enum component_kind kind)
{
    const struct component_type **v = mem_alloc_array(registry_len, sizeof(*v));
    size_t n = 0;
    for (size_t i = 0; i < registry_len; i++)
        if (registry[i]->kind == kind)
            v[n++] = registry[i];
    qsort(v, n, sizeof(*v), by_name);
    if (n)
        buf_putf(out, "\n## %c%s\n", component_kind_section(kind)[0] - 32,
                 component_kind_section(kind) + 1);
    for (size_t i = 0; i < n; i++) {
        buf_putf(out, "\n### `%s` (%s)\n\n%s", v[i]->name, v[i]->stability, v[i]->summary);
        if (v[i]->old_name)
            buf_putf(out, " Also known as `%s`.", v[i]->old_name);
        put_provides(out, v[i]);
        buf_puts(out, "\n\n");
        put_table(out, v[i]->keys);
        put_metrics(out, v[i]);
    }
    free(v);
}

void reference_print(struct buf *out)
{
    buf_puts(out, intro);
    for (int kind = 0; kind < COMPONENT_KINDS; kind++)
        put_kind(out, (enum component_kind)kind);
    buf_puts(out, "\n## Service\n\n"
                  "| key | type | default | meaning |\n|---|---|---|---|\n"
                  "| `extensions` | list of ids |  | The extensions that run. |\n"
                  "| `pipelines` | map of `traces` or `traces/NAME` | required | The pipelines; at "
                  "least one. |\n"
                  "| `pipelines.ID.receivers` | list of ids | required | Receivers, or connectors "
                  "that feed this pipeline. |\n"
                  "| `pipelines.ID.processors` | list of ids | `[]` | Processors, in the order in "
                  "which they work. |\n"
                  "| `pipelines.ID.exporters` | list of ids | required | Exporters, or connectors "
                  "to other pipelines. |\n");
    put_keys(out, telemetry_keys, "telemetry.", 0);
}
