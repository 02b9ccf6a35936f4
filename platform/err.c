/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts. Long ones are cut at the end: the context in front is what locates the fault. */
#include "platform/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, const char *fmt, ...)
{
    char text[sizeof(err->text)]; /* an argument may be err->text itself */
    va_list ap;

    if (!err)
        return -1;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    memcpy(err->text, text, sizeof(text));
    return -1;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;
    int n;

    if (!err)
        return -1;
    va_start(ap, fmt);
    n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n + 2 < sizeof(text)) {
        memcpy(text + n, ": ", 2);
        memcpy(text + n + 2, err->text, sizeof(text) - (size_t)n - 2);
        text[sizeof(text) - 1] = '\0';
    }
    memcpy(err->text, text, sizeof(text));
    return -1;
}
