/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled redaction rules. See redaction_rules.h; order: build, keys, values. */
#include "processors/redaction_rules.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/match.h"
#include "platform/hash.h"
#include "platform/mem.h"
#include "platform/regex.h"
#include "processors/redaction_mask.h"
#include "processors/redaction_scan.h"

struct pattern_list {
    struct regex **v;
    size_t n;
    struct scanner *scan;
};

struct rules {
    enum redaction_summary summary;
    bool allow_all, all_types, links, nested, event_names, status_message, span_names;
    bool skips;        /* a message the scan clears need not be looked at */
    bool skips_values; /* its values need not */
    struct keyset *allowed, *ignored;
    struct pattern_list ignored_keys, blocked_keys, blocked_values, allowed_values;
    struct scanner *either; /* blocked keys and values together */
    struct mask mask;
    struct db_rules *db;   /* NULL: off */
    struct url_rules *url; /* NULL: off */
};

/* ---- build ---- */

static void list_free(struct pattern_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        regex_free(&l->v[i]);
    free(l->v);
    scanner_free(&l->scan);
}

static int list_build(struct pattern_list *l, const struct str_list *patterns, const char *what, struct err *err)
{
    l->v = mem_alloc_array(patterns->n, sizeof(*l->v));
    for (; l->n < patterns->n; l->n++) {
        l->v[l->n] = regex_new(patterns->v[l->n], err);
        if (!l->v[l->n])
            return err_wrap(err, "failed to process %s: error compiling regex in list", what);
    }
    l->scan = scanner_new(patterns->v, patterns->n);
    return 0;
}

static struct keyset *allowed_keyset(const struct str_list *keys)
{
    static const char *const always[] = {"redaction.redacted.keys", "redaction.redacted.count", "redaction.masked.keys",
                                         "redaction.masked.count", "redaction.ignored.count"};
    const char **all = mem_alloc_array(keys->n + ARRAY_LEN(always), sizeof(*all));
    struct keyset *k;

    if (keys->n)
        memcpy(all, keys->v, keys->n * sizeof(*all));
    memcpy(all + keys->n, always, sizeof(always));
    k = keyset_new(all, keys->n + ARRAY_LEN(always));
    free(all);
    return k;
}

static void add_patterns(const char **all, size_t *n, struct str_list more)
{
    if (more.n)
        memcpy(all + *n, more.v, more.n * sizeof(*all));
    *n += more.n;
}

/* And what a statement of a database and a URL are known by. */
static struct scanner *scanner_of_both(const struct redaction_settings *s, const struct url_rules *url)
{
    size_t n = 0, most = s->blocked_key_patterns.n + s->blocked_values.n + s->url_sanitizer.attributes.n + 1;
    const char **all = mem_alloc_array(most, sizeof(*all)), *db = db_pattern(&s->db_sanitizer);
    struct scanner *sc;

    add_patterns(all, &n, s->blocked_key_patterns);
    add_patterns(all, &n, s->blocked_values);
    add_patterns(all, &n, url_patterns(url));
    if (db)
        all[n++] = db;
    sc = scanner_new(all, n);
    free(all);
    return sc;
}

/* What the scan's word is good for. */
static void choose_short_cuts(struct rules *r, const struct redaction_settings *s)
{
    bool counts = r->summary != SUMMARY_NONE;

    r->skips_values = !r->all_types && scanner_blind(r->either) == 0 && !(counts && s->allowed_values.n);
    r->skips = r->skips_values && r->allow_all && !(counts && (s->ignored_keys.n || s->ignored_key_patterns.n));
}

static enum redaction_summary summary_of(const char *s)
{
    if (strcmp(s, "debug") == 0)
        return SUMMARY_DEBUG;
    return strcmp(s, "info") == 0 ? SUMMARY_INFO : SUMMARY_NONE;
}

/* The lists in the Collector's order, with its names for them. */
static int build_lists(struct rules *r, const struct redaction_settings *s, struct err *err)
{
    return list_build(&r->allowed_values, &s->allowed_values, "allow list", err) ||
                   list_build(&r->ignored_keys, &s->ignored_key_patterns, "ignore keys list", err) ||
                   list_build(&r->blocked_values, &s->blocked_values, "block list", err) ||
                   list_build(&r->blocked_keys, &s->blocked_key_patterns, "block keys list", err)
               ? -1
               : 0;
}

struct rules *rules_new(const struct redaction_settings *s, struct err *err)
{
    struct rules *r = mem_alloc(sizeof(*r));

    r->summary = summary_of(s->summary);
    r->allow_all = s->allow_all_keys;
    r->all_types = s->redact_all_types;
    r->links = s->link_attributes;
    r->nested = s->nested;
    r->event_names = s->event_names;
    r->status_message = s->status_message;
    r->span_names = s->span_name_values;
    mask_init(&r->mask, s->hash_function, s->hmac_key);
    if (build_lists(r, s, err) < 0) {
        rules_free(&r);
        return NULL;
    }
    r->allowed = allowed_keyset(&s->allowed_keys);
    r->ignored = keyset_new(s->ignored_keys.v, s->ignored_keys.n);
    r->db = db_rules_new(&s->db_sanitizer);
    r->url = url_rules_new(&s->url_sanitizer);
    r->either = scanner_of_both(s, r->url);
    choose_short_cuts(r, s);
    return r;
}

void rules_free(struct rules **rp)
{
    struct rules *r = *rp;

    if (!r)
        return;
    list_free(&r->ignored_keys);
    list_free(&r->blocked_keys);
    list_free(&r->blocked_values);
    list_free(&r->allowed_values);
    if (r->allowed)
        keyset_free(&r->allowed);
    if (r->ignored)
        keyset_free(&r->ignored);
    scanner_free(&r->either);
    db_rules_free(&r->db);
    url_rules_free(&r->url);
    explicit_bzero(&r->mask, sizeof(r->mask));
    free(r);
    *rp = NULL;
}

static void check_list(const struct str_list *patterns, const char *key, const char *what, struct check *c)
{
    for (size_t i = 0; i < patterns->n; i++) {
        struct err err = {""};
        struct regex *r = regex_new(patterns->v[i], &err);
        char path[64];

        snprintf(path, sizeof(path), "%s[%zu]", key, i);
        if (!r)
            check_error(c, path, "failed to process %s: error compiling regex in list: %s", what, err.text);
        regex_free(&r);
    }
}

void rules_check(const struct redaction_settings *s, struct check *c)
{
    check_list(&s->allowed_values, "allowed_values", "allow list", c);
    check_list(&s->ignored_key_patterns, "ignored_key_patterns", "ignore keys list", c);
    check_list(&s->blocked_values, "blocked_values", "block list", c);
    check_list(&s->blocked_key_patterns, "blocked_key_patterns", "block keys list", c);
    mask_check(s->hash_function, s->hmac_key, c);
}

enum redaction_summary rules_summary(const struct rules *r)
{
    return r->summary;
}

bool rules_all_types(const struct rules *r)
{
    return r->all_types;
}

bool rules_links(const struct rules *r)
{
    return r->links;
}

bool rules_nested(const struct rules *r)
{
    return r->nested;
}

bool rules_event_names(const struct rules *r)
{
    return r->event_names;
}

bool rules_status_message(const struct rules *r)
{
    return r->status_message;
}

bool rules_span_names(const struct rules *r)
{
    return r->span_names;
}

const struct db_rules *rules_db(const struct rules *r)
{
    return r->db;
}

const struct url_rules *rules_url(const struct rules *r)
{
    return r->url;
}

enum look rules_look(const struct rules *r, struct slice message)
{
    if (!r->skips_values || scanner_hits(r->either, message) != 0)
        return LOOK_ALL;
    return r->skips ? LOOK_SKIP : LOOK_KEYS;
}

/* ---- verdicts ---- */

#define VERDICTS 512
#define VERDICT_TEXT 62

struct verdicts {
    struct verdict {
        uint8_t len; /* 0: free */
        uint8_t verdict;
        uint8_t text[VERDICT_TEXT];
    } v[VERDICTS];
};

struct verdicts *verdicts_new(void)
{
    return mem_alloc(sizeof(struct verdicts));
}

void verdicts_free(struct verdicts **v)
{
    free(*v);
    *v = NULL;
}

size_t verdicts_bytes(void)
{
    return sizeof(struct verdicts);
}

/* The place of a text in the cache; NULL: such texts are not kept. */
static struct verdict *verdict_of(struct verdicts *c, struct slice text)
{
    return text.len > 0 && text.len <= VERDICT_TEXT ? &c->v[hash_bytes(text.p, text.len) % VERDICTS] : NULL;
}

static bool verdict_is_for(const struct verdict *e, struct slice text)
{
    return e->len == text.len && memcmp(e->text, text.p, text.len) == 0;
}

static void verdict_keep(struct verdict *e, struct slice text, uint8_t verdict)
{
    e->len = (uint8_t)text.len;
    e->verdict = verdict;
    memcpy(e->text, text.p, text.len);
}

/* ---- keys ---- */

static bool any_matches(const struct pattern_list *l, struct slice text)
{
    uint64_t hits = l->n ? scanner_hits(l->scan, text) : 0;

    if (LIKELY(hits == 0))
        return false;
    for (size_t i = 0; i < l->n; i++)
        if (hits & scanner_bit(i) && regex_search(l->v[i], text, 0, NULL, NULL))
            return true;
    return false;
}

static enum key_verdict judge_key(const struct rules *r, struct slice key, bool allowed)
{
    if (keyset_find(r->ignored, key) >= 0 || any_matches(&r->ignored_keys, key))
        return KEY_IGNORED;
    if (!allowed && keyset_find(r->allowed, key) < 0)
        return KEY_DELETED;
    return any_matches(&r->blocked_keys, key) ? KEY_BLOCKED : KEY_PLAIN;
}

enum key_verdict rules_nested_key(const struct rules *r, struct slice key)
{
    return judge_key(r, key, true);
}

enum key_verdict rules_key(const struct rules *r, struct verdicts *keys, struct slice key)
{
    struct verdict *e = verdict_of(keys, key);
    enum key_verdict v;

    if (e && verdict_is_for(e, key))
        return e->verdict;
    v = judge_key(r, key, r->allow_all);
    if (e)
        verdict_keep(e, key, (uint8_t)v);
    return v;
}

/* ---- values ---- */

bool rules_allow_value(const struct rules *r, struct slice text)
{
    return any_matches(&r->allowed_values, text);
}

bool rules_block_value(const struct rules *r, struct verdicts *values, struct slice text)
{
    const struct pattern_list *l = &r->blocked_values;
    struct verdict *e;
    bool found;

    if (l->n == 0 || scanner_hits(l->scan, text) == 0)
        return false;
    e = verdict_of(values, text);
    if (e && verdict_is_for(e, text))
        return e->verdict;
    found = any_matches(l, text);
    if (e)
        verdict_keep(e, text, found);
    return found;
}

int rules_mask(const struct rules *r, struct slice text, struct buf scratch[static 2], struct slice *masked)
{
    const struct pattern_list *l = &r->blocked_values;
    uint64_t hits = scanner_hits(l->scan, text);
    unsigned turn = 0;

    *masked = text;
    for (size_t i = 0; i < l->n; i++) {
        struct buf *to = &scratch[turn & 1];

        if (!(hits & scanner_bit(i)) || !regex_search(l->v[i], *masked, 0, NULL, NULL))
            continue;
        buf_clear(to);
        if (regex_replace(l->v[i], *masked, to, mask_put, (void *)&r->mask) < 0)
            return -1;
        *masked = slice_of(to->p, to->len);
        turn++;
        hits = scanner_hits(l->scan, *masked); /* a later pattern may match what is new */
    }
    return 0;
}

int rules_mask_all(const struct rules *r, struct slice text, struct buf *out)
{
    const uint8_t *p = text.len ? text.p : (const uint8_t *)""; /* an empty value may be nowhere */
    size_t from = 0;

    buf_clear(out);
    for (size_t i = 0; i < text.len; i++)
        if (p[i] == '\n') {
            if (mask_put((void *)&r->mask, slice_of(p + from, i - from), out) || buf_add(out, "\n", 1))
                return -1;
            from = i + 1;
        }
    return mask_put((void *)&r->mask, slice_of(p + from, text.len - from), out);
}
