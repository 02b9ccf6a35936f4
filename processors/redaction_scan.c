/* SPDX-License-Identifier: Apache-2.0 */
/* Windows into buckets, buckets into tables, tables over bytes. See redaction_scan.h. */
#include "processors/redaction_scan.h"

#include <stdlib.h>

#include "platform/mem.h"
#include "processors/redaction_buckets.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define WINDOWS  64 /* told apart by bits; more share them */
#define NEEDS    64 /* as well */
#define TOLD_LEN 8  /* bytes that tell them apart */

/* A window to confirm. */
struct candidate {
    struct window window;
    uint64_t need;          /* its bit */
    struct candidate *next; /* that shares its bit among the windows */
};

struct scanner {
    uint8_t low[ANCHOR_LEN][16], high[ANCHOR_LEN][16]; /* by half byte: a bit per bucket */
    uint64_t table[256];                               /* by byte: such a mask for each position */
    uint64_t windows[TOLD_LEN][256]; /* by position from the anchor on and byte: a bit per window */
    struct candidate *all;           /* the windows */
    size_t n_windows;
    struct candidate *candidates[WINDOWS];
    uint64_t (*scan)(const struct scanner *sc, struct slice s, size_t from, const uint8_t *p,
                     size_t n);
    uint64_t blind;
    uint64_t short_windows; /* whose anchors end before ANCHOR_LEN bytes */
    size_t n_patterns;
    uint64_t *needs; /* of each pattern: bits */
};

/* ---- the passes: needs met at p[0..n), which is s from `from` on; ANCHOR_LEN - 1 more bytes are
 * readable, and behind the end of s they are zeros ---- */

static inline uint64_t anchors_at(const struct scanner *sc, const uint8_t *p)
{
    return sc->windows[0][p[0]] & sc->windows[1][p[1]] & sc->windows[2][p[2]] &
           sc->windows[3][p[3]];
}
_Static_assert(ANCHOR_LEN == 4 && TOLD_LEN == 8, "anchors_at, more_at");

static inline uint64_t more_at(const struct scanner *sc, const uint8_t *p)
{
    return sc->windows[4][p[4]] & sc->windows[5][p[5]] & sc->windows[6][p[6]] &
           sc->windows[7][p[7]];
}

/* Does the window stand in s, its anchor at `at`? */
static bool window_at(const struct window *w, struct slice s, size_t at)
{
    const uint8_t *p;

    if (at < w->anchor || s.len - (at - w->anchor) < w->len)
        return false;
    p = s.p + (at - w->anchor);
    for (unsigned i = 0; i < w->len; i++)
        if (!class_has(&w->c[i], p[i]))
            return false;
    return true;
}

static uint64_t confirm(const struct scanner *sc, struct slice s, size_t at, uint64_t windows)
{
    uint64_t met = 0;

    for (; windows; windows &= windows - 1)
        for (const struct candidate *c = sc->candidates[__builtin_ctzll(windows)]; c; c = c->next)
            if (window_at(&c->window, s, at))
                met |= c->need;
    return met;
}

static uint64_t scan_plain(const struct scanner *sc, struct slice s, size_t from, const uint8_t *p,
                           size_t n)
{
    const size_t ahead = ANCHOR_LEN - 1;
    uint64_t state = 0, met = 0;

    /* Byte k of the state: buckets whose first k + 1 classes the latest bytes fit. */
    for (size_t i = 0; i < n + ahead; i++) {
        state = (state << 8 | 0xff) & sc->table[p[i]];
        if (UNLIKELY(state >> 8 * ahead & 0xff))
            met |= confirm(sc, s, from + i - ahead, anchors_at(sc, p + i - ahead));
    }
    return met;
}

#if defined(__x86_64__)
__attribute__((target("ssse3"))) static __m128i hits16(const struct scanner *sc, const uint8_t *p)
{
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i hits = _mm_set1_epi8(-1);

    for (int k = 0; k < ANCHOR_LEN; k++) {
        __m128i bytes = _mm_loadu_si128((const void *)(p + k));
        __m128i lo = _mm_and_si128(bytes, nibble);
        __m128i hi = _mm_and_si128(_mm_srli_epi16(bytes, 4), nibble);

        lo = _mm_shuffle_epi8(_mm_loadu_si128((const void *)sc->low[k]), lo);
        hi = _mm_shuffle_epi8(_mm_loadu_si128((const void *)sc->high[k]), hi);
        hits = _mm_and_si128(hits, _mm_and_si128(lo, hi));
    }
    return hits;
}

/* The buckets' tables let through more than the anchors. Blocks where they do are gathered first:
 * such and others follow each other without a rule, and a branch for each would cost more than the
 * pass. */
struct places {
    size_t at;     /* of the block */
    uint32_t bits; /* for each of its bytes */
};

#define GATHERED 16

static uint64_t confirm_places(const struct scanner *sc, struct slice s, size_t from,
                               const uint8_t *p, const struct places *v, size_t n)
{
    uint64_t met = 0;

    for (size_t k = 0; k < n; k++)
        for (uint32_t bits = v[k].bits; bits; bits &= bits - 1) {
            size_t at = v[k].at + (unsigned)__builtin_ctz(bits);
            uint64_t windows = anchors_at(sc, p + at);

            if (LIKELY(from + at + TOLD_LEN <= s.len))
                windows &= more_at(sc, p + at);
            if (UNLIKELY(windows != 0))
                met |= confirm(sc, s, from + at, windows);
        }
    return met;
}

/* n is at least 16: the last block overlaps the one before. */
__attribute__((target("ssse3"))) static uint64_t
scan_ssse3(const struct scanner *sc, struct slice s, size_t from, const uint8_t *p, size_t n)
{
    struct places v[GATHERED];
    size_t n_places = 0;
    uint64_t met = 0;

    for (size_t i = 0; i < n; i += 16) {
        size_t at = i + 16 <= n ? i : n - 16;
        __m128i none = _mm_cmpeq_epi8(hits16(sc, p + at), _mm_setzero_si128());
        uint32_t bits;

        bits = (uint32_t)_mm_movemask_epi8(none) ^ 0xffff;
        v[n_places] = (struct places){at, bits};
        n_places += bits != 0;
        if (UNLIKELY(n_places == GATHERED)) {
            met |= confirm_places(sc, s, from, p, v, n_places);
            n_places = 0;
        }
    }
    return met | confirm_places(sc, s, from, p, v, n_places);
}

/* Buckets that allow p[0..32) at a position, by the halves of each byte. */
__attribute__((target("avx2"))) static inline __m256i allowed32(const uint8_t *p, __m256i low,
                                                                __m256i high)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i bytes = _mm256_loadu_si256((const void *)p);
    __m256i lo = _mm256_and_si256(bytes, nibble);
    __m256i hi = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);

    return _mm256_and_si256(_mm256_shuffle_epi8(low, lo), _mm256_shuffle_epi8(high, hi));
}

__attribute__((target("avx2"))) static inline __m256i both_lanes(const uint8_t *table)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)table));
}

/* n is at least 32. */
__attribute__((target("avx2"))) static uint64_t scan_avx2(const struct scanner *sc, struct slice s,
                                                          size_t from, const uint8_t *p, size_t n)
{
    const __m256i l0 = both_lanes(sc->low[0]), l1 = both_lanes(sc->low[1]),
                  l2 = both_lanes(sc->low[2]), l3 = both_lanes(sc->low[3]),
                  h0 = both_lanes(sc->high[0]), h1 = both_lanes(sc->high[1]),
                  h2 = both_lanes(sc->high[2]), h3 = both_lanes(sc->high[3]);
    struct places v[GATHERED];
    size_t n_places = 0;
    uint64_t met = 0;

    for (size_t i = 0; i < n; i += 32) {
        size_t at = i + 32 <= n ? i : n - 32;
        const uint8_t *here = p + at;
        uint32_t bits;
        __m256i hits = _mm256_and_si256(
            _mm256_and_si256(allowed32(here, l0, h0), allowed32(here + 1, l1, h1)),
            _mm256_and_si256(allowed32(here + 2, l2, h2), allowed32(here + 3, l3, h3)));

        hits = _mm256_cmpeq_epi8(hits, _mm256_setzero_si256());
        bits = ~(uint32_t)_mm256_movemask_epi8(hits);
        v[n_places] = (struct places){at, bits};
        n_places += bits != 0;
        if (UNLIKELY(n_places == GATHERED)) {
            met |= confirm_places(sc, s, from, p, v, n_places);
            n_places = 0;
        }
    }
    return met | confirm_places(sc, s, from, p, v, n_places);
}
#endif

#define BLOCK ((size_t)32) /* the widest pass */

static uint64_t scan_short(const struct scanner *sc, struct slice s)
{
    uint8_t room[2 * BLOCK + ANCHOR_LEN - 1] = {0};

    memcpy(room, s.p, s.len);
    return sc->scan(sc, s, 0, room, s.len > BLOCK ? 2 * BLOCK : BLOCK);
}

/* Anchors that begin in the last bytes: short ones, to which the zeros behind do not matter. */
static uint64_t scan_end(const struct scanner *sc, struct slice s)
{
    const size_t ahead = ANCHOR_LEN - 1;
    uint8_t room[2 * (ANCHOR_LEN - 1)] = {0};
    uint64_t windows[ANCHOR_LEN - 1], any = 0, met = 0;

    memcpy(room, s.p + s.len - ahead, ahead);
    for (size_t i = 0; i < ahead; i++) {
        windows[i] = anchors_at(sc, room + i) & sc->short_windows;
        any |= windows[i];
    }
    for (size_t i = 0; UNLIKELY(any != 0) && i < ahead; i++)
        met |= confirm(sc, s, s.len - ahead + i, windows[i]);
    return met;
}

static uint64_t patterns_of(const struct scanner *sc, uint64_t met)
{
    uint64_t patterns = sc->blind;

    for (size_t i = 0; i < sc->n_patterns; i++)
        if ((sc->needs[i] & ~met) == 0)
            patterns |= scanner_bit(i);
    return patterns;
}

uint64_t scanner_hits(const struct scanner *sc, struct slice s)
{
    const size_t ahead = ANCHOR_LEN - 1;
    uint64_t met;

    if (s.len == 0)
        return sc->blind;
    if (s.len < BLOCK + ahead) {
        met = scan_short(sc, s);
    } else {
        met = sc->scan(sc, s, 0, s.p, s.len - ahead);
        if (sc->short_windows)
            met |= scan_end(sc, s);
    }
    return LIKELY(met == 0) ? sc->blind : patterns_of(sc, met);
}

uint64_t scanner_blind(const struct scanner *sc)
{
    return sc->blind;
}

/* ---- building ---- */

/* From the anchor on. */
static const struct byte_class *class_at(const struct window *w, unsigned k)
{
    static const struct byte_class any = {{~0ull, ~0ull, ~0ull, ~0ull}};

    return w->anchor + k < w->len ? &w->c[w->anchor + k] : &any;
}

/* For anchors_at() and confirm(). */
static void fill_windows(struct scanner *sc)
{
    for (size_t i = 0; i < sc->n_windows; i++) {
        struct candidate *c = &sc->all[i];

        for (unsigned k = 0; k < TOLD_LEN; k++)
            for (unsigned b = 0; b < 256; b++)
                sc->windows[k][b] |= (uint64_t)class_has(class_at(&c->window, k), (uint8_t)b)
                                     << i % WINDOWS;
        c->next = sc->candidates[i % WINDOWS];
        sc->candidates[i % WINDOWS] = c;
        sc->short_windows |= (uint64_t)(c->window.len < ANCHOR_LEN) << i % WINDOWS;
    }
}

static void fill_bucket(struct scanner *sc, const struct window *w, uint8_t bucket)
{
    struct bucket_shape shape = shape_of(w);

    for (unsigned k = 0; k < ANCHOR_LEN; k++) {
        for (unsigned b = 0; b < 256; b++)
            sc->table[b] |= (uint64_t)class_has(class_at(w, k), (uint8_t)b) << (8 * k + bucket);
        for (int h = 0; h < 16; h++) {
            sc->low[k][h] |= (uint8_t)((shape.low[k] >> h & 1) << bucket);
            sc->high[k][h] |= (uint8_t)((shape.high[k] >> h & 1) << bucket);
        }
    }
}

static void fill_buckets(struct scanner *sc)
{
    struct window **all = mem_alloc_array(sc->n_windows, sizeof(*all));
    uint8_t *bucket_of = mem_alloc_array(sc->n_windows, sizeof(*bucket_of));

    for (size_t i = 0; i < sc->n_windows; i++)
        all[i] = &sc->all[i].window;
    buckets_choose(all, sc->n_windows, bucket_of);
    for (size_t i = 0; i < sc->n_windows; i++)
        fill_bucket(sc, all[i], bucket_of[i]);
    free(all);
    free(bucket_of);
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

static void add_need(struct scanner *sc, const struct need *need, uint64_t bit)
{
    sc->all = mem_grow(sc->all, (sc->n_windows + need->n) * sizeof(*sc->all));
    for (size_t k = 0; k < need->n; k++)
        sc->all[sc->n_windows++] = (struct candidate){.window = need->v[k], .need = bit};
}

static void add_pattern(struct scanner *sc, const char *pattern, size_t *n_needs)
{
    struct arena *arena = arena_new();
    struct needs needs = needs_of(pattern, arena);
    uint64_t bits = 0;

    for (size_t i = 0; i < needs.n; i++) {
        uint64_t bit = 1ull << (*n_needs)++ % NEEDS;

        add_need(sc, &needs.v[i], bit);
        bits |= bit;
    }
    if (needs.n == 0)
        sc->blind |= scanner_bit(sc->n_patterns);
    sc->needs[sc->n_patterns++] = bits;
    arena_free(&arena);
}

struct scanner *scanner_new(const char *const *patterns, size_t n)
{
    struct scanner *sc = mem_alloc(sizeof(*sc));
    size_t n_needs = 0;

    sc->needs = mem_alloc_array(n, sizeof(*sc->needs));
    for (size_t i = 0; i < n; i++)
        add_pattern(sc, patterns[i], &n_needs);
    fill_buckets(sc);
    fill_windows(sc);
    if (!scanner_force(sc, 2) && !scanner_force(sc, 1))
        CHECK(scanner_force(sc, 0));
    return sc;
}

void scanner_free(struct scanner **s)
{
    struct scanner *sc = *s;

    if (!sc)
        return;
    free(sc->all);
    free(sc->needs);
    free(sc);
    *s = NULL;
}
