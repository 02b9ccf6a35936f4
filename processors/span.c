/* SPDX-License-Identifier: Apache-2.0 */
/*
 * span: names spans from their attributes, takes attributes out of names, sets the status.
 *
 * In this order for each span that include and exclude leave: name.from_attributes, name.to_attributes,
 * status. A span whose name, attributes and status stay as they are keeps its bytes; one that changes
 * is written once (new attributes alone: see map.h). An expression is first searched without its
 * groups, which is what most spans cost.
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
#include "processors/map.h"
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
    struct map_processor m;
    const struct span_rules *rules;
    struct scope_look look; /* at the part at hand */
    struct buf name[2];     /* turn by turn */
};

static struct span_processor *processor_of(struct map_processor *m)
{
    CHECK(m->c.type == &span_type);
    return CONTAINER_OF(m, struct span_processor, m);
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
    struct open_span *s;
    struct slice name; /* as it is to be */
    bool named;        /* otherwise than it was */
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
        struct slice value;

        if (!open_span_attr(ch->s, slice_str(s->from_attributes.v[i]), &value))
            return;
        if (i)
            put_name(ch, out, s->separator, strlen(s->separator));
        put_value(ch, out, value);
    }
    set_name(ch, out);
}

static const char *group_name(const struct regex *r, size_t i)
{
    const char *name = regex_group_name(r, i + 1);

    return name ? name : "";
}

/* What each group took, as an attribute. */
static void put_groups(struct attr_map *map, const struct regex *r, const struct slice *groups)
{
    for (size_t i = 0; i < regex_groups(r); i++)
        attr_map_put(map, slice_str(group_name(r, i)), attr_map_str(map, groups[i]));
}

/* The name with {group} for what each group took. */
static void name_groups(struct span_processor *m, struct change *ch, const struct regex *r, const struct slice *groups)
{
    struct buf *out = next_name(m, ch);
    const uint8_t *at = ch->name.p, *end = wire_end(ch->name);

    for (size_t i = 0; i < regex_groups(r); i++) {
        if (!groups[i].p || groups[i].p < at)
            continue;
        put_name(ch, out, at, (size_t)(groups[i].p - at));
        put_name(ch, out, "{", 1);
        put_name(ch, out, group_name(r, i), strlen(group_name(r, i)));
        put_name(ch, out, "}", 1);
        at = groups[i].p + groups[i].len;
    }
    put_name(ch, out, at, (size_t)(end - at));
    set_name(ch, out);
}

static bool load(struct change *ch)
{
    ch->failed |= !open_span_load(ch->s);
    return !ch->failed;
}

static void name_to_attributes(struct span_processor *m, struct change *ch)
{
    for (size_t i = 0; i < m->rules->n_rules && ch->name.len && !ch->failed; i++) {
        const struct regex *r = m->rules->rules[i];
        struct slice *groups;

        if (!regex_search(r, ch->name, 0, NULL, NULL))
            continue;
        if (!load(ch))
            return;
        groups = (struct slice *)(void *)attr_map_scratch(ch->s->map, (m->rules->most_groups + 1) * sizeof(*groups));
        if (groups && regex_capture(r, ch->name, groups)) {
            put_groups(ch->s->map, r, groups);
            if (!m->rules->s->name.to_attributes.keep_original_name)
                name_groups(m, ch, r, groups);
        }
        ch->failed |= ch->s->map->out_of_memory;
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

static void write_status(const struct span_rules *r, uint8_t *dst)
{
    struct slice message = slice_str(r->s->status.description);
    size_t size = status_size(r);

    if (size == 0)
        return;
    dst = wire_put_header(dst, SPAN_STATUS, size);
    if (message.len)
        dst = wire_put_slice(wire_put_header(dst, STATUS_MESSAGE, message.len), message);
    if (r->status) {
        dst[0] = STATUS_CODE << 3;
        dst[1] = r->status;
    }
}

static bool status_changes(const struct span_rules *r, const struct span *s)
{
    return r->sets_status &&
           (s->status != r->status || !slice_eq(field_bytes(field_bytes(span_body(s), SPAN_STATUS), STATUS_MESSAGE),
                                                slice_str(r->s->status.description)));
}

/* The fields of some runs but for name and status where those are new; dst NULL: only their size. */
static size_t put_runs(const struct change *ch, bool status, size_t from, size_t to, uint8_t *dst)
{
    size_t size = 0;

    for (size_t run = from; run < to; run++) {
        const uint8_t *p = ch->s->map->rest[run].p, *end = wire_end(ch->s->map->rest[run]);

        while (p < end) {
            struct wire_field f;

            p = wire_next(p, end, &f);
            if ((ch->named && f.number == SPAN_NAME) || (status && f.number == SPAN_STATUS))
                continue;
            if (dst)
                wire_put_slice(dst + size, f.rec);
            size += f.rec.len;
        }
    }
    return size;
}

/* Size of the new body; dst not NULL: written there. The name comes first, the status last, the other
 * fields as they were. */
static size_t put_body(const struct span_processor *p, const struct change *ch, bool status, uint8_t *dst)
{
    const struct attr_map *map = ch->s->map;
    size_t size = ch->named ? wire_rec_size(ch->name.len) : 0, of_status = status ? status_size(p->rules) : 0;

    if (dst && ch->named)
        wire_put_slice(wire_put_header(dst, SPAN_NAME, ch->name.len), ch->name);
    size += put_runs(ch, status, 0, map->rest_before, dst ? dst + size : NULL);
    if (dst)
        attr_map_write_entries(map, dst + size);
    size += attr_map_entries_size(map);
    size += put_runs(ch, status, map->rest_before, map->n_rest, dst ? dst + size : NULL);
    if (dst && status)
        write_status(p->rules, dst + size);
    return size + (of_status ? wire_rec_size(of_status) : 0);
}

static bool write_span(struct span_processor *m, struct change *ch, bool status)
{
    uint8_t *room;
    size_t size;

    if (!load(ch))
        return false;
    size = put_body(m, ch, status, NULL);
    room = editor_span_room(ch->s->ed, ch->s->i, size);
    if (!room)
        return false;
    CHECK(put_body(m, ch, status, room) == size);
    if (status)
        editor_note_status(ch->s->ed, ch->s->i, m->rules->status);
    open_span_rewritten(ch->s);
    return true;
}

static void give_back(struct buf *b)
{
    if (b->cap > KEPT_BYTES)
        buf_free(b);
}

static bool edit_span(struct span_processor *m, struct open_span *s)
{
    struct slice before = field_bytes(span_body(open_span_now(s)), SPAN_NAME);
    struct change ch = {.s = s, .name = before};
    bool status = status_changes(m->rules, open_span_now(s)), fine;

    name_from_attributes(m, &ch);
    name_to_attributes(m, &ch);
    ch.named &= !slice_eq(ch.name, before);
    fine = !ch.failed;
    if (fine && (ch.named || status))
        fine = write_span(m, &ch, status);
    give_back(&m->name[0]);
    give_back(&m->name[1]);
    return fine;
}

/* ---- work ---- */

static enum map_fate span_part(struct map_processor *m, struct editor *ed)
{
    (void)ed;
    processor_of(m)->look = (struct scope_look){0};
    return MAP_KEPT;
}

static enum map_fate span_span(struct map_processor *m, struct open_span *s)
{
    struct span_processor *p = processor_of(m);

    if (!selection_has(&p->rules->selection, s, &p->look) || edit_span(p, s))
        return MAP_KEPT;
    return MAP_NO_ROOM;
}

static const struct map_ops span_map = {.part = span_part, .span = span_span};

/* ---- life ---- */

static struct component *span_create(struct host *h, const void *settings, struct err *err)
{
    struct span_processor *p = mem_alloc(sizeof(*p));

    (void)settings, (void)err;
    p->rules = h->shared;
    map_init(&p->m, &span_type, h, MAP_SPANS | (selection_looks(&p->rules->selection) ? MAP_LOOKS : 0));
    return &p->m.c;
}

static void span_destroy(struct component **c)
{
    struct span_processor *p;

    if (!*c)
        return;
    p = processor_of(map_of(*c));
    map_free(&p->m);
    buf_free(&p->name[0]);
    buf_free(&p->name[1]);
    free(p);
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
    .map = &span_map,
    .mutates = true,
    .check = span_check,
    .shared_create = span_shared_create,
    .shared_destroy = span_shared_destroy,
    .create = span_create,
    .push = map_push,
    .drain = map_drain,
    .destroy = span_destroy,
};
