/* SPDX-License-Identifier: Apache-2.0 */
/* Every table of every component: rows that a reader can use, defaults that decode and lie in their
 * own range. */
#include <check.h>
#include <ctype.h>
#include <stdlib.h>

#include "cmd/settings_value.h"
#include "config/decode.h"
#include "config/describe.h"
#include "config/telemetry.h"
#include "config/yaml.h"
#include "pipeline/registry.h"

static const char *where; /* for messages */

static void check_text(const struct key *k)
{
    size_t n = k->doc ? strlen(k->doc) : 0;
    ck_assert_msg(n > 3, "%s.%s has no sentence", where, k->name);
    ck_assert_msg(k->doc[n - 1] == '.', "%s.%s: the sentence does not end: %s", where, k->name,
                  k->doc);
    ck_assert_msg(!strchr(k->doc, '\n'), "%s.%s: the sentence has lines", where, k->name);
}

static void check_shape(const struct key *k)
{
    ck_assert_msg((k->type == KEY_T_ENUM) == (k->choices != NULL), "%s.%s: choices", where,
                  k->name);
    ck_assert_msg((k->type == KEY_T_SECTION || k->type == KEY_T_LIST) == (k->sub != NULL),
                  "%s.%s: sub-table", where, k->name);
    ck_assert_msg(k->type != KEY_T_LIST || k->sub_size > 0, "%s.%s: size of an element", where,
                  k->name);
    ck_assert_msg(!k->required || !k->dflt || !k->dflt[0], "%s.%s: required, with a default", where,
                  k->name);
    ck_assert_msg(!strstr(k->name, "::") && k->name[0], "%s.%s: a name that cannot be written",
                  where, k->name);
}

static void check_names(const struct key *keys)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++)
        for (const struct key *o = keys; o != k; o++)
            ck_assert_msg(strcmp(o->name, k->name) != 0, "%s has %s twice", where, k->name);
}

static void check_table(const struct key *keys, unsigned level)
{
    ck_assert_uint_lt(level, 10);
    check_names(keys);
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        check_text(k);
        check_shape(k);
        if (k->sub)
            check_table(k->sub, level + 1);
    }
}

/* Each default, written into a file, is accepted without a word: it decodes and is in range. */
static void check_defaults(const struct decoder *d, const struct key *keys)
{
    for (const struct key *k = keys; k->type != KEY_T_END; k++) {
        if (k->sub)
            check_defaults(d, k->sub);
        if (!k->dflt || k->sub || k->required)
            continue;
        struct key alone[] = {*k, KEY_END};
        struct pos at = {"table", 1, 1, NULL};
        struct node *string = node_new(d->arena, NODE_STR, at);
        void *to = arena_alloc(d->arena, 65536);
        bool text = (k->type == KEY_T_STR || k->type == KEY_T_ENUM || k->type == KEY_T_SECRET) &&
                    k->dflt[0] != '"';
        string->text = k->dflt;
        const struct node *n =
            text ? string : yaml_parse(d->arena, &at, true, slice_str(k->dflt), NULL);
        ck_assert_msg(n != NULL, "%s.%s: its default is not YAML: %s", where, k->name, k->dflt);
        struct entry e = {k->name, at, n};
        decode_struct(d, NULL, at, alone, node_map(d->arena, at, &e, 1), to);
        ck_assert_msg(d->diags->n == 0, "%s.%s: its default: %s", where, k->name,
                      d->diags->v[0].text);
    }
}

static void check_keys(const char *name, const struct key *keys, size_t size)
{
    struct decoder d = {arena_new(), diags_new(), NULL, keys};
    where = name;
    check_table(keys, 0);
    check_defaults(&d, keys);
    void *settings = arena_alloc(d.arena, size + 1);
    decode_struct(&d, NULL, (struct pos){0}, keys, NULL, settings);
    for (size_t i = 0; i < d.diags->n; i++)
        ck_assert_msg(strstr(d.diags->v[i].text, "required") != NULL, "%s: defaults: %s: %s", name,
                      d.diags->v[i].path, d.diags->v[i].text);
    /* and they can be printed again */
    ck_assert_int_eq(settings_value(d.arena, keys, settings, true).type, VALUE_MAP);
    diags_free(&d.diags);
    arena_free(&d.arena);
}

START_TEST(test_component)
{
    const struct component_type *t = registry[_i];
    static const struct key none[] = {KEY_END};
    ck_assert_ptr_nonnull(t->name);
    ck_assert_msg(t->summary && t->summary[strlen(t->summary) - 1] == '.', "%s: summary", t->name);
    ck_assert_msg(t->stability && islower((unsigned char)t->stability[0]), "%s: stability",
                  t->name);
    check_keys(t->name, t->keys ? t->keys : none, t->settings_size);
    for (size_t i = 0; i < registry_len; i++)
        ck_assert_msg(registry[i] == t || registry[i]->kind != t->kind ||
                          strcmp(registry[i]->name, t->name) != 0,
                      "%s is there twice", t->name);
}
END_TEST

START_TEST(test_telemetry)
{
    check_keys("telemetry", telemetry_keys, telemetry_settings_size);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("registry");
    Suite *s = suite_create("config_registry");
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, test_component, 0, (int)registry_len);
    tcase_add_test(tc, test_telemetry);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
