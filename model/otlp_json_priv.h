/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the two directions of OTLP/JSON: what the descriptors do not say. */
#ifndef TAILRACE_MODEL_OTLP_JSON_PRIV_H
#define TAILRACE_MODEL_OTLP_JSON_PRIV_H

#include <protobuf-c/protobuf-c.h>
#include <string.h>

enum { LEGACY_SCOPE_SPANS = 1000, ANY_DOUBLE_VALUE = 4 };

/* How a `bytes` field looks in JSON (see the comment in otlp.proto). */
enum otlp_json_form { FORM_TEXT, FORM_HEX16, FORM_HEX8, FORM_BASE64 };

static inline enum otlp_json_form otlp_json_form(const ProtobufCFieldDescriptor *f)
{
    if (strcmp(f->name, "trace_id") == 0)
        return FORM_HEX16;
    if (strcmp(f->name, "span_id") == 0 || strcmp(f->name, "parent_span_id") == 0)
        return FORM_HEX8;
    return strcmp(f->name, "bytes_value") == 0 ? FORM_BASE64 : FORM_TEXT;
}

#endif
