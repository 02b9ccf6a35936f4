/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authentication by extensions.
 *
 *   server   a receiver opens a door on each worker and shows it one header's value for each request:
 *            door_check -> OK, REFUSED, or LATER and then done()
 *   client   an exporter opens a signer on each worker, which sets header fields of each request:
 *            sign -> OK, REFUSED, or LATER and then ready(), to sign again
 *
 * Threads: open and close are called on main while the worker stands still, everything else on the
 * worker. Doors and signers share nothing mutable with other workers but what the extension guards.
 * Nothing here blocks, and no text contains a secret.
 */
#ifndef TAILRACE_COMPONENT_AUTH_H
#define TAILRACE_COMPONENT_AUTH_H

#include <stdbool.h>

#include "component/extension.h"
#include "component/host.h"
#include "platform/buf.h"
#include "platform/err.h"
#include "platform/list.h"

enum auth_verdict { AUTH_OK, AUTH_REFUSED, AUTH_LATER };

/* ---- server ---- */

/* One look at a client, embedded in its request. */
struct auth_check {
    void (*done)(struct auth_check *k); /* the caller's: the verdict after AUTH_LATER, not before check returns */
    enum auth_verdict verdict;
    const char *text;       /* REFUSED: why; constant, fit for the client */
    bool busy;              /* REFUSED: nobody could look now: come again */
    struct auth_data *data; /* OK: a reference, the caller's; may be NULL */
    void *job;              /* the door's while LATER; else NULL */
    struct list node;
};

struct auth_door {
    const struct auth_server_ops *ops;
};

struct auth_server_ops {
    struct auth_door *(*open)(struct component *c, struct host *user);
    void (*close)(struct auth_door **d); /* no check is under way; NULLs */
    /* The header it looks at, lower case; constant. */
    const char *(*header)(const struct auth_door *d);
    /* What a 401 says in www-authenticate; constant. */
    const char *(*challenge)(const struct auth_door *d);
    /* value: the header's first value; NULL: there is none. Sets k->verdict. */
    void (*check)(struct auth_door *d, struct slice value, struct auth_check *k);
    /* The request is gone while LATER: done does not come. */
    void (*forget)(struct auth_door *d, struct auth_check *k);
};

/* Fine on NULL id: NULL. */
struct auth_door *auth_door_open(struct host *h, const char *id);
void auth_door_close(struct auth_door **d); /* fine on NULL */

/* ---- client ---- */

/* Header fields of one request, in order. {0} is empty. */
struct auth_fields {
    struct auth_field {
        char *name, *value;
    } *v;
    size_t n, cap;
};
const char *auth_fields_get(const struct auth_fields *f, const char *name); /* any case; NULL: none */
/* One value in place of all there are. */
void auth_fields_set(struct auth_fields *f, const char *name, const char *value);
void auth_fields_remove(struct auth_fields *f, const char *name);
void auth_fields_free(struct auth_fields *f);

struct auth_wait {
    void (*ready)(struct auth_wait *w); /* the caller's */
    struct list node;                   /* the signer's while LATER */
};

struct auth_signer {
    const struct auth_client_ops *ops;
};

struct auth_client_ops {
    /* Its secrets must not travel over gRPC in plaintext. */
    bool (*needs_tls)(const struct component *c);
    struct auth_signer *(*open)(struct component *c, struct host *user);
    void (*close)(struct auth_signer **s); /* nobody waits; NULLs */
    /* info: of the request that brought the data; NULL: none. f holds what goes out without it. REFUSED: err
     * says why, and nothing is sent; trying later may help. */
    enum auth_verdict (*sign)(struct auth_signer *s, const struct request_info *info, struct auth_fields *f,
                              struct auth_wait *w, struct err *err);
    void (*cancel)(struct auth_signer *s, struct auth_wait *w); /* LATER no more */
};

/* Fine on NULL id: NULL. */
struct auth_signer *auth_signer_open(struct host *h, const char *id);
void auth_signer_close(struct auth_signer **s); /* fine on NULL */
bool auth_signer_needs_tls(struct host *h, const char *id);

/* ---- for both ---- */

/* Compares secrets in a time that depends on their lengths only. */
bool auth_equal(struct slice a, struct slice b);

#endif
