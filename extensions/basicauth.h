/* SPDX-License-Identifier: Apache-2.0 */
/* basicauth's settings and its two sides, for its own files. */
#ifndef TAILRACE_EXTENSIONS_BASICAUTH_H
#define TAILRACE_EXTENSIONS_BASICAUTH_H

#include "component/auth.h"
#include "component/component.h"
#include "extensions/auth_thread.h"
#include "extensions/box.h"
#include "extensions/htpasswd.h"
#include "extensions/secret_file.h"

#define BASIC_MAX_JOBS  64u /* passwords that wait for the thread, of all workers */
#define BASIC_MAX_VALUE 2048u
#define BASIC_WAYS      4u
#define BASIC_GOOD      512u /* verified credentials that a door remembers */
#define BASIC_BAD       256u /* and refused ones */

struct basic_settings {
    bool htpasswd_enabled, client_auth_enabled;
    struct basic_htpasswd {
        const char *file, *inline_;
    } htpasswd;
    struct basic_client {
        const char *username, *password, *username_file, *password_file;
    } client_auth;
};

struct basic_users {
    struct boxed base;
    struct htpasswd *h;
};

struct basic_header {
    struct boxed base;
    char *value; /* "Basic ..." */
};

struct basic {
    struct component base;
    const struct basic_settings *set;
    struct box box; /* basic_users or basic_header */
    struct secret_file *files[2];
    struct auth_thread *thread;
};

extern const struct auth_server_ops basic_server_ops;

static inline struct basic *basic_of(const struct component *c)
{
    return CONTAINER_OF(c, struct basic, base);
}

#endif
