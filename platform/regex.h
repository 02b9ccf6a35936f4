/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions in RE2's dialect (the Collector's), behind a C header: linear time on any
 * input. A compiled expression is immutable and may be used by all threads. */
#ifndef TAILRACE_PLATFORM_REGEX_H
#define TAILRACE_PLATFORM_REGEX_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

#include "platform/buf.h"
#include "platform/err.h"

struct regex;
struct regex_set;

/* NULL with err "error parsing regexp: ..." in RE2's words. */
struct regex *regex_new(const char *pattern, struct err *err) MUST_USE;
/* For patterns that come with spans and not from the configuration: what takes more than some milliseconds to compile is refused. */
struct regex *regex_new_of_data(const char *pattern, struct err *err) MUST_USE;
void regex_free(struct regex **r);

/* Unanchored search. start/end (offsets of the leftmost-first match, from `from`) may be NULL. */
bool regex_search(const struct regex *r, struct slice s, size_t from, size_t *start, size_t *end);

/* Groups, from 1 on. The name of an unnamed one is NULL; names live as long as r. */
size_t regex_groups(const struct regex *r);
const char *regex_group_name(const struct regex *r, size_t group);
/* The leftmost-first match: what its groups took, groups[0] is group 1; p NULL: took no part. */
bool regex_capture(const struct regex *r, struct slice s, struct slice *groups);

/* Appends s to out with every non-overlapping match replaced by what `replace` appends for it (the
 * rules of Go's ReplaceAll: an empty match right after a match is not taken). Returns the number of
 * matches, or -1 when out is full. */
int regex_replace(const struct regex *r, struct slice s, struct buf *out,
                  int (*replace)(void *ctx, struct slice match, struct buf *out), void *ctx);

/* The same with what the groups took: groups[0] is the match, n of them in all; p NULL: took no part. */
int regex_replace_groups(const struct regex *r, struct slice s, struct buf *out,
                         int (*replace)(void *ctx, const struct slice *groups, size_t n, struct buf *out),
                         void *ctx);

/* Many expressions in one pass (or one by one, when they need too much memory together): does any match? Bit i of hits is set for expression i (hits may be
 * NULL; it has (n + 63) / 64 words). */
struct regex_set *regex_set_new(const char *const *patterns, size_t n, struct err *err) MUST_USE;
void regex_set_free(struct regex_set **r);
bool regex_set_match(const struct regex_set *r, struct slice s, uint64_t *hits);

/* How many bytes the letter has that s begins with (\pL, of whatever script); 0: it begins with none. */
size_t regex_letter(struct slice s);

#endif
