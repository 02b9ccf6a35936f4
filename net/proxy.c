/* SPDX-License-Identifier: Apache-2.0 */
/* See proxy.h. */
#include "net/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "net/grpc.h"
#include "platform/mem.h"

/* ---- NO_PROXY ---- */

struct ip {
    int bytes; /* 4 or 16; 0: not an address */
    uint8_t v[16];
};

static struct ip ip_of(const char *s)
{
    struct ip ip = {0};

    if (inet_pton(AF_INET, s, ip.v) == 1)
        ip.bytes = 4;
    else if (inet_pton(AF_INET6, s, ip.v) == 1)
        ip.bytes = 16;
    return ip;
}

static bool is_here(const char *host)
{
    struct ip ip = ip_of(host);
    static const uint8_t one[16] = {[15] = 1};

    return strcasecmp(host, "localhost") == 0 || (ip.bytes == 4 && ip.v[0] == 127) ||
           (ip.bytes == 16 && memcmp(ip.v, one, 16) == 0);
}

/* "10.0.0.0/8" */
static bool in_network(const char *network, const struct ip *ip)
{
    const char *slash = strchr(network, '/');
    char text[64], *end;
    struct ip net;
    long bits;

    if (!slash || (size_t)(slash - network) >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)(slash - network), network);
    net = ip_of(text);
    bits = strtol(slash + 1, &end, 10);
    if (*end || end == slash + 1 || !net.bytes || net.bytes != ip->bytes || bits < 0 || bits > net.bytes * 8)
        return false;
    for (int i = 0; i < bits; i++)
        if ((net.v[i / 8] ^ ip->v[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

static bool ends_with(const char *host, const char *tail)
{
    size_t n = strlen(host), t = strlen(tail);

    return n >= t && strcasecmp(host + n - t, tail) == 0;
}

/* The port behind a name or [address]; 0: none. Cuts it off. */
static unsigned cut_port(char *entry)
{
    char *close = strchr(entry, ']'), *colon = strrchr(entry, ':');
    unsigned port = 0;

    if (colon && (close ? colon == close + 1 : strchr(entry, ':') == colon)) {
        port = (unsigned)strtoul(colon + 1, NULL, 10);
        *colon = '\0';
    }
    if (entry[0] == '[' && close) {
        *close = '\0';
        memmove(entry, entry + 1, strlen(entry));
    }
    return port;
}

static bool entry_matches(char *entry, const char *host, const struct ip *ip, uint16_t port)
{
    unsigned only;
    struct ip own;

    if (strcmp(entry, "*") == 0 || in_network(entry, ip))
        return true;
    if (strchr(entry, '/'))
        return false;
    only = cut_port(entry);
    if (only && only != port)
        return false;
    own = ip_of(entry);
    if (own.bytes)
        return own.bytes == ip->bytes && memcmp(own.v, ip->v, (size_t)own.bytes) == 0;
    if (strncmp(entry, "*.", 2) == 0)
        entry++;
    if (entry[0] == '.')
        return ends_with(host, entry);
    return strcasecmp(host, entry) == 0 ||
           (ends_with(host, entry) && strlen(host) > strlen(entry) && host[strlen(host) - strlen(entry) - 1] == '.');
}

bool proxy_bypassed(const char *no_proxy, const char *host, uint16_t port)
{
    char *all = mem_dup(no_proxy), *rest = all, *entry;
    struct ip ip = ip_of(host);
    bool found = false;

    while (!found && (entry = strsep(&rest, ","))) {
        size_t n;

        entry += strspn(entry, " \t");
        n = strcspn(entry, " \t");
        entry[n] = '\0';
        found = n && entry_matches(entry, host, &ip, port);
    }
    free(all);
    return found;
}

/* ---- the proxy ---- */

static const char *from_environment(const char *upper, const char *lower)
{
    const char *s = getenv(upper);

    return s && *s ? s : getenv(lower);
}

static void put_unescaped(struct buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char hex[3] = {i + 2 < n ? s[i + 1] : 0, i + 2 < n ? s[i + 2] : 0, 0}, *end;
        long v = s[i] == '%' && hex[0] && hex[1] ? strtol(hex, &end, 16) : -1;

        if (v >= 0 && end == hex + 2) {
            buf_putc(out, (char)v);
            i += 2;
        } else {
            buf_putc(out, s[i]);
        }
    }
}

/* "user:password" of the URL; a password may be left out. */
static void take_user(const char *s, size_t n, struct proxy *out)
{
    struct buf both = {0}, text = {0};

    put_unescaped(&both, s, n);
    if (!memchr(s, ':', n))
        buf_putc(&both, ':');
    buf_puts(&text, "Basic ");
    base64_encode(&text, slice_of(both.p, both.len));
    while ((text.len - 6) % 4)
        buf_putc(&text, '=');
    snprintf(out->authorization, sizeof(out->authorization), "%.*s", (int)text.len, (const char *)text.p);
    if (both.cap)
        explicit_bzero(both.p, both.cap);
    if (text.cap)
        explicit_bzero(text.p, text.cap);
    buf_free(&both);
    buf_free(&text);
}

static int parse(const char *url, struct proxy *out, struct err *err)
{
    const char *scheme = strstr(url, "://"), *rest = scheme ? scheme + 3 : url;
    size_t n = strcspn(rest, "/?#");
    const char *at = memrchr(rest, '@', n);
    char plain[600];

    if (scheme && strncasecmp(url, "http://", 7) != 0)
        return err_set(err, "only http:// proxies are supported, not %.*s", (int)(scheme - url < 20 ? scheme - url : 20), url);
    if (at) {
        take_user(rest, (size_t)(at - rest), out);
        n -= (size_t)(at + 1 - rest);
        rest = at + 1;
    }
    if (n == 0 || (size_t)snprintf(plain, sizeof(plain), "http://%.*s", (int)n, rest) >= sizeof(plain))
        return err_set(err, "not the URL of a proxy");
    return endpoint_parse_url(plain, &out->endpoint, err);
}

int proxy_find(const struct endpoint *e, bool https, const char *url, struct proxy *out, struct err *err)
{
    bool own = url && *url;
    const char *no = from_environment("NO_PROXY", "no_proxy");

    *out = (struct proxy){0};
    if (e->scheme == ENDPOINT_UNIX)
        return 0;
    if (!own) {
        url = https ? from_environment("HTTPS_PROXY", "https_proxy") : from_environment("HTTP_PROXY", "http_proxy");
        if (!url || !*url || is_here(e->host) || (no && proxy_bypassed(no, e->host, e->port)))
            return 0;
    }
    if (parse(url, out, err) < 0)
        return err_wrap(err, own                ? "proxy_url"
                             : https ? "HTTPS_PROXY"
                                     : "HTTP_PROXY");
    out->used = true;
    return 0;
}

void proxy_target(const struct endpoint *e, char out[static 300])
{
    bool v6 = strchr(e->host, ':') != NULL;

    snprintf(out, 300, "%s%s%s:%u", v6 ? "[" : "", e->host, v6 ? "]" : "", e->port);
}
