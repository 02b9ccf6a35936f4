/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature gates: the Collector's users keep them in unit files and charts, so its ids are accepted. A few
 * are known to components (component/gates.h); the others switch nothing here, which a warning says. An id that no Collector of the last years knew is
 * a typing mistake, hence an error, as there.
 */
#include "cmd/gates.h"

#include <string.h>

#include "component/gates.h"

/* An entry that ends in '.' stands for every gate of that family. */
static const char *const known[] = {
    "component.UseLocalHostAsDefaultHost",
    "component.UseLocalHostAsDefaultMetricsAddress",
    "configoptional.AddEnabledField",
    "confmap.enableMergeAppendOption",
    "confmap.strictlyTypedInput",
    "confmap.unifyEnvVarExpansion",
    "connector.",
    "exporter.",
    "exporterhelper.",
    "extension.",
    "filter.",
    "k8s.",
    "otelcol.printInitialConfig",
    "ottl.",
    "pdata.",
    "pkg.translator.",
    "processor.",
    "receiver.",
    "receiverhelper.",
    "service.AllowNoPipelines",
    "service.noopTracerProvider",
    "service.partialReload",
    "service.partialReloadReceivers",
    "service.profilesSupport",
    "spanmetrics.",
    "telemetry.",
    "transform.",
};

static bool is_known(const char *id, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        size_t n = strlen(known[i]);
        bool family = known[i][n - 1] == '.';
        if ((family ? len > n : len == n) && memcmp(known[i], id, n) == 0)
            return true;
    }
    return false;
}

int gates_parse(const char *list, uint32_t *on, struct buf *warnings, struct err *err)
{
    while (*list) {
        size_t len = strcspn(list, ",");
        size_t sign = *list == '+' || *list == '-';
        if (!is_known(list + sign, len - sign))
            return err_set(err,
                           "invalid argument \"%s\" for \"--feature-gates\" flag: no such feature "
                           "gate \"%.*s\"",
                           list, (int)(len - sign), list + sign);
        enum gate g = gate_find(list + sign, len - sign);
        if (g != GATES)
            *on = *list == '-' ? *on & ~GATE_BIT(g) : *on | GATE_BIT(g);
        else
            buf_putf(warnings, "warning: the feature gate %.*s is accepted, it has no effect here\n",
                 (int)(len - sign), list + sign);
        list += len + (list[len] == ',');
    }
    return 0;
}

int gates_print(const char *id, struct buf *out, struct err *err)
{
    if (id && gate_find(id, strlen(id)) == GATES)
        return err_set(err, "feature \"%s\" not found", id);
    buf_putf(out, "%-62s Enabled  Stage  Description\n", "ID");
    for (int g = 0; g < GATES; g++)
        if (!id || strcmp(gate_rows[g].id, id) == 0)
            buf_putf(out, "%-62s false    %-6s %s\n", gate_rows[g].id, gate_rows[g].stage, gate_rows[g].doc);
    return 0;
}
