/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conformance vectors of the processors that look at attributes: what the Collector makes of a
 * value, each once and by its number, so that a change which breaks one names it. A row is one way
 * to ask, what is asked, and the answer as text: 1 hashes of attributes   2 hashes of redaction   3
 * masks       4 the sampler's hash   5 its hash's thresholds 6 thresholds of trace states   7 FNV
 * 8 comparisons of OTTL   9 texts in OTTL   10 the dialect of expressions
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "processors/processors.h"
#include "processors/sampling_math.h"
#include "processors/trace_state.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

/* The attributes of a span with these, behind a processor. */
static const char *behind(const struct component_type *type, const char *yaml, struct test_attr a)
{
    static char text[512];
    struct test_settings s = ts_new(type, yaml);
    struct test_host *t = th_new();
    struct test_span span = {.trace = 1, .id = 1, .name = "n", .attrs = {a}};
    struct component *c;

    ck_assert_msg(!*ts_problems(&s), "%s: %s", yaml, ts_problems(&s));
    c = th_component(t, type, s.settings);
    th_push(c, th_batch(t, th_payload(t, TH_SPANS(span))));
    snprintf(text, sizeof(text), "%s", td_attrs(span_body(th_span(t->out[0], 0)), SPAN_ATTRIBUTES));
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    return text;
}

/* s:text, i:7, b:1, d:1.5, or l for a list. */
static struct test_attr attr_of(const char *in)
{
    switch (*in) {
    case 'i':
        return (struct test_attr)TH_INT("a", strtoll(in + 2, NULL, 10));
    case 'b':
        return (struct test_attr)TH_BOOL("a", in[2] == '1');
    case 'd':
        return (struct test_attr)TH_DBL("a", strtod(in + 2, NULL));
    case 'l':
        return (struct test_attr)TH_RAW("a", ANY_ARRAY, slice_of("\x0a\x02\x18\x01", 4));
    default:
        return (struct test_attr)TH_STR("a", in + 2);
    }
}

static const char *hashed(const char *how, const char *in)
{
    (void)how;
    return behind(&attributes_type, "{actions: [{key: a, action: hash}]}", attr_of(in));
}

static const char *redacted(const char *how, const char *in)
{
    char yaml[256];

    snprintf(yaml, sizeof(yaml), "{allow_all_keys: true, %s}", how);
    return behind(&redaction_type, yaml, attr_of(in));
}

/* how: the statement's right side; in: what the attribute is before. */
static const char *transformed(const char *how, const char *in)
{
    char yaml[256];

    snprintf(yaml, sizeof(yaml), "{error_mode: propagate, trace_statements: ['%s']}", how);
    return behind(&transform_type, yaml, attr_of(in));
}

static const char *is_true(const char *how, const char *in)
{
    char yaml[256];

    snprintf(yaml, sizeof(yaml),
             "{error_mode: propagate, trace_statements: ['set(span.attributes[\"a\"], \"true\") "
             "where %s']}",
             how);
    return behind(&transform_type, yaml, attr_of(in));
}

/* how: the seed; what of trace ids is kept at 25 and 50 percent, and the randomness. */
static const char *sampled(const char *how, const char *in)
{
    static char text[64];
    uint8_t id[16];
    uint64_t r;

    for (int i = 0; i < 16; i++)
        id[i] = (uint8_t)strtoul((char[]){in[2 * i], in[2 * i + 1], 0}, NULL, 16);
    r = sampling_hash_randomness(id, (uint32_t)atoi(how));
    snprintf(text, sizeof(text), "%s %s %014llx",
             sampling_hash_threshold(25) <= r ? "keep" : "drop",
             sampling_hash_threshold(50) <= r ? "keep" : "drop", (unsigned long long)r);
    return text;
}

static const char *hash_limit(const char *how, const char *in)
{
    static char text[32];
    uint64_t t = sampling_hash_threshold(strtof(in, NULL));

    (void)how;
    snprintf(text, sizeof(text), "%llu",
             t == SAMPLING_NEVER ? 0 : 0x4000 - (unsigned long long)(t >> 42));
    return text;
}

/* As a trace state has it: zeros at the end left out. */
static const char *threshold(const char *how, const char *in)
{
    static char text[32];
    size_t n;

    (void)how;
    n = (size_t)snprintf(text, sizeof(text), "%014llx",
                         (unsigned long long)sampling_threshold((double)strtof(in, NULL) / 100, 4));
    while (n > 1 && text[n - 1] == '0')
        text[--n] = '\0';
    return text;
}

#define MASK(pattern_) "blocked_values: ['" pattern_ "']"
#define FNV_OF(text_)  "set(span.attributes[\"a\"], FNV(\"" text_ "\"))"

static const struct {
    const char *number;
    const char *(*ask)(const char *how, const char *in);
    const char *how, *in, *want;
} vectors[] = {
    {"1.1", hashed, "", "s:abc",
     "a=s:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {"1.2", hashed, "", "i:7",
     "a=s:aae89fc0f03e2959ae4d701a80cc3915918c950b159f6abb6c92c1433b1a8534"},
    {"1.3", hashed, "", "b:1",
     "a=s:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"},
    {"1.4", hashed, "", "d:1.5",
     "a=s:e163f8cb0f7067a7fc78ca859a77f849aea3214f38fb75b884e4a16be725c905"},
    {"1.5", hashed, "",
     "s:", "a=s:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"1.6", hashed, "", "l", "a=s:"},
    {"2.1", redacted, MASK("secret") ", hash_function: md5", "s:secret",
     "a=s:5ebe2294ecd0e0f08eab7690d2a6ee69"},
    {"2.2", redacted, MASK("secret") ", hash_function: sha1", "s:secret",
     "a=s:e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"},
    {"2.3", redacted, MASK("secret") ", hash_function: sha3", "s:secret",
     "a=s:f5a5207a8729b1f709cb710311751eb2fc8acad5a1fb8ac991b736e69b6529a3"},
    {"3.1", redacted, MASK("4[0-9]{12}(?:[0-9]{3})?"), "s:card 4111111111111111 ok",
     "a=s:card **** ok"},
    {"3.2", redacted, MASK("4[0-9]{12}(?:[0-9]{3})?"), "i:4111111111111111",
     "a=i:4111111111111111"},
    {"3.3", redacted, MASK("4[0-9]{12}(?:[0-9]{3})?") ", redact_all_types: true",
     "i:4111111111111111", "a=s:****"},
    {"4.1", sampled, "0", "4bf92f3577b34da6a3ce929d0e0e4736", "keep keep fdc80d0b42008d"},
    {"4.2", sampled, "0", "0af7651916cd43dd8448eb211c80319c", "drop keep"},
    {"4.3", sampled, "0", "00000000000000000000000000000001", "drop drop"},
    {"4.4", sampled, "22", "4bf92f3577b34da6a3ce929d0e0e4736", "drop drop"},
    {"4.5", sampled, "22", "0af7651916cd43dd8448eb211c80319c", "keep keep f984040d03019e"},
    {"4.6", sampled, "22", "00000000000000000000000000000001", "drop"},
    {"5.1", hash_limit, "", "0.001", "0"},
    {"5.2", hash_limit, "", "0.1", "16"},
    {"5.3", hash_limit, "", "1", "163"},
    {"5.4", hash_limit, "", "5", "819"},
    {"5.5", hash_limit, "", "10", "1638"},
    {"5.6", hash_limit, "", "15", "2457"},
    {"5.7", hash_limit, "", "25", "4096"},
    {"5.8", hash_limit, "", "33.3", "5455"},
    {"5.9", hash_limit, "", "50", "8192"},
    {"5.10", hash_limit, "", "75", "12288"},
    {"5.11", hash_limit, "", "99.9", "16367"},
    {"5.12", hash_limit, "", "100", "16384"},
    {"6.1", threshold, "", "100", "0"},
    {"6.2", threshold, "", "99.9", "004189"},
    {"6.3", threshold, "", "75", "4"},
    {"6.4", threshold, "", "50", "8"},
    {"6.5", threshold, "", "33.333333", "aaab"},
    {"6.6", threshold, "", "25", "c"},
    {"6.7", threshold, "", "10", "e666"},
    {"6.8", threshold, "", "5", "f3333"},
    {"6.9", threshold, "", "1", "fd70a"},
    {"6.10", threshold, "", "0.1", "ffbe77"},
    {"6.11", threshold, "", "0.01", "fff9724"},
    {"7.1", transformed, FNV_OF("abc"), "s:", "a=i:-1792535898324117685"},
    {"7.2", transformed, FNV_OF("hello world"), "s:", "a=i:8618312879776256743"},
    {"7.3", transformed, FNV_OF(""), "s:", "a=i:-3750763034362895579"},
    {"8.1", is_true, "nil == nil", "s:x", "a=s:true"},
    {"8.2", is_true, "nil < 1", "s:x", "a=s:x"},
    {"8.3", is_true, "1 == 1.0", "s:x", "a=s:true"},
    {"8.4", is_true, "\"1\" == 1", "s:x", "a=s:x"},
    {"8.5", is_true, "\"1\" != 1", "s:x", "a=s:true"},
    {"8.6", is_true, "true > false", "s:x", "a=s:true"},
    {"8.7", is_true, "span.attributes[\"absent\"] == nil", "s:x", "a=s:true"},
    {"8.8", is_true, "span.attributes[\"absent\"] != \"x\"", "s:x", "a=s:true"},
    {"8.9", is_true, "not (span.attributes[\"absent\"] < 5)", "s:x", "a=s:true"},
    {"9.1", is_true, "IsMatch(span.attributes[\"a\"], \"^a\\\\d$\")", "s:a5", "a=s:true"},
    {"9.2", transformed, "replace_pattern(span.attributes[\"a\"], \"(\\\\w+)@\", \"$1-\")",
     "s:bob@x", "a=s:bob-x"},
    {"9.3", transformed, "replace_pattern(span.attributes[\"a\"], \"(\\\\w+)@\", \"$1_\")",
     "s:bob@x", "a=s:x"},
    {"10.1", redacted, MASK("a$"), "s:a\n", "a=s:a\n"},
    {"10.2", redacted, MASK("\\s"), "s:\v", "a=s:\v"},
    {"10.3", redacted, MASK("(?i)\\w"), "s:\xc5\xbf", "a=s:****"},
    {"10.4", redacted, MASK("a.b"),
     "s:a\xc3\xbf"
     "b",
     "a=s:****"},
    {"10.5", redacted, MASK("a*"), "s:baaac", "a=s:****b****c****"},
    {"10.6", redacted, MASK("x*"), "s:abc", "a=s:****a****b****c****"},
};

START_TEST(vector)
{
    const char *got = vectors[_i].ask(vectors[_i].how, vectors[_i].in);

    ck_assert_msg(strncmp(got, vectors[_i].want, strlen(vectors[_i].want)) == 0 &&
                      (vectors[_i].ask == sampled || strcmp(got, vectors[_i].want) == 0),
                  "vector %s: %s, not %s", vectors[_i].number, got, vectors[_i].want);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("vectors");
    TCase *t = tcase_create("vectors");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, vector, 0, (int)ARRAY_LEN(vectors));
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
