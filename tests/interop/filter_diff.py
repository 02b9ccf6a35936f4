#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The filter processor and its conditions beside the real Collector's: the same random spans through both, each
of many conditions, what is left compared span by span and event by event.

INTEROP_SPANS in the environment: how many spans at least (default 2000).

usage: PEERS=DIR TAILRACE=build/tailrace filter_diff.py [seed] [spans] [random conditions]"""
import json
import os
import random
import re
import sys
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(__file__))
import peers  # noqa: E402

NAMES = ["GET /health", "GET /users/42", "checkout", "", "op ok", "Op Fine", "\u00fcnic\u00f6de \u20ac", "a,b;c", "  padded  ", "k=v x=y"]
STRINGS = ["", "x", "abc", "200", "/health", "/healthz", "GET", "true", "1.5", "k=v", "\u00fc\u00df\u20ac", "line\nbreak", "7", "-3", "1e3", "0x10",
           "a b c", "SomeName", "some_name", "JSONData", "4111111111111111", "10.0.0.7", "{\"a\":1,\"b\":{\"c\":[1,2]},\"s\":\"t\"}", "[1,\"x\",null]", "1h2m3.5s",
           "user=bob pw=1", "https://u:p@example.com:8080/a/b.html?q=1#f", "2025-03-04T05:06:07Z", "<&>\u2028", "ff00", "aGVsbG8="]
INTS = [0, 1, -1, 2, 7, 200, 404, 500, 2**53 + 1, 2**63 - 1, -2**63]
DOUBLES = [0.0, 1.0, 1.5, -2.25, 7.0, 200.0, 1e21, 1e-7, 9007199254740993.0]
KEYS = ["a", "b", "n", "s", "m", "l", "http.route", "z"]
STATES = ["", "", "a=1,b=2", "ot=th:8;rv:01020304050607,a=x", "bad,,", "A=1", "a=1,a=2", " a=1 , b=2 ", "a=", "t@sys=v"]

# Conditions on spans, as in traces.span.
SPAN = r'''
name == "checkout"
name != "checkout"
name > "O"
IsMatch(name, "^GET ")
IsMatch(name, "(?i)^op (OK|fine)$")
attributes["a"] == "x"
attributes["a"] != "x"
attributes["a"] == nil
attributes["a"] != nil
nil == attributes["a"]
attributes["a"] <= nil
attributes["a"] == 7
attributes["a"] == 7.0
attributes["a"] > 1
attributes["a"] < 200.5
attributes["a"] >= "abc"
attributes["a"] == true
attributes["a"] > false
attributes["a"] == 0x00
attributes["a"] == 0x0102
attributes["a"] > 0x0001
attributes["a"] == attributes["b"]
attributes["a"] < attributes["b"]
attributes["a"] >= attributes["b"]
attributes["l"] == [1, 2]
attributes["l"] == ["x", "abc"]
attributes["l"] != []
attributes["m"] == {"a": 1}
attributes["m"] == {"a": 1, "b": {"c": "x"}}
attributes["m"]["a"] == 1
attributes["m"]["b"]["c"] == "x"
attributes["m"]["nope"]["c"] == nil
attributes["l"][0] == 1
attributes["l"][1] == "abc"
attributes["l"][-1] == 1
attributes["a"]["x"] == nil
attributes[name] == nil
attributes[attributes["s"]] == "x"
attributes["m"][attributes["s"]] == 1
kind == SPAN_KIND_SERVER
kind.string == "Server"
kind.deprecated_string == "SPAN_KIND_CLIENT"
kind > 2
status.code == STATUS_CODE_ERROR
status.code == 2 and kind == 3
status.message == "m" or status.message == ""
status == nil
trace_id == TraceID(0x00000000000000000000000000000001)
trace_id.string == "00000000000000000000000000000002"
trace_id != TraceID("00000000000000000000000000000003")
span_id.string > "0000000000000002"
span_id == SpanID(0x0000000000000001)
parent_span_id == SpanID("0000000000000000")
parent_span_id.string == "0000000000000000"
IsRootSpan()
not IsRootSpan()
not (IsRootSpan() or name == "checkout")
trace_state["a"] == "1"
trace_state["a"] == nil
trace_state["b"] == ""
trace_state["t@sys"] == "v"
trace_state == ""
trace_state[attributes["s"]] == "x"
start_time_unix_nano > 1700000000000000000
end_time_unix_nano - start_time_unix_nano > 1000000
end_time - start_time > Duration("1ms")
end_time - start_time >= Duration("1s")
start_time + Duration("1s") == end_time
start_time < end_time
start_time == end_time
Len(events) > 1
Len(links) == 0
events == nil
Len(attributes) > 4
Len(attributes["a"]) == 3
Len(attributes["l"]) == 2
Len(attributes["m"]) == 1
Len(name) == 0
dropped_attributes_count > 0
dropped_events_count == 2
dropped_links_count != 0
flags == 1
resource.attributes["service.name"] == "api"
resource.attributes["n"] == 1
resource.schema_url == "https://r"
resource.dropped_attributes_count == 1
scope.name == "s" and scope.version == "1"
instrumentation_scope.name == "s2"
scope.attributes["a"] == "x"
scope.schema_url == ""
span.name == "checkout"
cache["x"] == nil
attributes["n"] + 1 == 8
attributes["n"] * 2 - 1 > 13
attributes["n"] / 2 == 3
attributes["n"] / 0 == 1
attributes["n"] / 2.0 > 3.1
-attributes["n"] < 0
attributes["a"] + attributes["b"] > 0
1 + 2 * 3 == 7
(1 + 2) * 3 == 9
10 - 2 - 3 == 5
7 / 2 == 3
-7 / 2 == -3
9223372036854775807 + 1 < 0
IsString(attributes["a"])
IsInt(attributes["a"])
IsDouble(attributes["a"])
IsBool(attributes["a"])
IsMap(attributes["m"])
IsList(attributes["l"])
IsList(attributes["a"])
IsMap(attributes)
IsEmpty(attributes["a"])
IsString(name)
IsMatch(attributes["a"], "^[0-9]+$")
IsMatch(attributes["a"], "^$")
IsMatch(attributes["m"], "\"a\":1")
IsMatch(attributes["l"], "^\\[1,2\\]$")
IsMatch(attributes["a"], attributes["s"])
IsMatch(attributes["a"], "e\\+21$")
IsMatch(String(start_time), "^\"20")
IsMatch(kind, "3")
Int(attributes["a"]) == 7
Int(attributes["s"]) == 200
Int(attributes["a"]) == nil
Double(attributes["s"]) == 1.5
Double(attributes["a"]) >= 1.5
Bool(attributes["s"]) == true
Bool(attributes["a"])
String(attributes["a"]) == "7"
String(attributes["a"]) == "true"
String(attributes["a"]) == "1.5"
String(attributes["m"]) == "{\"a\":1}"
String(attributes["l"]) == "[1,2]"
String(attributes["a"]) == "010203"
IsMatch(String(attributes["s"]), "<&>")
IsMatch(String(attributes["m"]), "<")
Concat([name, attributes["a"]], "-") == "checkout-x"
Concat([attributes["a"], kind, 1.5], "|") == "7|3|1.5"
IsMatch(Concat([attributes["a"], "t"], ""), "nil")
Split(attributes["s"], " ")[1] == "b"
Split(name, " ") == ["GET", "/health"]
Len(Split(name, "")) > 5
Split(name, " ") != ["GET"]
Keys(attributes) == ["a"]
Values(attributes) == ["x"]
Keys(attributes) == Keys(attributes)
Values(attributes) == Values(attributes)
IsList(Split(name, " "))
IsList(Keys(attributes))
IsList([1])
[1] == [1.0]
IsList(events)
IsList(links)
IsMatch(attributes["l"], "1e-07")
IsMatch(attributes["l"], "1e-7")
String(0.0000001) == "1e-07"
String([0.0000001]) == "[1e-07]"
String({"a": 0.0000001}) == "{\"a\":1e-07}"
String([0x01, "\u2028<"]) == "[\"AQ==\",\"\\u2028\\u003c\"]"
String({"b": 1, "a": 0x01}) == "{\"a\":\"AQ==\",\"b\":1}"
IsMatch(attributes["l"], "u2028")
IsMatch(attributes["l"], "AQID")
IsMatch(attributes["m"], "null")
[1] == [1]
[start_time] == [start_time]
[] == nil
{} == nil
{"a": [1, {"b": nil}]} == {"a": [1, {"b": nil}]}
ContainsValue(attributes["l"], 1.0)
ContainsValue([1], 1.0)
ContainsValue([[1]], [1])
IsValidLuhn("")
IsValidLuhn(" ")
IsValidLuhn("0")
IsValidLuhn("18")
IsValidLuhn(0)
IsValidLuhn("4111 1111 1111 1111")
IsValidLuhn(true)
IsMatch([1, "<"], "u003c")
String([1, "x"]) == "[1,\"x\"]"
String(Split("a b", " ")) == "[\"a\",\"b\"]"
String({"a": 1}) == "{\"a\":1}"
String(events) == "{}"
String(status) == "{}"
String(Duration("1s")) == "1000000000"
String(start_time) == "\"2023-11-14T22:13:20Z\""
String(trace_id) == "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,1]"
String(nil) == nil
String(attributes["nope"]) == nil
String(0x0102) == "0102"
Len(0x0102) == 2
Len(attributes["a"]) == 2
Len(trace_id) == 16
Len(start_time) == 1
Len(true) == 1
Int(1.9) == 1
Int(-1.9 + 0) == -1
Int("12x") == nil
Int(start_time) == 1
Int(attributes["m"]) == 1
Double("0x1p-2") == 0.25
Bool(2) == true
Bool(nil) == nil
Hex(1) == "0000000000000001"
Hex(1.5) == "3ff8000000000000"
Hex(true) == "01"
Hex(nil) == ""
Hex(trace_id) == "00000000000000000000000000000001"
Concat([nil, "a", true, 0x01, [1], {"a": "<"}], "-") == "<nil>-a-true-01-[1]-{\"a\":\"\\u003c\"}"
Concat([], "-") == ""
Concat(["a"], "-") == "a"
Split("", ",") == [""]
Len(Split("", ",")) == 1
Len(Split("", "")) == 0
Len(Split("\u00fcx", "")) == 2
Index("abc", "") == 0
Index([1, 2], 2.0) == 1
Index(attributes["a"], "x") == 0
Index(nil, 1) == -1
Year(start_time) == 2023
Month(start_time) == 11 and Day(start_time) == 14 and Hour(start_time) == 22 and Minute(start_time) == 13 and Second(start_time) == 20
Weekday(start_time) == 2
Nanosecond(start_time) == 1000
UnixNano(start_time) == start_time_unix_nano
UnixMilli(end_time) - UnixMilli(start_time) == 1
UnixSeconds(start_time) == 1700000000
UnixMicro(start_time) == 1700000000000001
Seconds(end_time - start_time) == 1.0
Milliseconds(end_time - start_time) == 999
Microseconds(end_time - start_time) < 0
Hours(Duration("90m")) == 1.5
Minutes(Duration("1h2m3s")) == 62.05
Nanoseconds(Duration("-1.5s")) == -1500000000
TruncateTime(start_time, Duration("1h")) == Unix(1699999200)
TruncateTime(start_time, Duration("0s")) == start_time
Unix(1700000000, 1000) == start_time
Unix(0, -1) < Unix(0)
Duration("x") == nil
Duration("1h") > Duration("59m")
Duration(attributes["s"]) > Duration("1h")
Now() > start_time
start_time - 5 == nil
start_time * 2 == nil
Duration("1s") + Duration("1s") == Duration("2s")
Duration("1s") + start_time == start_time
Duration("1s") - start_time == nil
attributes["nope"] + 1 == 1
-attributes["nope"] == 1
-Duration("1s") == nil
1.0 / 0 == 1
5 / 2.5 == 2
SHA1(name) == SHA1("checkout")
SHA1("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d"
MD5("abc") == "900150983cd24fb0d6963f7d28e17f72"
SHA512("abc") > "ddaf35a193617aba" and SHA512("abc") < "ddaf35a193617abb"
ToLowerCase(name) == "get /health"
ToUpperCase(name) == "OP FINE"
ToUpperCase(attributes["s"]) == "\u00dc\u00df\u20ac"
ToLowerCase("\u00c4\u0141\u0416") == "\u00e4\u0142\u0436"
ConvertCase(name, "upper") == "CHECKOUT"
ConvertCase(attributes["s"], "snake") == "some_name"
ConvertCase(attributes["s"], "camel") == "SomeName"
ConvertCase(attributes["s"], "snake") == "json_data"
ToSnakeCase("HTTPServerV2 is.ok-x") == "http_server_v_2_is_ok_x"
ToSnakeCase("aB1c2D") == "a_b_1_c_2_d"
ToSnakeCase("A1B2") == "a_1_b_2"
ToSnakeCase("  ABc \u00fc ") == "a_bc_\u00fc"
ToSnakeCase("ID") == "id"
ToCamelCase("some_long-name.x y") == "SomeLongNameXY"
ToCamelCase("ID") == "Id"
ToCamelCase("JSONData") == "JsondATA"
ToCamelCase("JSONData") == "Jsondata"
ToCamelCase("JSONData") == "JsonData"
ToCamelCase("v2beta1") == "V2Beta1"
ToCamelCase("") == ""
ToSnakeCase("") == ""
ParseJSON(attributes["s"])["a"] == 1.0
ParseJSON(attributes["s"])["a"] == 1
ParseJSON(attributes["s"])["b"]["c"][1] == 2
ParseJSON(attributes["s"])["s"] == "t"
ParseJSON(attributes["s"])["none"] == nil
ParseJSON(attributes["s"])[1] == "x"
ParseJSON(attributes["s"])[2] == nil
Len(ParseJSON(attributes["s"])) == 3
IsMap(ParseJSON(attributes["s"]))
IsList(ParseJSON(attributes["s"]))
ParseJSON("{\"a\": {\"b\": [true, null, -1.5e3, \"\\u00fc\"]}}") == {"a": {"b": [true, nil, -1500.0, "\u00fc"]}}
ParseJSON("{\"a\": 1, \"a\": 2}")["a"] == 2
ParseJSON("[]") == []
ParseJSON("{}") == {}
ParseJSON("5") == 5
ParseJSON("null") == nil
ParseJSON("{\"a\": 1} x") == nil
ParseJSON("") == nil
ParseJSON("{\"a\": 01}") == nil
ParseJSON("[1,]") == nil
ParseKeyValue(attributes["s"])["user"] == "bob"
ParseKeyValue(attributes["s"]) == {"k": "v"}
ParseKeyValue("a=1;b='x;y'", "=", ";") == {"a": "1", "b": "x;y"}
ParseKeyValue("a=b=c") == {"a": "b=c"}
ParseKeyValue("a= b = c d=e")["d"] == "e"
ParseKeyValue("  a=1   b=2 ") == {"a": "1", "b": "2"}
ParseKeyValue("a=\"x y\" b='it\\'s'")["a"] == "x y"
ParseKeyValue("a=\"x\\\"y\"")["a"] == "x\\\"y"
ParseKeyValue("a=1 a=2") == {"a": "2"}
ParseKeyValue("a") == nil
ParseKeyValue("a='b") == nil
ParseKeyValue("=x") == {"": "x"}
ParseKeyValue("a:=1!!b:=2", ":=", "!!") == {"a": "1", "b": "2"}
ExtractPatterns(name, "^(?P<verb>[A-Z]+) /(?P<rest>.*)$") == {"verb": "GET", "rest": "health"}
ExtractPatterns(name, "^(?P<verb>[A-Z]+) ")["verb"] == "GET"
ExtractPatterns("ab", "(?P<x>a)(?P<y>z)?") == {"x": "a", "y": ""}
ExtractPatterns("ab", "(?P<x>q)") == {}
ExtractPatterns("ab", "(a)") == {}
ExtractPatterns("ab", "(a)(?P<n>b)") == {"n": "b"}
ExtractPatterns("ab", "(?P<x>a)(?P<x>b)") == {"x": "b"}
ExtractPatterns(attributes["s"], "(?P<d>\\d+)")["d"] == "200"
IsInCIDR(attributes["s"], ["10.0.0.0/8"])
IsInCIDR("192.168.1.7", ["10.0.0.0/8", "192.168.0.0/16"])
IsInCIDR("192.168.1.7", ["192.168.1.0/29"])
IsInCIDR("192.168.1.8", ["192.168.1.0/29"])
IsInCIDR("2001:db8::1", ["2001:db8::/32"])
IsInCIDR("::ffff:10.1.1.1", ["10.0.0.0/8"])
IsInCIDR("10.1.1.1", ["::/0"])
IsInCIDR("010.1.1.1", ["10.0.0.0/8"])
IsInCIDR("x", ["10.0.0.0/8"])
Substring(name, 0, 3) == "GET"
Substring(name, 0, 1) == "G"
Substring(name, 1, 2, true) == "n"
HasPrefix(name, "GET")
HasSuffix(name, "e")
HasPrefix(attributes["a"], "a")
TrimPrefix(name, "GET ") == "/health"
TrimSuffix(name, "out") == "check"
Trim(name) == "padded"
Trim(name, "gc") == "heckout"
ContainsValue(attributes["l"], 1)
ContainsValue(attributes["l"], "x")
ContainsValue(attributes["l"], attributes["a"])
ContainsValue(["x", 7, true, nil], attributes["a"])
ContainsValue(Split(name, " "), "GET")
Index(name, "out") == 5
Index(attributes["l"], 2) == 1
Index(name, "zzz") == -1
Coalesce([attributes["a"], attributes["b"], "d"]) == "d"
Coalesce([nil, attributes["n"]]) == 7
Len(Keys(attributes)) > 5
ContainsValue(Keys(attributes), "a")
ContainsValue(Values(attributes), "x")
Hex(attributes["a"]) == "010203"
Hex(attributes["a"]) == "0000000000000007"
Hex(name) == "636865636b6f7574"
SHA256(name) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" or SHA256(name) > "8"
FNV(name) > 0
FNV(attributes["s"]) < 0
ParseInt(attributes["s"], 10) == 200
ParseInt(attributes["s"], 16) == 512
IsValidLuhn(attributes["s"])
IsValidLuhn(attributes["a"])
Log(attributes["n"]) > 1.9
Log(attributes["s"]) > 1.9
Len(attributes["a"]) > 0 and attributes["a"] == "x"
attributes["a"] == "x" or Len(attributes["a"]) > 0
not attributes["a"] == "x"
true
false
true and false or IsRootSpan()
name == "checkout" and (kind == 3 or kind == 2) and not (status.code == 2)
'''
# Conditions on events.
EVENT = r'''
name == "exception"
IsMatch(name, "^e")
attributes["a"] == "x"
attributes["a"] != nil
time_unix_nano > 1700000000000000001
time > span.start_time
time - span.start_time > Duration("1us")
dropped_attributes_count == 1
span.name == "checkout"
span.attributes["a"] == attributes["a"]
resource.attributes["service.name"] == "api"
instrumentation_scope.name == "s"
event_index == 0
true
'''
RESOURCE = r'''
attributes["service.name"] == "api"
schema_url == "https://r"
dropped_attributes_count == 1
attributes["n"] > 0
IsMatch(attributes["service.name"], "^a")
Len(attributes) == 1
'''
# Whole settings.
WHOLE = [
    '{trace_conditions: [\'span.name == "checkout"\', \'resource.attributes["service.name"] == "api"\', \'spanevent.name == "exception"\', \'scope.name == "s2"\']}',
    '{trace_conditions: [{context: span, conditions: [\'name == "checkout"\', "IsRootSpan()"]}]}',
    '{trace_conditions: [{context: spanevent, conditions: [\'name == "exception"\']}, {context: span, conditions: ["Len(events) == 0"]}]}',
    '{trace_conditions: [{conditions: [\'resource.attributes["n"] == 1\', \'span.kind == 3\']}, {context: SCOPE, error_mode: silent, conditions: [\'name == "s"\']}]}',
    '{trace_conditions: [{context: resource, conditions: [\'attributes["service.name"] == "db"\']}]}',
    '{traces: {resource: [\'attributes["service.name"] == "db"\'], span: [\'kind == 1\', \'status.code == 2\'], spanevent: [\'attributes["a"] != nil\']}}',
    '{error_mode: silent, traces: {span: [\'Substring(attributes["a"], 0, 1) == "x"\', \'name == "checkout"\']}}',
    '{error_mode: IGNORE, traces: {span: [\'Len(attributes["a"]) == 3\', \'Len(attributes["b"]) == 1\']}}',
    '{spans: {include: {match_type: strict, services: [api, db]}}}',
    '{spans: {exclude: {match_type: regexp, span_names: ["^GET"]}}}',
    '{spans: {include: {match_type: strict, attributes: [{key: a}]}, exclude: {match_type: strict, span_names: [checkout]}}}',
    '{trace_conditions: [\'span.name == "checkout"\'], spans: {include: {match_type: strict, services: [api]}}}',
    '{}',
]
# These refuse requests: each gets a receiver of its own.
PROPAGATE = [
    '{error_mode: propagate, traces: {span: [\'Len(attributes["a"]) == 3\']}}',
    '{error_mode: propagate, traces: {span: [\'name == "checkout"\', \'Substring(name, 0, 3) == "GET"\']}}',
    '{error_mode: propagate, trace_conditions: [{context: span, conditions: [\'attributes["m"]["a"] == 1\']}]}',
    '{error_mode: propagate, traces: {spanevent: [\'Len(attributes["a"]) == 1\']}}',
]


def lines(text):
    return [line for line in text.split("\n") if line]


def value(rng, depth=0):
    kind = rng.randrange(13 if depth < 2 else 9)
    if kind < 4:
        return {"stringValue": rng.choice(STRINGS)}
    if kind < 6:
        return {"intValue": str(rng.choice(INTS))}
    if kind == 6:
        return {"doubleValue": rng.choice(DOUBLES)}
    if kind == 7:
        return {"boolValue": rng.random() < 0.5}
    if kind == 8:
        return {"bytesValue": rng.choice(["AQID", "", "AQI=", "/w=="][:4 if depth == 0 else 1])}
    if kind == 9:
        return {}
    if kind == 10:
        return {"kvlistValue": {"values": [{"key": k, "value": value(rng, depth + 1)} for k in rng.sample(["a", "b", "c", "x"], rng.randrange(4))]}}
    return {"arrayValue": {"values": [value(rng, depth + 1) for _ in range(rng.randrange(4))]}}


def attributes(rng, most):
    found = [{"key": k, "value": value(rng)} for k in rng.sample(KEYS, rng.randrange(min(most, len(KEYS)) + 1))]
    for kv in found:
        if kv["key"] == "s" and rng.random() < 0.9:
            kv["value"] = {"stringValue": rng.choice(STRINGS)}
        elif kv["key"] == "n" and rng.random() < 0.8:
            kv["value"] = {"intValue": rng.choice(["7", "1", "0", "-3"])}
        elif kv["key"] == "l" and rng.random() < 0.8:
            kv["value"] = {"arrayValue": {"values": rng.choice([[{"intValue": "1"}, {"intValue": "2"}], [{"stringValue": "x"}, {"stringValue": "abc"}],
                                                                [{"doubleValue": 1.0}, {"intValue": "2"}], [], [{"boolValue": True}, {}]])}}
        elif kv["key"] == "m" and rng.random() < 0.8:
            inner = [{"key": "a", "value": {"intValue": "1"}}, {"key": "b", "value": {"kvlistValue": {"values": [{"key": "c", "value": {"stringValue": "x<"[:rng.randrange(1, 3)]}}]}}}]
            kv["value"] = {"kvlistValue": {"values": rng.choice([inner, inner[::-1], inner[:1], []])}}
    return found


def span(rng, trace, number):
    start = 1700000000000000000 + rng.choice([0, 1, 1000])
    end = start + rng.choice([0, 1, 999999, 1000000, 1000001, 10**9, 10**9 - 1, -5])
    return {"traceId": f"{trace:032x}", "spanId": f"{number:016x}", "parentSpanId": rng.choice(["", f"{number + 7:016x}"]), "name": rng.choice(NAMES),
            "kind": rng.randrange(6), "traceState": rng.choice(STATES), "flags": rng.choice([0, 1, 257]),
            "startTimeUnixNano": str(start), "endTimeUnixNano": str(end), "attributes": attributes(rng, 8),
            "droppedAttributesCount": rng.randrange(3), "droppedEventsCount": rng.randrange(3), "droppedLinksCount": rng.randrange(2),
            "events": [{"name": rng.choice(["exception", "e", "log"]), "timeUnixNano": str(start + rng.choice([0, 1, 2000])), "attributes": attributes(rng, 3),
                        "droppedAttributesCount": rng.randrange(2)} for _ in range(rng.choice([0, 0, 1, 2, 3]))],
            "links": [{"traceId": "ab" * 16, "spanId": "cd" * 8} for _ in range(rng.randrange(2))],
            "status": rng.choice([{}, {"code": 1}, {"code": 2, "message": "m"}, {"code": 2}])}


def request(rng, number):
    n = iter(range(1, 1000))
    return {"resourceSpans": [
        {"resource": {"attributes": rng.choice([[], [{"key": "service.name", "value": {"stringValue": rng.choice(["api", "db", "web"])}}]]) + rng.choice(
            [[], [{"key": "n", "value": {"intValue": "1"}}]]), "droppedAttributesCount": rng.randrange(2)}, "schemaUrl": rng.choice(["", "https://r"]),
         "scopeSpans": [{"scope": {"name": rng.choice(["s", "s2"]), "version": rng.choice(["1", ""]), "attributes": rng.choice([[], [{"key": "a", "value": {"stringValue": "x"}}]])},
                         "spans": [span(rng, number + 1, next(n)) for _ in range(rng.randrange(1, 8))]} for _ in range(rng.randrange(1, 3))]}
        for _ in range(rng.randrange(1, 4))]}


PATHS = ['attributes["a"]', 'attributes["b"]', 'attributes["n"]', 'attributes["s"]', 'attributes["l"]', 'attributes["m"]', 'attributes["m"]["a"]', "name", "kind", "status.code",
         "start_time", "trace_id", "status", "events", "attributes", 'resource.attributes["n"]', "scope.name", "span_id.string", 'trace_state["a"]', "flags", "end_time - start_time"]
LITERALS = ["nil", "true", "false", "0", "1", "7", "-1", "1.0", "7.0", "1.5", '""', '"x"', '"abc"', '"7"', "0x010203", "0xff", "[1, 2]", '["x", "abc"]', "[]", "{}", '{"a": 1}',
            "SPAN_KIND_SERVER", "STATUS_CODE_ERROR", 'Duration("1s")', "start_time", 'TraceID(0x00000000000000000000000000000001)', '[1.0, 2]', '[nil]', '[true, nil]']


def random_condition(rng, depth=0):
    kind = rng.randrange(10)
    if depth < 3 and kind < 4:
        word = rng.choice([" and ", " or "])
        return word.join(("not " if rng.random() < 0.2 else "") + "(" + random_condition(rng, depth + 1) + ")" for _ in range(rng.randrange(2, 4)))
    if kind == 4:
        return rng.choice(["IsString", "IsInt", "IsDouble", "IsBool", "IsMap", "IsList", "IsEmpty"]) + "(" + rng.choice(PATHS[:20]) + ")"
    if kind == 5:
        return "Len(" + rng.choice(PATHS[:20]) + ") " + rng.choice(["==", ">", "<="]) + " " + rng.choice(["0", "1", "2", "3"])
    if kind == 6:
        return "IsMatch(" + rng.choice(PATHS[:20]) + ', "' + rng.choice(["^x", "1", "[a-c]+", "^$", "true", "GET", "0", "\\\\[", ":"]) + '")'
    return rng.choice(PATHS) + " " + rng.choice(["==", "!=", "<", "<=", ">", ">="]) + " " + rng.choice(LITERALS + PATHS)


def seen(path):
    """{(trace, span): what must be equal}"""
    found = {}
    with open(path) as f:
        for line in f:
            for rs in json.loads(line).get("resourceSpans", []):
                for ss in rs.get("scopeSpans", []):
                    for s in ss.get("spans", []):
                        found[(s["traceId"], s["spanId"])] = (s.get("name"), [(e.get("name"), e.get("timeUnixNano"), e.get("attributes")) for e in s.get("events", [])],
                                                              len(s.get("attributes", [])), s.get("status"), rs.get("schemaUrl"))
    return found


def post(port, body):
    r = urllib.request.Request(f"http://127.0.0.1:{port}/v1/traces", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(r, timeout=60) as answer:
            answer.read()
            return answer.status
    except urllib.error.HTTPError as e:
        e.read()
        return e.code


def yaml_of(condition):
    return "'" + condition.replace("'", "''").replace("$", "$$") + "'"


def settings(rng, n_random):
    found = [f"{{error_mode: silent, traces: {{span: [{yaml_of(c)}]}}}}" for c in lines(SPAN)]
    found += [f"{{error_mode: silent, traces: {{spanevent: [{yaml_of(c)}]}}}}" for c in lines(EVENT)]
    found += [f"{{error_mode: silent, traces: {{resource: [{yaml_of(c)}]}}}}" for c in lines(RESOURCE)]
    found += WHOLE
    found += [f"{{error_mode: silent, traces: {{span: [{yaml_of(random_condition(rng))}]}}}}" for _ in range(n_random)]
    return found


def configuration(folder, who, shared, alone, ports):
    text = "receivers:\n"
    for i, port in enumerate(ports):
        text += f'  otlp/{i}: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}\n'
    every = shared + alone
    text += "processors:\n" + "".join(f"  filter/{i}: {s}\n" for i, s in enumerate(every))
    text += "exporters:\n" + "".join(f'  file/{i}: {{path: "{folder}/{who}{i}.json"}}\n' for i in range(len(every)))
    text += "service:\n  telemetry: {metrics: {level: none}, logs: {level: info}}\n  pipelines:\n"
    for i in range(len(every)):
        receiver = 0 if i < len(shared) else 1 + i - len(shared)
        text += f"    traces/{i}: {{receivers: [otlp/{receiver}], processors: [filter/{i}], exporters: [file/{i}]}}\n"
    return text


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    least = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ.get("INTEROP_SPANS", "2000"))
    n_random = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    only = os.environ.get("ONLY", "")
    if not peers.peer("otelcol"):
        print("skipped: otelcol is not in PEERS")
        return 0
    rng = random.Random(seed)
    shared = [s for s in settings(rng, n_random) if re.search(only, s)]
    alone = [s for s in PROPAGATE if re.search(only, s)]
    every = shared + alone
    n_ports = 1 + len(alone)
    ports = peers.free_ports(2 * n_ports)
    folder = peers.temp_folder()
    d = folder.name
    otelcol = peers.start_otelcol(d, configuration(d, "real", shared, alone, ports[:n_ports]), ports[n_ports - 1])
    tailrace, _ = peers.start_tailrace(d, configuration(d, "ours", shared, alone, ports[n_ports:]), args=("--workers", "1"))
    n_requests, n_spans, wrong = 0, 0, 0
    try:
        while n_spans < least:
            k = n_requests
            n_requests += 1
            doc = request(rng, k)
            n_spans += sum(len(ss["spans"]) for rs in doc["resourceSpans"] for ss in rs["scopeSpans"])
            body = json.dumps(doc).encode()
            for i in range(n_ports):
                a, b = post(ports[i], body), post(ports[n_ports + i], body)
                if a != b:
                    wrong += 1
                    print(f"request {k} to {'all' if i == 0 else alone[i - 1]}: otelcol answers {a}, tailrace {b}")
    except OSError:
        print(otelcol.log_text()[-6000:])
        raise
    finally:
        tailrace.stop()
        otelcol.stop()
    bad_settings = 0
    for i, s in enumerate(every):
        a, b = seen(f"{d}/real{i}.json"), seen(f"{d}/ours{i}.json")
        bad = [k for k in a.keys() | b.keys() if a.get(k) != b.get(k)]
        wrong += len(bad)
        bad_settings += bool(bad)
        if bad:
            k = sorted(bad)[0]
            print(f"{s}: {len(bad)} spans differ, kept {len(a)} and {len(b)} of {n_spans}\n  first: {k}\n  otelcol:  {a.get(k)}\n  tailrace: {b.get(k)}")
    folder.cleanup()
    print(f"{len(every)} configurations, {n_requests} requests, {n_spans} spans each: {wrong} differences in {bad_settings}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
