/* SPDX-License-Identifier: Apache-2.0 */
/* URLs and paths without their variable parts. See obfuscate.h. */
#include "processors/obfuscate.h"
#include "processors/obfuscate_words.h"

#define MOST_SEGMENTS 10

/* Letters and these; any byte in second place, where versions have their number. */
static bool plain_bytes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i], small = c | 0x20;

        if (i != 1 && !(small >= 'a' && small <= 'z') && c != '-' && c != '_' && c != '.' &&
            c != ' ')
            return false;
    }
    return true;
}

/* Where the query or what comes behind it begins. */
static size_t path_end(struct slice s)
{
    size_t i = 0;

    while (i < s.len && s.p[i] != '?' && s.p[i] != '&' && s.p[i] != '#')
        i++;
    return i;
}

/*
 * A segment behind which the rest is left out. Where the Collector has put a star it looks at the
 * segment's other bytes once more, and keeps them or puts another one.
 */
static int put_last(struct slice s, struct buf *out)
{
    bool plain = plain_bytes(s);
    struct slice rest = slice_of(s.p + 1, s.len - 1);

    if (plain && obfuscate_is_word(s))
        return buf_add(out, s.p, s.len);
    if (buf_add(out, "*", 1))
        return -1;
    return plain && obfuscate_is_word(rest) ? buf_add(out, rest.p, rest.len) : buf_add(out, "*", 1);
}

static int put_segment(struct slice s, bool any_word, struct buf *out)
{
    return plain_bytes(s) && (any_word || obfuscate_is_word(s)) ? buf_add(out, s.p, s.len)
                                                                : buf_add(out, "*", 1);
}

int obfuscate_url(struct slice s, struct buf *out)
{
    size_t end = path_end(s), from = 0;
    unsigned segments = 0;

    if (s.len == 0)
        return 0;
    for (size_t i = 0; i < end; i++) {
        struct slice one = slice_of(s.p + from, i - from);

        if (s.p[i] != '/')
            continue;
        if (++segments == MOST_SEGMENTS)
            return one.len ? put_last(one, out) : 0;
        if (put_segment(one, false, out) || buf_add(out, "/", 1))
            return -1;
        from = i + 1;
    }
    return put_segment(slice_of(s.p + from, end - from), end < s.len, out);
}
