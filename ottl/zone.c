/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time zones: the system's compiled files, and the rule at their end for the years behind them.
 *
 * A file is read whole at start (at most ZONE_MOST_BYTES) into the program's arena and checked
 * once; looking up walks no further than its own lists. Order: the rule, the file, look-ups.
 */
#include "ottl/zone.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ottl/times.h"

#define ZONE_MOST_BYTES (1 << 18)
#define NAME_MOST       16
#define DAY_S           86400

struct kind {
    int32_t offset_s;
    char name[NAME_MOST];
};

/* When in a year summer time begins or ends. */
struct change {
    enum { BY_JULIAN, BY_DAY, BY_WEEKDAY } by;
    int month, week, day;
    int32_t at_s; /* behind midnight */
};

struct rule {
    bool known, summer;
    struct kind standard, dst;
    struct change start, end;
};

struct zone {
    int64_t *at; /* n changes */
    uint8_t *to; /* to which kind */
    size_t n;
    struct kind *kinds;
    size_t n_kinds;
    struct rule rule;
};

static const struct zone utc = {.rule = {.known = true, .standard = {.name = "UTC"}}};

/* ---- the rule: "CET-1CEST,M3.5.0,M10.5.0/3" ---- */

static bool take_number(const char **s, int *v)
{
    if (**s < '0' || **s > '9')
        return false;
    for (*v = 0; **s >= '0' && **s <= '9' && *v < 100000; ++*s)
        *v = *v * 10 + (**s - '0');
    return true;
}

/* hh[:mm[:ss]] with a sign */
static bool take_clock(const char **s, int32_t *seconds)
{
    int sign = **s == '-' ? -1 : 1, part, unit = 3600;

    *s += **s == '-' || **s == '+';
    *seconds = 0;
    do {
        if (!take_number(s, &part) || part > 167)
            return false;
        *seconds += sign * part * unit;
        unit /= 60;
    } while (**s == ':' && unit && ++*s);
    return true;
}

static bool take_name(const char **s, char name[static NAME_MOST])
{
    bool quoted = **s == '<';
    size_t n = 0;

    *s += quoted;
    while (n < NAME_MOST - 1 &&
           (quoted ? **s && **s != '>' : (**s | 0x20) >= 'a' && (**s | 0x20) <= 'z'))
        name[n++] = *(*s)++;
    name[n] = 0;
    if (quoted && *(*s)++ != '>')
        return false;
    return n != 0;
}

static bool take_change(const char **s, struct change *c)
{
    *c = (struct change){.by = BY_DAY, .at_s = 2 * 3600};
    if (*(*s)++ != ',')
        return false;
    if (**s == 'M') {
        ++*s;
        c->by = BY_WEEKDAY;
        if (!take_number(s, &c->month) || *(*s)++ != '.' || !take_number(s, &c->week) ||
            *(*s)++ != '.')
            return false;
    } else if (**s == 'J') {
        ++*s;
        c->by = BY_JULIAN;
    }
    if (!take_number(s, &c->day))
        return false;
    if (**s == '/' && ++*s && !take_clock(s, &c->at_s))
        return false;
    return c->by != BY_WEEKDAY ||
           (c->month >= 1 && c->month <= 12 && c->week >= 1 && c->week <= 5 && c->day <= 6);
}

static bool take_rule(const char *s, struct rule *r)
{
    int32_t west;

    if (!take_name(&s, r->standard.name) || !take_clock(&s, &west))
        return false;
    r->standard.offset_s = -west;
    r->dst.offset_s = r->standard.offset_s + 3600;
    if (*s == 0)
        return true;
    if (!take_name(&s, r->dst.name))
        return false;
    if (*s && *s != ',') {
        if (!take_clock(&s, &west))
            return false;
        r->dst.offset_s = -west;
    }
    r->summer = true;
    return take_change(&s, &r->start) && take_change(&s, &r->end) && *s == 0;
}

static bool is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* On the wall clock before it, as if that were UTC. */
static int64_t change_in(const struct change *c, int64_t year)
{
    int64_t day;

    if (c->by == BY_WEEKDAY) {
        int64_t first = days_of(year, (unsigned)c->month, 1),
                next = c->month == 12 ? days_of(year + 1, 1, 1)
                                      : days_of(year, (unsigned)c->month + 1, 1);

        day = first + (c->day - ((first + 4) % 7 + 7) % 7 + 7) % 7 + 7 * (int64_t)(c->week - 1);
        while (day >= next)
            day -= 7;
    } else {
        day = days_of(year, 1, 1) + c->day;
        if (c->by == BY_JULIAN && !(is_leap(year) && c->day >= 60))
            day--;
    }
    return day * DAY_S + c->at_s;
}

static struct zone_span by_rule(const struct rule *r, int64_t utc_s)
{
    struct ottl_value v = {.type = OTTL_TIME, .at = {.s = utc_s}};
    struct zone_span s = {r->standard.name, r->standard.offset_s, INT64_MIN, INT64_MAX};
    int64_t year;

    if (!r->summer)
        return s;
    year = civil_of(&v).year;
    for (int64_t y = year - 1; y <= year + 1; y++) {
        int64_t on = change_in(&r->start, y) - r->standard.offset_s,
                off = change_in(&r->end, y) - r->dst.offset_s;

        for (int k = 0; k < 2; k++) {
            int64_t at = k ? off : on;
            const struct kind *to = k ? &r->standard : &r->dst;

            if (at <= utc_s && at >= s.start_s) {
                s.start_s = at;
                s.name = to->name;
                s.offset_s = to->offset_s;
            }
            if (at > utc_s && at < s.end_s)
                s.end_s = at;
        }
    }
    return s;
}

/* ---- the file ---- */

struct counts {
    uint32_t utc_marks, standard_marks, leaps, changes, kinds, names;
};

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool take_header(struct slice *s, struct counts *c)
{
    if (s->len < 44 || memcmp(s->p, "TZif", 4) != 0)
        return false;
    c->utc_marks = big32(s->p + 20);
    c->standard_marks = big32(s->p + 24);
    c->leaps = big32(s->p + 28);
    c->changes = big32(s->p + 32);
    c->kinds = big32(s->p + 36);
    c->names = big32(s->p + 40);
    *s = slice_of(s->p + 44, s->len - 44);
    return c->changes <= 1 << 14 && c->kinds >= 1 && c->kinds <= 256 && c->names <= 1 << 12 &&
           c->leaps <= 1 << 12 && c->utc_marks <= 256 && c->standard_marks <= 256;
}

static size_t body_bytes(const struct counts *c, size_t of_time)
{
    return (size_t)c->changes * (of_time + 1) + (size_t)c->kinds * 6 + c->names +
           (size_t)c->leaps * (of_time + 4) + c->standard_marks + c->utc_marks;
}

static bool take_kinds(struct arena *arena, struct zone *z, const uint8_t *p,
                       const struct counts *c)
{
    const char *names = (const char *)p + (size_t)c->kinds * 6;

    z->n_kinds = c->kinds;
    z->kinds = arena_alloc(arena, z->n_kinds * sizeof(*z->kinds));
    for (size_t i = 0; i < z->n_kinds; i++, p += 6) {
        size_t left = p[5] < c->names ? c->names - p[5] : 0,
               n = left ? strnlen(names + p[5], left) : 0;

        if (n == left || n >= NAME_MOST)
            return false;
        z->kinds[i].offset_s = (int32_t)big32(p);
        memcpy(z->kinds[i].name, names + p[5], n);
    }
    return true;
}

/* The part with 64-bit times, and the rule behind it. */
static bool take_body(struct arena *arena, struct zone *z, struct slice s)
{
    struct counts c;
    const uint8_t *p;
    const char *end;

    if (!take_header(&s, &c) || s.len < body_bytes(&c, 8))
        return false;
    p = s.p;
    z->n = c.changes;
    z->at = arena_alloc(arena, (z->n + 1) * sizeof(*z->at));
    z->to = arena_alloc(arena, z->n + 1);
    for (size_t i = 0; i < z->n; i++, p += 8)
        z->at[i] = (int64_t)((uint64_t)big32(p) << 32 | big32(p + 4));
    for (size_t i = 0; i < z->n; i++) {
        z->to[i] = *p++;
        if (z->to[i] >= c.kinds || (i && z->at[i] < z->at[i - 1]))
            return false;
    }
    if (!take_kinds(arena, z, p, &c))
        return false;
    s = slice_of(s.p + body_bytes(&c, 8), s.len - body_bytes(&c, 8));
    end = s.len > 1 && s.p[0] == '\n' ? memchr(s.p + 1, '\n', s.len - 1) : NULL;
    if (end && end != (const char *)s.p + 1)
        z->rule.known = take_rule(
            arena_dup_n(arena, (const char *)s.p + 1, (size_t)(end - (const char *)s.p) - 1),
            &z->rule);
    return true;
}

static bool take_file(struct arena *arena, struct zone *z, struct slice s)
{
    struct counts c;

    if (!take_header(&s, &c) || s.len < body_bytes(&c, 4))
        return false;
    return take_body(arena, z, slice_of(s.p + body_bytes(&c, 4), s.len - body_bytes(&c, 4)));
}

static const struct zone *load_file(struct arena *arena, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct zone *z = NULL;
    uint8_t *bytes;
    ssize_t n;

    if (fd < 0)
        return NULL;
    bytes = mem_alloc(ZONE_MOST_BYTES);
    n = read(fd, bytes, ZONE_MOST_BYTES);
    close(fd);
    if (n > 0) {
        z = arena_alloc(arena, sizeof(*z));
        if (!take_file(arena, z, slice_of(bytes, (size_t)n)))
            z = NULL;
    }
    free(bytes);
    return z;
}

/* TZ as Go reads it: a file, a name; what cannot be read is UTC. */
static const struct zone *load_local(struct arena *arena)
{
    const char *name = getenv("TZ");
    const struct zone *z;
    struct err ignored;

    name = name && *name == ':' ? name + 1 : name;
    if (!name)
        z = load_file(arena, "/etc/localtime");
    else if (*name == '/')
        z = load_file(arena, name);
    else
        z = strcmp(name, "Local") == 0 ? NULL : zone_load(arena, slice_str(name), &ignored);
    return z ? z : &utc;
}

const struct zone *zone_load(struct arena *arena, struct slice name, struct err *err)
{
    const char *folder = getenv("TZDIR");
    const struct zone *z;
    char path[256];

    if (name.len == 0 || slice_eq(name, slice_str("UTC")))
        return &utc;
    if (slice_eq(name, slice_str("Local")))
        return load_local(arena);
    if (name.p[0] == '/' || name.p[0] == '.' || name.len > 100 || memchr(name.p, 0, name.len) ||
        memmem(name.p, name.len, "..", 2) || memchr(name.p, '\\', name.len)) {
        err_set(err, "failed to load location %.*s: time: invalid location name",
                (int)(name.len < 80 ? name.len : 80), name.p);
        return NULL;
    }
    snprintf(path, sizeof(path), "%.100s/%.*s", folder ? folder : "/usr/share/zoneinfo",
             (int)name.len, name.p);
    z = load_file(arena, path);
    if (!z)
        err_set(err, "failed to load location %.*s: unknown time zone %.*s", (int)name.len, name.p,
                (int)name.len, name.p);
    return z;
}

/* ---- look-ups ---- */

/* Before the first change: the first kind that is not to a change, as a rule the first of all. */
static const struct kind *kind_before(const struct zone *z)
{
    return &z->kinds[0];
}

struct zone_span zone_at(const struct zone *z, int64_t utc_s)
{
    size_t low = 0, high = z->n;
    const struct kind *k;

    while (low < high) {
        size_t mid = (low + high) / 2;

        if (z->at[mid] <= utc_s)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == z->n && z->rule.known) {
        struct zone_span s = by_rule(&z->rule, utc_s);

        if (z->n && s.start_s < z->at[z->n - 1])
            s.start_s = z->at[z->n - 1];
        return s;
    }
    k = low ? &z->kinds[z->to[low - 1]] : kind_before(z);
    return (struct zone_span){k->name, k->offset_s, low ? z->at[low - 1] : INT64_MIN,
                              low < z->n ? z->at[low] : INT64_MAX};
}

int64_t zone_utc_of(const struct zone *z, int64_t wall_s)
{
    struct zone_span s = zone_at(z, wall_s);
    int64_t utc_s = wall_s - s.offset_s;

    if (s.offset_s && (utc_s < s.start_s || utc_s >= s.end_s))
        s = zone_at(z, utc_s);
    return wall_s - s.offset_s;
}

bool zone_by_abbreviation(const struct zone *z, struct slice name, int64_t wall_s,
                          int32_t *offset_s)
{
    bool some = false;

    if (slice_eq(name, slice_str(z->rule.standard.name)) && z->n_kinds == 0) {
        *offset_s = z->rule.standard.offset_s;
        return true;
    }
    for (size_t i = 0; i < z->n_kinds; i++) {
        const struct kind *k = &z->kinds[i];

        if (!slice_eq(name, slice_str(k->name)))
            continue;
        if (strcmp(zone_at(z, wall_s - k->offset_s).name, k->name) == 0) {
            *offset_s = zone_at(z, wall_s - k->offset_s).offset_s;
            return true;
        }
        if (!some)
            *offset_s = k->offset_s;
        some = true;
    }
    return some;
}
