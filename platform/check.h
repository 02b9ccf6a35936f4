/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants. A bug ends the process with a readable line and a core; input, peers, disks and
 * memory pressure never do: they are outcomes, reported through return values.
 */
#ifndef TAILRACE_PLATFORM_CHECK_H
#define TAILRACE_PLATFORM_CHECK_H

#include <stddef.h>

/* Prints "file:line: function: text" to stderr and aborts. Any thread. */
__attribute__((noreturn)) void check_failed(const char *file, int line, const char *func, const char *text);

/* Aborts unless cond holds. Compiled into every build. */
#define CHECK(cond) \
    do { \
        if (__builtin_expect(!(cond), 0)) \
            check_failed(__FILE__, __LINE__, __func__, #cond); \
    } while (0)

/* The functions so marked may fail; ignoring the result does not compile. */
#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds `member` at `ptr`; the caller has proved (by a type check) that it is one. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
