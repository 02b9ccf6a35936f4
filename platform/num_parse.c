/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers from text. See num_parse.h. */
#include "platform/num_parse.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>

bool parse_int(struct slice s, int64_t *v)
{
    bool negative = s.len && s.p[0] == '-';
    size_t i = s.len && (s.p[0] == '-' || s.p[0] == '+');
    uint64_t limit = (uint64_t)INT64_MAX + negative, u = 0;

    if (i == s.len)
        return false;
    for (; i < s.len; i++) {
        uint64_t digit = (uint64_t)s.p[i] - '0';

        if (digit > 9 || u > (limit - digit) / 10)
            return false;
        u = u * 10 + digit;
    }
    *v = (int64_t)(negative ? 0 - u : u);
    return true;
}

/* Go allows one underscore between digits, and after 0x. */
static bool underscores_fine(const char *s)
{
    char before = '^'; /* '0': a digit, '_': an underscore, other: neither */
    bool hex;

    s += *s == '-' || *s == '+';
    hex = s[0] == '0' && (s[1] | 32) == 'x';
    if (hex) {
        before = '0';
        s += 2;
    }
    for (; *s; s++) {
        if (*s == '_') {
            if (before != '0')
                return false;
            before = '_';
        } else if (isdigit((unsigned char)*s) || (hex && isxdigit((unsigned char)*s))) {
            before = '0';
        } else {
            if (before == '_')
                return false;
            before = '!';
        }
    }
    return before != '_';
}

static void drop_underscores(char *s)
{
    char *to = s;

    for (; *s; s++)
        if (*s != '_')
            *to++ = *s;
    *to = '\0';
}

/* What strtod reads and Go does not: leading space, "nan(...)", a hexadecimal number without p. */
static bool is_go_float(const char *s)
{
    static const char *const words[] = {"inf", "infinity"};
    const char *p = s + (*s == '-' || *s == '+');

    if (strcasecmp(s, "nan") == 0)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasecmp(p, words[i]) == 0)
            return true;
    if (!isdigit((unsigned char)*p) && *p != '.')
        return false;
    return !(p[0] == '0' && (p[1] | 32) == 'x') || strpbrk(p, "pP");
}

bool parse_double(struct slice s, double *v)
{
    char text[512]; /* longer ones are not numbers anybody means */
    char *end;

    if (s.len == 0 || s.len >= sizeof(text) || memchr(s.p, 0, s.len))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    if (!underscores_fine(text))
        return false;
    drop_underscores(text);
    if (!is_go_float(text))
        return false;
    *v = strtod(text, &end);
    return *end == '\0' && (!isinf(*v) || strpbrk(text, "iI"));
}
