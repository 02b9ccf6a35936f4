/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of Redis, Valkey and Memcached. See obfuscate.h. */
#include <strings.h>

#include "processors/obfuscate.h"

enum rule {
    RULE_NONE,
    RULE_ONE,      /* argument n */
    RULE_REST,     /* argument n and all behind it, as one ? */
    RULE_EACH,     /* argument n and each `step`th from there on */
    RULE_ZADD,     /* as EACH, flags aside */
    RULE_BITFIELD, /* the third behind SET */
    RULE_CONFIG,   /* the third of CONFIG SET */
};

static const struct command {
    const char *name;
    enum rule rule;
    unsigned n, step;
} commands[] = {
    {"APPEND", RULE_ONE, 2, 0},     {"AUTH", RULE_REST, 1, 0},      {"BITFIELD", RULE_BITFIELD, 0, 0},
    {"CONFIG", RULE_CONFIG, 0, 0},  {"GEOADD", RULE_EACH, 4, 3},    {"GEODIST", RULE_REST, 2, 0},
    {"GEOHASH", RULE_REST, 2, 0},   {"GEOPOS", RULE_REST, 2, 0},    {"GEORADIUSBYMEMBER", RULE_ONE, 2, 0},
    {"GETSET", RULE_ONE, 2, 0},     {"HMSET", RULE_EACH, 3, 2},     {"HSET", RULE_EACH, 3, 2},
    {"HSETNX", RULE_ONE, 3, 0},     {"LINSERT", RULE_ONE, 4, 0},    {"LPUSH", RULE_REST, 2, 0},
    {"LPUSHX", RULE_ONE, 2, 0},     {"LREM", RULE_ONE, 3, 0},       {"LSET", RULE_ONE, 3, 0},
    {"MSET", RULE_EACH, 2, 2},      {"MSETNX", RULE_EACH, 2, 2},    {"PSETEX", RULE_ONE, 3, 0},
    {"RESTORE", RULE_ONE, 3, 0},    {"RPUSH", RULE_REST, 2, 0},     {"RPUSHX", RULE_ONE, 2, 0},
    {"SADD", RULE_REST, 2, 0},      {"SET", RULE_ONE, 2, 0},        {"SETBIT", RULE_ONE, 3, 0},
    {"SETEX", RULE_ONE, 3, 0},      {"SETNX", RULE_ONE, 2, 0},      {"SETRANGE", RULE_ONE, 3, 0},
    {"SISMEMBER", RULE_ONE, 2, 0},  {"SMOVE", RULE_ONE, 3, 0},      {"SREM", RULE_REST, 2, 0},
    {"ZADD", RULE_ZADD, 3, 2},      {"ZINCRBY", RULE_ONE, 3, 0},    {"ZRANK", RULE_ONE, 2, 0},
    {"ZREM", RULE_REST, 2, 0},      {"ZREVRANK", RULE_ONE, 2, 0},   {"ZSCORE", RULE_ONE, 2, 0},
};

static bool is(struct slice word, const char *name)
{
    return word.len == strlen(name) && strncasecmp((const char *)word.p, name, word.len) == 0;
}

static const struct command *command_of(struct slice word)
{
    static const struct command none = {"", RULE_NONE, 0, 0};

    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (is(word, commands[i].name))
            return &commands[i];
    return &none;
}

/* Behind the quote that closes what begins at p, on whatever line; the end when none does. */
static const uint8_t *quote_end(const uint8_t *p, const uint8_t *end)
{
    for (p++; p < end && *p != '"'; p++)
        p += *p == '\\' && p + 1 < end;
    return p < end ? p + 1 : end;
}

/* The next word of the command, behind which *rest then begins; empty at the end of its line. Quotes keep
 * words together, in arguments. */
static struct slice next_word(struct slice *rest, bool argument)
{
    const uint8_t *p = rest->p, *end = p + rest->len, *from;

    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r'))
        p++;
    for (from = p; p < end && *p != ' ' && *p != '\n';)
        p = argument && *p == '"' ? quote_end(p, end) : p + 1;
    *rest = slice_of(p, (size_t)(end - p));
    return slice_of(from, (size_t)(p - from));
}

/* What is known of a command while its arguments come. */
struct call {
    const struct command *command;
    unsigned i;     /* number of the argument at hand, from 1 */
    unsigned first; /* the first to hide; 0: not known */
};

static bool is_flag(struct slice word)
{
    static const char *const flags[] = {"NX", "XX", "CH", "INCR"};

    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        if (slice_eq(word, slice_str(flags[i])))
            return true;
    return false;
}

static bool hides(struct call *c, struct slice word)
{
    switch (c->command->rule) {
    case RULE_NONE:
        return false;
    case RULE_ONE:
        return c->i == c->first;
    case RULE_REST:
        return c->i >= c->first;
    case RULE_ZADD:
        if (c->i > 1 && c->i + 1 == c->first && is_flag(word))
            c->first++;
        return c->i >= c->first && (c->i - c->first) % c->command->step == 0;
    case RULE_EACH:
        return c->i >= c->first && (c->i - c->first) % c->command->step == 0;
    case RULE_BITFIELD:
        if (is(word, "SET") && (c->first == 0 || c->i <= c->first)) /* behind the first value the Collector looks no further */
            c->first = c->i > 1 ? c->i + 3 : 0;
        return c->i == c->first;
    case RULE_CONFIG:
        if (c->i == 1 && is(word, "SET"))
            c->first = 3;
        return c->i == c->first;
    }
    return false;
}

/* One command, up to the end of its line. */
static int put_command(struct slice *rest, struct buf *out)
{
    struct slice word = next_word(rest, false);
    struct call c = {.command = command_of(word), .i = 1};
    int rc = buf_add(out, word.p, word.len);

    c.first = c.command->n;
    for (; rc == 0 && (word = next_word(rest, true)).len; c.i++) {
        bool hide = hides(&c, word);

        if (hide && c.command->rule == RULE_REST && c.i > c.first)
            continue;
        rc = buf_add(out, " ", 1) || (hide ? buf_add(out, "?", 1) : buf_add(out, word.p, word.len)) ? -1 : 0;
    }
    return rc;
}

int obfuscate_redis(struct slice s, struct buf *out)
{
    size_t before = out->len;
    int rc = 0;

    for (s = obfuscate_trimmed(s); rc == 0 && s.len; s = obfuscate_trimmed(s))
        rc = (out->len > before && buf_add(out, "\n", 1)) || put_command(&s, out) ? -1 : 0;
    return rc;
}

int obfuscate_memcached(struct slice s, struct buf *out)
{
    const uint8_t *end = s.len ? memmem(s.p, s.len, "\r\n", 2) : NULL;
    struct slice text = obfuscate_trimmed(slice_of(s.p, end ? (size_t)(end - s.p) : s.len));

    return buf_add(out, text.p, text.len);
}
