/* SPDX-License-Identifier: Apache-2.0 */
/* See otlp_sign.h. What a client sent may end in a header (headers_setter): a value that HTTP does not
 * allow, a line break above all, stops the request. */
#include "exporters/otlp_sign.h"

#include "exporters/otlp_common.h"

static void start_over(struct signing *s)
{
    auth_fields_free(&s->fields);
    for (size_t i = 0; s->base && i < s->base->n; i++)
        auth_fields_set(&s->fields, s->base->v[i].name, s->base->v[i].value);
}

static int check_fields(const struct auth_fields *f, struct err *err)
{
    for (size_t i = 0; i < f->n; i++)
        if (!header_value_ok(f->v[i].value))
            return err_set(err, "invalid character in the value of header \"%s\"", f->v[i].name);
    return 0;
}

static void attempt(struct signing *s)
{
    struct err err = {""};

    start_over(s);
    switch (s->signer->ops->sign(s->signer, s->info, &s->fields, &s->wait, &err)) {
    case AUTH_LATER:
        s->waiting = true;
        break;
    case AUTH_REFUSED:
        s->go(s->ctx, &err);
        break;
    case AUTH_OK:
        s->go(s->ctx, check_fields(&s->fields, &err) < 0 ? &err : NULL);
        break;
    }
}

static void on_ready(struct auth_wait *w)
{
    struct signing *s = CONTAINER_OF(w, struct signing, wait);

    s->waiting = false;
    attempt(s);
}

void signing_start(struct signing *s, struct auth_signer *signer, const struct auth_fields *base,
                   const struct request_info *info, void (*go)(void *ctx, const struct err *err), void *ctx)
{
    s->go = go;
    s->ctx = ctx;
    s->signer = signer;
    s->base = base;
    s->info = info;
    s->wait.ready = on_ready;
    attempt(s);
}

bool signing_cancel(struct signing *s)
{
    if (!s->waiting)
        return false;
    s->waiting = false;
    s->signer->ops->cancel(s->signer, &s->wait);
    return true;
}

void signing_close(struct signing *s)
{
    (void)signing_cancel(s);
    auth_fields_free(&s->fields);
}
