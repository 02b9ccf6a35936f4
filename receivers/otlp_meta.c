/* SPDX-License-Identifier: Apache-2.0 */
/* Request metadata: an array of headers that becomes the request_info's own. */
#include "receivers/otlp_meta.h"

#include <ctype.h>
#include <stdlib.h>

#include "platform/mem.h"

#define HEADER_BYTES 96u /* two small allocations and an entry of an array that doubles */
#define CHARGE_BYTES 4096u

/* In steps: a request has ten headers or so. */
bool otlp_meta_charge(struct otlp_meta *m, struct budget *budget, size_t n)
{
    size_t step = n > CHARGE_BYTES ? n : CHARGE_BYTES;

    m->held_bytes += n;
    if (LIKELY(m->held_bytes <= m->charged_bytes))
        return true;
    if (!budget_admit(budget, MEM_CONN, step)) {
        m->refused = true;
        return false;
    }
    m->budget = budget;
    m->charged_bytes += step;
    return true;
}

void otlp_meta_add(struct otlp_meta *m, struct budget *budget, struct slice name, struct slice value)
{
    if (m->refused || !otlp_meta_charge(m, budget, HEADER_BYTES + name.len + value.len))
        return;
    if (m->n == m->cap) {
        m->cap = m->cap ? 2 * m->cap : 16;
        m->v = mem_grow(m->v, m->cap * sizeof *m->v);
    }
    struct request_header *h = &m->v[m->n++];
    h->name = mem_dup_n((const char *)name.p, name.len);
    h->value = mem_dup_n((const char *)value.p, value.len);
    for (char *c = h->name; *c; c++)
        *c = (char)tolower((unsigned char)*c);
}

struct request_info *otlp_meta_take(struct otlp_meta *m, const char *client_address)
{
    struct request_info *i = request_info_new(client_address, 0);

    i->headers = m->v;
    i->n_headers = m->n;
    i->budget = m->budget;
    i->charged_bytes = m->charged_bytes;
    *m = (struct otlp_meta){0};
    return i;
}

void otlp_meta_free(struct otlp_meta *m)
{
    for (size_t i = 0; i < m->n; i++) {
        free(m->v[i].name);
        free(m->v[i].value);
    }
    free(m->v);
    if (m->budget)
        budget_release(m->budget, MEM_CONN, m->charged_bytes);
    *m = (struct otlp_meta){0};
}
