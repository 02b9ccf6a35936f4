/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of map processors: gathering, working, ending. See map.h. */
#include "processors/map.h"

/* One batch's way through a group. */
struct group {
    struct map_processor *v[MAP_MOST];
    size_t n;     /* still at work: those before one that refused */
    size_t n_all; /* gathered */
    uint64_t dropped[MAP_MOST];
    uint32_t quiet; /* bit k: nothing of the batch's resources and scopes is for number k */
    bool edited, no_room;
};

void map_init(struct map_processor *m, const struct component_type *type, struct host *h,
              unsigned traits)
{
    m->c = (struct component){type, h};
    m->traits = traits;
    m->items = items_new(h);
    attr_map_init(&m->map, h->budget);
}

void map_free(struct map_processor *m)
{
    attr_map_free(&m->map);
}

void map_drain(struct component *c)
{
    struct map_processor *m = map_of(c);

    if (m->drained)
        return;
    m->drained = true;
    host_drained(c->host);
}

/* ---- gathering ---- */

static bool is_quiet(struct map_processor *m, struct batch *b)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        struct editor ed = editor_of(b, i);

        if (!m->c.type->map->quiet(m, &ed))
            return false;
    }
    return true;
}

/* before: traits of those it would follow. *quiet: it may, as on this batch it is not MAP_ENVELOPE.
 */
static bool may_join(unsigned before, struct map_processor *m, struct batch *b, bool *quiet)
{
    *quiet = false;
    if (m->drained || m->traits & MAP_FIRST || (m->traits & MAP_DROPS && before & MAP_REFUSES))
        return false;
    if (!(m->traits & MAP_ENVELOPE) || !(before & (MAP_LOOKS | MAP_DROPS)))
        return true;
    *quiet = !(before & MAP_ENVELOPE) && m->c.type->map->quiet && is_quiet(m, b);
    return *quiet;
}

static void gather(struct group *g, struct map_processor *m, struct batch *b)
{
    struct component *c;
    unsigned traits = 0;
    bool quiet = false;

    for (g->n = 0; g->n < MAP_MOST; m = map_of(c)) {
        if (g->n && !may_join(traits, m, b, &quiet))
            break;
        g->quiet |= (uint32_t)quiet << g->n;
        g->v[g->n++] = m;
        traits |= quiet ? m->traits & ~(unsigned)MAP_ENVELOPE : m->traits;
        c = m->c.host->successor;
        if (!c || !c->type->map)
            break;
    }
    g->n_all = g->n;
}

/* ---- working ---- */

/* Number k said so: it and those behind it are out. */
static void stops(struct group *g, size_t k, enum map_fate fate)
{
    g->n = k;
    g->no_room = fate == MAP_NO_ROOM;
}

static void begin(struct group *g, const struct batch *b)
{
    for (size_t k = 0; k < g->n; k++) {
        g->v[k]->refusal[0] = 0;
        if (g->v[k]->c.type->map->begin)
            g->v[k]->c.type->map->begin(g->v[k], b);
    }
}

static void enter_part(struct group *g, struct editor *ed)
{
    for (size_t k = 0; k < g->n; k++) {
        struct map_processor *m = g->v[k];
        enum map_fate fate = MAP_KEPT;

        if (m->c.type->map->part && !(g->quiet >> k & 1))
            fate = m->c.type->map->part(m, ed);
        if (UNLIKELY(fate != MAP_KEPT))
            stops(g, k, fate);
    }
}

/* Those of the group that look at spans, in their order. */
struct stations {
    struct station {
        enum map_fate (*span)(struct map_processor *m, struct open_span *s);
        struct map_processor *m;
        size_t k;
    } v[MAP_MOST];
    size_t n;
};

static struct stations stations_of(const struct group *g)
{
    struct stations st;

    st.n = 0;
    for (size_t k = 0; k < g->n; k++)
        if (g->v[k]->traits & MAP_SPANS)
            st.v[st.n++] = (struct station){g->v[k]->c.type->map->span, g->v[k], k};
    return st;
}

/* A station's verdict that is not "kept". */
static void leaves(struct group *g, struct stations *st, size_t at, enum map_fate fate,
                   const struct open_span *s)
{
    size_t k = st->v[at].k;

    if (fate == MAP_DROPPED && editor_drop_span(s->ed, s->i)) {
        g->dropped[k]++;
        return;
    }
    stops(g, k, fate == MAP_DROPPED ? MAP_NO_ROOM : fate);
    st->n = at;
}

static void pass_span(struct group *g, struct stations *st, struct editor *ed, uint32_t i)
{
    struct open_span s = {.ed = ed, .i = i, .map = &g->v[0]->map};

    for (size_t at = 0; at < st->n; at++) {
        enum map_fate fate;

        s.last = at + 1 == st->n;
        fate = st->v[at].span(st->v[at].m, &s);
        if (UNLIKELY(fate != MAP_KEPT)) {
            leaves(g, st, at, fate, &s);
            return;
        }
    }
    if (open_span_pending(&s) && g->n == g->n_all && !open_span_write(&s))
        stops(g, g->n_all - 1, MAP_NO_ROOM);
}

static void pass_part(struct group *g, struct batch *b, uint32_t part)
{
    struct editor ed = editor_of(b, part);
    struct stations st;

    enter_part(g, &ed);
    st = stations_of(g);
    for (uint32_t i = 0; st.n && !g->no_room && i < ed.n_spans; i++)
        pass_span(g, &st, &ed, i);
    g->edited |= ed.edited;
}

/* ---- ending ---- */

/* Books for the first n processors; number n, if there is one, had the batch and did not let it on.
 */
static void account(const struct group *g, size_t n, uint64_t n_spans)
{
    for (size_t k = 0; k < g->n_all && k <= n; k++) {
        struct map_processor *m = g->v[k];

        series_add(m->items.incoming, n_spans);
        if (k == n)
            return;
        n_spans -= g->dropped[k];
        series_add(m->items.outgoing, n_spans);
        if (m->c.type->map->done)
            m->c.type->map->done(m, g->dropped[k]);
        if (n_spans == 0)
            return;
    }
}

/* Number g->n refused, or got no room. */
static void fail(struct group *g, struct batch **take)
{
    const char *why = g->v[g->n]->refusal;

    if (g->edited)
        batch_settle(*take, FATE_FILTERED, DROP_NONE);
    if (g->no_room)
        processor_no_memory(take);
    else if ((*take)->waiter.fn)
        batch_refuse(take, &(struct answer_detail){.answer = ANSWER_RETRY, .text = why});
    else
        batch_drop(take, DROP_ERROR, why);
}

void map_push(struct component *c, struct batch **take)
{
    struct map_processor *first = map_of(c);
    uint64_t n_spans = (*take)->n_spans;
    struct group g = {.edited = false};

    if (UNLIKELY(first->drained)) {
        series_add(first->items.incoming, n_spans);
        processor_closed(take);
        return;
    }
    gather(&g, first, *take);
    begin(&g, *take);
    for (uint32_t i = 0; g.n && !g.no_room && i < (*take)->n_parts; i++)
        pass_part(&g, *take, i);
    account(&g, g.n, n_spans);
    if (g.n < g.n_all) {
        fail(&g, take);
        return;
    }
    if (g.edited)
        batch_settle(*take, FATE_FILTERED, DROP_NONE);
    if ((*take)->n_spans == 0)
        batch_end(take, FATE_FILTERED, &(struct answer_detail){.answer = ANSWER_OK});
    else
        host_emit(g.v[g.n_all - 1]->c.host, take);
}
