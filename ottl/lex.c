/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lexer. The text is cut into tokens at once, which lets the parser know in constant time what
 * follows a closing parenthesis, and so never to guess and go back.
 *
 * Limits: OTTL_MOST_BYTES. Threads: any; runs at start only.
 */
#include "ottl/lex.h"

#include <stdio.h>

#include "ottl/hint.h"

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(int c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(int c)
{
    return c >= 'A' && c <= 'Z';
}

static int hex_digit(int c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool is_word(int c)
{
    return is_digit(c) || is_lower(c) || is_upper(c) || c == '_';
}

int err_at(struct err *err, struct slice text, size_t at, const char *fmt, ...)
{
    unsigned line = 1, column = 1;
    char message[900];
    va_list ap;

    for (size_t i = 0; i < at && i < text.len; i++) {
        if (text.p[i] == '\n') {
            line++;
            column = 1;
        } else if ((text.p[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    return err_set(err, "%u:%u: %s", line, column, message);
}

/* ---- one token ---- */

static int at(struct slice s, size_t i)
{
    return i < s.len ? s.p[i] : -1;
}

static size_t run(struct slice s, size_t i, bool (*is)(int c))
{
    while (i < s.len && is(s.p[i]))
        i++;
    return i;
}

static bool is_hex(int c)
{
    return hex_digit(c) >= 0;
}

static bool is_lower_word(int c)
{
    return is_lower(c) || is_digit(c) || c == '_';
}

static bool is_upper_word(int c)
{
    return is_upper(c) || is_digit(c) || c == '_';
}

/* Digits with a point somewhere, then perhaps an exponent. Returns 0 when it is none. */
static size_t float_end(struct slice s, size_t i)
{
    size_t whole = run(s, i, is_digit), end, exponent;

    if (at(s, whole) != '.')
        return 0;
    end = run(s, whole + 1, is_digit);
    if (end == i + 1)
        return 0;
    if (at(s, end) == 'e' || at(s, end) == 'E') {
        exponent = end + 1 + (at(s, end + 1) == '+' || at(s, end + 1) == '-');
        if (is_digit(at(s, exponent)))
            return run(s, exponent, is_digit);
    }
    return end;
}

static size_t number(struct slice s, size_t i, enum token_type *type)
{
    size_t end;

    if (at(s, i) == '0' && at(s, i + 1) == 'x' && is_hex(at(s, i + 2))) {
        *type = T_BYTES;
        return run(s, i + 2, is_hex);
    }
    *type = T_FLOAT;
    end = float_end(s, i);
    if (end)
        return end;
    *type = T_INT;
    return run(s, i, is_digit);
}

static size_t string_end(struct slice s, size_t i)
{
    for (i++; i < s.len; i++) {
        if (s.p[i] == '"')
            return i + 1;
        if (s.p[i] == '\\' && (++i == s.len || s.p[i] == '\n'))
            break;
    }
    return 0;
}

/* Words that are no names, when nothing of a word touches them. */
static size_t word(struct slice s, size_t i, enum token_type *type)
{
    static const struct {
        const char *word;
        enum token_type type;
    } words[] = {{"nil", T_NIL}, {"not", T_NOT},   {"or", T_OR},
                 {"and", T_AND}, {"true", T_BOOL}, {"false", T_BOOL}};
    size_t end = run(s, i, is_lower_word);

    if ((i == 0 || !is_word(s.p[i - 1])) && !is_word(at(s, end)))
        for (size_t k = 0; k < ARRAY_LEN(words); k++)
            if (slice_eq(slice_of(s.p + i, end - i), slice_str(words[k].word))) {
                *type = words[k].type;
                return end;
            }
    *type = T_LOWER;
    return end;
}

static size_t sign(struct slice s, size_t i, enum token_type *type)
{
    static const char one[] = "+-/*=()[]{}:,.";
    static const enum token_type types[] = {
        T_ADD,      T_ADD,       T_MUL,      T_MUL,       T_EQUALS, T_OPEN,  T_CLOSE,
        T_OPEN_KEY, T_CLOSE_KEY, T_OPEN_MAP, T_CLOSE_MAP, T_COLON,  T_COMMA, T_DOT};
    int c = at(s, i), next = at(s, i + 1);
    const char *found;

    if (next == '=' && (c == '=' || c == '!' || c == '<' || c == '>')) {
        *type = T_COMPARE;
        return i + 2;
    }
    if (c == '=' && next == '>') {
        *type = T_ARROW;
        return i + 2;
    }
    if (c == '<' || c == '>') {
        *type = T_COMPARE;
        return i + 1;
    }
    found = c > 0 ? strchr(one, c) : NULL;
    if (!found)
        return 0;
    *type = types[found - one];
    return i + 1;
}

static size_t token_end(struct slice s, size_t i, enum token_type *type)
{
    int c = at(s, i);

    if (is_digit(c) || (c == '.' && is_digit(at(s, i + 1))))
        return number(s, i, type);
    if (c == '"') {
        *type = T_STRING;
        return string_end(s, i);
    }
    if (is_lower(c))
        return word(s, i, type);
    if (is_upper(c)) {
        *type = T_UPPER;
        return run(s, i, is_upper_word);
    }
    return sign(s, i, type);
}

/* ---- all of them ---- */

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static void match_parentheses(struct token *t, size_t n)
{
    uint32_t open = UINT32_MAX; /* a stack through `match` */

    for (uint32_t i = 0; i < n; i++) {
        if (t[i].type == T_OPEN) {
            t[i].match = open;
            open = i;
        } else if (t[i].type == T_CLOSE && open != UINT32_MAX) {
            uint32_t below = t[open].match;

            t[open].match = i;
            open = below;
        }
    }
    while (open != UINT32_MAX) {
        uint32_t below = t[open].match;

        t[open].match = (uint32_t)n - 1;
        open = below;
    }
}

struct token *lex(struct arena *a, struct slice text, size_t *n, struct err *err)
{
    struct token *t;
    size_t i = 0;

    if (text.len > OTTL_MOST_BYTES) {
        err_set(err, "longer than %d bytes", OTTL_MOST_BYTES);
        return NULL;
    }
    t = arena_alloc(a, (text.len + 1) * sizeof(*t));
    for (*n = 0;; ++*n) {
        size_t end;

        i = run(text, i, is_space);
        t[*n].at = (uint32_t)i;
        if (i == text.len)
            break;
        end = token_end(text, i, &t[*n].type);
        if (!end) {
            err_at(err, text, i, "lexer: invalid input text \"%.*s\"%s",
                   (int)(text.len - i < 60 ? text.len - i : 60), text.p + i,
                   hint_of(slice_of(text.p + i, text.len - i)).text);
            return NULL;
        }
        t[*n].len = (uint32_t)(end - i);
        i = end;
    }
    ++*n; /* T_END is 0 */
    match_parentheses(t, *n);
    return t;
}

/* ---- strings ---- */

static size_t put_utf8(uint8_t *dst, uint32_t c)
{
    if (c < 0x80) {
        dst[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        dst[0] = (uint8_t)(0xc0 | c >> 6);
        dst[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        dst[0] = (uint8_t)(0xe0 | c >> 12);
        dst[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        dst[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    dst[0] = (uint8_t)(0xf0 | c >> 18);
    dst[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    dst[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    dst[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

/* The number of `digits` digits to `base` from p on; UINT32_MAX: it is none. */
static uint32_t code(struct slice s, size_t i, unsigned digits, unsigned base)
{
    uint32_t c = 0;

    for (unsigned k = 0; k < digits; k++) {
        int d = hex_digit(at(s, i + k));

        if (d < 0 || (unsigned)d >= base || c > 0x10ffff)
            return UINT32_MAX;
        c = c * base + (uint32_t)d;
    }
    return c;
}

/* The escape behind the backslash at s.p[*i]; steps over it. UINT32_MAX: there is no such. */
static uint32_t escape(struct slice s, size_t *i)
{
    static const char letters[] = "abfnrtv\\\"", meant[] = "\a\b\f\n\r\t\v\\\"";
    int c = at(s, *i + 1);
    const char *letter = c > 0 ? strchr(letters, c) : NULL;
    unsigned digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t v;

    if (letter) {
        *i += 2;
        return (uint8_t)meant[letter - letters];
    }
    if (digits) {
        v = code(s, *i + 2, digits, 16);
        *i += 2 + digits;
        return v > 0x10ffff || (v >= 0xd800 && v < 0xe000) ? UINT32_MAX : v;
    }
    v = code(s, *i + 1, 3, 8);
    *i += 4;
    return v > 255 ? UINT32_MAX : v;
}

int unquote(struct arena *a, struct slice text, const struct token *t, struct slice *out,
            struct err *err)
{
    struct slice in = slice_of(text.p + t->at + 1, t->len - 2);
    uint8_t *dst = arena_alloc(a, in.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.len;) {
        uint32_t c;

        if (in.p[i] != '\\') {
            dst[n++] = in.p[i++];
            continue;
        }
        c = escape(in, &i);
        if (c == UINT32_MAX)
            return err_at(err, text, t->at,
                          "invalid quoted string %.*s: invalid syntax, a backslash is written \\\\",
                          (int)t->len, text.p + t->at);
        n += put_utf8(dst + n, c); /* an escape is never shorter than what it means */
    }
    *out = slice_of(dst, n);
    return 0;
}
