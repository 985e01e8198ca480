/* Key agreement: computes a secret that the owners of two keys share. */
#include "base/host/crypto/key.h"

#include <string.h>

#include <mbedtls/ecdh.h>

#include <flotilla/errors/sig.h>

#include "base/host/digest.h"

/* Computes the x coordinate of the shared ECDH point. */
static int common(const struct flo_key *key, const struct flo_public_key *other, uint8_t out[32])
{
    const mbedtls_ecp_keypair *mine = mbedtls_pk_ec(key->pk);
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi x;

    /* each call makes a group of its own, because threads must not share one */
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&x);
    int result = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
    if (result == 0) {
        result = mbedtls_ecp_point_read_binary(&group, &point, other->point, sizeof(other->point));
    }
    if (result == 0) { /* mbedTLS refuses points that are not on the curve */
        result = mbedtls_ecdh_compute_shared(&group, &x, &point, &mine->d, flo_mbed_random, NULL);
    }
    if (result == 0) {
        result = mbedtls_mpi_write_binary(&x, out, 32);
    }
    mbedtls_mpi_free(&x); /* wipes the number */
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&group);
    return result;
}

int flo_key_agree(const struct flo_key *key, const struct flo_public_key *other,
                  const char *purpose, uint8_t out[FLO_DIGEST_BYTES], struct flo_err *err)
{
    static const uint8_t no_salt[FLO_DIGEST_BYTES];
    struct flo_digest drawn, made;
    uint8_t x[32];
    int result = common(key, other, x);

    if (result != 0) {
        int rv = flo_mbed_fail(err, FLO_E_SIG_FORMAT, result, "agree");
        return flo_wrap(err, rv, "key %.16s", other->keyid);
    }
    flo_hmac_sha256(no_salt, sizeof(no_salt), &(struct flo_hmac_piece){x, sizeof(x)}, 1, &drawn);
    flo_hmac_sha256(drawn.bytes, sizeof(drawn.bytes),
                    (struct flo_hmac_piece[]){{purpose, strlen(purpose)}, {"\1", 1}}, 2, &made);
    memcpy(out, made.bytes, FLO_DIGEST_BYTES);
    flo_secret_wipe(x, sizeof(x));
    flo_secret_wipe(&drawn, sizeof(drawn));
    flo_secret_wipe(&made, sizeof(made));
    return 0;
}
