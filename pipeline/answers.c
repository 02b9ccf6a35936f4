/* SPDX-License-Identifier: Apache-2.0 */
/* Joined answers: see answers.h. Texts are copied, as a text lives only during the call that brings
 * it; past 512 bytes they are cut. Threads: one worker. */
#include "pipeline/answers.h"

#include <stdio.h>

void answers_init(struct answers *a, unsigned n, void (*done)(struct answers *a))
{
    CHECK(n > 0);
    a->outstanding = n;
    a->worst = (struct answer_detail){.answer = ANSWER_OK};
    a->text[0] = '\0';
    a->done = done;
}

static void add_text(struct answers *a, const char *text)
{
    size_t len = strlen(a->text);

    if (!text || !*text || strstr(a->text, text))
        return;
    snprintf(a->text + len, sizeof(a->text) - len, "%s%s", len ? "; " : "", text);
}

static void add_failure(struct answers *a, const struct answer_detail *d)
{
    uint64_t pause = a->worst.retry_after_ms;

    if (d->retry_after_ms > pause)
        pause = d->retry_after_ms;
    if (d->answer > a->worst.answer)
        a->worst = *d;
    a->worst.retry_after_ms = pause;
    add_text(a, d->text);
    a->worst.text = a->text[0] ? a->text : NULL;
}

void answers_add(struct answers *a, const struct answer_detail *d)
{
    CHECK(a->outstanding > 0);
    if (d && d->answer != ANSWER_OK)
        add_failure(a, d);
    if (--a->outstanding == 0)
        a->done(a);
}

static void on_answer(void *ctx, const struct answer_detail *d)
{
    answers_add(ctx, d);
}

struct waiter answers_waiter(struct answers *a)
{
    return (struct waiter){on_answer, a};
}
