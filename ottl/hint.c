/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Habits from other languages, and what they are here. Names near to one that exists are found by
 * nearest_name() over the tables; these are near to nothing. Threads: any.
 */
#include "ottl/hint.h"

#include <stdio.h>
#include <string.h>

#include "platform/mem.h"

/* The first that the text begins with: signs, and whole words. */
static const struct {
    const char *written, *meant;
    bool sign;
} habits[] = {
    {"&&", "and", true},
    {"||", "or", true},
    {"!", "not", true},
    {"=~", "IsMatch(value, regexp)", true},
    {"=", "==", true},
    {"<>", "!=", true},
    {"'", "\"...\"", true},
    {"`", "\"...\"", true},
    {"^", "\"^...\"", true},
    {"null", "nil", false},
    {"NULL", "nil", false},
    {"Nil", "nil", false},
    {"None", "nil", false},
    {"none", "nil", false},
    {"undefined", "nil", false},
    {"True", "true", false},
    {"TRUE", "true", false},
    {"False", "false", false},
    {"FALSE", "false", false},
    {"AND", "and", false},
    {"OR", "or", false},
    {"NOT", "not", false},
    {"if", "where", false},
    {"when", "where", false},
    {"WHERE", "where", false},
    {"in", "ContainsValue(list, value)", false},
    {"contains", "IsMatch(value, regexp)", false},
    {"matches", "IsMatch(value, regexp)", false},
    {"like", "IsMatch(value, regexp)", false},
    {"s", "Duration(\"1s\")", false},
    {"ms", "Duration(\"1ms\")", false},
    {"duration", "end_time - start_time", false},
};

struct hint hint_near(const char *name)
{
    struct hint h = {.text = ""};

    if (name)
        snprintf(h.text, sizeof(h.text), ", did you mean %s%s%s?", strchr(name, '"') ? "" : "\"",
                 name, strchr(name, '"') ? "" : "\"");
    return h;
}

struct hint hint_of(struct slice written)
{
    for (size_t i = 0; i < ARRAY_LEN(habits); i++) {
        size_t n = strlen(habits[i].written);

        if ((habits[i].sign ? written.len >= n : written.len == n) &&
            memcmp(written.p, habits[i].written, n) == 0)
            return hint_near(habits[i].meant);
    }
    return hint_near(NULL);
}
