/* SPDX-License-Identifier: Apache-2.0 */
/* Request metadata: an array of headers that becomes the request_info's own. */
#include "receivers/otlp_meta.h"

#include <ctype.h>
#include <stdlib.h>

#include "platform/mem.h"

void otlp_meta_add(struct otlp_meta *m, struct slice name, struct slice value)
{
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
    *m = (struct otlp_meta){0};
}
