/* SPDX-License-Identifier: Apache-2.0 */
/* The tls sections. See tls_keys.h. Names are Go's, as the Collector takes them. Pure. */
#include "component/tls_keys.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "platform/check.h"

#define MATERIAL_KEYS \
    KEY_STR(struct tls_settings, cert_file, NULL, "File with the certificate in PEM, intermediate ones after it."), \
    KEY_SECRET(struct tls_settings, cert_pem, NULL, "The same as text."), \
    KEY_STR(struct tls_settings, key_file, NULL, "File with its private key in PEM."), \
    KEY_SECRET(struct tls_settings, key_pem, NULL, "The same as text.")

#define RULE_KEYS \
    KEY_BOOL(struct tls_settings, include_system_ca_certs_pool, "false", "The system's authorities beside those of ca_file."), \
    KEY_STR(struct tls_settings, min_version, "", "The oldest TLS version that is spoken: 1.0 to 1.3. Default: 1.2."), \
    KEY_STR(struct tls_settings, max_version, "", "The newest: 1.0 to 1.3. Default: 1.3."), \
    KEY_STRS(struct tls_settings, cipher_suites, NULL, \
             "Cipher suites up to TLS 1.2, by their Go names (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256); [] for the usual ones."), \
    KEY_BOOL(struct tls_settings, include_insecure_cipher_suites, "false", "Whether cipher_suites may name weak ones."), \
    KEY_STRS(struct tls_settings, curve_preferences, NULL, \
             "Key exchange groups: X25519MLKEM768, X25519, P256, P384, P521; what the system's OpenSSL lacks is left out."), \
    KEY_DURATION(struct tls_settings, reload_interval, "0s", 0, 1e9, \
                 "How old certificate and key (of clients: ca_file, too) may grow before they are read again at a handshake; 0: never again. Unusable files keep the old ones."), \
    KEY_NOT_YET("tpm", "Keys kept in a TPM.")

const struct key tls_server_keys[] = {
    MATERIAL_KEYS,
    KEY_STR(struct tls_settings, client_ca_file, NULL, "Authorities in PEM: clients need a certificate that one of them has signed."),
    KEY_BOOL(struct tls_settings, client_ca_file_reload, "false", "Whether client_ca_file is read again when it changes (looked at once a second at most)."),
    KEY_STR(struct tls_settings, ca_file, NULL, "Has no say in a server, but must be readable; client_ca_file is for clients."),
    KEY_SECRET(struct tls_settings, ca_pem, NULL, "The same as text."),
    RULE_KEYS,
    KEY_END};

const struct key tls_client_keys[] = {
    KEY_BOOL(struct tls_settings, insecure, "false", "true and no ca_file: plaintext, no TLS. https:// endpoints use TLS in any case."),
    KEY_BOOL(struct tls_settings, insecure_skip_verify, "false", "TLS without a look at the server's certificate."),
    KEY_STR(struct tls_settings, server_name_override, "", "The name expected in the server's certificate instead of the endpoint's host."),
    KEY_STR(struct tls_settings, ca_file, NULL, "Authorities in PEM that may sign the server's certificate. Default: the system's."),
    KEY_SECRET(struct tls_settings, ca_pem, NULL, "The same as text."),
    MATERIAL_KEYS,
    RULE_KEYS,
    KEY_END};

/* ---- names ---- */

struct cipher {
    const char *go, *openssl; /* openssl "": of TLS 1.3, always on; NULL: gone from OpenSSL */
    bool insecure;
};

static const struct cipher ciphers[] = {
    {"TLS_AES_128_GCM_SHA256", "", false},
    {"TLS_AES_256_GCM_SHA384", "", false},
    {"TLS_CHACHA20_POLY1305_SHA256", "", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384", false},
    {"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", false},
    {"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384", false},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", false},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305", false},
    {"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305", false},
    {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", "ECDHE-ECDSA-AES128-SHA", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA", false},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "ECDHE-RSA-AES128-SHA", false},
    {"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", "ECDHE-RSA-AES256-SHA", false},
    {"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "ECDHE-ECDSA-AES128-SHA256", true},
    {"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "ECDHE-RSA-AES128-SHA256", true},
    {"TLS_RSA_WITH_AES_128_GCM_SHA256", "AES128-GCM-SHA256", true},
    {"TLS_RSA_WITH_AES_256_GCM_SHA384", "AES256-GCM-SHA384", true},
    {"TLS_RSA_WITH_AES_128_CBC_SHA256", "AES128-SHA256", true},
    {"TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA", true},
    {"TLS_RSA_WITH_AES_256_CBC_SHA", "AES256-SHA", true},
    {"TLS_RSA_WITH_3DES_EDE_CBC_SHA", NULL, true},
    {"TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", NULL, true},
    {"TLS_RSA_WITH_RC4_128_SHA", NULL, true},
    {"TLS_ECDHE_RSA_WITH_RC4_128_SHA", NULL, true},
    {"TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", NULL, true},
};

static const struct {
    const char *go, *openssl;
} groups[] = {{"X25519MLKEM768", "X25519MLKEM768"}, {"X25519", "X25519"}, {"P256", "P-256"}, {"P384", "P-384"}, {"P521", "P-521"}};

static const struct cipher *cipher_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(ciphers); i++)
        if (strcmp(ciphers[i].go, name) == 0)
            return &ciphers[i];
    return NULL;
}

static const char *group_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++)
        if (strcmp(groups[i].go, name) == 0)
            return groups[i].openssl;
    return NULL;
}

static bool is_set(const char *s)
{
    return s && s[0];
}

/* 0: not given; -1: no such version. */
static int version_of(const char *s)
{
    if (!is_set(s))
        return 0;
    if (strlen(s) == 3 && s[0] == '1' && s[1] == '.' && s[2] >= '0' && s[2] <= '3')
        return 0x0301 + s[2] - '0';
    return -1;
}

static void add_name(char *dst, size_t cap, const char *name)
{
    size_t n = strlen(dst);

    if (n + strlen(name) + 2 <= cap)
        snprintf(dst + n, cap - n, "%s%s", n ? ":" : "", name);
}

void tls_names_of(const struct tls_settings *s, struct tls_names *out)
{
    *out = (struct tls_names){.min_version = version_of(s->min_version), .max_version = version_of(s->max_version)};
    for (size_t i = 0; i < s->cipher_suites.n; i++) {
        const struct cipher *known = cipher_of(s->cipher_suites.v[i]);
        if (known && is_set(known->openssl))
            add_name(out->ciphers, sizeof out->ciphers, known->openssl);
    }
    for (size_t i = 0; i < s->curve_preferences.n; i++)
        if (group_of(s->curve_preferences.v[i]))
            add_name(out->groups, sizeof out->groups, group_of(s->curve_preferences.v[i]));
}

/* ---- rules ---- */

static void say(struct check *c, const char *at, const char *key, const char *text)
{
    char path[128];

    snprintf(path, sizeof path, "%s%s%s", at, key[0] ? "." : "", key);
    check_error(c, path, "%s", text);
}

static void check_versions(const struct tls_settings *s, const char *at, struct check *c)
{
    int min = version_of(s->min_version), max = version_of(s->max_version);
    char text[200];

    if (min < 0) {
        snprintf(text, sizeof text, "invalid TLS min_version: unsupported TLS version: \"%.40s\"", s->min_version);
        say(c, at, "min_version", text);
    }
    if (max < 0) {
        snprintf(text, sizeof text, "invalid TLS max_version: unsupported TLS version: \"%.40s\"", s->max_version);
        say(c, at, "max_version", text);
    }
    if (min >= 0 && max > 0 && (min ? min : 0x0303) > max)
        say(c, at, "min_version", "invalid TLS configuration: min_version cannot be greater than max_version");
}

static void check_ciphers(const struct tls_settings *s, const char *at, struct check *c)
{
    bool usable = s->cipher_suites.n == 0;
    char text[200];

    for (size_t i = 0; i < s->cipher_suites.n; i++) {
        const char *name = s->cipher_suites.v[i];
        const struct cipher *known = cipher_of(name);

        if (!known || (known->insecure && !s->include_insecure_cipher_suites)) {
            snprintf(text, sizeof text, "invalid TLS cipher suite: \"%.80s\"%s", name,
                     known ? " (it is weak: include_insecure_cipher_suites allows it)" : "");
            say(c, at, "cipher_suites", text);
            usable = true;
        } else if (!known->openssl) {
            snprintf(text, sizeof text, "%.80s is no longer in OpenSSL", name);
            say(c, at, "cipher_suites", text);
            usable = true;
        }
        usable |= known && known->openssl != NULL;
    }
    if (!usable)
        say(c, at, "cipher_suites", "has no usable suite");
}

static void check_groups(const struct tls_settings *s, const char *at, struct check *c)
{
    char text[200];

    for (size_t i = 0; i < s->curve_preferences.n; i++) {
        if (group_of(s->curve_preferences.v[i]))
            continue;
        snprintf(text, sizeof text, "invalid curve type \"%.40s\". Expected values are [P-256, P-384, P-521, X25519, X25519MLKEM768]",
                 s->curve_preferences.v[i]);
        say(c, at, "curve_preferences", text);
    }
}

static void check_material(const struct tls_settings *s, const char *at, struct check *c)
{
    bool cert = is_set(s->cert_file) || is_set(s->cert_pem), key = is_set(s->key_file) || is_set(s->key_pem);

    if (is_set(s->ca_file) && is_set(s->ca_pem))
        say(c, at, "ca_pem", "provide either a CA file or the PEM-encoded string, but not both");
    if (is_set(s->cert_file) && is_set(s->cert_pem))
        say(c, at, "cert_pem", "provide either certificate file or PEM, but not both");
    if (is_set(s->key_file) && is_set(s->key_pem))
        say(c, at, "key_pem", "provide either key file or PEM, but not both");
    if (cert != key)
        say(c, at, "", "TLS configuration must include both certificate and key (CertFile/CertPem and KeyFile/KeyPem)");
}

static void check_common(const struct tls_settings *s, const char *at, struct check *c)
{
    check_material(s, at, c);
    check_versions(s, at, c);
    check_ciphers(s, at, c);
    check_groups(s, at, c);
}

void tls_server_check(const struct tls_settings *s, const char *at, struct check *c)
{
    check_common(s, at, c);
    if (!is_set(s->cert_file) && !is_set(s->cert_pem) && !is_set(s->key_file) && !is_set(s->key_pem))
        say(c, at, "", "TLS configuration must include both certificate and key for server connections");
}

void tls_client_check(const struct tls_settings *s, const char *at, struct check *c)
{
    check_common(s, at, c);
}

bool tls_client_plaintext(const struct tls_settings *s)
{
    return s->insecure && !is_set(s->ca_file) && !is_set(s->ca_pem);
}
