# SPDX-License-Identifier: Apache-2.0
"""Configurations of transform for processors_diff.py: statements over its random spans. A "$" is doubled for the
Collector's expansion of variables."""
import json


def spans(*statements, context="span", conditions=(), mode="silent"):
    return json.dumps({"error_mode": mode, "trace_statements": [
        {"context": context, "conditions": list(conditions), "statements": [s.replace("$", "$$") for s in statements]}]})


def flat(*statements):
    return json.dumps({"error_mode": "silent", "trace_statements": [s.replace("$", "$$") for s in statements]})


def groups(*parts):
    return json.dumps({"error_mode": "silent", "trace_statements": [
        {"context": c, "statements": [s.replace("$", "$$") for s in statements]} for c, *statements in parts]})


TRANSFORM = [("transform", text, "") for text in (
    # set
    spans('set(attributes["new"], "v")', 'set(attributes["a"], 5)', 'set(attributes["b"], 2.5)', 'set(attributes["n"], true)',
          'set(attributes["url"], 0x0102ff)', 'set(attributes["x"], attributes["token"])'),
    spans('set(attributes["copy"], attributes["a"])', 'set(attributes["a"], attributes["b"])', 'set(attributes["b"], attributes["copy"])'),
    spans('set(attributes["m"], {"k": [1, "x", {"j": true}], "a": attributes["a"]})', 'set(attributes["l"], [attributes["a"], attributes["b"], nil, 1.5])'),
    spans('set(attributes["a"]["k"], 1)', 'set(attributes["b"]["a"]["b"], "deep")', 'set(attributes["n"][0], "first")', 'set(attributes["url"][1], 2)',
          'set(attributes["token"][0]["a"], attributes["a"])', 'set(attributes["z"]["a"][0], "x")'),
    spans('set(attributes, attributes["a"])'),
    spans('set(attributes, resource.attributes)'),
    spans('set(resource.attributes["last"], name)', 'set(attributes["r"], resource.attributes["last"])', 'set(scope.attributes["n"], attributes["n"])'),
    spans('set(name, attributes["a"])', 'set(name, Concat([name, attributes["n"]], "-"))', 'set(attributes["len"], Len(name))'),
    spans('set(kind, SPAN_KIND_CLIENT) where kind == SPAN_KIND_SERVER', 'set(kind.string, "Producer") where kind == SPAN_KIND_INTERNAL',
          'set(kind.deprecated_string, attributes["a"])', 'set(attributes["kind"], kind.string)'),
    spans('set(status.code, STATUS_CODE_OK) where status.code == STATUS_CODE_ERROR', 'set(status.message, name)', 'set(attributes["s"], status.message)',
          'set(status.message, attributes["n"])'),
    spans('set(start_time_unix_nano, end_time_unix_nano - 5)', 'set(end_time, start_time + Duration("90s"))', 'set(attributes["took"], Seconds(end_time - start_time))'),
    spans('set(trace_state["k"], "v") where IsString(attributes["a"])', 'set(attributes["ot"], trace_state["ot"])', 'set(trace_state["ot"], "th:0")'),
    spans('set(trace_state, attributes["url"])', 'set(parent_span_id.string, "00000000000000aa")', 'set(attributes["root"], IsRootSpan())', 'set(flags, 257)',
          'set(dropped_attributes_count, 3)', 'set(dropped_events_count, Len(events))', 'set(dropped_links_count, Len(links))'),
    spans('set(attributes["new"], start_time)', 'set(attributes["a"], status)', 'set(attributes["b"]["a"], trace_id)', 'set(attributes["l"], [start_time, 1, [events]])'),
    spans('set(attributes[attributes["a"]], 1)', 'set(attributes[Concat([name, "x"], ".")], 2)',
          # not for integers: the Collector makes a list that long
          'set(attributes["b"][attributes["n"]], 3) where not IsInt(attributes["n"])'),
    spans('set(cache["x"], attributes["a"])', 'set(cache["y"]["z"], cache["x"])', 'delete_key(cache, "x")', 'set(attributes["c"], cache)',
          'merge_maps(attributes, cache, "upsert")'),
    spans('set(attributes["hit"], 1) where attributes["a"] == nil', 'set(attributes["hit"], 2) where IsMatch(attributes["n"], "^-?[0-9]+$")',
          'set(attributes["other"], 3) where attributes["hit"] != nil and not IsString(attributes["b"])'),
    spans('set(attributes["c"], 1)', conditions=['IsString(attributes["a"])', 'attributes["n"] > 5', 'Substring(name, 0, 20) == ""', 'kind == 3']),
    # keys
    spans('delete_key(attributes, "a")', 'delete_key(attributes, attributes["n"])', 'delete_key(attributes["b"], "a")', 'delete_key(resource.attributes, "n")',
          'delete_key(attributes["url"]["a"], "b")'),
    spans('delete_matching_keys(attributes, "(?i)token|^.$")', 'delete_matching_keys(resource.attributes, attributes["a"])'),
    spans('keep_keys(attributes, ["a", "n", attributes["url"]])', 'keep_keys(attributes["a"], ["a", "b"])'),
    spans('keep_keys(attributes, ["a", "n", "token"])'),
    spans('keep_matching_keys(attributes, "e|^[ab]$")', 'keep_matching_keys(attributes["a"], ".")'),
    spans('limit(attributes, 3, ["n", "token"])', 'limit(attributes["a"], 1, [])', 'limit(resource.attributes, 0, [])'),
    spans('truncate_all(attributes, 4)', 'truncate_all(attributes["a"], 1)'),
    spans('truncate_all(attributes, 6, true, "..")', 'truncate_all(resource.attributes, 0)'),
    spans('merge_maps(attributes, resource.attributes, "insert")', 'merge_maps(attributes, attributes["a"], "upsert")'),
    spans('merge_maps(attributes, resource.attributes, "update")', 'merge_maps(resource.attributes, attributes["b"], "upsert")',
          'merge_maps(attributes, {"fresh": [name]}, "insert")', 'merge_maps(attributes, ParseJSON(attributes["n"]), "upsert")'),
    spans('stringify_all(attributes)', 'stringify_all(resource.attributes["a"])'),
    # lists
    spans('append(attributes["a"], "x")', 'append(attributes["b"], values=[1, name, nil, 2.5, [true, "y"]])', 'append(attributes["n"], attributes["a"])',
          'append(attributes["m"]["l"], attributes["token"])'),
    spans('delete_index(attributes["a"], 0)', 'delete_index(attributes["b"], 1, 2)', 'delete_index(attributes["n"], 0, Len(attributes["n"]))'),
    spans('flatten(attributes)'),
    spans('flatten(attributes, "p", 1)', 'flatten(resource.attributes, depth=2)'),
    spans('flatten(attributes, resolve_conflicts=true)', 'flatten(resource.attributes, "r", 1, true)'),
    spans('flatten(attributes, "p", 3, true)', 'flatten(attributes["p.a"])'),
    # text
    spans('replace_pattern(name, "[0-9]+", "{n}")', 'replace_pattern(attributes["a"], "(?P<w>[a-z]+)(\\\\d)?", "<${w}|$2|$x|$$|$w1>")',
          'replace_pattern(attributes["b"], "", "-")', 'replace_pattern(attributes["n"], "a*", "*")', 'replace_pattern(status.message, "$", attributes["url"])'),
    spans('replace_pattern(attributes["a"], "[a-z]+", "$0", SHA256)', 'replace_pattern(attributes["b"], "(.)(.)", "$2$1", MD5, "<%s>")',
          'replace_pattern(name, "\\\\s*(\\\\pL+)", "$1", ToUpperCase, "%s %s")', 'replace_pattern(attributes["n"], "\\\\b", "|", SHA1, "x")'),
    spans('replace_pattern(attributes["a"], attributes["b"], attributes["n"])', 'replace_pattern(attributes["n"], "(?i)k|\\\\s", "_")',
          'replace_pattern(attributes["url"], "(?s).$", "")'),
    spans('replace_all_patterns(attributes, "value", "[a-c]", "#")', 'replace_all_patterns(attributes, "key", "^(.)(.*)$", "$2$1")',
          'replace_all_patterns(attributes["a"], "key", "a|b", "c")'),
    spans('replace_all_patterns(attributes, "key", "e|a", "")', 'replace_all_patterns(resource.attributes, "key", "^.*(.)$", "$1", SHA256, "k.%s")'),
    spans('replace_all_patterns(attributes, "value", "\\\\d+", "$0", SHA512, "(%s)")'),
    spans('replace_match(name, "op *", "renamed")', 'replace_match(attributes["a"], "?", "one")', 'replace_match(attributes["b"], "{ok,fine*,[a-c]*}", "listed")',
          'replace_match(attributes["n"], "[!0-9]*", "$1", SHA256, "h=%s")', 'replace_match(attributes["url"], "**a**", "has a")'),
    spans('replace_all_matches(attributes, "*[0-9]", "ends in a digit")', 'replace_all_matches(resource.attributes, "?*", "x", MD5)'),
    # names by semantic conventions
    spans('set(attributes["http.request.method"], attributes["a"])', 'set(attributes["http.route"], attributes["url"])', 'set(attributes["url.template"], attributes["n"])',
          'set(attributes["rpc.system"], attributes["b"])', 'set(attributes["rpc.method"], attributes["token"])', 'set(attributes["db.system"], attributes["n"])',
          'set(attributes["db.namespace"], attributes["z"])', 'set(attributes["db.operation.name"], attributes["x-key"])', 'set(attributes["server.address"], name)',
          'set(attributes["messaging.system"], attributes["api_key"])', 'set(attributes["messaging.operation"], attributes["password"])',
          'set_semconv_span_name("1.40.0", "was")'),
    # contexts and order
    spans('set(attributes["s"], span.name)', 'set(name, Concat([name, attributes["a"]], "/"))', 'set(span.attributes["events"], name)', 'delete_key(attributes, "b")',
          'set(time_unix_nano, span.start_time_unix_nano)', context="spanevent"),
    spans('set(attributes["i"], event_index)', 'set(time, span.end_time)', 'replace_all_patterns(attributes, "value", "[a-z]+", "$0$0")', 'set(dropped_attributes_count, 9)',
          'set(span.status.code, 2) where attributes["a"] != nil', context="spanevent", conditions=['attributes["a"] != nil or attributes["n"] != nil']),
    spans('set(attributes["x"], resource.attributes["a"])', 'set(resource.attributes["scope"], name)', 'set(version, "2")', 'keep_keys(attributes, ["a", "x"])',
          'set(schema_url, resource.schema_url)', context="scope"),
    spans('set(attributes["service.name"], "renamed") where attributes["service.name"] != nil', 'flatten(attributes)', 'set(schema_url, "http://s")',
          'limit(attributes, 4, ["service.name"])', 'set(dropped_attributes_count, Len(attributes))', context="resource"),
    flat('set(span.name, "flat") where resource.attributes["a"] != nil', 'set(resource.attributes["seen"], span.name)', 'set(span.cache["c"], span.name)',
         'set(span.attributes["seen"], resource.attributes["seen"])', 'set(span.attributes["c"], span.cache["c"])'),
    flat('set(resource.attributes["kept"], true)', 'delete_key(resource.attributes, "a")'),
    groups(("span", 'set(resource.attributes["n"], name)'), ("span", 'set(attributes["rn"], resource.attributes["n"])', 'set(cache["k"], 1)'),
           ("span", 'set(attributes["gone"], cache["k"])', 'set(attributes["a"], "done")')),
    groups(("spanevent", 'set(attributes["first"], 1)', 'set(span.attributes["e"], attributes)'), ("span", 'set(attributes["count"], Len(events))', 'flatten(attributes)'),
           ("spanevent", 'set(attributes["second"], span.attributes["count"])', 'delete_key(attributes, "first")'), ("resource", 'set(attributes["end"], 1)')),
)]
