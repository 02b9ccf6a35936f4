/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what takes values out of database statements: first byte the system, then the text. It ends, stays within the text, and what
 * stands in single quotes alone is gone. */
#include <stdlib.h>

#include "platform/mem.h"
#include "processors/redaction_db.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(enum db_system system, struct slice text)
{
    struct buf out = {0};

    CHECK(db_obfuscate(system, text, &out) == 0);
    CHECK(out.len <= 3 * text.len);
    buf_free(&out);
}

static void check_quoted(struct slice text)
{
    struct buf quoted = {0}, out = {0};

    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '\'' || text.p[i] == '\\')
            return;
    buf_putc(&quoted, '\'');
    CHECK(buf_add(&quoted, text.p, text.len) == 0);
    buf_putc(&quoted, '\'');
    CHECK(db_obfuscate(DB_SQL, slice_of(quoted.p, quoted.len), &out) == 0);
    CHECK(out.len == 1 && out.p[0] == '?');
    buf_free(&quoted);
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    check((enum db_system)(data[0] % (DB_ES + 1)), slice_of(data + 1, size - 1));
    check_quoted(slice_of(data + 1, size - 1));
    return 0;
}
