/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs of strings, numbers and other values share. Private to verbs*.c. */
#ifndef TAILRACE_OTTL_VERBS_PRIV_H
#define TAILRACE_OTTL_VERBS_PRIV_H

#include "ottl/verbs.h"

/* 0; -1: out is full. */

int verb_repeat(struct buf *out, char c, int64_t n) MUST_USE;
/* s in its width; zeros only in front. */
int verb_padded(struct buf *out, const struct verb *f, struct slice s) MUST_USE;
/* What stands in out from `from` on, padded. */
int verb_pad_tail(struct buf *out, size_t from, const struct verb *f) MUST_USE;
bool verb_printable(uint32_t c);
int verb_quoted_rune(struct buf *out, uint32_t c, struct slice as, char quote, bool ascii) MUST_USE;
struct slice verb_utf8(int64_t v, uint8_t dst[static 4]);
int verb_integer(struct buf *out, const struct verb *f, int64_t v) MUST_USE;

enum verb_put { VERB_PUT, VERB_FULL, VERB_BAD };
static inline enum verb_put verb_done(int rc)
{
    return rc ? VERB_FULL : VERB_PUT;
}
enum verb_put verb_string(struct buf *out, const struct verb *f, struct slice s) MUST_USE;
enum verb_put verb_int(struct buf *out, const struct verb *f, int64_t v) MUST_USE;
enum verb_put verb_float(struct buf *out, const struct verb *f, double d) MUST_USE;

#endif
