/* SPDX-License-Identifier: Apache-2.0 */
/* Moving spans to the worker that owns their trace: see tail_exchange.h. */
#include "processors/tail_exchange.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "processors/tail_store.h"

unsigned tail_owner(const uint8_t id[static 16], unsigned n_workers)
{
    uint64_t a, b;

    memcpy(&a, id, sizeof(a));
    memcpy(&b, id + 8, sizeof(b));
    uint64_t h = le64toh(a) ^ le64toh(b);
    h ^= h >> 30;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 27;
    h *= 0x94d049bb133111ebu;
    h ^= h >> 31;
    return (unsigned)(h % n_workers);
}

/* ---- gathering ---- */

void tail_exchange_init(struct tail_exchange *x, struct host *h)
{
    *x = (struct tail_exchange){.host = h};
    x->boxes = mem_alloc_array(h->n_workers, sizeof(*x->boxes));
    for (unsigned i = 0; i < h->n_workers; i++)
        x->boxes[i].waiting_end = &x->boxes[i].waiting;
}

static void *fit(struct tail_exchange *x, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    uint32_t more = *cap ? *cap : 64;
    budget_force(x->host->budget, MEM_TAIL, more * size);
    *cap += more;
    return mem_grow(array, *cap * size);
}

void tail_exchange_add(struct tail_exchange *x, unsigned to, struct payload *p, uint32_t first, uint32_t n)
{
    struct tail_outbox *box = &x->boxes[to];
    const struct part *last = box->n_parts ? &box->parts[box->n_parts - 1] : NULL;

    if (!last || last->payload != p || first < last->first) {
        box->parts = fit(x, box->parts, box->n_parts, &box->cap_parts, sizeof(*box->parts));
        box->parts[box->n_parts++] = (struct part){.payload = payload_ref(p), .first = first, .n = n};
    }
    box->runs = fit(x, box->runs, box->n_runs, &box->cap_runs, sizeof(*box->runs));
    box->runs[box->n_runs++] = (struct tail_run){box->n_parts - 1, first, n};
    box->parts[box->n_parts - 1].n = first + n - box->parts[box->n_parts - 1].first;
    box->n_spans += n;
    for (uint32_t i = first; i < first + n; i++)
        box->n_bytes += p->spans[i].rec_len;
}

void tail_exchange_request(struct tail_exchange *x, struct tail_store *store, uint32_t stored, bool restored, uint64_t age_s)
{
    x->store = store;
    x->stored = stored;
    x->restored = restored;
    x->age_s = age_s;
}

/* ---- messages ---- */

enum { RUN_ROOM = 256 /* what a run takes besides its bytes: record, trace, slot */ };

static struct tail_message *message_of(struct tail_exchange *x, struct tail_outbox *box)
{
    size_t parts_bytes = box->n_parts * sizeof(*box->parts);
    size_t runs_bytes = box->n_runs * sizeof(*box->runs);
    size_t room_bytes = box->n_bytes + box->n_runs * RUN_ROOM;
    struct tail_message *m = mem_alloc(sizeof(*m) + parts_bytes + runs_bytes);

    *m = (struct tail_message){.budget = x->host->budget,
                               .charged_bytes = sizeof(*m) + parts_bytes + runs_bytes + room_bytes,
                               .n_spans = box->n_spans, .n_bytes = box->n_bytes,
                               .n_parts = box->n_parts, .n_runs = box->n_runs};
    if (x->stored) {
        tail_store_ref(x->store, x->stored);
        m->origin = x->store;
        m->stored = x->stored;
        m->request_ns = x->store->items[x->stored].time_ns;
    }
    if (x->restored) {
        m->restored = true;
        m->age_s = x->age_s;
        atomic_fetch_add_explicit(&x->store->shelf->restoring, 1, memory_order_relaxed);
    }
    m->n_booked = x->restored ? 0 : m->n_spans;
    m->parts = (struct part *)(m + 1);
    m->runs = (struct tail_run *)(m->parts + m->n_parts);
    memcpy(m->parts, box->parts, parts_bytes);
    memcpy(m->runs, box->runs, runs_bytes);
    budget_force(m->budget, MEM_TAIL, m->charged_bytes);
    box->n_parts = box->n_runs = 0;
    box->n_spans = box->n_bytes = 0;
    return m;
}

void tail_message_free(struct tail_message **mp)
{
    struct tail_message *m = *mp;

    *mp = NULL;
    for (uint32_t i = 0; i < m->n_parts; i++)
        payload_unref(&m->parts[i].payload);
    budget_release(m->budget, MEM_TAIL, m->charged_bytes);
    free(m);
}

/* ---- posting ---- */

static void moved_out(struct ledger *l, uint64_t n_spans)
{
    l->held -= (int64_t)n_spans;
    l->moved_out += n_spans;
}

/* Once sent, the message is the other worker's: it is not looked at again. */
static bool message_post(struct tail_exchange *x, unsigned to, struct tail_message *m)
{
    uint64_t n = m->n_booked;

    if (!host_send(x->host, to, m))
        return false;
    moved_out(x->host->ledger, n);
    return true;
}

/* True when anything was sent. */
static bool box_post(struct tail_exchange *x, unsigned to)
{
    struct tail_outbox *box = &x->boxes[to];
    bool sent = false;

    if (box->n_runs) {
        struct tail_message *m = message_of(x, box);

        *box->waiting_end = m;
        box->waiting_end = &m->next;
        x->waiting_spans += m->n_booked;
        x->n_waiting++;
    }
    while (box->waiting) {
        struct tail_message *m = box->waiting, *next = m->next;
        uint64_t n = m->n_booked;

        if (!message_post(x, to, m))
            break;
        sent = true;
        x->waiting_spans -= n;
        x->n_waiting--;
        box->waiting = next;
        if (!next)
            box->waiting_end = &box->waiting;
    }
    return sent;
}

bool tail_exchange_post(struct tail_exchange *x)
{
    bool sent = false;

    for (unsigned to = 0; to < x->host->n_workers; to++)
        if (x->boxes[to].n_runs || x->boxes[to].waiting)
            sent |= box_post(x, to);
    if (sent)
        host_send_flush(x->host);
    return x->n_waiting == 0;
}

/* ---- end ---- */

/* Returns how many of its spans are on disk, where they stay. */
static uint64_t box_abandon(struct tail_outbox *box)
{
    uint64_t on_disk = 0;

    while (box->waiting) {
        struct tail_message *m = box->waiting;

        box->waiting = m->next;
        on_disk += m->stored ? m->n_booked : 0;
        tail_message_free(&m);
    }
    box->waiting_end = &box->waiting;
    return on_disk;
}

void tail_exchange_abandon(struct tail_exchange *x)
{
    uint64_t on_disk = 0;

    for (unsigned i = 0; i < x->host->n_workers; i++)
        on_disk += box_abandon(&x->boxes[i]);
    ledger_end(x->host->ledger, on_disk, FATE_STORED, DROP_NONE);
    ledger_end(x->host->ledger, x->waiting_spans - on_disk, FATE_DROPPED, DROP_SHUTDOWN);
    x->waiting_spans = 0;
    x->n_waiting = 0;
}

void tail_exchange_fini(struct tail_exchange *x)
{
    if (!x->boxes)
        return;
    tail_exchange_abandon(x);
    for (unsigned i = 0; i < x->host->n_workers; i++) {
        struct tail_outbox *box = &x->boxes[i];

        budget_release(x->host->budget, MEM_TAIL,
                       box->cap_parts * sizeof(*box->parts) + box->cap_runs * sizeof(*box->runs));
        free(box->parts);
        free(box->runs);
    }
    free(x->boxes);
    x->boxes = NULL;
}
