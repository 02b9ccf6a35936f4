/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes as an ordered map over wire bytes. See attr_map.h. */
#include "model/attr_map.h"

#include <stdlib.h>

#include "model/wire_checked.h"

#define TABLE_KEPT   128  /* entries kept between loads, uncharged */
#define CHUNK_BYTES  4096 /* of the scratch chunk kept between loads */

struct attr_chunk {
    struct attr_chunk *next;
    size_t used, cap;
    uint8_t bytes[];
};

static struct attr_chunk *chunk_new(size_t cap)
{
    struct attr_chunk *c = mem_try(sizeof(*c) + cap);

    if (c)
        *c = (struct attr_chunk){NULL, 0, cap};
    return c;
}

void attr_map_init(struct attr_map *m, struct budget *b)
{
    *m = (struct attr_map){.budget = b, .cap = TABLE_KEPT, .cap_rest = TABLE_KEPT};
    m->v = mem_alloc_array(m->cap, sizeof(*m->v));
    m->rest = mem_alloc_array(m->cap_rest, sizeof(*m->rest));
    m->chunks = mem_alloc(sizeof(*m->chunks) + CHUNK_BYTES);
    m->chunks->cap = CHUNK_BYTES;
}

/* Back to the sizes of init. */
static void shrink(struct attr_map *m)
{
    while (m->chunks->next) {
        struct attr_chunk *c = m->chunks;

        m->chunks = c->next;
        free(c);
    }
    m->v = mem_grow(m->v, TABLE_KEPT * sizeof(*m->v));
    m->rest = mem_grow(m->rest, TABLE_KEPT * sizeof(*m->rest));
    m->cap = m->cap_rest = TABLE_KEPT;
    budget_release(m->budget, MEM_INDEX, m->charged);
    m->charged = 0;
}

void attr_map_free(struct attr_map *m)
{
    if (!m->v)
        return;
    if (m->charged)
        shrink(m);
    free(m->chunks);
    free(m->rest);
    free(m->v);
    *m = (struct attr_map){0};
}

/* Doubles a table of *cap elements. */
static bool grow(struct attr_map *m, void **table, size_t *cap, size_t element)
{
    size_t more = *cap * element;
    void *p;

    CHECK(more > 0);
    if (!budget_charge(m->budget, MEM_INDEX, more)) {
        m->out_of_memory = true;
        return false;
    }
    m->charged += more;
    p = realloc(*table, 2 * more);
    if (!p) {
        m->out_of_memory = true;
        return false;
    }
    *table = p;
    *cap *= 2;
    return true;
}

static bool add_entry(struct attr_map *m, const struct attr_entry *e)
{
    if (UNLIKELY(m->n == m->cap) && !grow(m, (void **)&m->v, &m->cap, sizeof(*m->v)))
        return false;
    m->v[m->n++] = *e;
    return true;
}

static bool add_rest(struct attr_map *m, const uint8_t *from, const uint8_t *to)
{
    if (from == to)
        return true;
    if (UNLIKELY(m->n_rest == m->cap_rest) && !grow(m, (void **)&m->rest, &m->cap_rest, sizeof(*m->rest)))
        return false;
    m->rest[m->n_rest++] = slice_of(from, (size_t)(to - from));
    return true;
}

/* There are no attributes: new ones will stand where encoders put them, before the field at `behind`. */
static bool add_rest_around(struct attr_map *m, struct slice message, const uint8_t *behind)
{
    const uint8_t *end = wire_end(message);

    if (!behind)
        behind = end;
    if (!add_rest(m, message.p, behind))
        return false;
    m->rest_before = m->n_rest;
    return add_rest(m, behind, end);
}

/* The attribute at p, if it is one; *next: where the next field begins. */
static inline bool read_attr(const uint8_t *p, const uint8_t *end, uint32_t field, struct attr_entry *e, struct wire_field *f, const uint8_t **next)
{
    struct attr a;

    if (LIKELY(attr_usual(p, (size_t)(end - p), field, &a))) {
        *e = (struct attr_entry){.key = a.key, .value = a.value, .rec = a.rec};
        *next = p + a.rec.len;
        return true;
    }
    *next = wire_next(p, end, f);
    if (f->number != field || f->wire != 2)
        return false;
    e->rec = f->rec;
    wire_attr(f, &e->key, &e->value);
    return true;
}

bool attr_map_load(struct attr_map *m, struct slice message, uint32_t field)
{
    const uint8_t *p = message.p, *end = wire_end(message), *run = p, *behind = NULL, *next;

    if (UNLIKELY(m->charged))
        shrink(m);
    m->chunks->used = 0;
    m->n = m->n_rest = 0;
    m->rest_before = SIZE_MAX;
    m->field = field;
    m->changed = m->out_of_memory = false;
    for (; p < end; p = next) {
        struct attr_entry e;
        struct wire_field f;

        if (!read_attr(p, end, field, &e, &f, &next)) {
            if (!behind && f.number > field)
                behind = p;
            continue;
        }
        if (!add_rest(m, run, p))
            return false;
        if (m->rest_before == SIZE_MAX)
            m->rest_before = m->n_rest;
        run = next;
        if (!add_entry(m, &e))
            return false;
    }
    return m->rest_before == SIZE_MAX ? add_rest_around(m, message, behind) : add_rest(m, run, end);
}

struct attr_entry *attr_map_find(const struct attr_map *m, struct slice key)
{
    for (size_t i = 0; i < m->n; i++)
        if (slice_eq(m->v[i].key, key))
            return &m->v[i];
    return NULL;
}

void attr_map_set(struct attr_map *m, struct attr_entry *e, struct slice value)
{
    e->value = value;
    e->rec = (struct slice){0};
    m->changed = true;
}

void attr_map_append(struct attr_map *m, struct slice key, struct slice value)
{
    if (add_entry(m, &(struct attr_entry){.key = key, .value = value}))
        m->changed = true;
}

void attr_map_put(struct attr_map *m, struct slice key, struct slice value)
{
    struct attr_entry *e = attr_map_find(m, key);

    if (e)
        attr_map_set(m, e, value);
    else
        attr_map_append(m, key, value);
}

void attr_map_remove(struct attr_map *m, struct attr_entry *e)
{
    *e = m->v[--m->n];
    m->changed = true;
}

void attr_map_remove_if(struct attr_map *m, bool (*gone)(void *ctx, const struct attr_entry *e), void *ctx)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->n; i++)
        if (!gone(ctx, &m->v[i]))
            m->v[kept++] = m->v[i];
    m->changed |= kept != m->n;
    m->n = kept;
}

uint8_t *attr_map_scratch(struct attr_map *m, size_t size)
{
    struct attr_chunk *c = m->chunks;

    size = (size + 7) & ~(size_t)7;
    if (UNLIKELY(size > c->cap - c->used)) {
        size_t cap = size > CHUNK_BYTES ? size : CHUNK_BYTES;

        if (!budget_charge(m->budget, MEM_INDEX, cap)) {
            m->out_of_memory = true;
            return NULL;
        }
        m->charged += cap;
        c = chunk_new(cap);
        if (!c) {
            m->out_of_memory = true;
            return NULL;
        }
        c->next = m->chunks;
        m->chunks = c;
    }
    c->used += size;
    return c->bytes + c->used - size;
}

struct slice attr_map_str(struct attr_map *m, struct slice s)
{
    size_t size = wire_rec_size(s.len);
    uint8_t *p = attr_map_scratch(m, size);

    if (!p)
        return (struct slice){0};
    wire_put_slice(wire_put_header(p, 1, s.len), s);
    return slice_of(p, size);
}

/* ---- writing ---- */

static size_t keyvalue_size(const struct attr_entry *e)
{
    return wire_rec_size(e->key.len) + wire_rec_size(e->value.len);
}

size_t attr_map_entries_size(const struct attr_map *m)
{
    size_t size = 0;

    for (size_t i = 0; i < m->n; i++)
        size += m->v[i].rec.p ? m->v[i].rec.len : wire_rec_size(keyvalue_size(&m->v[i]));
    return size;
}

size_t attr_map_size(const struct attr_map *m)
{
    size_t size = attr_map_entries_size(m);

    for (size_t i = 0; i < m->n_rest; i++)
        size += m->rest[i].len;
    return size;
}

uint8_t *attr_map_write_entries(const struct attr_map *m, uint8_t *dst)
{
    struct slice run = {0};

    for (size_t i = 0; i < m->n; i++) {
        const struct attr_entry *e = &m->v[i];

        if (e->rec.p && run.p && e->rec.p == run.p + run.len) { /* neighbours are one copy */
            run.len += e->rec.len;
            continue;
        }
        dst = wire_put_slice(dst, run);
        run = e->rec;
        if (e->rec.p)
            continue;
        dst = wire_put_header(dst, m->field, keyvalue_size(e));
        dst = wire_put_slice(wire_put_header(dst, KEYVALUE_KEY, e->key.len), e->key);
        dst = wire_put_slice(wire_put_header(dst, KEYVALUE_VALUE, e->value.len), e->value);
    }
    return wire_put_slice(dst, run);
}

uint8_t *attr_map_write(const struct attr_map *m, uint8_t *dst)
{
    for (size_t i = 0; i < m->rest_before; i++)
        dst = wire_put_slice(dst, m->rest[i]);
    dst = attr_map_write_entries(m, dst);
    for (size_t i = m->rest_before; i < m->n_rest; i++)
        dst = wire_put_slice(dst, m->rest[i]);
    return dst;
}
