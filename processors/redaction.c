/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redaction: deletes attributes that are not allowed, and masks what must not be seen.
 *
 * Problem: every byte of every span has to be cleared of secrets, and nearly none holds one. Design:
 *   redaction_windows  what a pattern needs of a text at least
 *   redaction_scan     one vector pass over a span's bytes: can any pattern match anywhere?
 *   redaction_rules    the verdict on a key or value, by RE2 where the scan was not enough
 *   redaction_edit     the rewrite of the few spans that are touched
 * A span the scan clears costs one pass and keeps its bytes. With allowed_keys, redact_all_types, or
 * a pattern the scan cannot use, attributes are looked at one by one, verdicts on keys from a cache.
 *
 * Secrets come first: when the budget refuses room for a rewrite the whole batch goes back to its
 * sender, or is dropped and counted; it never goes on as it is.
 * Threads: one worker; the rules are shared.
 */
#include <stdio.h>
#include <stdlib.h>

#include "processors/map.h"
#include "processors/processors.h"
#include "processors/redaction_edit.h"

#define S struct redaction_settings
static const struct key redaction_keys[] = {
    KEY_BOOL(S, allow_all_keys, "false", "Keep attributes of every key; allowed_keys is not used then."),
    KEY_STRS(S, allowed_keys, NULL,
             "Exact keys to keep; attributes of other keys are deleted unless allow_all_keys is set."),
    KEY_STRS(S, ignored_keys, NULL, "Exact keys of attributes that pass untouched, before every other rule."),
    KEY_STRS(S, ignored_key_patterns, NULL,
             "Regular expressions; attributes whose key one of them finds pass untouched."),
    KEY_STRS(S, blocked_key_patterns, NULL,
             "Regular expressions; attributes whose key one of them finds have their whole value masked."),
    KEY_STRS(S, blocked_values, NULL,
             "Regular expressions; what they find in values is replaced by ****, one after the other."),
    KEY_STRS(S, allowed_values, NULL,
             "Regular expressions; a value in which one of them finds something is left as it is, even of a blocked key."),
    KEY_BOOL(S, redact_all_types, "false",
             "Look at numbers, lists and other values as text too; what is masked becomes a string."),
    KEY_STR(S, summary, "",
            "debug adds attributes with the keys and counts of what was redacted, info the counts; anything else none."),
    KEY_BOOL(S, link_attributes, "false",
             "Redact attributes of span links as well, which the Collector leaves as they are."),
    KEY_BOOL(S, nested, "false",
             "Look into lists and maps as well: blocked_values in their texts, blocked_key_patterns on the keys of maps. The Collector "
             "looks at strings of the top level alone."),
    KEY_BOOL(S, event_names, "false", "Apply blocked_values to the names of span events, which the Collector leaves as they are."),
    KEY_BOOL(S, status_message, "false", "Apply blocked_values to status messages, which the Collector leaves as they are."),
    KEY_BOOL(S, span_name_values, "false", "Apply blocked_values to span names, which the Collector leaves as they are."),
    KEY_STR(S, hash_function, "",
            "Replace by a hash, as hexadecimal text, in place of ****: md5, sha1, sha3, hmac-sha256 or hmac-sha512. Only the last two "
            "keep what has few possible values, such as a card number, from being found again by trying all."),
    KEY_SECRET(S, hmac_key, "", "The key of hmac-sha256 (at least 32 bytes) and hmac-sha512 (at least 64)."),
    KEY_SECTION(S, url_sanitizer, url_keys, "URLs without the values in them."),
    KEY_SECTION(S, db_sanitizer, db_keys, "Statements of databases without the values in them."),
    KEY_END,
};
#undef S

enum { ROW_DELETED, ROW_MASKED };
static const struct metric_row redaction_rows[] = {
    [ROW_DELETED] = {.name = "tailrace_redaction_deleted_attributes",
                     .type = METRIC_COUNTER,
                     .level = METRIC_BASIC,
                     .unit = "{attributes}",
                     .help = "Attributes deleted because their key is not allowed."},
    [ROW_MASKED] = {.name = "tailrace_redaction_masked_values",
                    .type = METRIC_COUNTER,
                    .level = METRIC_BASIC,
                    .unit = "{attributes}",
                    .help = "Attributes whose value was masked, and names and messages."},
    ITEMS_ROW_INCOMING,
    ITEMS_ROW_OUTGOING,
    {.name = NULL},
};

static const char *const level_names[LEVELS] = {"resource", "scope", "span", "event", "link", "span_name", "status_message", "event_name"};

struct redaction {
    struct map_processor m;
    struct redactor redactor;
    struct redaction_counts counts; /* of the batch at hand */
    struct series *deleted[LEVELS], *masked[LEVELS];
};

static struct redaction *redaction_of(struct map_processor *m)
{
    CHECK(m->c.type == &redaction_type);
    return CONTAINER_OF(m, struct redaction, m);
}

static void redaction_check(const void *settings, struct check *c)
{
    const struct redaction_settings *s = settings;

    rules_check(s, c);
    if (!s->allow_all_keys && s->allowed_keys.n == 0)
        check_warn(c, "", "neither allow_all_keys nor allowed_keys is set: every attribute will be deleted");
}

static size_t redaction_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    (void)settings;
    if (max == 0)
        return 0;
    terms[0].bytes = (uint64_t)n_workers * 2 * verdicts_bytes();
    snprintf(terms[0].text, sizeof(terms[0].text), "%u workers x %zu bytes of verdicts on keys and values",
             n_workers, 2 * verdicts_bytes());
    return 1;
}

/* ---- work ---- */

static void redaction_begin(struct map_processor *m, const struct batch *b)
{
    (void)b;
    redaction_of(m)->counts = (struct redaction_counts){0};
}

static enum map_fate redaction_part(struct map_processor *m, struct editor *ed)
{
    struct redaction *r = redaction_of(m);

    return redact_envelope(&r->redactor, ed, &r->counts) ? MAP_KEPT : MAP_NO_ROOM;
}

static bool redaction_quiet(struct map_processor *m, const struct editor *ed)
{
    return redact_leaves_envelope(&redaction_of(m)->redactor, ed);
}

static enum map_fate redaction_span(struct map_processor *m, struct open_span *s)
{
    struct redaction *r = redaction_of(m);

    return redact_span(&r->redactor, s, &r->counts) ? MAP_KEPT : MAP_NO_ROOM;
}

static void redaction_done(struct map_processor *m, uint64_t n_dropped)
{
    struct redaction *r = redaction_of(m);

    (void)n_dropped;
    for (int i = 0; i < LEVELS; i++) {
        if (r->counts.deleted[i])
            series_add(r->deleted[i], r->counts.deleted[i]);
        if (r->counts.masked[i])
            series_add(r->masked[i], r->counts.masked[i]);
    }
}

static const struct map_ops redaction_map = {
    .begin = redaction_begin,
    .part = redaction_part,
    .quiet = redaction_quiet,
    .span = redaction_span,
    .done = redaction_done,
};

/* ---- life ---- */

static int redaction_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    (void)host;
    *shared = rules_new(settings, err);
    return *shared ? 0 : -1;
}

static void redaction_shared_destroy(void **shared)
{
    struct rules *r = *shared;

    rules_free(&r);
    *shared = NULL;
}

static struct series *level_series(struct host *h, const struct metric_row *row, int level)
{
    const struct metric_label labels[] = {{"processor", h->id}, {"level", level_names[level]}};

    return metric_series(h->metrics, row, labels, ARRAY_LEN(labels));
}

static struct component *redaction_create(struct host *h, const void *settings, struct err *err)
{
    struct redaction *r = mem_alloc(sizeof(*r));

    (void)settings, (void)err;
    map_init(&r->m, &redaction_type, h, MAP_SPANS | MAP_ENVELOPE);
    for (int i = 0; i < LEVELS; i++) {
        r->deleted[i] = level_series(h, &redaction_rows[ROW_DELETED], i);
        r->masked[i] = level_series(h, &redaction_rows[ROW_MASKED], i);
    }
    redactor_init(&r->redactor, h->shared, h->budget);
    return &r->m.c;
}

static void redaction_destroy(struct component **c)
{
    struct redaction *r;

    if (!*c)
        return;
    r = redaction_of(map_of(*c));
    redactor_free(&r->redactor);
    map_free(&r->m);
    free(r);
    *c = NULL;
}

const struct component_type redaction_type = {
    .kind = PROCESSOR,
    .name = "redaction",
    .stability = "beta",
    .summary = "Deletes attributes that are not allowed and masks values that must not be seen.",
    .keys = redaction_keys,
    .settings_size = sizeof(struct redaction_settings),
    .metrics = redaction_rows,
    .map = &redaction_map,
    .mutates = true,
    .check = redaction_check,
    .memory = redaction_memory,
    .shared_create = redaction_shared_create,
    .shared_destroy = redaction_shared_destroy,
    .create = redaction_create,
    .push = map_push,
    .drain = map_drain,
    .destroy = redaction_destroy,
};
