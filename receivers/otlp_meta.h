/* SPDX-License-Identifier: Apache-2.0 */
/* Request metadata, gathered header by header when include_metadata asks for it. {0} is empty. */
#ifndef TAILRACE_RECEIVERS_OTLP_META_H
#define TAILRACE_RECEIVERS_OTLP_META_H

#include "model/batch.h"
#include "platform/buf.h"

struct otlp_meta {
    struct request_header *v;
    size_t n, cap;
    struct budget *budget; /* once something was charged */
    size_t held_bytes, charged_bytes;
    bool refused; /* there was no room for a header: the request has to be refused */
};

/* Other text of the request's that is kept as long. False: no room, and m->refused is set. */
bool otlp_meta_charge(struct otlp_meta *m, struct budget *budget, size_t n) MUST_USE;
/* name is copied in lower case. The header section's size limit bounds what comes here; it is charged, as headers live
 * as long as the request's spans. */
void otlp_meta_add(struct otlp_meta *m, struct budget *budget, struct slice name, struct slice value);
/* Moves what was gathered, and its charge, into an info; m is empty afterwards. */
struct request_info *otlp_meta_take(struct otlp_meta *m, const char *client_address) MUST_USE;
void otlp_meta_free(struct otlp_meta *m);

#endif
