/* Authorities: handles PEM texts with several certificates, their names in a
 * folder, and revocation lists. */
#include "base/host/crypto/key.h"

#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <flotilla/errors/sig.h>

#define BEGIN "-----BEGIN CERTIFICATE-----"
#define END "-----END CERTIFICATE-----"

static void crl_deinit(X509_CRL **crl)
{
    X509_CRL_free(*crl);
}

/* ---- texts ---- */

static const char *find(const char *from, const char *end, const char *what)
{
    return from == NULL || from >= end ? NULL
                                       : memmem(from, (size_t)(end - from), what, strlen(what));
}

int flo_certificates_split(const char *pem, size_t bytes, struct flo_pem_part *out, size_t max,
                           size_t *count, struct flo_err *err)
{
    const char *end = pem + bytes;
    const char *at = find(pem, end, BEGIN);
    size_t n = 0;

    for (; at != NULL; at = find(at, end, BEGIN)) {
        const char *last = find(at, end, END);
        if (last == NULL) {
            return flo_fail(err, FLO_E_SIG_FORMAT, "certificate %zu has no end", n + 1);
        }
        if (n == max) {
            return flo_fail(err, FLO_E_SIG_FORMAT, "more than %zu certificates", max);
        }
        last += strlen(END);
        last += last < end && *last == '\n';
        out[n++] = (struct flo_pem_part){at, (size_t)(last - at)};
        at = last;
    }
    if (n == 0) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "no certificate in PEM");
    }
    *count = n;
    return 0;
}

int flo_authority_file_name(const char *pem, size_t bytes, char *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_x509_deinit) X509 *certificate = NULL;

    FLO_TRY(flo_x509_parse(pem, bytes, &certificate, err));
    snprintf(out, FLO_AUTHORITY_NAME, "%08lx.0",
             X509_subject_name_hash(certificate) & 0xffffffffUL);
    return 0;
}

/* ---- lists ---- */

static bool set_serial(X509_REVOKED *entry, const char *hex)
{
    BIGNUM *number = NULL;
    ASN1_INTEGER *serial = NULL;
    bool is_set = false;

    if (hex[0] != '\0' && strspn(hex, "0123456789abcdef") == strlen(hex) &&
        BN_hex2bn(&number, hex) > 0) {
        serial = BN_to_ASN1_INTEGER(number, NULL);
        is_set = serial != NULL && X509_REVOKED_set_serialNumber(entry, serial) == 1;
    }
    ASN1_INTEGER_free(serial);
    BN_free(number);
    return is_set;
}

static int add_revoked(X509_CRL *crl, const struct flo_revoked *revoked, struct flo_err *err)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_new();
    bool is_added = entry != NULL && at != NULL && set_serial(entry, revoked->serial) &&
                    flo_x509_time(at, revoked->at_ms) &&
                    X509_REVOKED_set_revocationDate(entry, at) == 1 &&
                    X509_CRL_add0_revoked(crl, entry) == 1;

    ASN1_TIME_free(at);
    if (!is_added) {
        X509_REVOKED_free(entry);
        return flo_x509_fail(err, FLO_E_SIG_FORMAT, "serial to revoke");
    }
    return 0;
}

static bool add_extensions(X509_CRL *crl, X509 *authority, uint64_t number)
{
    ASN1_INTEGER *value = ASN1_INTEGER_new();
    X509V3_CTX context;

    X509V3_set_ctx(&context, authority, NULL, NULL, crl, 0);
    X509_EXTENSION *key =
        X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
    bool is_added = key != NULL && value != NULL && X509_CRL_add_ext(crl, key, -1) == 1 &&
                    ASN1_INTEGER_set_uint64(value, number) == 1 &&
                    X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, 0) == 1;

    X509_EXTENSION_free(key);
    ASN1_INTEGER_free(value);
    return is_added;
}

static bool fill(X509_CRL *crl, X509 *authority, uint64_t now_ms)
{
    return X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
           X509_CRL_set_issuer_name(crl, X509_get_subject_name(authority)) == 1 &&
           X509_CRL_set1_nextUpdate(crl, X509_get0_notAfter(authority)) == 1 &&
           add_extensions(crl, authority, now_ms / 1000);
}

static bool set_begin(X509_CRL *crl, uint64_t at_ms)
{
    ASN1_TIME *at = ASN1_TIME_new();
    bool is_set = at != NULL && flo_x509_time(at, at_ms) && X509_CRL_set1_lastUpdate(crl, at) == 1;

    ASN1_TIME_free(at);
    return is_set;
}

int flo_crl_make(const struct flo_key *authority, const char *authority_pem, size_t authority_bytes,
                 const struct flo_revoked *revoked, size_t count, uint64_t now_ms,
                 struct flo_buf *pem, struct flo_err *err)
{
    FLO_CLEANUP(flo_x509_deinit) X509 *issuer = NULL;
    FLO_CLEANUP(flo_x509_key_deinit) EVP_PKEY *pair = flo_x509_private(authority);
    FLO_CLEANUP(crl_deinit) X509_CRL *crl = X509_CRL_new();
    uint64_t begin_ms = now_ms > FLO_BACKDATED_MS ? now_ms - FLO_BACKDATED_MS : 0;

    FLO_TRY(flo_x509_parse(authority_pem, authority_bytes, &issuer, err));
    if (pair == NULL || X509_check_private_key(issuer, pair) != 1) {
        return flo_x509_fail(err, FLO_E_STATE, "the certificate is not of this key");
    }
    if (crl == NULL || !fill(crl, issuer, now_ms) || !set_begin(crl, begin_ms)) {
        return flo_x509_fail(err, FLO_E_MEMORY, "list of revoked");
    }
    for (size_t i = 0; i < count; i++) {
        FLO_TRY(add_revoked(crl, &revoked[i], err));
    }
    BIO *bio = BIO_new(BIO_s_mem());
    if (X509_CRL_sort(crl) != 1 || X509_CRL_sign(crl, pair, EVP_sha256()) <= 0 || bio == NULL ||
        PEM_write_bio_X509_CRL(bio, crl) != 1) {
        BIO_free(bio);
        bio = NULL;
    }
    return flo_x509_append(bio, pem, err);
}
