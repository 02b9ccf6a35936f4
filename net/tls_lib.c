/* SPDX-License-Identifier: Apache-2.0 */
/* Loads OpenSSL. See tls_lib.h. It stays loaded: nothing unloads it, as it keeps per-thread state. */
#include "net/tls_lib.h"

#include <dlfcn.h>
#include <pthread.h>

#define LIB_SSL    "libssl.so.3"
#define LIB_CRYPTO "libcrypto.so.3"

struct tls_lib ossl;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char load_error[256]; /* "": loaded */

struct symbol {
    const char *name;
    size_t offset;
};

#define SYMBOL(name) {#name, offsetof(struct tls_lib, name)},
static const struct symbol ssl_symbols[] = {TLS_LIB_SSL(SYMBOL)};
static const struct symbol crypto_symbols[] = {TLS_LIB_CRYPTO(SYMBOL)};

static int load_from(const char *file, const struct symbol *symbols, size_t n, struct err *err)
{
    void *lib = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!lib)
        return err_set(err, "%s", dlerror());
    for (size_t i = 0; i < n; i++) {
        void *at = dlsym(lib, symbols[i].name);
        if (!at)
            return err_set(err, "%s lacks %s", file, symbols[i].name);
        memcpy((char *)&ossl + symbols[i].offset, &at, sizeof at);
    }
    return 0;
}

static int load(struct err *err)
{
    if (load_from(LIB_CRYPTO, crypto_symbols, ARRAY_LEN(crypto_symbols), err) != 0 ||
        load_from(LIB_SSL, ssl_symbols, ARRAY_LEN(ssl_symbols), err) != 0)
        return -1;
    if (ossl.OPENSSL_init_ssl(0, NULL) != 1 || tls_session_method_make(&ossl) != 0)
        return err_set(err, "OpenSSL does not start");
    return 0;
}

static void load_once(void)
{
    struct err err = {0};

    if (load(&err) != 0)
        snprintf(load_error, sizeof load_error, "TLS needs OpenSSL 3 (%s): %.180s", LIB_SSL, err.text);
}

int tls_lib_load(struct err *err)
{
    pthread_once(&once, load_once);
    return load_error[0] ? err_set(err, "%s", load_error) : 0;
}
