/* SPDX-License-Identifier: Apache-2.0 */
/* db_sanitizer: statements of each database without their values (what is expected here was seen of the Collector), and which
 * attributes and names of a span are concerned. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "platform/hash.h"
#include "processors/obfuscate.h"
#include "processors/processors.h"
#include "processors/redaction_db.h"
#include "tests/lib/test_dump.h"
#include "tests/lib/test_host.h"
#include "tests/lib/test_settings.h"

#define SAME NULL /* as it was */

static const struct {
    enum db_system system;
    const char *in, *out;
} statements[] = {
    {DB_SQL, "SELECT * FROM users WHERE id = 123", "SELECT * FROM users WHERE id = ?"},
    {DB_SQL, "  SELECT   1 \n", "SELECT   ?"},
    {DB_SQL, "INSERT INTO u (id, n) VALUES (1, 'john'), (2, 'it''s')", "INSERT INTO u (id, n) VALUES (?, ?), (?, ?" "?)"},
    {DB_SQL, "\xe2\x82\xac" "078 \xc3\xbc" "078 \xe2\x80\x8bTRUE \xd0\x96TRUE", "\xe2\x82\xac?? \xc3\xbc? \xe2\x80\x8b? \xd0\x96TRUE"},
    {DB_SQL, "a = 017 and b = 078 and c = 08.5 and d = 0091 and e = -078", "a = ? and b = ?? and c = ? and d = ?? and e = ?"},
    {DB_SQL, "select t1.a2 from t1 where b=\"x3\" and c=`z4` and d=1.5e10 and e=0x1F", "select t?.a? from t? where b=\"x?\" and c=`z?` and d=? and e=?"},
    {DB_SQL, "SELECT -1, - 1, a-1, a -1, +5, -.5, =-3", "SELECT ?, - ?, a?, a ?, ?, ?, =-?"},
    {DB_SQL, "SELECT TRUE, false, (NULL), a.true, trueX, true1, true.a", "SELECT ?, ?, (?), a.true, trueX, true?, ?.a"},
    {DB_SQL, "-- c 'x' 5\nSELECT 1", "-- c 'x' 5\nSELECT ?"},
    {DB_SQL, "/* c1 'x' */ SELECT 1 # 5", "/* c1 'x' */ SELECT ? # ?"},
    {DB_SQL, "/* never closed 5", SAME},
    {DB_SQL, "SELECT $1, $12abc, $$a 1$$, $t1$b $ 2$t1$", "SELECT ?, ?abc, ?, ?"},
    {DB_SQL, "a=@p1 a>=@p1 a<@p1", "a=@p1 a>=@p1 a<@p?"},
    {DB_SQL, "a :n1 :1 @p1 @@v1 @a.b1 ? %s", "a :n? :? @p1 @@v1 @a.b? ? %s"},
    {DB_SQL, "SELECT 'never closed 5", "SELECT ?"},
    {DB_SQL, "'a\\'b' 5 'c\\\\' 5", "? ? ? ?"},
    {DB_SQL, "N'a1' x'1F' _utf8'a'", "N? x? _utf?" "?"},
    {DB_SQL, "func1(5), a2.func2(6), func3 (7), \"f4\"(8)", "func1(?), a2.func2(?), func? (?), \"f?\"(?)"},
    {DB_SQL, "a::int4 data->>'k' arr[1] {d1}", "a::int? data->>? arr[?] {d?}"},
    {DB_SQL, "1.2.3 1..2 1e+ 1e5x 0xZZ 007 08a 1_000 12abc", "? ? ? ?x ?ZZ ? ?a ?_? ?abc"},
    {DB_SQL, "t_2024_01 a?1 a$1 a#1 a@1 a/1 \xc3\xa9" "1", "t_?_? a?" "? a$? a#? a@? a/? \xc3\xa9?"},
    {DB_SQL, "SELECT 1;SELECT 2;", "SELECT ?;SELECT ?;"},
    {DB_SQL, "a--1 5--2", "a--1 5--2"},
    {DB_SQL, "?", SAME},
    {DB_SQL, "", SAME},
    {DB_SQL, "\"never 5 'x'", "\"never ? ?"}, /* the Collector leaves all of it */
    {DB_SQL, "a $tag 5 'x'", "a $tag ? ?"},   /* this as well */
    {DB_MYSQL, "select \"a1\", `b1` from t1 # c1 5", "select ?, `b?` from t? # c1 5"},
    {DB_MYSQL, "\"never closed", "?"},
    {DB_REDIS, "SET user:1 john", "SET user:1 ?"},
    {DB_REDIS, " set  a   b  EX  5 ", "set a ? EX 5"},
    {DB_REDIS, "SET a \"b c\" d", "SET a ? d"},
    {DB_REDIS, "SET \"a b\" \"c\\\" d\" e", "SET \"a b\" ? e"},
    {DB_REDIS, "GET k1", SAME},
    {DB_REDIS, "AUTH user pass", "AUTH ?"},
    {DB_REDIS, "AUTH", SAME},
    {DB_REDIS, "MSET a 1 b 2 c", "MSET a ? b ? c"},
    {DB_REDIS, "HSET k f1 v1 f2 v2", "HSET k f1 ? f2 ?"},
    {DB_REDIS, "LPUSH k a b c", "LPUSH k ?"},
    {DB_REDIS, "LINSERT k BEFORE a b", "LINSERT k BEFORE a ?"},
    {DB_REDIS, "ZADD k NX CH 1 a 2 b", "ZADD k NX CH 1 ? 2 ?"},
    {DB_REDIS, "GEOADD k 1 2 m 3 4 n", "GEOADD k 1 2 ? 3 4 ?"},
    {DB_REDIS, "CONFIG SET requirepass x", "CONFIG SET requirepass ?"},
    {DB_REDIS, "CONFIG GET requirepass", SAME},
    {DB_SQL, "\xe2\x80\xa8 a = 5 \xc2\xa0\xe3\x80\x80", "a = ?"},
    {DB_SQL, "\va = null\f", "a = null"}, /* these separate no tokens, but go at the ends */
    {DB_SQL, "\xe2\x80\x83true\t\xc2\x85", "?"},
    {DB_REDIS, "BITFIELD k SET u8 0 5 GET u4 0", "BITFIELD k SET u8 0 ? GET u4 0"},
    {DB_REDIS, "BITFIELD k SET a SET b c d e", "BITFIELD k SET a SET b c ? e"},
    {DB_REDIS, "BITFIELD k SET a b SET c d e SET f g h", "BITFIELD k SET a b SET c d ? SET f g h"},
    {DB_REDIS, "BITFIELD SET 1 2 3 SET 4 5 6", "BITFIELD SET 1 2 3 SET 4 5 ?"},
    {DB_REDIS, "BITFIELD SET a b c d", SAME},
    {DB_REDIS, "SETEX k 5 v", "SETEX k 5 ?"},
    {DB_REDIS, "SET a b\r\nGET c\n\nSET d e", "SET a ?\nGET c\nSET d ?"},
    {DB_REDIS, "SET a \"never closed\nGET b", "SET a ?"},
    {DB_VALKEY, "SADD k a b", "SADD k ?"},
    {DB_MEMCACHED, "set k 0 0 5\r\nvalue\r\n", "set k 0 0 5"},
    {DB_MEMCACHED, " get k ", "get k"},
    {DB_MEMCACHED, "\xc2\xa0get k\xe2\x80\xa9", "get k"},
    {DB_MEMCACHED, "\r\nvalue", ""},
    {DB_MONGO, "{ \"find\" : \"u\", \"filter\":{\"n\":[1, -2.5e3,{\"c\":null}], \"e\":{}} }",
     "{\"find\":\"?\",\"filter\":{\"n\":[\"?\",\"?\",{\"c\":\"?\"}],\"e\":{}}}"},
    {DB_MONGO, "{\"a\\u0041\\n\\\"\":\"x\"}\n", "{\"a\\u0041\\n\\\"\":\"?\"}\n"},
    {DB_ES, " 5 ", "\"?\" "},
    {DB_ES, "\"x\"", "\"?\""},
    {DB_OPENSEARCH, "[]", SAME},
    {DB_MONGO, "{\"a\":1", SAME},
    {DB_MONGO, "{\"a\":1}x", SAME},
    {DB_MONGO, "[1,]", SAME},
    {DB_MONGO, "{\"a\" \"b\"}", SAME},
    {DB_MONGO, "{\"a\":01}", SAME},
    {DB_MONGO, "\"a\nb\"", SAME},
    {DB_MONGO, "\"\\x\"", SAME},
    {DB_MONGO, "db.users.find()", SAME},
    {DB_UNKNOWN, "SELECT 5", SAME},
};

START_TEST(without_values)
{
    struct buf out = {0};
    const char *want = statements[_i].out ? statements[_i].out : statements[_i].in;

    ck_assert_int_eq(db_obfuscate(statements[_i].system, slice_str(statements[_i].in), &out), 0);
    buf_putc(&out, '\0');
    ck_assert_str_eq((const char *)out.p, want);
    buf_free(&out);
}
END_TEST

/* Any bytes: it ends, reads nothing beyond them (each text lies in a block of its size), and a second time changes nothing more. */
START_TEST(any_text)
{
    static const char *const bits[] = {"'", "\"", "`", "\\", "$", "$a$", "--", "/*", "*/", "#", "{", "}", "[", "]", ":", ",", "5", "a1",
                                       "SET", "AUTH", " ", "\n", "\r\n", "\xc3", "\xff", "0x", "1e", "-", ".", "@", "true", "\"k\"", "\t"};
    uint64_t seed = 40 + (uint64_t)_i;

    for (int round = 0; round < 4000; round++) {
        enum db_system system = (enum db_system)(random_next(&seed) % (DB_ES + 1));
        struct buf text = {0}, once = {0}, twice = {0};
        uint8_t *exact;

        for (uint64_t n = random_next(&seed) % 12; n > 0; n--)
            buf_puts(&text, bits[random_next(&seed) % ARRAY_LEN(bits)]);
        exact = mem_alloc(text.len + (text.len == 0));
        if (text.len)
            memcpy(exact, text.p, text.len);
        ck_assert_int_eq(db_obfuscate(system, slice_of(exact, text.len), &once), 0);
        ck_assert_uint_le(once.len, 3 * text.len);
        ck_assert_int_eq(db_obfuscate(system, slice_of(once.p, once.len), &twice), 0);
        if (system == DB_MONGO || system == DB_ES || system == DB_MEMCACHED)
            ck_assert(slice_eq(slice_of(once.p, once.len), slice_of(twice.p, twice.len)));
        free(exact);
        buf_free(&text);
        buf_free(&once);
        buf_free(&twice);
    }
}
END_TEST

START_TEST(deep_json)
{
    enum { DEEP = 9000, TOO_DEEP = 200000 };
    char *text = mem_alloc(TOO_DEEP + 1);
    struct buf out = {0};

    memset(text, '[', TOO_DEEP);
    memset(text + DEEP, ']', DEEP);
    ck_assert_int_eq(db_obfuscate(DB_MONGO, slice_of(text, 2 * (size_t)DEEP), &out), 0);
    ck_assert_uint_eq(out.len, 2 * DEEP);
    memset(text, '[', TOO_DEEP);
    buf_clear(&out);
    ck_assert_int_eq(db_obfuscate(DB_MONGO, slice_of(text, TOO_DEEP), &out), 0);
    ck_assert_uint_eq(out.len, TOO_DEEP);
    buf_free(&out);
    free(text);
}
END_TEST

/* ---- spans ---- */

#define ON "{allow_all_keys: true, db_sanitizer: {sql: {enabled: true, attributes: [q, db.query.text]}, redis: {enabled: true}, " \
           "mongo: {enabled: true, attributes: [q]}, es: {enabled: true, attributes: [q]}}}"
#define S(k_, v_) TH_STR(k_, v_)

static const struct {
    const char *yaml, *name;
    uint8_t kind;
    struct test_attr in[TH_ATTRS];
    const char *out, *name_out;
} spans[] = {
    {ON, "SELECT 5", 3, {S("db.system", "postgresql"), S("q", "a = 5"), S("r", "a = 5"), TH_INT("db.query.text", 5)},
     "db.system=s:postgresql q=s:a = ? r=s:a = 5 db.query.text=i:5", "SELECT ?"},
    {ON, "SELECT 5", 2, {S("q", "a = 5"), S("db.system.name", "MySQL"), S("db.system", "redis")},
     "q=s:a = ? db.system.name=s:MySQL db.system=s:redis", "SELECT ?"},
    {ON, "SELECT 5", 1, {S("q", "a = 5"), S("db.system.name", ""), S("db.system", "sqlite")}, "q=s:a = ? db.system.name=s: db.system=s:sqlite",
     "SELECT ?"},
    {ON, "SELECT 5", 4, {S("q", "a = 5"), S("db.system", "sqlite")}, "q=s:a = ? db.system=s:sqlite", "SELECT 5"}, /* a producer's name */
    {ON, "SELECT 5", 3, {S("q", "a = 5")}, "q=s:a = 5", "SELECT 5"},
    {ON, "SELECT 5", 3, {S("q", "a = 5"), S("db.system", "mssql")}, "q=s:a = 5 db.system=s:mssql", "SELECT 5"},
    {ON, "SET a b", 3, {S("q", "SET a b"), S("db.system", "redis")}, "q=s:SET a b db.system=s:redis", "SET a ?"},
    {ON, "{\"a\":1}", 3, {S("q", "{\"a\":1}"), S("db.system", "mongodb")}, "q=s:{\"a\":\"?\"} db.system=s:mongodb",
     "{\"a\":\"?\"}"},
    {ON, "{\"a\":1}", 3, {S("q", "{\"a\":1}"), S("db.system", "elasticsearch")}, "q=s:{\"a\":1} db.system=s:elasticsearch", "{\"a\":\"?\"}"},
    {ON, "...", 3, {S("db.system", "sqlite")}, "db.system=s:sqlite", "..."},
    {"{allow_all_keys: true, db_sanitizer: {sanitize_span_name: false, sql: {enabled: true, attributes: [q]}}}", "SELECT 5", 3,
     {S("q", "a = 5"), S("db.system", "sqlite")}, "q=s:a = ? db.system=s:sqlite", "SELECT 5"},
    {"{allow_all_keys: true, db_sanitizer: {sql: {enabled: false, attributes: [q]}}}", "SELECT 5", 3, {S("q", "a = 5"), S("db.system", "sqlite")},
     "q=s:a = 5 db.system=s:sqlite", "SELECT 5"},
    {"{allow_all_keys: true, blocked_values: [card], summary: debug, db_sanitizer: {sql: {enabled: true, attributes: [q]}}}", "SELECT 5", 3,
     {S("q", "a = card 5"), S("db.system", "sqlite")},
     "q=s:a = **** ? db.system=s:sqlite redaction.masked.keys=s:q redaction.masked.count=i:1", "SELECT ?"},
    {"{allow_all_keys: true, allowed_values: [ok], db_sanitizer: {sql: {enabled: true, attributes: [q]}}}", "ok 5", 3,
     {S("q", "ok 5"), S("db.system", "sqlite")}, "q=s:ok 5 db.system=s:sqlite", "ok 5"},
    {"{allowed_keys: [q], db_sanitizer: {sql: {enabled: true, attributes: [q]}}}", "SELECT 5", 3, {S("q", "a = 5"), S("db.system", "sqlite")},
     "q=s:a = ?", "SELECT 5"}, /* the system is gone when the name's turn comes */
    {"{allow_all_keys: true, ignored_keys: [db.system], db_sanitizer: {sql: {enabled: true, attributes: [q]}}}", "n", 3,
     {S("db.system", "sqlite"), S("q", "a = 5")}, "db.system=s:sqlite q=s:a = ?", "n"},
    {"{allow_all_keys: true, db_sanitizer: {sanitize_span_name: , sql: {enabled: true}}}", "SELECT 5", 3, {S("db.system", "sqlite")},
     "db.system=s:sqlite", "SELECT ?"}, /* null is not false here */
};

START_TEST(of_a_span)
{
    struct test_settings s = ts_new(&redaction_type, spans[_i].yaml);
    struct test_host *t = th_new();
    struct component *c;
    struct test_span span = {.trace = 1, .id = 1, .name = spans[_i].name, .kind = spans[_i].kind};

    ck_assert_str_eq(ts_problems(&s), "");
    c = th_component(t, &redaction_type, s.settings);
    memcpy(span.attrs, spans[_i].in, sizeof(span.attrs));
    th_push(c, th_batch(t, th_payload(t, TH_SPANS(span))));
    ck_assert_str_eq(td_attrs(span_body(th_span(t->out[0], 0)), SPAN_ATTRIBUTES), spans[_i].out);
    ck_assert_str_eq(th_span_name(th_span(t->out[0], 0)), spans[_i].name_out);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* Resources, scopes and events name their system themselves. */
START_TEST(other_levels)
{
    struct test_settings s = ts_new(&redaction_type, ON);
    struct test_host *t = th_new();
    struct component *c = th_component(t, &redaction_type, s.settings);
    const struct test_span span = {.trace = 1, .id = 1, .name = "n", .attrs = {S("db.system", "sqlite"), S("q", "5")}, .event = "e",
                                   .event_attrs = {S("q", "5")}};
    const struct test_group group = {.resource = {S("db.system", "sqlite"), S("q", "5")}, .spans = &span, .n_spans = 1};
    struct payload *p = th_payload_groups(t, &group, 1);

    th_push(c, th_batch(t, p));
    ck_assert_str_eq(td_attrs(span_body(th_span(t->out[0], 0)), SPAN_ATTRIBUTES), "db.system=s:sqlite q=s:?");
    ck_assert_str_eq(td_attrs(field_bytes(span_body(th_span(t->out[0], 0)), SPAN_EVENTS), EVENT_ATTRIBUTES), "q=s:5");
    ck_assert_str_eq(td_attrs(t->out[0]->parts[0].payload->resources[0].resource, RESOURCE_ATTRIBUTES), "db.system=s:sqlite q=s:?");
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

/* Spans of no database keep their bytes. */
START_TEST(untouched)
{
    struct test_settings s = ts_new(&redaction_type, ON);
    struct test_host *t = th_new();
    struct component *c = th_component(t, &redaction_type, s.settings);
    struct payload *p = th_payload(t, TH_SPANS({.trace = 1, .id = 1, .name = "SELECT 5", .kind = 3, .attrs = {S("q", "5")}},
                                               {.trace = 1, .id = 2, .name = "n", .kind = 3, .attrs = {S("db.system", "sqlite")}}));

    th_push(c, th_batch(t, payload_ref(p)));
    ck_assert_ptr_eq(t->out[0]->parts[0].payload, p);
    payload_unref(&p);
    th_out_end(t);
    th_component_free(t, &c);
    th_free(&t);
    ts_free(&s);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redaction db");
    TCase *t = tcase_create("redaction db");
    SRunner *r = srunner_create(s);
    int failed;

    suite_add_tcase(s, t);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, without_values, 0, (int)ARRAY_LEN(statements));
    tcase_add_loop_test(t, any_text, 0, 4);
    tcase_add_test(t, deep_json);
    tcase_add_loop_test(t, of_a_span, 0, (int)ARRAY_LEN(spans));
    tcase_add_test(t, other_levels);
    tcase_add_test(t, untouched);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
