/* SPDX-License-Identifier: Apache-2.0 */
/* Copying past the caches: see copy.h. Sanitized builds check every copy, so there it is memcpy. */
#include "platform/copy.h"

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(TAILRACE_SANITIZED)
#include <emmintrin.h>

enum {
    LINE_BYTES = 64,
    LEAST_BYTES = 768, /* below, the lines at both ends cost more than the others save */
};

static void stream_line(uint8_t *to, const uint8_t *from)
{
    __m128i a = _mm_loadu_si128((const void *)from), b = _mm_loadu_si128((const void *)(from + 16));
    __m128i c = _mm_loadu_si128((const void *)(from + 32)),
            d = _mm_loadu_si128((const void *)(from + 48));

    _mm_stream_si128((void *)to, a);
    _mm_stream_si128((void *)(to + 16), b);
    _mm_stream_si128((void *)(to + 32), c);
    _mm_stream_si128((void *)(to + 48), d);
}

/* Whole lines only: a part of one would be read after all. */
void copy_past_caches(void *to_, const void *from_, size_t n)
{
    uint8_t *to = to_;
    const uint8_t *from = from_;

    if (n >= LEAST_BYTES) {
        size_t head = -(uintptr_t)to & (LINE_BYTES - 1);

        memcpy(to, from, head);
        for (to += head, from += head, n -= head; n >= LINE_BYTES; n -= LINE_BYTES) {
            stream_line(to, from);
            to += LINE_BYTES;
            from += LINE_BYTES;
        }
    }
    memcpy(to, from, n);
}

#else

void copy_past_caches(void *to, const void *from, size_t n)
{
    memcpy(to, from, n);
}

#endif
