/* SPDX-License-Identifier: Apache-2.0 */
/* `tailrace components`: see components.h. Sorted by name, aliases left out, as the Collector's. */
#include "cmd/components.h"

#include <ctype.h>
#include <stdlib.h>

#include "pipeline/registry.h"

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct component_type *const *)a)->name,
                  (*(const struct component_type *const *)b)->name);
}

static void put_type(struct buf *out, const struct component_type *t)
{
    const char *of = t->kind == EXTENSION   ? "extension"
                     : t->kind == CONNECTOR ? "traces-to-traces"
                                            : "traces";
    buf_putf(out, "    - name: %s\n      module: tailrace %s\n      stability:\n        %s: %c%s\n",
             t->name, TAILRACE_VERSION, of, toupper((unsigned char)t->stability[0]),
             t->stability + 1);
    unsigned provides = extension_provides(t, NULL);
    for (unsigned bit = 1; bit <= provides; bit <<= 1)
        if (provides & bit)
            buf_putf(out, "%s        - %s\n", (provides & (bit - 1)) ? "" : "      provides:\n",
                     extension_thing(bit));
}

static void put_kind(struct buf *out, enum component_kind kind)
{
    const struct component_type **v = mem_alloc_array(registry_len, sizeof(*v));
    size_t n = 0;
    for (size_t i = 0; i < registry_len; i++)
        if (registry[i]->kind == kind)
            v[n++] = registry[i];
    qsort(v, n, sizeof(*v), by_name);
    buf_putf(out, "%s:%s\n", component_kind_section(kind), n ? "" : " []");
    for (size_t i = 0; i < n; i++)
        put_type(out, v[i]);
    free(v);
}

void components_print(struct buf *out)
{
    static const char *const providers[] = {"env", "file", "yaml"};
    buf_puts(out, "buildinfo:\n    command: tailrace\n    description: an OpenTelemetry Collector "
                  "for traces\n");
    buf_puts(out, "    version: " TAILRACE_VERSION "\n");
    for (int kind = 0; kind < COMPONENT_KINDS; kind++)
        put_kind(out, (enum component_kind)kind);
    buf_puts(out, "providers:\n");
    for (size_t i = 0; i < ARRAY_LEN(providers); i++)
        buf_putf(out, "    - scheme: %s\n      module: tailrace %s\n", providers[i],
                 TAILRACE_VERSION);
    buf_puts(out, "converters: []\n");
}
