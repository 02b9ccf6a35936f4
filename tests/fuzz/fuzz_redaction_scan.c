/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the scan before redaction's patterns: pattern, newline, text. Whatever RE2 finds in the text
 * must have been announced, by each way to scan. */
#include <stdlib.h>

#include "platform/mem.h"
#include "platform/regex.h"
#include "processors/redaction_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void compare(const char *pattern, const struct regex *r, struct slice text)
{
    struct scanner *sc = scanner_new(&pattern, 1);
    bool found = regex_search(r, text, 0, NULL, NULL);

    for (int way = 0; way < 3; way++)
        if (scanner_force(sc, way))
            CHECK(!found || scanner_hits(sc, text) != 0);
    scanner_free(&sc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    struct err err;
    struct regex *r;
    char *pattern;

    if (!end || end - data > 200 || memchr(data, 0, (size_t)(end - data)))
        return 0;
    pattern = mem_dup_n((const char *)data, (size_t)(end - data));
    r = regex_new(pattern, &err);
    if (r)
        compare(pattern, r, slice_of(end + 1, size - (size_t)(end + 1 - data)));
    regex_free(&r);
    free(pattern);
    return 0;
}
