/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTTL: conditions over spans, and statements that change them, as the Collector's filter,
 * tail_sampling and transform use them.
 *
 *   program   conditions and statements compiled together; immutable once sealed, shared by all
 * workers eval      one worker's look at one resource, scope, span, event at a time, and its
 * scratch
 *
 *   struct ottl_program *p = ottl_program_new();
 *   int i = ottl_program_add(p, "attributes[\"http.route\"] == \"/health\"", OTTL_SPAN, false,
 * &err); ottl_program_seal(p); struct ottl_eval *e = ottl_eval_new(p);                       one
 * per worker ottl_set_resource(e, ...), ottl_set_scope(e, ...), ottl_set_span(e, span); if
 * (ottl_condition(e, (unsigned)i) == OTTL_TRUE) ...
 *
 * Nothing is unpacked: the first condition that asks for an attribute of a span has the span's
 * bytes walked once for the keys of all conditions in the program. Evaluating allocates nothing,
 * but for texts that do not fit the scratch at hand, which is bounded by OTTL_SCRATCH_BYTES.
 */
#ifndef TAILRACE_OTTL_OTTL_H
#define TAILRACE_OTTL_OTTL_H

#include "model/attr_map.h"
#include "model/payload.h"
#include "platform/err.h"

/* Each sees those before it. */
enum ottl_context { OTTL_RESOURCE, OTTL_SCOPE, OTTL_SPAN, OTTL_SPANEVENT, OTTL_CONTEXTS };

/* What to do when a condition cannot be evaluated. */
enum ottl_error_mode {
    OTTL_IGNORE,    /* log it; the condition does not hold */
    OTTL_SILENT,    /* it does not hold */
    OTTL_PROPAGATE, /* refuse the batch */
};
/* As users write them, in that order, NULL at the end; and back, in any case: -1 for anything else. */
extern const char *const ottl_error_mode_names[];
int ottl_error_mode_of(const char *name);

enum ottl_verdict { OTTL_FALSE, OTTL_TRUE, OTTL_ERROR };

#define OTTL_SCRATCH_BYTES (1 << 20) /* most that one condition may use while it is evaluated */

struct ottl_program;
struct ottl_program *ottl_program_new(void) MUST_USE;
void ottl_program_free(struct ottl_program **p); /* fine on NULL */

/* Its number, from 0 on; -1 with err, which begins with line:column in the text. context: which the
 * paths without a prefix belong to. every_prefix: there are none, as the context was inferred. */
int ottl_program_add(struct ottl_program *p, const char *text, enum ottl_context context,
                     bool every_prefix, struct err *err) MUST_USE;
/* What is strange about the text that was added last, and where; NULL: nothing. Until the next. */
const char *ottl_program_note(const struct ottl_program *p);
void ottl_program_seal(struct ottl_program *p);
unsigned ottl_program_conditions(const struct ottl_program *p);
const char *ottl_condition_text(const struct ottl_program *p, unsigned condition);

/* The same for statements: "set(name, \"x\") where kind == 2". They have numbers of their own. */
int ottl_program_add_statement(struct ottl_program *p, const char *text, enum ottl_context context,
                               bool every_prefix, struct err *err) MUST_USE;
const char *ottl_statement_text(const struct ottl_program *p, unsigned statement);
/* Can it change something of the context's? */
bool ottl_statement_writes(const struct ottl_program *p, unsigned statement,
                           enum ottl_context context);

/* Does it look at, or change, something of the context's? */
bool ottl_condition_reads(const struct ottl_program *p, unsigned condition, enum ottl_context context);
bool ottl_statement_reads(const struct ottl_program *p, unsigned statement, enum ottl_context context);

/* Would it be added? For check(). */
int ottl_check_statement(const char *text, enum ottl_context context, bool every_prefix,
                         struct err *err) MUST_USE;
int ottl_check(const char *text, enum ottl_context context, bool every_prefix,
               struct err *err) MUST_USE;

/* The context that fits all of the conditions: the one that sees everything they name. */
int ottl_infer(const char *const *texts, size_t n, enum ottl_context *context,
               struct err *err) MUST_USE;

int ottl_infer_statements(const char *const *statements, size_t n, const char *const *conditions,
                          size_t n_conditions, enum ottl_context *context,
                          struct err *err) MUST_USE;

/* "span", "spanevent", ... in any case; -1: none. */
int ottl_context_of(const char *name);

struct ottl_eval;
struct ottl_eval *ottl_eval_new(const struct ottl_program *p) MUST_USE;
void ottl_eval_free(struct ottl_eval **e); /* fine on NULL */

/* What is looked at. Setting one forgets nothing of the others. The bytes must stay until it is set
 * anew. A condition is evaluated when all that its context sees has been set. */
void ottl_set_resource(struct ottl_eval *e, struct slice resource_body, struct slice schema_url);
void ottl_set_scope(struct ottl_eval *e, struct slice scope_body, struct slice schema_url);
void ottl_set_span(struct ottl_eval *e, const struct span *s);
void ottl_set_event(struct ottl_eval *e, struct slice event_body);

/* What brought the spans, for the paths otelcol.*; NULL, as at first: nothing is known. It must live
 * until it is set anew or nothing is evaluated any more. */
struct request_info;
void ottl_set_request(struct ottl_eval *e, const struct request_info *info);
/* The attributes of the span just set are read to, or (loaded) have been read to, this map: what it
 * holds counts, not the span's bytes, and what statements write to attributes stays in it. */
void ottl_share_attributes(struct ottl_eval *e, struct attr_map *m, bool loaded);
bool ottl_attributes_loaded(const struct ottl_eval *e);

enum ottl_verdict ottl_condition(struct ottl_eval *e, unsigned condition);
/* Why the latest one was OTTL_ERROR. */
const char *ottl_error(const struct ottl_eval *e);

/*
 * Editing. Statements change what is set; what they write is seen by those that follow and kept
 * until something else is set, for the caller to write where it belongs:
 *
 *   struct ottl_eval *e = ottl_editor_new(p, budget);
 *   ottl_set_span(e, span);
 *   ottl_begin(e);
 *   if (ottl_execute(e, 0) == OTTL_TRUE && ottl_changed(e, OTTL_SPAN))
 *       ottl_new_body(e, OTTL_SPAN, room(ottl_new_size(e, OTTL_SPAN)));
 */
struct ottl_eval *ottl_editor_new(const struct ottl_program *p, struct budget *b) MUST_USE;
/* The cache is empty again. */
void ottl_begin(struct ottl_eval *e);
/* OTTL_TRUE: done; OTTL_FALSE: its condition does not hold. After an error there may be a change.
 */
enum ottl_verdict ottl_execute(struct ottl_eval *e, unsigned statement);
/* The budget refused room at some time: what has been changed since is not to be used. */
bool ottl_no_room(const struct ottl_eval *e);
void ottl_forget_no_room(struct ottl_eval *e);

bool ottl_changed(const struct ottl_eval *e, enum ottl_context c);
/* More of the span than its attributes: ottl_new_body() is to be written. */
bool ottl_rewritten(const struct ottl_eval *e);
/* Of what is changed: the message as it is now. */
size_t ottl_new_size(const struct ottl_eval *e, enum ottl_context c);
uint8_t *ottl_new_body(const struct ottl_eval *e, enum ottl_context c, uint8_t *dst);
bool ottl_new_facts(const struct ottl_eval *e); /* of a span: more than attributes and events */
/* Of a resource or scope; its bytes live as long as the change. False: the old one. */
bool ottl_new_schema(const struct ottl_eval *e, enum ottl_context c, struct slice *url);

/* The events of the span that is set, as they are now, one after the other. */
struct ottl_event_iter {
    struct field_iter fields;
    size_t n;
};
struct ottl_event_iter ottl_event_iter(const struct ottl_eval *e);
bool ottl_next_event(struct ottl_eval *e, struct ottl_event_iter *it);
/* Puts the event, if it is changed, back into its span. False: no room. */
bool ottl_keep_event(struct ottl_eval *e, const struct ottl_event_iter *it) MUST_USE;

#endif
