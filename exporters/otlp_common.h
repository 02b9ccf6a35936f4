/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two OTLP exporters share: a batch as the body of a request, the answers' messages, and
 * the configuration that means the same in both.
 * Threads: one body_maker per exporter and worker; the rest is pure.
 */
#ifndef TAILRACE_EXPORTERS_OTLP_COMMON_H
#define TAILRACE_EXPORTERS_OTLP_COMMON_H

#include "component/auth_keys.h"
#include "component/component.h"
#include "component/tls_keys.h"
#include "model/otlp_encode.h"
#include "net/compress.h"
#include "net/tls.h"

/* ---- configuration ---- */

/* What a tls section asks for. NULL with err when files cannot be used. */
struct tls_context *otlp_client_tls(const struct tls_settings *set, enum tls_alpn alpn, struct host *h,
                                    struct err *err) MUST_USE;

/* Header names and values that HTTP allows. */
void headers_check(const struct pair_list *headers, struct check *c);

bool header_value_ok(const char *value);

/* "tailrace/0.1.0 (linux/amd64)"; the caller frees. */
char *otlp_user_agent(void) MUST_USE;

/* ---- bodies ---- */

struct body {
    const struct iovec *iov; /* what to send; points into the batch, or into bytes */
    size_t n_iov;
    size_t len;

    /* private */
    struct encoded encoded;
    uint8_t *bytes;
    struct iovec one;
    size_t charged;
};

struct body_maker;
struct body_maker *body_maker_new(struct budget *b, enum codec codec, int level, bool json) MUST_USE;
void body_maker_free(struct body_maker **m); /* fine on NULL */
/* Encodes, and compresses when there is a codec. 0; -1: no memory (try later). */
int body_make(struct body_maker *m, const struct batch *b, struct body *out) MUST_USE;
void body_free(struct body_maker *m, struct body *body); /* fine on {0} */

/* ---- answers ---- */

struct otlp_answer {
    uint64_t rejected_spans;
    char message[400]; /* partial_success.error_message, cut; control characters become blanks */
};
/* ExportTraceServiceResponse in protobuf or JSON. -1: it is not one. */
int otlp_answer_parse(struct slice body, bool json, struct otlp_answer *out) MUST_USE;

/* Retry-After: seconds, or a date of RFC 1123. False when it says nothing useful (garbage, the past). */
bool retry_after_parse(const char *value, uint64_t wall_ns, uint64_t *hint_ns);

/* The message of a google.rpc.Status in protobuf or JSON; "" when it is not one. */
void status_message_parse(struct slice body, bool json, char *dst, size_t cap);

/* Copies text of a peer for logs and answers: cut, one line, printable UTF-8 kept. */
void peer_text(char *dst, size_t cap, struct slice s);

#endif
