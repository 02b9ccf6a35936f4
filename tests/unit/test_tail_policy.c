/* SPDX-License-Identifier: Apache-2.0 */
/* Policies: every row of the reference's tables, and what holds for any input. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "platform/hash.h"
#include "processors/tail_policy.h"
#include "processors/tail_policy_ottl.h"
#include "tests/lib/tail_build.h"
#include "tests/lib/test_host.h"

#define MS(n) ((uint64_t)(n) * 1000000u + 1000000000u) /* times start at 1 s: 0 means unset */

static struct test_host *host;

static void setup(void)
{
    hash_seed(7);
    host = th_new();
}

static void teardown(void)
{
    th_free(&host);
}

static void from_hex(const char *hex, uint8_t id[static 16])
{
    for (int i = 0; i < 16; i++) {
        unsigned byte;

        ck_assert_int_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        id[i] = (uint8_t)byte;
    }
}

/* ---- judging one trace ---- */

static enum vote final_vote(const struct tail_policies *p, const struct tail_subject *t)
{
    enum vote result = VOTE_NOT_SAMPLED;

    for (uint32_t i = 0; i < p->n_policies; i++) {
        enum vote v = tail_policy_vote(p, i, t);

        if (v == VOTE_DROPPED)
            return v;
        if (v == VOTE_SAMPLED || (v == VOTE_ERROR && p->n_policies == 1))
            result = v;
    }
    return result;
}

/* All spans of the payload as one trace, in order; facts as the sampler gathers them. */
static enum vote judge_payload(const struct policy_settings *ps, size_t n, struct payload *p)
{
    struct tail_settings set = tb_settings(ps, n);
    struct err err = {""};
    struct tail_policies *pol = tail_policies_new(&set, &err);
    uint64_t facts[16] = {0}, bits[16];
    uint32_t resource = UINT32_MAX;
    struct tail_ottl *ottl = pol ? tail_ottl_new(pol, &host->host.log) : NULL;

    ck_assert_msg(pol != NULL, "%s", err.text);
    ck_assert_uint_le(tail_facts_bytes(pol), sizeof(facts));
    for (uint32_t i = 0; i < p->n_spans; i++) {
        uint32_t r = p->scopes[p->spans[i].scope].resource;

        if (r != resource) {
            memset(bits, 0, sizeof(bits));
            tail_facts_resource(pol, p->resources[r].resource, bits);
            tail_facts_merge(pol, facts, bits);
            resource = r;
        }
        tail_facts_span(pol, facts, &p->spans[i]);
        if (ottl) {
            tail_ottl_scope(ottl, p->resources[r].resource, p->scopes[p->spans[i].scope].scope);
            tail_ottl_span(pol, ottl, facts, &p->spans[i]);
        }
    }
    tail_ottl_free(&ottl);
    struct tail_limits *limits = tail_limits_new(pol);
    enum vote v = final_vote(pol, &(struct tail_subject){.id = p->spans[0].trace_id, .n_spans = p->n_spans, .facts = facts,
                                                         .limits = limits});
    tail_limits_free(&limits);
    tail_policies_free(&pol);
    payload_unref(&p);
    return v;
}

static enum vote judge_group(struct policy_settings ps, struct test_group g)
{
    return judge_payload(&ps, 1, th_payload_groups(host, &g, 1));
}

#define JUDGE(policy, ...) judge_payload(&(struct policy_settings[]){policy}[0], 1, \
                                         th_payload(host, TH_SPANS(__VA_ARGS__)))
#define KEPT(policy, ...) ck_assert_int_eq(JUDGE(policy, __VA_ARGS__), VOTE_SAMPLED)
#define NOT_KEPT(policy, ...) ck_assert_int_eq(JUDGE(policy, __VA_ARGS__), VOTE_NOT_SAMPLED)

#define ID .trace = 1, .id = 1

/* ---- 4.1, 4.2 ---- */

START_TEST(always_sample)
{
    KEPT(tb_policy("a", "always_sample"), {ID, .parent = 9});
}
END_TEST

#define TIMES(a, b) .start_ns = MS(a), .end_ns = MS(b)

START_TEST(latency_lower_bound)
{
    NOT_KEPT(tb_latency("l", 5000, 0), {ID, .start_ns = MS(0), .end_ns = MS(5000) + 900000});
    KEPT(tb_latency("l", 5000, 0), {ID, TIMES(0, 3000)}, {ID, TIMES(2500, 5501)});
    NOT_KEPT(tb_latency("l", 5000, 0), {ID, TIMES(0, 3000)}, {ID, TIMES(2500, 5000)});
    KEPT(tb_latency("l", 5000, 0), {ID, TIMES(2500, 5501)}, {ID, TIMES(0, 3000)});
    KEPT(tb_latency("l", 100, 0), {ID, .start_ns = 0, .end_ns = 1700000000000000000});
    NOT_KEPT(tb_latency("l", 100, 0), {ID, TIMES(500, 0)});
    NOT_KEPT(tb_latency("l", 0, 0), {ID, .start_ns = MS(0), .end_ns = MS(0) + 999999});
    KEPT(tb_latency("l", 0, 0), {ID, TIMES(0, 1)});
    KEPT(tb_latency("l", -1, 0), {ID});
}
END_TEST

START_TEST(latency_window_judges_every_prefix)
{
    KEPT(tb_latency("l", 5000, 10000), {ID, TIMES(0, 6000)}, {ID, TIMES(0, 20000)});
    NOT_KEPT(tb_latency("l", 5000, 10000), {ID, TIMES(0, 20000)}, {ID, TIMES(0, 6000)});
    KEPT(tb_latency("l", 5000, 10000), {ID, TIMES(0, 10000)});
    KEPT(tb_latency("l", 5000, 10000), {ID, .start_ns = MS(0), .end_ns = MS(10000) + 999999});
    NOT_KEPT(tb_latency("l", 5000, 10000), {ID, TIMES(0, 10001)});
    NOT_KEPT(tb_latency("l", 5000, 10000), {ID, TIMES(0, 5000)});
}
END_TEST

/* A start of 0 is no start: the next span's start moves the minimum up. */
START_TEST(latency_forgets_a_zero_start)
{
    KEPT(tb_latency("l", 1000, 2000), {ID, .start_ns = 0, .end_ns = 1500000000}, {ID, TIMES(0, 1)});
    NOT_KEPT(tb_latency("l", 2000, 0), {ID, .start_ns = 0, .end_ns = 1500000000}, {ID, TIMES(100, 800)});
    /* times beyond 2^63 wrap */
    NOT_KEPT(tb_latency("l", 100, 0), {ID, .start_ns = 1, .end_ns = UINT64_MAX});
}
END_TEST

/* ---- 4.3, 4.6, 4.12: attributes ---- */

#define NUM(lo, hi, inv) tb_numeric("n", "k", lo, hi, inv)

START_TEST(numeric_attribute)
{
    KEPT(NUM(0, 100, false), {ID, .attrs = {TH_STR("k", "abc")}});
    NOT_KEPT(NUM(1, 10, false), {ID, .attrs = {TH_DBL("k", 5.0)}});
    KEPT(NUM(0, 10, false), {ID, .attrs = {TH_INT("k", -5)}});
    KEPT(NUM(1, 10, false), {ID, .attrs = {TH_INT("k", 1)}});
    KEPT(NUM(1, 10, false), {ID, .attrs = {TH_INT("k", 10)}});
    NOT_KEPT(NUM(1, 10, false), {ID, .attrs = {TH_INT("k", 11)}});
    NOT_KEPT(NUM(1, 10, false), {ID, .attrs = {TH_INT("other", 5)}});
    KEPT(NUM(1, 10, true), {ID, .attrs = {TH_INT("other", 5)}});
    KEPT(NUM(0, -1, false), {ID, .attrs = {TH_INT("k", INT64_MIN)}});
    NOT_KEPT(NUM(10, 1, false), {ID, .attrs = {TH_INT("k", 5)}});
    NOT_KEPT(NUM(1, 10, false), {ID, .attrs = {TH_INT("k", 50), TH_INT("k", 5)}}); /* first entry wins */
}
END_TEST

START_TEST(numeric_attribute_on_resources)
{
    const struct test_span span[] = {{ID, .attrs = {TH_INT("k", 50)}}};
    struct test_group g = {.resource = {TH_INT("k", 3)}, .spans = span, .n_spans = 1};

    ck_assert_int_eq(judge_group(NUM(1, 10, true), g), VOTE_NOT_SAMPLED);
    ck_assert_int_eq(judge_group(NUM(1, 10, false), g), VOTE_SAMPLED);
    ck_assert_int_eq(judge_group(NUM(4, 10, false), g), VOTE_NOT_SAMPLED);
}
END_TEST

#define STR(values, regex, inv) tb_string("s", "k", values, regex, inv)

START_TEST(string_attribute_exact)
{
    KEPT(STR(TB_STRS("x", "val"), false, false), {ID, .attrs = {TH_STR("k", "val")}});
    NOT_KEPT(STR(TB_STRS("Val"), false, false), {ID, .attrs = {TH_STR("k", "val")}});
    NOT_KEPT(STR(TB_STRS(""), false, false), {ID, .attrs = {TH_STR("k", "")}});
    NOT_KEPT(STR(TB_STRS("5"), false, false), {ID, .attrs = {TH_INT("k", 5)}});
    NOT_KEPT(STR(TB_STRS("a"), false, true), {ID, .attrs = {TH_STR("k", "a")}}, {ID, .attrs = {TH_STR("k", "b")}});
    KEPT(STR(TB_STRS("a"), false, true), {ID, .attrs = {TH_STR("k", "b")}});
    KEPT(STR(((struct str_list){NULL, 0}), false, true), {ID, .attrs = {TH_STR("k", "b")}});
    NOT_KEPT(STR(((struct str_list){NULL, 0}), false, false), {ID, .attrs = {TH_STR("k", "b")}});
    NOT_KEPT(STR(TB_STRS("b"), false, false), {ID, .event = "e", .event_attrs = {TH_STR("k", "b")}});
    NOT_KEPT(STR(TB_STRS("b"), false, false), {ID, .link_attrs = {TH_STR("k", "b")}});
}
END_TEST

START_TEST(string_attribute_regex)
{
    KEPT(STR(TB_STRS("err"), true, false), {ID, .attrs = {TH_STR("k", "no_error_here")}});
    NOT_KEPT(STR(TB_STRS("^err"), true, false), {ID, .attrs = {TH_STR("k", "no_error_here")}});
    KEPT(STR(TB_STRS("zz", "(?i)ERROR"), true, false), {ID, .attrs = {TH_STR("k", "no_error_here")}});
    NOT_KEPT(STR(TB_STRS(".*"), true, false), {ID, .attrs = {TH_INT("k", 5)}});
    NOT_KEPT(STR(TB_STRS(".*"), true, false), {ID, .attrs = {TH_STR("k", "")}});
    KEPT(STR(TB_STRS(".*"), true, true), {ID, .attrs = {TH_INT("k", 5)}});
    NOT_KEPT(STR(((struct str_list){NULL, 0}), true, false), {ID, .attrs = {TH_STR("k", "x")}});
}
END_TEST

START_TEST(string_attribute_on_resources)
{
    const struct test_span span[] = {{ID}};
    struct test_group number = {.resource = {TH_INT("k", 5)}, .spans = span, .n_spans = 1};
    struct test_group text = {.resource = {TH_STR("k", "prod")}, .spans = span, .n_spans = 1};
    struct test_group on_scope = {.scope = "s", .scope_attrs = {TH_STR("k", "prod")}, .spans = span, .n_spans = 1};

    ck_assert_int_eq(judge_group(STR(TB_STRS(".*"), true, false), number), VOTE_SAMPLED);
    ck_assert_int_eq(judge_group(STR(TB_STRS(".+"), true, false), number), VOTE_NOT_SAMPLED);
    ck_assert_int_eq(judge_group(STR(TB_STRS(""), false, false), number), VOTE_NOT_SAMPLED);
    ck_assert_int_eq(judge_group(STR(TB_STRS("prod"), false, false), text), VOTE_SAMPLED);
    ck_assert_int_eq(judge_group(STR(TB_STRS("prod"), false, true), text), VOTE_NOT_SAMPLED);
    ck_assert_int_eq(judge_group(STR(TB_STRS("prod"), false, false), on_scope), VOTE_NOT_SAMPLED);
}
END_TEST

#define BOOL(v, inv) tb_boolean("b", "k", v, inv)

START_TEST(boolean_attribute)
{
    KEPT(BOOL(false, false), {ID, .attrs = {TH_STR("k", "yes")}});
    NOT_KEPT(BOOL(true, false), {ID, .attrs = {TH_STR("k", "true")}});
    KEPT(BOOL(true, true), {ID});
    NOT_KEPT(BOOL(true, true), {ID, .attrs = {TH_BOOL("k", 0)}}, {ID, .attrs = {TH_BOOL("k", 1)}});
    NOT_KEPT(BOOL(false, false), {ID, .attrs = {TH_BOOL("k", 1)}});
    KEPT(BOOL(true, false), {ID}, {ID, .attrs = {TH_BOOL("k", 1)}});
    NOT_KEPT(BOOL(false, false), {ID});
}
END_TEST

/* ---- 4.4 ---- */

START_TEST(probabilistic_limits)
{
    static const struct {
        double percent;
        uint64_t limit;
    } rows[] = {{0.1, 0x4189374bc6a7ef},       {1, 0x28f5c28f5c28f5f},         {10, 0x19999999999999ff},
                {25, 0x3fffffffffffffff},      {33.333, 0x55551d68c692f3ff},   {50, 0x7fffffffffffffff},
                {90, 0xe6666666666667ff},      {99.9, 0xffbe76c8b4395fff},     {100, UINT64_MAX},
                {1e300, UINT64_MAX},           {0, 0},                         {-5, 0},
                {1e-300, 0}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert_msg(tail_probabilistic_limit(rows[i].percent) == rows[i].limit, "%g: %llx", rows[i].percent,
                      (unsigned long long)tail_probabilistic_limit(rows[i].percent));
}
END_TEST

#if defined(__x86_64__)
/* The integers do what a float of 64 bits of mantissa does. */
START_TEST(probabilistic_limit_is_that_of_long_double)
{
    uint64_t state = 99;

    for (int i = 0; i < 100000; i++) {
        double percent = random_unit(&state) * (i % 3 == 0 ? 1 : i % 3 == 1 ? 100 : 1e-6);
        long double p = (long double)UINT64_MAX * (long double)(percent / 100);

        ck_assert_msg(tail_probabilistic_limit(percent) == (uint64_t)p, "%.17g", percent);
    }
}
END_TEST
#endif

START_TEST(probabilistic_chooses_by_id)
{
    static const struct {
        const char *salt, *id;
        double from; /* kept from this percentage on */
    } rows[] = {
        {"", "4bf92f3577b34da6a3ce929d0e0e4736", 64.5588}, {"", "0af7651916cd43dd8448eb211c80319c", 20.2142},
        {"", "03010401050000000000000000000000", 57.2735}, {"", "00000000000000000000000000000000", 88.1184},
        {"", "ffffffffffffffffffffffffffffffff", 9.2755},  {"seed", "07070707000000000000000000000000", 42.8318},
        {"seed", "0af7651916cd43dd8448eb211c80319c", 85.8748},
        {"default-hash-seed", "4bf92f3577b34da6a3ce929d0e0e4736", 64.5588},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {""};
        struct condition c = {0};
        uint8_t id[16];

        from_hex(rows[i].id, id);
        ck_assert_int_eq(tail_condition_probabilistic(
                             &c, &(struct probabilistic_settings){rows[i].salt, rows[i].from + 0.0001}, &err), 0);
        ck_assert(tail_probabilistic_keeps(&c, id, 0));
        ck_assert_int_eq(tail_condition_probabilistic(
                             &c, &(struct probabilistic_settings){rows[i].salt, rows[i].from - 0.0001}, &err), 0);
        ck_assert(!tail_probabilistic_keeps(&c, id, 0));
    }
}
END_TEST

/* ---- 4.5, 4.8, 4.11 ---- */

START_TEST(status_code)
{
    KEPT(tb_status("s", TB_STRS("ERROR")), {ID}, {ID, .status = 2}, {ID, .status = 1});
    KEPT(tb_status("s", TB_STRS("UNSET")), {ID, .status = 2}, {ID});
    NOT_KEPT(tb_status("s", TB_STRS("OK")), {ID});
    KEPT(tb_status("s", TB_STRS("ERROR", "OK")), {ID, .status = 1});
    NOT_KEPT(tb_status("s", TB_STRS("ERROR", "OK", "UNSET")), {ID, .status = 7});
}
END_TEST

/* Span.flags is field 16, fixed32. */
static const uint8_t flags_101[] = {0x85, 0x01, 0x01, 0x01, 0, 0}, flags_300[] = {0x85, 0x01, 0, 0x03, 0, 0};

START_TEST(trace_flags)
{
    KEPT(tb_policy("f", "trace_flags"), {ID, .extra = {flags_101, 6}});
    NOT_KEPT(tb_policy("f", "trace_flags"), {ID, .extra = {flags_300, 6}});
    NOT_KEPT(tb_policy("f", "trace_flags"), {ID});
    KEPT(tb_policy("f", "trace_flags"), {ID}, {ID, .extra = {flags_101, 6}}, {ID});
}
END_TEST

START_TEST(span_count)
{
    KEPT(tb_count("c", 2, 0), {ID}, {ID});
    NOT_KEPT(tb_count("c", 2, 0), {ID});
    KEPT(tb_count("c", 0, 0), {ID});
    NOT_KEPT(tb_count("c", 5, 3), {ID}, {ID}, {ID}, {ID});
    KEPT(tb_count("c", 2, 3), {ID}, {ID}, {ID});
    NOT_KEPT(tb_count("c", 2, 3), {ID}, {ID}, {ID}, {ID});
}
END_TEST

/* ---- 4.14 to 4.16, 3 ---- */

#define AND(...) tb_and("and", (const struct policy_settings[]){__VA_ARGS__}, \
                        sizeof((const struct policy_settings[]){__VA_ARGS__}) / sizeof(struct policy_settings))
#define DROP(...) tb_drop("drop", (const struct policy_settings[]){__VA_ARGS__}, \
                          sizeof((const struct policy_settings[]){__VA_ARGS__}) / sizeof(struct policy_settings))
#define COMPOSITE(max, ...) tb_composite("c", max, (const struct policy_settings[]){__VA_ARGS__}, \
                                         sizeof((const struct policy_settings[]){__VA_ARGS__}) / sizeof(struct policy_settings), NULL, 0)
#define ERRORS tb_status("errors", TB_STRS("ERROR"))
#define PROD   tb_string("prod", "env", TB_STRS("prod"), false, false)
#define ALL    tb_policy("all", "always_sample")

START_TEST(and_policy)
{
    KEPT(AND(ERRORS, PROD), {ID, .status = 2}, {ID, .attrs = {TH_STR("env", "prod")}});
    NOT_KEPT(AND(ERRORS, PROD), {ID, .status = 2});
    NOT_KEPT(AND(ERRORS, PROD), {ID, .attrs = {TH_STR("env", "prod")}});
    KEPT(AND(ERRORS, tb_not("n", PROD)), {ID, .status = 2});
    KEPT(tb_and("and", NULL, 0), {ID});
}
END_TEST

START_TEST(not_policy)
{
    KEPT(tb_not("n", tb_latency("", 1000, 0)), {ID, TIMES(0, 1000)});
    NOT_KEPT(tb_not("n", tb_latency("", 1000, 0)), {ID, TIMES(0, 1001)});
    KEPT(tb_not("n", tb_string("", "k", TB_STRS("a"), false, false)), {ID});
    NOT_KEPT(tb_not("n", ALL), {ID});
}
END_TEST

#define VOTES(result, policies, ...) \
    do { \
        const struct policy_settings ps_[] = {policies}; \
        ck_assert_int_eq(judge_payload(ps_, ARRAY_LEN(ps_), th_payload(host, TH_SPANS(__VA_ARGS__))), result); \
    } while (0)
#define LIST(...) __VA_ARGS__

START_TEST(drop_and_combinations)
{
    VOTES(VOTE_DROPPED, LIST(ALL, DROP(ERRORS)), {ID, .status = 2});
    VOTES(VOTE_SAMPLED, LIST(ALL, DROP(ERRORS)), {ID});
    VOTES(VOTE_NOT_SAMPLED, LIST(DROP(ERRORS)), {ID});
    VOTES(VOTE_DROPPED, LIST(tb_drop("d", NULL, 0), ALL), {ID});
    VOTES(VOTE_DROPPED, LIST(DROP(tb_not("n", PROD)), ALL), {ID}, {ID, .attrs = {TH_STR("env", "dev")}});
    VOTES(VOTE_SAMPLED, LIST(DROP(tb_not("n", PROD)), ALL), {ID}, {ID, .attrs = {TH_STR("env", "prod")}});
    VOTES(VOTE_DROPPED, LIST(DROP(ERRORS, PROD), ALL), {ID, .status = 2}, {ID, .attrs = {TH_STR("env", "prod")}});
    VOTES(VOTE_SAMPLED, LIST(ERRORS, PROD, ALL), {ID});
    VOTES(VOTE_NOT_SAMPLED, LIST(ERRORS, PROD), {ID});
}
END_TEST

START_TEST(no_policies_keep_nothing)
{
    ck_assert_int_eq(judge_payload(NULL, 0, th_payload(host, TH_SPANS({ID}))), VOTE_NOT_SAMPLED);
}
END_TEST

/* More conditions than one word of bits, more keys than one word of seen keys. */
START_TEST(many_conditions)
{
    static const char *const yes[] = {"yes"};
    struct policy_settings ps[200];
    char keys[200][16];
    const struct test_span span[] = {{ID, .attrs = {TH_STR("k7", "no"), TH_STR("k150", "yes"), TH_STR("k150", "no")}}};
    const struct test_span none[] = {{ID, .attrs = {TH_STR("k7", "no"), TH_STR("k150", "no"), TH_STR("k150", "yes")}}};

    for (int i = 0; i < 200; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i);
        ps[i] = tb_string(keys[i], keys[i], (struct str_list){yes, 1}, false, false);
    }
    ck_assert_int_eq(judge_payload(ps, 200, th_payload(host, span, 1)), VOTE_SAMPLED);
    ck_assert_int_eq(judge_payload(ps, 200, th_payload(host, none, 1)), VOTE_NOT_SAMPLED);
}
END_TEST

/* ---- 4.7 ---- */

#define STATE(header) {ID}, {ID, .trace_state = (header)}

START_TEST(trace_state)
{
    struct policy_settings p = tb_state("t", "k", TB_STRS("v", "a b", ""));
    static char value[300];

    KEPT(p, STATE("x=1, k=v "));
    KEPT(p, STATE("\tk=v\t"));
    KEPT(p, STATE("k=v,,y=2"));
    KEPT(p, STATE("k=a b"));
    KEPT(p, STATE("a@b=1,1x@s=2,k=v"));
    NOT_KEPT(p, STATE("k=v,k=w"));
    NOT_KEPT(p, STATE("k =v"));
    NOT_KEPT(p, STATE("k=v, ,y=2"));
    NOT_KEPT(p, STATE("k=v,y"));
    NOT_KEPT(p, STATE("k=v,y="));
    NOT_KEPT(p, STATE("k=v,y=1=2"));
    NOT_KEPT(p, STATE("k=v,Y=1"));
    NOT_KEPT(p, STATE("k=v,1x=2"));
    NOT_KEPT(p, STATE("k=v,a@1=2"));
    NOT_KEPT(p, STATE("k=v,a@=2"));
    NOT_KEPT(p, STATE("k=v,a@b@c=2"));
    NOT_KEPT(p, STATE("k=w"));
    NOT_KEPT(p, STATE("k=v\x7f"));
    NOT_KEPT(p, STATE("kk=v"));
    NOT_KEPT(p, {ID});
    char header[500] = "k=v";
    for (int i = 0; i < 31; i++)
        snprintf(header + strlen(header), 17, ",k%02d=1", i);
    KEPT(p, STATE(header));
    strcat(header, ",z=1");
    NOT_KEPT(p, STATE(header)); /* 33 members */
    memset(value, 'v', 255);
    NOT_KEPT(tb_state("t", "k", TB_STRS(value)), STATE("k=v"));
}
END_TEST

/* ---- 4.9, 4.10, 4.17: limits ---- */

static struct tail_policies *limited;
static struct tail_limits *limits;

static void limit(struct policy_settings *p)
{
    struct tail_settings set = tb_settings(p, 1);
    struct err err = {""};

    limited = tail_policies_new(&set, &err);
    ck_assert_msg(limited != NULL, "%s", err.text);
    limits = tail_limits_new(limited);
    limits->now_ns = clock_mono_ns() / 1000000000 * 1000000000 + 5000000000;
}

static void limit_end(void)
{
    tail_limits_free(&limits);
    tail_policies_free(&limited);
}

static bool spans_pass(uint64_t n)
{
    const uint64_t none[1] = {0};
    struct tail_subject t = {.id = (const uint8_t *)"0123456789abcdef", .n_spans = n, .n_bytes = n, .facts = none, .limits = limits};

    return tail_policy_vote(limited, 0, &t) == VOTE_SAMPLED;
}

static void later_ms(uint64_t ms)
{
    limits->now_ns += ms * 1000000;
}

START_TEST(rate_limiting)
{
    struct policy_settings p = tb_rate("r", 10, 0);

    limit(&p);
    ck_assert(spans_pass(15));
    ck_assert(!spans_pass(6));
    later_ms(200);
    ck_assert(spans_pass(6));
    ck_assert(!spans_pass(21));
    later_ms(1000000);
    ck_assert(!spans_pass(21));
    ck_assert(spans_pass(20));
    ck_assert(spans_pass(0));
    later_ms(100); /* 1 token, exactly */
    ck_assert(!spans_pass(2));
    ck_assert(spans_pass(1));
    limit_end();
    p = tb_rate("r", 0, 5);
    limit(&p);
    ck_assert(spans_pass(3));
    ck_assert(!spans_pass(3));
    ck_assert(spans_pass(2));
    later_ms(1000000);
    ck_assert(!spans_pass(1));
    limit_end();
    p = tb_rate("r", -1, 0);
    limit(&p);
    ck_assert(!spans_pass(1));
    limit_end();
    p = tb_rate("r", INT64_MAX, 0);
    limit(&p);
    ck_assert(spans_pass(1u << 31));
    limit_end();
}
END_TEST

START_TEST(bytes_limiting)
{
    struct policy_settings p = tb_bytes("b", 40, 0);

    limit(&p);
    later_ms(0);
    ck_assert(spans_pass(63));
    later_ms(1000);
    ck_assert(!spans_pass(63)); /* 57 */
    later_ms(500);
    ck_assert(spans_pass(63));
    limit_end();
    p = tb_bytes("b", 1, 62);
    limit(&p);
    ck_assert(!spans_pass(63));
    limit_end();
    p = tb_bytes("b", 1, 63);
    limit(&p);
    ck_assert(spans_pass(63));
    later_ms(60000);
    ck_assert(!spans_pass(63)); /* 60 */
    limit_end();
}
END_TEST

START_TEST(an_and_stops_before_its_limiter)
{
    struct policy_settings p = AND(tb_count("c", 5, 0), tb_rate("r", 1, 10));

    limit(&p);
    for (int i = 0; i < 10; i++)
        ck_assert(!spans_pass(4));
    ck_assert(spans_pass(10));
    limit_end();
    p = AND(tb_rate("r", 1, 10), tb_count("c", 5, 0));
    limit(&p);
    ck_assert(!spans_pass(4)); /* the tokens are gone */
    ck_assert(!spans_pass(7));
    ck_assert(spans_pass(6));
    limit_end();
    p = tb_not("n", tb_rate("r", 1, 10));
    limit(&p);
    ck_assert(!spans_pass(10));
    ck_assert(spans_pass(1)); /* what is over the limit */
    limit_end();
}
END_TEST

START_TEST(composite)
{
    const struct allocation_settings shares[] = {{"a", 1}, {"a", 50}, {"b", 25}, {"nobody", 90}};
    const struct policy_settings subs[] = {tb_count("a", 30, 0), tb_policy("b", "always_sample"), tb_policy("c", "always_sample")};
    struct policy_settings p = tb_composite("c", 100, subs, 3, shares, 4);

    limit(&p);
    ck_assert(!spans_pass(60)); /* 60 > 50, and b is not asked */
    ck_assert(spans_pass(40));
    ck_assert(!spans_pass(30));
    ck_assert(spans_pass(25));
    ck_assert(!spans_pass(1));
    later_ms(1000);
    ck_assert(spans_pass(1));
    ck_assert(spans_pass(50));
    limit_end();
}
END_TEST

START_TEST(composite_shares)
{
    static const struct {
        int64_t max, percent, share;
    } rows[] = {{200, 29, 57}, {200, 57, 113}, {200, 58, 115}, {100, 120, 100}, {100, 0, 50}, {100, -1, 50}, {101, 0, 50}, {0, 50, 0}};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct allocation_settings shares[] = {{"a", rows[i].percent}};
        const struct policy_settings subs[] = {tb_policy("a", "always_sample"), tb_policy("b", "always_sample")};
        struct policy_settings p = tb_composite("c", rows[i].max, subs, 2, shares, 1);

        limit(&p);
        ck_assert(!spans_pass((uint64_t)rows[i].share + 1));
        ck_assert(spans_pass((uint64_t)rows[i].share));
        limit_end();
    }
}
END_TEST

/* One limit for the process, however many workers ask. */
static void *take_many(void *taken)
{
    for (int i = 0; i < 20000; i++)
        *(uint64_t *)taken += tail_limits_take(limits, 0, 1);
    return NULL;
}

START_TEST(workers_share_a_limit)
{
    struct policy_settings p = tb_rate("r", 0, 50000);
    uint64_t taken[4] = {0};
    pthread_t threads[4];

    limit(&p);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, take_many, &taken[i]), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    ck_assert_uint_eq(taken[0] + taken[1] + taken[2] + taken[3], 50000);
    limit_end();
}
END_TEST

/* ---- 4.10: sizes ---- */

static uint64_t size_of_span(struct test_span s)
{
    struct buf b = {0};

    th_put_span(&b, &s);
    uint64_t n = tail_size_span(slice_of(b.p, b.len));
    buf_free(&b);
    return n;
}

START_TEST(sizes_are_those_of_the_collectors_encoder)
{
    static const uint8_t flags_0[] = {0x85, 0x01, 0, 0, 0, 0}, unknown[] = {0xfa, 0x3f, 1, 7}, kind_0[] = {0x30, 0};
    static const uint8_t empty_event[] = {0x5a, 0}, empty_link[] = {0x6a, 0}, array[] = {0x0a, 0, 0x0a, 2, 0x18, 5};
    struct test_span base = {ID, .name = "a", .start_ns = 1, .end_ns = 2};

    ck_assert_uint_eq(size_of_span(base), 53);
    ck_assert_uint_eq(size_of_span((struct test_span){ID}), 18 + 10 + 2 + 2);
    ck_assert_uint_eq(size_of_span((struct test_span){.trace = 0, .id = 0}), 4 * 2);
    ck_assert_uint_eq(size_of_span((struct test_span){ID, .parent = 3, .kind = 2, .status = 2, .trace_state = "k=v"}),
                      18 + 10 + 10 + 2 + 5 + 4);
#define MORE(...) (size_of_span((struct test_span){ID, __VA_ARGS__}) - 32)
    ck_assert_uint_eq(MORE(.extra = slice_of(flags_0, 6)), 0);
    ck_assert_uint_eq(MORE(.extra = slice_of(flags_101, 6)), 6);
    ck_assert_uint_eq(MORE(.extra = slice_of(unknown, 4)), 0);
    ck_assert_uint_eq(MORE(.extra = slice_of(kind_0, 2)), 0);
    ck_assert_uint_eq(MORE(.extra = slice_of(empty_event, 2)), 2);
    ck_assert_uint_eq(MORE(.extra = slice_of(empty_link, 2)), 6);
    ck_assert_uint_eq(MORE(.attrs = {TH_STR("k", "")}), 2 + 3 + 2 + 2);
    ck_assert_uint_eq(MORE(.attrs = {TH_INT("k", -1)}), 2 + 3 + 2 + 11);
    ck_assert_uint_eq(MORE(.attrs = {TH_INT("k", 0)}), 2 + 3 + 2 + 2);
    ck_assert_uint_eq(MORE(.attrs = {TH_BOOL("", 0)}), 2 + 2 + 2);
    ck_assert_uint_eq(MORE(.attrs = {TH_DBL("k", 0)}), 2 + 3 + 2 + 9);
    ck_assert_uint_eq(MORE(.attrs = {{.key = "k", .type = ANY_EMPTY}}), 2 + 3 + 2);
    ck_assert_uint_eq(MORE(.attrs = {TH_RAW("k", ANY_ARRAY, slice_of(array, 6))}), 2 + 3 + 2 + 2 + 6);
    ck_assert_uint_eq(MORE(.event = "e"), 2 + 3 + 9);
}
END_TEST

START_TEST(sizes_of_traces)
{
    struct tail_size z = {0};
    struct tail_place first = {1, 0, 0, 0}, second_scope = {1, 1, 0, 0}, next_request = {2, 1, 10, 100};

    ck_assert_uint_eq(tail_size_whole(&z), 0);
    tail_size_add(&z, &first, 53);
    ck_assert_uint_eq(tail_size_bodies(&z), 61);
    ck_assert_uint_eq(tail_size_whole(&z), 63);
    tail_size_add(&z, &first, 53);
    ck_assert_uint_eq(tail_size_bodies(&z), 61 + 55);
    tail_size_add(&z, &second_scope, 53);
    ck_assert_uint_eq(tail_size_bodies(&z), 61 + 55 + 59 + 0);
    ck_assert_uint_eq(tail_size_whole(&z), 61 + 55 + 59 + 3); /* over 127: a longer length */
    tail_size_add(&z, &next_request, 53);
    ck_assert_uint_eq(tail_size_whole(&z), 178 + 12 + 160 + 3);
}
END_TEST

/* ---- 4.13 ---- */

static struct policy_settings ottl_policy(const char *mode, struct str_list span, struct str_list event)
{
    struct policy_settings p = tb_policy("o", "ottl_condition");

    p.leaf.ottl_condition = (struct ottl_settings){.error_mode = mode, .span = span, .spanevent = event};
    return p;
}

#define OTTL(mode, ...) ottl_policy(mode, TB_STRS(__VA_ARGS__), (struct str_list){0})
#define EVENTS(mode, ...) ottl_policy(mode, (struct str_list){0}, TB_STRS(__VA_ARGS__))
#define SUBSTRING "Substring(attributes[\"v\"], 0, 4) == \"keep\""
#define ERROR(policy, ...) ck_assert_int_eq(JUDGE(policy, __VA_ARGS__), VOTE_ERROR)

START_TEST(ottl_conditions)
{
    KEPT(OTTL("silent", "attributes[\"a\"] != \"x\""), {ID, .attrs = {TH_STR("a", "x")}}, {ID});
    NOT_KEPT(OTTL("silent", "attributes[\"a\"] != \"x\""), {ID, .attrs = {TH_STR("a", "x")}});
    KEPT(OTTL("ignore", SUBSTRING, "name == \"ok\""), {ID, .name = "ok"});
    KEPT(OTTL("Silent", SUBSTRING, "name == \"ok\""), {ID, .name = "ok"});
    ERROR(OTTL("propagate", SUBSTRING, "name == \"ok\""), {ID, .name = "ok"});
    KEPT(OTTL("propagate", SUBSTRING), {ID, .attrs = {TH_STR("v", "keeper")}}, {ID}); /* stops before the error */
    ERROR(OTTL("PROPAGATE", SUBSTRING), {ID}, {ID, .attrs = {TH_STR("v", "keeper")}});
    NOT_KEPT(OTTL("silent", SUBSTRING), {ID}, {ID});
    KEPT(OTTL("silent", SUBSTRING), {ID}, {ID, .attrs = {TH_STR("v", "keeper")}});
    KEPT(OTTL("silent", "IsRootSpan()"), {ID, .parent = 5}, {ID});
    NOT_KEPT(OTTL("silent", "resource.schema_url == \"x\""), {ID});
}
END_TEST

START_TEST(ottl_events)
{
    NOT_KEPT(EVENTS("silent", "name == \"exception\""), {ID, .name = "exception"});
    KEPT(EVENTS("silent", "name == \"exception\""), {ID, .event = "log"}, {ID, .event = "exception"});
    KEPT(EVENTS("silent", "attributes[\"k\"] == \"v\" and span.name == \"s\""),
         {ID, .name = "s", .event = "e", .event_attrs = {TH_STR("k", "v")}});
    ERROR(EVENTS("propagate", "event_index == 0"), {ID}, {ID, .event = "e"});
    KEPT(ottl_policy("propagate", TB_STRS("name == \"b\""), TB_STRS("event_index == 0")), {ID, .name = "a"}, {ID, .name = "b", .event = "e"});
}
END_TEST

START_TEST(ottl_combined)
{
    struct test_group g = {.resource = {TH_STR("service.name", "api")}, .scope = "lib", .spans = TH_SPANS({ID, .status = 2})};

    ck_assert_int_eq(judge_group(OTTL("silent", "resource.attributes[\"service.name\"] == \"api\" and scope.name == \"lib\""), g),
                     VOTE_SAMPLED);
    NOT_KEPT(tb_not("n", OTTL("silent", "name == \"a\"")), {ID, .name = "a"});
    KEPT(tb_not("n", OTTL("silent", "name == \"b\"")), {ID, .name = "a"});
    ERROR(tb_not("n", OTTL("propagate", SUBSTRING)), {ID});
    ERROR(AND(OTTL("propagate", SUBSTRING), ALL), {ID});
    NOT_KEPT(AND(tb_status("s", TB_STRS("ERROR")), OTTL("propagate", SUBSTRING)), {ID}); /* never asked */
    ERROR(DROP(OTTL("propagate", SUBSTRING)), {ID}); /* not dropped */
    ck_assert_int_eq(JUDGE(DROP(OTTL("silent", "name == \"a\"")), {ID, .name = "a"}), VOTE_DROPPED);
}
END_TEST

/* ---- errors ---- */

static void expect_fault(struct policy_settings p, const char *path, const char *text, bool unsupported)
{
    struct policy_fault fault = {.path = ""};
    struct err err = {""};

    ck_assert_int_eq(tail_policy_try(&p, &fault, &err), -1);
    ck_assert_str_eq(fault.path, path);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
    ck_assert_int_eq(fault.unsupported, unsupported);
}

START_TEST(faults_name_the_key)
{
    expect_fault(tb_policy("p", "foo"), ".type", "unknown sampling policy type foo", false);
    expect_fault(tb_policy("p", ""), ".type", "unknown sampling policy type ", false);
    expect_fault(tb_policy("p", "ottl_condition"), ".ottl_condition", "expected at least one OTTL condition to filter on", false);
    expect_fault(OTTL("silent", "true", "nme == 1"), ".ottl_condition", "span[1]: 1:1: segment \"nme\"", false);
    expect_fault(EVENTS("silent", "kind == 1"), ".ottl_condition", "spanevent[0]: 1:1: segment \"kind\"", false);
    expect_fault(AND(ALL, OTTL("silent", "name ==")), ".and.and_sub_policy[1].ottl_condition", "span[0]: 1:8: unexpected", false);
    expect_fault(tb_policy("p", "status_code"), ".status_code.status_codes",
                 "expected at least one status code to filter on", false);
    expect_fault(tb_status("p", TB_STRS("error")), ".status_code.status_codes",
                 "unknown status code \"error\", supported: OK, ERROR, UNSET", false);
    expect_fault(STR(TB_STRS("a", "("), true, false), ".string_attribute.values", "invalid regex `(`", false);
    expect_fault(NUM(0, 0, false), ".numeric_attribute", "min_value", false);
    expect_fault(tb_percent("p", "", 0.0 / 0.0), ".probabilistic.sampling_percentage", "number", false);
    expect_fault(AND(ALL, AND(ALL)), ".and.and_sub_policy[1].type", "unknown sampling policy type and", false);
    expect_fault(DROP(tb_policy("q", "composite")), ".drop.drop_sub_policy[0].type",
                 "unknown sampling policy type composite", false);
    expect_fault(COMPOSITE(100, ALL, AND(PROD, tb_not("", AND(ALL)))),
                 ".composite.composite_sub_policy[1].and.and_sub_policy[1].not.not_sub_policy.type",
                 "unknown sampling policy type and", false);
    expect_fault(COMPOSITE(100, DROP(ALL)), ".composite.composite_sub_policy[0].type",
                 "unknown sampling policy type drop", false);
    expect_fault(tb_not("p", tb_not("q", ALL)), ".not.not_sub_policy.type", "unknown sampling policy type not", false);
    expect_fault(AND(tb_not("n", tb_status("", TB_STRS("?")))),
                 ".and.and_sub_policy[0].not.not_sub_policy.status_code.status_codes", "unknown status code", false);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tail_policy");
    TCase *t = tcase_create("vectors");

    tcase_set_timeout(t, 60); /* a machine may be slow */
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, always_sample);
    tcase_add_test(t, latency_lower_bound);
    tcase_add_test(t, latency_window_judges_every_prefix);
    tcase_add_test(t, latency_forgets_a_zero_start);
    tcase_add_test(t, numeric_attribute);
    tcase_add_test(t, numeric_attribute_on_resources);
    tcase_add_test(t, string_attribute_exact);
    tcase_add_test(t, string_attribute_regex);
    tcase_add_test(t, string_attribute_on_resources);
    tcase_add_test(t, boolean_attribute);
    tcase_add_test(t, probabilistic_limits);
#if defined(__x86_64__)
    tcase_add_test(t, probabilistic_limit_is_that_of_long_double);
#endif
    tcase_add_test(t, probabilistic_chooses_by_id);
    tcase_add_test(t, status_code);
    tcase_add_test(t, trace_flags);
    tcase_add_test(t, span_count);
    tcase_add_test(t, and_policy);
    tcase_add_test(t, not_policy);
    tcase_add_test(t, drop_and_combinations);
    tcase_add_test(t, no_policies_keep_nothing);
    tcase_add_test(t, many_conditions);
    tcase_add_test(t, trace_state);
    tcase_add_test(t, rate_limiting);
    tcase_add_test(t, bytes_limiting);
    tcase_add_test(t, an_and_stops_before_its_limiter);
    tcase_add_test(t, composite);
    tcase_add_test(t, composite_shares);
    tcase_add_test(t, workers_share_a_limit);
    tcase_add_test(t, sizes_are_those_of_the_collectors_encoder);
    tcase_add_test(t, sizes_of_traces);
    tcase_add_test(t, ottl_conditions);
    tcase_add_test(t, ottl_events);
    tcase_add_test(t, ottl_combined);
    tcase_add_test(t, faults_name_the_key);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    SRunner *r = srunner_create(suite());

    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
