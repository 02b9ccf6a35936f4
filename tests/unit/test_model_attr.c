/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: iterating, finding, parsing, writing, values as text; key sets; UTF-8. */
#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "model/attr.h"
#include "model/match.h"
#include "model/utf8.h"
#include "platform/mem.h"

static struct slice all(const struct buf *b)
{
    return slice_of(b->p, b->len);
}

static void put_value(struct buf *out, uint32_t number, struct any v)
{
    struct buf body = {0};

    ck_assert_int_eq(any_put(&body, &v), 0);
    ck_assert_int_eq(wire_put_bytes(out, number, all(&body)), 0);
    buf_free(&body);
}

static struct any text(const char *s)
{
    return (struct any){.type = ANY_STR, .bytes = slice_str(s)};
}

static struct any number(int64_t i)
{
    return (struct any){.type = ANY_INT, .i = i};
}

static struct any real(double d)
{
    return (struct any){.type = ANY_DOUBLE, .d = d};
}

/* ---- reading and writing ---- */

START_TEST(what_is_written_is_read)
{
    static const uint8_t bytes[] = {0, 0xff};
    struct any values[] = {
        text("GET"), text(""), number(0), number(-1), number(INT64_MAX), {.type = ANY_BOOL, .i = 1},
        {.type = ANY_BOOL}, real(-0.5), {.type = ANY_EMPTY},
        {.type = ANY_BYTES, .bytes = slice_of(bytes, 2)}, {.type = ANY_ARRAY}, {.type = ANY_MAP},
    };
    struct buf message = {0};
    struct attr_iter it;
    struct attr a;

    ck_assert_int_eq(wire_put_uint(&message, 6, 300), 0);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        ck_assert_int_eq(attr_put(&message, 9, slice_str("key"), &values[i]), 0);
        ck_assert_int_eq(wire_put_fixed64(&message, 7, 1), 0);
        ck_assert_int_eq(wire_put_bytes(&message, 11, slice_str("not an attribute")), 0);
    }
    it = attr_iter(all(&message), 9);
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct any v;

        ck_assert(attr_next(&it, &a));
        ck_assert(slice_eq(a.key, slice_str("key")));
        v = any_parse(a.value);
        ck_assert_int_eq(v.type, values[i].type);
        ck_assert(slice_eq(v.bytes, values[i].bytes));
        ck_assert_int_eq(v.i, values[i].i);
        ck_assert(v.d == values[i].d);
    }
    ck_assert(!attr_next(&it, &a));
    ck_assert(!attr_next(&it, &a));
    buf_free(&message);
}
END_TEST

/* Attributes whose key, value or both need more than the usual one byte of length, or come turned
 * round, or are missing. */
START_TEST(unusual_attributes_are_read)
{
    struct buf message = {0}, kv = {0};
    char *long_text = mem_alloc(3000);
    struct attr a;

    memset(long_text, 'x', 2999);
    ck_assert_int_eq(attr_put_str(&message, 1, slice_str(long_text), slice_str("v")), 0);
    ck_assert_int_eq(attr_put_str(&message, 1, slice_str("long"), slice_str(long_text)), 0);
    put_value(&kv, KEYVALUE_VALUE, number(5));
    ck_assert_int_eq(wire_put_bytes(&kv, KEYVALUE_KEY, slice_str("turned")), 0);
    ck_assert_int_eq(wire_put_bytes(&message, 1, all(&kv)), 0);
    ck_assert_int_eq(wire_put_bytes(&message, 1, (struct slice){0}), 0);
    ck_assert(attr_find(all(&message), 1, slice_str(long_text), &a));
    ck_assert(slice_eq(any_parse(a.value).bytes, slice_str("v")));
    ck_assert(attr_find(all(&message), 1, slice_str("long"), &a));
    ck_assert_uint_eq(any_parse(a.value).bytes.len, 2999);
    ck_assert(attr_find(all(&message), 1, slice_str("turned"), &a));
    ck_assert_int_eq(any_parse(a.value).i, 5);
    ck_assert(attr_find(all(&message), 1, slice_str(""), &a));
    ck_assert_int_eq(any_parse(a.value).type, ANY_EMPTY);
    ck_assert_uint_eq(a.rec.len, 2);
    ck_assert(!attr_find(all(&message), 1, slice_str("none"), &a));
    free(long_text);
    buf_free(&message);
    buf_free(&kv);
}
END_TEST

START_TEST(the_first_of_equal_keys_is_found)
{
    struct buf message = {0};
    struct attr a;

    ck_assert_int_eq(attr_put_int(&message, 9, slice_str("k"), 1), 0);
    ck_assert_int_eq(attr_put_int(&message, 9, slice_str("k"), 2), 0);
    ck_assert(attr_find(all(&message), 9, slice_str("k"), &a));
    ck_assert_int_eq(any_parse(a.value).i, 1);
    ck_assert_ptr_eq(a.rec.p, message.p);
    buf_free(&message);
}
END_TEST

START_TEST(fields_are_walked)
{
    struct buf message = {0};
    struct field_iter it;
    struct field f;

    ck_assert_int_eq(wire_put_uint(&message, 1, 300), 0);
    ck_assert_int_eq(wire_put_bytes(&message, 2, slice_str("a")), 0);
    ck_assert_int_eq(wire_put_bytes(&message, 2, slice_str("b")), 0);
    ck_assert_int_eq(wire_put_fixed64(&message, 100, 77), 0);
    it = field_iter(all(&message));
    ck_assert(field_next(&it, &f));
    ck_assert_uint_eq(f.number, 1);
    ck_assert_uint_eq(f.value, 300);
    ck_assert_uint_eq(f.rec.len, 3);
    ck_assert(field_next(&it, &f) && field_next(&it, &f) && field_next(&it, &f));
    ck_assert_uint_eq(f.number, 100);
    ck_assert_uint_eq(f.wire, 1);
    ck_assert_uint_eq(f.value, 77);
    ck_assert(!field_next(&it, &f));
    ck_assert(slice_eq(field_bytes(all(&message), 2), slice_str("b")));
    ck_assert_uint_eq(field_bytes(all(&message), 3).len, 0);
    ck_assert_uint_eq(field_bytes((struct slice){0}, 3).len, 0);
    buf_free(&message);
}
END_TEST

START_TEST(a_full_buffer_stays_as_it_was)
{
    struct buf out = {.max = 20};

    ck_assert_int_eq(attr_put_str(&out, 9, slice_str("key"), slice_str("val")), 0);
    ck_assert_uint_eq(out.len, 14);
    ck_assert_int_eq(attr_put_str(&out, 9, slice_str("key"), slice_str("value")), -1);
    ck_assert_int_eq(wire_put_bytes(&out, 1, slice_str("too much")), -1);
    ck_assert_int_eq(wire_put_fixed64(&out, 1, 1), -1);
    ck_assert_uint_eq(out.len, 14);
    buf_free(&out);
}
END_TEST

START_TEST(varints_have_their_size)
{
    uint8_t bytes[10];

    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t v = (uint64_t)1 << bit;

        ck_assert_uint_eq(varint_size(v), varint_put(bytes, v));
        ck_assert_uint_eq(varint_size(v - 1), varint_put(bytes, v - 1));
    }
    ck_assert_uint_eq(varint_put(bytes, UINT64_MAX), 10);
    ck_assert_uint_eq(bytes[9], 1);
}
END_TEST

/* ---- as text ---- */

static void assert_text(struct any v, const char *want)
{
    struct buf out = {0};

    ck_assert_int_eq(any_as_string(&v, &out), 0);
    ck_assert_msg(slice_eq(all(&out), slice_str(want)), "\"%.*s\" is not \"%s\"", (int)out.len,
                  (char *)out.p, want);
    buf_free(&out);
}

START_TEST(scalars_as_text)
{
    assert_text((struct any){.type = ANY_EMPTY}, "");
    assert_text(text("as \"is\""), "as \"is\"");
    assert_text((struct any){.type = ANY_BOOL, .i = 1}, "true");
    assert_text((struct any){.type = ANY_BOOL}, "false");
    assert_text(number(INT64_MIN), "-9223372036854775808");
    assert_text((struct any){.type = ANY_BYTES, .bytes = slice_str("")}, "");
    assert_text((struct any){.type = ANY_BYTES, .bytes = slice_str("M")}, "TQ==");
    assert_text((struct any){.type = ANY_BYTES, .bytes = slice_str("Ma")}, "TWE=");
    assert_text((struct any){.type = ANY_BYTES, .bytes = slice_str("Man")}, "TWFu");
    assert_text((struct any){.type = ANY_BYTES, .bytes = slice_str("\xfb\xff\xbf")}, "+/+/");
}
END_TEST

START_TEST(doubles_as_text)
{
    static const struct {
        double d;
        const char *want;
    } doubles[] = {
        {0, "0"}, {-0.0, "-0"}, {1, "1"}, {-1.5, "-1.5"}, {0.1, "0.1"}, {100, "100"},
        {1e20, "100000000000000000000"}, {1e21, "1e+21"}, {-1.25e22, "-1.25e+22"},
        {1e-6, "0.000001"}, {1e-7, "1e-7"}, {1.5e-9, "1.5e-9"}, {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"}, {0.30000000000000004, "0.30000000000000004"},
        {123456789.125, "123456789.125"}, {9007199254740993.0, "9007199254740992"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
    };

    for (size_t i = 0; i < ARRAY_LEN(doubles); i++)
        assert_text(real(doubles[i].d), doubles[i].want);
    assert_text(real(NAN), "NaN");
    assert_text(real(INFINITY), "Infinity");
    assert_text(real(-INFINITY), "-Infinity");
}
END_TEST

START_TEST(lists_as_json)
{
    struct buf items = {0}, inner = {0};

    assert_text((struct any){.type = ANY_ARRAY}, "[]");
    put_value(&inner, 1, number(2));
    put_value(&items, 1, text("a\"\\\b\f\n\r\t\x01\x7f<&>"));
    put_value(&items, 1, text("\xe2\x80\xa8 \xe2\x80\xa9 \xe2\x82\xac"));
    put_value(&items, 1, (struct any){.type = ANY_EMPTY});
    put_value(&items, 1, (struct any){.type = ANY_BOOL, .i = 1});
    put_value(&items, 1, real(1e-7));
    put_value(&items, 1, (struct any){.type = ANY_BYTES, .bytes = slice_str("Man")});
    put_value(&items, 1, (struct any){.type = ANY_ARRAY, .bytes = all(&inner)});
    assert_text((struct any){.type = ANY_ARRAY, .bytes = all(&items)},
                "[\"a\\\"\\\\\\b\\f\\n\\r\\t\\u0001\x7f<&>\",\"\\u2028 \\u2029 \xe2\x82\xac\","
                "null,true,1e-7,\"TWFu\",[2]]");
    put_value(&items, 1, real(NAN));
    assert_text((struct any){.type = ANY_ARRAY, .bytes = all(&items)}, "");
    buf_free(&items);
    buf_free(&inner);
}
END_TEST

START_TEST(maps_as_json)
{
    struct buf map = {0}, outer = {0};

    assert_text((struct any){.type = ANY_MAP}, "{}");
    ck_assert_int_eq(attr_put_int(&map, 1, slice_str("b"), 1), 0);
    ck_assert_int_eq(attr_put_int(&map, 1, slice_str("a\n"), 2), 0);
    ck_assert_int_eq(attr_put_int(&map, 1, slice_str("aa"), 3), 0);
    ck_assert_int_eq(attr_put_int(&map, 1, slice_str("b"), 4), 0);
    ck_assert_int_eq(attr_put_str(&map, 1, slice_str("\xc3\xa9"), slice_str("")), 0);
    assert_text((struct any){.type = ANY_MAP, .bytes = all(&map)},
                "{\"a\\n\":2,\"aa\":3,\"b\":4,\"\xc3\xa9\":\"\"}");
    ck_assert_int_eq(attr_put(&outer, 1, slice_str("m"),
                              &(struct any){.type = ANY_MAP, .bytes = all(&map)}), 0);
    ck_assert_int_eq(attr_put(&outer, 1, slice_str("i"),
                              &(struct any){.type = ANY_DOUBLE, .d = 0.5}), 0);
    assert_text((struct any){.type = ANY_MAP, .bytes = all(&outer)},
                "{\"i\":0.5,\"m\":{\"a\\n\":2,\"aa\":3,\"b\":4,\"\xc3\xa9\":\"\"}}");
    buf_free(&map);
    buf_free(&outer);
}
END_TEST

START_TEST(text_that_does_not_fit_leaves_nothing)
{
    struct buf items = {0}, out = {.max = 8};
    struct any list;

    for (int i = 0; i < 10; i++)
        put_value(&items, 1, number(7));
    list = (struct any){.type = ANY_ARRAY, .bytes = all(&items)};
    ck_assert_int_eq(any_as_string(&list, &out), -1);
    ck_assert_uint_eq(out.len, 0);
    buf_free(&items);
    buf_free(&out);
}
END_TEST

/* ---- key sets ---- */

START_TEST(key_sets_find_their_keys)
{
    static const char *const keys[] = {"a", "ab", "abc", "http.method", "http.status_code", "",
                                       "db.statement", "http.method", "12345678", "123456789"};
    struct keyset *k = keyset_new(keys, ARRAY_LEN(keys));

    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        ck_assert_int_eq(keyset_find(k, slice_str(keys[i])), i == 7 ? 3 : (int)i);
    ck_assert_int_eq(keyset_find(k, slice_str("abd")), -1);
    ck_assert_int_eq(keyset_find(k, slice_str("http.methoD")), -1);
    ck_assert_int_eq(keyset_find(k, slice_str("123456780")), -1);
    ck_assert_int_eq(keyset_find(k, slice_of("ab\0", 3)), -1);
    ck_assert_int_eq(keyset_find(k, (struct slice){0}), 5);
    keyset_free(&k);
    keyset_free(&k);
    k = keyset_new(NULL, 0);
    ck_assert_int_eq(keyset_find(k, slice_str("a")), -1);
    ck_assert_int_eq(keyset_find(k, (struct slice){0}), -1);
    keyset_free(&k);
}
END_TEST

START_TEST(large_key_sets)
{
    enum { N = 3000 };
    char **keys = mem_alloc_array(N, sizeof(*keys));
    struct keyset *k;

    for (size_t i = 0; i < N; i++)
        keys[i] = mem_printf("%s%zu%s", i % 3 ? "key." : "", i, i % 7 ? "" : ".with.a.long.end");
    k = keyset_new((const char *const *)keys, N);
    for (size_t i = 0; i < N; i++) {
        ck_assert_int_eq(keyset_find(k, slice_str(keys[i])), (int)i);
        ck_assert_int_eq(keyset_find(k, slice_of(keys[i], strlen(keys[i]) + 1)), -1);
        free(keys[i]);
    }
    free(keys);
    keyset_free(&k);
}
END_TEST

/* ---- UTF-8 ---- */

static const struct {
    const char *in, *out;
} sequences[] = {
    {"", ""}, {"abc", "abc"}, {"\xc2\x80", "\xc2\x80"}, {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},
    {"\xed\x9f\xbf\xee\x80\x80", "\xed\x9f\xbf\xee\x80\x80"},
    {"\x80", "?"}, {"\xc0\xaf", "??"}, {"\xc1\xbf", "??"}, {"\xe0\x80\xaf", "???"},
    {"\xe0\x9f\xbf", "???"}, {"\xed\xa0\x80", "???"}, {"\xf0\x80\x80\xaf", "????"},
    {"\xf4\x90\x80\x80", "????"}, {"\xf5\x80\x80\x80", "????"}, {"\xff", "?"},
    {"\xe1\x80", "?"}, {"\xe1\x80" "a", "?a"}, {"\xf1\x80\x80", "?"}, {"\xf1\x80" "b", "?b"},
    {"\xc3", "?"}, {"a\xc3(", "a?("}, {"\xe2\x82\xe2\x82\xac", "?\xe2\x82\xac"},
    /* Unicode's own example of the practice. */
    {"\x61\xf1\x80\x80\xe1\x80\xc2\x62\x80\x63\x80\xbf\x64", "a???b?c??d"},
    {"0123456789abcdef\xff", "0123456789abcdef?"}, {"\xff" "0123456789abcdef", "?0123456789abcdef"},
};

START_TEST(bad_utf8_is_replaced_by_maximal_subparts)
{
    struct slice in = slice_str(sequences[_i].in), want = slice_str(sequences[_i].out);
    struct buf expected = {0};
    uint8_t got[256];
    size_t n;

    for (size_t i = 0; i < want.len; i++) {
        if (want.p[i] == '?')
            buf_puts(&expected, "\xef\xbf\xbd");
        else
            buf_put(&expected, want.p + i, 1);
    }
    ck_assert_int_eq(utf8_valid(in.p, in.len), slice_eq(in, want));
    n = utf8_repair(NULL, in.p, in.len);
    ck_assert_uint_eq(n, expected.len);
    ck_assert_uint_eq(utf8_repair(got, in.p, in.len), n);
    ck_assert(slice_eq(slice_of(got, n), all(&expected)));
    ck_assert(utf8_valid(got, n));
    buf_free(&expected);
}
END_TEST

/* A bad byte at every place of every length, at the end of its memory and before more of it. */
START_TEST(ascii_is_checked_to_the_last_byte)
{
    for (size_t n = 1; n < 100; n++) {
        uint8_t *tight = malloc(n), *roomy = malloc(n + 16);

        ck_assert(tight && roomy);
        memset(tight, 'x', n);
        memset(roomy, 'x', n);
        memset(roomy + n, 0xff, 16);
        ck_assert(utf8_all_ascii(tight, n, tight + n));
        ck_assert(utf8_all_ascii(roomy, n, roomy + n + 16));
        for (size_t i = 0; i < n; i++) {
            tight[i] = roomy[i] = 0x80;
            ck_assert(!utf8_all_ascii(tight, n, tight + n));
            ck_assert(!utf8_all_ascii(roomy, n, roomy + n + 16));
            ck_assert(!utf8_valid(tight, n));
            tight[i] = roomy[i] = 'x';
        }
        free(tight);
        free(roomy);
    }
    ck_assert(utf8_all_ascii(NULL, 0, NULL));
}
END_TEST

static TCase *attributes(void)
{
    TCase *t = tcase_create("attributes");

    tcase_add_test(t, what_is_written_is_read);
    tcase_add_test(t, unusual_attributes_are_read);
    tcase_add_test(t, the_first_of_equal_keys_is_found);
    tcase_add_test(t, fields_are_walked);
    tcase_add_test(t, a_full_buffer_stays_as_it_was);
    tcase_add_test(t, varints_have_their_size);
    tcase_add_test(t, scalars_as_text);
    tcase_add_test(t, doubles_as_text);
    tcase_add_test(t, lists_as_json);
    tcase_add_test(t, maps_as_json);
    tcase_add_test(t, text_that_does_not_fit_leaves_nothing);
    return t;
}

static TCase *strings(void)
{
    TCase *t = tcase_create("strings");

    tcase_add_test(t, key_sets_find_their_keys);
    tcase_add_test(t, large_key_sets);
    tcase_add_loop_test(t, bad_utf8_is_replaced_by_maximal_subparts, 0, (int)ARRAY_LEN(sequences));
    tcase_add_test(t, ascii_is_checked_to_the_last_byte);
    return t;
}

int main(void)
{
    Suite *s = suite_create("attributes");
    SRunner *r;
    int failed;

    suite_add_tcase(s, attributes());
    suite_add_tcase(s, strings());
    r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
