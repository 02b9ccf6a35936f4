/* SPDX-License-Identifier: Apache-2.0 */
/* See detectors.h. A card number is one when its check digit (Luhn) is right, too. */
#include "cmd/detectors.h"

#include <ctype.h>
#include <stdlib.h>

#include "platform/mem.h"
#include "platform/regex.h"

static bool is_card(struct slice s);

static const struct {
    const char *name, *pattern;
    bool (*is)(struct slice found); /* NULL: the expression is enough */
} table[] = {
    {"private key", "-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----", NULL},
    {"JWT", "\\beyJ[A-Za-z0-9_-]{5,}\\.eyJ[A-Za-z0-9_-]{5,}\\.[A-Za-z0-9_-]*", NULL},
    {"authorization value", "(?i)\\b(?:bearer|basic|digest|negotiate)[ \\t]+[A-Za-z0-9._~+/=-]{8,}", NULL},
    {"AWS key id", "\\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ANVA|ABIA|ACCA)[A-Z0-9]{16}\\b", NULL},
    {"AWS secret key", "(?i)aws[a-z_ .-]{0,24}(?:secret|key)[a-z_ .-]{0,24}[\"']?[ \\t]*[=:][ \\t]*[\"']?[A-Za-z0-9/+]{40}", NULL},
    {"e-mail address", "[A-Za-z0-9._%+'-]{1,64}@(?:[A-Za-z0-9-]{1,63}\\.){1,8}[A-Za-z]{2,24}\\b", NULL},
    {"card number", "\\b[2-6](?:[ -]?\\d){12,18}\\b", is_card},
};
#define N ARRAY_LEN(table)

struct detectors {
    struct regex *regex[N];
};

/* Each second digit from the right counts double, less 9 when that makes two digits. */
static bool is_card(struct slice s)
{
    unsigned sum = 0, n = 0;

    for (size_t i = s.len; i-- > 0;) {
        unsigned digit = (unsigned)s.p[i] - '0', twice = 2 * digit;

        if (digit > 9)
            continue;
        sum += n++ % 2 == 0 ? digit : twice > 9 ? twice - 9 : twice;
    }
    return n >= 13 && n <= 19 && sum % 10 == 0;
}

struct detectors *detectors_new(void)
{
    struct detectors *d = mem_alloc(sizeof(*d));

    for (size_t i = 0; i < N; i++) {
        struct err err;

        d->regex[i] = regex_new(table[i].pattern, &err);
        CHECK(d->regex[i]);
    }
    return d;
}

void detectors_free(struct detectors **d)
{
    for (size_t i = 0; *d && i < N; i++)
        regex_free(&(*d)->regex[i]);
    free(*d);
    *d = NULL;
}

size_t detectors_n(const struct detectors *d)
{
    return ARRAY_LEN(d->regex);
}

const char *detector_name(const struct detectors *d, size_t i)
{
    CHECK(i < detectors_n(d));
    return table[i].name;
}

bool detector_find(const struct detectors *d, size_t i, struct slice text, size_t from, struct slice *found)
{
    size_t start, end;

    while (from <= text.len && regex_search(d->regex[i], text, from, &start, &end)) {
        *found = slice_of(text.p + start, end - start);
        if (!table[i].is || table[i].is(*found))
            return true;
        from = end > from ? end : from + 1;
    }
    return false;
}

void detectors_put_hint(struct buf *out, struct slice found)
{
    for (size_t i = 0; i < 2 && found.len > 8; i++)
        buf_putc(out, isgraph(found.p[i]) ? (char)found.p[i] : '?');
    buf_putf(out, "*** (%zu characters)", found.len);
}

/* The find that begins first, of any detector. */
static bool next_find(const struct detectors *d, struct slice text, size_t from, struct slice *found)
{
    bool any = false;

    for (size_t i = 0; i < N; i++) {
        struct slice one;

        if (detector_find(d, i, text, from, &one) && (!any || one.p < found->p)) {
            *found = one;
            any = true;
        }
    }
    return any;
}

/* Until out has `end` bytes; false when that was before the end of p. */
static bool put_plain(struct buf *out, size_t end, const uint8_t *p, size_t n)
{
    size_t i = 0;

    for (; i < n && out->len < end; i++)
        buf_putc(out, iscntrl(p[i]) ? '?' : (char)p[i]);
    return i == n;
}

/* Takes half a character off the end. */
static void trim_half(struct buf *out, size_t from, uint8_t next)
{
    if ((next & 0xc0) != 0x80)
        return;
    while (out->len > from && (out->p[out->len - 1] & 0xc0) == 0x80)
        out->len--;
    if (out->len > from)
        out->len--;
}

void detectors_put_safe(const struct detectors *d, struct buf *out, struct slice text, size_t max_bytes)
{
    size_t at = 0, from = out->len, end = out->len + max_bytes;
    bool more = true;

    while (more && at < text.len) {
        size_t before = out->len;
        struct slice found;
        bool any = next_find(d, text, at, &found);
        size_t n = any ? (size_t)(found.p - text.p) - at : text.len - at;

        more = put_plain(out, end, text.p + at, n) && (!any || out->len < end);
        if (!more) {
            trim_half(out, from, text.p[at + (out->len - before)]);
            buf_puts(out, "...");
        } else if (any) {
            detectors_put_hint(out, found);
        }
        at += n + (any ? found.len : 0);
    }
}
