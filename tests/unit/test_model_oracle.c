/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire walk against protobuf-c, over random requests, odd requests and damaged ones.
 *
 * Both must agree on what is malformed, except that the walk also refuses what protobuf-c takes:
 *   an id of a wrong length; values deeper than OTLP_MAX_DEPTH;
 *   an attribute with two keys or two values, a value with two members, a span with two statuses
 *   (decoders would have to merge these; no encoder writes them; a processor must not be told
 *   one thing and the backend another);
 *   a bool that is no varint, field number 0, a tag over 32 bits (protobuf-c does not look);
 * and never the other way round.
 *
 * On what both take, the index must say what the oracle's objects say, after dropping spans without
 * ids and repairing text (by a second, plainer implementation here). And what a batch encodes to,
 * read by the oracle again, must be exactly the chosen spans with their resources and scopes.
 */
#include <check.h>
#include <stdlib.h>

#include "model/attr.h"
#include "model/otlp_encode.h"
#include "model/otlp_walk.h"
#include "model/proto/otlp.pb-c.h"
#include "tests/lib/otlp_random.h"

enum { PLAIN_RUNS = 150, ODD_RUNS = 600, DAMAGED_RUNS = 6000 };

/* ---- the oracle ---- */

/* Length of the well-formed character at p; 0: none. By decoding, unlike utf8.c. */
static size_t character(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7f >> len);

    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

/* Is p[0..n) the beginning of some well-formed character? By trying all the ways to go on. */
static bool begins(const uint8_t *p, size_t n)
{
    uint8_t c[4];

    if (n >= 4)
        return false;
    memcpy(c, p, n);
    for (unsigned next = 0x80; next < 0xc0; next++) {
        c[n] = (uint8_t)next;
        if (character(c, n + 1) == n + 1 || (n < 3 && begins(c, n + 1)))
            return true;
    }
    return false;
}

static void repair(ProtobufCBinaryData *text, unsigned *repaired)
{
    struct buf out = {0};
    bool bad = false;

    for (size_t i = 0; i < text->len;) {
        size_t n = character(text->data + i, text->len - i);

        if (n > 0) {
            buf_put(&out, text->data + i, n);
            i += n;
            continue;
        }
        bad = true;
        buf_puts(&out, "\xef\xbf\xbd");
        n = 1;
        while (i + n < text->len && begins(text->data + i, n + 1))
            n++;
        i += n;
    }
    if (!bad) {
        buf_free(&out);
        return;
    }
    ++*repaired;
    free(text->data);
    text->data = out.p;
    text->len = out.len;
}

static bool is_text(const ProtobufCFieldDescriptor *f)
{
    return f->type == PROTOBUF_C_TYPE_BYTES && strcmp(f->name, "trace_id") != 0 &&
           strcmp(f->name, "span_id") != 0 && strcmp(f->name, "parent_span_id") != 0 &&
           strcmp(f->name, "bytes_value") != 0;
}

static void repair_tree(ProtobufCMessage *m, unsigned *repaired);

static void repair_member(const ProtobufCFieldDescriptor *f, void *member, unsigned *repaired)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        ProtobufCMessage *sub = *(ProtobufCMessage **)member;

        if (sub)
            repair_tree(sub, repaired);
    } else if (is_text(f)) {
        repair(member, repaired);
    }
}

static void repair_tree(ProtobufCMessage *m, unsigned *repaired)
{
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        uint8_t *member = (uint8_t *)m + f->offset;
        size_t n = 1, each = f->type == PROTOBUF_C_TYPE_MESSAGE ? sizeof(void *)
                                                                 : sizeof(ProtobufCBinaryData);

        if (f->type != PROTOBUF_C_TYPE_MESSAGE && f->type != PROTOBUF_C_TYPE_BYTES)
            continue;
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
            *(uint32_t *)((uint8_t *)m + f->quantifier_offset) != f->id)
            continue;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            n = *(size_t *)((uint8_t *)m + f->quantifier_offset);
            member = *(uint8_t **)member;
        }
        for (size_t k = 0; k < n; k++)
            repair_member(f, member + k * each, repaired);
    }
}

static bool id_fits(const ProtobufCBinaryData *id, size_t n)
{
    return id->len == 0 || id->len == n;
}

static bool id_is_set(const ProtobufCBinaryData *id)
{
    for (size_t i = 0; i < id->len; i++)
        if (id->data[i])
            return true;
    return false;
}

/* One span as the oracle sees it. */
struct seen {
    Otlp__ResourceSpans *resource;
    Otlp__ScopeSpans *scope;
    Otlp__Span *span;
};

struct oracle {
    Otlp__ExportRequest *request;
    struct seen *spans; /* those with ids */
    size_t n, cap;
    bool bad_ids;
    unsigned zero_trace_ids, zero_span_ids, repaired;
};

static bool span_ids_fit(const Otlp__Span *s)
{
    bool fit = id_fits(&s->trace_id, 16) && id_fits(&s->span_id, 8) && id_fits(&s->parent_span_id, 8);

    for (size_t i = 0; i < s->n_links; i++)
        fit = fit && id_fits(&s->links[i]->trace_id, 16) && id_fits(&s->links[i]->span_id, 8);
    return fit;
}

static void oracle_span(struct oracle *o, struct seen s, bool forgotten)
{
    if (!span_ids_fit(s.span))
        o->bad_ids = true;
    if (forgotten)
        return;
    if (!id_is_set(&s.span->trace_id)) {
        o->zero_trace_ids++;
        return;
    }
    if (!id_is_set(&s.span->span_id)) {
        o->zero_span_ids++;
        return;
    }
    if (o->n == o->cap) {
        o->cap = o->cap * 2 + 16;
        o->spans = realloc(o->spans, o->cap * sizeof(*o->spans));
        ck_assert_ptr_nonnull(o->spans);
    }
    repair_tree(&s.span->base, &o->repaired);
    o->spans[o->n++] = s;
}

static void oracle_scopes(struct oracle *o, Otlp__ResourceSpans *r, Otlp__ScopeSpans **scopes,
                          size_t n, bool forgotten)
{
    for (size_t i = 0; i < n; i++) {
        size_t before = o->n;

        for (size_t k = 0; k < scopes[i]->n_spans; k++)
            oracle_span(o, (struct seen){r, scopes[i], scopes[i]->spans[k]}, forgotten);
        if (o->n > before) {
            if (scopes[i]->scope)
                repair_tree(&scopes[i]->scope->base, &o->repaired);
            repair(&scopes[i]->schema_url, &o->repaired);
        }
    }
}

static struct oracle oracle_read(const uint8_t *p, size_t len)
{
    struct oracle o = {.request = otlp__export_request__unpack(NULL, len, p)};

    for (size_t i = 0; o.request && i < o.request->n_resource_spans; i++) {
        Otlp__ResourceSpans *r = o.request->resource_spans[i];
        size_t before = o.n;

        oracle_scopes(&o, r, r->scope_spans, r->n_scope_spans, false);
        oracle_scopes(&o, r, r->legacy_scope_spans, r->n_legacy_scope_spans, r->n_scope_spans > 0);
        if (o.n > before) {
            if (r->resource)
                repair_tree(&r->resource->base, &o.repaired);
            repair(&r->schema_url, &o.repaired);
        }
    }
    return o;
}

static void oracle_free(struct oracle *o)
{
    if (o->request)
        otlp__export_request__free_unpacked(o->request, NULL);
    free(o->spans);
}

/* ---- comparing ---- */

static struct buf packed(const ProtobufCMessage *m)
{
    struct buf b = {0};

    if (!m)
        return b;
    ck_assert_int_eq(buf_reserve(&b, protobuf_c_message_get_packed_size(m) + 1), 0);
    b.len = protobuf_c_message_pack(m, b.p);
    return b;
}

static void assert_same_message(const ProtobufCMessage *a, const ProtobufCMessage *b)
{
    struct buf x = packed(a), y = packed(b);

    ck_assert_uint_eq(x.len, y.len);
    ck_assert(x.len == 0 || memcmp(x.p, y.p, x.len) == 0);
    buf_free(&x);
    buf_free(&y);
}

static void assert_same_text(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    ck_assert(slice_eq(slice_of(a.data, a.len), slice_of(b.data, b.len)));
}

static void assert_same_seen(const struct seen *a, const struct seen *b)
{
    static const Otlp__Resource no_resource = OTLP__RESOURCE__INIT;
    static const Otlp__Scope no_scope = OTLP__SCOPE__INIT;
    const Otlp__Resource *ra = a->resource->resource, *rb = b->resource->resource;
    const Otlp__Scope *sa = a->scope->scope, *sb = b->scope->scope;

    assert_same_message(&a->span->base, &b->span->base);
    assert_same_message(ra ? &ra->base : &no_resource.base, rb ? &rb->base : &no_resource.base);
    assert_same_message(sa ? &sa->base : &no_scope.base, sb ? &sb->base : &no_scope.base);
    assert_same_text(a->resource->schema_url, b->resource->schema_url);
    assert_same_text(a->scope->schema_url, b->scope->schema_url);
}

static void assert_facts(const struct span *s, const Otlp__Span *o)
{
    uint32_t kind = (uint32_t)o->kind, code = o->status ? (uint32_t)o->status->code : 0;

    ck_assert_mem_eq(s->trace_id, o->trace_id.data, 16);
    ck_assert_mem_eq(s->span_id, o->span_id.data, 8);
    ck_assert_uint_eq(s->start_ns, o->start_time_unix_nano);
    ck_assert_uint_eq(s->end_ns, o->end_time_unix_nano);
    ck_assert_uint_eq(s->kind, kind > 5 ? 255 : kind);
    ck_assert_uint_eq(s->status, code > 2 ? 255 : code);
    ck_assert_uint_eq(s->w3c_flags, o->flags);
    ck_assert_int_eq((s->flags & SPAN_ROOT) != 0, !id_is_set(&o->parent_span_id));
    ck_assert_int_eq((s->flags & SPAN_HAS_EVENTS) != 0, o->n_events > 0);
    ck_assert_int_eq((s->flags & SPAN_HAS_LINKS) != 0, o->n_links > 0);
    ck_assert_int_eq((s->flags & SPAN_HAS_STATE) != 0, o->trace_state.len > 0);
    ck_assert_int_eq(s->flags & SPAN_DROPPED, 0);
}

/* The tables point at each other as they must. */
static void assert_index(const struct payload *p)
{
    uint32_t scopes = 0, spans = 0;

    for (uint32_t i = 0; i < p->n_resources; i++) {
        ck_assert_uint_eq(p->resources[i].first_scope, scopes);
        ck_assert_uint_gt(p->resources[i].n_scopes, 0);
        for (; scopes < p->resources[i].first_scope + p->resources[i].n_scopes; scopes++) {
            const struct scope *s = &p->scopes[scopes];

            ck_assert_uint_eq(s->resource, i);
            ck_assert_uint_eq(s->first_span, spans);
            ck_assert_uint_gt(s->n_spans, 0);
            ck_assert(s->intact || !p->resources[i].intact);
            for (; spans < s->first_span + s->n_spans; spans++)
                ck_assert_uint_eq(p->spans[spans].scope, scopes);
        }
        ck_assert(p->resources[i].intact || !p->intact);
    }
    ck_assert_uint_eq(scopes, p->n_scopes);
    ck_assert_uint_eq(spans, p->n_spans);
}

/* What the batch encodes to is, to the oracle, exactly these spans of o. */
static void assert_encodes_to(const struct batch *b, const struct oracle *o, const size_t *chosen,
                              size_t n)
{
    struct encoded e = {0};
    struct oracle again;
    struct buf copy = {0};

    ck_assert_int_eq(otlp_encode(b, &e), 0);
    ck_assert_uint_eq(e.len, otlp_encoded_size(b));
    ck_assert_int_eq(buf_reserve(&copy, e.len + 1), 0);
    encoded_copy(&e, copy.p);
    again = oracle_read(copy.p, e.len);
    ck_assert_ptr_nonnull(again.request);
    ck_assert_uint_eq(again.n, n);
    ck_assert_uint_eq(again.zero_trace_ids + again.zero_span_ids, 0);
    ck_assert_uint_eq(again.repaired, 0);
    for (size_t i = 0; i < n; i++)
        assert_same_seen(&again.spans[i], &o->spans[chosen[i]]);
    oracle_free(&again);
    buf_free(&copy);
    encoded_free(&e);
}

static struct payload *payload_of(const struct buf *b)
{
    uint8_t *bytes = malloc(b->len + 1);

    ck_assert_ptr_nonnull(bytes);
    if (b->len)
        memcpy(bytes, b->p, b->len);
    bytes = realloc(bytes, b->len ? b->len : 1); /* so that a read too far is seen */
    return payload_new(NULL, &bytes, b->len, 0);
}

/* The whole batch, then a random stretch of it, then random spans dropped from the rest. */
static void check_encoding(struct payload **p, const struct oracle *o, struct otlp_random *r)
{
    struct batch *b = batch_new(p, NULL), *head;
    size_t *chosen = calloc(o->n, sizeof(*chosen)), from, n = 0;
    struct payload *own;

    ck_assert_ptr_nonnull(chosen);
    for (size_t i = 0; i < o->n; i++)
        chosen[i] = i;
    assert_encodes_to(b, o, chosen, o->n);
    if (o->n < 2)
        goto out;
    from = 1 + otlp_random_below(r, o->n - 1);
    head = batch_split(b, from);
    assert_encodes_to(head, o, chosen, from);
    assert_encodes_to(b, o, chosen + from, o->n - from);
    own = batch_edit(b, 0);
    for (size_t i = from; i < o->n; i++) {
        if (otlp_random_one_in(r, 2))
            payload_drop_span(own, (uint32_t)(i - from));
        else
            chosen[n++] = i;
    }
    batch_settle(b, FATE_FILTERED, DROP_NONE);
    ck_assert_uint_eq(b->n_spans, n);
    if (n > 0)
        assert_index(own);
    assert_encodes_to(b, o, chosen, n);
    batch_exported(&head);
out:
    batch_exported(&b);
    free(chosen);
}

static const char *const stricter[] = {
    "two keys or two values",
    "two members",
    "two statuses",
    "field number 0",
    "has neither", /* ids: protobuf-c keeps the last of several, the walk looks at each */
};

static size_t stopped_at(const struct err *err)
{
    const char *number = strrchr(err->text, ' ');

    ck_assert_ptr_nonnull(number);
    return strtoul(number, NULL, 10);
}

/* Did the walk stop at AnyValue.bool_value with a wrong wire type? */
static bool stopped_at_a_bool(const struct err *err, const struct buf *bytes)
{
    size_t at = stopped_at(err);

    return strstr(err->text, "wrong wire type") && at > 0 && bytes->p[at - 1] >> 3 == 2;
}

static bool stopped_at_a_wide_tag(const struct err *err, const struct buf *bytes)
{
    size_t at = stopped_at(err);
    bool wide = strstr(err->text, "a tag") && at + 5 <= bytes->len && bytes->p[at + 4] > 0x0f;

    for (size_t i = 0; wide && i < 4; i++)
        wide = bytes->p[at + i] >= 0x80;
    return wide;
}

static bool stricter_than_the_oracle(const struct err *err, const struct buf *bytes)
{
    for (size_t i = 0; i < ARRAY_LEN(stricter); i++)
        if (strstr(err->text, stricter[i]))
            return true;
    return stopped_at_a_bool(err, bytes) || stopped_at_a_wide_tag(err, bytes);
}

struct tally {
    unsigned taken, malformed, stricter;
};

static void check_one(const struct buf *bytes, struct otlp_random *r, struct tally *t)
{
    struct oracle o = oracle_read(bytes->p, bytes->len);
    struct payload *p = payload_of(bytes);
    struct walk_report report;
    struct err err = {0};
    enum walk_result result = otlp_walk(p, &report, &err);

    ck_assert_int_ne(result, WALK_NO_MEMORY);
    if (!o.request || o.bad_ids) {
        ck_assert_msg(result == WALK_MALFORMED, "the oracle refuses what the walk takes");
        t->malformed++;
    } else if (result == WALK_MALFORMED) {
        ck_assert_msg(stricter_than_the_oracle(&err, bytes), "only the walk says: %s", err.text);
        t->stricter++;
    } else {
        t->taken++;
        ck_assert_uint_eq(report.spans, o.n);
        ck_assert_uint_eq(report.rejected_trace_id, o.zero_trace_ids);
        ck_assert_uint_eq(report.rejected_span_id, o.zero_span_ids);
        ck_assert_uint_ge(report.repaired_strings, o.repaired);
        assert_index(p);
        for (size_t i = 0; i < o.n; i++)
            assert_facts(&p->spans[i], o.spans[i].span);
        check_encoding(&p, &o, r);
    }
    payload_unref(&p);
    oracle_free(&o);
}

START_TEST(plain_requests_are_read_alike)
{
    struct otlp_random r = {.state = 1};
    struct tally t = {0};

    for (int i = 0; i < PLAIN_RUNS; i++) {
        struct buf b = {0};

        otlp_random_request(&r, &b);
        check_one(&b, &r, &t);
        buf_free(&b);
    }
    ck_assert_uint_eq(t.taken, PLAIN_RUNS);
}
END_TEST

START_TEST(odd_requests_are_read_alike)
{
    struct otlp_random r = {.state = 2, .odd = true};
    struct tally t = {0};

    for (int i = 0; i < ODD_RUNS; i++) {
        struct buf b = {0};

        otlp_random_request(&r, &b);
        check_one(&b, &r, &t);
        buf_free(&b);
    }
    ck_assert_uint_eq(t.taken, ODD_RUNS);
}
END_TEST

/* _i: another seed for each run of the loop test. */
START_TEST(damaged_requests_are_judged_alike)
{
    struct otlp_random r = {
        .state = 3 + (uint64_t)_i, .odd = _i > 0, .max_resources = 1, .max_scopes = 1, .max_spans = 2};
    struct tally t = {0};

    for (int i = 0; i < DAMAGED_RUNS; i++) {
        struct buf b = {0};

        otlp_random_request(&r, &b);
        otlp_random_damage(&r, &b);
        check_one(&b, &r, &t);
        buf_free(&b);
    }
    /* The damage hits everything: each kind of verdict is frequent. */
    ck_assert_uint_gt(t.taken, DAMAGED_RUNS / 20);
    ck_assert_uint_gt(t.malformed, DAMAGED_RUNS / 20);
    ck_assert_uint_gt(t.stricter, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("walk against protobuf-c");
    TCase *t = tcase_create("oracle");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, plain_requests_are_read_alike);
    tcase_add_test(t, odd_requests_are_read_alike);
    tcase_add_loop_test(t, damaged_requests_are_judged_alike, 0, 2);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
