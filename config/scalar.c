/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scalars: see scalar.h. The order of the attempts is what makes "010" eight, "08" a float, "1_000"
 * a thousand and "2020-01-01" a date. Limits: numbers longer than 128 characters are strings.
 */
#include "config/scalar.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

static bool one_of(const char *s, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(s, *words) == 0)
            return true;
    return false;
}

static bool resolve_word(struct node *n)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
    static const char *const infs[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
    static const char *const minus[] = {"-.inf", "-.Inf", "-.INF", NULL};

    if (one_of(n->text, nulls)) {
        n->type = NODE_NULL;
    } else if (one_of(n->text, yes) || one_of(n->text, no)) {
        n->type = NODE_BOOL;
        n->i = one_of(n->text, yes);
    } else if (one_of(n->text, nans) || one_of(n->text, infs) || one_of(n->text, minus)) {
        n->type = NODE_FLOAT;
        n->d = one_of(n->text, nans) ? NAN : one_of(n->text, infs) ? INFINITY : -INFINITY;
    } else {
        return false;
    }
    return true;
}

/* min..max digits into *v. */
static bool digits(const char **p, int min, int max, int *v)
{
    int n = 0;
    *v = 0;
    while (n < max && isdigit((unsigned char)**p)) {
        *v = *v * 10 + (**p - '0');
        ++*p;
        n++;
    }
    return n >= min;
}

static bool skip(const char **p, char c)
{
    if (**p != c)
        return false;
    ++*p;
    return true;
}

static bool is_time_of_day(const char *p, bool zone)
{
    int h, m, s, zh, zm;
    if (!digits(&p, 1, 2, &h) || !skip(&p, ':') || !digits(&p, 1, 2, &m) || !skip(&p, ':') ||
        !digits(&p, 1, 2, &s) || h > 23 || m > 59 || s > 59)
        return false;
    if (skip(&p, '.')) {
        if (!isdigit((unsigned char)*p))
            return false;
        while (isdigit((unsigned char)*p))
            p++;
    }
    if (!zone)
        return *p == 0;
    if (skip(&p, 'Z'))
        return *p == 0;
    if (*p != '+' && *p != '-')
        return false;
    p++;
    return digits(&p, 2, 2, &zh) && skip(&p, ':') && digits(&p, 2, 2, &zm) && zh <= 24 && zm < 60 &&
           *p == 0;
}

static bool is_timestamp(const char *p)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int y, m, d;
    if (!digits(&p, 4, 4, &y) || !skip(&p, '-') || !digits(&p, 1, 2, &m) || !skip(&p, '-') ||
        !digits(&p, 1, 2, &d))
        return false;
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (m < 1 || m > 12 || d < 1 || d > days[m - 1] + (m == 2 && leap))
        return false;
    if (*p == 'T' || *p == 't')
        return is_time_of_day(p + 1, true);
    return *p == 0 || (*p == ' ' && is_time_of_day(p + 1, false));
}

/* An integer in Go's base-0 notation, without underscores. */
static bool resolve_int(struct node *n, const char *s)
{
    bool minus = *s == '-';
    const char *p = s + (*s == '-' || *s == '+');
    int base = 10;
    if (p[0] == '0' && p[1]) {
        char c = (char)tolower((unsigned char)p[1]);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        p += c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
    }
    if (!isalnum((unsigned char)*p))
        return false;
    char *end;
    errno = 0;
    unsigned long long u = strtoull(p, &end, base);
    if (*end || errno || (minus && u > (uint64_t)INT64_MAX + 1))
        return false;
    n->type = NODE_INT;
    n->big = !minus && u > INT64_MAX;
    n->u = minus ? 0 : u;
    n->i = minus ? (int64_t)(0 - u) : n->big ? INT64_MAX : (int64_t)u;
    return true;
}

/* [-+]? (\.[0-9]+ | [0-9]+(\.[0-9]*)?) ([eE][-+]?[0-9]+)? */
static bool is_float(const char *p)
{
    p += *p == '-' || *p == '+';
    size_t whole = strspn(p, "0123456789");
    p += whole;
    if (*p == '.') {
        p++;
        size_t frac = strspn(p, "0123456789");
        if (!whole && !frac)
            return false;
        p += frac;
    } else if (!whole) {
        return false;
    }
    if (*p == 'e' || *p == 'E') {
        p++;
        p += *p == '-' || *p == '+';
        size_t exponent = strspn(p, "0123456789");
        if (!exponent)
            return false;
        p += exponent;
    }
    return *p == 0;
}

static void resolve_number(struct node *n)
{
    char plain[129];
    size_t len = 0;
    for (const char *p = n->text; *p; p++) {
        if (*p == '_')
            continue;
        if (len == sizeof(plain) - 1)
            return;
        plain[len++] = *p;
    }
    plain[len] = 0;
    if (resolve_int(n, plain))
        return;
    /* after a leading dot underscores do not count as digits */
    const char *s = n->text[0] == '.' ? n->text : plain;
    if (is_float(s)) {
        double d = strtod(s, NULL);
        if (isfinite(d)) {
            n->type = NODE_FLOAT;
            n->d = d;
        }
    }
}

void scalar_resolve(struct node *n)
{
    n->type = NODE_STR;
    if (resolve_word(n))
        return;
    unsigned char c = (unsigned char)n->text[0];
    if (!isdigit(c) && c != '-' && c != '+' && c != '.')
        return;
    if (is_timestamp(n->text))
        n->type = NODE_TIME;
    else
        resolve_number(n);
}

/* ---- durations ---- */

struct unit {
    const char *name;
    uint64_t ns;
};
static const struct unit units[] = {
    {"ns", 1},       {"us", 1000},      {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
    {"ms", 1000000}, {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static const struct unit *unit_of(const char *s, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strlen(units[i].name) == len && memcmp(units[i].name, s, len) == 0)
            return &units[i];
    return NULL;
}

/* "90", ".5", "1.25" into whole and fraction; false when there is no digit at all or it overflows.
 */
static bool decimal(const char **p, uint64_t *whole, double *fraction)
{
    bool any = false;
    *whole = 0;
    *fraction = 0;
    for (; isdigit((unsigned char)**p); ++*p, any = true) {
        if (*whole > (UINT64_MAX - 9) / 10)
            return false;
        *whole = *whole * 10 + (uint64_t)(**p - '0');
    }
    if (skip(p, '.')) {
        double scale = 0.1;
        for (; isdigit((unsigned char)**p); ++*p, any = true, scale /= 10)
            *fraction += (**p - '0') * scale;
    }
    return any;
}

int duration_parse(const char *text, int64_t *ns, const char **why)
{
    const char *p = text;
    bool minus = *p == '-';
    p += *p == '-' || *p == '+';
    *why = "it is not a duration such as 30s, 1m30s or 500ms";
    if (strcmp(p, "0") == 0) {
        *ns = 0;
        return 0;
    }
    if (!*p)
        return -1;
    uint64_t total = 0;
    while (*p) {
        uint64_t whole;
        double fraction;
        if (!decimal(&p, &whole, &fraction))
            return -1;
        size_t len = strcspn(p, "0123456789.");
        const struct unit *u = unit_of(p, len);
        if (!u) {
            *why = len ? "the unit is unknown: ns, us, ms, s, m and h exist"
                       : "a unit is missing: write 30s, 1m30s or 500ms";
            return -1;
        }
        p += len;
        uint64_t part;
        if (__builtin_mul_overflow(whole, u->ns, &part) ||
            __builtin_add_overflow(part, (uint64_t)(fraction * (double)u->ns + 1e-6), &part) ||
            __builtin_add_overflow(total, part, &total) || total > INT64_MAX) {
            *why = "it is too long: 292 years are the most";
            return -1;
        }
    }
    *ns = minus ? -(int64_t)total : (int64_t)total;
    return 0;
}

/* v units of 10^digits smaller ones, without trailing zeros: 1500 of 3 digits is "1.5". */
static void put_fraction(struct buf *out, uint64_t v, int n_digits)
{
    uint64_t scale = 1;
    for (int i = 0; i < n_digits; i++)
        scale *= 10;
    buf_putf(out, "%llu", (unsigned long long)(v / scale));
    uint64_t rest = v % scale;
    if (!rest)
        return;
    while (rest % 10 == 0) {
        rest /= 10;
        n_digits--;
    }
    buf_putf(out, ".%0*llu", n_digits, (unsigned long long)rest);
}

void duration_print(struct buf *out, int64_t ns)
{
    uint64_t v = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    if (ns < 0)
        buf_putc(out, '-');
    if (v == 0) {
        buf_puts(out, "0s");
    } else if (v < 1000) {
        buf_putf(out, "%lluns", (unsigned long long)v);
    } else if (v < 1000000) {
        put_fraction(out, v, 3);
        buf_puts(out, "\xc2\xb5s");
    } else if (v < 1000000000) {
        put_fraction(out, v, 6);
        buf_puts(out, "ms");
    } else {
        uint64_t minutes = v / 60000000000;
        if (minutes >= 60)
            buf_putf(out, "%lluh", (unsigned long long)(minutes / 60));
        if (minutes)
            buf_putf(out, "%llum", (unsigned long long)(minutes % 60));
        put_fraction(out, v % 60000000000, 9);
        buf_putc(out, 's');
    }
}
