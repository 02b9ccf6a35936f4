/* SPDX-License-Identifier: Apache-2.0 */
/* What nodes are made of besides paths and functions. */
#ifndef TAILRACE_OTTL_EVAL_H
#define TAILRACE_OTTL_EVAL_H

#include "ottl/program.h"

node_fn eval_constant, eval_minus, eval_math, eval_map, eval_list;

static inline bool node_eval(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    if (n->eval == eval_constant) {
        *out = n->value;
        return true;
    }
    return n->eval(e, n, out);
}

/* Makes a list of OTTL_ITEMS fit for an attribute: nothing stands in place of what none can hold
 * (*unfit: the latest such, or NULL), texts are UTF-8. False: too long. */
bool eval_fit_items(struct ottl_eval *e, struct ottl_value *list,
                    const struct ottl_value **unfit) MUST_USE;
/* A value as an attribute's: copies lists of other values into scratch. */
bool eval_to_any(struct ottl_eval *e, const struct ottl_value *v, struct any *out);

#endif
