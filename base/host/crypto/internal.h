/* Shared by the crypto files: a key of mbedTLS, and its public half as DER. */
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

/* SubjectPublicKeyInfo of a point; `out` holds FLO_SPKI_BYTES. */
void flo_spki_write(const uint8_t *point, uint8_t *out);

#endif
