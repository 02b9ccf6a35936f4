/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an extension can do for other components, and how they get at it:
 *
 *   the row      KEY_EXTENSION(struct my_settings, storage, EXT_STORAGE, "...")  in the key table;
 *                loading checks that the id is configured, runs, and provides this
 *   the call     host_extension(host, settings->storage)                         in create or start
 *   the thing    c->type->storage                                                an interface struct
 *
 * An extension provides a thing when its type has the interface, and, if its type has provides(),
 * these settings bring it.
 *
 * Threads: extensions are made and started on main before what names them, and destroyed after it.
 * What they offer is called by workers, several at a time: the interface says which calls.
 */
#ifndef TAILRACE_COMPONENT_EXTENSION_H
#define TAILRACE_COMPONENT_EXTENSION_H

struct component_type;

enum {
    EXT_STORAGE = 1,     /* component/storage.h */
    EXT_AUTH_SERVER = 2, /* component/auth.h */
    EXT_AUTH_CLIENT = 4,
};

/* "storage": in messages and the reference. `provides` is one bit. */
const char *extension_thing(unsigned provides);

/* The bits of what this type, with these settings, provides. settings NULL: at most. */
unsigned extension_provides(const struct component_type *t, const void *settings);

#endif
