/* SPDX-License-Identifier: Apache-2.0 */
/* Extensions for the fake host: see test_host.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "component/storage.h"
#include "tests/lib/test_host.h"

struct test_storage {
    struct component base;
    char *dir;
    uint64_t max_bytes;
};

/* "dir/kind_id_pipeline", with nothing in the names that a path would understand. */
static int storage_place(struct component *c, const struct storage_owner *o, struct storage_place *out,
                         struct err *err)
{
    struct test_storage *s = CONTAINER_OF(c, struct test_storage, base);
    size_t n = strlen(s->dir) + 1;
    int len = snprintf(out->dir, sizeof(out->dir), "%s/%s_%s_%s", s->dir, o->kind, o->id, o->pipeline ? o->pipeline : "");

    CHECK(len > 0 && (size_t)len < sizeof(out->dir));
    for (char *p = out->dir + n; *p; p++)
        if (*p == '/')
            *p = '~';
    out->fsync = false;
    out->max_bytes = s->max_bytes;
    if (mkdir(out->dir, 0700) < 0 && errno != EEXIST)
        return err_set(err, "%s: %s", out->dir, strerror(errno));
    return 0;
}

static const struct storage_ops storage_ops = {.open = storage_place};

static const struct component_type storage_type = {
    .kind = EXTENSION,
    .name = "test_storage",
    .stability = "alpha",
    .summary = "A storage for tests.",
    .storage = &storage_ops,
};

static struct test_extension *slot(struct test_host *t, const char *id)
{
    struct test_host *first = t->peers[0];

    CHECK(first->n_extensions < ARRAY_LEN(first->extensions));
    first->extensions[first->n_extensions].id = id;
    return &first->extensions[first->n_extensions++];
}

void th_extension(struct test_host *t, const char *id, struct component *c)
{
    slot(t, id)->c = c;
}

void th_storage(struct test_host *t, const char *id, const char *dir, uint64_t max_bytes)
{
    struct test_storage *s = mem_alloc(sizeof(*s));
    struct test_extension *e = slot(t, id);

    *s = (struct test_storage){{&storage_type, &t->host}, mem_dup(dir), max_bytes};
    e->c = &s->base;
    e->own = s;
}

struct component *th_find_extension(const struct host *h, const char *id)
{
    const struct test_host *first = CONTAINER_OF(h, struct test_host, host)->peers[0];

    for (size_t i = 0; i < first->n_extensions; i++)
        if (strcmp(first->extensions[i].id, id) == 0)
            return first->extensions[i].c;
    return NULL;
}

void th_free_extensions(struct test_host *t)
{
    for (size_t i = 0; i < t->n_extensions; i++) {
        if (t->extensions[i].own)
            free(t->extensions[i].own->dir);
        free(t->extensions[i].own);
    }
}
