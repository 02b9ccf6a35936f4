/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request's credentials on their way to the port's authenticator. The header is kept as it comes in;
 * the question is asked when the headers are complete, before a body is looked at. While the answer
 * is under way the body may come in under its usual limits, but is not unpacked.
 * Threads: the worker's.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_AUTH_H
#define TAILRACE_RECEIVERS_OTLP_AUTH_H

#include "component/auth.h"
#include "receivers/otlp_ingest.h"

struct otlp_server;

struct otlp_auth {
    struct auth_check check;
    struct auth_door *door;
    char *value; /* of the header, charged to the budget; NULL: none came */
    size_t len;
    struct budget *budget;
    bool waiting, whole; /* whole: the request waits for the verdict alone */
    void (*done)(void *owner);
    void *owner;
};

/* Each header as it comes; for ports that have a door. *a is made when needed. */
void otlp_auth_header(const struct auth_door *d, struct otlp_auth **a, struct budget *budget, struct slice name,
                      struct slice value);
/* Parameters of the query that stand for headers. */
void otlp_auth_query(const struct auth_door *d, struct otlp_auth **a, struct budget *budget, const struct str_list *params,
                     struct slice query);
/* The verdict; after AUTH_LATER done() comes, unless otlp_auth_free is first. */
enum auth_verdict otlp_auth_ask(struct auth_door *d, struct otlp_auth **a, void (*done)(void *owner), void *owner);
/* What a refused client is told. */
struct ingest_result otlp_auth_result(const struct otlp_auth *a);
void otlp_auth_free(struct otlp_auth **a); /* fine on NULL */

/* info with what is known about the client; made when there is none. */
void otlp_auth_note(struct otlp_auth *a, struct request_info **info, const char *client_address);

#endif
