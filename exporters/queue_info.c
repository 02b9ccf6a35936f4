/* SPDX-License-Identifier: Apache-2.0 */
/* Client metadata as bytes: see queue_info.h. */
#include "exporters/queue_info.h"

#include <stdlib.h>
#include <string.h>

#define MAX_HEADERS 4096u

static void put_text(struct buf *out, const char *s)
{
    uint32_t len = s != NULL ? (uint32_t)strlen(s) : 0;

    buf_put(out, &len, sizeof(len));
    if (len > 0)
        buf_put(out, s, len);
}

void queue_info_put(struct buf *out, const struct request_info *info)
{
    uint32_t n;

    if (info == NULL)
        return;
    n = (uint32_t)info->n_headers;
    buf_put(out, &n, sizeof(n));
    put_text(out, info->client_address);
    for (size_t i = 0; i < info->n_headers; i++) {
        put_text(out, info->headers[i].name);
        put_text(out, info->headers[i].value);
    }
}

static bool get_u32(struct slice *s, uint32_t *v)
{
    if (s->len < sizeof(*v))
        return false;
    memcpy(v, s->p, sizeof(*v));
    *s = slice_of(s->p + sizeof(*v), s->len - sizeof(*v));
    return true;
}

/* malloc'ed; NULL when the bytes end before. */
static char *get_text(struct slice *s)
{
    uint32_t len;
    char *text;

    if (!get_u32(s, &len) || len > s->len)
        return NULL;
    text = mem_dup_n((const char *)s->p, len);
    *s = slice_of(s->p + len, s->len - len);
    return text;
}

struct request_info *queue_info_get(struct slice s)
{
    struct request_info *info;
    uint32_t n;
    char *address;

    if (!get_u32(&s, &n) || n > MAX_HEADERS || (address = get_text(&s)) == NULL)
        return NULL;
    info = request_info_new(address, n);
    free(address);
    for (uint32_t i = 0; i < n; i++) {
        info->headers[i].name = get_text(&s);
        info->headers[i].value = get_text(&s);
        if (info->headers[i].name == NULL || info->headers[i].value == NULL) {
            request_info_unref(&info);
            return NULL;
        }
    }
    return info;
}
