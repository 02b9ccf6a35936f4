/* SPDX-License-Identifier: Apache-2.0 */
/* attributes and resource: each action on a map, as text in and text out; texts of every refusal; spans
 * no action changes keep their bytes. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/otlp_encode.h"
#include "processors/attributes_convert.h"
#include "processors/processors.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

/* What every case begins with. */
static const struct test_span before = {
    .trace = 1, .id = 1, .name = "op", .status = 2, .start_ns = 5, .end_ns = 9,
    .attrs = {TH_STR("a", "abc"), TH_INT("i", 7), TH_BOOL("b", 1), TH_DBL("d", 1.5), TH_STR("e", ""), TH_BYTES("y", "xyz")},
    .event = "ev", .event_attrs = {TH_STR("a", "in the event")}};
#define BEFORE "a=s:abc i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"

static const struct {
    const char *actions, *after;
} cases[] = {
    /* insert */
    {"{key: n, action: insert, value: 5}", BEFORE " n=i:5"},
    {"{key: a, action: insert, value: 5}", BEFORE},
    {"{key: n, action: INSERT, value: text}", BEFORE " n=s:text"},
    {"{key: n, action: insert, value: true}", BEFORE " n=b:true"},
    {"{key: n, action: insert, value: 2.5}", BEFORE " n=d:2.5"},
    {"{key: n, action: insert, value: -3}", BEFORE " n=i:-3"},
    {"{key: n, action: insert, value: ''}", BEFORE " n=s:"},
    {"{key: n, action: insert, value: [1, x, {k: [false]}]}", BEFORE " n=l:[1,\"x\",{\"k\":[false]}]"},
    {"{key: n, action: insert, value: {z: 1, a: {}}}", BEFORE " n=m:{\"a\":{},\"z\":1}"},
    {"{key: n, action: insert, from_attribute: i}", BEFORE " n=i:7"},
    {"{key: n, action: insert, from_attribute: y}", BEFORE " n=y:eHl6"},
    {"{key: n, action: insert, from_attribute: none}", BEFORE},
    {"{key: n, action: insert, from_attribute: none, default_value: 8}", BEFORE " n=i:8"},
    {"{key: n, action: insert, default_value: 8}", BEFORE " n=i:8"},
    {"{key: n, action: insert, from_attribute: i, default_value: 8}", BEFORE " n=i:7"},
    /* update */
    {"{key: a, action: update, value: 5}", "a=i:5 i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: n, action: update, value: 5}", BEFORE},
    {"{key: a, action: update, from_attribute: d}", "a=d:1.5 i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    /* upsert */
    {"{key: a, action: upsert, value: 5}", "a=i:5 i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: n, action: upsert, value: 5}", BEFORE " n=i:5"},
    {"{key: a, action: upsert, from_context: metadata.x-tenant}", "a=s:t1;t2 i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: n, action: upsert, from_context: X-Tenant}", BEFORE " n=s:t1;t2"},
    {"{key: n, action: upsert, from_context: client.address}", BEFORE " n=s:10.1.2.3"},
    {"{key: n, action: upsert, from_context: metadata.none}", BEFORE},
    {"{key: n, action: upsert, from_context: auth.username}", BEFORE " n=s:ann"},
    {"{key: n, action: upsert, from_context: auth.none}", BEFORE},
    {"{key: n, action: upsert, from_context: metadata.none, default_value: d}", BEFORE " n=s:d"},
    /* delete: the last moves into the hole; by pattern the order stays */
    {"{key: a, action: delete}", "y=y:eHl6 i=i:7 b=b:true d=d:1.5 e=s:"},
    {"{key: y, action: delete}", "a=s:abc i=i:7 b=b:true d=d:1.5 e=s:"},
    {"{key: n, action: delete}", BEFORE},
    {"{pattern: '^[ab]$', action: delete}", "i=i:7 d=d:1.5 e=s: y=y:eHl6"},
    {"{key: i, pattern: '^[ab]$', action: delete}", "y=y:eHl6 d=d:1.5 e=s:"},
    {"{pattern: '', key: a, action: delete}", "y=y:eHl6 i=i:7 b=b:true d=d:1.5 e=s:"},
    {"{pattern: '.', action: delete}", ""},
    /* hash */
    {"{key: a, action: hash}", "a=s:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: i, action: hash}", "a=s:abc i=s:aae89fc0f03e2959ae4d701a80cc3915918c950b159f6abb6c92c1433b1a8534 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: b, action: hash}", "a=s:abc i=i:7 b=s:4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a d=d:1.5 e=s: y=y:eHl6"},
    {"{key: d, action: hash}", "a=s:abc i=i:7 b=b:true d=s:e163f8cb0f7067a7fc78ca859a77f849aea3214f38fb75b884e4a16be725c905 e=s: y=y:eHl6"},
    {"{key: e, action: hash}", "a=s:abc i=i:7 b=b:true d=d:1.5 e=s:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 y=y:eHl6"},
    {"{key: y, action: hash}", "a=s:abc i=i:7 b=b:true d=d:1.5 e=s: y=s:"},
    {"{key: n, action: hash}", BEFORE},
    {"{pattern: '^i$', action: hash}", "a=s:abc i=s:aae89fc0f03e2959ae4d701a80cc3915918c950b159f6abb6c92c1433b1a8534 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: a, pattern: '^a$', action: hash}", "a=s:dfe7a23fefeea519e9bbfdd1a6be94c4b2e4529dd6b7cbea83f9959c2621b13c i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    /* convert */
    {"{key: a, action: convert, converted_type: int}", BEFORE},
    {"{key: d, action: convert, converted_type: int}", "a=s:abc i=i:7 b=b:true d=i:1 e=s: y=y:eHl6"},
    {"{key: b, action: convert, converted_type: int}", "a=s:abc i=i:7 b=i:1 d=d:1.5 e=s: y=y:eHl6"},
    {"{key: i, action: convert, converted_type: double}", "a=s:abc i=d:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: b, action: convert, converted_type: double}", "a=s:abc i=i:7 b=d:1 d=d:1.5 e=s: y=y:eHl6"},
    {"{key: i, action: convert, converted_type: string}", "a=s:abc i=s:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: y, action: convert, converted_type: string}", "a=s:abc i=i:7 b=b:true d=d:1.5 e=s: y=s:eHl6"},
    {"{key: y, action: convert, converted_type: int}", BEFORE},
    {"{key: n, action: convert, converted_type: int}", BEFORE},
    /* extract */
    {"{key: a, action: extract, pattern: '^(?P<first>.)(?P<i>.)(?P<none>x)?'}", "a=s:abc i=s:b b=b:true d=d:1.5 e=s: y=y:eHl6 first=s:a none=s:"},
    {"{key: a, action: extract, pattern: '(?P<a>b)'}", "a=s:b i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: a, action: extract, pattern: '(?P<n>x)'}", BEFORE},
    {"{key: i, action: extract, pattern: '(?P<n>.*)'}", BEFORE},
    {"{key: e, action: extract, pattern: '(?P<n>.*)'}", BEFORE " n=s:"},
    {"{key: none, action: extract, pattern: '(?P<n>.*)'}", BEFORE},
    /* several, in order */
    {"{key: n, action: insert, from_attribute: a}, {key: a, action: delete}, {key: n, action: update, value: 1}",
     "n=i:1 i=i:7 b=b:true d=d:1.5 e=s: y=y:eHl6"},
    {"{key: n, action: insert, value: '12'}, {key: n, action: convert, converted_type: int}, {key: i, action: upsert, from_attribute: n}",
     "a=s:abc i=i:12 b=b:true d=d:1.5 e=s: y=y:eHl6 n=i:12"},
};

static struct request_info *some_info(void)
{
    struct request_info *i = request_info_new("10.1.2.3", 3);

    i->headers[0] = (struct request_header){mem_dup("x-tenant"), mem_dup("t1")};
    i->headers[1] = (struct request_header){mem_dup("other"), mem_dup("o")};
    i->headers[2] = (struct request_header){mem_dup("x-tenant"), mem_dup("t2")};
    i->auth = auth_data_new(1);
    i->auth->v[0] = (struct auth_attribute){mem_dup("username"), mem_dup("ann")};
    return i;
}

START_TEST(actions)
{
    char *yaml = mem_printf("actions: [%s]", cases[_i].actions);
    struct test_settings s = ts_new(&attributes_type, yaml);
    struct test_host *t = th_new();
    struct component *c;
    const struct span *span;
    struct batch *b;

    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &attributes_type, s.settings);
    b = th_batch(t, th_payload(t, TH_SPANS(before)));
    b->info = some_info();
    th_push(c, b);
    ck_assert_uint_eq(t->n_out, 1);
    span = th_span(t->out[0], 0);
    ck_assert_str_eq(td_attrs(span_body(span), SPAN_ATTRIBUTES), cases[_i].after);
    ck_assert_str_eq(th_span_name(span), "op");
    ck_assert_str_eq(td_attrs(field_bytes(span_body(span), SPAN_EVENTS), EVENT_ATTRIBUTES), "a=s:in the event");
    ck_assert_uint_eq(span->status, 2);
    ck_assert_uint_eq(t->out[0]->n_bytes > 0, 1);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    free(yaml);
}
END_TEST

static const struct {
    const char *action, *text;
} wrong[] = {
    {"", "missing required field \"actions\""},
    {"{action: insert, value: 1}", "error creating AttrProc due to missing required field \"key\" at the 0-th action"},
    {"{action: delete}", "error creating AttrProc due to missing required field (at least one of \"key\" and \"pattern\" have to be used) at the 0-th action"},
    {"{key: a, action: insert}", "error with key \"a\" (0-th action): error creating AttrProc. Either field \"value\", \"from_attribute\", \"from_context\", or \"default_value\" must be specified"},
    {"{key: a, action: insert, value: null}", "\"default_value\" must be specified"},
    {"{key: a, action: insert, value: x, from_attribute: b}", "error creating AttrProc due to multiple value sources being set"},
    {"{key: a, action: insert, value: x, pattern: b}", "error creating AttrProc. Action \"insert\" does not use the \"pattern\" field. This must not be specified"},
    {"{key: a, action: insert, value: x, converted_type: int}", "Action \"insert\" does not use the \"converted_type\" field. This must not be specified"},
    {"{key: a, action: delete, value: x}", "Action \"delete\" does not use \"value\" or \"from_attribute\" field. These must not be specified"},
    {"{key: a, action: hash, from_attribute: x}", "Action \"hash\" does not use \"value\" or \"from_attribute\" field. These must not be specified"},
    {"{key: a, action: hash, converted_type: int}", "Action \"hash\" does not use the \"converted_type\" field. This must not be specified"},
    {"{key: a, action: delete, pattern: '('}", "Field \"pattern\" has invalid pattern: \"(\""},
    {"{key: a, action: extract}", "due to missing required field \"pattern\" for action \"extract\""},
    {"{key: a, action: extract, pattern: x}", "Field \"pattern\" contains no named matcher groups"},
    {"{key: a, action: extract, pattern: '(x)(?P<y>z)'}", "Field \"pattern\" contains at least one unnamed matcher group"},
    {"{key: a, action: extract, pattern: '('}", "Field \"pattern\" has invalid pattern: \"(\""},
    {"{key: a, action: extract, pattern: '(?P<y>z)', value: x}", "Action \"extract\" does not use a value source field. These must not be specified"},
    {"{key: a, action: convert}", "due to missing required field \"converted_type\" for action \"convert\""},
    {"{key: a, action: convert, converted_type: bool}", "due to invalid value \"bool\" in field \"converted_type\" for action \"convert\""},
    {"{key: a, action: convert, converted_type: int, value: x}", "Action \"convert\" does not use value sources or \"pattern\" field. These must not be specified"},
    {"{key: a, action: frob}", "due to unsupported action \"frob\""},
    {"{key: a}", "due to unsupported action \"\""},
    {"{key: a, action: delete}, {key: b, action: frob}", "error with key \"b\" (1-th action)"},
    {"{key: a, action: delete, what: 1}", "what"},
};

START_TEST(refusals)
{
    char *yaml = mem_printf("actions: [%s]", wrong[_i].action);
    struct test_settings s = ts_new(&attributes_type, yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong[_i].text) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
    free(yaml);
}
END_TEST

/* ---- include and exclude: does the action reach span 0 of `before`, in shop, scope sc 1.2? ---- */

static const struct {
    const char *match;
    bool reached;
} selections[] = {
    {"include: {match_type: strict, services: [other, shop]}", true},
    {"include: {match_type: strict, services: [sho]}", false},
    {"include: {match_type: regexp, services: [sho]}", true},
    {"include: {match_type: strict, span_names: [op]}", true},
    {"include: {match_type: regexp, span_names: ['^o$']}", false},
    {"include: {match_type: strict, span_kinds: [SPAN_KIND_CLIENT, SPAN_KIND_SERVER]}", true},
    {"include: {match_type: strict, span_kinds: [SPAN_KIND_CLIENT]}", false},
    {"include: {match_type: regexp, span_kinds: [SERV]}", true},
    {"include: {match_type: strict, attributes: [{key: a}]}", true},
    {"include: {match_type: strict, attributes: [{key: none}]}", false},
    {"include: {match_type: strict, attributes: [{key: a, value: abc}, {key: i, value: 7}, {key: b, value: true}, {key: d, value: 1.5}]}", true},
    {"include: {match_type: strict, attributes: [{key: a, value: abc}, {key: i, value: 8}]}", false},
    {"include: {match_type: strict, attributes: [{key: l, value: [x]}, {key: m, value: {k: v}}]}", true},
    {"include: {match_type: strict, attributes: [{key: l, value: [x, y]}]}", false},
    {"include: {match_type: strict, attributes: [{key: i, value: '7'}]}", false},
    {"include: {match_type: strict, attributes: [{key: i, value: 7.0}]}", false},
    {"include: {match_type: regexp, attributes: [{key: i, value: '^7$'}, {key: d, value: '1[.]5'}, {key: b, value: tr}]}", true},
    {"include: {match_type: regexp, attributes: [{key: y, value: '.*'}]}", false},
    {"include: {match_type: strict, resources: [{key: service.name, value: shop}]}", true},
    {"include: {match_type: strict, resources: [{key: service.name, value: shop}, {key: n}]}", false},
    {"include: {match_type: strict, libraries: [{name: sc}]}", true},
    {"include: {match_type: strict, libraries: [{name: sc, version: '1.2'}]}", true},
    {"include: {match_type: strict, libraries: [{name: sc, version: ''}]}", false},
    {"include: {match_type: regexp, libraries: [{name: '^s', version: '^1'}]}", true},
    {"include: {match_type: strict, libraries: [{name: sc}, {name: other}]}", false},
    {"include: {match_type: strict, services: [shop], span_names: [other]}", false},
    {"exclude: {match_type: strict, services: [shop]}", false},
    {"exclude: {match_type: strict, services: [other]}", true},
    {"include: {match_type: strict, services: [shop]}, exclude: {match_type: strict, span_names: [op]}", false},
    {"include: {match_type: strict, services: [shop]}, exclude: {match_type: strict, services: [shop], span_names: [other]}", true},
    {"include: null", true},
};

START_TEST(selected_spans)
{
    char *yaml = mem_printf("{actions: [{key: hit, action: insert, value: 1}], %s}", selections[_i].match);
    struct test_settings s = ts_new(&attributes_type, yaml);
    struct test_host *t = th_new();
    struct component *c;
    struct test_span one = before;
    struct test_group g[2] = {{.resource = {TH_STR("service.name", "shop")}, .scope = "sc", .scope_version = "1.2", .spans = &one, .n_spans = 1},
                              {.resource = {TH_STR("service.name", "bank")}, .scope = "sb", .spans = &one, .n_spans = 1}};

    ck_assert_str_eq(ts_problems(&s), "");
    one.kind = 2;
    /* each with a field that the protocol does not know */
    one.attrs[6] = (struct test_attr)TH_RAW("l", ANY_ARRAY, slice_of("\x92\x3f\x02\xff\xff\x0a\x03\x0a\x01x", 10));
    one.attrs[7] = (struct test_attr)TH_RAW("m", ANY_MAP, slice_of("\x92\x3f\x02\xff\xff\x0a\x08\x0a\x01k\x12\x03\x0a\x01v", 15));
    c = th_component(t, &attributes_type, s.settings);
    th_push(c, th_batch(t, th_payload_groups(t, g, 2)));
    ck_assert_int_eq(th_span_attr(th_span(t->out[0], 0), "hit") != NULL, selections[_i].reached);
    if (strstr(selections[_i].match, "include: {match_type: strict, services: [shop]}"))
        ck_assert_ptr_null(th_span_attr(th_span(t->out[0], 1), "hit"));
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
    free(yaml);
}
END_TEST

static const struct {
    const char *match, *text;
} wrong_selections[] = {
    {"include: {}", "at least one of \"attributes\", \"libraries\",  or \"resources\" field must be specified"},
    {"exclude: {match_type: strict, services: []}", "at least one of"},
    {"include: {services: [a]}", "unrecognized match_type: '', valid types are: [regexp strict]"},
    {"include: {match_type: regexp, services: [a, '(']}", "error creating service name filters: error parsing regexp"},
    {"include: {match_type: regexp, span_names: ['(']}", "error creating span name filters"},
    {"include: {match_type: strict, span_kinds: [SERVER]}", "span_kinds string must match one of the standard span kinds"},
    {"include: {match_type: strict, attributes: [{value: x}]}", "error creating attribute filters: can't have empty key in the list of attributes"},
    {"include: {match_type: strict, resources: [{value: x}]}", "error creating resource filters: can't have empty key"},
    {"include: {match_type: regexp, attributes: [{key: a, value: 5}]}", "match_type=regexp for \"a\" only supports Str, but found Int"},
    {"include: {match_type: regexp, libraries: [{name: '('}]}", "error creating library name filters"},
    {"include: {match_type: strict, service: [a]}", "service"},
};

START_TEST(refused_selections)
{
    char *yaml = mem_printf("{actions: [{key: a, action: delete}], %s}", wrong_selections[_i].match);
    struct test_settings s = ts_new(&attributes_type, yaml);

    ck_assert_msg(strstr(ts_problems(&s), wrong_selections[_i].text) != NULL, "%s", ts_problems(&s));
    ts_free(&s);
    free(yaml);
}
END_TEST

/* ---- bytes ---- */

static struct test_settings two_actions(void)
{
    return ts_new(&attributes_type, "actions: [{key: secret, action: delete}, {key: big, action: hash}]");
}

START_TEST(untouched_spans_keep_their_bytes)
{
    struct test_settings s = two_actions();
    struct test_host *t = th_new();
    struct component *c = th_component(t, &attributes_type, s.settings);
    struct test_span spans[3] = {before, before, before};
    struct payload *p;
    const struct span *out;
    const uint8_t *rec[3];

    spans[1].attrs[0] = (struct test_attr)TH_STR("secret", "abc");
    p = th_payload(t, spans, 3);
    for (int i = 0; i < 3; i++)
        rec[i] = p->spans[i].rec;
    th_push(c, th_batch(t, p));
    for (uint64_t i = 0; i < 3; i++) {
        out = th_span(t->out[0], i);
        ck_assert_int_eq(out->rec == rec[i], i != 1);
    }
    ck_assert_str_eq(td_attrs(span_body(th_span(t->out[0], 1)), SPAN_ATTRIBUTES), "y=y:eHl6 i=i:7 b=b:true d=d:1.5 e=s:");
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(a_batch_no_action_changes_is_not_edited)
{
    struct test_settings s = two_actions();
    struct test_host *t = th_new();
    struct component *c = th_component(t, &attributes_type, s.settings);
    struct payload *p = th_payload(t, TH_SPANS(before, before));

    th_push(c, th_batch(t, p));
    ck_assert_ptr_eq(t->out[0]->parts[0].payload, p);
    ck_assert(p->intact);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* Another holder of the payload, and a part that is not the whole of it. */
START_TEST(others_never_see_the_edit)
{
    struct test_settings s = ts_new(&attributes_type, "actions: [{key: a, action: update, value: new}]");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &attributes_type, s.settings);
    struct batch *b = th_batch(t, th_payload(t, TH_SPANS(before, before, before))), *head, *other;

    other = batch_share(b, &t->ledger);
    head = batch_split(b, 1);
    th_push(c, b);
    ck_assert_uint_eq(t->out[0]->n_spans, 2);
    for (uint64_t i = 0; i < 2; i++)
        ck_assert_str_eq(th_span_attr(th_span(t->out[0], i), "a"), "new");
    ck_assert_str_eq(th_span_attr(th_span(head, 0), "a"), "abc");
    for (uint64_t i = 0; i < 3; i++)
        ck_assert_str_eq(th_span_attr(th_span(other, i), "a"), "abc");
    batch_exported(&head);
    batch_exported(&other);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(the_encoded_request_is_well_formed)
{
    struct test_settings s = ts_new(&attributes_type, "actions: [{key: n, action: insert, value: [1, {a: b}]}, {key: i, action: delete}]");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &attributes_type, s.settings);
    struct encoded e = {0};
    struct payload *back;
    uint8_t *bytes;

    th_push(c, th_batch(t, th_payload_n(t, 1, 40)));
    ck_assert_int_eq(otlp_encode(t->out[0], &e), 0);
    bytes = mem_alloc(e.len);
    encoded_copy(&e, bytes);
    back = th_payload_bytes(t, slice_of(bytes, e.len)); /* walks it */
    ck_assert_uint_eq(back->n_spans, 40);
    ck_assert_str_eq(td_attrs(span_body(&back->spans[39]), SPAN_ATTRIBUTES), "http.method=s:GET n=i:39");
    payload_unref(&back);
    encoded_free(&e);
    free(bytes);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(without_room_the_sender_keeps_the_batch)
{
    struct test_settings s = ts_new(&attributes_type, "actions: [{key: a, action: update, value: new}]");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &attributes_type, s.settings);
    struct batch *b = th_batch(t, th_payload(t, TH_SPANS(before))), *nobody = th_batch(t, th_payload(t, TH_SPANS(before)));

    b->waiter = th_wait(t);
    budget_set_limits(t->host.budget, 1, 1);
    th_push(c, b);
    th_push(c, nobody);
    ck_assert_uint_eq(t->n_out, 0);
    ck_assert_int_eq(t->waits[0]->answer, ANSWER_RETRY);
    ck_assert_uint_eq(t->ledger.dropped[DROP_RETURNED], 1);
    ck_assert_uint_eq(t->ledger.dropped[DROP_MEMORY], 1);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(a_span_of_very_many_attributes)
{
    struct test_settings s = ts_new(&attributes_type, "actions: [{pattern: '7$', action: delete}, {key: k5, action: hash}]");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &attributes_type, s.settings);
    struct test_span one = before;
    struct buf extra = {0};
    const struct span *out;
    size_t n = 0, sevens = 0;
    struct attr_iter it;
    struct attr a;

    for (int i = 0; i < 5000; i++) {
        char key[16];

        snprintf(key, sizeof(key), "k%d", i);
        ck_assert_int_eq(attr_put_int(&extra, SPAN_ATTRIBUTES, slice_str(key), i), 0);
    }
    one.extra = slice_of(extra.p, extra.len);
    th_push(c, th_batch(t, th_payload(t, TH_SPANS(one, before))));
    out = th_span(t->out[0], 0);
    it = attr_iter(span_body(out), SPAN_ATTRIBUTES);
    for (; attr_next(&it, &a); n++)
        sevens += a.key.p[a.key.len - 1] == '7';
    ck_assert_uint_eq(n, 6 + 4500);
    ck_assert_uint_eq(sevens, 0);
    ck_assert_uint_eq(strlen(th_span_attr(out, "k5")), 64);
    ck_assert_str_eq(th_span_attr(th_span(t->out[0], 1), "a"), "abc");
    buf_free(&extra);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* ---- resource ---- */

START_TEST(resource_attributes_once_per_resource)
{
    struct test_settings s = ts_new(&resource_type, "attributes: [{key: env, action: upsert, value: prod}, {key: service.name, action: update, value: other}]");
    struct test_host *t = th_new();
    struct component *c = th_component(t, &resource_type, s.settings);
    struct test_span spans[2] = {before, before};
    struct test_group g[2] = {
        {.resource = {TH_STR("service.name", "shop"), TH_INT("n", 1)}, .resource_schema = "https://schema", .scope = "sc", .spans = spans, .n_spans = 2},
        {.spans = spans, .n_spans = 1}};
    struct payload *p;

    ck_assert_str_eq(ts_problems(&s), "");
    th_push(c, th_batch(t, th_payload_groups(t, g, 2)));
    p = t->out[0]->parts[0].payload;
    ck_assert_uint_eq(p->n_resources, 2);
    ck_assert_str_eq(td_attrs(p->resources[0].resource, RESOURCE_ATTRIBUTES), "service.name=s:other n=i:1 env=s:prod");
    ck_assert_str_eq(td_attrs(p->resources[1].resource, RESOURCE_ATTRIBUTES), "env=s:prod");
    ck_assert_str_eq(th_span_attr(th_span(t->out[0], 0), "a"), "abc");
    ck_assert_ptr_null(th_span_attr(th_span(t->out[0], 0), "env"));
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

START_TEST(resource_needs_its_list)
{
    struct test_settings s = ts_new(&resource_type, "{}");

    ck_assert_ptr_nonnull(strstr(ts_problems(&s), "missing required field \"attributes\""));
    ts_free(&s);
}
END_TEST

/* ---- numbers ---- */

static const struct {
    const char *text;
    bool ok;
    int64_t v;
} ints[] = {
    {"0", true, 0}, {"+5", true, 5}, {"-5", true, -5}, {"0012", true, 12}, {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN}, {"9223372036854775808", false, 0}, {"-9223372036854775809", false, 0},
    {"", false, 0}, {"+", false, 0}, {" 1", false, 0}, {"1 ", false, 0}, {"1_000", false, 0}, {"0x10", false, 0}, {"1.0", false, 0},
};

START_TEST(texts_to_integers)
{
    int64_t v = 0;

    ck_assert_int_eq(parse_int(slice_str(ints[_i].text), &v), ints[_i].ok);
    if (ints[_i].ok)
        ck_assert_int_eq(v, ints[_i].v);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    double v;
} doubles[] = {
    {"1e3", true, 1000}, {".5", true, .5}, {"5.", true, 5}, {"-0x1p-2", true, -.25}, {"1_000", true, 1000}, {"inf", true, 1.0 / 0.0},
    {"-Infinity", true, -1.0 / 0.0}, {"1e-400", true, 0}, {"1e400", false, 0}, {"", false, 0}, {" 1", false, 0}, {"1 ", false, 0},
    {"0x10", false, 0}, {"_1", false, 0}, {"1_", false, 0}, {"1__0", false, 0}, {"nan(1)", false, 0}, {"abc", false, 0}, {"1e", false, 0},
    {"+1.5", true, 1.5},
};

START_TEST(texts_to_doubles)
{
    double v = 0;

    ck_assert_int_eq(parse_double(slice_str(doubles[_i].text), &v), doubles[_i].ok);
    if (doubles[_i].ok)
        ck_assert(v == doubles[_i].v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attributes");
    TCase *t = tcase_create("attributes");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, actions, 0, (int)ARRAY_LEN(cases));
    tcase_add_loop_test(t, refusals, 0, (int)ARRAY_LEN(wrong));
    tcase_add_loop_test(t, selected_spans, 0, (int)ARRAY_LEN(selections));
    tcase_add_loop_test(t, refused_selections, 0, (int)ARRAY_LEN(wrong_selections));
    tcase_add_test(t, untouched_spans_keep_their_bytes);
    tcase_add_test(t, a_batch_no_action_changes_is_not_edited);
    tcase_add_test(t, others_never_see_the_edit);
    tcase_add_test(t, the_encoded_request_is_well_formed);
    tcase_add_test(t, without_room_the_sender_keeps_the_batch);
    tcase_add_test(t, a_span_of_very_many_attributes);
    tcase_add_test(t, resource_attributes_once_per_resource);
    tcase_add_test(t, resource_needs_its_list);
    tcase_add_loop_test(t, texts_to_integers, 0, (int)ARRAY_LEN(ints));
    tcase_add_loop_test(t, texts_to_doubles, 0, (int)ARRAY_LEN(doubles));
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
