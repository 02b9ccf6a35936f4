/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP proxies: which one leads to an endpoint, by a URL of the user's or by HTTP_PROXY, HTTPS_PROXY and
 * NO_PROXY in the environment (either case), with Go's rules: nothing on this machine goes through a
 * proxy of the environment; NO_PROXY lists *, addresses, networks, names (with all below them) and
 * .names (only what is below), each perhaps with a port.
 *
 * TLS and HTTP/2 go through a tunnel (CONNECT, net/dial.c), plaintext HTTP/1 as a request for the whole
 * URL, which its caller writes. Pure, but for the environment.
 */
#ifndef TAILRACE_NET_PROXY_H
#define TAILRACE_NET_PROXY_H

#include "net/dial.h"

struct proxy {
    bool used;
    struct endpoint endpoint;
    char authorization[600]; /* "Basic ..."; "": none */
};

/* url: NULL or "": by the environment. https: the endpoint's URL would be one, which gRPC's is. -1 with err
 * (without the password): not a URL of an HTTP proxy. */
int proxy_find(const struct endpoint *e, bool https, const char *url, struct proxy *out, struct err *err) MUST_USE;

/* "host:port", "[::1]:443": what CONNECT asks for. */
void proxy_target(const struct endpoint *e, char out[static 300]);

/* Does NO_PROXY's text say so? */
bool proxy_bypassed(const char *no_proxy, const char *host, uint16_t port);

#endif
