/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recording the policy: a record's scope is changed for one with the attributes added, interned like
 * any other, so that spans kept by the same policy still share their scope in the output. Only with
 * the gate; then it costs a copy of the scope for each record kept.
 */
#include "processors/tail_record.h"

#include "model/attr.h"

#define KEY_POLICY    "tailsampling.policy"
#define KEY_COMPOSITE "tailsampling.composite_policy"
#define KEY_CACHED    "tailsampling.cached_decision"

static bool is_written(struct slice key, const struct tail_stamp *stamp)
{
    return (stamp->policy && slice_eq(key, slice_str(KEY_POLICY))) ||
           (stamp->composite_sub && slice_eq(key, slice_str(KEY_COMPOSITE))) ||
           (stamp->cached && slice_eq(key, slice_str(KEY_CACHED)));
}

/* What the scope had, without entries of the keys that are written. */
static void copy_scope(struct slice scope, const struct tail_stamp *stamp, struct buf *out)
{
    struct field_iter it = field_iter(scope);
    struct field f;

    while (field_next(&it, &f)) {
        struct attr_iter one = attr_iter(f.rec, SCOPE_ATTRIBUTES);
        struct attr a;

        if (f.number != SCOPE_ATTRIBUTES || !attr_next(&one, &a) || !is_written(a.key, stamp))
            buf_put(out, f.rec.p, f.rec.len);
    }
}

static void put_text(struct buf *out, const char *key, const char *value)
{
    CHECK(attr_put_str(out, SCOPE_ATTRIBUTES, slice_str(key), slice_str(value)) == 0);
}

static uint32_t stamped(struct intern *in, uint32_t scope, const struct tail_policies *p, const struct tail_stamp *stamp)
{
    struct buf body = {0};

    copy_scope(intern_body(in, scope), stamp, &body);
    if (stamp->policy)
        put_text(&body, KEY_POLICY, p->policies[stamp->policy - 1].name);
    if (stamp->composite_sub)
        put_text(&body, KEY_COMPOSITE, p->subs[stamp->composite_sub - 1].name);
    if (stamp->cached)
        CHECK(attr_put(&body, SCOPE_ATTRIBUTES, slice_str(KEY_CACHED), &(struct any){.type = ANY_BOOL, .i = 1}) == 0);
    uint32_t new_scope = intern_variant(in, scope, slice_of(body.p, body.len));
    buf_free(&body);
    return new_scope;
}

/* Neighbours mostly share a scope: the last answer is kept. */
void tail_record(struct seg_log *l, struct intern *in, uint32_t first, const struct tail_policies *p, struct tail_stamp stamp)
{
    uint32_t from = 0, to = 0;

    for (uint32_t ref = first; ref; ref = seg_at(l, ref)->next) {
        struct record *r = seg_at(l, ref);

        if (r->scope != from) {
            if (to)
                intern_unref(in, to);
            from = r->scope;
            to = stamped(in, from, p, &stamp);
            if (!to) /* the system has no memory: it stays as it is */
                from = 0;
        }
        if (!to)
            continue;
        intern_ref(in, to);
        intern_unref(in, r->scope);
        r->scope = to;
    }
    if (to)
        intern_unref(in, to);
}
