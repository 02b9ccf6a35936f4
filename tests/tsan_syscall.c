/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into everything built with ThreadSanitizer, and only there.
 *
 * libuv closes sockets and files by syscall(SYS_close), which ThreadSanitizer does not see: whoever
 * gets the same number next, in another thread, seems to race with what the number stood for
 * before. Here that close becomes one that it sees; every other system call passes through.
 * Threads: any.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef long syscall_fn(long, ...);

long syscall(long number, ...)
{
    long a[6];
    va_list ap;

    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    if (number == SYS_close)
        return close((int)a[0]);
    syscall_fn *real = (syscall_fn *)dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
