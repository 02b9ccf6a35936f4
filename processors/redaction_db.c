/* SPDX-License-Identifier: Apache-2.0 */
/* Rules of db_sanitizer. See redaction_db.h. */
#include "processors/redaction_db.h"

#include <stdlib.h>
#include <strings.h>

#include "model/match.h"
#include "platform/mem.h"
#include "processors/obfuscate.h"

#define ONE(what_) \
    (const struct key[]){KEY_BOOL(struct db_one, enabled, "false", "Sanitize statements of " what_ "."), \
                         KEY_STRS(struct db_one, attributes, NULL, "Exact keys of the attributes that hold statements."), KEY_END}

const struct key db_keys[] = {
    KEY_SECTION(struct db_settings, sql, ONE("SQL databases"),
                "Where db.system.name or db.system is other_sql, mysql, mariadb, postgresql or sqlite: literals become ?, and digits in "
                "names."),
    KEY_SECTION(struct db_settings, redis, ONE("Redis"), "Where it is redis: values among the arguments become ?."),
    KEY_SECTION(struct db_settings, valkey, ONE("Valkey"), "Where it is valkey: the same."),
    KEY_SECTION(struct db_settings, memcached, ONE("Memcached"), "Where it is memcached: only the command's line stays."),
    KEY_SECTION(struct db_settings, mongo, ONE("MongoDB"), "Where it is mongodb: values in the JSON become \"?\"."),
    KEY_SECTION(struct db_settings, opensearch, ONE("OpenSearch"),
                "Where it is opensearch: the same, in span names only; its attributes are taken and not used, as in the Collector."),
    KEY_SECTION(struct db_settings, es, ONE("Elasticsearch"), "Where it is elasticsearch: as opensearch."),
    KEY_BOOL_OR_NULL(struct db_settings, sanitize_span_name, "true", "Also names of client, server and internal spans, of all systems that are enabled."),
    KEY_END,
};

const char *const db_system_keys[2] = {"db.system.name", "db.system"};

enum kind { KIND_SQL, KIND_REDIS, KIND_VALKEY, KIND_MEMCACHED, KIND_MONGO, KIND_OPENSEARCH, KIND_ES, KINDS };

struct db_rules {
    bool enabled[KINDS], names;
    struct keyset *attributes[KINDS]; /* NULL: none */
};

static const struct db_one *one_of(const struct db_settings *s, enum kind k)
{
    const struct db_one *const all[KINDS] = {&s->sql, &s->redis, &s->valkey, &s->memcached, &s->mongo, &s->opensearch, &s->es};

    return all[k];
}

const char *db_pattern(const struct db_settings *s)
{
    for (enum kind k = 0; k < KINDS; k++)
        if (one_of(s, k)->enabled)
            return "^db\\.system(?:\\.name)?$";
    return NULL;
}

struct db_rules *db_rules_new(const struct db_settings *s)
{
    struct db_rules *r;

    if (!db_pattern(s))
        return NULL;
    r = mem_alloc(sizeof(*r));
    r->names = s->sanitize_span_name;
    for (enum kind k = 0; k < KINDS; k++) {
        const struct db_one *one = one_of(s, k);

        r->enabled[k] = one->enabled;
        if (one->enabled && one->attributes.n && k != KIND_OPENSEARCH && k != KIND_ES)
            r->attributes[k] = keyset_new(one->attributes.v, one->attributes.n);
    }
    return r;
}

void db_rules_free(struct db_rules **rp)
{
    struct db_rules *r = *rp;

    if (!r)
        return;
    for (enum kind k = 0; k < KINDS; k++)
        if (r->attributes[k])
            keyset_free(&r->attributes[k]);
    free(r);
    *rp = NULL;
}

enum db_system db_system_of(struct slice name)
{
    static const struct {
        const char *name;
        enum db_system system;
    } all[] = {{"other_sql", DB_SQL},       {"mysql", DB_MYSQL},           {"postgresql", DB_SQL}, {"mariadb", DB_SQL},
               {"sqlite", DB_SQL},          {"redis", DB_REDIS},           {"valkey", DB_VALKEY},  {"memcached", DB_MEMCACHED},
               {"mongodb", DB_MONGO},       {"opensearch", DB_OPENSEARCH}, {"elasticsearch", DB_ES}};

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (name.len == strlen(all[i].name) && strncasecmp((const char *)name.p, all[i].name, name.len) == 0)
            return all[i].system;
    return DB_UNKNOWN;
}

static enum kind kind_of(enum db_system system)
{
    static const enum kind kinds[] = {[DB_UNKNOWN] = KINDS,     [DB_SQL] = KIND_SQL,       [DB_MYSQL] = KIND_SQL,
                                      [DB_REDIS] = KIND_REDIS,  [DB_VALKEY] = KIND_VALKEY, [DB_MEMCACHED] = KIND_MEMCACHED,
                                      [DB_MONGO] = KIND_MONGO,  [DB_OPENSEARCH] = KIND_OPENSEARCH, [DB_ES] = KIND_ES};

    return kinds[system];
}

bool db_attribute(const struct db_rules *r, enum db_system system, struct slice key)
{
    enum kind k = kind_of(system);

    return r && k != KINDS && r->attributes[k] && keyset_find(r->attributes[k], key) >= 0;
}

bool db_span_name(const struct db_rules *r, enum db_system system, uint8_t kind)
{
    enum kind k = kind_of(system);

    return r && r->names && kind >= 1 && kind <= 3 && k != KINDS && r->enabled[k];
}

int db_obfuscate(enum db_system system, struct slice text, struct buf *out)
{
    switch (kind_of(system)) {
    case KIND_SQL:
        return obfuscate_sql(text, system == DB_MYSQL, out);
    case KIND_REDIS:
    case KIND_VALKEY:
        return obfuscate_redis(text, out);
    case KIND_MEMCACHED:
        return obfuscate_memcached(text, out);
    case KIND_MONGO:
    case KIND_OPENSEARCH:
    case KIND_ES:
        return obfuscate_json(text, out);
    default:
        return buf_add(out, text.p, text.len);
    }
}
