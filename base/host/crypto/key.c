/* Keys and signatures: makes, reads and uses ECDSA keys over P-256 with
 * SHA-256. */
#include "base/host/crypto/key.h"

#include <stdlib.h>
#include <string.h>

#include <mbedtls/asn1.h>
#include <mbedtls/error.h>
#include <mbedtls/md.h>
#include <mbedtls/pem.h>
#include <mbedtls/version.h>

#include <flotilla/errors/sig.h>

#include "base/host/digest.h"

#define DER_BYTES_MAX 256 /* a private key has 121 bytes */
_Static_assert(4 * (DER_BYTES_MAX / 3 + 1) * 65 / 64 + 70 < FLO_KEY_PEM_MAX, "room for the PEM");

int flo_mbed_random(void *unused, unsigned char *out, size_t bytes)
{
    (void)unused;
    flo_random(out, bytes);
    return 0;
}

/* Tells whether an mbedTLS error means lack of memory.  An error may be the sum
 * of two codes.  The low 7 bits are of numbers, points or ASN.1, the others of
 * keys, curves or PEM. */
static bool is_no_memory(int result)
{
    int low = -(-result & 0x7f), high = -(-result & 0x7f80);

    return low == MBEDTLS_ERR_MPI_ALLOC_FAILED || low == MBEDTLS_ERR_ASN1_ALLOC_FAILED ||
           high == MBEDTLS_ERR_PK_ALLOC_FAILED || high == MBEDTLS_ERR_ECP_ALLOC_FAILED ||
           high == MBEDTLS_ERR_MD_ALLOC_FAILED || high == MBEDTLS_ERR_PEM_ALLOC_FAILED;
}

int flo_mbed_fail(struct flo_err *err, int code, int result, const char *what)
{
    const char *whole = mbedtls_high_level_strerr(result);
    const char *part = mbedtls_low_level_strerr(result);

    if (is_no_memory(result)) {
        code = FLO_E_MEMORY;
    }
    flo_fail(err, code, "%s", what);
    if (whole != NULL || part != NULL) {
        flo_err_why(err, "%s%s%s", whole != NULL ? whole : "",
                    whole != NULL && part != NULL ? ": " : "", part != NULL ? part : "");
    }
    return code;
}

void flo_spki_write(const uint8_t *point, uint8_t *out)
{
    /* DER: SEQUENCE { SEQUENCE { ecPublicKey, prime256v1 }, BIT STRING } */
    static const uint8_t head[26] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};

    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), point, 65);
}

/* Copies the public half of an mbedTLS key.  Returns FLO_E_SIG_FORMAT when it
 * is not a P-256 key. */
static int mbed_public(const mbedtls_pk_context *pk, struct flo_public_key *out,
                       struct flo_err *err)
{
    uint8_t spki[FLO_SPKI_BYTES];
    struct flo_public_key key;
    struct flo_digest digest;
    size_t bytes = 0;

    if (mbedtls_pk_get_type(pk) != MBEDTLS_PK_ECKEY) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "not an EC key");
    }
    mbedtls_ecp_keypair *pair = mbedtls_pk_ec(*pk);
    int result = pair->grp.id == MBEDTLS_ECP_DP_SECP256R1
                     ? mbedtls_ecp_check_pubkey(&pair->grp, &pair->Q)
                     : MBEDTLS_ERR_ECP_FEATURE_UNAVAILABLE;
    if (result == 0) {
        result = mbedtls_ecp_point_write_binary(&pair->grp, &pair->Q, MBEDTLS_ECP_PF_UNCOMPRESSED,
                                                &bytes, key.point, sizeof(key.point));
    }
    if (result != 0 || bytes != sizeof(key.point)) {
        return flo_mbed_fail(err, FLO_E_SIG_FORMAT, result, "not a key on curve P-256");
    }
    flo_spki_write(key.point, spki);
    flo_sha256(spki, sizeof(spki), &digest);
    flo_hex_encode(digest.bytes, sizeof(digest.bytes), key.keyid);
    *out = key;
    return 0;
}

/* Makes a NUL-terminated, malloc'ed copy: mbedTLS's PEM readers include the NUL
 * in the length. */
static int pem_copy(const char *pem, size_t bytes, char **out, struct flo_err *err)
{
    if (bytes > FLO_PEM_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "PEM of %zu bytes, limit %d", bytes,
                        (int)FLO_PEM_BYTES_MAX);
    }
    char *copy = malloc(bytes + 1);
    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu bytes", bytes);
    }
    memcpy(copy, pem, bytes);
    copy[bytes] = '\0';
    *out = copy;
    return 0;
}

/* ---- private keys ---- */

static struct flo_key *key_new(struct flo_err *err)
{
    struct flo_key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        flo_fail(err, FLO_E_MEMORY, "no memory for a key");
        return NULL;
    }
    mbedtls_pk_init(&key->pk);
    return key;
}

void flo_key_free(struct flo_key *key)
{
    if (key != NULL) {
        mbedtls_pk_free(&key->pk); /* frees and wipes the private number */
        free(key);
    }
}

void flo_key_cleanup(struct flo_key **key)
{
    flo_key_free(*key);
    *key = NULL;
}

const struct flo_public_key *flo_key_public(const struct flo_key *key)
{
    return &key->public_half;
}

int flo_key_generate(struct flo_key **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = key_new(err);

    if (key == NULL) {
        return FLO_E_MEMORY;
    }
    int result = mbedtls_pk_setup(&key->pk, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (result == 0) {
        result = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(key->pk),
                                     flo_mbed_random, NULL);
    }
    if (result != 0) {
        return flo_mbed_fail(err, FLO_E_INTERNAL, result, "make a key");
    }
    FLO_TRY(mbed_public(&key->pk, &key->public_half, err));
    *out = key;
    key = NULL;
    return 0;
}

static int parse_private(mbedtls_pk_context *pk, const char *pem, size_t bytes)
{
    const unsigned char *text = (const unsigned char *)pem;

#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_pk_parse_key(pk, text, bytes, NULL, 0, flo_mbed_random, NULL);
#else
    return mbedtls_pk_parse_key(pk, text, bytes, NULL, 0);
#endif
}

int flo_key_parse(const char *pem, size_t bytes, struct flo_key **out, struct flo_err *err)
{
    char *copy = NULL;

    FLO_TRY(pem_copy(pem, bytes, &copy, err));
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = key_new(err);
    if (key == NULL) {
        flo_secret_wipe(copy, bytes);
        free(copy);
        return FLO_E_MEMORY;
    }
    int result = parse_private(&key->pk, copy, bytes + 1);
    flo_secret_wipe(copy, bytes);
    free(copy);
    if (result == MBEDTLS_ERR_PK_KEY_INVALID_FORMAT) {
        /* mbedTLS uses this code for an invalid key, and also when memory for
         * the public half is out.  libcrypto tells which it was. */
        FLO_TRY(flo_x509_key_look(pem, bytes, err));
        result = MBEDTLS_ERR_PK_ALLOC_FAILED;
    }
    if (result != 0) {
        return flo_mbed_fail(err, FLO_E_SIG_FORMAT, result, "not a private key in PEM");
    }
    FLO_TRY(mbed_public(&key->pk, &key->public_half, err));
    mbedtls_ecp_keypair *pair = mbedtls_pk_ec(key->pk);
    mbedtls_ecp_point point;
    mbedtls_ecp_point_init(&point);
    /* The file has both halves of the key, and this checks that they belong
     * together. */
    result = mbedtls_ecp_mul(&pair->grp, &point, &pair->d, &pair->grp.G, flo_mbed_random, NULL);
    bool fits = result == 0 && mbedtls_ecp_point_cmp(&point, &pair->Q) == 0;
    mbedtls_ecp_point_free(&point);
    if (!fits) {
        return flo_mbed_fail(err, FLO_E_SIG_FORMAT, result,
                             "the private key does not fit its public half");
    }
    *out = key;
    key = NULL;
    return 0;
}

int flo_key_load(const char *path, struct flo_key **out, struct flo_err *err)
{
    char *pem;
    size_t bytes;

    FLO_TRY(flo_secret_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, err));
    int rv = flo_key_parse(pem, bytes, out, err);
    flo_secret_wipe(pem, bytes);
    free(pem);
    flo_secret_stack_wipe();
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

/* Writes a key as PEM.  mbedTLS's own PEM writer is not used, because it leaves
 * the key in freed memory. */
static void pem_write(const uint8_t *der, size_t bytes, char *out)
{
    char text[4 * ((DER_BYTES_MAX + 2) / 3) + 1];
    char *at = out + sprintf(out, "-----BEGIN EC PRIVATE KEY-----\n");

    flo_base64_encode(der, bytes, text);
    for (const char *from = text; *from != '\0'; from += strnlen(from, 64)) {
        at += sprintf(at, "%.64s\n", from);
    }
    strcpy(at, "-----END EC PRIVATE KEY-----\n");
    flo_secret_wipe(text, sizeof(text));
}

int flo_key_pem(const struct flo_key *key, char *out, struct flo_err *err)
{
    mbedtls_pk_context pk = key->pk; /* mbedTLS 2.28 needs a non-const pointer */
    uint8_t der[DER_BYTES_MAX];
    int bytes = mbedtls_pk_write_key_der(&pk, der, sizeof(der));

    if (bytes > 0) { /* mbedTLS writes the DER to the end of the buffer */
        pem_write(der + sizeof(der) - bytes, (size_t)bytes, out);
    }
    flo_secret_wipe(der, sizeof(der));
    return bytes <= 0 ? flo_mbed_fail(err, FLO_E_INTERNAL, bytes, "write a key") : 0;
}

int flo_key_save(const struct flo_key *key, const char *path, struct flo_err *err)
{
    char pem[FLO_KEY_PEM_MAX];
    int rv = flo_key_pem(key, pem, err);

    if (rv == 0) {
        rv = flo_file_write(path, pem, strlen(pem), 0600, err);
    }
    flo_secret_wipe(pem, sizeof(pem));
    return rv;
}

/* ---- public keys ---- */

int flo_public_key_parse(const char *pem, size_t bytes, struct flo_public_key *out,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *copy = NULL;
    FLO_TRY(pem_copy(pem, bytes, &copy, err));
    mbedtls_pk_context pk;

    mbedtls_pk_init(&pk);
    int result = mbedtls_pk_parse_public_key(&pk, (const unsigned char *)copy, bytes + 1);
    int rv = result != 0 ? flo_mbed_fail(err, FLO_E_SIG_FORMAT, result, "not a public key in PEM")
                         : mbed_public(&pk, out, err);
    mbedtls_pk_free(&pk);
    return rv;
}

int flo_public_key_load(const char *path, struct flo_public_key *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *pem = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, err));
    int rv = flo_public_key_parse(pem, bytes, out, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

void flo_public_key_pem(const struct flo_public_key *key, char *out)
{
    uint8_t spki[FLO_SPKI_BYTES];
    char text[4 * ((FLO_SPKI_BYTES + 2) / 3) + 1];

    flo_spki_write(key->point, spki);
    flo_base64_encode(spki, sizeof(spki), text);
    snprintf(out, FLO_PUBLIC_KEY_PEM_MAX,
             "-----BEGIN PUBLIC KEY-----\n%.64s\n%s\n"
             "-----END PUBLIC KEY-----\n",
             text, text + 64);
}

/* ---- signatures ---- */

int flo_sign(const struct flo_key *key, const void *data, size_t bytes, uint8_t *signature,
             struct flo_err *err)
{
    mbedtls_ecp_keypair *pair = mbedtls_pk_ec(key->pk);
    struct flo_digest digest;
    mbedtls_mpi r, s;

    flo_sha256(data, bytes, &digest);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    int result =
        mbedtls_ecdsa_sign_det_ext(&pair->grp, &r, &s, &pair->d, digest.bytes, sizeof(digest.bytes),
                                   MBEDTLS_MD_SHA256, flo_mbed_random, NULL);
    if (result == 0) {
        result = mbedtls_mpi_write_binary(&r, signature, 32);
    }
    if (result == 0) {
        result = mbedtls_mpi_write_binary(&s, signature + 32, 32);
    }
    if (result == 0 && !flo_signature_is_low(signature)) {
        result = mbedtls_mpi_sub_mpi(&s, &pair->grp.N, &s);
        if (result == 0) {
            result = mbedtls_mpi_write_binary(&s, signature + 32, 32);
        }
    }
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&s);
    /* The key is known to be valid, so the only possible failure is lack of
     * memory.  mbedTLS reports it by other codes, too. */
    return result == 0 ? 0 : flo_mbed_fail(err, FLO_E_MEMORY, result, "sign");
}

/* The mbedTLS objects that one signature check needs. */
struct check {
    mbedtls_ecp_group group;
    mbedtls_ecp_point point;
    mbedtls_mpi r;
    mbedtls_mpi s;
};

static void check_deinit(struct check *check)
{
    mbedtls_ecp_group_free(&check->group);
    mbedtls_ecp_point_free(&check->point);
    mbedtls_mpi_free(&check->r);
    mbedtls_mpi_free(&check->s);
}

static bool is_in_range(const mbedtls_mpi *number, const mbedtls_mpi *order)
{
    return mbedtls_mpi_cmp_int(number, 1) >= 0 && mbedtls_mpi_cmp_mpi(number, order) < 0;
}

int flo_verify(const struct flo_public_key *key, const void *data, size_t bytes,
               const void *signature, size_t signature_bytes, struct flo_err *err)
{
    const uint8_t *raw = signature;
    struct flo_digest digest;

    if (signature_bytes != FLO_SIGNATURE_BYTES) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "signature of %zu bytes, %d wanted", signature_bytes,
                        FLO_SIGNATURE_BYTES);
    }
    FLO_CLEANUP(check_deinit) struct check check;
    mbedtls_ecp_group_init(&check.group);
    mbedtls_ecp_point_init(&check.point);
    mbedtls_mpi_init(&check.r);
    mbedtls_mpi_init(&check.s);
    int result = mbedtls_ecp_group_load(&check.group, MBEDTLS_ECP_DP_SECP256R1);
    if (result == 0) {
        result = mbedtls_ecp_point_read_binary(&check.group, &check.point, key->point,
                                               sizeof(key->point));
    }
    if (result == 0) {
        result = mbedtls_mpi_read_binary(&check.r, raw, 32);
    }
    if (result == 0) {
        result = mbedtls_mpi_read_binary(&check.s, raw + 32, 32);
    }
    if (result != 0) {
        return flo_mbed_fail(err, FLO_E_SIG_FORMAT, result, "read key and signature");
    }
    if (!is_in_range(&check.r, &check.group.N) || !is_in_range(&check.s, &check.group.N)) {
        return flo_fail(err, FLO_E_SIG_BAD, "a number of the signature is out of range");
    }
    flo_sha256(data, bytes, &digest);
    result = mbedtls_ecdsa_verify(&check.group, digest.bytes, sizeof(digest.bytes), &check.point,
                                  &check.r, &check.s);
    if (result == MBEDTLS_ERR_ECP_VERIFY_FAILED) {
        return flo_fail(err, FLO_E_SIG_BAD, "no signature of key %.16s over these bytes",
                        key->keyid);
    }
    return result == 0 ? 0 : flo_mbed_fail(err, FLO_E_SIG_BAD, result, "verify");
}

bool flo_signature_is_low(const uint8_t *signature)
{
    /* the number (n - 1) / 2 of P-256 (FIPS 186-4, D.1.2.3) */
    static const uint8_t half[32] = {0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00,
                                     0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42,
                                     0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8};

    return memcmp(signature + 32, half, sizeof(half)) <= 0;
}
