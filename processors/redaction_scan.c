/* SPDX-License-Identifier: Apache-2.0 */
/* Windows into buckets, buckets into tables, tables over bytes. See redaction_scan.h. */
#include "processors/redaction_scan.h"

#include <stdlib.h>

#include "platform/mem.h"
#include "processors/redaction_windows.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define BUCKETS 8
#define WINDOWS 64 /* told apart by bits; more share them */

struct scanner {
    uint8_t low[WINDOW_LEN][16], high[WINDOW_LEN][16]; /* by half byte: a bit per bucket */
    uint32_t table[256];                               /* by byte: such a mask for each position */
    uint64_t windows[WINDOW_LEN][256];                 /* by position and byte: a bit per window */
    uint64_t patterns_of[WINDOWS];
    uint64_t blind;
    uint64_t (*scan)(const struct scanner *sc, const uint8_t *p, size_t n);
};

/* ---- the passes: windows that stand in p[0..n); WINDOW_LEN - 1 more bytes are readable ---- */

static inline uint64_t windows_at(const struct scanner *sc, const uint8_t *p)
{
    return sc->windows[0][p[0]] & sc->windows[1][p[1]] & sc->windows[2][p[2]] & sc->windows[3][p[3]];
}
_Static_assert(WINDOW_LEN == 4, "windows_at");

static uint64_t scan_plain(const struct scanner *sc, const uint8_t *p, size_t n)
{
    uint32_t state = 0;
    uint64_t hits = 0;

    /* Byte k of the state: buckets whose first k + 1 classes the latest bytes fit. */
    for (size_t i = 0; i < n + WINDOW_LEN - 1; i++) {
        state = (state << 8 | 0xff) & sc->table[p[i]];
        if (UNLIKELY(state >> 24))
            hits |= windows_at(sc, p + i - (WINDOW_LEN - 1));
    }
    return hits;
}

#if defined(__x86_64__)
/* The buckets' tables let through more than the windows; v: what they gave for n places. */
static uint64_t confirm(const struct scanner *sc, const uint8_t *p, const uint8_t *v, size_t n)
{
    uint64_t hits = 0;

    for (size_t i = 0; i < n; i++)
        if (v[i])
            hits |= windows_at(sc, p + i);
    return hits;
}

__attribute__((target("ssse3"))) static __m128i hits16(const struct scanner *sc, const uint8_t *p)
{
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i hits = _mm_set1_epi8(-1);

    for (int k = 0; k < WINDOW_LEN; k++) {
        __m128i bytes = _mm_loadu_si128((const void *)(p + k));
        __m128i lo = _mm_and_si128(bytes, nibble);
        __m128i hi = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);

        lo = _mm_shuffle_epi8(_mm_loadu_si128((const void *)sc->low[k]), lo);
        hi = _mm_shuffle_epi8(_mm_loadu_si128((const void *)sc->high[k]), hi);
        hits = _mm_and_si128(hits, _mm_and_si128(lo, hi));
    }
    return hits;
}

/* n is a multiple of 16. */
__attribute__((target("ssse3"))) static uint64_t scan_ssse3(const struct scanner *sc, const uint8_t *p, size_t n)
{
    uint64_t hits = 0;
    uint8_t v[16];

    for (size_t i = 0; i < n; i += 16) {
        __m128i at = hits16(sc, p + i);

        if (LIKELY(_mm_movemask_epi8(_mm_cmpeq_epi8(at, _mm_setzero_si128())) == 0xffff))
            continue;
        _mm_storeu_si128((void *)v, at);
        hits |= confirm(sc, p + i, v, 16);
    }
    return hits;
}

__attribute__((target("avx2"))) static uint64_t scan_avx2(const struct scanner *sc, const uint8_t *p, size_t n)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i low[WINDOW_LEN], high[WINDOW_LEN];
    uint64_t found = 0;
    uint8_t v[32];
    size_t i = 0;

    for (int k = 0; k < WINDOW_LEN; k++) {
        low[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)sc->low[k]));
        high[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)sc->high[k]));
    }
    for (; i + 32 <= n; i += 32) {
        __m256i hits = _mm256_set1_epi8(-1);

        for (int k = 0; k < WINDOW_LEN; k++) {
            __m256i bytes = _mm256_loadu_si256((const void *)(p + i + k));
            __m256i lo = _mm256_and_si256(bytes, nibble);
            __m256i hi = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);

            hits = _mm256_and_si256(hits, _mm256_and_si256(_mm256_shuffle_epi8(low[k], lo),
                                                           _mm256_shuffle_epi8(high[k], hi)));
        }
        if (LIKELY(_mm256_testz_si256(hits, hits)))
            continue;
        _mm256_storeu_si256((void *)v, hits);
        found |= confirm(sc, p + i, v, 32);
    }
    return i < n ? found | scan_ssse3(sc, p + i, n - i) : found;
}
#endif

uint64_t scanner_hits(const struct scanner *sc, struct slice s)
{
    const size_t ahead = WINDOW_LEN - 1;
    size_t whole = s.len > ahead ? (s.len - ahead) & ~(size_t)15 : 0;
    uint8_t tail[16 + 16 + WINDOW_LEN] = {0}; /* what is left, zeros behind: only a window that ends
                                                 early may use them, and it allows all bytes there */
    uint64_t hits = whole ? sc->scan(sc, s.p, whole) : 0, patterns = sc->blind;
    size_t left = s.len - whole;

    if (left) {
        memcpy(tail, s.p + whole, left);
        hits |= sc->scan(sc, tail, left > 16 ? 32 : 16);
    }
    for (; UNLIKELY(hits != 0); hits &= hits - 1)
        patterns |= sc->patterns_of[__builtin_ctzll(hits)];
    return patterns;
}

uint64_t scanner_blind(const struct scanner *sc)
{
    return sc->blind;
}

/* ---- building ---- */

static void half_masks(const struct byte_class *c, uint16_t *low, uint16_t *high)
{
    *low = *high = 0;
    for (unsigned b = 0; b < 256; b++)
        if (class_has(c, (uint8_t)b)) {
            *low |= (uint16_t)(1u << (b & 15));
            *high |= (uint16_t)(1u << (b >> 4));
        }
}

static const struct byte_class *class_at(const struct window *w, int k)
{
    static const struct byte_class any = {{~0ull, ~0ull, ~0ull, ~0ull}};

    return k < w->len ? &w->c[k] : &any;
}

/* A bucket while it is filled: the union of its windows, per position. */
struct bucket {
    struct window all;
    bool used;
};

static struct window with(const struct bucket *b, const struct window *w)
{
    struct window sum = b->all;

    sum.len = WINDOW_LEN;
    for (int k = 0; k < WINDOW_LEN; k++)
        for (int i = 0; i < 4; i++)
            sum.c[k].bits[i] |= class_at(w, k)->bits[i];
    return sum;
}

/* How much a bucket lets through, seen by half bytes. */
static double let_through(const struct window *w)
{
    struct window seen = {.len = WINDOW_LEN};

    for (int k = 0; k < WINDOW_LEN; k++) {
        uint16_t low, high;

        half_masks(&w->c[k], &low, &high);
        for (unsigned b = 0; b < 256; b++)
            if (low >> (b & 15) & 1 && high >> (b >> 4) & 1)
                seen.c[k].bits[b >> 6] |= 1ull << (b & 63);
    }
    return window_frequency(&seen);
}

/* Where the window adds least to what is let through. */
static void place(struct bucket *b, const struct window *w)
{
    double least = 2;
    int at = 0;

    for (int i = 0; i < BUCKETS; i++) {
        struct window sum = with(&b[i], w);
        double more = let_through(&sum) - (b[i].used ? let_through(&b[i].all) : 0);

        if (more < least) {
            least = more;
            at = i;
        }
    }
    b[at].used = true;
    b[at].all = with(&b[at], w);
}

/* The number'th window, of this pattern, for windows_at(). */
static void note(struct scanner *sc, size_t number, const struct window *w, uint64_t pattern)
{
    for (int k = 0; k < WINDOW_LEN; k++)
        for (unsigned c = 0; c < 256; c++)
            sc->windows[k][c] |= (uint64_t)class_has(class_at(w, k), (uint8_t)c) << number % WINDOWS;
    sc->patterns_of[number % WINDOWS] |= pattern;
}

static void fill_tables(struct scanner *sc, const struct bucket *b)
{
    for (int i = 0; i < BUCKETS; i++) {
        for (int k = 0; b[i].used && k < WINDOW_LEN; k++) {
            uint16_t low, high;

            half_masks(&b[i].all.c[k], &low, &high);
            for (unsigned c = 0; c < 256; c++)
                sc->table[c] |= (uint32_t)class_has(&b[i].all.c[k], (uint8_t)c) << (8 * k + i);
            for (int h = 0; h < 16; h++) {
                sc->low[k][h] |= (uint8_t)((low >> h & 1) << i);
                sc->high[k][h] |= (uint8_t)((high >> h & 1) << i);
            }
        }
    }
}

bool scanner_force(struct scanner *sc, int way)
{
    if (way == 0) {
        sc->scan = scan_plain;
        return true;
    }
#if defined(__x86_64__)
    if (way == 1 && __builtin_cpu_supports("ssse3")) {
        sc->scan = scan_ssse3;
        return true;
    }
    if (way == 2 && __builtin_cpu_supports("avx2")) {
        sc->scan = scan_avx2;
        return true;
    }
#endif
    return false;
}

struct scanner *scanner_new(const char *const *patterns, size_t n)
{
    struct scanner *sc = mem_alloc(sizeof(*sc));
    struct bucket buckets[BUCKETS] = {0};
    size_t n_windows = 0;

    for (size_t i = 0; i < n; i++) {
        struct arena *arena = arena_new();
        struct windows ws = windows_of(patterns[i], arena);

        for (size_t k = 0; k < ws.n; k++) {
            place(buckets, &ws.v[k]);
            note(sc, n_windows++, &ws.v[k], scanner_bit(i));
        }
        if (ws.n == 0)
            sc->blind |= scanner_bit(i);
        arena_free(&arena);
    }
    fill_tables(sc, buckets);
    if (!scanner_force(sc, 2) && !scanner_force(sc, 1))
        CHECK(scanner_force(sc, 0));
    return sc;
}

void scanner_free(struct scanner **sc)
{
    free(*sc);
    *sc = NULL;
}
