/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two halves of the walk share: otlp_walk.c has the envelopes and the index,
 * otlp_walk_span.c checks what is inside a span, a resource or a scope.
 *
 * The checkers return false after fail(). A string that is not UTF-8 is no failure: it is counted
 * in bad_strings, and whoever commits the record repairs it.
 */
#ifndef TAILRACE_MODEL_OTLP_WALK_PRIV_H
#define TAILRACE_MODEL_OTLP_WALK_PRIV_H

#include "model/otlp_walk.h"
#include "model/utf8.h"
#include "model/wire.h"

struct walk {
    const uint8_t *limit;      /* end of the memory we may read */
    uint32_t bad_strings;      /* since the record in hand began */
    const uint8_t *fail_at;    /* NULL: nothing failed */
    const char *fail_text;
    const uint8_t *base;
    struct payload *p;
    struct walk_report *report;
    bool no_memory;
    bool scope_broken;    /* the ScopeSpans in hand cannot go out as it stands */
    bool resource_broken; /* the same of the ResourceSpans */
};

/* Notes the first failure. Returns false. */
bool walk_fail(struct walk *w, const uint8_t *at, const char *text);

/* One body each. walk_span fills the facts, all but rec and scope; s starts zeroed. */
bool walk_span(struct walk *w, const uint8_t *p, const uint8_t *end, struct span *s);
bool walk_resource(struct walk *w, const uint8_t *p, const uint8_t *end);
bool walk_scope_head(struct walk *w, const uint8_t *p, const uint8_t *end);

/* A field that the message does not know, or knows with another wire type. Unknown ones are stepped
 * over. `known`: bit n stands for field n. NULL after failing. */
const uint8_t *walk_other(struct walk *w, uint32_t tag, const uint8_t *p, const uint8_t *end,
                          uint32_t known);

void walk_text_long(struct walk *w, const uint8_t *p, size_t n);

static inline void walk_text(struct walk *w, const uint8_t *p, size_t n)
{
    if (UNLIKELY(!utf8_all_ascii(p, n, w->limit)))
        walk_text_long(w, p, n);
}

/* Reads the tag at p. NULL after failing. */
static inline const uint8_t *walk_tag(struct walk *w, const uint8_t *p, const uint8_t *end,
                                      uint32_t *tag)
{
    const uint8_t *next = wire_u32(p, end, tag);

    if (UNLIKELY(!next))
        walk_fail(w, p, "a tag is cut off or too long");
    return next;
}

static inline const uint8_t *walk_body(struct walk *w, const uint8_t *p, const uint8_t *end,
                                       const uint8_t **body_end)
{
    const uint8_t *body = wire_body(p, end, body_end);

    if (UNLIKELY(!body))
        walk_fail(w, p, "a length runs past the end of its message");
    return body;
}

static inline const uint8_t *walk_varint(struct walk *w, const uint8_t *p, const uint8_t *end,
                                         uint64_t *v)
{
    const uint8_t *next = wire_varint(p, end, v);

    if (UNLIKELY(!next))
        walk_fail(w, p, "a varint is cut off or longer than ten bytes");
    return next;
}

#endif
