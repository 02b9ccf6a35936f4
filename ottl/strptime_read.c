/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading times by format, as leniently as the Collector: blanks before numbers, one digit for two.
 * Nothing is allocated; what fails fills an err. Order: parts, steps, the instant. Threads: any.
 */
#include <strings.h>

#include "ottl/strptime_priv.h"
#include "ottl/times.h"
#include "platform/clock.h"
#include "platform/num_parse.h"

struct reading {
    struct slice s; /* what is left */
    int64_t year;
    int month, day, hour, minute, second; /* -1: not there (month, day) */
    uint32_t ns;
    bool am, pm;
    bool has_offset, is_utc;
    int32_t offset_s;
    struct slice zone;
    const char *range; /* what is out of it */
};

static struct slice behind(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.len - n);
}

static bool is_digit(struct slice s, size_t i)
{
    return i < s.len && s.p[i] >= '0' && s.p[i] <= '9';
}

static void skip_blanks(struct slice *s)
{
    while (s->len && (s->p[0] == ' ' || (s->p[0] >= '\t' && s->p[0] <= '\r')))
        *s = behind(*s, 1);
}

static bool read_number(struct reading *r, int *v)
{
    size_t n = 1;

    skip_blanks(&r->s);
    if (!is_digit(r->s, 0))
        return false;
    *v = r->s.p[0] - '0';
    if (is_digit(r->s, 1))
        *v = *v * 10 + (r->s.p[n++] - '0');
    r->s = behind(r->s, n);
    return true;
}

static bool read_in(struct reading *r, int *v, int least, int most, const char *what)
{
    if (!read_number(r, v))
        return false;
    if (*v < least || *v > most)
        r->range = what;
    return true;
}

static bool read_year(struct reading *r)
{
    skip_blanks(&r->s);
    r->year = 0;
    for (size_t i = 0; i < 4; i++) {
        if (!is_digit(r->s, i))
            return false;
        r->year = r->year * 10 + (r->s.p[i] - '0');
    }
    r->s = behind(r->s, 4);
    return true;
}

/* Two characters that are a number, which may have a sign. */
static bool read_year_2(struct reading *r)
{
    bool sign = r->s.len >= 2 && (r->s.p[0] == '+' || r->s.p[0] == '-');

    if (r->s.len < 2 || !is_digit(r->s, 1) || (!sign && !is_digit(r->s, 0)))
        return false;
    r->year = r->s.p[1] - '0';
    if (sign)
        r->year = r->s.p[0] == '-' ? -r->year : r->year;
    else
        r->year += 10 * (r->s.p[0] - '0');
    r->year += r->year >= 69 ? 1900 : 2000;
    r->s = behind(r->s, 2);
    return true;
}

static bool read_year_any(struct reading *r)
{
    skip_blanks(&r->s);
    for (size_t i = 0; i < 4; i++)
        if (!is_digit(r->s, i))
            return read_year_2(r);
    return read_year(r);
}

/* n: letters of short names, 0: whole ones. The number of the name. */
static int read_name(struct reading *r, const char *const *names, size_t n_names, size_t n)
{
    for (size_t i = 0; i < n_names; i++) {
        size_t len = n ? n : strlen(names[i]);

        if (r->s.len >= len && strncasecmp((const char *)r->s.p, names[i], len) == 0) {
            r->s = behind(r->s, len);
            return (int)i;
        }
    }
    return -1;
}

static bool read_month_name(struct reading *r, size_t n)
{
    int i = read_name(r, time_months, ARRAY_LEN(time_months), n);

    r->month = i + 1;
    return i >= 0;
}

static bool read_am_pm(struct reading *r, const char *am, const char *pm)
{
    if (r->s.len < 2)
        return false;
    r->am = memcmp(r->s.p, am, 2) == 0;
    r->pm = memcmp(r->s.p, pm, 2) == 0;
    r->s = behind(r->s, 2);
    return r->am || r->pm;
}

static bool has_fraction(struct slice s)
{
    return s.len >= 2 && (s.p[0] == '.' || s.p[0] == ',') && is_digit(s, 1);
}

/* A point and any number of digits; nine count. */
static void read_fraction(struct reading *r)
{
    size_t n = 1;

    r->ns = 0;
    for (uint32_t unit = 100000000; is_digit(r->s, n); n++, unit /= 10)
        r->ns += unit * (uint32_t)(r->s.p[n] - '0');
    r->s = behind(r->s, n);
}

/* Behind the seconds a fraction is taken also when the format has none next. */
static void read_more_of_second(const struct time_format *f, size_t step, struct reading *r)
{
    size_t next = step + 1;

    while (next < f->n && f->steps[next].kind == STEP_TEXT)
        next++;
    if (has_fraction(r->s) && !(next < f->n && f->steps[next].kind == STEP_FRACTION))
        read_fraction(r);
}

static bool two_digits(struct slice s, size_t i, int *v)
{
    if (!is_digit(s, i) || !is_digit(s, i + 1))
        return false;
    *v = (s.p[i] - '0') * 10 + (s.p[i + 1] - '0');
    return true;
}

static void set_offset(struct reading *r, int h, int m, int s)
{
    if (h > 24)
        r->range = "time zone offset hour";
    else if (m > 60)
        r->range = "time zone offset minute";
    else if (s > 60)
        r->range = "time zone offset second";
    r->has_offset = true;
    r->offset_s = (h * 60 + m) * 60 + s;
    r->offset_s = r->s.p[0] == '-' ? -r->offset_s : r->offset_s;
}

/* A sign and `parts` pairs of digits. */
static bool read_offset(struct reading *r, unsigned parts, char separator)
{
    int v[3] = {0};
    size_t at = 1;

    if (r->s.len == 0 || (r->s.p[0] != '+' && r->s.p[0] != '-'))
        return false;
    for (unsigned i = 0; i < parts; i++, at += 2) {
        if (i && separator && (at >= r->s.len || r->s.p[at++] != (uint8_t)separator))
            return false;
        if (!two_digits(r->s, at, &v[i]))
            return false;
    }
    set_offset(r, v[0], v[1], v[2]);
    r->s = behind(r->s, at);
    return true;
}

/* Z, +hh, +hhmm or +hh:mm. */
static bool read_offset_z(struct reading *r)
{
    size_t at = 3;
    int h, m = 0;

    if (r->s.len && r->s.p[0] == 'Z') {
        r->is_utc = true;
        r->s = behind(r->s, 1);
        return true;
    }
    if (r->s.len == 0 || (r->s.p[0] != '+' && r->s.p[0] != '-') || !two_digits(r->s, 1, &h))
        return false;
    if (at < r->s.len && r->s.p[at] == ':')
        at++;
    if (two_digits(r->s, at, &m) && m <= 60) {
        at += 2;
    } else {
        at = 3;
        m = 0;
    }
    set_offset(r, h, m, 0);
    r->s = behind(r->s, at);
    return true;
}

/* A sign and hours below 24. How many characters. */
static size_t signed_hours(struct slice s)
{
    size_t n = 1;
    int v = 0;

    if (s.len == 0 || (s.p[0] != '+' && s.p[0] != '-'))
        return 0;
    for (; is_digit(s, n) && v < 1000; n++)
        v = v * 10 + (s.p[n] - '0');
    return n > 1 && v < 24 ? n : 0;
}

/* What may be the abbreviation of a zone: how many characters. */
static size_t abbreviation(struct slice s)
{
    size_t n = 0;

    if (s.len >= 4 && (memcmp(s.p, "ChST", 4) == 0 || memcmp(s.p, "MeST", 4) == 0))
        return 4;
    if (s.len >= 3 && memcmp(s.p, "GMT", 3) == 0)
        return 3 + signed_hours(behind(s, 3));
    if (s.len >= 3 && (s.p[0] == '+' || s.p[0] == '-'))
        return signed_hours(s);
    while (n < 6 && n < s.len && s.p[n] >= 'A' && s.p[n] <= 'Z')
        n++;
    if (n == 5)
        return s.p[4] == 'T' ? 5 : 0;
    if (n == 4)
        return s.p[3] == 'T' || memcmp(s.p, "WITA", 4) == 0 ? 4 : 0;
    return n == 3 ? 3 : 0;
}

static bool read_zone_name(struct reading *r)
{
    size_t n;

    if (r->s.len >= 3 && memcmp(r->s.p, "UTC", 3) == 0) {
        r->is_utc = true;
        r->s = behind(r->s, 3);
        return true;
    }
    n = abbreviation(r->s);
    r->zone = slice_of(r->s.p, n);
    r->s = behind(r->s, n);
    return n != 0;
}

/* A blank in the format is any number of them. */
static bool read_text(struct reading *r, struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        if (text.p[i] != ' ') {
            if (r->s.len == 0 || r->s.p[0] != text.p[i++])
                return false;
            r->s = behind(r->s, 1);
            continue;
        }
        if (r->s.len && r->s.p[0] != ' ')
            return false;
        while (i < text.len && text.p[i] == ' ')
            i++;
        while (r->s.len && r->s.p[0] == ' ')
            r->s = behind(r->s, 1);
    }
    return true;
}

static bool read_step(const struct time_format *f, size_t i, struct reading *r)
{
    const struct step *s = &f->steps[i];

    switch (s->kind) {
    case STEP_TEXT:
        return read_text(r, s->text);
    case STEP_YEAR:
        return read_year(r);
    case STEP_YEAR_2:
        skip_blanks(&r->s);
        return read_year_2(r);
    case STEP_YEAR_ANY:
        return read_year_any(r);
    case STEP_MONTH:
        return read_in(r, &r->month, 1, 12, "month");
    case STEP_DAY:
        return read_number(r, &r->day);
    case STEP_HOUR:
        return read_in(r, &r->hour, 0, 23, "hour");
    case STEP_HOUR_12:
        return read_in(r, &r->hour, 0, 12, "hour");
    case STEP_MINUTE:
        return read_in(r, &r->minute, 0, 59, "minute");
    case STEP_SECOND:
        if (!read_in(r, &r->second, 0, 59, "second"))
            return false;
        read_more_of_second(f, i, r);
        return true;
    case STEP_MONTH_NAME:
        return read_month_name(r, 0);
    case STEP_MONTH_SHORT:
        return read_month_name(r, 3);
    case STEP_WEEKDAY_NAME:
        return read_name(r, time_weekdays, ARRAY_LEN(time_weekdays), 0) >= 0;
    case STEP_WEEKDAY_SHORT:
        return read_name(r, time_weekdays, ARRAY_LEN(time_weekdays), 3) >= 0;
    case STEP_AM_PM:
        return read_am_pm(r, "AM", "PM");
    case STEP_AM_PM_SMALL:
        return read_am_pm(r, "am", "pm");
    case STEP_FRACTION:
        if (has_fraction(r->s))
            read_fraction(r);
        return true;
    case STEP_ZONE_NAME:
        return read_zone_name(r);
    case STEP_ZONE_Z:
        return read_offset_z(r);
    default:
        return read_offset(r, s->digits, s->separator);
    }
}

static int shown(struct slice s)
{
    return (int)(s.len < 60 ? s.len : 60);
}

static bool read_all(const struct time_format *f, struct slice s, struct reading *r,
                     struct err *err)
{
    for (size_t i = 0; i < f->n; i++) {
        struct slice left = r->s, written = f->steps[i].written;

        if (!read_step(f, i, r)) {
            err_set(err, "parsing time \"%.*s\" as \"%.*s\": cannot parse \"%.*s\" as \"%.*s\"",
                    shown(s), s.p, shown(f->text), f->text.p, shown(left), left.p, shown(written),
                    written.p);
            return false;
        }
        if (r->range) {
            err_set(err, "parsing time \"%.*s\": %s out of range", shown(s), s.p, r->range);
            return false;
        }
    }
    if (r->s.len)
        err_set(err, "parsing time \"%.*s\": extra text: \"%.*s\"", shown(s), s.p, shown(r->s),
                r->s.p);
    return r->s.len == 0;
}

static bool day_is_fine(const struct reading *r)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = r->year % 4 == 0 && (r->year % 100 != 0 || r->year % 400 == 0);

    return r->day >= 1 && r->day <= days[r->month - 1] + (leap && r->month == 2);
}

static int64_t wall_of(const struct reading *r)
{
    return days_of(r->year, (unsigned)r->month, (unsigned)r->day) * 86400 +
           ((int64_t)r->hour * 60 + r->minute) * 60 + r->second;
}

static void set_zone(struct ottl_value *v, const char *name, int32_t offset_s)
{
    size_t n = strlen(name);

    v->at.offset_s = offset_s;
    memset(v->at.zone, 0, sizeof(v->at.zone));
    if (n <= sizeof(v->at.zone) && !(offset_s == 0 && strcmp(name, "UTC") == 0))
        memcpy(v->at.zone, name, n);
}

static void in_zone(struct ottl_value *v, const struct zone *z, int64_t wall_s)
{
    struct zone_span span;

    v->at.s = zone_utc_of(z, wall_s);
    span = zone_at(z, v->at.s);
    set_zone(v, span.name, span.offset_s);
}

static const struct zone *zone_named(const struct time_format *f, struct slice name)
{
    for (size_t i = 0; i < MOST_ZONES; i++)
        if (slice_eq(name, slice_str(time_zone_names[i])))
            return f->zones[i];
    return NULL;
}

/* GMT+3 leaves the instant as in UTC and is only printed, as in Go. */
static bool by_name(const struct time_format *f, const struct reading *r, const struct zone *zone,
                    struct ottl_value *v, struct err *err)
{
    int64_t wall_s = wall_of(r);
    int32_t offset_s;

    if (!zone_by_abbreviation(zone, r->zone, wall_s, &offset_s)) {
        int64_t hours = 0;

        v->at.s = wall_s;
        if (r->zone.len > 3 && r->zone.p[0] == 'G' && parse_int(behind(r->zone, 3), &hours) &&
            hours) {
            set_zone(v, "G", (int32_t)hours * 3600);
            return true;
        }
        zone = r->zone.p[0] == 'G' ? zone_named(f, slice_str("GMT")) : zone_named(f, r->zone);
        if (!zone) {
            err_set(err, "failed to load location %.*s: unknown time zone %.*s", (int)r->zone.len,
                    r->zone.p, (int)r->zone.len, r->zone.p);
            return false;
        }
        if (!zone_by_abbreviation(zone, r->zone, wall_s, &offset_s))
            return true;
    }
    v->at.s = wall_s - offset_s;
    set_zone(v, zone_at(zone, v->at.s).name, offset_s);
    return true;
}

static bool instant_of(const struct time_format *f, const struct reading *r,
                       const struct zone *zone, struct ottl_value *v, struct err *err)
{
    *v = (struct ottl_value){.type = OTTL_TIME, .aux = r->ns};
    if (r->is_utc) {
        v->at.s = wall_of(r);
    } else if (r->has_offset) {
        struct zone_span span;

        v->at.s = wall_of(r) - r->offset_s;
        span = zone_at(zone, v->at.s);
        set_zone(v, span.offset_s == r->offset_s ? span.name : "", r->offset_s);
    } else if (r->zone.len) {
        return by_name(f, r, zone, v, err);
    } else {
        in_zone(v, zone, wall_of(r));
    }
    return true;
}

/* Without a year it is this one, unless that is more than a week ahead. */
static bool with_year(const struct time_format *f, struct reading *r, const struct zone *zone,
                      struct ottl_value *v, struct err *err)
{
    struct ottl_value now = ottl_time_ns(clock_wall_ns());
    int64_t week_ahead_s = now.at.s + 7 * 86400;

    now.at.offset_s = v->at.offset_s;
    r->year = civil_of(&now).year;
    if (!instant_of(f, r, zone, v, err))
        return false;
    if (v->at.s < week_ahead_s || (v->at.s == week_ahead_s && v->aux <= now.aux))
        return true;
    r->year--;
    return instant_of(f, r, zone, v, err);
}

bool time_parse(const struct time_format *f, struct slice s, const struct zone *zone,
                struct ottl_value *out, struct err *err)
{
    struct reading r = {.s = s, .month = -1, .day = -1};

    if (!read_all(f, s, &r, err))
        return false;
    r.month = r.month < 0 ? 1 : r.month;
    r.day = r.day < 0 ? 1 : r.day;
    if (r.pm && r.hour < 12)
        r.hour += 12;
    else if (r.am && r.hour == 12)
        r.hour = 0;
    if (!day_is_fine(&r)) {
        err_set(err, "parsing time \"%.*s\": day out of range", shown(s), s.p);
        return false;
    }
    return instant_of(f, &r, zone, out, err) && (r.year > 0 || with_year(f, &r, zone, out, err));
}
