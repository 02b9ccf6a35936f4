/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Endpoints as people write them. Pure text; every refusal says what is wrong in the words that the
 * Collector's users know ("missing port in address", "invalid port").
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/dial.h"

/* Where the text after `prefix` (any case) begins, or NULL. */
static const char *after(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);

    return strncasecmp(s, prefix, n) == 0 ? s + n : NULL;
}

static int copy_text(char *dst, size_t cap, const char *s, size_t n, const char *what, struct err *err)
{
    if (n >= cap)
        return err_set(err, "%s is longer than %zu bytes", what, cap - 1);
    memcpy(dst, s, n);
    dst[n] = '\0';
    return 0;
}

static int parse_port(const char *s, size_t n, uint16_t *port, struct err *err)
{
    unsigned long v = 0;

    for (size_t i = 0; i < n && v <= 65535; i++) {
        if (!isdigit((unsigned char)s[i]))
            return err_set(err, "invalid port \"%.*s\"", (int)n, s);
        v = v * 10 + (unsigned long)(s[i] - '0');
    }
    if (n == 0 || v == 0 || v > 65535)
        return err_set(err, "invalid port \"%.*s\"", (int)n, s);
    *port = (uint16_t)v;
    return 0;
}

/* Where the host ends (at the colon of the port, or at n). */
static size_t host_end(const char *s, size_t n)
{
    bool bracketed = n > 0 && s[0] == '[';
    const char *end = bracketed ? memchr(s, ']', n) : s;
    const char *colon = end != NULL ? memchr(end, ':', n - (size_t)(end - s)) : NULL;

    return colon != NULL ? (size_t)(colon - s) : n;
}

static int parse_host(const char *s, size_t n, struct endpoint *e, struct err *err)
{
    if (n >= 2 && s[0] == '[') {
        if (s[n - 1] != ']')
            return err_set(err, "invalid character after ']' in \"%.*s\"", (int)n, s);
        return copy_text(e->host, sizeof(e->host), s + 1, n - 2, "host", err);
    }
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] <= ' ' || strchr("\"<>\\^`{|}@[]", s[i]) != NULL)
            return err_set(err, "invalid character in host \"%.*s\"", (int)n, s);
    return copy_text(e->host, sizeof(e->host), s, n, "host", err);
}

/* host[:port]; default_port 0: the port must be there. */
static int parse_host_port(const char *s, size_t n, uint16_t default_port, struct endpoint *e, struct err *err)
{
    size_t h = host_end(s, n);

    if (n > 0 && s[0] == '[' && memchr(s, ']', n) == NULL)
        return err_set(err, "address %.*s: missing ']' in address", (int)n, s);
    if (h < n && s[0] != '[' && memchr(s + h + 1, ':', n - h - 1) != NULL)
        return err_set(err, "address %.*s: too many colons in address", (int)n, s);
    e->port_given = h < n;
    e->port = default_port;
    if (!e->port_given && default_port == 0)
        return err_set(err, "address %.*s: missing port in address", (int)n, s);
    if (parse_host(s, h, e, err) != 0)
        return -1;
    if (e->port_given && parse_port(s + h + 1, n - h - 1, &e->port, err) != 0)
        return -1;
    if (copy_text(e->authority, sizeof(e->authority), s, n, "address", err) != 0)
        return -1;
    if (e->host[0] == '\0')
        snprintf(e->host, sizeof(e->host), "localhost"); /* ":4317" */
    return 0;
}

static int parse_unix(const char *path, struct endpoint *e, struct err *err)
{
    e->scheme = ENDPOINT_UNIX;
    e->has_scheme = true;
    if (path[0] == '\0')
        return err_set(err, "unix socket path cannot be empty");
    snprintf(e->authority, sizeof(e->authority), "localhost");
    return copy_text(e->host, sizeof(e->host), path, strlen(path), "unix socket path", err);
}

/* dns:///x, dns://resolver/x, dns:x, passthrough:///x: what is to be dialled. */
static const char *skip_target_scheme(const char *s, struct endpoint *e)
{
    const char *rest = after(s, "passthrough:"), *slash;

    e->dns_balanced = rest == NULL;
    if (rest == NULL)
        rest = after(s, "dns:");
    if (rest == NULL || isdigit((unsigned char)rest[0]))
        return s; /* a host that is called "dns" */
    e->has_scheme = true;
    if (strncmp(rest, "//", 2) != 0)
        return rest;
    slash = strchr(rest + 2, '/');
    return slash != NULL ? slash + 1 : "";
}

int endpoint_parse_grpc(const char *s, struct endpoint *e, struct err *err)
{
    const char *rest;

    *e = (struct endpoint){.scheme = ENDPOINT_PLAIN};
    if (s == NULL || s[0] == '\0')
        return err_set(err, "requires a non-empty \"endpoint\"");
    if ((rest = after(s, "unix://")) != NULL || (rest = after(s, "unix:")) != NULL)
        return parse_unix(rest, e, err);
    if ((rest = after(s, "http://")) != NULL)
        e->scheme = ENDPOINT_HTTP;
    else if ((rest = after(s, "https://")) != NULL)
        e->scheme = ENDPOINT_HTTPS;
    if (rest != NULL) {
        e->has_scheme = true;
        e->dns_balanced = true;
    } else {
        rest = skip_target_scheme(s, e);
    }
    if (strchr(rest, '/') != NULL)
        return err_set(err, "address %s: a path is not allowed after the port", rest);
    return parse_host_port(rest, strlen(rest), 0, e, err);
}

int endpoint_parse_url(const char *s, struct endpoint *e, struct err *err)
{
    const char *rest;
    size_t n;

    *e = (struct endpoint){.has_scheme = true};
    if ((rest = after(s, "http://")) != NULL)
        e->scheme = ENDPOINT_HTTP;
    else if ((rest = after(s, "https://")) != NULL)
        e->scheme = ENDPOINT_HTTPS;
    else
        return err_set(err, "unsupported protocol scheme in \"%s\": it must begin with http:// or https://", s);
    n = strcspn(rest, "/?#");
    if (n == 0)
        return err_set(err, "no host in \"%s\"", s);
    if (copy_text(e->path, sizeof(e->path), rest + n, strcspn(rest + n, "#"), "path", err) != 0)
        return -1;
    for (const char *c = e->path; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            return err_set(err, "invalid character in the path of \"%s\"", s);
    return parse_host_port(rest, n, e->scheme == ENDPOINT_HTTPS ? 443 : 80, e, err);
}
