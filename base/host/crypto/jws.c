/* JWS: verifies RS256 and ES256 by libcrypto. */
#include "base/host/jws.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <flotilla/errors/sig.h>

#include "base/host/crypto/key.h"

static EVP_PKEY *from_parameters(const char *kind, OSSL_PARAM_BLD *build)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);

    if (parameters == NULL || context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
        key = NULL;
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return key;
}

static EVP_PKEY *rsa_key(const struct flo_jws_key *key)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(key->modulus, (int)key->modulus_bytes, NULL);
    BIGNUM *e = BN_new();
    EVP_PKEY *out = NULL;

    if (build != NULL && n != NULL && e != NULL && BN_set_word(e, key->exponent) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1) {
        out = from_parameters("RSA", build);
    }
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return out;
}

static EVP_PKEY *ec_key(const struct flo_jws_key *key)
{
    uint8_t point[65] = {4};
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *out = NULL;

    memcpy(point + 1, key->x, 32);
    memcpy(point + 33, key->y, 32);
    if (build != NULL &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)) ==
            1) {
        /* libcrypto refuses points that are not on the curve */
        out = from_parameters("EC", build);
    }
    OSSL_PARAM_BLD_free(build);
    return out;
}

/* Encodes r and s (64 bytes) as the DER that libcrypto reads. */
static int ec_signature(const uint8_t *raw, unsigned char *out)
{
    ECDSA_SIG *both = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, 32, NULL);
    BIGNUM *s = BN_bin2bn(raw + 32, 32, NULL);
    int bytes = -1;

    if (both != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(both, r, s) == 1) {
        r = s = NULL; /* `both` owns the two numbers from here on */
        bytes = i2d_ECDSA_SIG(both, &out);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(both);
    return bytes;
}

int flo_jws_verify(const struct flo_jws_key *key, const void *data, size_t bytes,
                   const uint8_t *signature, size_t signature_bytes, struct flo_err *err)
{
    bool is_rsa = key->algorithm == FLO_JWS_RS256;
    size_t wanted = is_rsa ? key->modulus_bytes : 64;
    unsigned char der[80];

    if (signature_bytes != wanted) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "a signature of %zu bytes, the key makes %zu",
                        signature_bytes, wanted);
    }
    FLO_CLEANUP(flo_x509_key_deinit)
    EVP_PKEY *pair = is_rsa ? rsa_key(key) : ec_key(key);
    if (pair == NULL) {
        return flo_x509_fail(err, FLO_E_SIG_FORMAT, "a provider's public key");
    }
    if (!is_rsa) {
        int der_bytes = ec_signature(signature, der);
        if (der_bytes < 0) {
            return flo_x509_fail(err, FLO_E_SIG_FORMAT, "a signature");
        }
        signature = der;
        signature_bytes = (size_t)der_bytes;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool holds = context != NULL &&
                 EVP_DigestVerifyInit(context, NULL, EVP_sha256(), NULL, pair) == 1 &&
                 EVP_DigestVerify(context, signature, signature_bytes, data, bytes) == 1;
    EVP_MD_CTX_free(context);
    return holds ? 0
                 : flo_x509_fail(err, FLO_E_SIG_BAD,
                                 "no signature of the provider's key over "
                                 "these bytes");
}
