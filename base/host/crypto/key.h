/* A key of mbedTLS, and its public half as DER. */
#ifndef FLOTILLA_HOST_CRYPTO_KEY_H
#define FLOTILLA_HOST_CRYPTO_KEY_H

/* Gives access to fields that mbedTLS 3 hides, because 2.28 has no accessors
 * for them. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>
#include <openssl/x509.h>

#include "base/host/crypto.h"

/* Bytes of a SubjectPublicKeyInfo as DER: a fixed head, then the point. */
#define FLO_SPKI_BYTES 91

struct flo_key {
    mbedtls_pk_context pk; /* EC key on secp256r1 */
    struct flo_public_key public_half;
};

/* Calls flo_random() with the parameters that mbedTLS expects. */
int flo_mbed_random(void *unused, unsigned char *out, size_t bytes);

/* Fails with FLO_E_MEMORY or `code`, by a result of mbedTLS, with the library's
 * message. */
int flo_mbed_fail(struct flo_err *err, int code, int result, const char *what);

/* Returns this key as a libcrypto key pair, which the caller frees. */
EVP_PKEY *flo_x509_private(const struct flo_key *key);
/* Tells whether libcrypto ran out of memory in this thread since the last
 * flo_pem_open(). */
bool flo_x509_lacks(void);
/* Fails with libcrypto's own message and clears its error queue.  Returns
 * FLO_E_MEMORY when one of the queued errors is lack of memory. */
int flo_x509_fail(struct flo_err *err, int code, const char *what);
/* Appends the contents of `bio` to `pem` and frees it.  `bio` is NULL when its
 * caller could not write it; then the function fails. */
FLO_MUST_USE int flo_x509_append(BIO *bio, struct flo_buf *pem, struct flo_err *err);
bool flo_x509_time(ASN1_TIME *time, uint64_t wall_ms);
/* Reads the first certificate of a PEM text; the caller frees it. */
FLO_MUST_USE int flo_x509_parse(const char *pem, size_t bytes, X509 **out, struct flo_err *err);

/* For FLO_CLEANUP: they free what libcrypto made. */
static inline void flo_x509_deinit(X509 **certificate)
{
    X509_free(*certificate);
}
static inline void flo_x509_key_deinit(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

/* Opens a PEM text of at most FLO_PEM_BYTES_MAX for reading; the caller frees
 * the BIO. */
FLO_MUST_USE int flo_pem_open(const char *pem, size_t bytes, BIO **out, struct flo_err *err);
/* Checks that libcrypto can read this private key.  Returns FLO_E_SIG_FORMAT
 * when it cannot, and FLO_E_MEMORY when memory is out. */
FLO_MUST_USE int flo_x509_key_look(const char *pem, size_t bytes, struct flo_err *err);

/* Writes the SubjectPublicKeyInfo of a point to `out`, which holds
 * FLO_SPKI_BYTES. */
void flo_spki_write(const uint8_t *point, uint8_t *out);

#endif
