/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on times and durations. Each is a row in the table at the end. */
#include "ottl/call.h"
#include "ottl/strptime.h"
#include "ottl/times.h"
#include "platform/clock.h"

#define FN(name) static bool name(struct ottl_eval *e, const struct node *n, struct ottl_value *out)

#define YEAR_1_S (-62135596800) /* where Go's time begins */

/* ---- durations ---- */

FN(duration)
{
    struct ottl_value v;
    int64_t ns;

    if (!arg(e, n, 0, &v))
        return false;
    if (!parse_duration(v.s, &ns))
        return ottl_fail(e, "time: invalid duration \"%.*s\"", (int)(v.s.len < 80 ? v.s.len : 80),
                         v.s.p);
    *out = (struct ottl_value){.type = OTTL_DURATION, .i = ns};
    return true;
}

/* A constant is read once. One that is none fails when it is used, as there. */
static int prepare_duration(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *c = arg_constant(n, 0);
    int64_t ns;

    (void)k, (void)err;
    if (c && parse_duration(c->s, &ns)) {
        n->eval = eval_constant;
        n->value = (struct ottl_value){.type = OTTL_DURATION, .i = ns};
    }
    return 0;
}

static bool as_double(struct ottl_eval *e, const struct node *n, int64_t unit_ns,
                      struct ottl_value *out)
{
    struct ottl_value v;

    if (!arg(e, n, 0, &v))
        return false;
    int64_t whole = v.i / unit_ns, rest = v.i % unit_ns;
    *out = ottl_double((double)whole + (double)rest / (double)unit_ns);
    return true;
}

static bool as_int(struct ottl_eval *e, const struct node *n, int64_t unit_ns,
                   struct ottl_value *out)
{
    struct ottl_value v;

    if (!arg(e, n, 0, &v))
        return false;
    *out = ottl_int(v.i / unit_ns);
    return true;
}

#define IN_UNITS(name, how, unit)                                                                  \
    FN(name)                                                                                       \
    {                                                                                              \
        return how(e, n, unit, out);                                                               \
    }

IN_UNITS(hours, as_double, 3600000000000)
IN_UNITS(minutes, as_double, 60000000000)
IN_UNITS(seconds, as_double, 1000000000)
IN_UNITS(milliseconds, as_int, 1000000)
IN_UNITS(microseconds, as_int, 1000)
IN_UNITS(nanoseconds, as_int, 1)

/* ---- instants ---- */

FN(now)
{
    (void)e, (void)n;
    *out = ottl_time_ns(clock_wall_ns());
    return true;
}

FN(from_unix)
{
    struct ottl_value s, ns;
    int64_t rest;

    if (!arg(e, n, 0, &s) || !arg(e, n, 1, &ns))
        return false;
    rest = ns.type == OTTL_INT ? ns.i : 0;
    *out = (struct ottl_value){
        .type = OTTL_TIME,
        .at = {.s = (int64_t)((uint64_t)s.i + (uint64_t)(rest / (int64_t)NS_PER_SEC))}};
    rest %= (int64_t)NS_PER_SEC;
    if (rest < 0) {
        rest += (int64_t)NS_PER_SEC;
        out->at.s = (int64_t)((uint64_t)out->at.s - 1);
    }
    out->aux = (uint32_t)rest;
    return true;
}

static bool since_epoch(struct ottl_eval *e, const struct node *n, int64_t per_s,
                        struct ottl_value *out)
{
    struct ottl_value t;

    if (!arg(e, n, 0, &t))
        return false;
    *out = ottl_int((int64_t)((uint64_t)t.at.s * (uint64_t)per_s +
                              t.aux / ((uint64_t)NS_PER_SEC / (uint64_t)per_s)));
    return true;
}

IN_UNITS(unix_nano, since_epoch, 1000000000)
IN_UNITS(unix_micro, since_epoch, 1000000)
IN_UNITS(unix_milli, since_epoch, 1000)
IN_UNITS(unix_seconds, since_epoch, 1)

FN(truncate_time)
{
    struct ottl_value t, by;
    __int128 ns, rest;

    if (!arg(e, n, 0, &t) || !arg(e, n, 1, &by))
        return false;
    *out = t;
    if (by.i <= 0)
        return true;
    ns = ((__int128)t.at.s - YEAR_1_S) * (int64_t)NS_PER_SEC + t.aux;
    rest = ns % by.i;
    ns -= rest < 0 ? rest + by.i : rest;
    ns += (__int128)YEAR_1_S * (int64_t)NS_PER_SEC;
    rest = ns % (int64_t)NS_PER_SEC;
    if (rest < 0)
        rest += (int64_t)NS_PER_SEC;
    out->aux = (uint32_t)rest;
    out->at.s = (int64_t)((ns - rest) / (int64_t)NS_PER_SEC);
    return true;
}

static bool civil(struct ottl_eval *e, const struct node *n, struct ottl_value *t, struct civil *c)
{
    if (!arg(e, n, 0, t))
        return false;
    *c = civil_of(t);
    return true;
}

#define FIELD(name, value)                                                                         \
    FN(name)                                                                                       \
    {                                                                                              \
        struct ottl_value t;                                                                       \
        struct civil c;                                                                            \
                                                                                                   \
        if (!civil(e, n, &t, &c))                                                                  \
            return false;                                                                          \
        *out = ottl_int(value);                                                                    \
        return true;                                                                               \
    }

FIELD(year, c.year)
FIELD(month, c.month)
FIELD(day, c.day)
FIELD(hour, c.hour)
FIELD(minute, c.minute)
FIELD(second, c.second)
FIELD(nanosecond, t.aux)
FIELD(weekday, c.weekday)

/* ---- text ---- */

struct time_reader {
    const struct time_format *format;
    const struct zone *zone;
};

/* The names of months and days of other languages are not here. */
static int check_locale(struct slice locale, struct err *err)
{
    if (slice_eq(locale, slice_str("en")) ||
        (locale.len > 3 && locale.len < 12 && memcmp(locale.p, "en-", 3) == 0))
        return 0;
    return err_set(err, "the locale '%.*s' is not supported: only English ones are",
                   (int)(locale.len < 40 ? locale.len : 40), locale.p);
}

static int prepare_time(struct compiler *k, struct node *n, struct err *err)
{
    const struct ottl_value *location = arg_constant(n, 2), *locale = arg_constant(n, 3);
    struct arena *arena = k->program->arena;
    struct time_reader *r = arena_alloc(arena, sizeof(*r));

    if (locale && check_locale(locale->s, err))
        return -1;
    r->format = time_format_new(arena, arg_constant(n, 1)->s, err);
    r->zone = r->format ? zone_load(arena, location ? location->s : slice_str("Local"), err) : NULL;
    n->data = r;
    return r->zone ? 0 : -1;
}

FN(time_of)
{
    const struct time_reader *r = n->data;
    struct ottl_value v;
    struct err why;

    if (!arg(e, n, 0, &v))
        return false;
    if (v.s.len == 0)
        return ottl_fail(e, "time cannot be nil");
    return time_parse(r->format, v.s, r->zone, out, &why) || ottl_fail(e, "%.230s", why.text);
}

static int prepare_format_time(struct compiler *k, struct node *n, struct err *err)
{
    n->data = time_format_new(k->program->arena, arg_constant(n, 1)->s, err);
    return n->data ? 0 : -1;
}

FN(format_time)
{
    struct ottl_value t;

    if (!arg(e, n, 0, &t))
        return false;
    if (time_print(n->data, &t, ottl_text(e)))
        return ottl_too_long(e);
    return ottl_keep_text(e, OTTL_STR, out);
}

const struct func time_functions[] = {
    {"Duration", duration, {P("duration", ARG_STR)}, prepare_duration},
    {"Hours", hours, {P("duration", ARG_DURATION)}, NULL},
    {"Minutes", minutes, {P("duration", ARG_DURATION)}, NULL},
    {"Seconds", seconds, {P("duration", ARG_DURATION)}, NULL},
    {"Milliseconds", milliseconds, {P("duration", ARG_DURATION)}, NULL},
    {"Microseconds", microseconds, {P("duration", ARG_DURATION)}, NULL},
    {"Nanoseconds", nanoseconds, {P("duration", ARG_DURATION)}, NULL},
    {"Time",
     time_of,
     {P("time", ARG_STR), P("format", ARG_TEXT), OPTIONAL("location", ARG_TEXT),
      OPTIONAL("locale", ARG_TEXT)},
     prepare_time},
    {"FormatTime", format_time, {P("time", ARG_TIME), P("format", ARG_TEXT)}, prepare_format_time},
    {"Now", now, {{.name = NULL}}, NULL},
    {"Unix", from_unix, {P("seconds", ARG_INT), OPTIONAL("nanoseconds", ARG_INT)}, NULL},
    {"UnixNano", unix_nano, {P("time", ARG_TIME)}, NULL},
    {"UnixMicro", unix_micro, {P("time", ARG_TIME)}, NULL},
    {"UnixMilli", unix_milli, {P("time", ARG_TIME)}, NULL},
    {"UnixSeconds", unix_seconds, {P("time", ARG_TIME)}, NULL},
    {"TruncateTime", truncate_time, {P("time", ARG_TIME), P("duration", ARG_DURATION)}, NULL},
    {"Year", year, {P("time", ARG_TIME)}, NULL},
    {"Month", month, {P("time", ARG_TIME)}, NULL},
    {"Day", day, {P("time", ARG_TIME)}, NULL},
    {"Hour", hour, {P("time", ARG_TIME)}, NULL},
    {"Minute", minute, {P("time", ARG_TIME)}, NULL},
    {"Second", second, {P("time", ARG_TIME)}, NULL},
    {"Nanosecond", nanosecond, {P("time", ARG_TIME)}, NULL},
    {"Weekday", weekday, {P("time", ARG_TIME)}, NULL},
    {.name = NULL},
};
