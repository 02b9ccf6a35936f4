/* SPDX-License-Identifier: Apache-2.0 */
/*
 * basicauth as a server, on one worker.
 *
 *   header -> seen before? -> user and password -> hash is quick: compare
 *                                              -> hash is slow: the thread, then done()
 *
 * bcrypt takes 50 ms and more on purpose. So credentials that were looked at are remembered, good ones
 * and bad ones apart, by a keyed digest (HMAC-SHA-256) of the header: a client's second request costs a
 * microsecond, and guessing cannot push good ones out. Requests that show the same while the thread is
 * at it share one job.
 * Limits: BASIC_GOOD and BASIC_BAD entries a door, BASIC_MAX_JOBS jobs in all: more are told to come
 * again. Users who do not exist cost as much as those who do.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "extensions/basicauth.h"
#include "net/grpc.h"
#include "platform/hash.h"
#include "platform/hmac.h"

struct seen {
    uint8_t digest[32];
    uint64_t used; /* 0: free */
    struct auth_data *data; /* good ones */
};

struct basic_door {
    struct auth_door base;
    struct basic *b;
    struct loop *loop;
    struct box_view view;
    struct hmac_sha256_key key;
    uint64_t clock;
    struct seen *good, *bad; /* NULL: none yet */
    struct list jobs;
};

struct basic_job {
    struct auth_job base;
    struct basic_door *door; /* NULL: closed */
    struct list node;
    struct list checks;
    uint8_t digest[32];
    uint64_t epoch; /* of the users it was looked up in */
    char *user, *password, *hash, *raw;
    bool known, matches;
};

static const char invalid[] = "invalid credentials";

static struct basic_door *door_of(const struct auth_door *d)
{
    return CONTAINER_OF(d, struct basic_door, base);
}

/* ---- what was seen ---- */

static struct seen *set_of(struct seen *table, unsigned entries, const uint8_t digest[32])
{
    uint32_t h;

    memcpy(&h, digest, sizeof(h));
    return table + h % (entries / BASIC_WAYS) * BASIC_WAYS;
}

static struct seen *find_seen(struct basic_door *d, struct seen *table, unsigned entries, const uint8_t digest[32])
{
    struct seen *set = table ? set_of(table, entries, digest) : NULL;

    for (unsigned i = 0; set && i < BASIC_WAYS; i++)
        if (set[i].used && memcmp(set[i].digest, digest, 32) == 0) {
            set[i].used = ++d->clock;
            return &set[i];
        }
    return NULL;
}

/* data NULL: refused. Takes it. */
static void remember(struct basic_door *d, const uint8_t digest[32], struct auth_data *data)
{
    struct seen **table = data ? &d->good : &d->bad, *oldest;
    unsigned entries = data ? BASIC_GOOD : BASIC_BAD;

    if (!*table)
        *table = mem_alloc_array(entries, sizeof(**table));
    oldest = set_of(*table, entries, digest);
    for (struct seen *s = oldest, *end = oldest + BASIC_WAYS; s < end; s++)
        if (s->used < oldest->used)
            oldest = s;
    auth_data_unref(&oldest->data);
    memcpy(oldest->digest, digest, 32);
    oldest->data = data;
    oldest->used = ++d->clock;
}

static void forget_all(struct basic_door *d)
{
    for (unsigned i = 0; d->good && i < BASIC_GOOD; i++)
        auth_data_unref(&d->good[i].data);
    free(d->good);
    free(d->bad);
    d->good = d->bad = NULL;
}

/* raw: the header without its scheme, as the Collector has it. */
static struct auth_data *data_of(const char *user, const char *raw)
{
    struct auth_data *data = auth_data_new(2);

    data->v[0] = (struct auth_attribute){mem_dup("username"), mem_dup(user)};
    data->v[1] = (struct auth_attribute){mem_dup("raw"), mem_dup(raw + 6)};
    return data;
}

/* ---- jobs ---- */

static void job_free(struct auth_job *base)
{
    struct basic_job *j = CONTAINER_OF(base, struct basic_job, base);

    secret_free(&j->password);
    secret_free(&j->hash);
    secret_free(&j->raw);
    free(j->user);
    free(j);
}

static void job_work(struct auth_job *base)
{
    struct basic_job *j = CONTAINER_OF(base, struct basic_job, base);

    j->matches = htpasswd_matches(j->hash, j->password) && j->known;
}

static void settle(struct auth_check *k, struct auth_data *data)
{
    k->verdict = data ? AUTH_OK : AUTH_REFUSED;
    k->text = invalid;
    k->data = auth_data_ref(data);
}

static void job_done(struct auth_job *base)
{
    struct basic_job *j = CONTAINER_OF(base, struct basic_job, base);
    struct auth_data *data = j->door && j->matches ? data_of(j->user, j->raw) : NULL;

    if (j->door) {
        list_del(&j->node);
        if (j->epoch == j->door->view.epoch)
            remember(j->door, j->digest, auth_data_ref(data));
    }
    while (j->door && !list_empty(&j->checks)) {
        struct auth_check *k = CONTAINER_OF(list_pop(&j->checks), struct auth_check, node);

        k->job = NULL;
        settle(k, data);
        k->done(k);
    }
    auth_data_unref(&data);
    job_free(base);
}

static struct basic_job *job_of(struct basic_door *d, const uint8_t digest[32])
{
    for (struct list *at = d->jobs.next; at != &d->jobs; at = at->next) {
        struct basic_job *j = CONTAINER_OF(at, struct basic_job, node);

        if (memcmp(j->digest, digest, 32) == 0 && j->epoch == d->view.epoch)
            return j;
    }
    return NULL;
}

static struct basic_job *job_new(struct basic_door *d, const uint8_t digest[32], const char *hash, bool known,
                                 const char *user, const char *password, struct slice raw)
{
    struct basic_job *j = mem_alloc(sizeof(*j));

    j->base = (struct auth_job){.loop = d->loop, .work = job_work, .done = job_done, .free = job_free};
    j->door = d;
    j->epoch = d->view.epoch;
    memcpy(j->digest, digest, 32);
    j->user = mem_dup(user);
    j->password = mem_dup(password);
    j->hash = mem_dup(hash);
    j->raw = mem_dup_n((const char *)raw.p, raw.len);
    j->known = known;
    list_init(&j->checks);
    list_init(&j->node);
    list_init(&j->base.node);
    if (!auth_thread_submit(d->b->thread, &j->base)) {
        job_free(&j->base);
        return NULL;
    }
    list_add_tail(&d->jobs, &j->node);
    return j;
}

static void wait_for(struct basic_job *j, struct auth_check *k)
{
    if (!j) {
        k->verdict = AUTH_REFUSED;
        k->busy = true;
        k->text = "too many credentials to look at";
        return;
    }
    k->verdict = AUTH_LATER;
    k->job = j;
    list_add_tail(&j->checks, &k->node);
}

/* ---- checks ---- */

static void look_up(struct basic_door *d, const uint8_t digest[32], const char *user, const char *password,
                    struct slice raw, struct auth_check *k)
{
    const struct basic_users *users = CONTAINER_OF(d->view.seen, struct basic_users, base);
    struct basic_job *j = job_of(d, digest);
    struct auth_data *data = NULL;
    const char *hash;
    bool known;

    if (j) {
        wait_for(j, k);
        return;
    }
    hash = htpasswd_find(users->h, user, &known);
    if (htpasswd_is_slow(hash)) {
        wait_for(job_new(d, digest, hash, known, user, password, raw), k);
        return;
    }
    if (htpasswd_matches(hash, password) && known) {
        char *text = mem_dup_n((const char *)raw.p, raw.len);
        data = data_of(user, text);
        secret_free(&text);
    }
    settle(k, data);
    remember(d, digest, data);
}

/* "user:password", without NULs; false: it is something else. */
static bool decode(struct slice value, struct buf *out, char **password)
{
    if (base64_decode(out, value) != 0 || (out->len && memchr(out->p, '\0', out->len)))
        return false;
    buf_putc(out, '\0');
    *password = strchr((char *)out->p, ':');
    if (!*password)
        return false;
    *(*password)++ = '\0';
    return true;
}

static void refuse(struct auth_check *k, const char *text)
{
    k->verdict = AUTH_REFUSED;
    k->text = text;
}

static void check_new(struct basic_door *d, const uint8_t digest[32], struct slice value, struct auth_check *k)
{
    struct buf text = {0};
    char *password;

    if (decode(slice_of(value.p + 6, value.len - 6), &text, &password))
        look_up(d, digest, (const char *)text.p, password, value, k);
    else
        refuse(k, "invalid authorization format");
    if (text.cap)
        explicit_bzero(text.p, text.cap);
    buf_free(&text);
}

static void door_check(struct auth_door *base, struct slice value, struct auth_check *k)
{
    struct basic_door *d = door_of(base);
    const struct seen *s;
    uint8_t digest[32];

    if (box_look(&d->b->box, &d->view))
        forget_all(d);
    if (!value.len) {
        refuse(k, "no basic auth provided");
        return;
    }
    if (value.len < 6 || strncasecmp((const char *)value.p, "Basic ", 6) != 0) {
        refuse(k, "invalid authorization scheme prefix");
        return;
    }
    if (value.len > BASIC_MAX_VALUE) {
        refuse(k, "invalid authorization format");
        return;
    }
    hmac_sha256(&d->key, value.p, value.len, digest);
    if ((s = find_seen(d, d->good, BASIC_GOOD, digest)))
        settle(k, s->data);
    else if (find_seen(d, d->bad, BASIC_BAD, digest))
        settle(k, NULL);
    else
        check_new(d, digest, value, k);
}

static void door_forget(struct auth_door *d, struct auth_check *k)
{
    (void)d;
    list_del(&k->node);
    k->job = NULL;
}

/* ---- life ---- */

static struct auth_door *door_open(struct component *c, struct host *user)
{
    struct basic_door *d = mem_alloc(sizeof(*d));
    uint8_t key[32];

    d->base.ops = &basic_server_ops;
    d->b = basic_of(c);
    d->loop = user->loop;
    list_init(&d->jobs);
    random_secure(key, sizeof(key));
    hmac_sha256_init(&d->key, key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return &d->base;
}

static void door_close(struct auth_door **dp)
{
    struct basic_door *d = door_of(*dp);

    *dp = NULL;
    while (!list_empty(&d->jobs)) {
        struct basic_job *j = CONTAINER_OF(list_pop(&d->jobs), struct basic_job, node);

        CHECK(list_empty(&j->checks));
        j->door = NULL; /* only done(), on the loop that stands still, reads it */
        (void)auth_thread_forget(d->b->thread, &j->base);
    }
    forget_all(d);
    box_view_close(&d->view);
    explicit_bzero(&d->key, sizeof(d->key));
    free(d);
}

static const char *door_header(const struct auth_door *d)
{
    (void)d;
    return "authorization";
}

static const char *door_challenge(const struct auth_door *d)
{
    (void)d;
    return "Basic realm=\"tailrace\"";
}

const struct auth_server_ops basic_server_ops = {
    .open = door_open,
    .close = door_close,
    .header = door_header,
    .challenge = door_challenge,
    .check = door_check,
    .forget = door_forget,
};
