/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes as one line of text, for comparing whole maps in tests: "a=s:x b=i:5 c=s:" in their
 * order; types s, b, i, d, m (map), l (list), y (bytes), e (empty). */
#ifndef TAILRACE_TESTS_TEST_DUMP_H
#define TAILRACE_TESTS_TEST_DUMP_H

#include "model/attr.h"

/* In one of 8 static buffers. */
const char *td_attrs(struct slice message, uint32_t field);

#endif
