/* SPDX-License-Identifier: Apache-2.0 */
/* Instants and durations: the calendar, RFC 3339, Go's durations. See times.h. */
#include "ottl/times.h"

#include <stdio.h>

#define DAY_S 86400

/* ---- calendar ---- */

/* Years begin in March, so that the leap day is a year's last. */
int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400,
            of_year = (153 * (int64_t)(month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct civil civil_of(const struct ottl_value *time)
{
    int64_t s = time->at.s + time->at.offset_s, days = s / DAY_S, rest = s % DAY_S;
    struct civil c;

    if (rest < 0) {
        rest += DAY_S;
        days--;
    }
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, of_era = z - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100),
            month = (5 * of_year + 2) / 153;

    c.day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
    c.month = (unsigned)(month < 10 ? month + 3 : month - 9);
    c.year = year + era * 400 + (c.month <= 2);
    c.hour = (unsigned)(rest / 3600);
    c.minute = (unsigned)(rest / 60 % 60);
    c.second = (unsigned)(rest % 60);
    c.weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
    c.yearday = (unsigned)(days - days_of(c.year, 1, 1) + 1);
    return c;
}

/* ---- text ---- */

/* ".5", or nothing. */
static void fraction_text(uint32_t ns, char dst[static 16])
{
    size_t n;

    dst[0] = 0;
    if (ns == 0)
        return;
    n = (size_t)snprintf(dst, 16, ".%09u", ns);
    while (dst[n - 1] == '0')
        dst[--n] = 0;
}

int put_offset(struct buf *out, int32_t offset_s, const char *between, bool seconds)
{
    int32_t s = offset_s < 0 ? -offset_s : offset_s;

    if (buf_printf(out, "%c%02d%s%02d", offset_s < 0 ? '-' : '+', s / 3600, between, s / 60 % 60))
        return -1;
    return seconds ? buf_printf(out, "%s%02d", between, s % 60) : 0;
}

int put_zone(struct buf *out, const struct ottl_value *time)
{
    size_t n = strnlen(time->at.zone, sizeof(time->at.zone));

    if (n == 1) /* GMT+n, which needs more room than there is */
        return buf_printf(out, "GMT%+d", time->at.offset_s / 3600);
    if (n)
        return buf_add(out, time->at.zone, n);
    return time->at.offset_s ? put_offset(out, time->at.offset_s, "", false)
                             : buf_add(out, "UTC", 3);
}

int put_time_text(struct buf *out, const struct ottl_value *time)
{
    struct civil c = civil_of(time);
    char fraction[16];

    fraction_text(time->aux, fraction);
    if (buf_printf(out, "%04lld-%02u-%02u %02u:%02u:%02u%s ", (long long)c.year, c.month, c.day,
                   c.hour, c.minute, c.second, fraction))
        return -1;
    return put_offset(out, time->at.offset_s, "", false) || buf_add(out, " ", 1) ||
                   put_zone(out, time)
               ? -1
               : 0;
}

int put_rfc3339(struct buf *out, const struct ottl_value *time)
{
    struct civil c = civil_of(time);
    int offset = time->at.offset_s / 60;
    char fraction[16];

    fraction_text(time->aux, fraction);
    if (buf_printf(out, "%04lld-%02u-%02uT%02u:%02u:%02u%s", (long long)c.year, c.month, c.day,
                   c.hour, c.minute, c.second, fraction))
        return -1;
    if (offset == 0)
        return buf_add(out, "Z", 1);
    return buf_printf(out, "%c%02d:%02d", offset < 0 ? '-' : '+',
                      (offset < 0 ? -offset : offset) / 60, (offset < 0 ? -offset : offset) % 60);
}

/* ---- durations ---- */

static const struct {
    const char *name;
    uint64_t ns;
} units[] = {
    {"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static bool unit(struct slice *s, uint64_t *ns)
{
    size_t n = 0;

    while (n < s->len && s->p[n] != '.' && (s->p[n] < '0' || s->p[n] > '9'))
        n++;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (slice_eq(slice_of(s->p, n), slice_str(units[i].name))) {
            *ns = units[i].ns;
            *s = slice_of(s->p + n, s->len - n);
            return true;
        }
    return false;
}

/* Digits; false when they do not fit 63 bits. */
static bool digits(struct slice *s, uint64_t *v, size_t *n)
{
    for (*n = 0; s->len && s->p[0] >= '0' && s->p[0] <= '9'; ++*n) {
        if (*v > ((uint64_t)1 << 63) / 10)
            return false;
        *v = *v * 10 + (uint64_t)(s->p[0] - '0');
        if (*v > (uint64_t)1 << 63)
            return false;
        *s = slice_of(s->p + 1, s->len - 1);
    }
    return true;
}

/* Digits behind the point; those that do not fit are let go. */
static size_t fraction(struct slice *s, uint64_t *f, double *scale)
{
    bool full = false;
    size_t n = 0;

    *f = 0;
    *scale = 1;
    for (; s->len && s->p[0] >= '0' && s->p[0] <= '9'; n++) {
        full |= *f > (INT64_MAX - 9) / 10;
        if (!full) {
            *f = *f * 10 + (uint64_t)(s->p[0] - '0');
            *scale *= 10;
        }
        *s = slice_of(s->p + 1, s->len - 1);
    }
    return n;
}

static bool one_part(struct slice *s, uint64_t *sum)
{
    uint64_t v = 0, f = 0, ns;
    size_t before, after = 0;
    double scale = 1;

    if (!digits(s, &v, &before))
        return false;
    if (s->len && s->p[0] == '.') {
        *s = slice_of(s->p + 1, s->len - 1);
        after = fraction(s, &f, &scale);
    }
    if (before + after == 0 || !unit(s, &ns) || v > ((uint64_t)1 << 63) / ns)
        return false;
    v = v * ns + (f ? (uint64_t)((double)f * ((double)ns / scale)) : 0);
    *sum += v;
    return v <= (uint64_t)1 << 63 && *sum <= (uint64_t)1 << 63;
}

bool parse_duration(struct slice s, int64_t *ns)
{
    bool negative = s.len && s.p[0] == '-';
    uint64_t sum = 0;

    if (s.len && (s.p[0] == '-' || s.p[0] == '+'))
        s = slice_of(s.p + 1, s.len - 1);
    if (slice_eq(s, slice_str("0"))) {
        *ns = 0;
        return true;
    }
    if (s.len == 0)
        return false;
    while (s.len)
        if (!one_part(&s, &sum))
            return false;
    if (sum > INT64_MAX && !(negative && sum == (uint64_t)1 << 63))
        return false;
    *ns = (int64_t)(negative ? 0 - sum : sum);
    return true;
}

/* Less than a second: in the largest unit that leaves a digit before the point. */
static int put_short(struct buf *out, const char *sign, uint64_t ns)
{
    const char *name = ns < 1000 ? "ns" : ns < 1000000 ? "\xc2\xb5s" : "ms";
    uint64_t per = ns < 1000 ? 1 : ns < 1000000 ? 1000 : 1000000;
    char text[16];

    fraction_text((uint32_t)(ns % per * (1000000000 / per)), text);
    return buf_printf(out, "%s%llu%s%s", sign, (unsigned long long)(ns / per), text, name);
}

int put_duration(struct buf *out, int64_t ns)
{
    uint64_t all = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns, s = all / 1000000000;
    const char *sign = ns < 0 ? "-" : "";
    char text[16];

    if (all == 0)
        return buf_add(out, "0s", 2);
    if (s == 0)
        return put_short(out, sign, all);
    fraction_text((uint32_t)(all % 1000000000), text);
    if (buf_printf(out, "%s", sign))
        return -1;
    if (s >= 3600 && buf_printf(out, "%lluh", (unsigned long long)(s / 3600)))
        return -1;
    if (s >= 60 && buf_printf(out, "%llum", (unsigned long long)(s / 60 % 60)))
        return -1;
    return buf_printf(out, "%llu%ss", (unsigned long long)(s % 60), text);
}
