/* Certificates: signing requests, a small authority, parsing.
 *
 * The authority decides a certificate's contents.  From a request it takes only
 * the key, after the requester has proved to own that key.
 *
 * libcrypto writes and reads certificates: it is linked anyway, and mbedTLS
 * 2.28 writes algorithm parameters that strict readers refuse. */
#include "base/host/crypto/key.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/sig.h>
#include <flotilla/plural.h>

#include "base/host/tls_time.h"

enum {
    NAMES_MAX = 16, /* most names of each kind in one certificate */
    DNS_BYTES_MAX = 253,
    DAYS_MAX = 36500,
    SERIAL_BYTES = 16
};

#define DAY_MS UINT64_C(86400000)

/* ---- keys between the two libraries ---- */

static EVP_PKEY *public_of(const struct flo_public_key *key)
{
    uint8_t spki[FLO_SPKI_BYTES];
    const uint8_t *at = spki;

    flo_spki_write(key->point, spki);
    return d2i_PUBKEY(NULL, &at, sizeof(spki));
}

EVP_PKEY *flo_x509_private(const struct flo_key *key)
{
    mbedtls_pk_context pk = key->pk; /* mbedTLS 2.28 needs a non-const pointer */
    uint8_t der[256];
    int bytes = mbedtls_pk_write_key_der(&pk, der, sizeof(der));
    const uint8_t *at = der + sizeof(der) - (bytes > 0 ? bytes : 0);
    EVP_PKEY *out = bytes > 0 ? d2i_AutoPrivateKey(NULL, &at, bytes) : NULL;

    flo_secret_wipe(der, sizeof(der));
    return out;
}

/* Copies a public key of libcrypto.  Returns FLO_E_SIG_FORMAT when it is not a
 * P-256 key. */
static int public_from(const EVP_PKEY *key, struct flo_public_key *out, struct flo_err *err)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_public_key point = {0};
    uint8_t spki[FLO_SPKI_BYTES];
    uint8_t *at = spki;

    if (key == NULL || i2d_PUBKEY(key, NULL) != FLO_SPKI_BYTES ||
        i2d_PUBKEY(key, &at) != FLO_SPKI_BYTES) {
        return flo_x509_fail(err, FLO_E_SIG_FORMAT, "not a key on curve P-256");
    }
    memcpy(point.point, spki + FLO_SPKI_BYTES - sizeof(point.point), sizeof(point.point));
    flo_public_key_pem(&point, pem);
    return flo_public_key_parse(pem, strlen(pem), out, err);
}

/* ---- text ---- */

static bool is_dns_name(const char *name)
{
    size_t chars = strnlen(name, DNS_BYTES_MAX + 1);

    return chars > 0 && chars <= DNS_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-*_") == chars;
}

static int check_common_name(const char *name, struct flo_err *err)
{
    size_t chars = name == NULL ? 0 : strnlen(name, 65);

    if (chars == 0 || chars > 64 || name[0] == ' ' ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                     "0123456789 ._:@-") != chars) {
        return flo_fail(err, FLO_E_USAGE, "common name `%.80s` is not allowed",
                        name == NULL ? "" : name);
    }
    return 0;
}

static bool name_add(X509_NAME *name, const char *common_name)
{
    return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1;
}

/* Appends the contents of `bio` to `pem` and frees it.  `bio` is NULL when its
 * caller could not write it; then the function fails. */
int flo_x509_append(BIO *bio, struct flo_buf *pem, struct flo_err *err)
{
    char *data;

    if (bio == NULL) {
        return flo_x509_fail(err, FLO_E_INTERNAL, "write PEM");
    }
    long bytes = BIO_get_mem_data(bio, &data);
    flo_buf_add(pem, data, (size_t)bytes);
    BIO_free(bio);
    return pem->failed ? flo_fail(err, FLO_E_MEMORY, "PEM") : 0;
}

/* ---- signing requests ---- */

int flo_csr_make(const struct flo_key *key, const char *common_name, struct flo_buf *pem,
                 struct flo_err *err)
{
    FLO_TRY(check_common_name(common_name, err));
    FLO_CLEANUP(flo_x509_key_deinit) EVP_PKEY *pair = flo_x509_private(key);
    X509_REQ *request = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    if (pair == NULL || request == NULL || bio == NULL ||
        X509_REQ_set_version(request, X509_REQ_VERSION_1) != 1 ||
        !name_add(X509_REQ_get_subject_name(request), common_name) ||
        X509_REQ_set_pubkey(request, pair) != 1 ||
        X509_REQ_sign(request, pair, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509_REQ(bio, request) != 1) {
        BIO_free(bio);
        bio = NULL;
    }
    X509_REQ_free(request);
    return flo_x509_append(bio, pem, err);
}

/* Copies the key of a request, after the request's own signature has been
 * checked. */
static int request_key(X509_REQ *request, struct flo_public_key *out, struct flo_err *err)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);

    FLO_TRY(public_from(key, out, err));
    if (X509_REQ_get_signature_nid(request) != NID_ecdsa_with_SHA256) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "the request is not signed with ECDSA and SHA-256");
    }
    if (X509_REQ_verify(request, key) != 1) {
        return flo_x509_fail(err, FLO_E_SIG_BAD, "the request is not signed by its own key");
    }
    return 0;
}

static int csr_key(const char *pem, size_t bytes, struct flo_public_key *out, struct flo_err *err)
{
    BIO *bio;

    FLO_TRY(flo_pem_open(pem, bytes, &bio, err));
    X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (request == NULL) {
        return flo_x509_fail(err, FLO_E_SIG_FORMAT, "not a signing request in PEM");
    }
    int rv = request_key(request, out, err);
    X509_REQ_free(request);
    return rv;
}

/* ---- specs ---- */

static bool address_read(const char *text, unsigned char *out, int *bytes)
{
    *bytes = 4;
    if (inet_pton(AF_INET, text, out) == 1) {
        return true;
    }
    *bytes = 16;
    return inet_pton(AF_INET6, text, out) == 1;
}

static int check_spec(const struct flo_certificate_spec *spec, struct flo_err *err)
{
    unsigned char address[16];
    int bytes;

    if (spec->life_ms != 0 && (spec->life_ms < 1000 || spec->life_ms > DAYS_MAX * DAY_MS)) {
        return flo_fail(err, FLO_E_USAGE, "a life of %llu ms is not within 1 s and %d days",
                        (unsigned long long)spec->life_ms, (int)DAYS_MAX);
    }
    if (spec->life_ms == 0 && (spec->days < 1 || spec->days > DAYS_MAX)) {
        return flo_fail(err, FLO_E_USAGE, "%u day%s %s not within 1 to %d", spec->days,
                        flo_s(spec->days), flo_plural(spec->days, "is", "are"), (int)DAYS_MAX);
    }
    if (spec->dns_count > NAMES_MAX || spec->address_count > NAMES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%zu names and %zu addresses, limit %d each",
                        spec->dns_count, spec->address_count, (int)NAMES_MAX);
    }
    for (size_t i = 0; i < spec->dns_count; i++) {
        if (!is_dns_name(spec->dns[i])) {
            return flo_fail(err, FLO_E_USAGE, "`%.80s` is no DNS name", spec->dns[i]);
        }
    }
    for (size_t i = 0; i < spec->address_count; i++) {
        if (!address_read(spec->addresses[i], address, &bytes)) {
            return flo_fail(err, FLO_E_USAGE, "`%.80s` is no IP address", spec->addresses[i]);
        }
    }
    return check_common_name(spec->common_name, err);
}

/* ---- writing ---- */

static bool names_push(GENERAL_NAMES *names, int type, const void *data, int bytes)
{
    ASN1_STRING *value =
        ASN1_STRING_type_new(type == GEN_DNS ? V_ASN1_IA5STRING : V_ASN1_OCTET_STRING);
    GENERAL_NAME *name = GENERAL_NAME_new();

    if (value == NULL || name == NULL || ASN1_STRING_set(value, data, bytes) != 1) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) <= 0) {
        GENERAL_NAME_free(name);
        return false;
    }
    return true;
}

/* Adds subjectAltName; the caller has checked both lists. */
static bool add_names(X509 *certificate, const struct flo_certificate_spec *spec)
{
    if (spec->dns_count + spec->address_count == 0) {
        return true;
    }
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool is_whole = names != NULL;
    for (size_t i = 0; i < spec->dns_count && is_whole; i++) {
        is_whole = names_push(names, GEN_DNS, spec->dns[i], (int)strlen(spec->dns[i]));
    }
    for (size_t i = 0; i < spec->address_count && is_whole; i++) {
        unsigned char address[16];
        int bytes;
        is_whole = address_read(spec->addresses[i], address, &bytes) &&
                   names_push(names, GEN_IPADD, address, bytes);
    }
    is_whole = is_whole && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return is_whole;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_added = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

static bool add_usages(X509 *certificate, X509 *issuer, const struct flo_certificate_spec *spec)
{
    if (!spec->is_server && !spec->is_client) {
        return true;
    }
    return add_extension(certificate, issuer, NID_ext_key_usage,
                         !spec->is_client   ? "serverAuth"
                         : !spec->is_server ? "clientAuth"
                                            : "serverAuth,clientAuth");
}

/* Sets the time as text, because a 32-bit time_t ends in 2038. */
bool flo_x509_time(ASN1_TIME *time, uint64_t wall_ms)
{
    char text[25];
    char x509[16];

    flo_time_text(wall_ms, text);
    snprintf(x509, sizeof(x509), "%.4s%.2s%.2s%.2s%.2s%.2sZ", text, text + 5, text + 8, text + 11,
             text + 14, text + 17);
    return ASN1_TIME_set_string_X509(time, x509) == 1;
}

static bool set_serial(X509 *certificate)
{
    unsigned char serial[SERIAL_BYTES];

    flo_random(serial, sizeof(serial));
    /* no leading zero bits, so all serials have the same length */
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40);
    return ASN1_STRING_set(X509_get_serialNumber(certificate), serial, sizeof(serial)) == 1;
}

static uint64_t spec_now_ms(const struct flo_certificate_spec *spec)
{
    return spec->now_ms != 0 ? spec->now_ms : flo_wall_ms();
}

/* Fills in all fields of a certificate.  With `issuer` NULL it is
 * self-signed. */
static bool fill_cert(X509 *certificate, X509 *issuer, uint64_t end_max_ms,
                      const struct flo_certificate_spec *spec)
{
    uint64_t now_ms = spec_now_ms(spec);
    uint64_t end_ms = now_ms + (spec->life_ms != 0 ? spec->life_ms : spec->days * DAY_MS);
    bool is_authority = issuer == NULL;
    X509 *by = is_authority ? certificate : issuer;

    return X509_set_version(certificate, X509_VERSION_3) == 1 &&
           name_add(X509_get_subject_name(certificate), spec->common_name) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(by)) == 1 &&
           set_serial(certificate) &&
           flo_x509_time(X509_getm_notBefore(certificate),
                         now_ms > FLO_BACKDATED_MS ? now_ms - FLO_BACKDATED_MS : 0) &&
           flo_x509_time(X509_getm_notAfter(certificate),
                         end_ms > end_max_ms ? end_max_ms : end_ms) &&
           add_extension(certificate, by, NID_basic_constraints,
                         is_authority ? "critical,CA:TRUE,pathlen:0" : "CA:FALSE") &&
           add_extension(certificate, by, NID_subject_key_identifier, "hash") &&
           add_extension(certificate, by, NID_authority_key_identifier, "keyid:always") &&
           add_extension(certificate, by, NID_key_usage,
                         is_authority ? "critical,keyCertSign,cRLSign"
                                      : "critical,digitalSignature") &&
           (is_authority || (add_usages(certificate, by, spec) && add_names(certificate, spec)));
}

/* Makes a certificate for the key `holder`, signed by `key`. */
static int write_cert(const struct flo_key *key, X509 *issuer, uint64_t end_max_ms,
                      const struct flo_public_key *holder, const struct flo_certificate_spec *spec,
                      struct flo_buf *pem, struct flo_err *err)
{
    FLO_CLEANUP(flo_x509_key_deinit) EVP_PKEY *pair = flo_x509_private(key);
    FLO_CLEANUP(flo_x509_key_deinit) EVP_PKEY *subject = public_of(holder);
    FLO_CLEANUP(flo_x509_deinit) X509 *certificate = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());

    if (pair == NULL || subject == NULL || certificate == NULL || bio == NULL ||
        X509_set_pubkey(certificate, subject) != 1 ||
        !fill_cert(certificate, issuer, end_max_ms, spec) ||
        X509_sign(certificate, pair, EVP_sha256()) <= 0 ||
        PEM_write_bio_X509(bio, certificate) != 1) {
        BIO_free(bio);
        bio = NULL;
    }
    return flo_x509_append(bio, pem, err);
}

int flo_authority_make(const struct flo_key *key, const struct flo_certificate_spec *spec,
                       struct flo_buf *pem, struct flo_err *err)
{
    FLO_TRY(check_spec(spec, err));
    return write_cert(key, NULL, UINT64_MAX, flo_key_public(key), spec, pem, err);
}

/* ---- reading ---- */

int flo_x509_parse(const char *pem, size_t bytes, X509 **out, struct flo_err *err)
{
    BIO *bio;

    FLO_TRY(flo_pem_open(pem, bytes, &bio, err));
    *out = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (flo_x509_lacks()) { /* when memory was out, the certificate may lack its key */
        X509_free(*out);
        *out = NULL;
    }
    return *out == NULL ? flo_x509_fail(err, FLO_E_SIG_FORMAT, "not a certificate in PEM") : 0;
}

static uint64_t time_of(const ASN1_TIME *time)
{
    char text[64];
    struct tm tm;
    uint64_t wall_ms = 0;

    if (ASN1_TIME_to_tm(time, &tm) != 1) {
        return 0;
    }
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    return flo_time_parse(text, &wall_ms) ? wall_ms : 0;
}

/* Copies the only common name.  Returns false when there is none, several, or
 * an invalid one. */
static bool common_name_of(const X509_NAME *name, char *out, size_t out_bytes)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);

    if (at < 0 || X509_NAME_get_index_by_NID(name, NID_commonName, at) >= 0) {
        return false;
    }
    const ASN1_STRING *value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at));
    const char *text = (const char *)ASN1_STRING_get0_data(value);
    size_t bytes = (size_t)ASN1_STRING_length(value);
    if (bytes == 0 || bytes >= out_bytes || memchr(text, '\0', bytes) != NULL ||
        flo_utf8_valid(text, bytes) != bytes) {
        return false;
    }
    memcpy(out, text, bytes);
    out[bytes] = '\0';
    return true;
}

int flo_certificate_read(const char *pem, size_t bytes, struct flo_certificate *out,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_x509_deinit) X509 *certificate = NULL;
    struct flo_certificate result = {0};
    unsigned int digest_bytes = 0;

    FLO_TRY(flo_x509_parse(pem, bytes, &certificate, err));
    FLO_TRY(public_from(X509_get0_pubkey(certificate), &result.key, err));
    if (!common_name_of(X509_get_subject_name(certificate), result.common_name,
                        sizeof(result.common_name))) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "the certificate has no single plain common name");
    }
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    int serial_bytes = ASN1_STRING_length(serial);
    if (serial_bytes > 32) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "serial of %d bytes, limit 32", serial_bytes);
    }
    flo_hex_encode(ASN1_STRING_get0_data(serial), (size_t)serial_bytes, result.serial);
    result.not_before_ms = time_of(X509_get0_notBefore(certificate));
    result.not_after_ms = time_of(X509_get0_notAfter(certificate));
    if (result.not_before_ms == 0 || result.not_after_ms <= result.not_before_ms) {
        return flo_fail(err, FLO_E_SIG_FORMAT,
                        "the certificate's life has no begin, no end, or the "
                        "end first");
    }
    result.is_authority = (X509_get_extension_flags(certificate) & EXFLAG_CA) != 0;
    if (X509_digest(certificate, EVP_sha256(), result.fingerprint.bytes, &digest_bytes) != 1) {
        return flo_x509_fail(err, FLO_E_MEMORY, "fingerprint of a certificate");
    }
    *out = result;
    return 0;
}

/* Adds all authorities of a PEM text to a store. */
static int read_anchors(const char *pem, size_t bytes, X509_STORE *anchors, struct flo_err *err)
{
    X509 *authority;
    size_t count = 0;
    BIO *bio;

    FLO_TRY(flo_pem_open(pem, bytes, &bio, err));
    while ((authority = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        count += X509_STORE_add_cert(anchors, authority) == 1;
        X509_free(authority);
    }
    BIO_free(bio);
    if (count == 0 || flo_x509_lacks()) {
        return flo_x509_fail(err, FLO_E_SIG_FORMAT, "no authority in PEM");
    }
    /* libcrypto reports the end of the text as an error, which is cleared
     * here */
    ERR_clear_error();
    return 0;
}

/* Verifies a chain.  Returns 0 or libcrypto's error X509_V_ERR_.... */
static int chain_problem(X509 *certificate, X509_STORE *anchors, unsigned long flags)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    int problem = X509_V_ERR_OUT_OF_MEM;

    if (check != NULL && X509_STORE_CTX_init(check, anchors, certificate, NULL) == 1) {
        X509_STORE_CTX_set_flags(check, flags);
        problem = X509_verify_cert(check) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(check);
    }
    X509_STORE_CTX_free(check);
    return problem;
}

static int verify(const char *pem, size_t bytes, const char *authority_pem, size_t authority_bytes,
                  unsigned long flags, struct flo_err *err)
{
    FLO_CLEANUP(flo_x509_deinit) X509 *certificate = NULL;
    X509_STORE *anchors = X509_STORE_new();
    int rv = anchors == NULL ? flo_fail(err, FLO_E_MEMORY, "authorities")
                             : flo_x509_parse(pem, bytes, &certificate, err);

    if (rv == 0) {
        rv = read_anchors(authority_pem, authority_bytes, anchors, err);
    }
    int problem = rv == 0 ? chain_problem(certificate, anchors, flags) : X509_V_OK;
    X509_STORE_free(anchors);
    if (problem == X509_V_OK) {
        return rv;
    }
    ERR_clear_error();
    if (flo_x509_lacks()) {
        return flo_x509_fail(err, FLO_E_MEMORY, "verify a certificate");
    }
    struct flo_certificate facts = {0};
    char why[FLO_TLS_PROBLEM_BYTES];
    (void)!flo_certificate_read(pem, bytes, &facts, NULL);
    flo_tls_problem_text(problem, facts.not_before_ms, facts.not_after_ms, why);
    return flo_fail(err, FLO_E_NET_TLS, "the certificate does not hold: %s", why);
}

int flo_certificate_verify(const char *pem, size_t bytes, const char *authority_pem,
                           size_t authority_bytes, struct flo_err *err)
{
    return verify(pem, bytes, authority_pem, authority_bytes, 0, err);
}

int flo_certificate_is_by(const char *pem, size_t bytes, const char *authority_pem,
                          size_t authority_bytes, struct flo_err *err)
{
    return verify(pem, bytes, authority_pem, authority_bytes, X509_V_FLAG_NO_CHECK_TIME, err);
}

/* ---- issuing ---- */

/* Reads an authority's certificate, which must be valid at `now_ms` and belong
 * to `key`. */
static int read_authority(const struct flo_key *key, const char *pem, size_t bytes, uint64_t now_ms,
                          X509 **out, struct flo_certificate *facts, struct flo_err *err)
{
    int rv = flo_certificate_read(pem, bytes, facts, err);

    if (rv == 0) {
        rv = flo_x509_parse(pem, bytes, out, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "authority");
    }
    if (strcmp(facts->key.keyid, key->public_half.keyid) != 0 || !facts->is_authority) {
        return flo_fail(err, FLO_E_STATE, "authority: the certificate is not of this key");
    }
    if (now_ms >= facts->not_after_ms) {
        char text[25];
        flo_time_text(facts->not_after_ms, text);
        return flo_fail(err, FLO_E_STATE, "authority: expired on %s", text);
    }
    return 0;
}

int flo_certificate_issue_for(const struct flo_key *authority, const char *authority_pem,
                              size_t authority_bytes, const struct flo_public_key *holder,
                              const struct flo_certificate_spec *spec, struct flo_buf *pem,
                              struct flo_err *err)
{
    FLO_CLEANUP(flo_x509_deinit) X509 *issuer = NULL;
    struct flo_certificate facts;

    FLO_TRY(check_spec(spec, err));
    FLO_TRY(read_authority(authority, authority_pem, authority_bytes, spec_now_ms(spec), &issuer,
                           &facts, err));
    return write_cert(authority, issuer, facts.not_after_ms, holder, spec, pem, err);
}

int flo_certificate_issue(const struct flo_key *authority, const char *authority_pem,
                          size_t authority_bytes, const char *csr_pem, size_t csr_bytes,
                          const struct flo_certificate_spec *spec, struct flo_buf *pem,
                          struct flo_err *err)
{
    struct flo_public_key holder;

    FLO_TRY(csr_key(csr_pem, csr_bytes, &holder, err));
    return flo_certificate_issue_for(authority, authority_pem, authority_bytes, &holder, spec, pem,
                                     err);
}
