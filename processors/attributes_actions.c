/* SPDX-License-Identifier: Apache-2.0 */
/* What each action does. Rules between keys stand in attributes_check.c. See attributes_actions.h. */
#include "processors/attributes_actions.h"

#include <stdlib.h>
#include <strings.h>

#include "platform/hex.h"
#include "platform/regex.h"
#include "platform/sha256.h"
#include "processors/attributes_compile.h"
#include "processors/attributes_convert.h"
#include "model/wire_checked.h"

static const struct slice empty_str = {(const uint8_t *)"\x0a\x00", 2}; /* AnyValue{string_value: ""} */

/* ---- values ---- */

/* Headers of one name, joined by ';'; an empty slice when there are none or no room. */
static struct slice header_value(struct attr_map *m, const struct request_info *info, const char *name)
{
    size_t len = 0, n = 0;
    uint8_t *p, *start;
    const char *v;

    for (; (v = request_info_get(info, name, n)); n++)
        len += strlen(v) + (n > 0);
    if (n == 0)
        return (struct slice){0};
    start = p = attr_map_scratch(m, wire_rec_size(len));
    if (!p)
        return (struct slice){0};
    p = wire_put_header(p, 1, len);
    for (size_t k = 0; k < n; k++) {
        if (k)
            *p++ = ';';
        p = wire_put_slice(p, slice_str(request_info_get(info, name, k)));
    }
    return slice_of(start, (size_t)(p - start));
}

static struct slice context_value(const struct action *a, struct attr_map *m, const struct request_info *info)
{
    if (a->source == SOURCE_CLIENT_ADDRESS)
        return attr_map_str(m, slice_str(info ? info->client_address : ""));
    if (a->source == SOURCE_AUTH) {
        const char *known = request_info_auth(info, a->from);
        return known ? attr_map_str(m, slice_str(known)) : (struct slice){0};
    }
    return info ? header_value(m, info, a->from) : (struct slice){0};
}

/* True when the action has a value; an Empty value is an empty slice that counts. */
static bool resolve(const struct action *a, struct attr_map *m, const struct request_info *info, struct slice *value)
{
    const struct attr_entry *e;

    switch (a->source) {
    case SOURCE_NONE:
        break;
    case SOURCE_VALUE:
        *value = a->value;
        return true;
    case SOURCE_ATTRIBUTE:
        e = attr_map_find(m, slice_str(a->from));
        if (e) {
            *value = e->value;
            return true;
        }
        break;
    case SOURCE_CLIENT_ADDRESS:
    case SOURCE_HEADER:
    case SOURCE_AUTH:
        *value = context_value(a, m, info);
        if (value->p)
            return true;
        break;
    }
    *value = a->fallback;
    return a->has_fallback;
}

/* ---- hash ---- */

static struct slice hash_of(struct attr_map *m, const void *p, size_t len)
{
    uint8_t digest[32], text[64];

    sha256(p, len, digest);
    hex_put(text, digest, sizeof(digest));
    return attr_map_str(m, slice_of(text, sizeof(text)));
}

static void little_endian(uint64_t v, uint8_t dst[static 8])
{
    for (int i = 0; i < 8; i++)
        dst[i] = (uint8_t)(v >> (8 * i));
}

static struct slice hashed(struct attr_map *m, struct slice value)
{
    struct any v = wire_any(value);
    uint8_t bytes[8];
    uint64_t bits;

    switch (v.type) {
    case ANY_STR:
        return hash_of(m, v.bytes.p, v.bytes.len);
    case ANY_BOOL:
        bytes[0] = v.i != 0;
        return hash_of(m, bytes, 1);
    case ANY_INT:
        little_endian((uint64_t)v.i, bytes);
        return hash_of(m, bytes, 8);
    case ANY_DOUBLE:
        memcpy(&bits, &v.d, sizeof(bits));
        little_endian(bits, bytes);
        return hash_of(m, bytes, 8);
    default:
        return empty_str;
    }
}

/* ---- actions ---- */

static bool matches(void *ctx, const struct attr_entry *e)
{
    return regex_search(ctx, e->key, 0, NULL, NULL);
}

static void run_hash(const struct action *a, struct attr_map *m)
{
    struct attr_entry *e = a->key.len ? attr_map_find(m, a->key) : NULL;

    if (e)
        attr_map_set(m, e, hashed(m, e->value));
    if (a->pattern)
        for (size_t i = 0; i < m->n; i++)
            if (matches(a->pattern, &m->v[i]))
                attr_map_set(m, &m->v[i], hashed(m, m->v[i].value));
}

static void run_delete(const struct action *a, struct attr_map *m)
{
    struct attr_entry *e = a->key.len ? attr_map_find(m, a->key) : NULL;

    if (e)
        attr_map_remove(m, e);
    if (a->pattern)
        attr_map_remove_if(m, matches, a->pattern);
}

static void run_put(const struct action *a, struct attr_map *m, const struct request_info *info)
{
    struct attr_entry *e = attr_map_find(m, a->key);
    struct slice value;

    if (e ? a->kind == ACTION_INSERT : a->kind == ACTION_UPDATE)
        return;
    if (!resolve(a, m, info, &value))
        return;
    if (!e)
        attr_map_append(m, a->key, value);
    else if (!slice_eq(e->value, value)) /* putting what is there changes nothing */
        attr_map_set(m, e, value);
}

static void run_extract(const struct action *a, struct attr_map *m)
{
    struct attr_entry *e = attr_map_find(m, a->key);
    struct slice *groups;
    struct any v;

    if (!e)
        return;
    v = wire_any(e->value);
    groups = (struct slice *)(void *)attr_map_scratch(m, a->n_groups * sizeof(*groups));
    if (v.type != ANY_STR || !groups || !regex_capture(a->pattern, v.bytes, groups))
        return;
    for (size_t i = 0; i < a->n_groups && !m->out_of_memory; i++)
        attr_map_put(m, slice_str(regex_group_name(a->pattern, i + 1)), attr_map_str(m, groups[i]));
}

static void run_convert(const struct action *a, struct attr_map *m)
{
    struct attr_entry *e = attr_map_find(m, a->key);
    struct slice value;

    if (e && convert_value(m, e->value, a->convert, &value))
        attr_map_set(m, e, value);
}

bool actions_run(const struct actions *as, struct attr_map *m, const struct request_info *info)
{
    for (size_t i = 0; i < as->n; i++) {
        const struct action *a = &as->v[i];

        switch (a->kind) {
        case ACTION_INSERT:
        case ACTION_UPDATE:
        case ACTION_UPSERT:
            run_put(a, m, info);
            break;
        case ACTION_DELETE:
            run_delete(a, m);
            break;
        case ACTION_HASH:
            run_hash(a, m);
            break;
        case ACTION_CONVERT:
            run_convert(a, m);
            break;
        case ACTION_EXTRACT:
            run_extract(a, m);
            break;
        case ACTION_UNKNOWN:
            CHECK(!"refused by actions_check");
        }
        if (UNLIKELY(m->out_of_memory))
            return false;
    }
    return true;
}
