/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace is grown from one operation of the frontend: an operation is a server span with a few
 * attributes and a list of calls; a call to a service is a client span and that service's operation
 * below it; a call to a store is a client span alone. Calls happen one after the other and each takes
 * a random time, so durations add up as they do in life.
 *
 * About one trace in 20 fails (an exception in one span, error status from there to the root), one
 * in 30 is slow, one in 4 carries a secret. Between 3 and 12 spans as a rule.
 *
 * The rows below are the whole shop. Field numbers are those of model/attr.h.
 */
#include "cmd/traffic.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/attr.h"
#include "platform/hash.h"
#include "platform/mem.h"

enum { SPANS_MAX = 12 };

enum service { FRONTEND, CART, CHECKOUT, PAYMENT, INVENTORY, CATALOG, SHIPPING, ACCOUNTS, RECOMMEND, MAILER };

static const struct {
    const char *name, *version, *language, *scope;
} services[TRAFFIC_MAX_SERVICES] = {
    [FRONTEND] = {"frontend", "3.14.0", "nodejs", "@opentelemetry/instrumentation-http"},
    [CART] = {"cart", "2.7.1", "dotnet", "OpenTelemetry.Instrumentation.AspNetCore"},
    [CHECKOUT] = {"checkout", "5.0.2", "go", "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"},
    [PAYMENT] = {"payment", "1.9.9", "java", "io.opentelemetry.grpc-1.6"},
    [INVENTORY] = {"inventory", "0.42.0", "python", "opentelemetry.instrumentation.grpc"},
    [CATALOG] = {"catalog", "2.2.0", "go", "go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"},
    [SHIPPING] = {"shipping", "1.0.8", "rust", "tonic"},
    [ACCOUNTS] = {"accounts", "4.4.4", "java", "io.opentelemetry.spring-webmvc-6.0"},
    [RECOMMEND] = {"recommendation", "0.9.3", "python", "opentelemetry.instrumentation.grpc"},
    [MAILER] = {"mailer", "1.1.0", "ruby", "OpenTelemetry::Instrumentation::Sinatra"},
};

enum secret { NO_SECRET, CARD, EMAIL, BEARER, PASSWORD };
enum store { NO_STORE, POSTGRES, REDIS, KAFKA };

struct call {
    enum store store;
    const char *what; /* store: the statement or topic */
    int operation;    /* no store: index into operations */
};

#define SQL(text) {POSTGRES, text, 0}
#define KEY(text) {REDIS, text, 0}
#define TOPIC(text) {KAFKA, text, 0}
#define CALL(op) {NO_STORE, NULL, op}

enum operation {
    GET_HOME, GET_PRODUCT, POST_CART, POST_CHECKOUT, POST_LOGIN, /* of the frontend */
    ADD_ITEM, GET_CART, PLACE_ORDER, CHARGE, RESERVE, GET_ITEM, LIST_ITEMS, SHIP, LOGIN, SUGGEST, CONFIRM
};

static const struct {
    enum service service;
    const char *name, *method, *path; /* method NULL: gRPC, path is its full method */
    unsigned own_us;                  /* typical time spent in it, without its calls */
    enum secret secret;               /* the kind it may leak */
    unsigned n_calls;
    struct call calls[4];
} operations[] = {
    [GET_HOME] = {FRONTEND, "GET /", "GET", "/", 2500, EMAIL, 2, {CALL(LIST_ITEMS), CALL(SUGGEST)}},
    [GET_PRODUCT] = {FRONTEND, "GET /product/{id}", "GET", "/product/42", 3000, BEARER, 2, {CALL(GET_ITEM), CALL(SUGGEST)}},
    [POST_CART] = {FRONTEND, "POST /cart", "POST", "/cart", 2000, EMAIL, 2, {CALL(GET_ITEM), CALL(ADD_ITEM)}},
    [POST_CHECKOUT] = {FRONTEND, "POST /checkout", "POST", "/checkout", 4000, BEARER, 2, {CALL(GET_CART), CALL(PLACE_ORDER)}},
    [POST_LOGIN] = {FRONTEND, "POST /login", "POST", "/login", 1500, PASSWORD, 1, {CALL(LOGIN)}},
    [ADD_ITEM] = {CART, "shop.CartService/AddItem", NULL, "shop.CartService/AddItem", 800, NO_SECRET, 1, {KEY("HSET cart:*")}},
    [GET_CART] = {CART, "shop.CartService/GetCart", NULL, "shop.CartService/GetCart", 600, NO_SECRET, 1, {KEY("HGETALL cart:*")}},
    [PLACE_ORDER] = {CHECKOUT, "shop.CheckoutService/PlaceOrder", NULL, "shop.CheckoutService/PlaceOrder", 3500, EMAIL, 4,
                     {CALL(CHARGE), CALL(RESERVE), CALL(SHIP), TOPIC("orders")}},
    [CHARGE] = {PAYMENT, "shop.PaymentService/Charge", NULL, "shop.PaymentService/Charge", 9000, CARD, 1,
                {SQL("INSERT INTO payments (order_id, amount) VALUES ($1, $2)")}},
    [RESERVE] = {INVENTORY, "shop.InventoryService/Reserve", NULL, "shop.InventoryService/Reserve", 1200, NO_SECRET, 1,
                 {SQL("UPDATE stock SET reserved = reserved + $1 WHERE sku = $2")}},
    [GET_ITEM] = {CATALOG, "shop.ProductCatalogService/GetProduct", NULL, "shop.ProductCatalogService/GetProduct", 700, NO_SECRET, 1,
                  {SQL("SELECT name, price FROM products WHERE id = $1")}},
    [LIST_ITEMS] = {CATALOG, "shop.ProductCatalogService/ListProducts", NULL, "shop.ProductCatalogService/ListProducts", 1800, NO_SECRET, 2,
                    {KEY("GET products:all"), SQL("SELECT id, name, price FROM products LIMIT 50")}},
    [SHIP] = {SHIPPING, "shop.ShippingService/ShipOrder", NULL, "shop.ShippingService/ShipOrder", 2500, NO_SECRET, 0, {SQL(NULL)}},
    [LOGIN] = {ACCOUNTS, "POST /v1/sessions", "POST", "/v1/sessions", 22000, PASSWORD, 1,
               {SQL("SELECT id, password_hash FROM users WHERE email = $1")}},
    [SUGGEST] = {RECOMMEND, "shop.RecommendationService/ListRecommendations", NULL,
                 "shop.RecommendationService/ListRecommendations", 5000, NO_SECRET, 1, {KEY("ZREVRANGE popular 0 5")}},
    [CONFIRM] = {MAILER, "orders process", NULL, "orders", 12000, EMAIL, 0, {SQL(NULL)}},
};

struct gen_span {
    uint8_t id[8];
    int parent; /* index; -1: root */
    enum service service;
    const char *name;
    uint8_t kind;
    uint64_t start_ns, end_ns;
    int operation;  /* -1: none */
    const struct call *call; /* client spans of stores */
    bool failed, origin; /* origin: where the exception was */
    bool linked;         /* to the span that produced the message: the one before it */
    enum secret secret;
};

struct traffic {
    uint64_t rng;
    unsigned n_services;
    struct traffic_counts counts;
    struct gen_span spans[SPANS_MAX];
    int n_spans;
    uint8_t trace_id[16];
    bool slow;
    struct buf span, part, value; /* scratch */
};

struct traffic *traffic_new(uint64_t seed, unsigned services_wanted)
{
    struct traffic *t = (struct traffic *)mem_alloc(sizeof(*t));

    CHECK(services_wanted >= 1 && services_wanted <= TRAFFIC_MAX_SERVICES);
    t->rng = seed * 0x9e3779b97f4a7c15ull + 0x1234567; /* small seeds far apart */
    if (!t->rng)
        t->rng = 1;
    for (int i = 0; i < 8; i++)
        random_next(&t->rng);
    t->n_services = services_wanted;
    return t;
}

void traffic_free(struct traffic **t)
{
    if (!*t)
        return;
    buf_free(&(*t)->span);
    buf_free(&(*t)->part);
    buf_free(&(*t)->value);
    free(*t);
    *t = NULL;
}

const struct traffic_counts *traffic_counts(const struct traffic *t)
{
    return &t->counts;
}

static unsigned below(struct traffic *t, unsigned n)
{
    return (unsigned)(random_next(&t->rng) >> 33) % n;
}

static void fill_random(struct traffic *t, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(random_next(&t->rng) >> 40);
    p[0] |= 1; /* never all zero */
}

/* Around `typical`: half to one and a half times, now and then three times. */
static uint64_t duration_ns(struct traffic *t, unsigned typical_us)
{
    uint64_t us = typical_us / 2 + below(t, typical_us + 1);

    if (below(t, 20) == 0)
        us *= 3;
    return us * 1000;
}

/* ---- growing ---- */

static int add_span(struct traffic *t, int parent, enum service service, const char *name, uint8_t kind, uint64_t at)
{
    struct gen_span *s = &t->spans[t->n_spans];

    *s = (struct gen_span){.parent = parent, .service = service, .name = name, .kind = kind, .start_ns = at, .operation = -1};
    fill_random(t, s->id, sizeof(s->id));
    return t->n_spans++;
}

static uint64_t grow(struct traffic *t, int operation, int parent, uint64_t at);

enum { KIND_SERVER = 2, KIND_CLIENT = 3, KIND_PRODUCER = 4, KIND_CONSUMER = 5 };

static const char *const store_names[] = {[POSTGRES] = "postgresql", [REDIS] = "redis", [KAFKA] = "kafka"};

/* A message: its consumer is another service, later, linked and not a child. */
static void grow_consumer(struct traffic *t, uint64_t at)
{
    int i;

    if (t->n_services <= MAILER || t->n_spans == SPANS_MAX)
        return;
    i = add_span(t, -1, MAILER, operations[CONFIRM].name, KIND_CONSUMER, at + 2000000);
    t->spans[i].parent = i - 1;
    t->spans[i].linked = true;
    t->spans[i].operation = CONFIRM;
    t->spans[i].end_ns = t->spans[i].start_ns + duration_ns(t, operations[CONFIRM].own_us);
}

static uint64_t call_store(struct traffic *t, const struct call *c, int parent, uint64_t at)
{
    int i = add_span(t, parent, t->spans[parent].service, c->what, c->store == KAFKA ? KIND_PRODUCER : KIND_CLIENT, at);
    uint64_t end = at + duration_ns(t, c->store == POSTGRES ? 3000 : 400);

    t->spans[i].call = c;
    t->spans[i].end_ns = end;
    if (c->store == KAFKA)
        grow_consumer(t, end);
    return end;
}

static uint64_t call_service(struct traffic *t, int operation, int parent, uint64_t at)
{
    int i;
    uint64_t end;

    if ((unsigned)operations[operation].service >= t->n_services || t->n_spans + 2 > SPANS_MAX)
        return at;
    i = add_span(t, parent, t->spans[parent].service, operations[operation].name, KIND_CLIENT, at);
    t->spans[i].operation = operation;
    end = grow(t, operation, i, at + 150000) + 150000;
    t->spans[i].end_ns = end;
    return end;
}

/* The operation's span and all below it. Returns when it ends. */
static uint64_t grow(struct traffic *t, int operation, int parent, uint64_t at)
{
    int i = add_span(t, parent, operations[operation].service, operations[operation].name, KIND_SERVER, at);
    uint64_t own = duration_ns(t, operations[operation].own_us), now = at + own / 2;

    t->spans[i].operation = operation;
    for (unsigned k = 0; k < operations[operation].n_calls; k++) {
        const struct call *c = &operations[operation].calls[k];

        if (c->store == NO_STORE)
            now = call_service(t, c->operation, i, now);
        else if (t->n_spans < SPANS_MAX)
            now = call_store(t, c, i, now);
    }
    t->spans[i].end_ns = now + own / 2;
    return t->spans[i].end_ns;
}

/* One span fails, and all above it. */
static void fail_one(struct traffic *t)
{
    int i = (int)below(t, (unsigned)t->n_spans);

    t->spans[i].origin = true;
    for (; i >= 0; i = t->spans[i].parent)
        t->spans[i].failed = true;
    t->counts.error_traces++;
}

/* One span takes seconds; what contains it or comes later moves along. */
static void slow_one(struct traffic *t)
{
    int slow = (int)below(t, (unsigned)t->n_spans);
    uint64_t end = t->spans[slow].end_ns, more = 2200000000ull + below(t, 2000) * 1000000ull;

    for (int i = 0; i < t->n_spans; i++) {
        if (t->spans[i].start_ns >= end)
            t->spans[i].start_ns += more;
        if (t->spans[i].end_ns >= end)
            t->spans[i].end_ns += more;
    }
    t->counts.slow_traces++;
}

static void leak_one(struct traffic *t)
{
    int at = (int)below(t, (unsigned)t->n_spans);

    for (int k = 0; k < t->n_spans; k++) {
        struct gen_span *s = &t->spans[(at + k) % t->n_spans];

        if (s->kind != KIND_SERVER || !operations[s->operation].secret)
            continue;
        s->secret = operations[s->operation].secret;
        t->counts.secrets++;
        return;
    }
}

static void make_trace(struct traffic *t, uint64_t start_ns)
{
    static const uint8_t mix[] = {GET_HOME, GET_HOME, GET_HOME, GET_PRODUCT, GET_PRODUCT, GET_PRODUCT,
                                  POST_CART, POST_CART, POST_CHECKOUT, POST_LOGIN};

    t->n_spans = 0;
    fill_random(t, t->trace_id, sizeof(t->trace_id));
    grow(t, mix[below(t, sizeof(mix))], -1, start_ns);
    if (below(t, 20) == 0)
        fail_one(t);
    if (below(t, 30) == 0)
        slow_one(t);
    if (below(t, 4) == 0)
        leak_one(t);
    t->counts.traces++;
    t->counts.spans += (unsigned)t->n_spans;
}

/* ---- encoding: every buf here is unbounded, so nothing can be full ---- */

static void text(struct buf *out, uint32_t number, const char *s)
{
    CHECK(wire_put_bytes(out, number, slice_str(s)) == 0);
}

static void attr(struct buf *out, uint32_t field, const char *key, const char *value)
{
    CHECK(attr_put_str(out, field, slice_str(key), slice_str(value)) == 0);
}

static void attr_int(struct buf *out, uint32_t field, const char *key, int64_t value)
{
    CHECK(attr_put_int(out, field, slice_str(key), value) == 0);
}

static void message(struct buf *out, uint32_t number, const struct buf *body)
{
    CHECK(wire_put_bytes(out, number, slice_of(body->p, body->len)) == 0);
}

static const char *format(struct traffic *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static const char *format(struct traffic *t, const char *fmt, ...)
{
    va_list ap;

    buf_clear(&t->value);
    va_start(ap, fmt);
    buf_putv(&t->value, fmt, ap);
    va_end(ap);
    buf_putc(&t->value, '\0');
    return (const char *)t->value.p;
}

static void put_secret(struct traffic *t, enum secret secret)
{
    struct buf *out = &t->span;
    unsigned a = below(t, 10000), b = below(t, 10000);

    switch (secret) {
    case CARD: attr(out, SPAN_ATTRIBUTES, "app.payment.card_number", format(t, "411111%04u%04u%02u", a, b, a % 97)); break;
    case EMAIL: attr(out, SPAN_ATTRIBUTES, "enduser.email", format(t, "jo.%u@example.com", a)); break;
    case BEARER:
        attr(out, SPAN_ATTRIBUTES, "http.request.header.authorization", format(t, "Bearer eyJhbGciOiJIUzI1NiJ9.%08x%08x.c2ln", a * 7919u, b * 104729u));
        break;
    case PASSWORD: attr(out, SPAN_ATTRIBUTES, "app.login.password", format(t, "hunter%u!", a)); break;
    case NO_SECRET: break;
    }
}

static void put_http(struct traffic *t, const struct gen_span *s)
{
    struct buf *out = &t->span;
    int op = s->operation;

    attr(out, SPAN_ATTRIBUTES, "http.request.method", operations[op].method);
    attr(out, SPAN_ATTRIBUTES, "url.path", operations[op].path);
    attr(out, SPAN_ATTRIBUTES, "url.scheme", "http");
    attr(out, SPAN_ATTRIBUTES, "server.address", services[operations[op].service].name);
    attr_int(out, SPAN_ATTRIBUTES, "server.port", 8080);
    attr_int(out, SPAN_ATTRIBUTES, "http.response.status_code", s->failed ? 500 : 200);
    if (s->kind == KIND_SERVER)
        attr(out, SPAN_ATTRIBUTES, "client.address", format(t, "10.1.%u.%u", below(t, 256), below(t, 256)));
}

static void put_rpc(struct traffic *t, const struct gen_span *s)
{
    struct buf *out = &t->span;
    const char *path = operations[s->operation].path, *slash = strchr(path, '/');

    attr(out, SPAN_ATTRIBUTES, "rpc.system", "grpc");
    if (slash) {
        attr(out, SPAN_ATTRIBUTES, "rpc.service", format(t, "%.*s", (int)(slash - path), path));
        attr(out, SPAN_ATTRIBUTES, "rpc.method", slash + 1);
    }
    attr_int(out, SPAN_ATTRIBUTES, "rpc.grpc.status_code", s->failed ? 13 : 0);
    attr(out, SPAN_ATTRIBUTES, "server.address", services[operations[s->operation].service].name);
}

static void put_store(struct traffic *t, const struct gen_span *s)
{
    struct buf *out = &t->span;

    if (s->call->store == KAFKA) {
        attr(out, SPAN_ATTRIBUTES, "messaging.system", "kafka");
        attr(out, SPAN_ATTRIBUTES, "messaging.destination.name", s->call->what);
        attr_int(out, SPAN_ATTRIBUTES, "messaging.kafka.message.offset", below(t, 100000));
        return;
    }
    attr(out, SPAN_ATTRIBUTES, "db.system", store_names[s->call->store]);
    attr(out, SPAN_ATTRIBUTES, "db.query.text", s->call->what);
    attr(out, SPAN_ATTRIBUTES, "server.address", s->call->store == REDIS ? "cache-0" : "db-0");
    attr_int(out, SPAN_ATTRIBUTES, "db.response.returned_rows", below(t, 50));
}

static void put_exception(struct traffic *t, const struct gen_span *s)
{
    struct buf *e = &t->part;

    buf_clear(e);
    CHECK(wire_put_fixed64(e, EVENT_TIME, s->end_ns - (s->end_ns - s->start_ns) / 8) == 0);
    text(e, EVENT_NAME, "exception");
    attr(e, EVENT_ATTRIBUTES, "exception.type", s->call ? "ConnectionError" : "IllegalStateException");
    attr(e, EVENT_ATTRIBUTES, "exception.message", s->call ? "connection reset by peer" : "inventory is negative");
    attr(e, EVENT_ATTRIBUTES, "exception.stacktrace",
         format(t, "at %s.handle (server:%u)\n  at Dispatcher.run (dispatch:88)\n  at Thread.start", services[s->service].name, below(t, 400)));
    message(&t->span, SPAN_EVENTS, e);
}

static void put_log_event(struct traffic *t, const struct gen_span *s)
{
    struct buf *e = &t->part;

    buf_clear(e);
    CHECK(wire_put_fixed64(e, EVENT_TIME, s->start_ns + 1000) == 0);
    text(e, EVENT_NAME, "request.accepted");
    attr_int(e, EVENT_ATTRIBUTES, "queue.length", below(t, 9));
    message(&t->span, SPAN_EVENTS, e);
}

static void put_link(struct traffic *t, const struct gen_span *to)
{
    struct buf *l = &t->part;

    buf_clear(l);
    CHECK(wire_put_bytes(l, LINK_TRACE_ID, slice_of(t->trace_id, 16)) == 0);
    CHECK(wire_put_bytes(l, LINK_SPAN_ID, slice_of(to->id, 8)) == 0);
    attr(l, LINK_ATTRIBUTES, "messaging.operation", "receive");
    message(&t->span, SPAN_LINKS, l);
}

static void put_status(struct traffic *t, const struct gen_span *s)
{
    buf_clear(&t->part);
    if (s->failed) {
        if (s->origin)
            text(&t->part, STATUS_MESSAGE, s->call ? "connection reset by peer" : "inventory is negative");
        CHECK(wire_put_uint(&t->part, STATUS_CODE, 2) == 0);
    }
    if (t->part.len)
        message(&t->span, SPAN_STATUS, &t->part);
}

/* Span i into t->span. */
static void encode_span(struct traffic *t, int i)
{
    const struct gen_span *s = &t->spans[i];
    struct buf *out = &t->span;

    buf_clear(out);
    CHECK(wire_put_bytes(out, SPAN_TRACE_ID, slice_of(t->trace_id, 16)) == 0);
    CHECK(wire_put_bytes(out, SPAN_SPAN_ID, slice_of(s->id, 8)) == 0);
    if (s->parent >= 0)
        CHECK(wire_put_bytes(out, SPAN_PARENT_ID, slice_of(t->spans[s->parent].id, 8)) == 0);
    text(out, SPAN_NAME, s->name);
    CHECK(wire_put_uint(out, SPAN_KIND, s->kind) == 0);
    CHECK(wire_put_fixed64(out, SPAN_START, s->start_ns) == 0);
    CHECK(wire_put_fixed64(out, SPAN_END, s->end_ns) == 0);
    if (s->call)
        put_store(t, s);
    else if (operations[s->operation].method)
        put_http(t, s);
    else
        put_rpc(t, s);
    put_secret(t, s->secret);
    if (s->origin)
        put_exception(t, s);
    else if (s->kind == KIND_SERVER)
        put_log_event(t, s);
    if (s->linked)
        put_link(t, &t->spans[s->parent]);
    put_status(t, s);
}

/* The body of a ResourceSpans begins: resource and scope. Returns the ScopeSpans body so far. */
static void put_resource(struct buf *out, enum service service)
{
    struct buf r = {0};

    attr(&r, RESOURCE_ATTRIBUTES, "service.name", services[service].name);
    attr(&r, RESOURCE_ATTRIBUTES, "service.version", services[service].version);
    attr(&r, RESOURCE_ATTRIBUTES, "telemetry.sdk.language", services[service].language);
    attr(&r, RESOURCE_ATTRIBUTES, "deployment.environment.name", "demo");
    attr(&r, RESOURCE_ATTRIBUTES, "host.name", "node-1");
    message(out, 1, &r);
    buf_free(&r);
}

/* spans: the records of one service. */
static void put_request(struct buf *out, enum service service, const struct buf *spans)
{
    struct buf rs = {0}, ss = {0}, scope = {0};

    text(&scope, SCOPE_NAME, services[service].scope);
    text(&scope, SCOPE_VERSION, "1.0.0");
    message(&ss, 1, &scope);
    buf_put(&ss, spans->p, spans->len);
    put_resource(&rs, service);
    message(&rs, 2, &ss);
    message(out, 1, &rs);
    buf_free(&rs);
    buf_free(&ss);
    buf_free(&scope);
}

void traffic_make(struct traffic *t, unsigned n, uint64_t start_ns, struct buf out[TRAFFIC_MAX_SERVICES])
{
    struct buf spans[TRAFFIC_MAX_SERVICES] = {{0}};

    for (unsigned k = 0; k < n; k++) {
        make_trace(t, start_ns + k * 1000000ull);
        for (int i = 0; i < t->n_spans; i++) {
            encode_span(t, i);
            message(&spans[t->spans[i].service], 2, &t->span);
        }
    }
    for (int i = 0; i < TRAFFIC_MAX_SERVICES; i++) {
        if (spans[i].len)
            put_request(&out[i], (enum service)i, &spans[i]);
        buf_free(&spans[i]);
    }
}
