/* Inside of the crypto files: a key of mbedTLS, and its public half as DER. */
#ifndef FLOTILLA_HOST_CRYPTO_INTERNAL_H
#define FLOTILLA_HOST_CRYPTO_INTERNAL_H

/* mbedTLS 3 hides fields; 2.28 has no accessors for them. */
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

/* flo_random() with the signature that mbedTLS expects. */
int flo_mbed_random(void *unused, unsigned char *out, size_t bytes);

/* Turns a result of mbedTLS into FLO_E_MEMORY or `code`, with the library's
 * message. */
int flo_mbed_fail(struct flo_err *err, int code, int result, const char *what);

/* This key as a libcrypto key pair; the caller frees it. */
EVP_PKEY *flo_x509_private(const struct flo_key *key);
/* Returns whether libcrypto ran out of memory in this thread since the last
 * flo_pem_open(). */
bool flo_x509_lacks(void);
/* Fails with libcrypto's own message and clears its error queue.  FLO_E_MEMORY
 * where one of the queued errors is lack of memory. */
int flo_x509_fail(struct flo_err *err, int code, const char *what);
/* Appends the contents of `bio` and frees it.  NULL: it could not be
 * written. */
FLO_MUST_USE int flo_x509_append(BIO *bio, struct flo_buf *pem, struct flo_err *err);
bool flo_x509_time(ASN1_TIME *time, uint64_t wall_ms);
/* Reads the first certificate of a PEM text; the caller frees it. */
FLO_MUST_USE int flo_x509_parse(const char *pem, size_t bytes, X509 **out, struct flo_err *err);

/* Opens a PEM text of at most FLO_PEM_BYTES_MAX for reading; the caller frees
 * the BIO. */
FLO_MUST_USE int flo_pem_open(const char *pem, size_t bytes, BIO **out, struct flo_err *err);
/* Checks that libcrypto can read this private key.  FLO_E_SIG_FORMAT,
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_x509_key_look(const char *pem, size_t bytes, struct flo_err *err);

/* Writes the SubjectPublicKeyInfo of a point; `out` holds FLO_SPKI_BYTES. */
void flo_spki_write(const uint8_t *point, uint8_t *out);

#endif
