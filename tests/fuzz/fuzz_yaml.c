/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as collector.yaml: read, merged with a --set, substituted, decoded, checked, printed
 * again. Nothing may crash, hang or leak, and a refusal always says at least one thing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd/memory.h"
#include "cmd/print_config.h"
#include "config/load.h"
#include "platform/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Files of the machine are not part of the input, and some of them never end. */
static bool names_a_file(const uint8_t *data, size_t size)
{
    return memmem(data, size, "file", 4) != NULL;
}

static void print_all(const struct plan *plan)
{
    struct buf out = {0};
    config_print(plan, false, true, &out);
    config_print(plan, true, false, &out);
    CHECK(out.len > 0);
    buf_free(&out);
}

static void load(const char *const *uris, const char *const *sets, size_t n_sets, bool keep_faulty)
{
    struct load_options o = {
        .args = {uris, 1, sets, n_sets}, .total_bytes = 1ull << 30, .keep_faulty = keep_faulty};
    struct diags *d = diags_new();
    struct plan *plan = config_load(&o, d);
    struct buf out = {0};
    diags_print(d, &out);
    CHECK(plan || d->n_errors);
    CHECK(keep_faulty || !plan == (d->n_errors > 0));
    CHECK(!d->n_errors || out.len > 0);
    if (plan) {
        print_all(plan);
        if (!d->n_errors)
            memory_print(plan, 2, &out);
    }
    buf_free(&out);
    plan_free(&plan);
    diags_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const sets[] = {"processors.batch.timeout=1s",
                                       "service::telemetry.logs.level=${env:LEVEL:-info}"};
    static int fd = -1;
    static char uri[64];
    if (names_a_file(data, size))
        return 0;
    if (fd < 0) {
        hash_seed(1);
        setenv("REC", "${REC}", 1);
        setenv("LIST", "[a, ${env:ITEM:-b}]", 1);
        setenv("WIDE", "[\"${WIDE}\", \"${WIDE}\"]", 1);
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        CHECK(fd >= 0);
        snprintf(uri, sizeof(uri), "/proc/self/fd/%d", fd);
    }
    CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
    const char *uris[] = {uri};
    load(uris, sets, 0, false);
    load(uris, sets, ARRAY_LEN(sets), true);
    return 0;
}
