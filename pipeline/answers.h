/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several answers made into one: the worst wins, its code and text with it, the longest pause.
 * Order of badness: OK, RETRY, EXHAUSTED, REJECTED: when one branch can never take the data,
 * sending it again to all of them is of no use. Threads: one worker.
 */
#ifndef TAILRACE_PIPELINE_ANSWERS_H
#define TAILRACE_PIPELINE_ANSWERS_H

#include "model/batch.h"

struct answers {
    unsigned outstanding;
    struct answer_detail worst;      /* text points to text below */
    char text[512];                  /* different texts, joined by "; " */
    void (*done)(struct answers *a); /* all have answered; may free a */
};

/* n answers are to come; n > 0. */
void answers_init(struct answers *a, unsigned n, void (*done)(struct answers *a));
/* One of them; NULL counts as OK. */
void answers_add(struct answers *a, const struct answer_detail *d);
/* A waiter that is one of them. */
struct waiter answers_waiter(struct answers *a);

#endif
