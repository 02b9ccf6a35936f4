/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: see source.h. Documents over HTTP are refused on purpose: a daemon that cannot start
 * while some web server is away is not what a trace pipeline needs.
 */
#include "config/source.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/yaml.h"
#include "platform/mem.h"

/* Length of "scheme" in "scheme:rest": a letter, then at least one letter, digit, '+', '.' or '-'.
 */
static size_t scheme_len(const char *uri)
{
    size_t n = 0;
    if (!isalpha((unsigned char)uri[0]))
        return 0;
    while (isalnum((unsigned char)uri[n]) || (uri[n] && strchr("+.-", uri[n])))
        n++;
    return n >= 2 && uri[n] == ':' ? n : 0;
}

bool source_has_scheme(const char *uri)
{
    return scheme_len(uri) > 0;
}

static int read_all(int fd, struct buf *out)
{
    out->max = out->len + YAML_MAX_BYTES + 1;
    for (;;) {
        if (buf_reserve(out, 65536)) {
            if (buf_reserve(out, 1))
                return -EFBIG;
        }
        ssize_t n = read(fd, out->p + out->len, out->cap - out->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->len += (size_t)n;
    }
}

static enum source_result read_file(const char *path, struct buf *out, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : read_all(fd, out);
    if (fd >= 0)
        close(fd);
    if (rc == 0)
        return SOURCE_OK;
    err_set(err, "cannot read the file %s: %s", path, strerror(-rc));
    return SOURCE_FAILED;
}

static bool is_env_name(const char *s, size_t len)
{
    if (!len || isdigit((unsigned char)s[0]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    return true;
}

/* NAME or NAME:-default. The default is for a variable that is unset, not for an empty one. */
static enum source_result read_env(const char *rest, struct buf *out, struct err *err)
{
    const char *dflt = strstr(rest, ":-");
    size_t len = dflt ? (size_t)(dflt - rest) : strlen(rest);
    if (!is_env_name(rest, len)) {
        err_set(err,
                "\"%.*s\" is not a name of an environment variable; a literal ${...} is written "
                "$${...}",
                (int)len, rest);
        return SOURCE_FAILED;
    }
    char *name = mem_dup_n(rest, len);
    const char *value = getenv(name);
    free(name);
    buf_puts(out, value ? value : dflt ? dflt + 2 : "");
    return value || dflt ? SOURCE_OK : SOURCE_UNSET;
}

static bool is(const char *uri, size_t len, const char *scheme)
{
    return strlen(scheme) == len && memcmp(uri, scheme, len) == 0;
}

enum source_result source_read(const char *uri, struct buf *out, struct err *err)
{
    size_t n = scheme_len(uri);
    const char *rest = uri + n + 1;
    if (is(uri, n, "file"))
        return read_file(rest, out, err);
    if (is(uri, n, "env"))
        return read_env(rest, out, err);
    if (is(uri, n, "yaml")) {
        buf_puts(out, rest);
        return SOURCE_OK;
    }
    if (is(uri, n, "http") || is(uri, n, "https"))
        err_set(err,
                "configuration is not read over HTTP (%s): fetch it to a file first, then name the "
                "file",
                uri);
    else if (n && strncmp(rest, "-", 1) == 0)
        err_set(err, "a default needs the scheme in front: ${env:%s}", uri);
    else if (n)
        err_set(err, "scheme \"%.*s\" is not supported: file, env and yaml are", (int)n, uri);
    else if (strstr(uri, ":-"))
        err_set(err, "invalid uri \"%s\": a default needs the scheme in front: ${env:%s}", uri,
                uri);
    else
        err_set(err, "invalid uri \"%s\": file:PATH, env:NAME and yaml:TEXT exist", uri);
    return SOURCE_FAILED;
}
