/* SPDX-License-Identifier: Apache-2.0 */
/* `tailrace print-config`: the configuration in effect, defaults included. Pure. */
#ifndef TAILRACE_CMD_PRINT_CONFIG_H
#define TAILRACE_CMD_PRINT_CONFIG_H

#include "pipeline/plan.h"

/* redact: secrets become [REDACTED]. YAML, or JSON (durations then are nanoseconds). */
void config_print(const struct plan *plan, bool json, bool redact, struct buf *out);

#endif
