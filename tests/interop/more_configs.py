# SPDX-License-Identifier: Apache-2.0
"""More configurations for processors_diff.py, as (type, settings for both, settings for tailrace alone)."""

CARD = "4[0-9]{12}(?:[0-9]{3})?"
KINDS = "[SPAN_KIND_INTERNAL, SPAN_KIND_SERVER, SPAN_KIND_CLIENT, SPAN_KIND_PRODUCER, SPAN_KIND_CONSUMER]"

REDACTION = [
    "{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [url, a, b]}}",
    "{allow_all_keys: true, url_sanitizer: {enabled: true}, summary: debug}",
    "{allow_all_keys: true, url_sanitizer: {enabled: true, sanitize_span_name: false, attributes: [url, a]}, summary: info}",
    "{allow_all_keys: true, url_sanitizer: {enabled: true, sanitize_span_name: , attributes: [n]}, redact_all_types: true}",
    "{allow_all_keys: true, url_sanitizer: {attributes: [url]}}",
    "{allowed_keys: [a, url, n], url_sanitizer: {enabled: true, attributes: [url, a, n, b]}, blocked_values: ['ok', '[0-9]'], summary: debug}",
    "{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [url, a]}, allowed_values: ['^/users'], blocked_key_patterns: [url], ignored_keys: [a]}",
    "{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [a, b, n]}, db_sanitizer: {sql: {enabled: true, attributes: [a, url]}}, summary: debug}",
    "{allow_all_keys: true, url_sanitizer: {enabled: true, attributes: [token]}, db_sanitizer: {sql: {enabled: true, attributes: [n]}, sanitize_span_name: }, hash_function: md5, blocked_values: ['4']}",
    "{allowed_keys: [a], summary: silent}",
    "{allow_all_keys: true, ignored_keys: [token, a], blocked_values: ['.'], summary: debug}",
    "{allow_all_keys: true, ignored_key_patterns: ['^[a-n]', 'key'], blocked_values: ['[a-z]+'], summary: debug}",
    "{allowed_keys: [a, b, n, url, token, z], blocked_key_patterns: ['^a$', TOKEN], blocked_values: ['(?s).+'], summary: info}",
    "{allow_all_keys: true, blocked_values: ['bearer', '(?i:BEARER) \\S+'], allowed_values: ['^Bearer'], summary: debug}",
    "{allow_all_keys: true, blocked_values: ['\\n', '^\\s*$', '\\s+$'], summary: debug}",
    "{allow_all_keys: true, blocked_values: ['[\\x{80}-\\x{10ffff}]', '\\p{Greek}|\\p{Lu}'], summary: debug}",
    "{allow_all_keys: true, blocked_values: ['(a)(a)?', 'b|', '-?[0-9]+(\\.[0-9]+)?'], hash_function: sha3, summary: debug}",
    "{allow_all_keys: true, redact_all_types: true, blocked_values: ['^[0-9]+$', 'null', '\\[', '[{}]'], summary: debug}",
    "{allow_all_keys: true, redact_all_types: true, blocked_values: ['\\.', '-', 'a'], allowed_values: ['^1'], hash_function: md5, summary: debug}",
    "{allowed_keys: [service.name, redaction.masked.keys], summary: debug}",
    "{allow_all_keys: true, blocked_key_patterns: ['redaction', '^$', '\\.'], summary: debug}",
]

ATTRIBUTES = [
    "{actions: [{key: a, action: upsert, value: 0x10}, {key: b, action: upsert, value: 1.0}, {key: n, action: update, value: ''}]}",
    "{actions: [{key: new, action: insert, from_attribute: a}, {key: a, action: update, from_attribute: b}, {key: b, action: upsert, from_attribute: new}]}",
    "{actions: [{key: a, action: delete}, {key: a, action: insert, value: back}, {key: A, action: delete}]}",
    "{actions: [{pattern: '(?i)TOKEN|^$', action: delete}, {pattern: '\\.', action: hash}]}",
    "{actions: [{key: url, pattern: '^(?P<url>[^ ]*) ?(?P<token>.*)$', action: extract}]}",
    "{actions: [{key: a, action: convert, converted_type: string}, {key: a, action: hash}, {key: b, action: convert, converted_type: int}, "
    "{key: b, action: convert, converted_type: string}]}",
    "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: strict, span_kinds: " + KINDS + ", attributes: [{key: a}, {key: b}]}}",
    "{actions: [{key: hit, action: insert, value: 1}], include: {match_type: regexp, resources: [{key: a, value: '.'}]}, exclude: {match_type: regexp, libraries: [{name: x}]}}",
]

RESOURCE = [
    "{attributes: [{key: a, action: insert, value: x}]}",
    "{attributes: [{key: a, action: update, value: 5}, {key: n, action: update, value: true}, {key: nope, action: update, value: 1}]}",
    "{attributes: [{key: a, action: upsert, value: 2.5}, {key: new, action: upsert, value: [1, x, 2.5, true]}]}",
    "{attributes: [{key: m, action: upsert, value: {k: 1, l: {m: [x]}}}]}",
    "{attributes: [{key: service.name, action: delete}]}",
    "{attributes: [{key: a, action: delete}, {key: b, action: delete}, {key: n, action: delete}, {key: url, action: delete}]}",
    "{attributes: [{pattern: '^(a|b|n)$', action: delete}]}",
    "{attributes: [{pattern: '.', action: delete}]}",
    "{attributes: [{pattern: 'key', action: hash}]}",
    "{attributes: [{pattern: '.', action: hash}]}",
    "{attributes: [{key: a, action: hash}, {key: b, action: hash}]}",
    "{attributes: [{key: token, action: hash}, {key: url, pattern: 'k', action: hash}]}",
    "{attributes: [{key: a, action: convert, converted_type: int}, {key: b, action: convert, converted_type: int}]}",
    "{attributes: [{key: a, action: convert, converted_type: double}, {key: n, action: convert, converted_type: double}]}",
    "{attributes: [{key: a, action: convert, converted_type: string}, {key: n, action: convert, converted_type: string}, {key: z, action: convert, converted_type: string}]}",
    "{attributes: [{key: copy, action: insert, from_attribute: a}]}",
    "{attributes: [{key: copy, action: upsert, from_attribute: service.name}, {key: service.name, action: update, value: ''}]}",
    "{attributes: [{key: a, action: update, from_attribute: nope}, {key: b, action: upsert, from_attribute: nope}]}",
    "{attributes: [{key: t, action: insert, from_context: metadata.x-tenant}]}",
    "{attributes: [{key: t, action: upsert, from_context: metadata.nope}, {key: t2, action: upsert, from_context: client.address}]}",
    "{attributes: [{key: a, action: extract, pattern: '^(?P<first>.)(?P<rest>.*)$'}]}",
    "{attributes: [{key: url, action: extract, pattern: '(?P<digits>[0-9]+)'}, {key: digits, action: convert, converted_type: int}]}",
    "{attributes: [{key: b, action: extract, pattern: '(?P<b>[a-z])'}, {key: n, action: extract, pattern: '(?P<x>a)|(?P<y>b)'}]}",
    "{attributes: [{key: a, action: insert, value: 1}, {key: a, action: update, value: 2}, {key: a, action: upsert, value: 3}, {key: a, action: delete}]}",
    "{attributes: [{key: ' ', action: insert, value: 1}, {key: a.b.c, action: insert, value: 1}]}",
    "{attributes: [{key: redaction.masked.keys, action: delete}, {key: my.token, action: update, value: gone}]}",
    "{attributes: [{key: a, action: insert, value: ''}, {key: b, action: upsert, value: '${env:NOT_SET_ANYWHERE:-fallback}'}]}",
    "{attributes: [{key: big, action: insert, value: 9223372036854775807}, {key: neg, action: insert, value: -9223372036854775808}, {key: f, action: insert, value: 1e300}]}",
    "{attributes: [{key: Token, action: upsert, value: upper}, {key: token, action: delete}]}",
]

SAMPLER = [
    "{sampling_percentage: 100}",
    "{sampling_percentage: 0.01}",
    "{sampling_percentage: 0.001, fail_closed: false}",
    "{sampling_percentage: 33.3, hash_seed: 7}",
    "{sampling_percentage: 75, hash_seed: 1, mode: hash_seed}",
    "{sampling_percentage: 90, hash_seed: 4294967295}",
    "{mode: proportional, sampling_percentage: 50}",
    "{mode: proportional, sampling_percentage: 0}",
    "{mode: proportional, sampling_percentage: 0.1, fail_closed: false}",
    "{mode: proportional, sampling_percentage: 12.5, sampling_precision: 2}",
    "{mode: proportional, sampling_percentage: 66.6, sampling_precision: 6, hash_seed: 22}",
    "{mode: equalizing, sampling_percentage: 100}",
    "{mode: equalizing, sampling_percentage: 25}",
    "{mode: equalizing, sampling_percentage: 0.5, fail_closed: false}",
    "{mode: equalizing, sampling_percentage: 99.9, sampling_precision: 4}",
    "{sampling_percentage: 40, sampling_priority: n}",
]

SPAN = [
    "{name: {from_attributes: [a, b, n], separator: ''}}",
    "{name: {from_attributes: [nope]}}",
    "{name: {from_attributes: [a, nope], separator: '/'}}",
    "{name: {from_attributes: [service.name, token, url], separator: ' :: '}}",
    "{name: {from_attributes: [a, a], separator: '='}}",
    "{name: {from_attributes: [n], separator: x}, include: {match_type: regexp, span_names: ['^op']}}",
    "{name: {from_attributes: [b]}, exclude: {match_type: regexp, span_names: ['[0-9]']}}",
    "{name: {to_attributes: {rules: ['^(?P<all>(?s:.*))$']}}}",
    "{name: {to_attributes: {rules: ['/(?P<seg>[a-z]+)']}}}",
    "{name: {to_attributes: {rules: ['(?P<method>[A-Z]+) (?P<path>/[^?]*)'], break_after_match: true}}}",
    "{name: {to_attributes: {rules: ['(?P<x>nope)', '(?P<y>o)'], break_after_match: false}}}",
    "{name: {to_attributes: {rules: ['(?P<a>[0-9])', '(?P<a>[a-z])']}}}",
    "{name: {to_attributes: {rules: ['(?i)(?P<verb>GET|SET|select)'], keep_original_name: true}}}",
    "{name: {from_attributes: [a], to_attributes: {rules: ['(?P<q>.)']}}}",
    "{status: {code: Ok}}",
    "{status: {code: Unset}}",
    "{status: {code: Error, description: ''}}",
    "{status: {code: Error, description: d}, include: {match_type: strict, span_names: [op ok]}}",
    "{status: {code: Ok}, include: {match_type: regexp, attributes: [{key: a, value: '[0-9]'}]}}",
    "{status: {code: Ok}, exclude: {match_type: strict, span_kinds: [SPAN_KIND_INTERNAL]}}",
    "{name: {from_attributes: [a]}, status: {code: Error, description: both}, include: {match_type: strict, services: [ok, fine]}}",
]

MORE = [(kind, text, "") for kind, all in (("redaction", REDACTION), ("attributes", ATTRIBUTES), ("resource", RESOURCE),
                                           ("probabilistic_sampler", SAMPLER), ("span", SPAN)) for text in all]
