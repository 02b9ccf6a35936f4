/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ingest: what gRPC and HTTP do with a request body, from the first byte to the answer's meaning.
 *
 *   body_open/body_add -> ingest_run -> decompress, JSON, walk -> host_accept -> done(result)
 *
 * Every byte is charged before it is held. The result is transport-neutral: a gRPC code, a text, a
 * hint; the transport writes it in its own words.
 */
#ifndef TAILRACE_RECEIVERS_OTLP_INGEST_H
#define TAILRACE_RECEIVERS_OTLP_INGEST_H

#include "component/component.h"
#include "net/compress.h"
#include "net/grpc.h"
#include "platform/list.h"
#include "receivers/otlp_fair.h"
#include "receivers/otlp_pool.h"

#define OTLP_TEXT_MEMORY "data refused due to high memory usage"
#define OTLP_TEXT_QUEUE  "sending queue is full"
#define OTLP_TEXT_SHARE  "data refused: this connection has more than its share while memory or queues are short"
#define OTLP_RETRY_MS    1000u

#define INGEST_SPARES    64u

/* When others are refused for lack of memory: nobody waits for a body that paused this long, or is slower (bytes a second). */
#define INGEST_PRESSURE_IDLE_NS (200 * NS_PER_MS)
#define INGEST_PRESSURE_FLOOR   (64u << 10)

/* Why requests were turned away at the door; the reason label. */
enum refusal {
    REFUSED_MEMORY,
    REFUSED_TOO_LARGE,
    REFUSED_MALFORMED,
    REFUSED_COMPRESSION,
    REFUSED_SLOW,
    REFUSED_STOPPING,
    REFUSED_CONNECTIONS,
    REFUSED_PROTOCOL,
    REFUSED_TLS,
    REFUSED_QUEUE,
    REFUSED_SHARE,
    REFUSED_AUTH,
    REFUSALS
};

struct ingest {
    struct host *host;
    struct body_pool *pool; /* shared by the transports of an instance */
    struct decompressor *decompressor;
    struct fair *fair; /* the port's; NULL: none */
    uint64_t max_bytes;  /* of a body, before and after decompression */
    struct list reading; /* bodies that are coming in, the one that waited longest first */
    bool evicting;
    struct ingest_request *growing;
    void *spare[INGEST_SPARES]; /* memory of requests that are over, for the next ones */
    unsigned n_spare;
    /* series */
    struct series *accepted, *refused_spans, *failed, *connections;
    struct series *refused[REFUSALS], *refused_bytes[REFUSALS];
    struct series *rejected_trace_id, *rejected_span_id, *repaired;
};

struct ingest_result {
    int code;         /* enum grpc_code */
    int http_status;  /* 0: what the code means on HTTP */
    const char *text; /* for people; valid during the call */
    bool has_retry;
    uint64_t retry_after_ms;
    uint64_t rejected_spans; /* of an otherwise good request */
};

/* Embedded in a transport's request. */
struct ingest_request {
    struct ingest *in;
    /* The transport fills these before ingest_run(). */
    enum codec codec;
    bool json;
    struct request_info *info; /* a reference, or NULL */
    void (*done)(struct ingest_request *r, const struct ingest_result *res); /* once */
    /* A slow body must go: body_drop, and `why` is the answer. */
    void (*evict)(struct ingest_request *r, const struct ingest_result *why);

    /* what the connection has of what all share; NULL: gone, or none */
    struct fair_share *share;
    size_t share_bytes; /* counted there as in flight */
    struct list turn;   /* complete, but the connection rests */

    /* the body as it comes in */
    uint8_t *body;
    size_t len, cap;
    enum refusal refused; /* after body_open() said no */
    struct list reading;
    uint64_t started_ns, progress_ns;

    /* while the pipelines have it */
    bool waiting;
    uint32_t n_spans, rejected_trace_id, rejected_span_id;
};

/* transport: "grpc", "http". */
void ingest_init(struct ingest *in, struct host *host, struct body_pool *pool,
                 struct decompressor *d, const char *transport, uint64_t max_bytes);

/* Memory for a transport's requests, zeroed; all of one size. calloc() and free() would be a tenth
 * of the cost of a small request. */
void *ingest_take_memory(struct ingest *in, size_t size) MUST_USE;
void ingest_give_memory(struct ingest *in, void *request);
void ingest_close(struct ingest *in);

/* A request begins (its header is there). r is zeroed; evict must be set, and share unless there is none. */
void ingest_request_init(struct ingest_request *r, struct ingest *in);
/* Room for a body of n bytes (known: exactly that many will come; else a first guess). False: r->refused
 * says why; the caller answers with ingest_refusal(). */
bool body_open(struct ingest_request *r, size_t n, bool known) MUST_USE;
enum body_added { BODY_OK, BODY_TOO_LARGE, BODY_NO_MEMORY };
enum body_added body_add(struct ingest_request *r, const uint8_t *p, size_t n) MUST_USE;
/* Forgets the body, if any; the request is no longer waited for. */
void body_drop(struct ingest_request *r);
/* Evicts bodies that have made no progress for idle_ns, or crawl below `floor` bytes a second after
 * a second (after idle_ns). Called by the transport's tick, and under memory pressure; `why` is what
 * they are told. */
void ingest_evict_slow(struct ingest *in, uint64_t idle_ns, uint64_t floor_bytes_per_s,
                       const struct ingest_result *why);

/* The body is complete. done() follows, perhaps at once; body_drop() until then forgets it. */
void ingest_run(struct ingest_request *r);

extern const struct ingest_result ingest_memory_result, ingest_stopping_result, ingest_slow_result;
/* The answer to a body that was not taken. */
const struct ingest_result *ingest_refusal(const struct ingest_request *r);
/* For fair_init: a request whose turn it is. */
void ingest_run_turn(struct list *turn);
/* A series of otlp_metrics' TLS row. result: "done" or "failed". */
struct series *ingest_tls_reloads(struct ingest *in, const char *transport, const char *result);
void ingest_count_refused(struct ingest *in, enum refusal why, uint64_t bytes);

/* ExportTraceServiceResponse in protobuf; empty when nothing was rejected. Appends. */
void ingest_response(struct buf *out, const struct ingest_result *res);

#endif
