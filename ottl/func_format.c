/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format(text, [values]): Go's printf, with its answers to what is wrong (%!d(string=x)). How one
 * value prints is in verbs.c; this file walks the format.
 *
 * Widths and precisions past a million are refused as there, so that the text grows no further than
 * its bound; what the values do not give is printed as missing. Threads: the eval's worker.
 */
#include "ottl/verbs.h"

struct format {
    struct ottl_eval *e;
    struct slice s; /* the format */
    size_t i;
    const struct ottl_value *v;
    size_t n, next; /* values */
    bool reordered; /* %[n] was used: values left over are no mistake */
    bool good_index;
    bool after_index;
};

static bool add(struct format *f, const char *text)
{
    return buf_add(&f->e->text, text, strlen(text)) == 0 || ottl_too_long(f->e);
}

/* Digits from f->i to end. False: there are none, or too many, which also ends the format there. */
static bool number(struct format *f, size_t end, int64_t *v)
{
    bool some = false;

    *v = 0;
    for (; f->i < end && f->s.p[f->i] >= '0' && f->s.p[f->i] <= '9'; f->i++) {
        if (*v > VERB_MOST) {
            f->i = end;
            *v = 0;
            return false;
        }
        *v = *v * 10 + (f->s.p[f->i] - '0');
        some = true;
    }
    return some;
}

static bool at(const struct format *f, char c)
{
    return f->i < f->s.len && f->s.p[f->i] == (uint8_t)c;
}

/* %[n]: which value comes next. */
static void index_of(struct format *f)
{
    size_t start = f->i, end;
    const uint8_t *close;
    int64_t index;

    f->after_index = false;
    if (!at(f, '['))
        return;
    f->reordered = true;
    close = f->s.len - start >= 3 ? memchr(f->s.p + start, ']', f->s.len - start) : NULL;
    if (!close) {
        f->i = start + 1;
        f->good_index = false;
        return;
    }
    end = (size_t)(close - f->s.p);
    f->i = start + 1;
    f->after_index = number(f, end, &index) && f->i == end;
    f->i = end + 1;
    if (f->after_index && index >= 1 && (uint64_t)index <= f->n)
        f->next = (size_t)index - 1;
    else
        f->good_index = false;
}

static bool value_as_number(struct format *f, int64_t *v)
{
    const struct ottl_value *from = f->next < f->n ? &f->v[f->next] : NULL;

    *v = 0;
    f->next += from != NULL;
    f->after_index = false;
    if (!from || from->type != OTTL_INT || from->i > VERB_MOST || from->i < -VERB_MOST)
        return false;
    *v = from->i;
    return true;
}

static void flags(struct format *f, struct verb *verb)
{
    for (; f->i < f->s.len; f->i++)
        switch (f->s.p[f->i]) {
        case '#':
            verb->sharp = true;
            break;
        case '0':
            verb->zero = true;
            break;
        case '+':
            verb->plus = true;
            break;
        case '-':
            verb->minus = true;
            break;
        case ' ':
            verb->space = true;
            break;
        default:
            return;
        }
}

static bool width(struct format *f, struct verb *verb)
{
    bool indexed = f->after_index;

    if (!at(f, '*')) {
        verb->has_width = number(f, f->s.len, &verb->width);
        if (indexed && verb->has_width)
            f->good_index = false; /* %[3]2d */
        return true;
    }
    f->i++;
    verb->has_width = value_as_number(f, &verb->width);
    if (!verb->has_width)
        return add(f, "%!(BADWIDTH)");
    if (verb->width < 0) {
        verb->width = -verb->width;
        verb->minus = true;
    }
    return true;
}

static bool precision(struct format *f, struct verb *verb)
{
    if (!at(f, '.'))
        return true;
    f->i++;
    if (f->after_index)
        f->good_index = false;
    index_of(f);
    if (!at(f, '*')) {
        if (!number(f, f->s.len, &verb->precision))
            verb->precision = 0;
        verb->has_precision = true;
        return true;
    }
    f->i++;
    verb->has_precision = value_as_number(f, &verb->precision);
    if (verb->precision < 0)
        verb->has_precision = false;
    return verb->has_precision || add(f, "%!(BADPREC)");
}

/* The character at f->i, as it stands and as a number. */
static struct slice verb_text(struct format *f, uint32_t *rune)
{
    const uint8_t *p = f->s.p + f->i;
    size_t n = 1;

    *rune = p[0];
    if (p[0] >= 0xc0) {
        *rune = p[0] & (0x3fu >> (p[0] >= 0xe0) >> (p[0] >= 0xf0));
        while (n < 4 && f->i + n < f->s.len && (p[n] & 0xc0) == 0x80)
            *rune = *rune << 6 | (p[n++] & 0x3f);
    }
    f->i += n;
    return slice_of(p, n);
}

static bool complain(struct format *f, struct slice verb, const char *what)
{
    return buf_printf(&f->e->text, "%%!%.*s(%s)", (int)verb.len, verb.p, what) == 0 ||
           ottl_too_long(f->e);
}

/* Behind a '%'. */
static bool one(struct format *f)
{
    struct verb verb = {0};
    struct slice text;

    f->good_index = true;
    flags(f, &verb);
    index_of(f);
    if (!width(f, &verb) || !precision(f, &verb))
        return false;
    if (!f->after_index)
        index_of(f);
    if (f->i >= f->s.len)
        return add(f, "%!(NOVERB)");
    text = verb_text(f, &verb.rune);
    if (verb.rune == '%')
        return add(f, "%");
    if (!f->good_index)
        return complain(f, text, "BADINDEX");
    if (f->next >= f->n)
        return complain(f, text, "MISSING");
    return put_verb(f->e, &verb, &f->v[f->next++]);
}

static bool left_over(struct format *f)
{
    const struct verb plain = {.rune = 'v'};

    if (f->reordered || f->next >= f->n)
        return true;
    for (const char *before = "%!(EXTRA "; f->next < f->n; before = ", ") {
        const struct ottl_value *v = &f->v[f->next++];

        if (!add(f, before) || !add(f, verb_type_name(v)))
            return false;
        if (v->type != OTTL_NIL && (!add(f, "=") || !put_verb(f->e, &plain, v)))
            return false;
    }
    return add(f, ")");
}

static bool walk(struct format *f)
{
    while (f->i < f->s.len) {
        const uint8_t *from = f->s.p + f->i, *percent = memchr(from, '%', f->s.len - f->i);
        size_t plain = percent ? (size_t)(percent - from) : f->s.len - f->i;

        if (buf_add(&f->e->text, from, plain))
            return ottl_too_long(f->e);
        f->i += plain + (percent != NULL);
        if (percent && !one(f))
            return false;
    }
    return left_over(f);
}

static bool format(struct ottl_eval *e, const struct node *n, struct ottl_value *out)
{
    struct ottl_value list;
    struct format f = {.e = e, .s = arg_constant(n, 0)->s};

    if (!arg(e, n, 1, &list))
        return false;
    f.v = list.items.v;
    f.n = list.items.n;
    (void)ottl_text(e);
    return walk(&f) && ottl_keep_text(e, OTTL_STR, out);
}

const struct func format_functions[] = {
    {"Format", format, {P("format", ARG_TEXT), P("vals", ARG_VALUES)}, NULL},
    {.name = NULL},
};
