/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See htpasswd.h. crypt_rn() of libxcrypt does what crypt(3) knows; Apache's own kind of MD5, {SHA} and
 * {SSHA} are made here. libcrypt is loaded when a hash needs it: most daemons have none.
 */
#include "extensions/htpasswd.h"

#include <crypt.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "component/auth.h"
#include "net/grpc.h"
#include "platform/digest.h"

/* ---- crypt(3) ---- */

static struct {
    pthread_once_t once;
    __typeof__(&crypt_rn) crypt_rn;
} lib = {.once = PTHREAD_ONCE_INIT};

static void load_once(void)
{
    void *so = dlopen("libcrypt.so.1", RTLD_NOW | RTLD_LOCAL);
    void *at = so ? dlsym(so, "crypt_rn") : NULL;

    memcpy(&lib.crypt_rn, &at, sizeof(at));
}

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static bool is_crypt(const char *hash)
{
    static const char *const kinds[] = {"$2a$", "$2b$", "$2y$", "$1$", "$5$", "$6$"};

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (begins(hash, kinds[i]))
            return true;
    return false;
}

static bool text_equal(const char *a, const char *b)
{
    return auth_equal(slice_str(a), slice_str(b));
}

static bool crypt_matches(const char *hash, const char *password)
{
    struct crypt_data *data = mem_alloc(sizeof(*data));
    const char *made = lib.crypt_rn(password, hash, data, (int)sizeof(*data));
    bool same = made && text_equal(made, hash);

    explicit_bzero(data, sizeof(*data));
    free(data);
    return same;
}

/* ---- Apache's MD5 ---- */

#define APR1 "$apr1$"

/* The text of its 16 bytes, in the order crypt(3) for MD5 has. */
static void apr1_text(const uint8_t d[16], char out[23])
{
    static const char digits[] = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const uint8_t order[][3] = {{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
    char *p = out;

    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        uint32_t v = (uint32_t)d[order[i][0]] << 16 | (uint32_t)d[order[i][1]] << 8 | d[order[i][2]];
        for (int k = 0; k < 4; k++, v >>= 6)
            *p++ = digits[v & 63];
    }
    *p++ = digits[d[11] & 63];
    *p++ = digits[d[11] >> 6];
    *p = '\0';
}

static void apr1_rounds(struct buf *b, struct slice pw, struct slice salt, uint8_t d[16])
{
    for (unsigned i = 0; i < 1000; i++) {
        buf_clear(b);
        buf_put(b, i & 1 ? pw.p : d, i & 1 ? pw.len : 16);
        if (i % 3)
            buf_put(b, salt.p, salt.len);
        if (i % 7)
            buf_put(b, pw.p, pw.len);
        buf_put(b, i & 1 ? d : pw.p, i & 1 ? 16 : pw.len);
        md5(b->p, b->len, d);
    }
}

static void apr1(struct slice pw, struct slice salt, char out[23])
{
    struct buf b = {0};
    uint8_t d[16];

    buf_put(&b, pw.p, pw.len);
    buf_put(&b, salt.p, salt.len);
    buf_put(&b, pw.p, pw.len);
    md5(b.p, b.len, d);
    buf_clear(&b);
    buf_put(&b, pw.p, pw.len);
    buf_puts(&b, APR1);
    buf_put(&b, salt.p, salt.len);
    for (size_t left = pw.len; left; left -= left < 16 ? left : 16)
        buf_put(&b, d, left < 16 ? left : 16);
    for (size_t i = pw.len; i; i >>= 1)
        buf_putc(&b, i & 1 ? '\0' : pw.len ? (char)pw.p[0] : '\0');
    md5(b.p, b.len, d);
    apr1_rounds(&b, pw, salt, d);
    apr1_text(d, out);
    if (b.cap)
        explicit_bzero(b.p, b.cap);
    buf_free(&b);
}

static bool apr1_matches(const char *hash, const char *password)
{
    const char *salt = hash + strlen(APR1), *end = strchr(salt, '$');
    size_t n = end ? (size_t)(end - salt) : 0;
    char made[23];

    if (!end)
        return false;
    apr1(slice_str(password), slice_of(salt, n < 8 ? n : 8), made);
    return text_equal(made, end + 1);
}

/* ---- {SHA}, {SSHA} ---- */

static bool sha_matches(const char *base64, const char *password, bool salted)
{
    struct buf want = {0}, in = {0};
    uint8_t d[20];
    bool same = false;

    if (base64_decode(&want, slice_str(base64)) == 0 && (salted ? want.len > 20 : want.len == 20)) {
        buf_puts(&in, password);
        buf_put(&in, want.p + 20, want.len - 20);
        sha1(in.p, in.len, d);
        same = auth_equal(slice_of(d, 20), slice_of(want.p, 20));
    }
    if (in.cap)
        explicit_bzero(in.p, in.cap);
    buf_free(&in);
    buf_free(&want);
    return same;
}

bool htpasswd_is_slow(const char *hash)
{
    return is_crypt(hash) || begins(hash, APR1);
}

bool htpasswd_matches(const char *hash, const char *password)
{
    if (is_crypt(hash))
        return crypt_matches(hash, password);
    if (begins(hash, APR1))
        return apr1_matches(hash, password);
    if (begins(hash, "{SHA}"))
        return sha_matches(hash + 5, password, false);
    if (begins(hash, "{SSHA}"))
        return sha_matches(hash + 6, password, true);
    return text_equal(hash, password);
}

/* ---- the file ---- */

struct user {
    const char *name, *hash; /* in text */
};

struct htpasswd {
    char *text;
    size_t len;
    struct user *v;
    size_t n;
    unsigned left_out, first_left_out;
};

static int add_line(struct htpasswd *h, char *line, unsigned number, struct err *err)
{
    char *colon = strchr(line, ':');

    line += strspn(line, " \t");
    if (!*line || *line == '#')
        return 0;
    if (!colon || colon <= line || !colon[1]) {
        if (!h->left_out++)
            h->first_left_out = number;
        return 0;
    }
    *colon = '\0';
    if (is_crypt(colon + 1)) {
        pthread_once(&lib.once, load_once);
        if (!lib.crypt_rn)
            return err_set(err, "line %u: this kind of hash needs libcrypt.so.1, which is not on this system", number);
    }
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->v[i].name, line) == 0) {
            h->v[i].hash = colon + 1;
            return 0;
        }
    h->v = mem_grow(h->v, (h->n + 1) * sizeof(*h->v));
    h->v[h->n++] = (struct user){line, colon + 1};
    return 0;
}

struct htpasswd *htpasswd_parse(const char *text, struct err *err)
{
    struct htpasswd *h = mem_alloc(sizeof(*h));
    unsigned number = 0;
    int rc = 0;

    *h = (struct htpasswd){.text = mem_dup(text), .len = strlen(text)};
    for (char *p = h->text, *line; rc == 0 && (line = strsep(&p, "\n"));) {
        size_t n = strlen(line);
        while (n && strchr(" \t\r", line[n - 1]))
            line[--n] = '\0';
        rc = add_line(h, line, ++number, err);
    }
    if (rc == 0 && h->n == 0)
        rc = err_set(err, "there is no user in it");
    if (rc < 0)
        htpasswd_free(&h);
    return h;
}

unsigned htpasswd_left_out(const struct htpasswd *h, unsigned *first)
{
    *first = h->first_left_out;
    return h->left_out;
}

void htpasswd_free(struct htpasswd **hp)
{
    struct htpasswd *h = *hp;

    *hp = NULL;
    if (!h)
        return;
    if (h->text)
        explicit_bzero(h->text, h->len);
    free(h->text);
    free(h->v);
    free(h);
}

const char *htpasswd_find(const struct htpasswd *h, const char *user, bool *known)
{
    for (size_t i = 0; i < h->n; i++)
        if (strcmp(h->v[i].name, user) == 0) {
            *known = true;
            return h->v[i].hash;
        }
    *known = false;
    return h->v[0].hash;
}
