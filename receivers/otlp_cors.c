/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CORS as the Collector's server does it: origins compare without case and may hold one `*`; a
 * preflight that is not allowed gets its 204 without the Allow fields, and the browser draws the
 * conclusion; credentials are always allowed.
 */
#include "receivers/otlp_cors.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static const char *const default_headers[] = {"accept", "content-type", "x-requested-with"};

void otlp_fields_add(struct otlp_fields *f, const char *name, const char *value)
{
    if (f->n < OTLP_MAX_FIELDS)
        f->v[f->n++] = (struct otlp_field){name, value};
}

bool otlp_cors_on(const struct otlp_http_settings *set)
{
    return set->cors_enabled && set->cors.allowed_origins.n > 0;
}

static bool matches(const char *pattern, const char *origin)
{
    const char *star = strchr(pattern, '*');
    size_t n = strlen(origin);

    if (!star)
        return strcasecmp(pattern, origin) == 0;
    size_t head = (size_t)(star - pattern), tail = strlen(star + 1);
    return n >= head + tail && strncasecmp(pattern, origin, head) == 0 &&
           strcasecmp(star + 1, origin + n - tail) == 0;
}

static bool origin_allowed(const struct otlp_cors *cors, const char *origin)
{
    for (size_t i = 0; origin && i < cors->allowed_origins.n; i++)
        if (matches(cors->allowed_origins.v[i], origin))
            return true;
    return false;
}

static bool any_origin(const struct otlp_cors *cors)
{
    for (size_t i = 0; i < cors->allowed_origins.n; i++)
        if (strcmp(cors->allowed_origins.v[i], "*") == 0)
            return true;
    return false;
}

static bool header_allowed(const struct otlp_cors *cors, const char *name, size_t len)
{
    for (size_t i = 0; i < cors->allowed_headers.n; i++)
        if (strcmp(cors->allowed_headers.v[i], "*") == 0 ||
            (strlen(cors->allowed_headers.v[i]) == len &&
             strncasecmp(cors->allowed_headers.v[i], name, len) == 0))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(default_headers); i++)
        if (strlen(default_headers[i]) == len && strncasecmp(default_headers[i], name, len) == 0)
            return true;
    return len == 6 && strncasecmp("origin", name, len) == 0;
}

static bool headers_allowed(const struct otlp_cors *cors, const char *list)
{
    while (list && *list) {
        list += strspn(list, ", \t");
        size_t n = strcspn(list, ", \t");
        if (n && !header_allowed(cors, list, n))
            return false;
        list += n;
    }
    return true;
}

static bool method_allowed(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "POST") == 0 || strcmp(method, "HEAD") == 0;
}

static void allow_origin(const struct otlp_cors *cors, const char *origin, struct otlp_fields *out,
                         struct arena *a)
{
    otlp_fields_add(out, "access-control-allow-origin",
                    any_origin(cors) ? "*" : arena_dup_n(a, origin, strlen(origin)));
}

void otlp_cors_preflight(const struct otlp_cors *cors, const char *origin, const char *method,
                         const char *headers, struct otlp_fields *out, struct arena *a)
{
    otlp_fields_add(out, "vary",
                    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    if (!method || !origin_allowed(cors, origin) || !method_allowed(method) ||
        !headers_allowed(cors, headers))
        return;
    allow_origin(cors, origin, out, a);
    otlp_fields_add(out, "access-control-allow-methods", arena_dup_n(a, method, strlen(method)));
    if (headers && *headers)
        otlp_fields_add(out, "access-control-allow-headers",
                        arena_dup_n(a, headers, strlen(headers)));
    otlp_fields_add(out, "access-control-allow-credentials", "true");
    if (cors->max_age > 0)
        otlp_fields_add(out, "access-control-max-age",
                        arena_printf(a, "%lld", (long long)cors->max_age));
}

static const char *joined(const struct str_list *l, struct arena *a)
{
    const char *text = l->v[0];

    for (size_t i = 1; i < l->n; i++)
        text = arena_printf(a, "%s, %s", text, l->v[i]);
    return text;
}

void otlp_cors_actual(const struct otlp_cors *cors, const char *origin, struct otlp_fields *out,
                      struct arena *a)
{
    otlp_fields_add(out, "vary", "Origin");
    if (!origin_allowed(cors, origin))
        return;
    allow_origin(cors, origin, out, a);
    otlp_fields_add(out, "access-control-allow-credentials", "true");
    if (cors->exposed_headers.n > 0)
        otlp_fields_add(out, "access-control-expose-headers", joined(&cors->exposed_headers, a));
}
