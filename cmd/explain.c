/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain: one GET of /debug/traces/ID, which answers clients on the same machine only. The trace id
 * may have the dashes of a UUID.
 */
#include "cmd/explain.h"

#include <ctype.h>
#include <stdio.h>

#include "cmd/post.h"

#define ADMIN "127.0.0.1:8888"

enum { ID_DIGITS = 32 };

static int read_id(const char *text, char id[static ID_DIGITS + 1], struct err *err)
{
    size_t n = 0;

    for (const char *p = text; *p; p++) {
        if (*p == '-')
            continue;
        if (!isxdigit((unsigned char)*p) || n == ID_DIGITS)
            return err_set(err, "\"%s\" is not a trace id: 32 hexadecimal digits", text);
        id[n++] = (char)tolower((unsigned char)*p);
    }
    id[n] = '\0';
    return n == ID_DIGITS ? 0 : err_set(err, "\"%s\" is not a trace id: 32 hexadecimal digits", text);
}

int explain_trace(const char *admin, const char *trace_id, struct buf *out, struct err *err)
{
    char id[ID_DIGITS + 1], path[64];
    struct post *p;

    if (!trace_id)
        return err_set(err, "which trace? tailrace explain TRACE_ID");
    if (read_id(trace_id, id, err) != 0)
        return -1;
    p = post_new(admin ? admin : ADMIN, err);
    if (!p)
        return -1;
    snprintf(path, sizeof(path), "/debug/traces/%s", id);
    int status = post_exchange(p, path, NULL, (struct slice){0}, out, err);
    post_free(&p);
    if (status < 0 || status == 200)
        return status < 0 ? -1 : 0;
    err_set(err, "%s answered %d: %.*s", admin ? admin : ADMIN, status,
            (int)(out->len && out->p[out->len - 1] == '\n' ? out->len - 1 : out->len), (const char *)out->p);
    return -1;
}
