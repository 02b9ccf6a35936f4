/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes as text: see test_dump.h. */
#include "tests/lib/test_dump.h"

const char *td_attrs(struct slice message, uint32_t field)
{
    static const char letters[] = {'e', 's', 'b', 'i', 'd', 'l', 'm', 'y'};
    static struct buf texts[8];
    static unsigned turn;
    struct buf *out = &texts[turn++ % ARRAY_LEN(texts)];
    struct attr_iter it = attr_iter(message, field);
    struct attr a;

    buf_clear(out);
    while (attr_next(&it, &a)) {
        struct any v = any_parse(a.value);

        if (out->len)
            buf_putc(out, ' ');
        buf_put(out, a.key.p, a.key.len);
        buf_putf(out, "=%c:", letters[v.type]);
        CHECK(any_as_string(&v, out) == 0);
    }
    buf_putc(out, '\0');
    return (const char *)out->p;
}
