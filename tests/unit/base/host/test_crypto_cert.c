/* Certificates: issue, read, verify; requests are not trusted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

#define DAY_MS UINT64_C(86400000)

/* An authority and a device with its request. */
struct world {
    struct flo_key *authority;
    struct flo_key *device;
    struct flo_buf authority_pem;
    struct flo_buf request;
    struct flo_buf pem;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_certificate_spec spec = {.common_name = "fleet acme", .days = 3650};
    *state = world;
    return flo_key_generate(&world->authority, NULL) < 0 ||
           flo_key_generate(&world->device, NULL) < 0 ||
           flo_authority_make(world->authority, &spec, &world->authority_pem, NULL) < 0 ||
           flo_csr_make(world->device, "I am the admin", &world->request, NULL) < 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    flo_key_free(world->authority);
    flo_key_free(world->device);
    flo_buf_deinit(&world->authority_pem);
    flo_buf_deinit(&world->request);
    flo_buf_deinit(&world->pem);
    free(world);
    return 0;
}

static int issue(struct world *world, const struct flo_certificate_spec *spec, struct flo_err *err)
{
    return flo_certificate_issue(world->authority, world->authority_pem.data,
                                 world->authority_pem.bytes, world->request.data,
                                 world->request.bytes, spec, &world->pem, err);
}

static void the_spec_and_not_the_request_names_the_holder(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {
        .common_name = "00000000-0000-4000-8000-000000000001", .days = 90, .is_client = true};
    struct flo_certificate read;
    uint64_t before = waits_wall_ms();

    assert_int_equal(issue(world, &spec, NULL), 0);
    uint64_t after = waits_wall_ms();
    assert_int_equal(flo_certificate_read(world->pem.data, world->pem.bytes, &read, NULL), 0);

    assert_string_equal(read.common_name, spec.common_name);
    assert_string_equal(read.key.keyid, flo_key_public(world->device)->keyid);
    assert_false(read.is_authority);
    assert_int_equal(strlen(read.serial), 32);
    assert_true(read.not_before_ms < before);
    assert_in_range(read.not_after_ms, before + 90 * DAY_MS - 2000, after + 90 * DAY_MS + 2000);
    assert_false(flo_digest_is_zero(&read.fingerprint));
}

static void an_issued_certificate_verifies(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1, .is_client = true};
    struct flo_certificate_spec same = {.common_name = "fleet acme", .days = 3650};
    struct flo_key *impostor = NULL;
    struct flo_buf impostor_pem = {0};
    struct flo_err err = {0};
    assert_int_equal(issue(world, &spec, NULL), 0);

    assert_int_equal(flo_certificate_verify(world->pem.data, world->pem.bytes,
                                            world->authority_pem.data, world->authority_pem.bytes,
                                            &err),
                     0);

    /* The same name with another key does not make an authority. */
    assert_int_equal(flo_key_generate(&impostor, NULL), 0);
    assert_int_equal(flo_authority_make(impostor, &same, &impostor_pem, NULL), 0);
    assert_int_equal(flo_certificate_verify(world->pem.data, world->pem.bytes, impostor_pem.data,
                                            impostor_pem.bytes, &err),
                     FLO_E_NET_TLS);
    flo_key_free(impostor);
    flo_buf_deinit(&impostor_pem);
}

static void an_expired_certificate_does_not_verify(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {
        .common_name = "dev", .days = 1, .is_client = true, .now_ms = waits_wall_ms() - 3 * DAY_MS};
    struct flo_err err = {0};
    assert_int_equal(issue(world, &spec, NULL), 0);

    assert_int_equal(flo_certificate_verify(world->pem.data, world->pem.bytes,
                                            world->authority_pem.data, world->authority_pem.bytes,
                                            &err),
                     FLO_E_NET_TLS);
    assert_non_null(strstr(err.what, "expired"));
    /* Who issued it is another question. */
    assert_int_equal(flo_certificate_is_by(world->pem.data, world->pem.bytes,
                                           world->authority_pem.data, world->authority_pem.bytes,
                                           &err),
                     0);
}

/* Run openssl over files in a new folder; skip without it. */
static int openssl(struct world *world, const char *arguments)
{
    char folder[] = "/tmp/flo-cert-XXXXXX";
    char path[100];
    char command[600];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/ca", folder);
    assert_int_equal(
        flo_file_write(path, world->authority_pem.data, world->authority_pem.bytes, 0600, NULL), 0);
    snprintf(path, sizeof(path), "%s/crt", folder);
    assert_int_equal(flo_file_write(path, world->pem.data, world->pem.bytes, 0600, NULL), 0);
    snprintf(path, sizeof(path), "%s/csr", folder);
    assert_int_equal(flo_file_write(path, world->request.data, world->request.bytes, 0600, NULL),
                     0);
    snprintf(command, sizeof(command), "cd %s && openssl %s >/dev/null 2>&1", folder, arguments);
    int rv = system(command);
    assert_int_equal(remove_tree(folder), 0);
    return rv;
}

static void openssl_agrees_about_chain_names_and_purpose(void **state)
{
    static const char *const dns[] = {"localhost", "broker.example"};
    static const char *const addresses[] = {"127.0.0.1", "::1"};
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "broker",
                                        .days = 30,
                                        .is_server = true,
                                        .dns = dns,
                                        .dns_count = 2,
                                        .addresses = addresses,
                                        .address_count = 2};
    if (system("openssl version >/dev/null 2>&1") != 0) {
        skip();
    }
    assert_int_equal(issue(world, &spec, NULL), 0);

    assert_int_equal(openssl(world, "verify -x509_strict -purpose sslserver "
                                    "-verify_hostname broker.example "
                                    "-CAfile ca crt"),
                     0);
    assert_int_equal(openssl(world, "verify -verify_ip ::1 -CAfile ca crt"), 0);
    assert_int_not_equal(openssl(world, "verify -verify_ip 127.0.0.2 -CAfile ca crt"), 0);
    assert_int_not_equal(openssl(world, "verify -verify_hostname other -CAfile ca crt"), 0);
    assert_int_not_equal(openssl(world, "verify -purpose sslclient -CAfile ca crt"), 0);
    assert_int_equal(openssl(world, "req -verify -noout -in csr"), 0);
}

/* RFC 5758: ecdsa-with-SHA256 has no parameters, not even a NULL.  Strict
 * readers refuse a certificate that says otherwise. */
static void the_algorithm_of_a_signature_has_no_parameters(void **state)
{
    static const uint8_t algorithm[12] = {0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86,
                                          0x48, 0xce, 0x3d, 0x04, 0x03, 0x02};
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1};
    uint8_t der[4096];
    char text[4096];
    size_t chars = 0;
    size_t found = 0;

    assert_int_equal(issue(world, &spec, NULL), 0);
    const char *from = strchr(world->pem.data, '\n');
    for (const char *at = from; strncmp(at, "-----END", 8) != 0; at++) {
        if (*at != '\n') {
            text[chars++] = *at;
        }
    }
    ptrdiff_t bytes = flo_base64_decode(text, chars, der);
    for (ptrdiff_t i = 0; i + (ptrdiff_t)sizeof(algorithm) <= bytes; i++) {
        found += memcmp(der + i, algorithm, sizeof(algorithm)) == 0;
    }

    assert_int_equal(found, 2); /* what is signed, and the signature */
}

static void a_request_without_the_private_key_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1};
    struct flo_err err = {0};
    /* A digit near the end, inside the signature. */
    char *end = strstr(world->request.data, "\n-----END");
    end[-12] = end[-12] == 'A' ? 'B' : 'A';

    int rv = issue(world, &spec, &err);

    assert_true(rv == FLO_E_SIG_BAD || rv == FLO_E_SIG_FORMAT);
    assert_int_equal(world->pem.bytes, 0);
}

static void a_broken_request_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1};

    for (size_t cut = 0; cut + 2 < world->request.bytes; cut += 11) {
        assert_int_equal(flo_certificate_issue(world->authority, world->authority_pem.data,
                                               world->authority_pem.bytes, world->request.data, cut,
                                               &spec, &world->pem, NULL),
                         FLO_E_SIG_FORMAT);
    }
    assert_int_equal(world->pem.bytes, 0);
}

static void a_key_that_is_not_the_authoritys_issues_nothing(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1};

    assert_int_equal(flo_certificate_issue_for(
                         world->device, world->authority_pem.data, world->authority_pem.bytes,
                         flo_key_public(world->device), &spec, &world->pem, NULL),
                     FLO_E_STATE);
    /* A device's certificate is no authority's. */
    assert_int_equal(issue(world, &spec, NULL), 0);
    struct flo_buf more = {0};
    assert_int_equal(flo_certificate_issue_for(world->device, world->pem.data, world->pem.bytes,
                                               flo_key_public(world->device), &spec, &more, NULL),
                     FLO_E_STATE);
    assert_int_equal(more.bytes, 0);
}

static void nothing_outlives_its_authority(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 36500};
    struct flo_certificate authority;
    struct flo_certificate device;
    assert_int_equal(issue(world, &spec, NULL), 0);
    assert_int_equal(flo_certificate_read(world->pem.data, world->pem.bytes, &device, NULL), 0);
    assert_int_equal(flo_certificate_read(world->authority_pem.data, world->authority_pem.bytes,
                                          &authority, NULL),
                     0);

    assert_true(authority.is_authority);
    assert_true(device.not_after_ms == authority.not_after_ms);
    spec.now_ms = waits_wall_ms() + 4000 * DAY_MS;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_STATE);
}

static void impossible_specs_are_refused(void **state)
{
    static const char *const bad_names[] = {"", "a,O=b", "a=b", "a+b", " a", "a\nb", "a/b"};
    static const char *const bad_dns[] = {"a b"};
    static const char *const bad_address[] = {"1.2.3"};
    struct world *world = *state;
    struct flo_certificate_spec spec = {.days = 1};
    struct flo_buf request = {0};
    char long_name[66];

    for (size_t i = 0; i < FLO_COUNT(bad_names); i++) {
        spec.common_name = bad_names[i];
        assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
        assert_int_equal(flo_csr_make(world->device, bad_names[i], &request, NULL), FLO_E_USAGE);
    }
    memset(long_name, 'a', 65);
    long_name[65] = '\0';
    spec.common_name = long_name;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
    spec.common_name = NULL;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
    spec.common_name = "dev";
    spec.days = 0;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
    spec.days = 36501;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
    spec.days = 1;
    spec.dns = bad_dns;
    spec.dns_count = 1;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
    spec.dns_count = 0;
    spec.addresses = bad_address;
    spec.address_count = 1;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
    assert_int_equal(world->pem.bytes, 0);
}

static void the_most_names_fit(void **state)
{
    struct world *world = *state;
    char longest[254];
    const char *dns[17];
    memset(longest, 'a', 253);
    longest[63] = longest[127] = longest[191] = '.';
    longest[253] = '\0';
    for (size_t i = 0; i < 17; i++) {
        dns[i] = longest;
    }
    struct flo_certificate_spec spec = {
        .common_name = "dev", .days = 1, .is_server = true, .dns = dns, .dns_count = 16};

    assert_int_equal(issue(world, &spec, NULL), 0);
    spec.dns_count = 17;
    assert_int_equal(issue(world, &spec, NULL), FLO_E_USAGE);
}

static void what_is_no_certificate_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_certificate read = {.serial = "kept"};

    for (size_t cut = 0; cut + 2 < world->authority_pem.bytes; cut += 13) {
        assert_int_equal(flo_certificate_read(world->authority_pem.data, cut, &read, NULL),
                         FLO_E_SIG_FORMAT);
    }
    assert_int_equal(flo_certificate_read(world->request.data, world->request.bytes, &read, NULL),
                     FLO_E_SIG_FORMAT);
    assert_string_equal(read.serial, "kept");
}

/* The authority's certificate, its life changed; the signature does not matter
 * to reading. */
static int read_with_life(struct world *world, const char *begin, const char *end)
{
    BIO *in = BIO_new_mem_buf(world->authority_pem.data, (int)world->authority_pem.bytes);
    X509 *certificate = PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO *out = BIO_new(BIO_s_mem());
    struct flo_certificate read = {.serial = "kept"};
    char *pem;

    /* Not checked on the way in: month 13 has to get through. */
    assert_int_equal(ASN1_STRING_set(X509_getm_notBefore(certificate), begin, -1), 1);
    assert_int_equal(ASN1_STRING_set(X509_getm_notAfter(certificate), end, -1), 1);
    assert_int_equal(i2d_re_X509_tbs(certificate, NULL) > 0, 1);
    assert_int_equal(PEM_write_bio_X509(out, certificate), 1);
    long bytes = BIO_get_mem_data(out, &pem);
    int rv = flo_certificate_read(pem, (size_t)bytes, &read, NULL);
    assert_string_equal(read.serial, rv < 0 ? "kept" : read.serial);
    BIO_free(in);
    BIO_free(out);
    X509_free(certificate);
    return rv;
}

static void a_life_without_begin_or_end_is_refused(void **state)
{
    struct world *world = *state;

    assert_int_equal(read_with_life(world, "260101000000Z", "261201000000Z"), 0);
    assert_int_equal(read_with_life(world, "260101000000Z", "261301000000Z"), FLO_E_SIG_FORMAT);
    assert_int_equal(read_with_life(world, "261301000000Z", "261201000000Z"), FLO_E_SIG_FORMAT);
    assert_int_equal(read_with_life(world, "261201000000Z", "260101000000Z"), FLO_E_SIG_FORMAT);
    assert_int_equal(read_with_life(world, "261201000000Z", "261201000000Z"), FLO_E_SIG_FORMAT);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(the_spec_and_not_the_request_names_the_holder),
        WITH_WORLD(an_issued_certificate_verifies),
        WITH_WORLD(an_expired_certificate_does_not_verify),
        WITH_WORLD(openssl_agrees_about_chain_names_and_purpose),
        WITH_WORLD(the_algorithm_of_a_signature_has_no_parameters),
        WITH_WORLD(a_request_without_the_private_key_is_refused),
        WITH_WORLD(a_broken_request_is_refused),
        WITH_WORLD(a_key_that_is_not_the_authoritys_issues_nothing),
        WITH_WORLD(nothing_outlives_its_authority),
        WITH_WORLD(impossible_specs_are_refused),
        WITH_WORLD(the_most_names_fit),
        WITH_WORLD(what_is_no_certificate_is_refused),
        WITH_WORLD(a_life_without_begin_or_end_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
