/* SPDX-License-Identifier: Apache-2.0 */
/* OTTL conditions: what they say of one span, and what is refused with which words and where. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ottl/map_build.h"
#include "ottl/ottl.h"
#include "ottl/value.h"
#include "platform/hash.h"
#include "tests/lib/test_host.h"

/* The one span all verdicts are about. */
static struct payload *some_payload(struct test_host *t)
{
    /* {"a": 1, "b": {"c": "x"}} and [1, "x"] */
    static const uint8_t map[] = "\x0a\x07\x0a\x01"
                                 "a\x12\x02\x18\x01\x0a\x11\x0a\x01"
                                 "b\x12\x0c\x32\x0a\x0a\x08\x0a\x01"
                                 "c\x12\x03\x0a\x01x";
    static const uint8_t list[] = "\x0a\x02\x18\x01\x0a\x03\x0a\x01x";
    struct test_span s = {
        .trace = 7,
        .id = 3,
        .parent = 0,
        .name = "GET /health",
        .kind = 2,
        .status = 2,
        .status_message = "bad",
        .trace_state = "a=1,b=2",
        .start_ns = 1700000000000001000,
        .end_ns = 1700000001500001000,
        .attrs = {TH_STR("s", "abc"),
                  TH_INT("i", 7),
                  TH_DBL("d", 1.5),
                  TH_BOOL("t", 1),
                  TH_BYTES("y", "\x01\x02"),
                  TH_RAW("m", ANY_MAP, slice_of(map, sizeof(map) - 1)),
                  TH_RAW("l", ANY_ARRAY, slice_of(list, sizeof(list) - 1)),
                  {.key = "e", .type = ANY_EMPTY},
                  TH_STR("n", "200")},
        .event = "exception",
        .event_attrs = {TH_STR("k", "v")},
    };
    struct test_group g = {.resource = {TH_STR("service.name", "api")},
                           .resource_schema = "https://r",
                           .scope = "lib",
                           .scope_version = "1",
                           .spans = &s,
                           .n_spans = 1};

    return th_payload_groups(t, &g, 1);
}

static void look_at(struct ottl_eval *e, const struct payload *p)
{
    ottl_set_resource(e, p->resources[0].resource, p->resources[0].schema_url);
    ottl_set_scope(e, p->scopes[0].scope, p->scopes[0].schema_url);
    ottl_set_span(e, &p->spans[0]);
    ottl_set_event(e, field_bytes(span_body(&p->spans[0]), SPAN_EVENTS));
}

static char verdict_of(const struct payload *p, const char *text, enum ottl_context c)
{
    struct ottl_program *program = ottl_program_new();
    struct ottl_eval *e;
    enum ottl_verdict v;
    struct err err;

    ck_assert_msg(ottl_program_add(program, text, c, false, &err) == 0, "%s: %s", text, err.text);
    ottl_program_seal(program);
    e = ottl_eval_new(program);
    look_at(e, p);
    v = ottl_condition(e, 0);
    if (v == OTTL_ERROR)
        ck_assert(ottl_error(e)[0] != 0);
    ck_assert_int_eq(ottl_condition(e, 0), v); /* nothing is left over */
    ottl_eval_free(&e);
    ottl_program_free(&program);
    return "FTE"[v];
}

/* "T", "F" or "E", a blank, the condition. */
static const char *const verdicts[] = {
#include "tests/unit/ottl_functions.inc"
#include "tests/unit/ottl_verdicts.inc"
};

static const char *const zone_verdicts[] = {
#include "tests/unit/ottl_zones.inc"
};

/* Many in one test: a process for each would cost more than they do. */
static void check_verdicts(const char *const *all, size_t n)
{
    struct test_host *t = th_new();
    struct payload *p = some_payload(t);

    for (size_t i = 0; i < n; i++) {
        char v = verdict_of(p, all[i] + 2, OTTL_SPAN);

        ck_assert_msg(v == all[i][0], "%s: %c, expected %c", all[i] + 2, v, all[i][0]);
    }
    payload_unref(&p);
    th_free(&t);
}

#define AT_ONCE 50

START_TEST(verdict)
{
    size_t from = (size_t)_i * AT_ONCE, left = ARRAY_LEN(verdicts) - from;

    check_verdicts(verdicts + from, left < AT_ONCE ? left : AT_ONCE);
}
END_TEST

START_TEST(zone_verdict)
{
    if (access("/usr/share/zoneinfo/America/New_York", R_OK) == 0) /* there are systems without */
        check_verdicts(zone_verdicts, ARRAY_LEN(zone_verdicts));
}
END_TEST

static const struct {
    enum ottl_context context;
    const char *text;
    char verdict;
} in_contexts[] = {
    {OTTL_SPANEVENT, "name == \"exception\"", 'T'},
    {OTTL_SPANEVENT, "attributes[\"k\"] == \"v\" and span.attributes[\"i\"] == 7", 'T'},
    {OTTL_SPANEVENT, "spanevent.name == \"exception\" and span.kind == SPAN_KIND_SERVER", 'T'},
    {OTTL_SPANEVENT, "event_index == 0", 'E'},
    {OTTL_SPANEVENT,
     "resource.attributes[\"service.name\"] == \"api\" and instrumentation_scope.name == \"lib\"",
     'T'},
    {OTTL_RESOURCE, "attributes[\"service.name\"] == \"api\" and schema_url == \"https://r\"", 'T'},
    {OTTL_RESOURCE, "resource.attributes[\"service.name\"] != \"api\"", 'F'},
    {OTTL_SCOPE, "name == \"lib\" and version == \"1\" and resource.attributes[\"x\"] == nil", 'T'},
    {OTTL_SPAN, "scope.name == \"lib\" and span.name == \"GET /health\"", 'T'},
};

START_TEST(contexts)
{
    struct test_host *t = th_new();
    struct payload *p = some_payload(t);

    ck_assert_int_eq(verdict_of(p, in_contexts[_i].text, in_contexts[_i].context),
                     in_contexts[_i].verdict);
    payload_unref(&p);
    th_free(&t);
}
END_TEST

static const struct {
    enum ottl_context context;
    const char *text, *error; /* how it begins */
} refusals[] = {
    {OTTL_SPAN, "name ==", "1:8: unexpected token \"<EOF>\" (expected a value)"},
    {OTTL_SPAN, "", "1:1: unexpected token \"<EOF>\""},
    {OTTL_SPAN, "name", "1:5: unexpected token \"<EOF>\" (expected a comparison"},
    {OTTL_SPAN, "name == \"a", "1:9: lexer: invalid input text \"\"a\""},
    {OTTL_SPAN, "name == 'x'", "1:9: lexer: invalid input text"},
    {OTTL_SPAN, "name == 5 % 2", "1:11: lexer: invalid input text"},
    {OTTL_SPAN, "true and\n  name == \"\\d\"",
     "2:11: invalid quoted string \"\\d\": invalid syntax"},
    {OTTL_SPAN, "name == \"\\ud800\"", "1:9: invalid quoted string"},
    {OTTL_SPAN, "\"\xc3\xbc\" == nam",
     "1:8: segment \"nam\" is not a valid path of the span context, did you mean \"name\"?"},
    {OTTL_SPAN, "1 + \"a\" == 3", "1:5: unexpected token"},
    {OTTL_SPAN, "\"a\" + 1 == 3", "1:5: unexpected token \"+\" (expected a comparison"},
    {OTTL_SPAN, "not not true", "1:5: unexpected token \"not\""},
    {OTTL_SPAN, "--1 == 1", "1:2: unexpected token \"-\""},
    {OTTL_SPAN, "0x123 == name", "1:1: bytes with an odd number of hexadecimal digits"},
    {OTTL_SPAN, "9223372036854775808 > 1", "1:1: 9223372036854775808 is out of the range"},
    {OTTL_SPAN, "attributes[1+1] == 1",
     "1:12: unexpected token \"1\" (expected a string, an integer, a path or a converter)"},
    {OTTL_SPAN, "attributes[] == 1", "1:12: unexpected token \"]\""},
    {OTTL_SPAN, "[1, ] == 1", "1:5: unexpected token \"]\""},
    {OTTL_SPAN, "{1: 2} == 1", "1:2: unexpected token \"1\" (expected a string or \"}\")"},
    {OTTL_SPAN, "(name == \"x\"", "1:13: unexpected token \"<EOF>\" (expected \")\")"},
    {OTTL_SPAN, "name == \"x\" name", "1:13: unexpected token \"name\" (expected the end"},
    {OTTL_SPAN, "IsMtch(name, \"x\")",
     "1:1: undefined function \"IsMtch\", did you mean \"IsMatch\"?"},
    {OTTL_SPAN, "true or UserAgent(name) == nil",
     "1:9: function \"UserAgent\" is not supported yet"},
    {OTTL_SPAN, "ExtractGrokPatterns(name, name) == nil", "1:27: expected a constant string"},
    {OTTL_SPAN, "ExtractGrokPatterns(name, \"%{NOPE:x}\") == nil",
     "1:1: ExtractGrokPatterns: the regex pattern supplied to ExtractGrokPatterns "
     "'\"%{NOPE:x}\"' is not a valid pattern: pattern definition \"NOPE\" unknown: parsing failed"},
    {OTTL_SPAN, "ExtractGrokPatterns(name, \"%{WORD:x} (\") == nil",
     "1:1: ExtractGrokPatterns: the regex pattern supplied to ExtractGrokPatterns"},
    {OTTL_SPAN,
     "ExtractGrokPatterns(name, \"%{A:x}\", true, [\"A=%{B}%{B}\", \"B=%{A}%{A}\"]) == nil",
     "1:1: ExtractGrokPatterns: the regex pattern supplied to ExtractGrokPatterns "
     "'\"%{A:x}\"' is not a valid pattern: patterns are nested more than 32 deep"},
    {OTTL_SPAN, "ExtractGrokPatterns(name, \"%{A:x}\", true, [\"A\"]) == nil",
     "1:1: ExtractGrokPatterns: pattern \"A\" supplied to ExtractGrokPatterns at index 0 has "
     "incorrect format, expecting PATTERNNAME=pattern definition"},
    {OTTL_SPAN, "ExtractGrokPatterns(name, \"%{A:x}\", true, [\"A:b=c\"]) == nil",
     "1:1: ExtractGrokPatterns: pattern ID \"A:b\" should not contain ':'"},
    {OTTL_SPAN, "ParseCSV(nil, \"a\") == nil", "1:10: expected string but got nil"},
    {OTTL_SPAN, "ParseCSV(name, \"a\", \"||\") == nil",
     "1:1: ParseCSV: invalid arguments: delimiter must be a single character"},
    {OTTL_SPAN, "ParseCSV(name, \"a\", mode=\"foo\") == nil", "1:1: ParseCSV: unknown mode: foo"},
    {OTTL_SPAN, "CommunityID(name, \"1\", name, 2) == nil", "1:19: expected int64 but got string"},
    {OTTL_SPAN, "ProfileID(0x11) == nil",
     "1:1: ProfileID: could not decode ID: invalid length: expected 16 or 32 bytes, got 1"},
    {OTTL_SPAN, "set(name, \"x\")",
     "1:1: converter names must start with an uppercase letter but got 'set'"},
    {OTTL_SPAN, "IsMatch(name)",
     "1:1: incorrect number of arguments for \"IsMatch\": \"pattern\" is missing"},
    {OTTL_SPAN, "IsMatch(name, \"x\", \"y\")",
     "1:1: incorrect number of arguments for \"IsMatch\". Expected: 2 Received: 3"},
    {OTTL_SPAN, "IsMatch(name, \"(\")",
     "1:1: the regex pattern supplied to IsMatch '(' is not a valid pattern"},
    {OTTL_SPAN, "IsMatch(name, 5)", "1:15: expected string but got int64"},
    {OTTL_SPAN, "IsMatch(name, regex=\"x\")", "1:21: \"IsMatch\" has no parameter \"regex\""},
    {OTTL_SPAN, "IsMatch(target=name, \"x\")",
     "1:22: unnamed arguments of \"IsMatch\" must come before named ones"},
    {OTTL_SPAN, "IsMatch(name, target=name)", "1:22: \"target\" is given twice"},
    {OTTL_SPAN, "IsMatch(name, Len)",
     "1:15: a function's name is no value: write it with its arguments"},
    {OTTL_SPAN, "IsMap(nil)", "1:7: expected pcommon.Map but got nil"},
    {OTTL_SPAN, "IsString(5)", "1:10: expected string but got int64"},
    {OTTL_SPAN, "Double(\"x\") == 1", "1:8: expected float64 but got string"},
    {OTTL_SPAN, "Int([1]) == 1", "1:5: expected int64 but got a list"},
    {OTTL_SPAN, "Concat(name, \"x\") == \"\"", "1:8: expected a list in brackets"},
    {OTTL_SPAN, "Coalesce([]) == 1", "1:1: Coalesce: at least one value is needed"},
    {OTTL_SPAN, "TraceID(0x01) == trace_id",
     "1:1: TraceID: could not decode ID: invalid length: expected 16 or 32 bytes, got 1"},
    {OTTL_SPAN, "ConvertCase(name, \"foo\") == 1",
     "1:1: ConvertCase: invalid case: foo, allowed cases are"},
    {OTTL_SPAN, "ConvertCase(name, name) == 1", "1:19: expected a constant string"},
    {OTTL_SPAN, "IsInCIDR(name, [\"10.0.0.0/33\"])",
     "1:1: IsInCIDR: invalid CIDR address: 10.0.0.0/33"},
    {OTTL_SPAN, "ParseKeyValue(name, \" \") == 1",
     "1:1: ParseKeyValue: pair delimiter \" \" cannot be equal to delimiter"},
    {OTTL_SPAN, "Time(5, \"%Y\") == 1", "1:6: expected string but got int64"},
    {OTTL_SPAN, "Time(name, name) == 1", "1:12: expected a constant string"},
    {OTTL_SPAN, "Time(name, \"\") == 1", "1:1: Time: format cannot be nil"},
    {OTTL_SPAN, "Time(name, \"%Y 5\") == 1",
     "1:1: Time: format string should not contain decimals"},
    {OTTL_SPAN, "Time(name, \"%Q\") == 1",
     "1:1: Time: invalid strptime format: [unsupported ctimefmt.toNative() directive: %Q]"},
    {OTTL_SPAN, "Time(name, \"%S%L\") == 1",
     "1:1: Time: invalid fractional seconds directive: 'S%L'. must be preceded with '.' or ','"},
    {OTTL_SPAN, "Time(name, \"%Y\", \"Foo/Bar\") == 1",
     "1:1: Time: failed to load location Foo/Bar: unknown time zone Foo/Bar"},
    {OTTL_SPAN, "Time(name, \"%Y\", \"../etc/passwd\") == 1",
     "1:1: Time: failed to load location ../etc/passwd: time: invalid location name"},
    {OTTL_SPAN, "Time(name, \"%Y\", locale=\"fr\") == 1",
     "1:1: Time: the locale 'fr' is not supported: only English ones are"},
    {OTTL_SPAN, "FormatTime(nil, \"%Y\") == 1", "1:12: expected time.Time but got nil"},
    {OTTL_SPAN, "Base64Encode(7) == 1", "1:14: expected string but got int64"},
    {OTTL_SPAN, "Base64Decode(nil) == 1", "1:14: expected string but got nil"},
    {OTTL_SPAN, "Decode(name, \"foo\") == 1", "1:1: Decode: unsupported encoding 'foo'"},
    {OTTL_SPAN, "Decode(name, \"shift_jis\") == 1",
     "1:1: Decode: unsupported encoding 'shift_jis'"},
    {OTTL_SPAN, "XXH3(nil) == 1", "1:6: expected string but got nil"},
    {OTTL_SPAN, "Sort([1], \"DESC\") == 1",
     "1:1: Sort: invalid arguments: DESC. Order should be either \"asc\" or \"desc\""},
    {OTTL_SPAN, "SliceToMap(nil) == 1", "1:12: expected pcommon.Slice but got nil"},
    {OTTL_SPAN, "SliceToMap([1], [name]) == 1", "1:18: expected string"},
    {OTTL_SPAN, "SliceToMap([1], name) == 1", "1:17: expected a list in brackets"},
    {OTTL_SPAN, "ToKeyValueString(nil) == 1", "1:18: expected pcommon.Map but got nil"},
    {OTTL_SPAN, "ToKeyValueString({}, \"\") == 1",
     "1:1: ToKeyValueString: delimiter cannot be set to an empty string"},
    {OTTL_SPAN, "ToKeyValueString({}, \" \") == 1",
     "1:1: ToKeyValueString: pair delimiter \" \" cannot be equal to delimiter"},
    {OTTL_SPAN, "ToKeyValueString({}, name) == 1", "1:22: expected a constant string"},
    {OTTL_SPAN, "Format(name, []) == 1", "1:8: expected a constant string"},
    {OTTL_SPAN, "Format(\"%s\", \"a\") == 1", "1:14: expected a list in brackets"},
    {OTTL_SPAN, "URL(nil) == 1", "1:5: expected string but got nil"},
    {OTTL_SPAN, "kind == SPAN_KIND_SERVRE",
     "1:9: enum symbol, SPAN_KIND_SERVRE, not found, did you mean \"SPAN_KIND_SERVER\"?"},
    {OTTL_SPAN, "Foo == 1",
     "1:1: \"Foo\" is no value: a function has its arguments in parentheses, or ()"},
    {OTTL_SPAN, "name[\"a\"] == 1", "1:6: the path \"name\" cannot be indexed"},
    {OTTL_SPAN, "trace_state[\"a\"][\"b\"] == 1",
     "1:18: must provide exactly 1 key when accessing trace_state"},
    {OTTL_SPAN, "attributes.a == 1", "1:12: \"attributes\" has no fields: write attributes[\"a\"]"},
    {OTTL_SPAN, "status.code.x == 1", "1:13: the path ends before this"},
    {OTTL_SPAN, "status.cde == 1",
     "1:8: segment \"cde\" is not a valid path of the span context, did you mean \"code\"?"},
    {OTTL_SPAN, "resource.nme == 1",
     "1:10: segment \"nme\" is not a valid path of the resource context"},
    {OTTL_SPAN, "spanevent.name == 1",
     "1:1: segment \"spanevent\" is not a valid path of the span context"},
    {OTTL_SPAN, "otelcol.client.adr == nil",
     "1:1: \"otelcol.client.adr\" is not a valid path, did you mean \"otelcol.client.addr\"?"},
    {OTTL_SPAN, "attributes['a'] == 1",
     "1:12: lexer: invalid input text \"'a'] == 1\", did you mean \"...\"?"},
    {OTTL_SPAN, "name == \"a\" && true",
     "1:13: lexer: invalid input text \"&& true\", did you mean \"and\"?"},
    {OTTL_SPAN, "attributes[a] == 1", "1:12: \"a\" is no path: a key is in quotes, [\"a\"]"},
    {OTTL_SPAN, "span.status_code == 2",
     "1:6: segment \"status_code\" is not a valid path of the span context, did you mean "
     "\"status.code\"?"},
    {OTTL_SPAN, "resources.attributes[\"a\"] == 1",
     "1:1: segment \"resources\" is not a valid path of the span context, did you mean "
     "\"resource\"?"},
    {OTTL_SPAN, "name == null",
     "1:9: segment \"null\" is not a valid path of the span context, did you mean \"nil\"?"},
    {OTTL_SPAN, "name == Nil", "1:9: \"Nil\" is no value, did you mean \"nil\"?"},
    {OTTL_SPAN, "name = \"a\"",
     "1:6: unexpected token \"=\" (expected a comparison: ==, !=, <, <=, > or >=), did you mean "
     "\"==\"?"},
    {OTTL_SPAN, "attributes[\"a\"] in [1]",
     "1:17: unexpected token \"in\" (expected a comparison: ==, !=, <, <=, > or >=), did you mean "
     "\"ContainsValue(list, value)\"?"},
    {OTTL_SPAN, "end_time - start_time > 5s",
     "1:26: unexpected token \"s\" (expected the end, \"and\" or \"or\"), did you mean "
     "Duration(\"1s\")?"},
    {OTTL_SPAN, "ismatch(name, \"a\")",
     "1:1: converter names must start with an uppercase letter but got 'ismatch', did you mean "
     "\"IsMatch\"?"},
    {OTTL_SPAN, "set(name, \"a\")",
     "1:1: converter names must start with an uppercase letter but got 'set', an editor, which "
     "gives no value"},
    {OTTL_SPAN, "IsMatch(target=name, regex=\"a\")",
     "1:28: \"IsMatch\" has no parameter \"regex\""},
    {OTTL_SPAN, "body == \"a\"",
     "1:1: segment \"body\" is not a valid path of the span context: it is of another signal than "
     "traces"},
    {OTTL_SPAN, "kind == TRUE", "1:9: enum symbol, TRUE, not found, did you mean \"true\"?"},
    {OTTL_SPAN, "IsMatch(name, \"\\d\")",
     "1:15: invalid quoted string \"\\d\": invalid syntax, a backslash is written \\\\"},
    {OTTL_SPAN, "[1, 2 3] == nil", "1:7: unexpected token \"3\" (expected \",\" or \"]\")"},
    {OTTL_SPAN, "[1,] == nil", "1:4: unexpected token \"]\" (expected a value)"},
    {OTTL_SPAN, "IsString({})", "1:10: expected string but got pcommon.Map"},
    {OTTL_SPAN, "Split({\"a\": 1}, \",\") == nil", "1:7: expected string but got pcommon.Map"},
    {OTTL_SPAN, "Split(-5, \",\") == nil", "1:7: expected string but got int64"},
    {OTTL_SPAN, "Unix(2, -2.25) == nil", "1:9: expected int64 but got float64"},
    {OTTL_SPAN, "ContainsValue([[{}]], 1)",
     "1:15: a map in a list in brackets cannot be used here"},
    {OTTL_SPAN, "Trim(name, name) == nil", "1:12: expected a constant string"},
    {OTTL_SPAN, "otelcol.client == nil", "1:1: \"otelcol.client\" is not a valid path"},
    {OTTL_SPAN, "otelcol.client.addr[0] == nil",
     "1:21: the path \"otelcol.client.addr\" cannot be indexed"},
    {OTTL_SPAN, "otelcol.client[\"metadata\"].x == nil",
     "1:16: only the last field of an otelcol path can be indexed"},
    {OTTL_SPAN, "span.otelcol.client.addr == nil",
     "1:6: segment \"otelcol\" is not a valid path of the span context"},
    {OTTL_SPAN, "otelcol == nil",
     "1:1: segment \"otelcol\" is not a valid path of the span context"},
    {OTTL_SPANEVENT, "kind == 1",
     "1:1: segment \"kind\" is not a valid path of the spanevent context"},
    {OTTL_SPANEVENT, "IsRootSpan()",
     "1:1: undefined function \"IsRootSpan\" in the spanevent context"},
    {OTTL_RESOURCE, "span.name == \"x\"",
     "1:1: segment \"span\" is not a valid path of the resource context"},
};

START_TEST(refusal)
{
    struct err err = {.text = ""};

    ck_assert_msg(ottl_check(refusals[_i].text, refusals[_i].context, false, &err) == -1, "%s",
                  refusals[_i].text);
    ck_assert_msg(strncmp(err.text, refusals[_i].error, strlen(refusals[_i].error)) == 0,
                  "%s\n  says %s\n  not  %s", refusals[_i].text, err.text, refusals[_i].error);
}
END_TEST

static const struct {
    const char *text;
    int context; /* -1: none */
} inferred[] = {
    {"span.name == \"x\"", OTTL_SPAN},
    {"resource.attributes[\"a\"] == 1", OTTL_RESOURCE},
    {"resource.attributes[\"a\"] == 1 and IsRootSpan()", OTTL_SPAN},
    {"resource.attributes[\"a\"] == SPAN_KIND_SERVER", OTTL_SPAN},
    {"scope.name == \"x\" or resource.schema_url == \"\"", OTTL_SCOPE},
    {"spanevent.attributes[span.name] == 1", OTTL_SPANEVENT},
    {"span.attributes[spanevent.name] == 1", OTTL_SPANEVENT},
    {"instrumentation_scope.name == \"x\"", -1},
    {"otelcol.client.addr == span.name", OTTL_SPAN},
    {"otelcol.client.addr == resource.schema_url", OTTL_RESOURCE},
    {"otelcol.client.addr == \"x\" and IsRootSpan()", -1},
    {"name == \"x\"", -1},
    {"true", -1},
    {"span.name ==", -1},
};

START_TEST(inference)
{
    enum ottl_context c = OTTL_RESOURCE;
    struct err err;
    int rc = ottl_infer(&inferred[_i].text, 1, &c, &err);

    ck_assert_msg((rc ? -1 : (int)c) == inferred[_i].context, "%s", inferred[_i].text);
    if (rc == 0)
        ck_assert_msg(ottl_check(inferred[_i].text, c, true, &err) == 0, "%s", err.text);
}
END_TEST

static const struct {
    const char *text, *note; /* NULL: there is none */
} noted[] = {
    {"kind == \"SPAN_KIND_SERVER\"", "1:1: this never holds: int64 is compared with string"},
    {"true and status.code != \"ERROR\"", "1:10: this always holds: int64 is compared with string"},
    {"trace_id == \"abc\"",
     "1:1: this never holds: pcommon.TraceID is compared with string: its .string is text"},
    {"end_time - start_time > 5",
     "1:10: this never holds: time.Duration is compared with int64: write Duration(\"1s\")"},
    {"name == nil", "1:1: this never holds: string is compared with nil"},
    {"start_time == end_time_unix_nano", "1:1: this never holds: time.Time is compared with int64"},
    {"kind == 2.0 and kind == SPAN_KIND_SERVER", NULL},
    {"end_time_unix_nano - start_time_unix_nano > 1.5", NULL},
    {"attributes[\"a\"] == 1 and name == attributes[\"b\"]", NULL},
    {"trace_state[\"a\"] == nil", NULL},
    {"parent_span_id == SpanID(\"0000000000000000\")", NULL},
    {"end_time - start_time > Duration(\"1s\")", NULL},
};

/* Fine for the Collector, and surely not meant. */
START_TEST(notes)
{
    struct ottl_program *p = ottl_program_new();
    struct err err;

    for (size_t i = 0; i < ARRAY_LEN(noted); i++) {
        ck_assert(ottl_program_add(p, noted[i].text, OTTL_SPAN, false, &err) >= 0);
        if (noted[i].note)
            ck_assert_str_eq(ottl_program_note(p), noted[i].note);
        else
            ck_assert_msg(!ottl_program_note(p), "%s: %s", noted[i].text, ottl_program_note(p));
    }
    ck_assert(ottl_program_add_statement(p, "set(name, \"x\") where kind == \"x\"", OTTL_SPAN,
                                         false, &err) >= 0);
    ck_assert_str_eq(ottl_program_note(p), "1:22: this never holds: int64 is compared with string");
    ottl_program_free(&p);
}
END_TEST

START_TEST(every_prefix)
{
    struct err err;

    ck_assert_int_eq(ottl_check("span.name == \"x\" and name == 1", OTTL_SPAN, true, &err), -1);
    ck_assert_str_eq(err.text, "1:22: missing context name for path \"name\": write \"span.name\"");
}
END_TEST

START_TEST(bounds)
{
    static char text[1 << 18];
    struct err err;
    size_t n = 0;

    /* as deep as it may be, and deeper */
    for (int levels = 50; levels <= 5000; levels *= 100) {
        memset(text, '(', (size_t)levels);
        memcpy(text + levels, "true", 4);
        memset(text + levels + 4, ')', (size_t)levels);
        text[2 * levels + 4] = 0;
        ck_assert_int_eq(ottl_check(text, OTTL_SPAN, false, &err), levels == 50 ? 0 : -1);
    }
    ck_assert_ptr_nonnull(strstr(err.text, "nested deeper than"));
    for (int levels = 5000; levels; levels--)
        n += (size_t)sprintf(text + n, "1+");
    strcpy(text + n, "1 == 1");
    ck_assert_int_eq(ottl_check(text, OTTL_SPAN, false, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "more than 1000 additions"));
    memset(text, ' ', sizeof(text) - 1);
    ck_assert_int_eq(ottl_check(text, OTTL_SPAN, false, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "longer than"));
}
END_TEST

/* Strings that grow past the scratch are an error, and the next condition works. */
START_TEST(growth)
{
    struct test_host *t = th_new();
    struct payload *p = some_payload(t);
    struct buf text = {0};
    struct err err;
    struct ottl_program *program = ottl_program_new();
    struct ottl_eval *e;

    for (int i = 0; i < 8; i++)
        buf_puts(&text, "Concat([");
    buf_puts(&text, "name");
    for (int i = 0; i < 8; i++)
        buf_puts(&text, ", name, name, name, name, name, name, name], "
                        "\"----------------------------------------\")");
    buf_puts(&text, " == nil");
    buf_putc(&text, 0);
    ck_assert_int_eq(ottl_program_add(program, (char *)text.p, OTTL_SPAN, false, &err), 0);
    buf_clear(&text);
    for (int i = 0; i < 14; i++) /* 16 times as long each */
        buf_puts(&text, "Hex(Hex(");
    buf_puts(&text, "name");
    for (int i = 0; i < 14; i++)
        buf_puts(&text, "))");
    buf_puts(&text, " == nil");
    buf_putc(&text, 0);
    ck_assert_msg(ottl_program_add(program, (char *)text.p, OTTL_SPAN, false, &err) == 1, "%s",
                  err.text);
    ottl_program_seal(program);
    e = ottl_eval_new(program);
    look_at(e, p);
    ck_assert_int_eq(ottl_condition(e, 1), OTTL_ERROR);
    ck_assert_ptr_nonnull(strstr(ottl_error(e), "larger than"));
    ck_assert_int_eq(ottl_condition(e, 0), OTTL_FALSE);
    ottl_eval_free(&e);
    ottl_program_free(&program);
    buf_free(&text);
    payload_unref(&p);
    th_free(&t);
}
END_TEST

/* Times that name no zone are in the process's; what TZ says and is not there is UTC. */
START_TEST(zone_of_process)
{
    static const struct {
        const char *tz, *condition;
    } all[] = {
        {"", "UnixNano(Time(\"1970\", \"%Y\")) == 0"},
        {"Nowhere/Land", "UnixNano(Time(\"1970\", \"%Y\")) == 0"},
        {":/no/such/file", "UnixNano(Time(\"1970\", \"%Y\")) == 0"},
        {"Local", "UnixNano(Time(\"1970\", \"%Y\")) == 0"},
        {":/usr/share/zoneinfo/Asia/Tokyo", "UnixSeconds(Time(\"1970\", \"%Y\")) == -32400"},
        {"Asia/Tokyo", "FormatTime(Time(\"1970\", \"%Y\"), \"%Z %z\") == \"JST +0900\""},
    };
    struct test_host *t = th_new();
    struct payload *p = some_payload(t);

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        setenv("TZ", all[i].tz, 1);
        if (!strstr(all[i].tz, "Tokyo") || access("/usr/share/zoneinfo/Asia/Tokyo", R_OK) == 0)
            ck_assert_msg(verdict_of(p, all[i].condition, OTTL_SPAN) == 'T', "TZ=%s", all[i].tz);
    }
    setenv("TZ", "UTC", 1);
    payload_unref(&p);
    th_free(&t);
}
END_TEST

/* ---- the request ---- */

static const struct request_case {
    char by_grpc, by_http, unknown; /* verdicts */
    const char *text;
} of_requests[] = {
    {'T', 'F', 'F', "otelcol.client.addr == \"10.0.0.1:99\""},
    {'F', 'T', 'F', "otelcol.client.addr == \"10.0.0.1\""},
    {'F', 'F', 'T', "otelcol.client.addr == nil"},
    {'T', 'T', 'F', "otelcol.client.metadata[\"x-one\"] == [\"a\", \"b\"]"},
    {'T', 'T', 'F', "otelcol.client.metadata[\"X-ONE\"][1] == \"b\""},
    {'E', 'E', 'F', "otelcol.client.metadata[\"x-one\"][2] == \"b\""},
    {'E', 'E', 'T', "otelcol.client.metadata[\"x-one\"][0][0] == nil"},
    {'E', 'E', 'T', "otelcol.client.metadata[\"x-one\"][\"a\"] == nil"},
    {'T', 'T', 'T', "otelcol.client.metadata[\"none\"][0] == nil"},
    {'E', 'E', 'E', "otelcol.client.metadata[0] == nil"},
    {'E', 'E', 'E', "otelcol.client.metadata[resource.attributes[\"none\"]] == nil"},
    {'T', 'T', 'F', "otelcol.client.metadata[Concat([\"x\", \"one\"], \"-\")][0] == \"a\""},
    {'T', 'T', 'F', "Len(otelcol.client.metadata) == 3"},
    {'T', 'T', 'F',
     "otelcol.client.metadata == {\"host\": [\"h\"], \"x-one\": [\"a\", \"b\"], \"x-2\": [\"\"]}"},
    {'T', 'T', 'F', "otelcol.client.metadata[\"host\"][0] == \"h\""},
    {'T', 'F', 'F', "otelcol.grpc.metadata[\"x-one\"] == [\"a\", \"b\"]"},
    {'F', 'T', 'T', "otelcol.grpc.metadata[\"x-one\"] == nil"},
    {'T', 'T', 'T', "otelcol.grpc.metadata[\"host\"] == nil"},
    {'T', 'F', 'F', "Len(otelcol.grpc.metadata) == 2"},
    {'T', 'T', 'F', "otelcol.client.auth.attributes[\"username\"] == \"joe\""},
    {'T', 'T', 'F', "otelcol.client.auth.attributes == {\"username\": \"joe\"}"},
    {'T', 'T', 'T', "otelcol.client.auth.attributes[\"none\"] == nil"},
    {'E', 'E', 'E', "otelcol.client.auth.attributes[\"username\"][0] == nil"},
    {'E', 'E', 'E', "otelcol.client.auth.attributes[1] == nil"},
    {'F', 'F', 'T', "otelcol.client.metadata == {} and otelcol.client.auth.attributes == {}"},
};

static struct request_info *a_request(const char *grpc_peer)
{
    static const char *const headers[][2] = {
        {"host", "h"}, {"x-one", "a"}, {"x-2", ""}, {"x-one", "b"}};
    struct request_info *info = request_info_new("10.0.0.1", ARRAY_LEN(headers));

    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        info->headers[i] = (struct request_header){mem_dup(headers[i][0]), mem_dup(headers[i][1])};
    info->auth = auth_data_new(1);
    info->auth->v[0] = (struct auth_attribute){mem_dup("username"), mem_dup("joe")};
    info->grpc_peer = grpc_peer ? mem_dup(grpc_peer) : NULL;
    return info;
}

static void check_request(const struct payload *p, const struct request_info *info,
                          const struct request_case *want, char expected)
{
    struct ottl_program *program = ottl_program_new();
    struct ottl_eval *e;
    enum ottl_verdict v;
    struct err err;

    for (enum ottl_context c = OTTL_RESOURCE; c < OTTL_CONTEXTS; c++)
        ck_assert_msg(ottl_program_add(program, want->text, c, true, &err) >= 0, "%s: %s",
                      want->text, err.text);
    ottl_program_seal(program);
    e = ottl_eval_new(program);
    look_at(e, p);
    ottl_set_request(e, info);
    for (unsigned i = 0; i < ottl_program_conditions(program); i++) {
        v = ottl_condition(e, i);
        ck_assert_msg("FTE"[v] == expected, "%s: %c, expected %c", want->text, "FTE"[v], expected);
    }
    ottl_eval_free(&e);
    ottl_program_free(&program);
}

START_TEST(requests)
{
    struct test_host *t = th_new();
    struct payload *p = some_payload(t);
    struct request_info *grpc = a_request("10.0.0.1:99"), *http = a_request(NULL);
    const struct request_case *c = &of_requests[_i];

    check_request(p, grpc, c, c->by_grpc);
    check_request(p, http, c, c->by_http);
    check_request(p, NULL, c, c->unknown);
    request_info_unref(&grpc);
    request_info_unref(&http);
    payload_unref(&p);
    th_free(&t);
}
END_TEST

/* A map of more entries than are compared one by one, each key twice. */
START_TEST(map_of_many)
{
    struct buf b = {.max = 0};
    struct map_build m;
    struct ottl_value map, v;
    char key[16];

    hash_seed(1);
    ck_assert_int_eq(buf_add(&b, "before", 6), 0);
    m = map_build(&b);
    for (int64_t i = 0; i < 2000; i++) {
        struct any a = {.type = ANY_INT, .i = i};
        size_t n = (size_t)snprintf(key, sizeof(key), "k%d", (int)(i * 7 % 1000));

        ck_assert_int_eq(map_put(&m, slice_of(key, n), &a), 0);
    }
    map_finish(&m);
    map = ottl_map(slice_of(b.p + 6, b.len - 6), OTTL_MAP_FIELD);
    ck_assert_uint_eq(ottl_map_len(&map), 1000);
    for (int64_t i = 1000; i < 2000; i++) {
        size_t n = (size_t)snprintf(key, sizeof(key), "k%d", (int)(i * 7 % 1000));

        ck_assert(ottl_map_get(&map, slice_of(key, n), &v));
        ck_assert_int_eq(v.i, i);
    }
    buf_free(&b);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ottl");
    TCase *c = tcase_create("ottl");
    SRunner *r = srunner_create(s);
    int failed;

    setenv("TZ", "UTC", 1); /* the zone of times that name none */
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, verdict, 0, (int)((ARRAY_LEN(verdicts) + AT_ONCE - 1) / AT_ONCE));
    tcase_add_test(c, zone_verdict);
    tcase_add_loop_test(c, contexts, 0, (int)ARRAY_LEN(in_contexts));
    tcase_add_loop_test(c, refusal, 0, (int)ARRAY_LEN(refusals));
    tcase_add_loop_test(c, inference, 0, (int)ARRAY_LEN(inferred));
    tcase_add_test(c, every_prefix);
    tcase_add_test(c, notes);
    tcase_add_loop_test(c, requests, 0, (int)ARRAY_LEN(of_requests));
    tcase_add_test(c, bounds);
    tcase_add_test(c, growth);
    tcase_add_test(c, map_of_many);
    tcase_add_test(c, zone_of_process);
    suite_add_tcase(s, c);
    srunner_run_all(r, CK_NORMAL);
    failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
