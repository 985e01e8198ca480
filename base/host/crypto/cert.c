/* Certificates: signing requests, a small authority, reading.
 *
 * The authority decides what stands in a certificate; of a request only the
 * key is taken, after the requester has proved to own it. */
#include "base/host/crypto/internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/asn1write.h>
#include <mbedtls/oid.h>
#include <mbedtls/version.h>
#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>

#include "base/host/digest.h"

enum {
    DER_BYTES_MAX = 8 << 10,
    NAMES_MAX = 16, /* of each kind in one certificate */
    DNS_BYTES_MAX = 253,
    DAYS_MAX = 36500
};

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

static bool is_dns_name(const char *name)
{
    size_t chars = strnlen(name, DNS_BYTES_MAX + 1);

    return chars > 0 && chars <= DNS_BYTES_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-*_") == chars;
}

/* Characters that mean nothing in mbedTLS's "CN=..." notation. */
static int subject_of(const char *common_name, char *out, size_t out_bytes,
                      struct flo_err *err)
{
    size_t chars = common_name == NULL ? 0 : strnlen(common_name, 65);

    if (chars == 0 || chars > 64 || common_name[0] == ' ' ||
        strspn(common_name,
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
               "0123456789 ._:@-") != chars) {
        return flo_fail(err, FLO_E_USAGE, "common name `%.80s` is not allowed",
                        common_name == NULL ? "" : common_name);
    }
    snprintf(out, out_bytes, "CN=%s", common_name);
    return 0;
}

/* ---- signing requests ------------------------------------------------------
 */

int flo_csr_make(const struct flo_key *key, const char *common_name,
                 struct flo_buf *pem, struct flo_err *err)
{
    unsigned char der[2048];
    char subject[80];
    mbedtls_x509write_csr csr;
    mbedtls_pk_context pk = key->pk; /* borrowed: the writer wants it so */
    int rv = subject_of(common_name, subject, sizeof(subject), err);

    if (rv < 0) {
        return rv;
    }
    mbedtls_x509write_csr_init(&csr);
    mbedtls_x509write_csr_set_key(&csr, &pk);
    mbedtls_x509write_csr_set_md_alg(&csr, MBEDTLS_MD_SHA256);
    int result = mbedtls_x509write_csr_set_subject_name(&csr, subject);
    if (result == 0) {
        result = mbedtls_x509write_csr_der(&csr, der, sizeof(der),
                                           flo_mbed_random, NULL);
    }
    mbedtls_x509write_csr_free(&csr);
    if (result < 0) {
        return flo_mbed_fail(err, FLO_E_INTERNAL, result,
                             "write a signing request");
    }
    /* The DER stands at the end of the buffer. */
    size_t bytes = (size_t)result;
    flo_pem_append("CERTIFICATE REQUEST", der + sizeof(der) - bytes, bytes,
                   pem);
    return pem->failed ? flo_fail(err, FLO_E_MEMORY, "signing request") : 0;
}

/* The key of a request whose own signature is right. */
static int csr_key(const char *pem, size_t bytes, struct flo_public_key *out,
                   struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *copy = NULL;
    struct flo_digest digest;
    mbedtls_x509_csr csr;
    int rv = flo_pem_copy(pem, bytes, &copy, err);

    if (rv < 0) {
        return rv;
    }
    mbedtls_x509_csr_init(&csr);
    int result =
        mbedtls_x509_csr_parse(&csr, (const unsigned char *)copy, bytes + 1);
    if (result != 0) {
        rv = flo_mbed_fail(err, FLO_E_SIG_FORMAT, result,
                           "not a signing request in PEM");
        goto out;
    }
    rv = flo_mbed_public(&csr.pk, out, err);
    if (rv < 0) {
        goto out;
    }
    if (csr.sig_md != MBEDTLS_MD_SHA256) {
        rv = flo_fail(err, FLO_E_SIG_FORMAT,
                      "the request is not signed with SHA-256");
        goto out;
    }
    flo_sha256(csr.cri.p, csr.cri.len, &digest);
    result = mbedtls_pk_verify(&csr.pk, MBEDTLS_MD_SHA256, digest.bytes,
                               sizeof(digest.bytes), csr.sig.p, csr.sig.len);
    if (result != 0) {
        rv = flo_mbed_fail(err, FLO_E_SIG_BAD, result,
                           "the request is not signed by its own key");
    }
out:
    mbedtls_x509_csr_free(&csr);
    return rv;
}

/* ---- extensions -------------------------------------------------------------
 */

/* One GeneralName in front of *at. */
static int general_name_write(unsigned char **at, unsigned char *start,
                              unsigned char tag, const void *value,
                              size_t bytes)
{
    int used = mbedtls_asn1_write_raw_buffer(at, start, value, bytes);
    int head;

    if (used < 0 || (head = mbedtls_asn1_write_len(at, start, bytes)) < 0) {
        return -1;
    }
    used += head;
    head = mbedtls_asn1_write_tag(
        at, start, (unsigned char)(MBEDTLS_ASN1_CONTEXT_SPECIFIC | tag));
    return head < 0 ? -1 : used + head;
}

static int sequence_close(unsigned char **at, unsigned char *start, int used)
{
    int head = mbedtls_asn1_write_len(at, start, (size_t)used);

    if (head < 0) {
        return -1;
    }
    used += head;
    head = mbedtls_asn1_write_tag(
        at, start, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
    return head < 0 ? -1 : used + head;
}

/* subjectAltName; both lists were checked.  Written from the end backwards. */
static int add_names(mbedtls_x509write_cert *cert,
                     const struct flo_certificate_wish *wish)
{
    unsigned char der[6 << 10];
    unsigned char *at = der + sizeof(der);
    int used = 0;

    if (wish->dns_count + wish->address_count == 0) {
        return 0;
    }
    for (size_t i = wish->address_count; i-- > 0;) {
        unsigned char address[16];
        bool is_v4 = inet_pton(AF_INET, wish->addresses[i], address) == 1;
        if (!is_v4 && inet_pton(AF_INET6, wish->addresses[i], address) != 1) {
            return -1;
        }
        int part = general_name_write(&at, der, 7, address, is_v4 ? 4 : 16);
        if (part < 0) {
            return -1;
        }
        used += part;
    }
    for (size_t i = wish->dns_count; i-- > 0;) {
        int part =
            general_name_write(&at, der, 2, wish->dns[i], strlen(wish->dns[i]));
        if (part < 0) {
            return -1;
        }
        used += part;
    }
    used = sequence_close(&at, der, used);
    if (used < 0) {
        return -1;
    }
    return mbedtls_x509write_crt_set_extension(
        cert, MBEDTLS_OID_SUBJECT_ALT_NAME,
        MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, at, (size_t)used);
}

static int add_usages(mbedtls_x509write_cert *cert,
                      const struct flo_certificate_wish *wish)
{
    unsigned char der[64];
    unsigned char *at = der + sizeof(der);
    int used = 0;

    if (wish->is_client) {
        used +=
            mbedtls_asn1_write_oid(&at, der, MBEDTLS_OID_CLIENT_AUTH,
                                   MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH));
    }
    if (wish->is_server) {
        used +=
            mbedtls_asn1_write_oid(&at, der, MBEDTLS_OID_SERVER_AUTH,
                                   MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH));
    }
    if (used == 0) {
        return 0;
    }
    used = sequence_close(&at, der, used);
    return mbedtls_x509write_crt_set_extension(
        cert, MBEDTLS_OID_EXTENDED_KEY_USAGE,
        MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE), 0, at, (size_t)used);
}

/* ---- writing certificates
 * ---------------------------------------------------- */

static int check_wish(const struct flo_certificate_wish *wish,
                      struct flo_err *err)
{
    unsigned char address[16];

    if (wish->days < 1 || wish->days > DAYS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "%u days are not within 1 to %d",
                        wish->days, (int)DAYS_MAX);
    }
    if (wish->dns_count > NAMES_MAX || wish->address_count > NAMES_MAX) {
        return flo_fail(err, FLO_E_USAGE,
                        "%zu names and %zu addresses, limit %d each",
                        wish->dns_count, wish->address_count, (int)NAMES_MAX);
    }
    for (size_t i = 0; i < wish->dns_count; i++) {
        if (!is_dns_name(wish->dns[i])) {
            return flo_fail(err, FLO_E_USAGE, "`%.80s` is no DNS name",
                            wish->dns[i]);
        }
    }
    for (size_t i = 0; i < wish->address_count; i++) {
        if (inet_pton(AF_INET, wish->addresses[i], address) != 1 &&
            inet_pton(AF_INET6, wish->addresses[i], address) != 1) {
            return flo_fail(err, FLO_E_USAGE, "`%.80s` is no IP address",
                            wish->addresses[i]);
        }
    }
    return 0;
}

/* "YYYYMMDDHHMMSS" of a wall time. */
static void x509_time_text(uint64_t wall_ms, char *out)
{
    char text[25];

    flo_time_text(wall_ms, text);
    snprintf(out, 15, "%.4s%.2s%.2s%.2s%.2s%.2s", text, text + 5, text + 8,
             text + 11, text + 14, text + 17);
}

static int set_serial(mbedtls_x509write_cert *cert)
{
    unsigned char serial[16];

    flo_random(serial, sizeof(serial));
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* full length */
#if MBEDTLS_VERSION_MAJOR >= 3
    return mbedtls_x509write_crt_set_serial_raw(cert, serial, sizeof(serial));
#else
    mbedtls_mpi number;
    mbedtls_mpi_init(&number);
    int result = mbedtls_mpi_read_binary(&number, serial, sizeof(serial));
    if (result == 0) {
        result = mbedtls_x509write_crt_set_serial(cert, &number);
    }
    mbedtls_mpi_free(&number);
    return result;
#endif
}

/* What is the same for an authority and for those it speaks for. */
struct issue {
    const struct flo_certificate_wish *wish;
    char subject[80];
    char issuer[512];
    bool is_authority;
    uint64_t not_after_max_ms;
    mbedtls_pk_context *subject_key;
    mbedtls_pk_context *issuer_key;
};

static int fill_cert(mbedtls_x509write_cert *cert, const struct issue *issue)
{
    uint64_t now_ms =
        issue->wish->now_ms != 0 ? issue->wish->now_ms : flo_wall_ms();
    uint64_t end_ms = now_ms + issue->wish->days * DAY_MS;
    char begin[15];
    char end[15];
    int result;

    if (end_ms > issue->not_after_max_ms) {
        end_ms = issue->not_after_max_ms;
    }
    x509_time_text(now_ms > HOUR_MS ? now_ms - HOUR_MS : 0, begin);
    x509_time_text(end_ms, end);
    mbedtls_x509write_crt_set_version(cert, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(cert, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(cert, issue->subject_key);
    mbedtls_x509write_crt_set_issuer_key(cert, issue->issuer_key);
    if ((result = mbedtls_x509write_crt_set_subject_name(
             cert, issue->subject)) != 0 ||
        (result = mbedtls_x509write_crt_set_issuer_name(cert, issue->issuer)) !=
            0 ||
        (result = set_serial(cert)) != 0 ||
        (result = mbedtls_x509write_crt_set_validity(cert, begin, end)) != 0 ||
        (result = mbedtls_x509write_crt_set_basic_constraints(
             cert, issue->is_authority, issue->is_authority ? 0 : -1)) != 0 ||
        (result = mbedtls_x509write_crt_set_subject_key_identifier(cert)) !=
            0 ||
        (result = mbedtls_x509write_crt_set_authority_key_identifier(cert)) !=
            0 ||
        (result = mbedtls_x509write_crt_set_key_usage(
             cert, issue->is_authority ? MBEDTLS_X509_KU_KEY_CERT_SIGN |
                                             MBEDTLS_X509_KU_CRL_SIGN
                                       : MBEDTLS_X509_KU_DIGITAL_SIGNATURE)) !=
            0) {
        return result;
    }
    if (!issue->is_authority) {
        result = add_usages(cert, issue->wish);
        if (result == 0) {
            result = add_names(cert, issue->wish);
        }
    }
    return result;
}

static int write_cert(const struct issue *issue, struct flo_buf *pem,
                      struct flo_err *err)
{
    unsigned char der[DER_BYTES_MAX];
    mbedtls_x509write_cert cert;

    mbedtls_x509write_crt_init(&cert);
    int result = fill_cert(&cert, issue);
    if (result == 0) {
        result = mbedtls_x509write_crt_der(&cert, der, sizeof(der),
                                           flo_mbed_random, NULL);
    }
    mbedtls_x509write_crt_free(&cert);
    if (result < 0) {
        return flo_mbed_fail(err, FLO_E_INTERNAL, result,
                             "write a certificate");
    }
    size_t bytes = (size_t)result;
    flo_pem_append("CERTIFICATE", der + sizeof(der) - bytes, bytes, pem);
    return pem->failed ? flo_fail(err, FLO_E_MEMORY, "certificate") : 0;
}

int flo_authority_make(const struct flo_key *key,
                       const struct flo_certificate_wish *wish,
                       struct flo_buf *pem, struct flo_err *err)
{
    mbedtls_pk_context pk = key->pk;
    struct issue issue = {.wish = wish,
                          .is_authority = true,
                          .not_after_max_ms = UINT64_MAX,
                          .subject_key = &pk,
                          .issuer_key = &pk};
    int rv = check_wish(wish, err);

    if (rv == 0) {
        rv = subject_of(wish->common_name, issue.subject, sizeof(issue.subject),
                        err);
    }
    if (rv < 0) {
        return rv;
    }
    snprintf(issue.issuer, sizeof(issue.issuer), "%s", issue.subject);
    return write_cert(&issue, pem, err);
}

/* ---- reading
 * ------------------------------------------------------------------ */

static void crt_deinit(mbedtls_x509_crt *crt)
{
    mbedtls_x509_crt_free(crt);
}

/* The caller has done mbedtls_x509_crt_init. */
static int crt_parse(const char *pem, size_t bytes, mbedtls_x509_crt *crt,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *copy = NULL;
    int rv = flo_pem_copy(pem, bytes, &copy, err);

    if (rv < 0) {
        return rv;
    }
    int result =
        mbedtls_x509_crt_parse(crt, (const unsigned char *)copy, bytes + 1);
    if (result != 0) { /* positive: so many of several were bad */
        return flo_mbed_fail(err, FLO_E_SIG_FORMAT, result < 0 ? result : -1,
                             "not a certificate in PEM");
    }
    return 0;
}

static uint64_t time_of(const mbedtls_x509_time *time)
{
    char text[64];
    uint64_t wall_ms = 0;

    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02dZ", time->year,
             time->mon, time->day, time->hour, time->min, time->sec);
    return flo_time_parse(text, &wall_ms) ? wall_ms : 0;
}

/* The one common name; false when there is none, several or a bad one. */
static bool common_name_of(const mbedtls_x509_name *name, char *out,
                           size_t out_bytes)
{
    size_t found = 0;

    for (; name != NULL; name = name->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) != 0) {
            continue;
        }
        const char *text = (const char *)name->val.p;
        if (++found > 1 || name->val.len == 0 || name->val.len >= out_bytes ||
            memchr(text, '\0', name->val.len) != NULL ||
            flo_utf8_valid(text, name->val.len) != name->val.len) {
            return false;
        }
        memcpy(out, text, name->val.len);
        out[name->val.len] = '\0';
    }
    return found == 1;
}

int flo_certificate_read(const char *pem, size_t bytes,
                         struct flo_certificate *out, struct flo_err *err)
{
    FLO_CLEANUP(crt_deinit) mbedtls_x509_crt crt;
    struct flo_certificate result = {0};

    mbedtls_x509_crt_init(&crt);
    int rv = crt_parse(pem, bytes, &crt, err);
    if (rv < 0 || (rv = flo_mbed_public(&crt.pk, &result.key, err)) < 0) {
        return rv;
    }
    if (!common_name_of(&crt.subject, result.common_name,
                        sizeof(result.common_name))) {
        return flo_fail(err, FLO_E_SIG_FORMAT,
                        "the certificate has no single plain common name");
    }
    if (crt.serial.len > 32) {
        return flo_fail(err, FLO_E_SIG_FORMAT, "serial of %zu bytes, limit 32",
                        crt.serial.len);
    }
    flo_hex_encode(crt.serial.p, crt.serial.len, result.serial);
    result.not_before_ms = time_of(&crt.valid_from);
    result.not_after_ms = time_of(&crt.valid_to);
    result.is_authority = crt.ca_istrue != 0;
    flo_sha256(crt.raw.p, crt.raw.len, &result.fingerprint);
    *out = result;
    return 0;
}

int flo_certificate_verify(const char *pem, size_t bytes,
                           const char *authority_pem, size_t authority_bytes,
                           struct flo_err *err)
{
    FLO_CLEANUP(crt_deinit) mbedtls_x509_crt crt;
    FLO_CLEANUP(crt_deinit) mbedtls_x509_crt authority;
    uint32_t flags = 0;
    char why[200];

    mbedtls_x509_crt_init(&crt);
    mbedtls_x509_crt_init(&authority);
    int rv = crt_parse(pem, bytes, &crt, err);
    if (rv < 0 ||
        (rv = crt_parse(authority_pem, authority_bytes, &authority, err)) < 0) {
        return rv;
    }
    int result = mbedtls_x509_crt_verify(&crt, &authority, NULL, NULL, &flags,
                                         NULL, NULL);
    if (result == 0) {
        return 0;
    }
    why[0] = '\0';
    if (mbedtls_x509_crt_verify_info(why, sizeof(why), "", flags) > 0) {
        why[strcspn(why, "\n")] = '\0';
    }
    return flo_fail(err, FLO_E_NET_TLS, "the certificate does not hold: %s",
                    why);
}

/* ---- issuing
 * -------------------------------------------------------------------- */

/* Subject as issuer, end of validity, and that the key is the certificate's. */
static int read_authority(const struct flo_key *key, const char *pem,
                          size_t bytes, struct issue *issue,
                          struct flo_err *err)
{
    FLO_CLEANUP(crt_deinit) mbedtls_x509_crt crt;
    struct flo_public_key public_half;
    uint64_t now_ms =
        issue->wish->now_ms != 0 ? issue->wish->now_ms : flo_wall_ms();

    mbedtls_x509_crt_init(&crt);
    int rv = crt_parse(pem, bytes, &crt, err);
    if (rv < 0 || (rv = flo_mbed_public(&crt.pk, &public_half, err)) < 0) {
        return flo_wrap(err, rv, "authority");
    }
    if (strcmp(public_half.keyid, key->public_half.keyid) != 0 ||
        crt.ca_istrue == 0) {
        return flo_fail(err, FLO_E_STATE,
                        "authority: the certificate is not of this key");
    }
    issue->not_after_max_ms = time_of(&crt.valid_to);
    if (now_ms >= issue->not_after_max_ms) {
        char text[25];
        flo_time_text(issue->not_after_max_ms, text);
        return flo_fail(err, FLO_E_STATE, "authority: expired on %s", text);
    }
    if (mbedtls_x509_dn_gets(issue->issuer, sizeof(issue->issuer),
                             &crt.subject) <= 0) {
        return flo_fail(err, FLO_E_STATE, "authority: its subject is too long");
    }
    return 0;
}

int flo_certificate_issue_for(const struct flo_key *authority,
                              const char *authority_pem, size_t authority_bytes,
                              const struct flo_public_key *holder,
                              const struct flo_certificate_wish *wish,
                              struct flo_buf *pem, struct flo_err *err)
{
    uint8_t spki[FLO_SPKI_BYTES];
    mbedtls_pk_context issuer_key = authority->pk;
    mbedtls_pk_context subject_key;
    struct issue issue = {
        .wish = wish, .subject_key = &subject_key, .issuer_key = &issuer_key};
    int rv = check_wish(wish, err);

    if (rv < 0 ||
        (rv = subject_of(wish->common_name, issue.subject,
                         sizeof(issue.subject), err)) < 0 ||
        (rv = read_authority(authority, authority_pem, authority_bytes, &issue,
                             err)) < 0) {
        return rv;
    }
    flo_spki_write(holder->point, spki);
    mbedtls_pk_init(&subject_key);
    int result = mbedtls_pk_parse_public_key(&subject_key, spki, sizeof(spki));
    rv = result != 0
             ? flo_mbed_fail(err, FLO_E_SIG_FORMAT, result, "holder's key")
             : write_cert(&issue, pem, err);
    mbedtls_pk_free(&subject_key);
    return rv;
}

int flo_certificate_issue(const struct flo_key *authority,
                          const char *authority_pem, size_t authority_bytes,
                          const char *csr_pem, size_t csr_bytes,
                          const struct flo_certificate_wish *wish,
                          struct flo_buf *pem, struct flo_err *err)
{
    struct flo_public_key holder;
    int rv = csr_key(csr_pem, csr_bytes, &holder, err);

    if (rv < 0) {
        return rv;
    }
    return flo_certificate_issue_for(authority, authority_pem, authority_bytes,
                                     &holder, wish, pem, err);
}
