/* SPDX-License-Identifier: Apache-2.0 */
/* Globs as replace_match takes them, by way of regular expressions. Any thread. */
#ifndef TAILRACE_OTTL_GLOB_H
#define TAILRACE_OTTL_GLOB_H

#include "platform/buf.h"
#include "platform/err.h"

/* Appends the regular expression that matches what the whole glob matches, and a zero byte. */
int glob_regex(struct slice glob, struct buf *out, struct err *err) MUST_USE;

#endif
