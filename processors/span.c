/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span: names spans from their attributes, takes attributes out of names, sets the status.
 *
 * In this order for each span that include and exclude leave: name.from_attributes, name.to_attributes,
 * status. A span whose name, attributes and status stay as they are keeps its bytes; one that changes
 * is written once. An expression is first searched without its groups, which is what most spans cost.
 *
 * Where the Collector's own processor ends its process (a group of a rule that took no part in the
 * match, or stands inside another) the attribute is set, to "" for the former, and that group leaves
 * the name alone.
 * When the budget refuses room the whole batch goes back to its sender, or is dropped and counted.
 * Threads: one worker; the compiled rules are shared.
 */
#include <stdio.h>
#include <stdlib.h>

#include "platform/num.h"
#include "platform/regex.h"
#include "processors/items.h"
#include "processors/processors.h"
#include "processors/span_select.h"
#include "model/wire_checked.h"

#define KEPT_BYTES ((size_t)64 * 1024) /* of a name, between spans */

struct span_settings {
    struct match_settings include, exclude;
    bool include_enabled, exclude_enabled, status_enabled;
    struct name_settings {
        struct str_list from_attributes;
        const char *separator;
        bool to_attributes_enabled;
        struct to_attributes_settings {
            struct str_list rules;
            bool break_after_match, keep_original_name;
        } to_attributes;
    } name;
    struct status_settings {
        const char *code, *description;
    } status;
};

#define S struct to_attributes_settings
static const struct key to_attributes_keys[] = {
    KEY_STRS(S, rules, NULL,
             "Regular expressions with named groups, one after the other: what a group finds in the name becomes the attribute of "
             "that name, and {name} in its place."),
    KEY_BOOL(S, break_after_match, "false", "Stop after the first rule that matches."),
    KEY_BOOL(S, keep_original_name, "false", "Set the attributes, but leave the name as it is."),
    KEY_END,
};
#undef S

#define S struct name_settings
static const struct key name_keys[] = {
    KEY_STRS(S, from_attributes, NULL, "The values of these attributes, in this order, make the new name; a span without one of them keeps its name."),
    KEY_STR(S, separator, "", "Stands between the values."),
    KEY_OPTIONAL(S, to_attributes, SECTION_OFF, to_attributes_keys, "Takes attributes out of the name."),
    KEY_END,
};
#undef S

#define S struct status_settings
static const struct key status_keys[] = {
    KEY_STR(S, code, "", "Ok, Error or Unset."),
    KEY_STR(S, description, "", "The status message; with Error alone."),
    KEY_END,
};
#undef S

#define S struct span_settings
static const struct key span_keys[] = {
    KEY_OPTIONAL(S, include, SECTION_OFF, match_keys, "Only spans that match; at least one of its lists."),
    KEY_OPTIONAL(S, exclude, SECTION_OFF, match_keys, "No spans that match, even if included; at least one of its lists."),
    KEY_SECTION(S, name, name_keys, "How to rename spans."),
    KEY_OPTIONAL(S, status, SECTION_OFF, status_keys, "The status that spans get."),
    KEY_END,
};
#undef S

static const struct metric_row span_rows[] = {ITEMS_ROW_INCOMING, ITEMS_ROW_OUTGOING, {.name = NULL}};

/* Compiled settings, shared by all workers. */
struct span_rules {
    const struct span_settings *s;
    struct selection selection;
    struct regex **rules;
    size_t n_rules, most_groups;
    bool sets_status;
    uint8_t status;
};

struct span_processor {
    struct component c;
    const struct span_rules *rules;
    struct attr_map map;
    struct buf name[2]; /* turn by turn */
    struct items items;
    bool drained;
};

static struct span_processor *processor_of(struct component *c)
{
    CHECK(c->type == &span_type);
    return CONTAINER_OF(c, struct span_processor, c);
}

/* ---- settings ---- */

static bool status_of(const char *code, uint8_t *status)
{
    static const char *const codes[] = {"Unset", "Ok", "Error"};

    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (strcmp(code, codes[i]) == 0) {
            *status = (uint8_t)i;
            return true;
        }
    return false;
}

static void check_status(const struct status_settings *s, struct check *c)
{
    uint8_t status;

    if (!status_of(s->code, &status))
        check_error(c, "status.code",
                    "error creating \"span\" processor: \"status\" must have specified \"code\" as \"Ok\" or \"Error\" or \"Unset\"");
    else if (strcmp(s->code, "Error") != 0 && s->description[0])
        check_error(c, "status.description",
                    "error creating \"span\" processor: \"description\" can be specified only for \"code\" \"Error\"");
}

static void check_rules(const struct str_list *rules, struct check *c)
{
    for (size_t i = 0; i < rules->n; i++) {
        struct err err = {""};
        struct regex *r = regex_new(rules->v[i], &err);
        char path[64];

        snprintf(path, sizeof(path), "name.to_attributes.rules[%zu]", i);
        if (!r)
            check_error(c, path, "invalid regexp pattern %s: %s", rules->v[i], err.text);
        regex_free(&r);
    }
}

static void span_check(const void *settings, struct check *c)
{
    const struct span_settings *s = settings;

    if (s->name.from_attributes.n == 0 && s->name.to_attributes.rules.n == 0 && !s->status_enabled)
        check_error(c, "",
                    "error creating \"span\" processor: either \"from_attributes\" or \"to_attributes\" must be specified in "
                    "\"name:\" or \"setStatus\" must be specified");
    if (s->status_enabled)
        check_status(&s->status, c);
    if (s->include_enabled)
        match_check(&s->include, "include", c);
    if (s->exclude_enabled)
        match_check(&s->exclude, "exclude", c);
    check_rules(&s->name.to_attributes.rules, c);
}

static void span_shared_destroy(void **shared)
{
    struct span_rules *r = *shared;

    for (size_t i = 0; i < r->n_rules; i++)
        regex_free(&r->rules[i]);
    free(r->rules);
    selection_free(&r->selection);
    free(r);
    *shared = NULL;
}

static int rules_compile(struct span_rules *r, const struct str_list *patterns, struct err *err)
{
    r->rules = mem_alloc_array(patterns->n, sizeof(struct regex *));
    for (; r->n_rules < patterns->n; r->n_rules++) {
        struct regex *re = regex_new(patterns->v[r->n_rules], err);

        if (!re)
            return -1;
        r->rules[r->n_rules] = re;
        if (regex_groups(re) > r->most_groups)
            r->most_groups = regex_groups(re);
    }
    return 0;
}

static int span_shared_create(const void *settings, struct host *host, void **shared, struct err *err)
{
    const struct span_settings *s = settings;
    struct span_rules *r = mem_alloc(sizeof(*r));

    (void)host;
    *shared = r;
    r->s = s;
    r->sets_status = s->status_enabled && status_of(s->status.code, &r->status);
    if (rules_compile(r, &s->name.to_attributes.rules, err) == 0 &&
        selection_build(&r->selection, s->include_enabled ? &s->include : NULL, s->exclude_enabled ? &s->exclude : NULL, err) == 0)
        return 0;
    span_shared_destroy(shared);
    return -1;
}

/* ---- names ---- */

/* A span on its way. */
struct change {
    struct slice body; /* as it is */
    struct slice name; /* as it is to be */
    bool named;        /* otherwise than it was */
    bool loaded;       /* its attributes are in the map */
    bool failed;       /* no memory */
    unsigned turn;
};

static struct buf *next_name(struct span_processor *m, struct change *ch)
{
    struct buf *b = &m->name[ch->turn++ & 1];

    buf_clear(b);
    return b;
}

static void put_name(struct change *ch, struct buf *out, const void *p, size_t n)
{
    ch->failed |= buf_add(out, p, n) < 0;
}

static void set_name(struct change *ch, const struct buf *name)
{
    ch->name = slice_of(name->p, name->len);
    ch->named = true;
}

static void put_value(struct change *ch, struct buf *out, struct slice value)
{
    struct any v = any_parse(value);
    char text[NUM_PLAIN_MAX];

    switch (v.type) {
    case ANY_STR:
        put_name(ch, out, v.bytes.p, v.bytes.len);
        break;
    case ANY_BOOL:
        put_name(ch, out, v.i ? "true" : "false", v.i ? 4 : 5);
        break;
    case ANY_INT:
        put_name(ch, out, text, (size_t)snprintf(text, sizeof(text), "%lld", (long long)v.i));
        break;
    case ANY_DOUBLE:
        put_name(ch, out, text, num_plain(text, v.d));
        break;
    default:
        put_name(ch, out, "<unknown-attribute-type>", 24);
    }
}

static void name_from_attributes(struct span_processor *m, struct change *ch)
{
    const struct name_settings *s = &m->rules->s->name;
    struct buf *out;

    if (s->from_attributes.n == 0)
        return;
    out = next_name(m, ch);
    for (size_t i = 0; i < s->from_attributes.n; i++) {
        struct attr a;

        if (!attr_find(ch->body, SPAN_ATTRIBUTES, slice_str(s->from_attributes.v[i]), &a))
            return;
        if (i)
            put_name(ch, out, s->separator, strlen(s->separator));
        put_value(ch, out, a.value);
    }
    set_name(ch, out);
}

/* The name with {group} for what each group took, the attributes put. */
static void take_groups(struct span_processor *m, struct change *ch, const struct regex *r, const struct slice *groups)
{
    struct buf *out = next_name(m, ch);
    const uint8_t *at = ch->name.p, *end = wire_end(ch->name);

    for (size_t i = 0; i < regex_groups(r); i++) {
        const char *name = regex_group_name(r, i + 1);

        name = name ? name : "";
        attr_map_put(&m->map, slice_str(name), attr_map_str(&m->map, groups[i]));
        if (!groups[i].p || groups[i].p < at)
            continue;
        put_name(ch, out, at, (size_t)(groups[i].p - at));
        put_name(ch, out, "{", 1);
        put_name(ch, out, name, strlen(name));
        put_name(ch, out, "}", 1);
        at = groups[i].p + groups[i].len;
    }
    put_name(ch, out, at, (size_t)(end - at));
    if (!m->rules->s->name.to_attributes.keep_original_name)
        set_name(ch, out);
}

static bool load(struct span_processor *m, struct change *ch)
{
    if (!ch->loaded)
        ch->failed |= !attr_map_load(&m->map, ch->body, SPAN_ATTRIBUTES);
    ch->loaded = true;
    return !ch->failed;
}

static void name_to_attributes(struct span_processor *m, struct change *ch)
{
    for (size_t i = 0; i < m->rules->n_rules && ch->name.len && !ch->failed; i++) {
        const struct regex *r = m->rules->rules[i];
        struct slice *groups;

        if (!regex_search(r, ch->name, 0, NULL, NULL))
            continue;
        if (!load(m, ch))
            return;
        groups = (struct slice *)(void *)attr_map_scratch(&m->map, (m->rules->most_groups + 1) * sizeof(*groups));
        if (groups && regex_capture(r, ch->name, groups))
            take_groups(m, ch, r, groups);
        ch->failed |= m->map.out_of_memory;
        if (m->rules->s->name.to_attributes.break_after_match)
            return;
    }
}

/* ---- writing ---- */

/* The wanted Status body, into dst of room for it; 0 bytes for none. */
static size_t status_size(const struct span_rules *r)
{
    size_t message = strlen(r->s->status.description);

    return (message ? wire_rec_size(message) : 0) + (r->status ? 2 : 0);
}

static uint8_t *write_status(const struct span_rules *r, uint8_t *dst)
{
    struct slice message = slice_str(r->s->status.description);
    size_t size = status_size(r);

    if (size == 0)
        return dst;
    dst = wire_put_header(dst, SPAN_STATUS, size);
    if (message.len)
        dst = wire_put_slice(wire_put_header(dst, STATUS_MESSAGE, message.len), message);
    if (r->status) {
        *dst++ = STATUS_CODE << 3;
        *dst++ = r->status;
    }
    return dst;
}

static bool status_changes(const struct span_rules *r, const struct span *s)
{
    return r->sets_status &&
           (s->status != r->status || !slice_eq(field_bytes(field_bytes(span_body(s), SPAN_STATUS), STATUS_MESSAGE),
                                                slice_str(r->s->status.description)));
}

/* Size of the new body; dst not NULL: written there. Name and status come first, the other fields as
 * they were. */
static size_t put_body(const struct span_processor *m, const struct change *ch, bool status, uint8_t *dst)
{
    size_t size = ch->named ? wire_rec_size(ch->name.len) : 0, of_status = status ? status_size(m->rules) : 0;

    if (dst && ch->named)
        dst = wire_put_slice(wire_put_header(dst, SPAN_NAME, ch->name.len), ch->name);
    if (dst && status)
        dst = write_status(m->rules, dst);
    size += of_status ? wire_rec_size(of_status) : 0;
    for (size_t run = 0; run < m->map.n_rest; run++) {
        const uint8_t *p = m->map.rest[run].p, *end = wire_end(m->map.rest[run]);

        while (p < end) {
            struct wire_field f;

            p = wire_next(p, end, &f);
            if ((ch->named && f.number == SPAN_NAME) || (status && f.number == SPAN_STATUS))
                continue;
            size += f.rec.len;
            if (dst)
                dst = wire_put_slice(dst, f.rec);
        }
    }
    if (dst)
        attr_map_write_entries(&m->map, dst);
    return size + attr_map_entries_size(&m->map);
}

static bool write_span(struct span_processor *m, struct editor *ed, uint32_t i, struct change *ch, bool status)
{
    uint8_t *room;
    size_t size;

    if (!load(m, ch))
        return false;
    size = put_body(m, ch, status, NULL);
    room = editor_span_room(ed, i, size);
    if (!room)
        return false;
    CHECK(put_body(m, ch, status, room) == size);
    if (status)
        editor_note_status(ed, i, m->rules->status);
    return true;
}

static void give_back(struct buf *b)
{
    if (b->cap > KEPT_BYTES)
        buf_free(b);
}

static bool edit_span(struct span_processor *m, struct editor *ed, uint32_t i)
{
    const struct span *s = editor_span(ed, i);
    struct change ch = {.body = span_body(s)};
    struct slice before = field_bytes(ch.body, SPAN_NAME);
    bool status = status_changes(m->rules, s), fine;

    ch.name = before;
    name_from_attributes(m, &ch);
    name_to_attributes(m, &ch);
    ch.named &= !slice_eq(ch.name, before);
    fine = !ch.failed;
    if (fine && (ch.named || status || (ch.loaded && m->map.changed)))
        fine = write_span(m, ed, i, &ch, status);
    give_back(&m->name[0]);
    give_back(&m->name[1]);
    return fine;
}

/* ---- work ---- */

static bool edit(struct span_processor *m, struct batch *b)
{
    bool fine = true, edited = false;

    for (uint32_t part = 0; fine && part < b->n_parts; part++) {
        struct editor ed = editor_of(b, part);
        struct scope_look look = {0};

        for (uint32_t i = 0; fine && i < ed.n_spans; i++)
            if (selection_has(&m->rules->selection, &ed, i, &look))
                fine = edit_span(m, &ed, i);
        edited |= ed.edited;
    }
    if (fine && edited)
        batch_settle(b, FATE_FILTERED, DROP_NONE);
    return fine;
}

static void span_push(struct component *c, struct batch **take)
{
    struct span_processor *m = processor_of(c);
    uint64_t n = (*take)->n_spans;

    series_add(m->items.incoming, n);
    if (m->drained) {
        processor_closed(take);
        return;
    }
    if (!edit(m, *take)) {
        processor_no_memory(take);
        return;
    }
    series_add(m->items.outgoing, n);
    host_emit(c->host, take);
}

/* ---- life ---- */

static struct component *span_create(struct host *h, const void *settings, struct err *err)
{
    struct span_processor *m = mem_alloc(sizeof(*m));

    (void)settings, (void)err;
    m->c = (struct component){&span_type, h};
    m->rules = h->shared;
    m->items = items_new(h);
    attr_map_init(&m->map, h->budget);
    return &m->c;
}

static void span_drain(struct component *c)
{
    struct span_processor *m = processor_of(c);

    if (m->drained)
        return;
    m->drained = true;
    host_drained(c->host);
}

static void span_destroy(struct component **c)
{
    struct span_processor *m;

    if (!*c)
        return;
    m = processor_of(*c);
    attr_map_free(&m->map);
    buf_free(&m->name[0]);
    buf_free(&m->name[1]);
    free(m);
    *c = NULL;
}

const struct component_type span_type = {
    .kind = PROCESSOR,
    .name = "span",
    .stability = "alpha",
    .summary = "Names spans from their attributes, takes attributes out of names, sets the status.",
    .keys = span_keys,
    .settings_size = sizeof(struct span_settings),
    .metrics = span_rows,
    .mutates = true,
    .check = span_check,
    .shared_create = span_shared_create,
    .shared_destroy = span_shared_destroy,
    .create = span_create,
    .push = span_push,
    .drain = span_drain,
    .destroy = span_destroy,
};
