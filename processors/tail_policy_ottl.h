/* SPDX-License-Identifier: Apache-2.0 */
/* Policies of type ottl_condition: what a worker needs to ask their conditions. */
#ifndef TAILRACE_PROCESSORS_TAIL_POLICY_OTTL_H
#define TAILRACE_PROCESSORS_TAIL_POLICY_OTTL_H

#include "platform/log.h"
#include "processors/tail_policy.h"

/* Adds the conditions of one policy to the set's program. The text of err names the list and place.
 */
int tail_condition_ottl(struct tail_policies *set, struct condition *c,
                        const struct ottl_settings *s, struct err *err) MUST_USE;

/* NULL when no policy has conditions. Both must outlive it. */
struct tail_ottl *tail_ottl_new(const struct tail_policies *p, const struct log *log) MUST_USE;
void tail_ottl_free(struct tail_ottl **o); /* fine on NULL */

/* Where the next spans stand. The bytes must stay until the next call. */
void tail_ottl_scope(struct tail_ottl *o, struct slice resource, struct slice scope);
/* A span of the trace: sets the bits of conditions that it meets, or that fail. */
void tail_ottl_span(const struct tail_policies *p, struct tail_ottl *o, uint64_t *facts,
                    const struct span *s);

#endif
