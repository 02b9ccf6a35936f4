/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_sign.h. */
#include "net/tls_sign.h"

#include "net/tls_lib.h"

static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    (void)u;
    return 0;
}

static EVP_PKEY *read_key(struct slice pem, struct err *err)
{
    BIO *bio = ossl.BIO_new_mem_buf(pem.p, (int)pem.len);
    EVP_PKEY *key = bio ? ossl.PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    if (bio)
        ossl.BIO_free(bio);
    ossl.ERR_clear_error();
    if (key && ossl.EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        return key;
    err_set(err, key ? "the private key is no RSA key" : "no private key in PEM form that can be read");
    ossl.EVP_PKEY_free(key);
    return NULL;
}

static const EVP_MD *digest_of(unsigned bits)
{
    return bits == 256 ? ossl.EVP_sha256() : bits == 384 ? ossl.EVP_sha384() : ossl.EVP_sha512();
}

static int sign(EVP_PKEY *key, unsigned bits, struct slice data, struct buf *out)
{
    EVP_MD_CTX *ctx = ossl.EVP_MD_CTX_new();
    size_t n = 0;
    int rc = -1;

    if (ctx && ossl.EVP_DigestSignInit(ctx, NULL, digest_of(bits), NULL, key) == 1 &&
        ossl.EVP_DigestSign(ctx, NULL, &n, data.p, data.len) == 1 && buf_reserve(out, n) == 0 &&
        ossl.EVP_DigestSign(ctx, out->p + out->len, &n, data.p, data.len) == 1) {
        out->len += n;
        rc = 0;
    }
    ossl.EVP_MD_CTX_free(ctx);
    return rc;
}

int tls_sign_rsa(struct slice pem, unsigned bits, struct slice data, struct buf *out, struct err *err)
{
    EVP_PKEY *key;
    int rc;

    CHECK(bits == 256 || bits == 384 || bits == 512);
    if (tls_lib_load(err) != 0)
        return -1;
    key = pem.len <= INT32_MAX ? read_key(pem, err) : NULL;
    if (!key)
        return -1;
    rc = sign(key, bits, data, out);
    ossl.EVP_PKEY_free(key);
    ossl.ERR_clear_error();
    return rc == 0 ? 0 : err_set(err, "the private key cannot sign");
}
