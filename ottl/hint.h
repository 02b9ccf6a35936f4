/* SPDX-License-Identifier: Apache-2.0 */
/* What was probably meant, for error texts. */
#ifndef TAILRACE_OTTL_HINT_H
#define TAILRACE_OTTL_HINT_H

#include "model/wire.h"

struct hint {
    char text[96];
};

/* Of what other languages have and this one does not: `, did you mean "nil"?`, or nothing. */
struct hint hint_of(struct slice written);
/* The same of a name that was found to be near; NULL: nothing. */
struct hint hint_near(const char *name);

#endif
