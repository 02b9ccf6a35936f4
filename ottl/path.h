/* SPDX-License-Identifier: Apache-2.0 */
/* Names of contexts and of what is in them. */
#ifndef TAILRACE_OTTL_PATH_H
#define TAILRACE_OTTL_PATH_H

#include "ottl/ast.h"
#include "ottl/ottl.h"
#include "ottl/program.h"

const char *context_name(enum ottl_context c);
/* Is it one word that is no path, as of who forgot the quotes? */
bool path_is_word(const struct compiler *k, const struct ast *a);
/* What reading it always gives; OTTL_ABSENT: that depends. */
enum ottl_type path_type(const struct node *n);
/* path_otelcol.c: otelcol.something */
bool path_is_otelcol(const struct ast *path);
struct node *compile_otelcol(struct compiler *k, const struct ast *a) MUST_USE;
set_fn set_read_only;

/* Does the path begin with a context's name? */
bool path_prefix(const struct ast *path, enum ottl_context *context);

#define SPAN_KINDS 6
extern const char *const kind_names[SPAN_KINDS], *const kind_deprecated_names[SPAN_KINDS];

/* path_get.c */
node_fn get_attribute, get_attributes, get_cache, get_string, get_uint32, get_schema_url, get_name,
    get_trace_id, get_span_id, get_parent, get_trace_id_string, get_span_id_string,
    get_parent_string, get_kind, get_kind_string, get_kind_deprecated, get_start_ns, get_end_ns,
    get_start, get_end, get_status, get_status_code, get_status_message, get_events, get_links,
    get_flags, get_event_ns, get_event_time, get_event_index, get_trace_state, get_trace_state_key;
struct span_fields *span_fields(struct ottl_eval *e); /* the span's plain fields */
int32_t status_code(struct ottl_eval *e);

/* path_set.c, path_put.c */
/* False, with the error set, when the value is of another type. */
bool expect_type(struct ottl_eval *e, const struct ottl_value *v, enum ottl_type type);
set_fn set_string, set_uint32, set_schema_url, set_name, set_kind, set_kind_string,
    set_kind_deprecated, set_flags, set_events, set_links, set_event_index, set_trace_id,
    set_span_id, set_parent, set_trace_id_string, set_span_id_string, set_parent_string,
    set_start_ns, set_end_ns, set_start, set_end, set_event_ns, set_event_time, set_status,
    set_status_code, set_status_message, set_trace_state, set_attributes;

/* A member of a W3C tracestate: nil when the whole cannot be read, "" when it is not there. */
struct ottl_value trace_state_get(struct slice trace_state, struct slice key);
/* Appends the trace state with the member put in front of it. 0; -1: out is full; -2: it, or the
 * whole, cannot be read. */
int trace_state_put(struct slice trace_state, struct slice key, struct slice value,
                    struct buf *out) MUST_USE;

#endif
