/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upgrade in place: a new process serves the same sockets before the old one stops.
 *
 *   SIGUSR2 -> old starts new with its listening sockets -> new runs -> new sends SIGTERM -> old drains
 *
 * The kernel's sockets never close, so no connection is refused and none that waits is reset. When the
 * configuration has storage the order is another: files belong to one process, so the new one reads its
 * configuration, sends SIGTERM first and starts when the old one has ended; clients wait in the backlog.
 * A successor that cannot start changes nothing, but for that second case.
 *
 * Sockets come the way systemd hands them over: LISTEN_FDS of them from descriptor 3 on. LISTEN_PID
 * is the receiver's for systemd; from a predecessor it is UPGRADE_OF, the giver's.
 * Limit: MAX_SOCKETS. Linux only. The supervisor hears of the new process by MAINPID.
 */
#include "cmd/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "net/listen_socket.h"
#include "platform/mem.h"

#define FIRST_FD    3
#define MAX_SOCKETS 512
#define UPGRADE_OF  "TAILRACE_UPGRADE_OF"
#define POLL_NS     (20l * 1000 * 1000)

extern char **environ;

struct upgrade {
    struct log log;
    char *const *argv;
    char path[4096]; /* of the program; "": unknown */
    pid_t child;     /* 0: none */
};

/* ---- inheriting ---- */

static long number_of(const char *name)
{
    const char *text = getenv(name);
    char *end;

    if (!text || !*text)
        return -1;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno || *end || n < 0 || n > 1 << 30 ? -1 : n;
}

void inheritance_take(struct inheritance *in)
{
    long n = number_of("LISTEN_FDS"), of = number_of(UPGRADE_OF);
    bool ours = of > 0 || number_of("LISTEN_PID") == getpid();

    *in = (struct inheritance){0};
    if (ours && n > 0 && n <= MAX_SOCKETS)
        in->n_sockets = listen_sockets_inherit(FIRST_FD, (size_t)n);
    if (of > 0 && getppid() == of)
        in->predecessor = (pid_t)of;
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDNAMES");
    unsetenv(UPGRADE_OF);
}

void inheritance_dismiss(struct inheritance *in)
{
    if (in->predecessor && getppid() == in->predecessor)
        kill(in->predecessor, SIGTERM);
    in->predecessor = 0;
}

/* It ends in time by itself: its own deadline sees to that. */
void inheritance_wait(struct inheritance *in)
{
    pid_t old = in->predecessor;

    inheritance_dismiss(in);
    while (old && getppid() == old)
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
}

/* ---- a successor ---- */

static bool is_replaced(const char *variable)
{
    static const char *const names[] = {"LISTEN_FDS=", "LISTEN_PID=", "LISTEN_FDNAMES=", UPGRADE_OF "="};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Ours, and what tells it of the sockets. */
static char **environment(char *listen_fds, char *of)
{
    size_t n = 0, k = 0;

    while (environ[n])
        n++;
    char **env = mem_alloc_array(n + 3, sizeof *env);
    for (size_t i = 0; i < n; i++)
        if (!is_replaced(environ[i]))
            env[k++] = environ[i];
    env[k++] = listen_fds;
    env[k] = of;
    return env;
}

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

/* Our sockets as descriptors above those that the successor will have them as. Returns how many. */
static size_t gather(int fds[static MAX_SOCKETS])
{
    int low[MAX_SOCKETS];
    size_t n = listen_sockets_dup(low, MAX_SOCKETS), kept = 0;

    for (size_t i = 0; i < n; i++) {
        int high = fcntl(low[i], F_DUPFD_CLOEXEC, FIRST_FD + MAX_SOCKETS);
        if (high >= 0)
            fds[kept++] = high;
    }
    close_all(low, n);
    return kept;
}

static int spawn(struct upgrade *u, const int *fds, size_t n)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all, none;
    char listen_fds[32], of[48];

    snprintf(listen_fds, sizeof listen_fds, "LISTEN_FDS=%zu", n);
    snprintf(of, sizeof of, UPGRADE_OF "=%d", (int)getpid());
    posix_spawn_file_actions_init(&files);
    for (size_t i = 0; i < n; i++)
        posix_spawn_file_actions_adddup2(&files, fds[i], FIRST_FD + (int)i);
    posix_spawn_file_actions_addclosefrom_np(&files, FIRST_FD + (int)n);
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    char **env = environment(listen_fds, of);
    int rc = posix_spawn(&u->child, u->path, &files, &attr, u->argv, env);
    free(env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

int upgrade_start(struct upgrade *u, struct err *err)
{
    int fds[MAX_SOCKETS];

    if (u->child)
        return err_set(err, "a successor is starting already (process %d)", (int)u->child);
    if (!u->path[0])
        return err_set(err, "the path of the program is not known");
    size_t n = gather(fds);
    int rc = spawn(u, fds, n);
    close_all(fds, n);
    if (rc != 0) {
        u->child = 0;
        return err_set(err, "%s: %s", u->path, strerrordesc_np(rc));
    }
    listen_sockets_have_successor(true);
    log_info(&u->log, "Started a successor", LOG_INT("process", u->child), LOG_UINT("sockets", n),
             LOG_STR("program", u->path));
    return 0;
}

static void on_child(void *ctx, int signum)
{
    struct upgrade *u = ctx;
    int status;

    (void)signum;
    if (!u->child || waitpid(u->child, &status, WNOHANG) != u->child)
        return;
    u->child = 0;
    listen_sockets_have_successor(false);
    log_error(&u->log, "The successor has ended; this process goes on",
              LOG_INT("status", WIFEXITED(status) ? WEXITSTATUS(status) : -1),
              LOG_INT("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0));
}

struct upgrade *upgrade_new(struct loop *l, const struct log *log, char *const *argv)
{
    struct upgrade *u = mem_alloc(sizeof *u);

    u->log = *log;
    u->argv = argv;
    /* now: later it would be the name of a file that an upgrade has replaced */
    ssize_t n = readlink("/proc/self/exe", u->path, sizeof u->path - 1);
    u->path[n > 0 && (size_t)n < sizeof u->path - 1 ? n : 0] = '\0';
    loop_on_signal(l, SIGCHLD, on_child, u);
    return u;
}

void upgrade_free(struct upgrade **u)
{
    free(*u);
    *u = NULL;
}

/* ---- the supervisor ---- */

void supervisor_tell(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;

    if (n < 2 || n >= sizeof un.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(un.sun_path, path, n);
    if (path[0] == '@')
        un.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&un,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}
