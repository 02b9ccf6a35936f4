/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where listening sockets come from: made for an endpoint, taken over from another listener of this
 * process, or inherited from whoever started it.
 *
 *   endpoint -> address -> inherited socket | another owner's socket, as a duplicate | a new one
 *
 * Taking over is what keeps a port open when something else listens on it from now on: a receiver
 * that a reload put in another's place, or a new process (systemd's socket activation, an upgrade in
 * place). The kernel's socket stays the same, so connections that wait in its backlog are not reset.
 *
 * Each socket is handed on once (its heir), so that with several workers each of the new ones
 * gets a socket of the old ones. A socket that came alone from outside serves all workers.
 *
 * The table of sockets is the one piece of state here that is the process's and not an object's:
 * descriptors are. Threads: any; it has a lock.
 */
#include "net/listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/conn_priv.h"
#include "platform/mem.h"

#define BACKLOG 1024

struct entry {
    struct sockaddr_storage addr;
    const void *instance; /* the owner's; NULL: nobody's yet */
    char name[128];       /* the owner's; "": has none */
    int fd, heir;         /* heir: the duplicate that took over; -1: none */
    bool inherited;
};

static struct {
    pthread_mutex_t lock;
    struct entry *v;
    size_t n;
    bool handed_on; /* another process has them as well */
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- addresses ---- */

/* Splits "host:port"; brackets around IPv6 hosts are taken off. */
static int split_endpoint(const char *endpoint, char host[static 256], char port[static 16],
                          struct err *err)
{
    const char *colon = strrchr(endpoint, ':');
    size_t n = colon ? (size_t)(colon - endpoint) : 0;

    if (!colon)
        return err_set(err, "address %s: missing port in address", endpoint);
    if (endpoint[0] == '[' && n >= 2 && endpoint[n - 1] == ']') {
        endpoint++;
        n -= 2;
    } else if (memchr(endpoint, ':', n)) {
        return err_set(err, "address %s: too many colons in address", endpoint);
    }
    if (n >= 256 || strlen(colon + 1) >= 16)
        return err_set(err, "address %s: too long", endpoint);
    memcpy(host, endpoint, n);
    host[n] = '\0';
    snprintf(port, 16, "%s", colon[1] ? colon + 1 : "0");
    if (strspn(port, "0123456789") != strlen(port) || strtol(port, NULL, 10) > 65535)
        return err_set(err, "address %s: invalid port", endpoint);
    return 0;
}

/* The first address of the host, IPv4 before IPv6, as Go picks it. */
static int resolve_tcp(const char *host, const char *port, int family, struct sockaddr_storage *out,
                       socklen_t *len, struct err *err)
{
    struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found = NULL;
    struct addrinfo *pick = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);

    if (rc != 0)
        return err_set(err, "lookup %s: %s", host,
                       rc == EAI_NONAME ? "no such host" : gai_strerror(rc));
    for (struct addrinfo *a = found; a && !pick; a = a->ai_next)
        if (a->ai_family == AF_INET)
            pick = a;
    if (!pick)
        pick = found;
    CHECK(pick);
    memcpy(out, pick->ai_addr, pick->ai_addrlen);
    *len = pick->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

/* ":4317" means every address, IPv6 and IPv4 on one socket where the system has IPv6. */
static int any_address(const char *port, int family, struct sockaddr_storage *out, socklen_t *len,
                       struct err *err)
{
    int fd = family == AF_INET ? -1 : socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return resolve_tcp("0.0.0.0", port, family, out, len, err);
    close(fd);
    return resolve_tcp("::", port, family, out, len, err);
}

static int parse_tcp(const char *endpoint, int family, struct sockaddr_storage *out, socklen_t *len,
                     struct err *err)
{
    char host[256] = "", port[16] = "";

    if (split_endpoint(endpoint, host, port, err) != 0)
        return -1;
    return host[0] ? resolve_tcp(host, port, family, out, len, err) : any_address(port, family, out, len, err);
}

static int parse_unix(const char *path, struct sockaddr_storage *out, socklen_t *len,
                      struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof un.sun_path)
        return err_set(err, "path longer than %zu bytes", sizeof un.sun_path - 1);
    memcpy(un.sun_path, path, strlen(path) + 1);
    memcpy(out, &un, sizeof un);
    *len = sizeof un;
    return 0;
}

/* A socket file that nobody listens on any more is in the way of a restart. */
static void remove_stale_socket(const struct sockaddr_storage *addr, socklen_t len)
{
    const struct sockaddr_un *un = (const void *)addr;
    struct stat st;

    if (lstat(un->sun_path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)addr, len) != 0 && errno == ECONNREFUSED)
        unlink(un->sun_path);
    close(fd);
}

/* ---- the socket ---- */

static int open_socket(const struct sockaddr_storage *addr, socklen_t len, bool reuse_port, int family,
                       struct err *err)
{
    char text[96];
    int one = 1, v6_only = family == AF_INET6;
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return err_set(err, "socket: %s", conn_errno_text(errno, text));
    if (addr->ss_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (reuse_port)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    }
    if (addr->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    if (bind(fd, (const struct sockaddr *)addr, len) != 0) {
        err_set(err, "bind: %s", conn_errno_text(errno, text));
        close(fd);
        return -1;
    }
    if (listen(fd, BACKLOG) != 0) {
        err_set(err, "listen: %s", conn_errno_text(errno, text));
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- the table ---- */

static unsigned port_of(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)a)->sin_port);
    return a->ss_family == AF_INET6 ? ntohs(((const struct sockaddr_in6 *)(const void *)a)->sin6_port) : 0;
}

static bool is_any(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr == htonl(INADDR_ANY);
    return a->ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static bool same_path(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    const struct sockaddr_un *x = (const void *)a, *y = (const void *)b;

    return x->sun_path[0] && strcmp(x->sun_path, y->sun_path) == 0;
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family == AF_UNIX || b->ss_family == AF_UNIX)
        return a->ss_family == b->ss_family && same_path(a, b);
    if (port_of(a) == 0 || port_of(a) != port_of(b))
        return false;
    if (is_any(a) && is_any(b)) /* whoever starts us says [::], the configuration 0.0.0.0 */
        return true;
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static void set_owner(struct entry *e, const struct listen_owner *owner)
{
    e->instance = owner->instance;
    snprintf(e->name, sizeof e->name, "%s", owner->name ? owner->name : "");
}

/* owner NULL: nobody yet. Under the lock. */
static void add_entry(int fd, const struct listen_owner *owner, bool inherited)
{
    struct entry e = {.fd = fd, .heir = -1, .inherited = inherited};
    socklen_t len = sizeof e.addr;

    if (owner)
        set_owner(&e, owner);
    if (getsockname(fd, (struct sockaddr *)&e.addr, &len) != 0)
        return;
    struct entry *v = realloc(table.v, (table.n + 1) * sizeof *v);
    CHECK(v);
    table.v = v;
    table.v[table.n++] = e;
}

static bool is_kin(const struct entry *e, const struct listen_owner *owner)
{
    return owner && owner->name && strncmp(e->name, owner->name, sizeof e->name - 1) == 0;
}

/* Whom to take over from: a socket that waits, a predecessor's that is not handed on yet, one from outside. */
static struct entry *giver(const struct sockaddr_storage *addr, const struct listen_owner *owner)
{
    struct entry *before = NULL, *common = NULL;

    for (size_t i = 0; i < table.n; i++) {
        struct entry *e = &table.v[i];
        if (!same_address(&e->addr, addr))
            continue;
        if (!e->instance)
            return e;
        if (!is_kin(e, owner))
            continue;
        if (!before && e->instance != owner->instance && e->heir < 0)
            before = e;
        if (!common && e->inherited)
            common = e;
    }
    return before ? before : common;
}

/* -1: there is nobody to take over from. Under the lock. */
static int take_over(const struct sockaddr_storage *addr, const struct listen_owner *owner)
{
    struct entry *e = giver(addr, owner);

    if (!e)
        return -1;
    if (!e->instance) {
        set_owner(e, owner);
        return e->fd;
    }
    int fd = fcntl(e->fd, F_DUPFD_CLOEXEC, 0);
    bool inherited = e->inherited;
    if (fd < 0)
        return -1;
    if (e->instance != owner->instance)
        e->heir = fd;
    add_entry(fd, owner, inherited);
    return fd;
}

/* ---- opening ---- */

static int parse(const char *endpoint, bool is_unix, int family, struct sockaddr_storage *addr, socklen_t *len, struct err *err)
{
    return is_unix ? parse_unix(endpoint, addr, len, err) : parse_tcp(endpoint, family, addr, len, err);
}

/* "listen tcp 127.0.0.1:4317: bind: address already in use" */
static void name_endpoint(struct err *err, const char *endpoint, bool is_unix, const struct sockaddr_storage *addr)
{
    char shown[64] = "", cause[sizeof err->text];

    if (!err)
        return;
    if (addr && !is_unix)
        conn_format_address((const struct sockaddr *)addr, false, shown);
    if (addr)
        err_wrap(err, "%s", shown[0] ? shown : endpoint);
    snprintf(cause, sizeof cause, "%s", err->text);
    err_set(err, "listen %s %.900s", is_unix ? "unix" : "tcp", cause);
}

static int open_locked(const struct sockaddr_storage *addr, socklen_t len, bool reuse_port,
                       const struct listen_owner *owner, struct err *err)
{
    int fd = take_over(addr, owner);

    if (fd >= 0)
        return fd;
    if (addr->ss_family == AF_UNIX)
        remove_stale_socket(addr, len);
    fd = open_socket(addr, len, reuse_port, owner->family, err);
    if (fd >= 0)
        add_entry(fd, owner, false);
    return fd;
}

int listen_socket_open(const char *endpoint, bool is_unix, bool reuse_port,
                       const struct listen_owner *owner, struct err *err)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = 0;

    CHECK(owner && owner->instance);
    if (parse(endpoint, is_unix, owner->family, &addr, &len, err) != 0) {
        name_endpoint(err, endpoint, is_unix, NULL);
        return -1;
    }
    pthread_mutex_lock(&table.lock);
    int fd = open_locked(&addr, len, reuse_port, owner, err);
    pthread_mutex_unlock(&table.lock);
    if (fd < 0)
        name_endpoint(err, endpoint, is_unix, &addr);
    return fd;
}

/* Somebody from outside gave it to us, or a predecessor listens there, maybe on another of this port's addresses. */
static bool will_be_ours(const struct sockaddr_storage *addr, const struct listen_owner *owner)
{
    bool own = false;

    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < table.n; i++)
        own |= port_of(addr) != 0 && port_of(addr) == port_of(&table.v[i].addr) &&
               (!table.v[i].instance || is_kin(&table.v[i], owner));
    pthread_mutex_unlock(&table.lock);
    return own;
}

int listener_probe(const char *endpoint, const struct listen_owner *owner, struct err *err)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = 0;

    if (parse(endpoint, false, owner ? owner->family : 0, &addr, &len, err) != 0) {
        name_endpoint(err, endpoint, false, NULL);
        return -1;
    }
    if (will_be_ours(&addr, owner))
        return 0;
    int fd = open_socket(&addr, len, false, owner ? owner->family : 0, err);
    if (fd < 0) {
        name_endpoint(err, endpoint, false, &addr);
        return -1;
    }
    close(fd);
    return 0;
}

/* ---- closing ---- */

static struct entry *entry_of(int fd)
{
    for (size_t i = 0; i < table.n; i++)
        if (table.v[i].fd == fd)
            return &table.v[i];
    return NULL;
}

static bool has_sibling(const struct entry *e)
{
    for (size_t i = 0; i < table.n; i++)
        if (&table.v[i] != e && same_address(&table.v[i].addr, &e->addr))
            return true;
    return false;
}

/* Under the lock. */
static void remove_entry(struct entry *e)
{
    for (size_t i = 0; i < table.n; i++)
        if (table.v[i].heir == e->fd)
            table.v[i].heir = -1; /* what it wanted to take over is there to be taken over again */
    *e = table.v[--table.n];
}

bool listen_socket_is_shared(int fd)
{
    pthread_mutex_lock(&table.lock);
    const struct entry *e = entry_of(fd);
    bool shared = table.handed_on || (e && has_sibling(e));
    pthread_mutex_unlock(&table.lock);
    return shared;
}

void listen_socket_close(int fd, bool *shared)
{
    pthread_mutex_lock(&table.lock);
    struct entry *e = entry_of(fd);
    *shared = table.handed_on || (e && (has_sibling(e) || e->inherited));
    if (e)
        remove_entry(e);
    close(fd);
    pthread_mutex_unlock(&table.lock);
}

/* ---- from outside, and to a successor ---- */

static bool is_listening_stream(int fd)
{
    int type = 0, listening = 0;
    socklen_t n = sizeof type, m = sizeof listening;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &m) == 0 && listening;
}

size_t listen_sockets_inherit(int first, size_t n)
{
    size_t good = 0;

    pthread_mutex_lock(&table.lock);
    for (int fd = first; fd < first + (int)n; fd++) {
        if (!is_listening_stream(fd)) {
            close(fd);
            continue;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        add_entry(fd, NULL, true);
        good++;
    }
    pthread_mutex_unlock(&table.lock);
    return good;
}

void listen_sockets_close_idle(void (*told)(void *ctx, const char *address), void *ctx)
{
    char text[64] = "";

    pthread_mutex_lock(&table.lock);
    for (size_t i = table.n; i-- > 0;) {
        struct entry *e = &table.v[i];
        if (e->instance)
            continue;
        if (e->addr.ss_family == AF_UNIX)
            snprintf(text, sizeof text, "%.63s", ((const struct sockaddr_un *)(const void *)&e->addr)->sun_path);
        else
            conn_format_address((const struct sockaddr *)&e->addr, false, text);
        told(ctx, text);
        close(e->fd);
        remove_entry(e);
    }
    pthread_mutex_unlock(&table.lock);
}

static ino_t inode_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Duplicates of one socket count once. */
static bool told_before(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (inode_of(table.v[k].fd) == inode_of(table.v[i].fd))
            return true;
    return false;
}

size_t listen_sockets_dup(int *fds, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&table.lock);
    for (size_t i = 0; i < table.n && n < max; i++) {
        int fd = told_before(i) ? -1 : dup(table.v[i].fd);
        if (fd >= 0)
            fds[n++] = fd;
    }
    pthread_mutex_unlock(&table.lock);
    return n;
}

void listen_sockets_have_successor(bool yes)
{
    pthread_mutex_lock(&table.lock);
    table.handed_on = yes;
    pthread_mutex_unlock(&table.lock);
}

bool listen_sockets_handed_on(void)
{
    pthread_mutex_lock(&table.lock);
    bool yes = table.handed_on;
    pthread_mutex_unlock(&table.lock);
    return yes;
}
