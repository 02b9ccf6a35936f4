/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a component from YAML, by the same decoder and check() that `validate` runs.
 *
 *   struct test_settings s = ts_new(&batch_type, "timeout: 1s");
 *   ck_assert_str_eq(ts_problems(&s), "");
 *   c = th_component(t, &batch_type, s.settings);
 *   ts_free(&s);
 */
#ifndef TAILRACE_TESTS_TEST_SETTINGS_H
#define TAILRACE_TESTS_TEST_SETTINGS_H

#include "component/component.h"

struct test_settings {
    const void *settings;
    char *problems; /* a line for each: "path: text" */
    struct arena *arena;
};

struct test_settings ts_new(const struct component_type *type, const char *yaml);
const char *ts_problems(const struct test_settings *s);
void ts_free(struct test_settings *s);

#endif
