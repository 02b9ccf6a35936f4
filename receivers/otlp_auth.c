/* SPDX-License-Identifier: Apache-2.0 */
/* See otlp_auth.h. */
#include "receivers/otlp_auth.h"

#include <stdlib.h>
#include <strings.h>

static struct otlp_auth *get(struct otlp_auth **a)
{
    if (!*a)
        *a = mem_alloc(sizeof **a);
    return *a;
}

static void forget_value(struct otlp_auth *a)
{
    if (!a->value)
        return;
    explicit_bzero(a->value, a->len);
    free(a->value);
    a->value = NULL;
    budget_release(a->budget, MEM_CONN, a->len);
}

static void keep_value(struct otlp_auth *a, struct budget *budget, const uint8_t *p, size_t n)
{
    forget_value(a);
    if (!budget_admit(budget, MEM_CONN, n)) {
        a->check.busy = true;
        return;
    }
    a->budget = budget;
    a->value = mem_dup_n((const char *)p, n);
    a->len = n;
}

static bool is_header(const struct auth_door *d, struct slice name)
{
    const char *want = d->ops->header(d);

    return name.p && name.len == strlen(want) && strncasecmp((const char *)name.p, want, name.len) == 0;
}

void otlp_auth_header(const struct auth_door *d, struct otlp_auth **a, struct budget *budget, struct slice name,
                      struct slice value)
{
    if (is_header(d, name) && !get(a)->value) /* the first line counts */
        keep_value(*a, budget, value.p, value.len);
}

/* ---- the query ---- */

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Percent signs and pluses resolved; what is not an escape stays. */
static void unescape(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        int high = s.p[i] == '%' && i + 2 < s.len ? hex(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex(s.p[i + 2]) : -1;

        if (low >= 0) {
            buf_putc(out, (char)(high << 4 | low));
            i += 2;
        } else {
            buf_putc(out, s.p[i] == '+' ? ' ' : (char)s.p[i]);
        }
    }
}

static bool listed(const struct str_list *params, struct slice name)
{
    for (size_t i = 0; i < params->n; i++)
        if (slice_eq(slice_str(params->v[i]), name))
            return true;
    return false;
}

static void take_param(const struct auth_door *d, struct otlp_auth **a, struct budget *budget, const struct str_list *params,
                       struct slice pair)
{
    const uint8_t *eq = pair.len ? memchr(pair.p, '=', pair.len) : NULL;
    size_t n = eq ? (size_t)(eq - pair.p) : pair.len;
    struct buf name = {0}, value = {0};

    unescape(&name, slice_of(pair.p, n));
    if (eq && listed(params, slice_of(name.p, name.len)) && is_header(d, slice_of(name.p, name.len))) {
        unescape(&value, slice_of(eq + 1, pair.len - n - 1));
        keep_value(get(a), budget, value.p, value.len);
    }
    if (value.cap)
        explicit_bzero(value.p, value.cap);
    buf_free(&name);
    buf_free(&value);
}

void otlp_auth_query(const struct auth_door *d, struct otlp_auth **a, struct budget *budget, const struct str_list *params,
                     struct slice query)
{
    while (params->n && query.len) {
        const uint8_t *amp = memchr(query.p, '&', query.len);
        size_t n = amp ? (size_t)(amp - query.p) : query.len;

        take_param(d, a, budget, params, slice_of(query.p, n));
        query = slice_of(query.p + n + (amp != NULL), query.len - n - (amp != NULL));
    }
}

/* ---- the verdict ---- */

static void on_verdict(struct auth_check *k)
{
    struct otlp_auth *a = CONTAINER_OF(k, struct otlp_auth, check);

    a->waiting = false;
    a->done(a->owner);
}

enum auth_verdict otlp_auth_ask(struct auth_door *d, struct otlp_auth **ap, void (*done)(void *owner), void *owner)
{
    struct otlp_auth *a = get(ap);

    a->door = d;
    a->done = done;
    a->owner = owner;
    if (a->check.busy) { /* there was no room for the header */
        a->check.text = OTLP_TEXT_MEMORY;
        a->check.verdict = AUTH_REFUSED;
        return AUTH_REFUSED;
    }
    a->check.done = on_verdict;
    d->ops->check(d, slice_of(a->value, a->len), &a->check);
    a->waiting = a->check.verdict == AUTH_LATER;
    return a->check.verdict;
}

struct ingest_result otlp_auth_result(const struct otlp_auth *a)
{
    if (a->check.busy)
        return (struct ingest_result){
            .code = GRPC_UNAVAILABLE, .text = a->check.text, .has_retry = true, .retry_after_ms = OTLP_RETRY_MS};
    return (struct ingest_result){.code = GRPC_UNAUTHENTICATED, .text = a->check.text};
}

void otlp_auth_free(struct otlp_auth **ap)
{
    struct otlp_auth *a = *ap;

    *ap = NULL;
    if (!a)
        return;
    if (a->waiting)
        a->door->ops->forget(a->door, &a->check);
    auth_data_unref(&a->check.data);
    forget_value(a);
    free(a);
}

void otlp_auth_note(struct otlp_auth *a, struct request_info **info, const char *client_address)
{
    if (!a->check.data)
        return;
    if (!*info)
        *info = request_info_new(client_address, 0);
    (*info)->auth = a->check.data;
    a->check.data = NULL;
}
