/* Several authorities in one text, and the lists of what they take back, as
 * OpenSSL reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <flotilla/errors/net.h>
#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"
#include "unit/waits.h"

#define DAY_MS (UINT64_C(24) * 3600 * 1000)

struct authority {
    struct flo_key *key;
    struct flo_buf pem;
};
struct world {
    struct authority old, next;
    struct flo_key *device;
};

static int make(struct authority *authority, const char *name)
{
    struct flo_certificate_spec spec = {.common_name = name, .days = 3650};

    return flo_key_generate(&authority->key, NULL) < 0 ||
           flo_authority_make(authority->key, &spec, &authority->pem, NULL) < 0;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    *state = world;
    return make(&world->old, "Flotilla acme") || make(&world->next, "Flotilla acme 2") ||
           flo_key_generate(&world->device, NULL) < 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_key_free(world->old.key);
    flo_key_free(world->next.key);
    flo_key_free(world->device);
    flo_buf_deinit(&world->old.pem);
    flo_buf_deinit(&world->next.pem);
    free(world);
    return 0;
}

static void issue_as(struct world *world, const struct authority *by,
                     const struct flo_certificate_spec *spec, struct flo_buf *pem,
                     struct flo_certificate *facts)
{
    assert_int_equal(flo_certificate_issue_for(by->key, by->pem.data, by->pem.bytes,
                                               flo_key_public(world->device), spec, pem, NULL),
                     0);
    assert_int_equal(flo_certificate_read(pem->data, pem->bytes, facts, NULL), 0);
}

static void issue(struct world *world, const struct authority *by, struct flo_buf *pem,
                  struct flo_certificate *facts)
{
    struct flo_certificate_spec spec = {.common_name = "dev", .days = 1, .is_client = true};

    issue_as(world, by, &spec, pem, facts);
}

static void a_life_may_be_of_seconds(void **state)
{
    struct world *world = *state;
    const uint64_t now_ms = UINT64_C(1800000000) * 1000;
    struct flo_certificate_spec spec = {
        .common_name = "dev", .life_ms = 5000, .now_ms = now_ms, .is_client = true};
    struct flo_buf pem = {0};
    struct flo_certificate facts;

    issue_as(world, &world->old, &spec, &pem, &facts);

    assert_int_equal(facts.not_after_ms, now_ms + 5000);
    flo_buf_deinit(&pem);
}

static void a_certificate_of_each_of_two_authorities_verifies(void **state)
{
    struct world *world = *state;
    struct flo_buf pem[2] = {{0}, {0}};
    struct flo_buf both = {0};
    struct flo_certificate facts;

    issue(world, &world->old, &pem[0], &facts);
    issue(world, &world->next, &pem[1], &facts);
    flo_buf_add(&both, world->old.pem.data, world->old.pem.bytes);
    assert_int_equal(flo_certificate_verify(pem[1].data, pem[1].bytes, both.data, both.bytes, NULL),
                     FLO_E_NET_TLS);

    flo_buf_add(&both, world->next.pem.data, world->next.pem.bytes);

    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            flo_certificate_verify(pem[i].data, pem[i].bytes, both.data, both.bytes, NULL), 0);
        flo_buf_deinit(&pem[i]);
    }
    flo_buf_deinit(&both);
}

static void a_text_is_cut_into_its_certificates(void **state)
{
    struct world *world = *state;
    struct flo_pem_part parts[2];
    struct flo_buf both = {0};
    struct flo_certificate facts;
    struct flo_err err = {0};
    size_t count = 0;

    flo_buf_text(&both, "# the fleet's\n");
    flo_buf_add(&both, world->old.pem.data, world->old.pem.bytes);
    flo_buf_add(&both, world->next.pem.data, world->next.pem.bytes);
    assert_int_equal(flo_certificates_split(both.data, both.bytes, parts, 2, &count, NULL), 0);

    assert_int_equal(count, 2);
    assert_int_equal(flo_certificate_read(parts[1].pem, parts[1].bytes, &facts, NULL), 0);
    assert_string_equal(facts.common_name, "Flotilla acme 2");
    assert_int_equal(flo_certificates_split(both.data, both.bytes, parts, 1, &count, &err),
                     FLO_E_SIG_FORMAT);
    assert_int_equal(flo_certificates_split(both.data, both.bytes - 10, parts, 2, &count, &err),
                     FLO_E_SIG_FORMAT);
    assert_int_equal(flo_certificates_split("", 0, parts, 2, &count, &err), FLO_E_SIG_FORMAT);
    flo_buf_deinit(&both);
}

static void authorities_of_other_names_have_other_file_names(void **state)
{
    struct world *world = *state;
    char names[2][FLO_AUTHORITY_NAME];

    assert_int_equal(
        flo_authority_file_name(world->old.pem.data, world->old.pem.bytes, names[0], NULL), 0);
    assert_int_equal(
        flo_authority_file_name(world->next.pem.data, world->next.pem.bytes, names[1], NULL), 0);
    assert_int_equal(strlen(names[0]), 10);
    assert_string_equal(names[0] + 8, ".0");
    assert_string_not_equal(names[0], names[1]);
}

/* ---- lists ---- */

static X509 *x509_of(const struct flo_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->bytes);
    X509 *out = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(out);
    return out;
}

/* As a broker checks it: 0, or OpenSSL's number for the cause. */
static int problem_with(const struct authority *authority, const struct flo_buf *pem,
                        const struct flo_buf *list)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    X509 *anchor = x509_of(&authority->pem);
    X509 *one = x509_of(pem);
    BIO *bio = BIO_new_mem_buf(list->data, (int)list->bytes);
    X509_CRL *crl = NULL;

    X509_STORE_add_cert(store, anchor);
    while ((crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
        X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
    }
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    X509_STORE_CTX_init(check, store, one, NULL);
    int problem = X509_verify_cert(check) == 1 ? 0 : X509_STORE_CTX_get_error(check);
    X509_STORE_CTX_free(check);
    X509_STORE_free(store);
    X509_free(anchor);
    X509_free(one);
    BIO_free(bio);
    return problem;
}

static void list(const struct authority *authority, const struct flo_revoked *revoked, size_t count,
                 uint64_t at, struct flo_buf *out)
{
    assert_int_equal(flo_crl_make(authority->key, authority->pem.data, authority->pem.bytes,
                                  revoked, count, at, out, NULL),
                     0);
}

static void a_list_refuses_whom_it_names_and_nobody_else(void **state)
{
    struct world *world = *state;
    struct flo_buf pem[2] = {{0}, {0}};
    struct flo_buf crl = {0};
    struct flo_certificate facts[2];
    uint64_t now = waits_wall_ms();

    issue(world, &world->old, &pem[0], &facts[0]);
    issue(world, &world->old, &pem[1], &facts[1]);
    list(&world->old, NULL, 0, now, &crl);
    assert_int_equal(problem_with(&world->old, &pem[0], &crl), 0);
    assert_int_equal(problem_with(&world->old, &pem[1], &crl), 0);

    /* A later list in the same text counts. */
    struct flo_revoked revoked = {facts[0].serial, now};
    list(&world->old, &revoked, 1, now + 1000, &crl);

    assert_int_equal(problem_with(&world->old, &pem[0], &crl), X509_V_ERR_CERT_REVOKED);
    assert_int_equal(problem_with(&world->old, &pem[1], &crl), 0);
    flo_buf_deinit(&pem[0]);
    flo_buf_deinit(&pem[1]);
    flo_buf_deinit(&crl);
}

/* A list of another authority says nothing: readers refuse then. */
static void each_authority_needs_its_list(void **state)
{
    struct world *world = *state;
    struct flo_buf pem = {0};
    struct flo_buf crl = {0};
    struct flo_certificate facts;

    issue(world, &world->next, &pem, &facts);
    list(&world->old, NULL, 0, waits_wall_ms(), &crl);
    assert_int_equal(problem_with(&world->next, &pem, &crl), X509_V_ERR_UNABLE_TO_GET_CRL);
    list(&world->next, NULL, 0, waits_wall_ms(), &crl);

    assert_int_equal(problem_with(&world->next, &pem, &crl), 0);
    flo_buf_deinit(&pem);
    flo_buf_deinit(&crl);
}

static void a_serial_that_is_none_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_revoked revoked = {"12xy", 1000};
    struct flo_buf crl = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_crl_make(world->old.key, world->old.pem.data, world->old.pem.bytes,
                                  &revoked, 1, DAY_MS, &crl, &err),
                     FLO_E_SIG_FORMAT);
    assert_int_equal(flo_crl_make(world->next.key, world->old.pem.data, world->old.pem.bytes, NULL,
                                  0, DAY_MS, &crl, &err),
                     FLO_E_STATE);
    flo_buf_deinit(&crl);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_life_may_be_of_seconds),
        WITH_WORLD(a_certificate_of_each_of_two_authorities_verifies),
        WITH_WORLD(a_text_is_cut_into_its_certificates),
        WITH_WORLD(authorities_of_other_names_have_other_file_names),
        WITH_WORLD(a_list_refuses_whom_it_names_and_nobody_else),
        WITH_WORLD(each_authority_needs_its_list),
        WITH_WORLD(a_serial_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
