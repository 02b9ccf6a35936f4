/* SPDX-License-Identifier: Apache-2.0 */
/* Request metadata, gathered header by header when include_metadata asks for it. {0} is empty. */
#ifndef TAILRACE_RECEIVERS_OTLP_META_H
#define TAILRACE_RECEIVERS_OTLP_META_H

#include "model/batch.h"
#include "platform/buf.h"

struct otlp_meta {
    struct request_header *v;
    size_t n, cap;
};

/* name is copied in lower case. The header section's size limit bounds what comes here. */
void otlp_meta_add(struct otlp_meta *m, struct slice name, struct slice value);
/* Moves what was gathered into an info; m is empty afterwards. */
struct request_info *otlp_meta_take(struct otlp_meta *m, const char *client_address) MUST_USE;
void otlp_meta_free(struct otlp_meta *m);

#endif
