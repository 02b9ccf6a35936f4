/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled form of actions, private to attributes_*.c. */
#ifndef TAILRACE_PROCESSORS_ATTRIBUTES_COMPILE_H
#define TAILRACE_PROCESSORS_ATTRIBUTES_COMPILE_H

#include "platform/regex.h"
#include "processors/attributes_actions.h"
#include "processors/attributes_convert.h"

enum action_kind {
    ACTION_INSERT,
    ACTION_UPDATE,
    ACTION_UPSERT,
    ACTION_DELETE,
    ACTION_HASH,
    ACTION_EXTRACT,
    ACTION_CONVERT,
    ACTION_UNKNOWN
};

enum action_source { SOURCE_NONE, SOURCE_VALUE, SOURCE_ATTRIBUTE, SOURCE_CLIENT_ADDRESS, SOURCE_HEADER, SOURCE_AUTH };

struct action {
    enum action_kind kind;
    enum action_source source;
    struct slice key;      /* empty: none */
    struct slice value;    /* SOURCE_VALUE: AnyValue body */
    struct slice fallback; /* default_value: AnyValue body */
    bool has_fallback;
    const char *from;      /* name of the attribute, header, or what the authenticator knows */
    struct regex *pattern; /* NULL: none */
    size_t n_groups;       /* extract: of the pattern, all named */
    enum convert_to convert;
};

struct actions {
    struct action *v;
    size_t n;
    struct arena *arena; /* encoded values */
};

enum action_kind action_kind_of(const char *name); /* any case */
bool value_given(const struct value *v);           /* null counts as absent, as in the Collector */

#endif
