/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values by printf verbs, as Go's fmt prints them. See verbs.h; strings are in verbs_text.c,
 * numbers in verbs_number.c.
 *
 * Widths and precisions count characters and are bounded by the caller; the text is bounded by its
 * buffer. Threads: the eval's worker.
 */
#include "ottl/times.h"
#include "ottl/verbs_priv.h"

const char *verb_type_name(const struct ottl_value *v)
{
    if (v->type == OTTL_NIL)
        return "<nil>";
    return v->type == OTTL_ITEMS && v->aux ? "[]string" : ottl_type_name(v);
}

/* One of a list of bytes, by a verb that is not for lists of them. */
static int put_byte(struct buf *out, const struct verb *f, uint8_t byte)
{
    uint8_t utf8[4];
    struct slice c = verb_utf8(f->rune, utf8);
    enum verb_put done = verb_int(out, f, byte);

    if (done == VERB_BAD)
        return buf_printf(out, "%%!%.*s(uint8=%u)", (int)c.len, c.p, byte);
    return done == VERB_PUT ? 0 : -1;
}

static enum verb_put put_byte_list(struct buf *out, const struct verb *f, struct slice s)
{
    int rc = buf_add(out, "[", 1);

    for (size_t i = 0; rc == 0 && i < s.len; i++)
        rc = (i && buf_add(out, " ", 1)) || put_byte(out, f, s.p[i]) ? -1 : 0;
    return verb_done(rc || buf_add(out, "]", 1));
}

static bool is_text_verb(uint32_t rune)
{
    return rune == 'v' || rune == 's' || rune == 'x' || rune == 'X' || rune == 'q';
}

static enum verb_put put_bytes(struct buf *out, const struct verb *f, struct slice s)
{
    return f->rune == 'v' || !is_text_verb(f->rune) ? put_byte_list(out, f, s)
                                                    : verb_string(out, f, s);
}

/* Times and durations print as text for the verbs of strings. */
static enum verb_put put_text_of(struct ottl_eval *e, const struct verb *f,
                                 const struct ottl_value *v)
{
    struct buf text = {.max = 256};
    enum verb_put rc;

    if (v->type == OTTL_DURATION && !is_text_verb(f->rune))
        return verb_int(&e->text, f, v->i);
    if (v->type == OTTL_TIME ? put_time_text(&text, v) : put_duration(&text, v->i))
        rc = VERB_FULL;
    else
        rc = verb_string(&e->text, f, slice_of(text.p, text.len));
    buf_free(&text);
    return rc;
}

static enum verb_put put_id(struct ottl_eval *e, const struct verb *f, struct slice id)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hex[32];
    bool some = false;

    if (!is_text_verb(f->rune))
        return put_byte_list(&e->text, f, id);
    for (size_t i = 0; i < id.len && i < 16; i++) {
        hex[2 * i] = (uint8_t)digits[id.p[i] >> 4];
        hex[2 * i + 1] = (uint8_t)digits[id.p[i] & 15];
        some |= id.p[i] != 0;
    }
    return verb_string(&e->text, f, slice_of(hex, some ? 2 * id.len : 0));
}

static bool put_list(struct ottl_eval *e, const struct verb *f, const struct ottl_value *list)
{
    if (buf_add(&e->text, "[", 1))
        return ottl_too_long(e);
    for (size_t i = 0; i < list->items.n; i++) {
        const struct ottl_value *v = &list->items.v[i];
        bool is_nil = v->type == OTTL_NIL; /* printed so by any verb */

        if ((i && buf_add(&e->text, " ", 1)) || (is_nil && buf_add(&e->text, "<nil>", 5)))
            return ottl_too_long(e);
        if (!is_nil && !put_verb(e, f, v))
            return false;
    }
    return buf_add(&e->text, "]", 1) == 0 || ottl_too_long(e);
}

/* Maps and lists of attributes: JSON. The conversion wants the eval's text for itself. */
static bool put_json(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    struct buf text = e->text;
    struct ottl_value json = *v;
    bool fine;

    e->text = (struct buf){.max = OTTL_SCRATCH_BYTES};
    fine = make_str_like(e, &json);
    buf_free(&e->text);
    e->text = text;
    return fine && (verb_padded(&e->text, f, json.s) == 0 || ottl_too_long(e));
}

static int put_bad_verb_start(struct buf *out, const struct verb *f, const struct ottl_value *v)
{
    uint8_t utf8[4];
    struct slice c = verb_utf8(f->rune, utf8);

    return buf_printf(out, "%%!%.*s(%s%s", (int)c.len, c.p, verb_type_name(v),
                      v->type == OTTL_NIL ? "" : "=");
}

static bool put_bad_verb(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    struct verb plain = *f;

    plain.rune = 'v';
    if (put_bad_verb_start(&e->text, f, v))
        return ottl_too_long(e);
    if (v->type != OTTL_NIL && !put_verb(e, &plain, v))
        return false;
    return buf_add(&e->text, ")", 1) == 0 || ottl_too_long(e);
}

static enum verb_put put_scalar(struct ottl_eval *e, const struct verb *f,
                                const struct ottl_value *v)
{
    switch (v->type) {
    case OTTL_NIL:
        return f->rune == 'v' ? verb_done(verb_padded(&e->text, f, slice_str("<nil>"))) : VERB_BAD;
    case OTTL_BOOL:
        return f->rune == 'v' || f->rune == 't'
                   ? verb_done(verb_padded(&e->text, f, slice_str(v->i ? "true" : "false")))
                   : VERB_BAD;
    case OTTL_INT:
        return verb_int(&e->text, f, v->i);
    case OTTL_DOUBLE:
        return verb_float(&e->text, f, v->d);
    case OTTL_STR:
        return verb_string(&e->text, f, v->s);
    case OTTL_BYTES:
        return put_bytes(&e->text, f, v->s);
    case OTTL_TIME:
    case OTTL_DURATION:
        return put_text_of(e, f, v);
    default:
        return put_id(e, f, v->s);
    }
}

bool put_verb(struct ottl_eval *e, const struct verb *f, const struct ottl_value *v)
{
    if (f->rune == 'T')
        return verb_padded(&e->text, f, slice_str(verb_type_name(v))) == 0 || ottl_too_long(e);
    switch (v->type) {
    case OTTL_ITEMS:
        return put_list(e, f, v);
    case OTTL_MAP:
    case OTTL_LIST:
    case OTTL_STATUS:
    case OTTL_EVENTS:
    case OTTL_LINKS:
        return put_json(e, f, v);
    default:
        break;
    }
    switch (put_scalar(e, f, v)) {
    case VERB_PUT:
        return true;
    case VERB_FULL:
        return ottl_too_long(e);
    default:
        return put_bad_verb(e, f, v);
    }
}
