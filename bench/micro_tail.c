/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tail sampling costs without the network: filing a span, deciding a trace, sending what is
 * kept, and the memory held for each byte that came over the wire. Policies: errors, slow traces,
 * 10 %; with "attributes" also one string attribute. Two shapes of traffic: spans of a trace side by
 * side in a request, and each in a request of its own.
 *
 *   build/obj/bench/micro_tail [traces] [spans per trace] [directory]
 *
 * With a directory also with storage in it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/attr.h"
#include "model/otlp_walk.h"
#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_restore.h"

enum { PER_REQUEST = 512, SLICE_MS = 5 };

static const char *const keys[] = {"http.request.method", "url.path", "http.response.status_code",
                                   "server.address", "user.id", "thread.name"};
static const char *const values[] = {"GET", "/api/carts/items", "200", "checkout-7", "u-81723", "worker-3"};

static void need(int rc)
{
    if (rc < 0)
        abort();
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void put_span(struct buf *out, uint64_t trace, uint64_t n)
{
    uint64_t id[2] = {mix(trace * 2 + 1), mix(trace * 2 + 2)}, span_id = mix(trace * 1000 + n) | 1;
    uint64_t at_ns = 1700000000000000000u + trace * 1000000;
    struct buf b = {0};
    uint8_t error[] = {0x18, 2};

    need(wire_put_bytes(&b, SPAN_TRACE_ID, slice_of(id, 16)));
    need(wire_put_bytes(&b, SPAN_SPAN_ID, slice_of(&span_id, 8)));
    need(wire_put_bytes(&b, SPAN_PARENT_ID, slice_of(&span_id, 8)));
    need(wire_put_bytes(&b, SPAN_NAME, slice_str("GET /api/carts/{id}")));
    need(wire_put_uint(&b, SPAN_KIND, 2));
    need(wire_put_fixed64(&b, SPAN_START, at_ns));
    need(wire_put_fixed64(&b, SPAN_END, at_ns + mix(trace) % 300000000));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        need(attr_put_str(&b, SPAN_ATTRIBUTES, slice_str(keys[i]), slice_str(values[i])));
    need(wire_put_bytes(&b, SPAN_STATUS, slice_of(error, mix(trace) % 100 == 0 && n == 0 ? 2 : 0)));
    need(wire_put_bytes(out, 2, slice_of(b.p, b.len)));
    buf_free(&b);
}

/* Request r of all: PER_REQUEST spans, side by side or each of another trace. */
static struct payload *make_request(struct budget *budget, uint64_t r, uint64_t first_trace, uint64_t traces, uint64_t per_trace, bool together)
{
    struct buf spans = {0}, group = {0}, resource = {0}, request = {0};

    for (uint64_t i = r * PER_REQUEST; i < (r + 1) * PER_REQUEST && i < traces * per_trace; i++)
        put_span(&spans, first_trace + (together ? i / per_trace : i % traces), together ? i % per_trace : i / traces);
    need(attr_put_str(&resource, RESOURCE_ATTRIBUTES, slice_str("service.name"), slice_str(values[r % 6])));
    need(attr_put_str(&resource, RESOURCE_ATTRIBUTES, slice_str("k8s.pod.name"), slice_str("checkout-5d8c7b9f6-abcde")));
    need(wire_put_bytes(&group, 1, slice_of(resource.p, resource.len)));
    need(wire_put_bytes(&group, 2, slice_of(spans.p, spans.len)));
    need(wire_put_bytes(&request, 1, slice_of(group.p, group.len)));
    buf_free(&spans);
    buf_free(&group);
    buf_free(&resource);

    size_t len = request.len;
    budget_force(budget, MEM_BODY, len);
    struct payload *p = payload_new(budget, &request.p, len, len);
    struct walk_report report;
    struct err err;
    need(otlp_walk(p, &report, &err) == WALK_OK ? 0 : -1);
    return p;
}

static uint64_t n_out;

static void count_out(struct host *h, struct batch **take)
{
    (void)h;
    n_out += (*take)->n_spans;
    batch_exported(take);
}

/* ---- storage ---- */

static const char *storage_dir;

static int place(struct component *c, const struct storage_owner *o, struct storage_place *out, struct err *err)
{
    (void)c;
    (void)o;
    (void)err;
    snprintf(out->dir, sizeof(out->dir), "%s", storage_dir);
    return 0;
}

static const struct storage_ops place_ops = {.open = place};
static const struct component_type storage_type = {.kind = EXTENSION, .name = "place", .storage = &place_ops};

static struct component *find_storage(const struct host *h, const char *id)
{
    static struct component storage = {.type = &storage_type};

    (void)h;
    (void)id;
    return &storage;
}

/* As the component does it. */
static void file_batch(struct tail_sampler *s, struct payload *p)
{
    struct batch *b = batch_new(&(struct payload *){payload_ref(p)}, NULL);

    need(tail_sampler_prepare(s, b->parts, b->n_parts, p->len, p->n_spans, false));
    s->log.stored = s->store ? tail_store_append(s->store, b) : 0;
    uint32_t stored = s->log.stored;
    tail_sampler_file(s, 0, 0, p->n_spans, NULL);
    tail_sampler_done(s);
    s->log.stored = 0;
    if (s->store)
        tail_store_unref(s->store, stored);
    batch_end(&b, FATE_FILTERED, &(struct answer_detail){.answer = ANSWER_OK});
}

struct result {
    double file_ns, decide_ns, held;
    double slice_ms; /* the longest */
};

/* What is due, in slices as the component does it. Returns the longest one's CPU time. */
static uint64_t work_off(struct tail_sampler *s)
{
    uint64_t longest_ns = 0;
    enum tail_work w;

    do {
        uint64_t from_ns = clock_cpu_ns();

        w = tail_sampler_work(s, SLICE_MS * NS_PER_MS);
        uint64_t took_ns = clock_cpu_ns() - from_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    } while (w == TAIL_MORE);
    return longest_ns;
}

/* One window full of traces, filed and decided. */
static struct result window(struct tail_sampler *s, uint64_t first_trace, uint64_t traces, uint64_t per_trace, bool together)
{
    uint64_t n = traces * per_trace, file_ns = 0, wire = 0;

    n_out = 0;
    for (uint64_t r = 0; r * PER_REQUEST < n; r++) {
        struct payload *p = make_request(s->host->budget, r, first_trace, traces, per_trace, together);

        ledger_accept(s->host->ledger, p->n_spans);
        wire += p->len;
        uint64_t from_ns = clock_cpu_ns();
        file_batch(s, p);
        file_ns += clock_cpu_ns() - from_ns;
        payload_unref(&p);
    }
    double held = (double)budget_used_by(s->host->budget, MEM_TAIL) / (double)wire;
    uint64_t from_ns = clock_cpu_ns(), longest_ns = 0;
    for (int i = 0; i < 3; i++) {
        s->log.pool_low = 0; /* no trimming: windows follow each other without a pause */
        tail_sampler_tick(s);
        uint64_t slice_ns = work_off(s);
        longest_ns = slice_ns > longest_ns ? slice_ns : longest_ns;
    }
    uint64_t decide_ns = clock_cpu_ns() - from_ns;
    if (s->host->ledger->held != 0)
        abort();
    return (struct result){(double)file_ns / (double)n, (double)decide_ns / (double)n, held, (double)longest_ns / NS_PER_MS};
}

/* The second window is reported: memory that is used again needs no page faults. */
static struct result run(uint64_t traces, uint64_t per_trace, bool together, const struct tail_settings *set)
{
    struct budget *budget = budget_new(0, 0);
    struct metric_set *metrics = metric_set_new();
    struct ledger ledger = {0};
    struct host h = {.budget = budget, .metrics = metrics, .n_workers = 1, .id = "tail_sampling",
                     .ledger = &ledger, .emit_fn = count_out, .extension_fn = find_storage};
    struct tail_shared *shared;
    struct tail_sampler s;
    struct err err;

    need(tail_shared_new(set, budget, 0, &shared, &err));
    tail_sampler_init(&s, &h, set, shared);
    if (storage_dir) {
        s.store = tail_store_new(&h, "place", &shared->shelves, set->num_traces, &s.metrics, &err);
        s.store->restored = true;
        tail_restore_done(&s);
    }
    double held = window(&s, 0, traces, per_trace, together).held;
    struct result r = window(&s, traces, traces, per_trace, together);
    r.held = held;
    tail_sampler_fini(&s);
    tail_shared_free(&shared);
    metric_set_free(&metrics);
    budget_free(&budget);
    return r;
}

static void report(const char *name, uint64_t traces, uint64_t per_trace, bool together, const struct tail_settings *set)
{
    struct result r = run(traces, per_trace, together, set);

    printf("%-36s file %5.0f ns/span, decide and send %5.0f ns/span (%.1f %% kept), %.2f bytes held a wire byte, longest slice %.1f ms\n",
           name, r.file_ns, r.decide_ns, 100.0 * (double)n_out / (double)(traces * per_trace), r.held, r.slice_ms);
}

int main(int argc, char **argv)
{
    static const char *const error[] = {"ERROR"}, *const path[] = {"/api/admin"};
    uint64_t traces = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    uint64_t per_trace = argc > 2 ? strtoull(argv[2], NULL, 10) : 8;
    struct policy_settings ps[] = {
        {.leaf = {.name = "errors", .type = "status_code", .status_code.status_codes = {error, 1}}},
        {.leaf = {.name = "slow", .type = "latency", .latency.threshold_ms = 299}},
        {.leaf = {.name = "some", .type = "probabilistic", .probabilistic = {"", 10}}},
        {.leaf = {.name = "admin", .type = "string_attribute", .string_attribute = {.key = "url.path", .values = {path, 1}}}},
    };
    struct tail_settings set = {.decision_wait_ns = 1000000000, .num_traces = traces * 2,
                                .policies = {ps, 3}, .sampling_strategy = "trace-complete"};

    hash_seed(0);
    printf("%llu traces of %llu spans\n", (unsigned long long)traces, (unsigned long long)per_trace);
    report("side by side", traces, per_trace, true, &set);
    report("scattered", traces, per_trace, false, &set);
    set.policies.n = 4;
    report("side by side, attributes", traces, per_trace, true, &set);
    report("scattered, attributes", traces, per_trace, false, &set);
    if (argc > 3) {
        storage_dir = argv[3];
        set.policies.n = 3;
        report("side by side, storage", traces, per_trace, true, &set);
        report("scattered, storage", traces, per_trace, false, &set);
    }
    return 0;
}
