/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSL 3, loaded when the first tls section asks for it. Linking it would cost every daemon 1.7 MiB
 * of memory (measured: relocations of libcrypto and the pages its constructors touch), most of them
 * for nothing: sidecars speak plaintext on localhost.
 *
 * Calls go through the table: ossl.SSL_read(...). Each entry has the type of the header's prototype.
 * Threads: tls_lib_load() may be called from any; the table is read-only once it returned 0.
 */
#ifndef TAILRACE_NET_TLS_LIB_H
#define TAILRACE_NET_TLS_LIB_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "platform/err.h"

#define TLS_LIB_SSL(X) \
    X(OPENSSL_init_ssl) X(TLS_method) X(SSL_CTX_new) X(SSL_CTX_free) X(SSL_CTX_up_ref) X(SSL_CTX_ctrl) \
    X(SSL_CTX_set_options) X(SSL_CTX_set_cipher_list) X(SSL_CTX_set_verify) X(SSL_CTX_use_certificate) \
    X(SSL_CTX_use_PrivateKey) X(SSL_CTX_check_private_key) X(SSL_CTX_get_cert_store) X(SSL_CTX_get0_param) \
    X(SSL_CTX_set_default_verify_paths) X(SSL_CTX_set_alpn_select_cb) X(SSL_CTX_set_alpn_protos) \
    X(SSL_CTX_set_num_tickets) X(SSL_CTX_add_client_CA) X(SSL_CTX_set_security_level) \
    X(SSL_new) X(SSL_free) X(SSL_set_bio) X(SSL_set_accept_state) X(SSL_set_connect_state) X(SSL_ctrl) \
    X(SSL_do_handshake) X(SSL_read) X(SSL_write) X(SSL_shutdown) X(SSL_get_error) X(SSL_get0_alpn_selected) \
    X(SSL_get_verify_result) X(SSL_get0_param)

#define TLS_LIB_CRYPTO(X) \
    X(BIO_new) X(BIO_free) X(BIO_new_mem_buf) X(BIO_get_new_index) X(BIO_meth_new) X(BIO_meth_set_read) \
    X(BIO_meth_set_write) X(BIO_meth_set_ctrl) X(BIO_set_data) X(BIO_get_data) X(BIO_set_init) X(BIO_set_flags) \
    X(BIO_clear_flags) X(PEM_read_bio_X509) X(PEM_read_bio_PrivateKey) X(X509_free) X(X509_up_ref) X(EVP_PKEY_free) \
    X(X509_STORE_add_cert) X(X509_verify_cert_error_string) X(X509_VERIFY_PARAM_set_flags) \
    X(X509_VERIFY_PARAM_set1_ip_asc) X(X509_VERIFY_PARAM_set1_host) X(X509_VERIFY_PARAM_set_hostflags) \
    X(ERR_clear_error) X(ERR_peek_error) X(ERR_peek_last_error) X(ERR_reason_error_string) \
    X(EVP_PKEY_get_base_id) X(EVP_MD_CTX_new) X(EVP_MD_CTX_free) X(EVP_DigestSignInit) X(EVP_DigestSign) \
    X(EVP_sha256) X(EVP_sha384) X(EVP_sha512)

struct tls_lib {
#define TLS_LIB_FIELD(name) __typeof__(&name) name;
    TLS_LIB_SSL(TLS_LIB_FIELD)
    TLS_LIB_CRYPTO(TLS_LIB_FIELD)
#undef TLS_LIB_FIELD
    BIO_METHOD *method; /* of tls_session.c: where OpenSSL reads and writes */
};

/* Filled once. */
extern struct tls_lib ossl;

/* 0; -1 with words when OpenSSL 3 is not on this system. Cheap when loaded. */
int tls_lib_load(struct err *err) MUST_USE;

/* For tls_lib_load: what tls_session.c adds to the table. 0 or -1. */
int tls_session_method_make(struct tls_lib *lib) MUST_USE;

#endif
