/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiled sets of attribute keys: one look at length and first eight bytes rejects nearly all.
 * Immutable after the build, shared by all workers.
 */
#ifndef TAILRACE_MODEL_MATCH_H
#define TAILRACE_MODEL_MATCH_H

#include "platform/buf.h"

/* Private to match.c and the inline look-up. */
struct keyset_slot {
    uint64_t head; /* key_head() */
    uint32_t len;
    int32_t index; /* -1: empty */
    const uint8_t *key;
};

struct keyset {
    uint64_t lengths;   /* bit min(length, 63) is set when a key has that length */
    uint32_t slot_mask; /* slots are a power of two, at most half full */
    struct keyset_slot *slots;
    uint8_t *text; /* the keys, one after the other */
};

/* Keys are copied; duplicates keep the first index. n may be 0. */
struct keyset *keyset_new(const char *const *keys, size_t n) MUST_USE;
void keyset_free(struct keyset **k);

/* The first eight bytes, or for shorter keys all of them, which with the length is the whole key. */
static inline uint64_t key_head(const uint8_t *p, size_t len)
{
    uint64_t a;
    uint32_t b, c;

    if (LIKELY(len >= 8)) {
        memcpy(&a, p, 8);
        return a;
    }
    if (len >= 4) {
        memcpy(&b, p, 4);
        memcpy(&c, p + len - 4, 4);
        return b | (uint64_t)c << 32;
    }
    if (len == 0)
        return 0;
    return p[0] | (uint64_t)p[len / 2] << 8 | (uint64_t)p[len - 1] << 16;
}

static inline uint32_t keyset_slot_of(uint64_t head, size_t len)
{
    return (uint32_t)(((head ^ len) * 0x9e3779b97f4a7c15u) >> 32);
}

/* The index given to keyset_new, or -1. */
static inline int keyset_find(const struct keyset *k, struct slice key)
{
    uint64_t head;

    if (LIKELY(!(k->lengths >> (key.len < 63 ? key.len : 63) & 1)))
        return -1;
    head = key_head(key.p, key.len);
    for (uint32_t i = keyset_slot_of(head, key.len);; i++) {
        const struct keyset_slot *s = &k->slots[i & k->slot_mask];

        if (s->index < 0)
            return -1;
        if (s->head == head && s->len == key.len &&
            (key.len <= 8 || memcmp(s->key + 8, key.p + 8, key.len - 8) == 0))
            return s->index;
    }
}

#endif
