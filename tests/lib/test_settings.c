/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to settings: see test_settings.h. */
#include "tests/lib/test_settings.h"

#include <stdlib.h>

#include "config/check.h"
#include "config/decode.h"
#include "config/yaml.h"

static char *all_problems(const struct diags *d)
{
    struct buf out = {0};

    for (size_t i = 0; i < d->n; i++) {
        diag_print(&d->v[i], &out);
        if (out.len && out.p[out.len - 1] != '\n')
            buf_putc(&out, '\n');
    }
    buf_putc(&out, '\0');
    return (char *)out.p;
}

struct test_settings ts_new(const struct component_type *type, const char *yaml)
{
    struct test_settings s = {.arena = arena_new()};
    struct diags *diags = diags_new();
    struct pos at = {.file = "test.yaml", .line = 1, .col = 1};
    const struct node *n = yaml_parse(s.arena, &at, false, slice_str(yaml), diags);
    struct decoder d = {.arena = s.arena, .diags = diags, .whole = type->keys};
    struct path path = {.name = type->name};
    void *settings = arena_alloc(s.arena, type->settings_size);
    struct check check = {.diags = diags, .root = n, .at = at, .prefix = type->name, .keys = type->keys};

    decode_struct(&d, &path, at, type->keys, n, settings);
    if (type->check)
        type->check(settings, &check);
    s.settings = settings;
    s.problems = all_problems(diags);
    diags_free(&diags);
    return s;
}

const char *ts_problems(const struct test_settings *s)
{
    return s->problems;
}

void ts_free(struct test_settings *s)
{
    free(s->problems);
    arena_free(&s->arena);
}
