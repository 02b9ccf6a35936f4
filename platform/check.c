/* SPDX-License-Identifier: Apache-2.0 */
/* Broken invariants. Writes with one write(2), as the heap and stdio may be what is broken. */
#include "platform/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void check_failed(const char *file, int line, const char *func, const char *text)
{
    char msg[512];
    int n = snprintf(msg, sizeof(msg), "%s:%d: %s: check failed: %s\n", file, line, func, text);

    if (n > (int)sizeof(msg) - 1)
        n = (int)sizeof(msg) - 1;
    if (n > 0 && write(STDERR_FILENO, msg, (size_t)n) < 0)
        abort();
    abort();
}
