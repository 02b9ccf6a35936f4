/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of an exporter's requests: between an attempt and its connection stands the signer of the
 * extension that `auth` names. An attempt may have to wait for it (a token is being fetched).
 * Threads: the worker's.
 */
#ifndef TAILRACE_EXPORTERS_OTLP_SIGN_H
#define TAILRACE_EXPORTERS_OTLP_SIGN_H

#include "component/auth.h"
#include "exporters/send_queue.h"

/* One send's, kept from attempt to attempt. {0} before the first. */
struct signing {
    struct auth_wait wait; /* first */
    struct auth_signer *signer;
    struct auth_fields fields; /* of this attempt: what goes out */
    const struct request_info *info;
    const struct auth_fields *base; /* what every request has; NULL: nothing */
    bool waiting;
    /* fields are complete; err: nothing may be sent. */
    void (*go)(void *ctx, const struct err *err);
    void *ctx;
};

/* An attempt begins. info and base have to live until go, which may come before this returns. */
void signing_start(struct signing *s, struct auth_signer *signer, const struct auth_fields *base,
                   const struct request_info *info, void (*go)(void *ctx, const struct err *err), void *ctx);
/* True: it waited, and go does not come. */
bool signing_cancel(struct signing *s);
void signing_close(struct signing *s); /* fine on {0} */

#endif
