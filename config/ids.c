/* SPDX-License-Identifier: Apache-2.0 */
/* Ids: see ids.h. A type is a letter and up to 62 letters, digits and '_'; a name is 1 to 1024
 * bytes without separators, control characters and symbols in Unicode's sense. */
#include "config/ids.h"

#include <ctype.h>
#include <string.h>

#include "platform/regex.h"

static const char *trimmed(struct arena *a, const char *s, size_t len)
{
    while (len && isspace((unsigned char)*s)) {
        s++;
        len--;
    }
    while (len && isspace((unsigned char)s[len - 1]))
        len--;
    return arena_dup_n(a, s, len);
}

static bool type_ok(const char *s)
{
    size_t n = strlen(s);
    if (n > 63 || !isalpha((unsigned char)s[0]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)s[i]) && s[i] != '_')
            return false;
    return true;
}

static bool name_ok(const char *s)
{
    bool ascii = true;
    for (const char *p = s; *p; p++) {
        if (*p & 0x80)
            ascii = false;
        else if (!isgraph((unsigned char)*p) || strchr("$+<=>^`|~", *p))
            return false;
    }
    if (strlen(s) > 1024 || ascii)
        return ascii && strlen(s) <= 1024;
    struct regex *re = regex_new("^[^\\pZ\\pC\\pS]+$", NULL);
    bool ok = re && regex_search(re, slice_str(s), 0, NULL, NULL);
    regex_free(&re);
    return ok;
}

bool id_parse(struct arena *a, const char *text, struct id *id, const char **why)
{
    const char *slash = strchr(text, '/');
    id->type = trimmed(a, text, slash ? (size_t)(slash - text) : strlen(text));
    id->name = slash ? trimmed(a, slash + 1, strlen(slash + 1)) : "";
    *why = NULL;
    if (!slash && !id->type[0])
        *why = "an id must not be empty";
    else if (!id->type[0])
        *why = "the part before the / must not be empty";
    else if (slash && !id->name[0])
        *why = "the part after the / must not be empty";
    else if (!type_ok(id->type))
        *why = "invalid character in the type: a letter, then letters, digits and _ (at most 63)";
    else if (!name_ok(id->name))
        *why = "invalid character in the name: no spaces, control characters or symbols (at most "
               "1024 bytes)";
    id->whole = slash ? arena_printf(a, "%s/%s", id->type, id->name) : id->type;
    return !*why;
}
