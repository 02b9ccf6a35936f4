/* SPDX-License-Identifier: Apache-2.0 */
/* The receiver types, for the registry only. */
#ifndef TAILRACE_RECEIVERS_RECEIVERS_H
#define TAILRACE_RECEIVERS_RECEIVERS_H

#include "component/component.h"

extern const struct component_type otlp_receiver_type;
extern const struct component_type nop_receiver_type;

#endif
