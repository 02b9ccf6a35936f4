/* SPDX-License-Identifier: Apache-2.0 */
/* The table of service.telemetry, for the reference page. */
#ifndef TAILRACE_CONFIG_TELEMETRY_H
#define TAILRACE_CONFIG_TELEMETRY_H

#include "component/key.h"

extern const struct key telemetry_keys[];
extern const size_t telemetry_settings_size;

#endif
