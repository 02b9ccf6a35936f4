/* SPDX-License-Identifier: Apache-2.0 */
/* Building key sets: an open table, at most half full, keys in one block. See match.h. */
#include "model/match.h"

#include <stdlib.h>

#include "platform/mem.h"

static void keyset_add(struct keyset *k, const uint8_t *key, size_t len, int index)
{
    uint64_t head = key_head(key, len);
    uint32_t i = keyset_slot_of(head, len);
    struct keyset_slot *s;

    for (;; i++) {
        s = &k->slots[i & k->slot_mask];
        if (s->index < 0)
            break;
        if (s->len == len && memcmp(s->key, key, len) == 0)
            return;
    }
    *s = (struct keyset_slot){head, (uint32_t)len, index, key};
    k->lengths |= (uint64_t)1 << (len < 63 ? len : 63);
}

struct keyset *keyset_new(const char *const *keys, size_t n)
{
    struct keyset *k = mem_alloc(sizeof(*k));
    size_t n_slots = 2, text = 1;
    uint8_t *at;

    CHECK(n < INT32_MAX / 2);
    while (n_slots < 2 * n)
        n_slots *= 2;
    for (size_t i = 0; i < n; i++)
        text += strlen(keys[i]);
    k->slots = mem_alloc_array(n_slots, sizeof(*k->slots));
    k->slot_mask = (uint32_t)n_slots - 1;
    k->text = at = mem_alloc(text);
    for (size_t i = 0; i < n_slots; i++)
        k->slots[i].index = -1;
    for (size_t i = 0; i < n; i++) {
        size_t len = strlen(keys[i]);

        memcpy(at, keys[i], len);
        keyset_add(k, at, len, (int)i);
        at += len;
    }
    return k;
}

void keyset_free(struct keyset **kp)
{
    struct keyset *k = *kp;

    *kp = NULL;
    if (!k)
        return;
    free(k->slots);
    free(k->text);
    free(k);
}
