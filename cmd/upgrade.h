/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets from whoever started us, and a successor that takes them. Main thread. */
#ifndef TAILRACE_CMD_UPGRADE_H
#define TAILRACE_CMD_UPGRADE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "platform/err.h"
#include "platform/log.h"
#include "platform/loop.h"

/* What the environment of this process says, once; the variables are gone afterwards. */
struct inheritance {
    size_t n_sockets;
    pid_t predecessor; /* it waits for upgrade_dismiss(); 0: none */
};
void inheritance_take(struct inheritance *in);
/* Tells the predecessor to stop. */
void inheritance_dismiss(struct inheritance *in);
/* The same, and waits until it has ended: it holds what two processes cannot have (files). */
void inheritance_wait(struct inheritance *in);

/* Starts a successor on SIGUSR2, and hears when it ends before its time. argv: this process's, kept. */
struct upgrade;
struct upgrade *upgrade_new(struct loop *l, const struct log *log, char *const *argv) MUST_USE;
void upgrade_free(struct upgrade **u); /* fine on NULL */
/* The same program, maybe a newer file of it, with our arguments and sockets. -1 with err: there is none. */
int upgrade_start(struct upgrade *u, struct err *err) MUST_USE;

/* A datagram to the supervisor (sd_notify(3)): "READY=1". Nothing when it does not listen. */
void supervisor_tell(const char *state);

#endif
