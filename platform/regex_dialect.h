/* SPDX-License-Identifier: Apache-2.0 */
/* Go's dialect of regular expressions into that of the RE2 that is installed. C++, for regex.cc;
 * pure. */
#ifndef TAILRACE_PLATFORM_REGEX_DIALECT_H
#define TAILRACE_PLATFORM_REGEX_DIALECT_H

#include <string>

extern "C" {
#include "platform/err.h"
}

struct regex_dialect {
    std::string text; /* what RE2 gets */
    bool splits_chars =
        false; /* it may find nothing at all inside a character, where Go never looks */
};

/* False with err where Go refuses what RE2 would take; what RE2 refuses too is not looked for. */
bool regex_translate(const char *pattern, struct regex_dialect *out, struct err *err);

/* Where the class at p[at] == '[' ends: behind its ']'. */
size_t regex_class_end(const std::string &p, size_t at);

#endif
