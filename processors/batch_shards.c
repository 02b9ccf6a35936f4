/* SPDX-License-Identifier: Apache-2.0 */
/* Pending batches by metadata values, and their clocks. See batch_shards.h. */
#include "processors/batch_shards.h"

#include <stdlib.h>

#include "platform/clock.h"
#include "platform/hash.h"

#define BUCKETS 256 /* chains of four at the default limit of 1000 */

struct shards {
    struct host *host;
    const struct str_list *keys;
    uint64_t limit, n, period_ms;
    void (*tick)(void *ctx, struct shard *sh);
    void *ctx;
    struct buf key; /* of the request at hand */
    struct shard *buckets[BUCKETS];
};

struct shards *shards_new(struct host *h, const struct str_list *metadata_keys, uint64_t limit, uint64_t period_ms,
                          void (*tick)(void *ctx, struct shard *sh), void *ctx)
{
    struct shards *s = mem_alloc(sizeof(*s));

    s->host = h;
    s->keys = metadata_keys;
    s->limit = limit;
    s->period_ms = period_ms;
    s->tick = tick;
    s->ctx = ctx;
    return s;
}

static void shard_free(struct shards *s, struct shard *sh)
{
    CHECK(!sh->pending);
    timer_free(&sh->timer);
    request_info_unref(&sh->info);
    budget_release(s->host->budget, MEM_INDEX, sh->charged);
    free(sh);
}

void shards_free(struct shards **sp)
{
    struct shards *s = *sp;

    if (!s)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (s->buckets[i]) {
            struct shard *sh = s->buckets[i];

            s->buckets[i] = sh->next;
            shard_free(s, sh);
        }
    buf_free(&s->key);
    free(s);
    *sp = NULL;
}

/* ---- one key for all values: per name a count, then length and bytes of each value ---- */

static void put_u32(struct buf *b, size_t v)
{
    uint32_t x = (uint32_t)v;

    buf_put(b, &x, sizeof(x));
}

static size_t values_of(const struct request_info *info, const char *name)
{
    size_t n = 0;

    while (request_info_get(info, name, n))
        n++;
    return n;
}

static void make_key(struct shards *s, const struct request_info *info)
{
    buf_clear(&s->key);
    for (size_t i = 0; i < s->keys->n; i++) {
        const char *name = s->keys->v[i];
        size_t n = info ? values_of(info, name) : 0;

        put_u32(&s->key, n);
        for (size_t k = 0; k < n; k++) {
            const char *v = request_info_get(info, name, k);

            put_u32(&s->key, strlen(v));
            buf_put(&s->key, v, strlen(v));
        }
    }
}

/* Only the headers that are metadata_keys go on. */
static struct request_info *keep_info(const struct shards *s, const struct request_info *info)
{
    struct request_info *kept;
    size_t n = 0;

    if (!info)
        return NULL;
    for (size_t i = 0; i < s->keys->n; i++)
        n += values_of(info, s->keys->v[i]);
    kept = request_info_new("", n);
    for (size_t i = 0, at = 0; i < s->keys->n; i++)
        for (size_t k = 0; k < values_of(info, s->keys->v[i]); k++, at++) {
            kept->headers[at].name = mem_dup(s->keys->v[i]);
            for (char *p = kept->headers[at].name; *p; p++)
                *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
            kept->headers[at].value = mem_dup(request_info_get(info, s->keys->v[i], k));
        }
    return kept;
}

/* ---- clock ---- */

static void on_timer(void *ctx)
{
    struct shard *sh = ctx;

    sh->all->tick(sh->all->ctx, sh);
}

void shard_clock(struct shard *sh, uint64_t now_ns, bool restart)
{
    uint64_t period_ns = sh->all->period_ms * NS_PER_MS, left_ns;

    if (restart)
        sh->epoch_ns = now_ns;
    if (!sh->pending) {
        timer_stop(sh->timer);
        return;
    }
    if (!restart && timer_active(sh->timer))
        return;
    left_ns = period_ns - (now_ns - sh->epoch_ns) % period_ns;
    timer_start(sh->timer, (left_ns + NS_PER_MS - 1) / NS_PER_MS, 0);
}

void shard_stop(struct shard *sh)
{
    timer_stop(sh->timer);
}

/* ---- finding ---- */

static struct shard *shard_new(struct shards *s, const struct request_info *info, enum shard_result *why)
{
    struct slice key = slice_of(s->key.p, s->key.len);
    size_t charged = sizeof(struct shard) + 2 * key.len + (s->keys->n ? 128 : 0); /* and the kept headers */
    struct shard *sh;

    if (s->limit > 0 && s->n >= s->limit) {
        *why = SHARD_TOO_MANY;
        return NULL;
    }
    if (!budget_charge(s->host->budget, MEM_INDEX, charged)) {
        *why = SHARD_NO_MEMORY;
        return NULL;
    }
    sh = mem_alloc(sizeof(*sh) + key.len);
    sh->all = s;
    sh->charged = charged;
    sh->epoch_ns = loop_now_ns(s->host->loop);
    sh->timer = timer_new(s->host->loop, __func__, on_timer, sh);
    if (s->keys->n)
        sh->info = keep_info(s, info);
    sh->key_len = key.len;
    if (key.len)
        memcpy(sh->key, key.p, key.len);
    s->n++;
    return sh;
}

struct shard *shards_find(struct shards *s, const struct request_info *info, enum shard_result *why)
{
    size_t at = 0;
    struct shard *sh;

    *why = SHARD_OK;
    if (s->keys->n) {
        make_key(s, info);
        at = hash_bytes(s->key.p, s->key.len) % BUCKETS;
    }
    for (sh = s->buckets[at]; sh; sh = sh->next)
        if (slice_eq(slice_of(sh->key, sh->key_len), slice_of(s->key.p, s->key.len)))
            return sh;
    sh = shard_new(s, info, why);
    if (sh) {
        sh->next = s->buckets[at];
        s->buckets[at] = sh;
    }
    return sh;
}

const struct shard *shards_only(const struct shards *s)
{
    return s->buckets[0];
}

uint64_t shards_count(const struct shards *s)
{
    return s->n;
}

void shards_each(struct shards *s, void (*fn)(void *ctx, struct shard *sh), void *ctx)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct shard *sh = s->buckets[i]; sh; sh = sh->next)
            fn(ctx, sh);
}
