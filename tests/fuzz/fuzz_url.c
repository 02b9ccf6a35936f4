/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what takes the variable parts out of URLs. The result is never longer, ends before a
 * query, has at most ten segments, and each is one of the text's as it was, or a star and what
 * could not have been a value; as the name of a span it is never lost. */
#include <stdlib.h>

#include "platform/mem.h"
#include "processors/redaction_url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Letters and these; behind the star of a tenth segment, the second byte as in others. */
static void check_byte(uint8_t c, size_t place)
{
    uint8_t small = c | 0x20;

    CHECK(c != '?' && c != '&' && c != '#');
    CHECK(place == 1 || (small >= 'a' && small <= 'z') || c == '-' || c == '_' || c == '.' ||
          c == ' ' || (c == '*' && place == 0));
}

static void check_url(struct slice text)
{
    size_t segments = 1, place = 0;
    struct buf out = {0};

    CHECK(url_sanitize(text, &out) == 0);
    CHECK(out.len <= text.len);
    for (size_t i = 0; i < out.len; i++) {
        if (out.p[i] == '/') {
            segments++;
            place = 0;
        } else {
            check_byte(out.p[i], place++);
        }
    }
    CHECK(segments <= 10);
    buf_free(&out);
}

static void check_name(struct slice text, bool http)
{
    struct slice name = text;
    struct buf out = {0};

    CHECK(url_sanitize_name(&name, http, &out) == 0);
    CHECK(name.len > 0 || text.len == 0);
    if (!http && (text.len == 0 || !memchr(text.p, '/', text.len)))
        CHECK(name.p == text.p && name.len == text.len);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *exact = mem_alloc(size + (size == 0));
    struct slice text = slice_of(exact, size);

    if (size)
        memcpy(exact, data, size);
    check_url(text);
    check_name(text, true);
    check_name(text, false);
    free(exact);
    return 0;
}
