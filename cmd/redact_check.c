/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report. For each pipeline its redaction processors are run over the input one after the other, as
 * the daemon would; other processors are not. Then each rule is run alone, in a processor whose
 * settings are those of the configuration with all other rules taken out, and what differs is what the
 * rule hits. Rules that let attributes pass are found by what they save from a processor that masks
 * everything. The processor is the daemon's own, reached through its type: nothing is said here about
 * how it works.
 *
 * Samples come from the end of the chain with whatever the detectors know masked on top.
 * Limits: MOST_KEYS keys a rule are told apart. Everything is in memory.
 */
#include "cmd/redact_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/detectors.h"
#include "cmd/redact_pieces.h"
#include "cmd/redact_run.h"

#define MOST_KEYS    1000
#define SAMPLE_BYTES 60

/* ---- findings: by place and key ---- */

struct finding {
    enum place place;
    char *key;
    uint64_t n;
    struct buf sample; /* empty: none */
};

struct findings {
    struct finding *v;
    size_t n;
    uint64_t sum, beyond; /* beyond: of keys that found no room */
};

static struct finding *finding_of(struct findings *fs, enum place place, struct slice key)
{
    for (size_t i = 0; i < fs->n; i++)
        if (fs->v[i].place == place && slice_eq(slice_str(fs->v[i].key), key))
            return &fs->v[i];
    if (fs->n == MOST_KEYS)
        return NULL;
    fs->v = mem_grow(fs->v, (fs->n + 1) * sizeof(*fs->v));
    fs->v[fs->n] = (struct finding){.place = place, .key = mem_dup_n((const char *)key.p, key.len)};
    return &fs->v[fs->n++];
}

/* Counts; returns where a sample may be put, NULL when there is one. */
static struct buf *count(struct findings *fs, enum place place, struct slice key)
{
    struct finding *f = finding_of(fs, place, key);

    fs->sum++;
    if (!f) {
        fs->beyond++;
        return NULL;
    }
    return f->n++ == 0 ? &f->sample : NULL;
}

static int most_first(const void *a, const void *b)
{
    const struct finding *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return x->place != y->place ? (int)x->place - (int)y->place : strcmp(x->key, y->key);
}

static void put_findings(struct buf *out, struct findings *fs)
{
    if (fs->n)
        qsort(fs->v, fs->n, sizeof(*fs->v), most_first);
    for (size_t i = 0; i < fs->n; i++) {
        struct finding *f = &fs->v[i];

        buf_putf(out, "    %8llu  %s", (unsigned long long)f->n, place_name(f->place));
        if (f->key[0])
            buf_putf(out, "  %.200s", f->key);
        if (f->sample.len)
            buf_putf(out, "  \"%.*s\"", (int)f->sample.len, (const char *)f->sample.p);
        buf_putc(out, '\n');
    }
    if (fs->beyond)
        buf_putf(out, "    %8llu  in further keys\n", (unsigned long long)fs->beyond);
}

static void findings_free(struct findings *fs)
{
    for (size_t i = 0; i < fs->n; i++) {
        free(fs->v[i].key);
        buf_free(&fs->v[i].sample);
    }
    free(fs->v);
    *fs = (struct findings){0};
}

/* ---- rules: one list entry, a whole list, or a sanitizer ---- */

enum effect { DELETES, MASKS, SAVES };

static const struct rule_list {
    const char *key; /* of the processor's settings */
    enum effect effect;
    const char *title;
} rule_lists[] = {
    {"ignored_keys", SAVES, "ignored_keys"},
    {"ignored_key_patterns", SAVES, "ignored_key_patterns"},
    {"allowed_keys", DELETES, "not in allowed_keys"},
    {"allowed_values", SAVES, "allowed_values"},
    {"blocked_key_patterns", MASKS, "blocked_key_patterns"},
    {"blocked_values", MASKS, "blocked_values"},
    {"url_sanitizer", MASKS, "url_sanitizer"},
    {"db_sanitizer", MASKS, "db_sanitizer"},
};

static const struct key *key_row(const struct component_type *type, const char *name)
{
    const struct key *k = type->keys;

    while (k->name && strcmp(k->name, name) != 0)
        k++;
    CHECK(k->name);
    return k;
}

/* Settings with one rule alone. */
struct variant {
    const struct component_type *type;
    uint8_t *settings;
};

static struct str_list *list_in(const struct variant *v, const char *key)
{
    const struct key *k = key_row(v->type, key);

    CHECK(k->type == KEY_T_STRS);
    return (struct str_list *)(void *)(v->settings + k->offset);
}

static void set_bool(const struct variant *v, const char *key, bool value)
{
    const struct key *k = key_row(v->type, key);

    CHECK(k->type == KEY_T_BOOL);
    memcpy(v->settings + k->offset, &value, sizeof(value));
}

static void set_text(const struct variant *v, const char *key, const char *value)
{
    const struct key *k = key_row(v->type, key);

    CHECK(k->type == KEY_T_STR);
    memcpy(v->settings + k->offset, &value, sizeof(value));
}

static void set_list(const struct variant *v, const char *key, const char *const *one, size_t n)
{
    *list_in(v, key) = (struct str_list){one, n};
}

static bool is_sanitizer(const struct component_type *type, const char *key)
{
    return key_row(type, key)->type == KEY_T_SECTION;
}

/* Whether something in a section is enabled; off: it no longer is. */
static bool section_enabled(const struct key *section, uint8_t *parent, bool off)
{
    bool any = false, one, no = false;

    for (const struct key *k = section->sub; k->name; k++) {
        uint8_t *field = parent + section->offset + k->offset;

        if (k->type == KEY_T_SECTION) {
            any |= section_enabled(k, parent + section->offset, off);
        } else if (strcmp(k->name, "enabled") == 0) {
            memcpy(&one, field, sizeof(one));
            any |= one;
            if (off)
                memcpy(field, &no, sizeof(no));
        }
    }
    return any;
}

/* All but that one. */
static void sanitizers_off(const struct variant *v, const char *but)
{
    for (size_t i = 0; i < ARRAY_LEN(rule_lists); i++)
        if (is_sanitizer(v->type, rule_lists[i].key) && strcmp(rule_lists[i].key, but) != 0)
            section_enabled(key_row(v->type, rule_lists[i].key), v->settings, true);
}

/* A rule that masks or deletes still spares what the sparing rules spare. */
static struct variant variant_of(const struct plan_component *c, const struct rule_list *rl, size_t entry)
{
    static const char *const everything[] = {"(?s).*"};
    struct variant v = {c->type, mem_alloc(c->type->settings_size)};
    struct str_list all = {0};

    memcpy(v.settings, c->settings, c->type->settings_size);
    if (!is_sanitizer(v.type, rl->key))
        all = *list_in(&v, rl->key);
    sanitizers_off(&v, rl->key);
    set_text(&v, "summary", "");
    set_text(&v, "hash_function", "");
    set_bool(&v, "allow_all_keys", rl->effect != DELETES);
    set_list(&v, "blocked_key_patterns", NULL, 0);
    set_list(&v, "blocked_values", NULL, 0);
    if (rl->effect == SAVES) {
        set_list(&v, "ignored_keys", NULL, 0);
        set_list(&v, "ignored_key_patterns", NULL, 0);
        set_list(&v, "allowed_values", NULL, 0);
        set_list(&v, "blocked_key_patterns", everything, 1);
    }
    if (rl->effect != DELETES && all.n)
        set_list(&v, rl->key, all.v + entry, 1);
    return v;
}

/* ---- comparing ---- */

struct comparison {
    enum effect effect;
    const struct detectors *detectors;
    struct findings *found;
};

static void put_sample(const struct comparison *c, struct buf *sample, struct slice end)
{
    if (sample)
        detectors_put_safe(c->detectors, sample, end, SAMPLE_BYTES);
}

static void sample_value(const struct comparison *c, struct buf *sample, const struct piece *end, struct slice key)
{
    struct buf text = {0};
    struct attr a;

    struct any v;

    if (!sample || c->effect != MASKS || !attr_find(end->body, end->field, key, &a))
        return;
    v = any_parse(a.value);
    if (any_as_string(&v, &text) == 0)
        put_sample(c, sample, slice_of(text.p, text.len));
    buf_free(&text);
}

static void compare_attributes(const struct comparison *c, const struct piece *in, const struct piece *out, const struct piece *end)
{
    struct attr_iter it = attr_iter(in->body, in->field);
    struct attr a, b;

    while (attr_next(&it, &a)) {
        bool there = attr_find(out->body, out->field, a.key, &b);
        bool same = there && slice_eq(a.value, b.value);
        bool hit = c->effect == DELETES ? !there : c->effect == MASKS ? there && !same : same;

        if (hit)
            sample_value(c, count(c->found, in->place, a.key), end, a.key);
    }
}

static void compare_pieces(const struct comparison *c, const struct pieces *in, const struct pieces *out, const struct pieces *end)
{
    CHECK(in->n == out->n && in->n == end->n);
    for (size_t i = 0; i < in->n; i++) {
        if (in->v[i].field)
            compare_attributes(c, &in->v[i], &out->v[i], &end->v[i]);
        else if (c->effect == MASKS && !slice_eq(in->v[i].body, out->v[i].body))
            put_sample(c, count(c->found, in->v[i].place, slice_of("", 0)), end->v[i].body);
    }
}

static void compare(const struct comparison *c, const struct requests *in, const struct requests *out, const struct requests *end)
{
    for (size_t i = 0; i < in->n; i++) {
        struct pieces a = pieces_of(in->v[i]), b = pieces_of(out->v[i]), e = pieces_of(end->v[i]);

        compare_pieces(c, &a, &b, &e);
        pieces_free(&a);
        pieces_free(&b);
        pieces_free(&e);
    }
}

/* ---- the report ---- */

struct report {
    struct detectors *detectors;
    struct budget *budget;
    struct buf *out;
};

static void put_rule(struct report *r, const struct rule_list *rl, const char *pattern, struct findings *found)
{
    buf_putf(r->out, "    %s", rl->title);
    if (pattern)
        buf_putf(r->out, " '%.200s'", pattern);
    if (found->sum == 0)
        buf_puts(r->out, ": nothing\n");
    else
        buf_putf(r->out, ": %llu %s\n", (unsigned long long)found->sum, rl->effect == SAVES ? "spared" : rl->effect == MASKS ? "masked" : "deleted");
    put_findings(r->out, found);
}

static int check_rule(struct report *r, const struct plan_component *c, const struct rule_list *rl, size_t entry,
                      const struct requests *in, const struct requests *end, struct err *err)
{
    struct variant v = variant_of(c, rl, entry);
    struct findings found = {0};
    struct requests out;
    int rc = requests_process(in, v.type, v.settings, r->budget, &out, err);

    if (rc == 0) {
        struct comparison cmp = {rl->effect, r->detectors, &found};

        compare(&cmp, in, &out, end);
        put_rule(r, rl, rl->effect == DELETES || is_sanitizer(v.type, rl->key) ? NULL : list_in(&v, rl->key)->v[0], &found);
        requests_free(&out);
    }
    findings_free(&found);
    free(v.settings);
    return rc;
}

static bool keeps_all_keys(const struct plan_component *c)
{
    bool all;

    memcpy(&all, (const uint8_t *)c->settings + key_row(c->type, "allow_all_keys")->offset, sizeof(all));
    return all;
}

/* How often a rule of that kind stands in the settings. */
static size_t rules_of(const struct plan_component *c, const struct rule_list *rl)
{
    const struct key *row = key_row(c->type, rl->key);
    struct str_list list;

    if (rl->effect == DELETES)
        return !keeps_all_keys(c);
    if (is_sanitizer(c->type, rl->key))
        return section_enabled(row, (uint8_t *)c->settings, false);
    memcpy(&list, (const uint8_t *)c->settings + row->offset, sizeof(list));
    return list.n;
}

static int check_rules(struct report *r, const struct plan_component *c, const struct requests *in, const struct requests *end,
                       struct err *err)
{
    buf_putf(r->out, "  %s\n", c->id);
    for (size_t k = 0; k < ARRAY_LEN(rule_lists); k++) {
        const struct rule_list *rl = &rule_lists[k];

        for (size_t i = 0, n = rules_of(c, rl); i < n; i++)
            if (check_rule(r, c, rl, i, in, end, err))
                return -1;
    }
    return 0;
}

struct look {
    const struct report *r;
    struct findings *left; /* by detector */
    enum place place;
    struct slice key;
};

static void look_at_text(void *ctx, struct slice text)
{
    struct look *l = ctx;

    for (size_t i = 0; i < detectors_n(l->r->detectors); i++) {
        struct slice found;

        for (size_t at = 0; detector_find(l->r->detectors, i, text, at, &found); at = (size_t)(found.p - text.p) + found.len) {
            struct buf *sample = count(&l->left[i], l->place, l->key);

            if (sample)
                detectors_put_hint(sample, found);
        }
    }
}

static void look_at_piece(struct look *l, const struct piece *p)
{
    struct attr_iter it;
    struct attr a;

    l->place = p->place;
    l->key = slice_of("", 0);
    if (!p->field) {
        look_at_text(l, p->body);
        return;
    }
    for (it = attr_iter(p->body, p->field); attr_next(&it, &a);) {
        l->key = a.key;
        value_texts(a.value, look_at_text, l);
    }
}

static uint64_t put_left(struct report *r, const struct requests *end)
{
    size_t n = detectors_n(r->detectors);
    struct findings *left = mem_alloc_array(n, sizeof(*left));
    struct look l = {.r = r, .left = left};
    uint64_t sum = 0;

    for (size_t i = 0; i < end->n; i++) {
        struct pieces ps = pieces_of(end->v[i]);

        for (size_t k = 0; k < ps.n; k++)
            look_at_piece(&l, &ps.v[k]);
        pieces_free(&ps);
    }
    buf_puts(r->out, "  still there, by what the detectors know\n");
    for (size_t i = 0; i < n; i++) {
        if (left[i].sum) {
            buf_putf(r->out, "    %s: %llu\n", detector_name(r->detectors, i), (unsigned long long)left[i].sum);
            put_findings(r->out, &left[i]);
        }
        sum += left[i].sum;
        findings_free(&left[i]);
    }
    if (sum == 0)
        buf_puts(r->out, "    nothing\n");
    free(left);
    return sum;
}

static bool is_redaction(const struct plan_component *c)
{
    return strcmp(c->type->name, "redaction") == 0;
}

static struct requests same_requests(const struct requests *r)
{
    struct requests copy = {mem_alloc_array(r->n, sizeof(struct payload *)), r->n, r->n_spans};

    for (size_t i = 0; i < r->n; i++)
        copy.v[i] = payload_ref(r->v[i]);
    return copy;
}

/* The requests before each redaction processor of the pipeline, and behind the last. */
struct chain {
    const struct plan_component **c;
    struct requests *stage; /* n + 1 */
    size_t n;
};

static void chain_free(struct chain *ch)
{
    for (size_t i = 0; i <= ch->n; i++)
        requests_free(&ch->stage[i]);
    free(ch->stage);
    free((void *)ch->c);
}

static int chain_run(struct report *r, const struct plan_pipeline *p, const struct requests *in, struct chain *ch, struct err *err)
{
    *ch = (struct chain){.c = mem_alloc_array(p->n_processors, sizeof(*ch->c)), .stage = mem_alloc_array(p->n_processors + 1, sizeof(*ch->stage))};
    ch->stage[0] = same_requests(in);
    for (size_t i = 0; i < p->n_processors; i++) {
        const struct plan_component *c = p->processors[i];

        if (!is_redaction(c))
            continue;
        if (requests_process(&ch->stage[ch->n], c->type, c->settings, r->budget, &ch->stage[ch->n + 1], err))
            return err_wrap(err, "%s", c->id);
        ch->c[ch->n++] = c;
    }
    return 0;
}

static int check_pipeline(struct report *r, const struct plan_pipeline *p, const struct requests *in, uint64_t *n_left, struct err *err)
{
    struct chain ch;
    int rc = chain_run(r, p, in, &ch, err);

    buf_putf(r->out, "pipeline %s\n", p->id);
    if (rc == 0 && ch.n == 0)
        buf_puts(r->out, "  no redaction processor\n");
    for (size_t i = 0; rc == 0 && i < ch.n; i++)
        rc = check_rules(r, ch.c[i], &ch.stage[i], &ch.stage[ch.n], err);
    if (rc == 0)
        *n_left += put_left(r, &ch.stage[ch.n]);
    chain_free(&ch);
    return rc;
}

int redact_check(const struct plan *plan, const char *input, struct buf *out, uint64_t *n_left, struct err *err)
{
    struct report r = {.budget = budget_new(0, 0), .out = out};
    struct requests in;
    int rc = requests_read(&in, input, r.budget, err);

    *n_left = 0;
    if (rc == 0) {
        r.detectors = detectors_new();
        buf_putf(out, "%zu requests, %llu spans; processors other than redaction are not run\n", in.n, (unsigned long long)in.n_spans);
        for (size_t i = 0; rc == 0 && i < plan->n_pipelines; i++)
            rc = check_pipeline(&r, &plan->pipelines[i], &in, n_left, err);
        requests_free(&in);
        detectors_free(&r.detectors);
    }
    budget_free(&r.budget);
    return rc;
}
