/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk that loses power, as an LD_PRELOAD library: only what was synced is on it.
 *
 * Problem:  a test cannot cut the power, and SIGKILL leaves the page cache as it is.
 * Design:   fsync() and fdatasync() of what lies below POWERCUT_WATCH copy it to POWERCUT_DISK before they
 *           return: a file's bytes to "file-INODE", a directory's names to "dir-INODE" (lines of "inode name").
 *           After a SIGKILL the test builds the directory anew from these: names that were synced, with the
 *           bytes that were. Stricter than real file systems, where one sync often takes more along.
 * Limits:   names without line breaks; files are copied whole, zero pages as holes.
 * Threads:  any; one sync at a time.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void must(int ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    abort();
}

/* Is it below the watched directory, or that itself? */
static int watched(int fd)
{
    const char *watch = getenv("POWERCUT_WATCH");
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (!watch || n < 0)
        return 0;
    path[n] = '\0';
    size_t len = strlen(watch);
    return strncmp(path, watch, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void copy_pages(int from, int to, off_t size)
{
    static const char zeros[PAGE];
    char page[PAGE];

    for (off_t at = 0; at < size; at += PAGE) {
        ssize_t n = pread(from, page, PAGE, at);
        must(n >= 0, "pread");
        if (n > 0 && memcmp(page, zeros, (size_t)n) != 0)
            must(pwrite(to, page, (size_t)n, at) == n, "pwrite");
    }
    must(ftruncate(to, size) == 0, "ftruncate");
}

static void copy_file(int fd, int to, const struct stat *st)
{
    char link[64];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd); /* it may be open for writing only */
    int from = open(link, O_RDONLY | O_CLOEXEC);
    must(from >= 0, "open");
    copy_pages(from, to, st->st_size);
    close(from);
}

static void copy_names(int fd, int to)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = again < 0 ? NULL : fdopendir(again);
    struct dirent *e;

    must(d != NULL, "opendir");
    while ((e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            must(dprintf(to, "%llu %s\n", (unsigned long long)e->d_ino, e->d_name) > 0, "dprintf");
    closedir(d);
}

/* Whole or not at all: the process may be killed while it copies. */
static int to_disk(int fd)
{
    const char *disk = getenv("POWERCUT_DISK");
    char name[4096], temporary[4096 + 8];
    struct stat st;

    if (!disk || !watched(fd) || fstat(fd, &st) != 0)
        return 0;
    pthread_mutex_lock(&lock);
    snprintf(name, sizeof name, "%s/%s-%llu", disk, S_ISDIR(st.st_mode) ? "dir" : "file", (unsigned long long)st.st_ino);
    snprintf(temporary, sizeof temporary, "%s.new", name);
    int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(to >= 0, temporary);
    if (S_ISDIR(st.st_mode))
        copy_names(fd, to);
    else
        copy_file(fd, to, &st);
    close(to);
    must(rename(temporary, name) == 0, "rename");
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    return to_disk(fd);
}

int fdatasync(int fd)
{
    return to_disk(fd);
}
