/* SPDX-License-Identifier: Apache-2.0 */
/* The processor types, for the registry only. */
#ifndef TAILRACE_PROCESSORS_PROCESSORS_H
#define TAILRACE_PROCESSORS_PROCESSORS_H

#include "component/component.h"

extern const struct component_type memory_limiter_type;
extern const struct component_type batch_type;
extern const struct component_type tail_sampling_type;
extern const struct component_type redaction_type;
extern const struct component_type attributes_type;
extern const struct component_type resource_type;
extern const struct component_type probabilistic_sampler_type;
extern const struct component_type span_type;
extern const struct component_type filter_type;
extern const struct component_type transform_type;

#endif
