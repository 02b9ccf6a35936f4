/* SPDX-License-Identifier: Apache-2.0 */
/* Loading configurations from text, with component types whose table has a row of every kind. */
#ifndef TAILRACE_TESTS_LIB_TEST_CONFIG_H
#define TAILRACE_TESTS_LIB_TEST_CONFIG_H

#include "config/load.h"

struct probe_inner {
    const char *endpoint;
    int64_t wait_ns;
    uint64_t size;
    bool deep_enabled;
    struct {
        uint64_t level;
    } deep;
};

struct probe_item {
    const char *name, *type;
    uint64_t limit;
    struct {
        int64_t threshold_ms;
    } latency;
};

struct probe {
    bool flag;
    int64_t count;
    uint64_t size;
    double ratio;
    int64_t timeout_ns;
    const char *text, *color, *token;
    bool text_given;
    struct str_list names;
    struct pair_list headers;
    struct item_list items;
    struct value any;
    const char *storage;
    struct probe_inner plain, off, lazy, on;
    bool off_enabled, lazy_enabled, on_enabled;
};

/* receiver probe, processors probe, batch, tail_sampling and memory_limiter (its limit is `size`
 * MiB), exporters probe_grpc (old name probe) and sink, connector link, extensions watch and disk, which provides storage
 * unless its flag is false. */
extern const struct component_type *const probe_types[];
extern const size_t n_probe_types;

struct loaded {
    struct plan *plan; /* NULL: refused */
    char *text;        /* the diagnostics as printed; the file is called "yaml:" */
    size_t n_errors, n_warnings;
};

struct loaded load_text(const char *yaml);
struct loaded load_uris(const char *const *uris, size_t n_uris, const char *const *sets,
                        size_t n_sets);
void loaded_free(struct loaded *l);

/* A whole configuration with these lines as the settings of processors.probe, at column 5; the
 * first of them is line 4. */
struct loaded load_probe(const char *settings);
const struct probe *probe_of(const struct loaded *l); /* processors.probe */

#endif
