/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shortest text of a double. The digits come from printf, 15 of them or as many more as it takes until
 * they read back as the same value; the two formats differ only in where they change to an exponent.
 */
#include "platform/num.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/check.h"

struct decimal {
    bool negative;
    char digits[20]; /* without a point, no zeros at the end */
    int n;
    int exponent; /* of the first digit: value = d.ddd * 10^exponent */
};

/* Any text of 15 digits survives the way into a normal double and back: when a shorter one reads back
 * as v, 15 digits show it with zeros behind. A subnormal has fewer digits to give. */
static int first_precision(double v)
{
    return isnormal(v) ? 14 : 0;
}

static void shortest(double v, struct decimal *d)
{
    char text[32];
    const char *p = text;

    for (int precision = first_precision(v); precision <= 16; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    d->negative = *p == '-';
    p += d->negative;
    d->n = 0;
    for (; *p && *p != 'e'; p++)
        if (*p != '.' && *p != ',')
            d->digits[d->n++] = *p;
    d->exponent = *p ? atoi(p + 1) : 0;
    while (d->n > 1 && d->digits[d->n - 1] == '0')
        d->n--;
}

static size_t put_plain(char *dst, const struct decimal *d)
{
    char *p = dst;

    if (d->negative)
        *p++ = '-';
    if (d->exponent < 0) {
        *p++ = '0';
        *p++ = '.';
        for (int i = -1; i > d->exponent; i--)
            *p++ = '0';
    }
    for (int i = 0; i < d->n; i++) {
        *p++ = d->digits[i];
        if (i == d->exponent && i + 1 < d->n)
            *p++ = '.';
    }
    for (int i = d->n; i <= d->exponent; i++)
        *p++ = '0';
    *p = '\0';
    return (size_t)(p - dst);
}

static size_t put_exponent(char *dst, const struct decimal *d, int width)
{
    char *p = dst;

    if (d->negative)
        *p++ = '-';
    *p++ = d->digits[0];
    if (d->n > 1) {
        *p++ = '.';
        memcpy(p, d->digits + 1, (size_t)d->n - 1);
        p += d->n - 1;
    }
    p += snprintf(p, 8, "e%c%0*d", d->exponent < 0 ? '-' : '+', width, abs(d->exponent));
    return (size_t)(p - dst);
}

static size_t put_text(char *dst, const char *text)
{
    size_t n = strlen(text);

    memcpy(dst, text, n + 1);
    return n;
}

size_t num_metric(char dst[static 32], double v)
{
    struct decimal d = {0};

    if (isnan(v))
        return put_text(dst, "NaN");
    if (isinf(v))
        return put_text(dst, v > 0 ? "+Inf" : "-Inf");
    shortest(v, &d);
    if (v != 0 && (d.exponent < -4 || d.exponent >= 6))
        return put_exponent(dst, &d, 2);
    return put_plain(dst, &d);
}

size_t num_json(char dst[static 32], double v)
{
    struct decimal d = {0};

    CHECK(isfinite(v));
    shortest(v, &d);
    if (v != 0 && (d.exponent < -6 || d.exponent >= 21))
        return put_exponent(dst, &d, 1);
    return put_plain(dst, &d);
}

size_t num_plain(char dst[static NUM_PLAIN_MAX], double v)
{
    struct decimal d = {0};

    if (isnan(v))
        return put_text(dst, "NaN");
    if (isinf(v))
        return put_text(dst, v > 0 ? "+Inf" : "-Inf");
    shortest(v, &d);
    return put_plain(dst, &d);
}
