/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pending batches of one batch processor: one for each combination of metadata values, or a
 * single one without metadata_keys. A combination, once seen, stays for the life of the processor;
 * the limit bounds how many, and each is charged to the budget. One worker.
 */
#ifndef TAILRACE_PROCESSORS_BATCH_SHARDS_H
#define TAILRACE_PROCESSORS_BATCH_SHARDS_H

#include "component/host.h"
#include "component/key.h"

struct shards;

struct shard {
    struct batch *pending;     /* NULL: nothing */
    struct request_info *info; /* what its batches carry: the metadata_keys only; NULL: none */
    bool stuck;                /* a batch was due, and there was no room for it */

    /* private to batch_shards.c */
    struct shards *all;
    struct shard *next; /* same bucket */
    struct timer *timer;
    uint64_t epoch_ns; /* the clock ticks at epoch + k periods */
    size_t charged;
    size_t key_len;
    uint8_t key[];
};

enum shard_result { SHARD_OK, SHARD_TOO_MANY, SHARD_NO_MEMORY };

/* tick(ctx, shard) is called when a shard's clock ticks while it has something pending. limit 0: any
 * number. period_ms 0: no clock. */
struct shards *shards_new(struct host *h, const struct str_list *metadata_keys, uint64_t limit, uint64_t period_ms,
                          void (*tick)(void *ctx, struct shard *sh), void *ctx) MUST_USE;
void shards_free(struct shards **s); /* the caller has taken what is pending; fine on NULL */

/* The shard of a request's metadata (info may be NULL); made when it is new. NULL with *why. */
struct shard *shards_find(struct shards *s, const struct request_info *info, enum shard_result *why) MUST_USE;
/* Without metadata_keys: the one there is, or NULL when nothing has come yet. */
const struct shard *shards_only(const struct shards *s);
uint64_t shards_count(const struct shards *s);
void shards_each(struct shards *s, void (*fn)(void *ctx, struct shard *sh), void *ctx);

/* After pending changed: the clock runs exactly while there is something pending. restart: a batch
 * was sent, ticks are counted from now. */
void shard_clock(struct shard *sh, uint64_t now_ns, bool restart);
void shard_stop(struct shard *sh);

#endif
