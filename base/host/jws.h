/* JWS: verifies signatures of tokens from other issuers (RFC 7515, RFC 7518).
 *
 * Only RS256 and ES256 are supported.  The algorithms "none" and shared secrets
 * (HMAC) are left out on purpose. */
#ifndef FLOTILLA_HOST_JWS_H
#define FLOTILLA_HOST_JWS_H

#include <flotilla/base.h>

enum flo_jws_algorithm { FLO_JWS_RS256, FLO_JWS_ES256 };

#define FLO_JWS_RSA_BYTES_MIN 256 /* 2048 bits */
#define FLO_JWS_RSA_BYTES_MAX 512 /* 4096 bits */

/* A public key of an identity provider.  Numbers are big-endian. */
struct flo_jws_key {
    enum flo_jws_algorithm algorithm;
    size_t modulus_bytes; /* RS256 */
    uint8_t modulus[FLO_JWS_RSA_BYTES_MAX];
    uint32_t exponent;
    uint8_t x[32]; /* ES256: a point of P-256 */
    uint8_t y[32];
};

/* Verifies a signature.  Returns FLO_E_SIG_FORMAT when the key is malformed, or
 * the signature has another length.  Returns FLO_E_SIG_BAD when this key did
 * not sign these bytes. */
FLO_MUST_USE int flo_jws_verify(const struct flo_jws_key *key, const void *data, size_t bytes,
                                const uint8_t *signature, size_t signature_bytes,
                                struct flo_err *err);

#endif
