/* Sealed bytes: AES-256-GCM, with a fresh nonce in front of the data. */
#include <stdlib.h>
#include <string.h>

#include <mbedtls/gcm.h>

#include <flotilla/errors/sig.h>

#include "base/host/crypto/key.h"

#define NONCE_BYTES 12
#define TAG_BYTES 16
_Static_assert(FLO_SEALED_MORE == NONCE_BYTES + TAG_BYTES, "nonce and tag");

static int with_key(mbedtls_gcm_context *gcm, const uint8_t *key)
{
    mbedtls_gcm_init(gcm);
    return mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, key, 8 * FLO_DIGEST_BYTES);
}

int flo_sealed_make(const uint8_t key[FLO_DIGEST_BYTES], const char *about, const void *data,
                    size_t bytes, uint8_t *out, struct flo_err *err)
{
    mbedtls_gcm_context gcm;
    int result = with_key(&gcm, key);

    flo_random(out, NONCE_BYTES);
    if (result == 0) {
        result = mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, bytes, out, NONCE_BYTES,
                                           (const uint8_t *)about, strlen(about), data,
                                           out + NONCE_BYTES, TAG_BYTES, out + NONCE_BYTES + bytes);
    }
    mbedtls_gcm_free(&gcm);
    return result == 0 ? 0 : flo_mbed_fail(err, FLO_E_MEMORY, result, "seal");
}

int flo_sealed_open(const uint8_t key[FLO_DIGEST_BYTES], const char *about, const uint8_t *data,
                    size_t bytes, uint8_t *out, struct flo_err *err)
{
    mbedtls_gcm_context gcm;

    if (bytes < FLO_SEALED_MORE) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "%zu sealed bytes, at least %d are one", bytes,
                        FLO_SEALED_MORE);
    }
    size_t inside = bytes - FLO_SEALED_MORE;
    int result = with_key(&gcm, key);
    if (result == 0) {
        result = mbedtls_gcm_auth_decrypt(&gcm, inside, data, NONCE_BYTES, (const uint8_t *)about,
                                          strlen(about), data + bytes - TAG_BYTES, TAG_BYTES,
                                          data + NONCE_BYTES, out);
    }
    mbedtls_gcm_free(&gcm);
    return result == 0 ? 0 : flo_mbed_fail(err, FLO_E_SIG_BAD, result, "sealed for another key");
}
