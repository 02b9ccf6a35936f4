/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements of databases and URLs without the values in them: what redaction's db_sanitizer and url_sanitizer do with a text,
 * as the Collector does it. Each appends to out and returns 0, or -1 when out is full. A text that is no statement of
 * its kind goes over as it is. Linear in the text; pure.
 */
#ifndef TAILRACE_PROCESSORS_OBFUSCATE_H
#define TAILRACE_PROCESSORS_OBFUSCATE_H

#include "platform/buf.h"

/*
 * SQL: literals, $1 and dollar quotes become ?, digits in names too unless a bracket follows (f2(x)). Comments stay.
 * mysql: "..." is a string and # begins a comment; otherwise "..." is a name. Stricter than the Collector in one thing: behind a
 * quote that is never closed it goes on, where the Collector leaves the rest of the text as it is.
 */
int obfuscate_sql(struct slice s, bool mysql, struct buf *out) MUST_USE;

/* Commands of Redis and Valkey, one to a line: which arguments are values depends on the command. */
int obfuscate_redis(struct slice s, struct buf *out) MUST_USE;

/* Memcached: the command's line without the data that follows. */
int obfuscate_memcached(struct slice s, struct buf *out) MUST_USE;

/* JSON (MongoDB, OpenSearch, Elasticsearch): every value becomes "?", keys and structure stay. */
int obfuscate_json(struct slice s, struct buf *out) MUST_USE;

/*
 * URLs, paths, and names of spans with one in them: what is between slashes stays when it is letters - - _ . and space are, and the
 * second may be anything, as in v1 - that make a word (obfuscate_words.h), else it becomes *. The text ends before the first of ? & #,
 * and after ten segments; the one before ? & # need not be a word. A tenth segment with more behind it may become ** or a star and
 * its other letters: so does the Collector. Never longer than s.
 */
int obfuscate_url(struct slice s, struct buf *out) MUST_USE;

/* Without the white space at both ends. */
struct slice obfuscate_trimmed(struct slice s);

#endif
