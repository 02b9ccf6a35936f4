/* SPDX-License-Identifier: Apache-2.0 */
/* Key rows in words: see describe.h. */
#include "config/describe.h"

#include <math.h>

#include "component/extension.h"
#include "config/scalar.h"

const char *key_type_name(const struct key *k)
{
    static const char *const names[] = {
        [KEY_T_BOOL] = "true or false",
        [KEY_T_INT] = "integer",
        [KEY_T_UINT] = "integer",
        [KEY_T_DOUBLE] = "number",
        [KEY_T_DURATION] = "duration",
        [KEY_T_STR] = "string",
        [KEY_T_ENUM] = "string",
        [KEY_T_SECRET] = "secret",
        [KEY_T_STRS] = "list of strings",
        [KEY_T_PAIRS] = "map of strings",
        [KEY_T_SECTION] = "section",
        [KEY_T_LIST] = "list of maps",
        [KEY_T_VALUE] = "any value",
        [KEY_T_EXTENSION] = "extension id",
        [KEY_T_IGNORED] = "ignored",
        [KEY_T_NOT_YET] = "not supported yet",
        [KEY_T_END] = "",
    };
    return names[k->type];
}

void key_put_number(struct buf *out, const struct key *k, double v)
{
    if (k->type == KEY_T_DURATION) {
        struct buf text = {0};
        duration_print(&text, v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN + 1 : (int64_t)v);
        /* "1h0m0s" reads better as "1h" */
        while (text.len > 2 &&
               (memcmp(text.p + text.len - 2, "0s", 2) == 0 ||
                memcmp(text.p + text.len - 2, "0m", 2) == 0) &&
               (text.p[text.len - 3] == 'm' || text.p[text.len - 3] == 'h'))
            text.len -= 2;
        buf_put(out, text.p, text.len);
        buf_free(&text);
    } else if (v == floor(v) && fabs(v) < 1e15) {
        buf_putf(out, "%.0f", v);
    } else {
        buf_putf(out, "%.6g", v);
    }
}

static void put_choices(struct buf *out, const struct key *k)
{
    buf_puts(out, "one of: ");
    for (size_t i = 0; k->choices[i]; i++)
        buf_putf(out, "%s%s", i ? ", " : "", k->choices[i][0] ? k->choices[i] : "\"\"");
}

/* Bounds beyond these say nothing to a reader. */
static bool has_min(const struct key *k)
{
    return k->min <= k->max && k->min > -1e18;
}

static bool has_max(const struct key *k)
{
    return k->min <= k->max && k->max < (k->type == KEY_T_DURATION ? 9e17 : 1e18);
}

void key_put_range(struct buf *out, const struct key *k)
{
    if (k->type == KEY_T_EXTENSION) {
        buf_putf(out, "of one that provides %s", extension_thing(k->provides));
    } else if (k->choices) {
        put_choices(out, k);
    } else if (has_min(k) && has_max(k)) {
        key_put_number(out, k, k->min);
        buf_puts(out, " to ");
        key_put_number(out, k, k->max);
    } else if (has_min(k) || has_max(k)) {
        buf_puts(out, has_min(k) ? "at least " : "at most ");
        key_put_number(out, k, has_min(k) ? k->min : k->max);
    }
}

void key_put_line(struct buf *out, const struct key *k)
{
    struct buf range = {0};
    buf_putf(out, "%s: %s", k->name, key_type_name(k));
    if (k->required)
        buf_puts(out, ", required");
    if (k->dflt && k->dflt[0])
        buf_putf(out, ", default %s", k->dflt);
    if (k->unit)
        buf_putf(out, ", %s", k->unit);
    key_put_range(&range, k);
    if (range.len) {
        buf_puts(out, ", ");
        buf_put(out, range.p, range.len);
    }
    buf_putf(out, ". %s", k->doc ? k->doc : "");
    buf_free(&range);
}
