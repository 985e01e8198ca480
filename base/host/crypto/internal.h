/* What the crypto files share: mbedTLS behind its version differences. */
#ifndef FLOTILLA_HOST_CRYPTO_INTERNAL_H
#define FLOTILLA_HOST_CRYPTO_INTERNAL_H

/* mbedTLS 3 hides fields that 2.28 has no accessors for. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS

#include <mbedtls/ecdsa.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pk.h>

#include "base/host/crypto.h"

/* DER of SubjectPublicKeyInfo: fixed head, then the point. */
#define FLO_SPKI_BYTES 91

struct flo_key {
    mbedtls_pk_context pk; /* EC key on secp256r1 */
    struct flo_public_key public_half;
};

/* flo_random in the shape that mbedTLS wants. */
int flo_mbed_random(void *unused, unsigned char *out, size_t bytes);

/* FLO_E_... from an mbedTLS result: memory or `code`, with its number. */
int flo_mbed_fail(struct flo_err *err, int code, int result, const char *what);

/* The public half of a pk context; FLO_E_SIG_FORMAT when it is not a P-256
 * key. */
int flo_mbed_public(const mbedtls_pk_context *pk, struct flo_public_key *out,
                    struct flo_err *err);

/* SubjectPublicKeyInfo of a point; `out` holds FLO_SPKI_BYTES. */
void flo_spki_write(const uint8_t *point, uint8_t *out);

/* A NUL-terminated, malloc'ed copy: mbedTLS's PEM readers want the NUL
 * counted.  FLO_E_META_TOO_LARGE, FLO_E_MEMORY. */
int flo_pem_copy(const char *pem, size_t bytes, char **out,
                 struct flo_err *err);

/* Append DER as PEM of that label ("CERTIFICATE"). */
void flo_pem_append(const char *label, const uint8_t *der, size_t bytes,
                    struct flo_buf *out);

#endif
