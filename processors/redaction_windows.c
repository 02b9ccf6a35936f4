/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a regular expression to windows: see redaction_windows.h. The pattern is read once, by
 * recursive descent, into pieces (redaction_pieces.h). Assertions (\b, ^, $) count as empty, and what
 * may be more than one byte wide as anything: that is generous.
 */
#include "processors/redaction_windows.h"

#include <ctype.h>
#include <string.h>

#include "processors/redaction_pieces.h"

#define MOST_DEPTH 50   /* nested groups */
#define TOO_COMMON 2e-3 /* needs that cost more than this per byte are not worth looking for */

struct reader {
    const char *p;
    struct arena *arena;
    bool failed; /* something we do not read */
    bool fold; /* (?i) */
    unsigned depth;
};

static void class_add_range(struct byte_class *c, unsigned from, unsigned to)
{
    for (unsigned b = from; b <= to; b++)
        class_add(c, b);
}

/* ---- reading ---- */

static struct piece read_either(struct reader *r);

static struct piece fail(struct reader *r)
{
    r->failed = true;
    return piece_unknown(r->arena);
}

/* (?i) makes k and s match the Kelvin sign and the long s as well. */
static struct piece folded(struct reader *r, struct byte_class c)
{
    struct piece out, odd;

    for (int b = 'a'; b <= 'z'; b++)
        if (class_has(&c, (uint8_t)b) || class_has(&c, (uint8_t)(b - 32))) {
            class_add(&c, (unsigned)b);
            class_add(&c, (unsigned)b - 32);
        }
    out = piece_class(r->arena, &c);
    if (class_has(&c, 'k')) {
        odd = piece_bytes(r->arena, "\xe2\x84\xaa", 3);
        out = piece_either(r->arena, &out, &odd);
    }
    if (class_has(&c, 's')) {
        odd = piece_bytes(r->arena, "\xc5\xbf", 2);
        out = piece_either(r->arena, &out, &odd);
    }
    return out;
}

static struct piece of_class(struct reader *r, const struct byte_class *c)
{
    return r->fold ? folded(r, *c) : piece_class(r->arena, c);
}

/* One character that is none of c, all of which is ASCII. Of one beyond ASCII only its first and last
 * byte are said something about. */
static struct piece none_of(struct reader *r, const struct byte_class *c)
{
    struct byte_class first = {{~c->bits[0], ~c->bits[1], 0, ~0ull}}, last = {{~c->bits[0], ~c->bits[1], ~0ull, 0}};

    return piece_ends(r->arena, &first, &last);
}

static struct piece of_char(struct reader *r, unsigned ch)
{
    struct byte_class c = {{0}};

    class_add(&c, ch);
    return of_class(r, &c);
}

/* A character beyond ASCII stands for its bytes; with (?i) its other cases are not known here. */
static struct piece read_wide(struct reader *r)
{
    size_t n = 1;

    while (((uint8_t)r->p[n] & 0xc0) == 0x80)
        n++;
    r->p += n;
    if (n > 4)
        return fail(r);
    return r->fold ? piece_unknown(r->arena) : piece_bytes(r->arena, r->p - n, n);
}

/* \d \w \s and their negations, which reach beyond ASCII. */
static bool perl_class(char name, struct byte_class *c, bool *wide)
{
    struct byte_class x = {{0}};

    switch (name | 32) {
    case 'd':
        class_add_range(&x, '0', '9');
        break;
    case 'w':
        class_add_range(&x, '0', '9');
        class_add_range(&x, 'a', 'z');
        class_add_range(&x, 'A', 'Z');
        class_add(&x, '_');
        break;
    case 's':
        for (const char *s = "\t\n\f\r "; *s; s++)
            class_add(&x, (uint8_t)*s);
        break;
    default:
        return false;
    }
    *wide |= !(name & 32);
    for (int i = 0; i < 4; i++)
        c->bits[i] |= x.bits[i];
    return true;
}

static int hex_digits(struct reader *r, int most)
{
    int v = 0, n = 0;

    for (; n < most && isxdigit((unsigned char)*r->p); n++, r->p++)
        v = v * 16 + (isdigit((unsigned char)*r->p) ? *r->p - '0' : (*r->p | 32) - 'a' + 10);
    return n ? v : -1;
}

/* \x41, \x{41}; p stands after the x. -1: not read. */
static int hex_escape(struct reader *r)
{
    int v;

    if (*r->p != '{') {
        const char *start = r->p;

        v = hex_digits(r, 2);
        return r->p - start == 2 ? v : -1;
    }
    r->p++;
    v = hex_digits(r, 6);
    return *r->p++ == '}' ? v : -1;
}

/* The ASCII character that a simple escape stands for; p after the backslash. -1: another kind. */
static int simple_escape(struct reader *r)
{
    static const char names[] = "afnrtv", values[] = "\a\f\n\r\t\v";
    char ch = *r->p;
    const char *at = ch ? strchr(names, ch) : NULL;

    if (at) {
        r->p++;
        return values[at - names];
    }
    if (ch == 'x') {
        r->p++;
        return hex_escape(r);
    }
    if (ch && ispunct((unsigned char)ch)) {
        r->p++;
        return ch;
    }
    return -1;
}

static struct piece read_quoted(struct reader *r)
{
    struct piece out = piece_empty(r->arena);

    while (*r->p && strncmp(r->p, "\\E", 2) != 0) {
        struct piece next = (uint8_t)*r->p & 0x80 ? read_wide(r) : of_char(r, (uint8_t)*r->p++);

        out = piece_then(r->arena, &out, &next);
    }
    r->p += *r->p ? 2 : 0;
    /* A repetition here would belong to the last character alone. */
    return *r->p && strchr("*+?{", *r->p) ? fail(r) : out;
}

/* \pN, \p{Name}, \PN: any one character as far as we know. */
static struct piece read_property(struct reader *r)
{
    const char *end = *r->p == '{' ? strchr(r->p, '}') : r->p;

    if (!end || !*end)
        return fail(r);
    r->p = end + 1;
    return piece_unknown(r->arena);
}

static struct piece read_escape(struct reader *r)
{
    struct byte_class c = {{0}};
    bool wide = false;
    int ch;

    if (*r->p && strchr("bBAz", *r->p)) {
        r->p++;
        return piece_empty(r->arena);
    }
    if (*r->p && perl_class(*r->p, &c, &wide)) {
        r->p++;
        return wide ? none_of(r, &c) : of_class(r, &c);
    }
    switch (*r->p) {
    case 'Q':
        r->p++;
        return read_quoted(r);
    case 'p':
    case 'P':
        r->p++;
        return read_property(r);
    default:
        break;
    }
    ch = simple_escape(r);
    return ch >= 0 && ch < 128 ? of_char(r, (unsigned)ch) : fail(r);
}

/* [:alpha:]; p stands at the inner '['. */
static bool posix_class(struct reader *r, struct byte_class *c, bool *wide)
{
    static const struct {
        const char *name;
        int (*is)(int);
    } names[] = {{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl}, {"digit", isdigit},
                 {"graph", isgraph}, {"lower", islower}, {"print", isprint}, {"punct", ispunct}, {"space", isspace},
                 {"upper", isupper}, {"xdigit", isxdigit}};
    const char *end = strstr(r->p, ":]");
    const char *name = r->p + 2;

    if (!end)
        return false;
    if (*name == '^') {
        *wide = true;
        r->p = end + 2;
        return true;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i].name) == (size_t)(end - name) && strncmp(name, names[i].name, (size_t)(end - name)) == 0) {
            for (int b = 0; b < 128; b++)
                if (names[i].is(b))
                    class_add(c, (unsigned)b);
            r->p = end + 2;
            return true;
        }
    return false;
}

/* One end of a range in a class. -1: not ASCII or not read; *wide tells which. */
static int class_char(struct reader *r, bool *wide)
{
    if ((uint8_t)*r->p & 0x80) {
        *wide = true;
        r->p++;
        while (((uint8_t)*r->p & 0xc0) == 0x80)
            r->p++;
        return -1;
    }
    if (*r->p != '\\')
        return *r->p ? (uint8_t)*r->p++ : -1;
    r->p++;
    int ch = simple_escape(r);

    if (ch > 127) {
        *wide = true;
        return -1;
    }
    if (ch < 0)
        r->failed = true;
    return ch;
}

static void class_item(struct reader *r, struct byte_class *c, bool *wide)
{
    int from, to;

    if (r->p[0] == '[' && r->p[1] == ':') {
        r->failed |= !posix_class(r, c, wide);
        return;
    }
    if (r->p[0] == '\\' && r->p[1] && perl_class(r->p[1], c, wide)) {
        r->p += 2;
        return;
    }
    if (r->p[0] == '\\' && (r->p[1] | 32) == 'p') {
        r->p += 2;
        (void)read_property(r);
        *wide = true;
        return;
    }
    from = class_char(r, wide);
    to = from;
    if (r->p[0] == '-' && r->p[1] && r->p[1] != ']') {
        r->p++;
        to = class_char(r, wide);
    }
    if (from >= 0 && to >= from)
        class_add_range(c, (unsigned)from, (unsigned)to);
}

/* After '['. */
static struct piece read_class(struct reader *r)
{
    struct byte_class c = {{0}};
    bool wide = false, negated = *r->p == '^';

    r->p += negated;
    if (*r->p == ']') {
        class_add(&c, ']');
        r->p++;
        if (r->p[0] == '-' && r->p[1] && r->p[1] != ']')
            return fail(r); /* a range that begins with ']' */
    }
    while (*r->p && *r->p != ']' && !r->failed)
        class_item(r, &c, &wide);
    if (*r->p != ']')
        return fail(r);
    r->p++;
    if (wide)
        return piece_unknown(r->arena);
    return negated ? none_of(r, &c) : of_class(r, &c);
}

/* (?i) (?s-i: ...; p after "(?". Returns true when a group body follows, false when the flags hold
 * for the rest of the enclosing group. */
static bool read_flags(struct reader *r)
{
    bool on = true;

    for (; *r->p && *r->p != ')' && *r->p != ':'; r->p++) {
        if (*r->p == '-')
            on = false;
        else if (*r->p == 'i')
            r->fold = on;
        else if (*r->p != 's' && *r->p != 'm' && *r->p != 'U')
            r->failed = true;
    }
    if (!*r->p)
        r->failed = true;
    return *r->p && *r->p++ == ':';
}

/* After '('. */
static struct piece read_group(struct reader *r)
{
    bool fold = r->fold;
    struct piece out;

    if (++r->depth > MOST_DEPTH)
        return fail(r);
    if (r->p[0] == '?' && (r->p[1] == 'P' || r->p[1] == '<')) {
        const char *end = strchr(r->p, '>');

        if (!end)
            return fail(r);
        r->p = end + 1;
    } else if (r->p[0] == '?') {
        r->p++;
        if (!read_flags(r)) { /* flags alone: they outlive the parentheses */
            r->depth--;
            /* RE2 lets a repetition here mean what stands before. */
            return *r->p && strchr("*+?{", *r->p) ? fail(r) : piece_empty(r->arena);
        }
    }
    out = read_either(r);
    if (*r->p != ')')
        return fail(r);
    r->p++;
    r->depth--;
    r->fold = fold;
    return out;
}

static struct piece read_atom(struct reader *r)
{
    char ch = *r->p;

    if ((uint8_t)ch & 0x80)
        return read_wide(r);
    r->p++;
    switch (ch) {
    case '(':
        return read_group(r);
    case '[':
        return read_class(r);
    case '\\':
        return read_escape(r);
    case '^':
    case '$':
        return piece_empty(r->arena);
    case '.':
        return piece_unknown(r->arena);
    default:
        return of_char(r, (uint8_t)ch);
    }
}

/* {2}, {2,}, {2,5}; p at '{'. False: it is plain text. */
static bool read_counts(struct reader *r, unsigned *min, bool *more)
{
    const char *p = r->p + 1;
    unsigned n = 0;

    if (!isdigit((unsigned char)*p))
        return false;
    for (; isdigit((unsigned char)*p) && n < 10000; p++)
        n = n * 10 + (unsigned)(*p - '0');
    *min = n;
    *more = *p == ',';
    if (*p == ',')
        for (p++; isdigit((unsigned char)*p); p++)
            ;
    if (*p != '}')
        return false;
    r->p = p + 1;
    return true;
}

static struct piece read_repeated(struct reader *r)
{
    struct piece x = read_atom(r);
    unsigned min = 0;
    bool once = false, more = true;

    while (!r->failed) {
        min = 0, once = false, more = true;
        if (*r->p == '*' || *r->p == '+' || *r->p == '?') {
            min = *r->p == '+';
            once = *r->p == '?';
            r->p++;
        } else if (*r->p != '{' || !read_counts(r, &min, &more)) {
            break;
        }
        if (*r->p == '?')
            r->p++;
        x = piece_repeat(r->arena, &x, min, once, more);
    }
    return x;
}

static struct piece read_sequence(struct reader *r)
{
    struct piece out = piece_empty(r->arena);

    while (*r->p && *r->p != '|' && *r->p != ')' && !r->failed) {
        struct piece next = read_repeated(r);

        out = piece_then(r->arena, &out, &next);
    }
    return out;
}

/* Branches that were put together, by how many they are: each level twice the one above it. */
struct branches {
    struct piece v[32];
    size_t n[32], depth;
};

static void join_last(struct reader *r, struct branches *b)
{
    b->depth--;
    b->v[b->depth - 1] = piece_either(r->arena, &b->v[b->depth - 1], &b->v[b->depth]);
    b->n[b->depth - 1] += b->n[b->depth];
}

/* Two and two, so that a list of a thousand words is copied ten times and not a thousand. */
static struct piece read_either(struct reader *r)
{
    struct branches b;
    bool more = true;

    for (b.depth = 0; more && !r->failed;) {
        b.v[b.depth] = read_sequence(r);
        b.n[b.depth++] = 1;
        while (b.depth > 1 && b.n[b.depth - 1] == b.n[b.depth - 2])
            join_last(r, &b);
        more = *r->p == '|';
        r->p += more;
    }
    while (b.depth > 1)
        join_last(r, &b);
    return b.depth ? b.v[0] : piece_empty(r->arena);
}

/* A second need costs anchors to look for: only when those are few. */
#define FEW_WINDOWS 4

struct needs needs_of(const char *pattern, struct arena *arena)
{
    struct reader r = {.p = pattern, .arena = arena};
    struct piece p = read_either(&r);
    struct needs out = {0};

    if (r.failed || *r.p)
        return out;
    piece_finish(arena, &p);
    for (size_t i = 0; i < p.needs.n && p.needs.v[i].cost <= TOO_COMMON; i++)
        if (i == 0 || p.needs.v[i].n <= FEW_WINDOWS)
            out.v[out.n++] = p.needs.v[i];
    return out;
}
