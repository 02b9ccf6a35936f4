/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements of databases without the values in them: what redaction's db_sanitizer does with a text,
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

/* Without the white space at both ends. */
struct slice obfuscate_trimmed(struct slice s);

#endif
