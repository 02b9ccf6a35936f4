/* SPDX-License-Identifier: Apache-2.0 */
/* One value as a printf verb of Go's prints it; for Format. One thread. */
#ifndef TAILRACE_OTTL_VERBS_H
#define TAILRACE_OTTL_VERBS_H

#include "ottl/call.h"

struct verb {
    uint32_t rune;
    bool plus, minus, sharp, space, zero;
    bool has_width, has_precision;
    int64_t width, precision; /* at most VERB_MOST */
};

#define VERB_MOST 1000000

/* Appends to e->text. False: ottl_fail() has said why. */
bool put_verb(struct ottl_eval *e, const struct verb *verb, const struct ottl_value *v);
/* Go's name of the value's type. */
const char *verb_type_name(const struct ottl_value *v);

#endif
