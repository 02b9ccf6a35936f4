/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key rows: the one description of a component's configuration. Decoding, defaults, ranges, error
 * texts, `tailrace components`, print-config and docs/configuration.md all come from them. The
 * compiler refuses a row whose type is not the type of its field.
 *
 * Field types:   row           C type in the settings struct
 *   KEY_BOOL                   bool                  (KEY_BOOL_OR_NULL: null keeps the default)
 *   KEY_INT, KEY_UINT          int64_t, uint64_t     (range checked; floats are cut as the Collector does)
 *   KEY_DOUBLE                 double
 *   KEY_DURATION               int64_t, nanoseconds  (field name ends in _ns)
 *   KEY_STR, KEY_ENUM          const char *          (never NULL after decoding unless default NULL)
 *   KEY_SECRET                 const char *          (print-config shows [REDACTED])
 *   KEY_STRS                   struct str_list       (also accepts one comma-separated string)
 *   KEY_PAIRS                  struct pair_list      (map, or list of {name, value}; values secret)
 *   KEY_SECTION                a struct by value
 *   KEY_LIST                   struct item_list of structs, each decoded by the sub-table
 *   KEY_VALUE                  struct value          (any YAML value: attribute values)
 *   KEY_EXTENSION              const char *          (the id of an extension that runs and provides what the row
 *                              asks for; NULL: none given. component/extension.h)
 *   KEY_IGNORED                no field: accepted for compatibility, has no effect; says so in the
 *                              reference, and warns when `warn` is set
 *   KEY_NOT_YET                no field: an error that names the key and says it is not supported yet
 * All strings and lists belong to the plan they were decoded for and are immutable.
 */
#ifndef TAILRACE_COMPONENT_KEY_H
#define TAILRACE_COMPONENT_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str_list {
    const char *const *v;
    size_t n;
};

struct pair {
    const char *name, *value;
};
struct pair_list {
    const struct pair *v;
    size_t n;
};

struct item_list {
    const void *v; /* n structs of the row's sub_size */
    size_t n;
};

enum value_type { VALUE_NONE, VALUE_NULL, VALUE_STR, VALUE_BOOL, VALUE_INT, VALUE_DOUBLE, VALUE_LIST, VALUE_MAP };
struct value {
    enum value_type type; /* VALUE_NONE: the key was absent */
    const char *s;
    int64_t i; /* INT; BOOL: 0 or 1 */
    double d;
    const struct value *items; /* LIST, MAP */
    const char *const *names;  /* MAP */
    size_t n;
};

enum key_type {
    KEY_T_END, KEY_T_BOOL, KEY_T_INT, KEY_T_UINT, KEY_T_DOUBLE, KEY_T_DURATION, KEY_T_STR, KEY_T_ENUM,
    KEY_T_SECRET, KEY_T_STRS, KEY_T_PAIRS, KEY_T_SECTION, KEY_T_LIST, KEY_T_VALUE, KEY_T_EXTENSION,
    KEY_T_IGNORED, KEY_T_NOT_YET
};

/* How a section behaves when absent or null (collector reference 1.6). */
enum section_mode {
    SECTION_PLAIN,       /* always there; no `enabled` key */
    SECTION_OFF,         /* null keeps it off, a map turns it on */
    SECTION_DEFAULT_OFF, /* absent = off; null, {} or any key = on with the defaults */
    SECTION_ON,          /* stays on unless enabled: false */
};

struct key {
    const char *name;
    enum key_type type;
    size_t offset;
    const char *dflt;      /* as YAML text; NULL: none (zero value) */
    double min, max;       /* numbers and durations (in ns); min > max: any */
    const char *const *choices; /* ENUM: NULL-terminated; any_case says how they compare */
    bool any_case;
    bool null_is_default; /* BOOL: nothing behind the colon is not false but the default */
    bool required;
    bool set_offset_valid; /* `set` field follows: bool at set_offset tells whether the key was given */
    size_t set_offset;
    enum section_mode mode;     /* SECTION */
    size_t enabled_offset;      /* SECTION, not PLAIN: bool inside the parent's struct */
    const struct key *sub;      /* SECTION, LIST */
    size_t sub_size;            /* LIST: size of an element */
    const char *old_name;       /* a renamed key: accepted with a warning */
    const char *unit;           /* "bytes", "spans", "MiB", "percent": for the reference */
    bool warn;                  /* IGNORED */
    unsigned provides;          /* EXTENSION: one of EXT_* */
    bool secret;                /* STRS: print-config shows [REDACTED] for each */
    const char *doc;            /* one sentence */
};

/* Offset of T.f; does not compile unless T.f is a ctype. */
#define KEY_AT(ctype, T, f) (offsetof(T, f) + 0 * sizeof(_Generic(((T *)0)->f, ctype: 0)))
#define KEY_ANY .min = 1, .max = 0

#define KEY_BOOL(T, f, dflt_, doc_) \
    { .name = #f, .type = KEY_T_BOOL, .offset = KEY_AT(bool, T, f), .dflt = dflt_, KEY_ANY, .doc = doc_ }
#define KEY_BOOL_OR_NULL(T, f, dflt_, doc_) \
    { .name = #f, .type = KEY_T_BOOL, .offset = KEY_AT(bool, T, f), .dflt = dflt_, .null_is_default = true, KEY_ANY, .doc = doc_ }
#define KEY_INT(T, f, dflt_, min_, max_, doc_) \
    { .name = #f, .type = KEY_T_INT, .offset = KEY_AT(int64_t, T, f), .dflt = dflt_, .min = min_, .max = max_, .doc = doc_ }
#define KEY_UINT(T, f, dflt_, min_, max_, doc_) \
    { .name = #f, .type = KEY_T_UINT, .offset = KEY_AT(uint64_t, T, f), .dflt = dflt_, .min = min_, .max = max_, .doc = doc_ }
#define KEY_DOUBLE(T, f, dflt_, min_, max_, doc_) \
    { .name = #f, .type = KEY_T_DOUBLE, .offset = KEY_AT(double, T, f), .dflt = dflt_, .min = min_, .max = max_, .doc = doc_ }
/* The key is f, the field f_ns. min and max in seconds. */
#define KEY_DURATION(T, f, dflt_, min_s, max_s, doc_) \
    { .name = #f, .type = KEY_T_DURATION, .offset = KEY_AT(int64_t, T, f##_ns), .dflt = dflt_, \
      .min = (min_s)*1e9, .max = (max_s)*1e9, .doc = doc_ }
#define KEY_STR(T, f, dflt_, doc_) \
    { .name = #f, .type = KEY_T_STR, .offset = KEY_AT(const char *, T, f), .dflt = dflt_, KEY_ANY, .doc = doc_ }
#define KEY_SECRET(T, f, dflt_, doc_) \
    { .name = #f, .type = KEY_T_SECRET, .offset = KEY_AT(const char *, T, f), .dflt = dflt_, KEY_ANY, .doc = doc_ }
#define KEY_ENUM(T, f, dflt_, choices_, doc_) \
    { .name = #f, .type = KEY_T_ENUM, .offset = KEY_AT(const char *, T, f), .dflt = dflt_, KEY_ANY, .choices = choices_, .doc = doc_ }
#define KEY_STRS(T, f, dflt_, doc_) \
    { .name = #f, .type = KEY_T_STRS, .offset = KEY_AT(struct str_list, T, f), .dflt = dflt_, KEY_ANY, .doc = doc_ }
#define KEY_PAIRS(T, f, doc_) \
    { .name = #f, .type = KEY_T_PAIRS, .offset = KEY_AT(struct pair_list, T, f), KEY_ANY, .doc = doc_ }
#define KEY_SECTION(T, f, sub_, doc_) \
    { .name = #f, .type = KEY_T_SECTION, .offset = offsetof(T, f), .sub = sub_, KEY_ANY, .doc = doc_ }
/* An optional section: T.f is the struct, T.f_enabled the bool. */
#define KEY_OPTIONAL(T, f, mode_, sub_, doc_) \
    { .name = #f, .type = KEY_T_SECTION, .offset = offsetof(T, f), .mode = mode_, \
      .enabled_offset = KEY_AT(bool, T, f##_enabled), .sub = sub_, KEY_ANY, .doc = doc_ }
#define KEY_LIST(T, f, E, sub_, doc_) \
    { .name = #f, .type = KEY_T_LIST, .offset = KEY_AT(struct item_list, T, f), .sub = sub_, .sub_size = sizeof(E), KEY_ANY, .doc = doc_ }
#define KEY_VALUE(T, f, doc_) \
    { .name = #f, .type = KEY_T_VALUE, .offset = KEY_AT(struct value, T, f), KEY_ANY, .doc = doc_ }
#define KEY_EXTENSION(T, f, provides_, doc_) \
    { .name = #f, .type = KEY_T_EXTENSION, .offset = KEY_AT(const char *, T, f), KEY_ANY, .provides = provides_, .doc = doc_ }
#define KEY_IGNORED(name_, warn_, doc_) { .name = name_, .type = KEY_T_IGNORED, .warn = warn_, KEY_ANY, .doc = doc_ }
#define KEY_NOT_YET(name_, doc_) { .name = name_, .type = KEY_T_NOT_YET, KEY_ANY, .doc = doc_ }
#define KEY_END { .name = NULL, .type = KEY_T_END }

/* What a component's check() reports to. The path is relative to the component and names the key
 * the user should look at: "policies[2].latency.threshold_ms"; "" for the component itself. */
struct check;
void check_error(struct check *c, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void check_warn(struct check *c, const char *path, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
