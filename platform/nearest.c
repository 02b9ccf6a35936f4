/* SPDX-License-Identifier: Apache-2.0 */
/* Names that differ by a slip of the finger: edit distance, over candidates that the caller lists.
 * Names over NAME_MAX_LEN are near nothing. */
#include "platform/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define NAME_MAX_LEN 64

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap of neighbours) between two names; case and _ - . are equal.
 */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t row[3][NAME_MAX_LEN + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *cur = row[i % 3], *prev = row[(i - 1) % 3], *prev2 = row[(i + 1) % 3];
        cur[0] = i;
        for (size_t j = 1; j <= m; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            bool same = x == y || ((x == '-' || x == '.') && y == '_');
            cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + !same);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                prev2[j - 2] + 1 < cur[j])
                cur[j] = prev2[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

const char *nearest_name(const char *word, const char *(*next)(const void *ctx, size_t i),
                         const void *ctx)
{
    size_t n = strlen(word), best = SIZE_MAX;
    const char *found = NULL;
    if (n > NAME_MAX_LEN)
        return NULL;
    for (size_t i = 0;; i++) {
        const char *c = next(ctx, i);
        if (!c)
            break;
        size_t m = strlen(c);
        if (m > NAME_MAX_LEN)
            continue;
        size_t far = distance(word, n, c, m), longer = n > m ? n : m;
        /* one part of a longer name ("queue" for "sending_queue") is near as well */
        if (n >= 4 && m > n && strstr(c, word) && far > longer / 3)
            far = longer / 3;
        if (far < best && far <= (longer < 4 ? 1 : longer / 3)) {
            best = far;
            found = c;
        }
    }
    return found;
}
