/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon can hold at most, from the configuration alone:
 *
 *   budget   everything that requests, batches, traces and queues may charge; the ceiling that
 * holds tables   what components reserve beside it, from their keys fixed    the program itself and
 * each worker's loop and caches
 */
#include "cmd/memory.h"

#define FIXED_BYTES        (5ull << 20)
#define FIXED_WORKER_BYTES (1ull << 20)
#define MAX_TERMS          8

static void put_bytes(struct buf *out, uint64_t bytes)
{
    if (bytes >= 1ull << 30)
        buf_putf(out, "%10.2f GiB", (double)bytes / (1ull << 30));
    else if (bytes >= 1ull << 20)
        buf_putf(out, "%10.2f MiB", (double)bytes / (1ull << 20));
    else
        buf_putf(out, "%10.2f KiB", (double)bytes / 1024);
}

static void put_line(struct buf *out, uint64_t bytes, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void put_line(struct buf *out, uint64_t bytes, const char *fmt, ...)
{
    va_list ap;
    put_bytes(out, bytes);
    buf_puts(out, "  ");
    va_start(ap, fmt);
    buf_putv(out, fmt, ap);
    va_end(ap);
    buf_putc(out, '\n');
}

/* How many instances a worker has of it: one per pipeline for processors. */
static uint64_t instances(const struct plan *plan, const struct plan_component *c)
{
    uint64_t n = 0;
    if (c->type->kind != PROCESSOR)
        return c->used;
    for (size_t p = 0; p < plan->n_pipelines; p++)
        for (size_t i = 0; i < plan->pipelines[p].n_processors; i++)
            n += plan->pipelines[p].processors[i] == c;
    return n;
}

static uint64_t put_component(const struct plan *plan, const struct plan_component *c,
                              unsigned n_workers, struct buf *out)
{
    struct memory_term terms[MAX_TERMS] = {0};
    uint64_t n = instances(plan, c), sum = 0;
    if (!n || !c->type->memory)
        return 0;
    size_t n_terms = c->type->memory(c->settings, n_workers, terms, MAX_TERMS);
    if (c->type->gates_memory)
        n_terms += c->type->gates_memory(c->settings, n_workers, plan->gates, terms + n_terms, MAX_TERMS - n_terms);
    for (size_t i = 0; i < n_terms; i++) {
        if (n > 1)
            put_line(out, terms[i].bytes * n, "%s: %s, in %llu pipelines", c->id, terms[i].text,
                     (unsigned long long)n);
        else
            put_line(out, terms[i].bytes, "%s: %s", c->id, terms[i].text);
        sum += terms[i].bytes * n;
    }
    return sum;
}

void memory_print(const struct plan *plan, unsigned n_workers, struct buf *out)
{
    uint64_t fixed = FIXED_BYTES + n_workers * FIXED_WORKER_BYTES;
    uint64_t sum = plan->memory_limit_bytes + fixed;
    buf_puts(out, "Memory at most, from this configuration:\n");
    put_line(out, plan->memory_limit_bytes,
             "budget of requests, batches, held traces and queues (%s)",
             plan->memory_from_limiter ? "memory_limiter"
                                       : "no memory_limiter: 80% of what the process may use");
    for (size_t i = 0; i < plan->n_components; i++)
        sum += put_component(plan, &plan->components[i], n_workers, out);
    put_line(out, fixed, "program, and loops and caches of %u worker%s", n_workers,
             n_workers == 1 ? "" : "s");
    put_line(out, sum, "in all");
    put_line(out, plan->memory_soft_bytes,
             "of the budget in use: from here on receivers refuse new requests");
}
