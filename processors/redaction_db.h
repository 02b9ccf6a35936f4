/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redaction's db_sanitizer: which texts are statements of which database, by the rules and the attribute db.system.name or
 * db.system next to them. What becomes of a statement is obfuscate.h's. Immutable after the build; any thread.
 */
#ifndef TAILRACE_PROCESSORS_REDACTION_DB_H
#define TAILRACE_PROCESSORS_REDACTION_DB_H

#include "component/key.h"
#include "platform/buf.h"

struct db_one {
    bool enabled;
    struct str_list attributes;
};

struct db_settings {
    struct db_one sql, redis, valkey, memcached, mongo, opensearch, es;
    bool sanitize_span_name;
};
extern const struct key db_keys[];

/* What finds spans that may be concerned, as a regular expression; NULL: none are. */
const char *db_pattern(const struct db_settings *s);

struct db_rules;
struct db_rules *db_rules_new(const struct db_settings *s) MUST_USE; /* NULL: all is off */
void db_rules_free(struct db_rules **r);

/* By the value of db.system.name or db.system, in any case. */
enum db_system { DB_UNKNOWN, DB_SQL, DB_MYSQL, DB_REDIS, DB_VALKEY, DB_MEMCACHED, DB_MONGO, DB_OPENSEARCH, DB_ES };
enum db_system db_system_of(struct slice name);

/* Are this attribute, and span names, to be sanitized with that system? r may be NULL. */
bool db_attribute(const struct db_rules *r, enum db_system system, struct slice key);
bool db_span_name(const struct db_rules *r, enum db_system system, uint8_t kind);

/* The statement without values, in out. -1: no memory. */
int db_obfuscate(enum db_system system, struct slice text, struct buf *out) MUST_USE;

/* Attributes that name the system, the first that has a text counts. */
extern const char *const db_system_keys[2];

#endif
