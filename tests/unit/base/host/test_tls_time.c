/* Certificates on a machine whose clock is wrong: what OpenSSL is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "base/host/crypto.h"
#include "base/host/tls_time.h"
#include "unit/waits.h"

#define DAY_MS UINT64_C(86400000)

struct world {
    struct flo_key *authority_key;
    struct flo_key *key;
    struct flo_buf authority;
    struct flo_buf leaf;
};

/* A leaf that is valid for `days` from an hour before now + shift. */
static void make(struct world *world, int64_t shift_ms, unsigned days)
{
    uint64_t now_ms = waits_wall_ms() + (uint64_t)shift_ms;
    struct flo_certificate_spec ca = {.common_name = "fleet test",
                                      .days = 3650, /* 32-bit time_t */
                                      .now_ms = now_ms - 900 * DAY_MS};
    struct flo_certificate_spec spec = {
        .common_name = "broker", .days = days, .is_server = true, .now_ms = now_ms};

    memset(world, 0, sizeof(*world));
    assert_int_equal(flo_key_generate(&world->authority_key, NULL), 0);
    assert_int_equal(flo_key_generate(&world->key, NULL), 0);
    assert_int_equal(flo_authority_make(world->authority_key, &ca, &world->authority, NULL), 0);
    assert_int_equal(flo_certificate_issue_for(world->authority_key, world->authority.data,
                                               world->authority.bytes, flo_key_public(world->key),
                                               &spec, &world->leaf, NULL),
                     0);
}

static void clear(struct world *world)
{
    flo_key_free(world->authority_key);
    flo_key_free(world->key);
    flo_buf_deinit(&world->authority);
    flo_buf_deinit(&world->leaf);
    assert_int_equal(flo_tls_time_set(0, true, NULL), 0);
}

static X509 *read_pem(const struct flo_buf *pem)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->bytes);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

/* X509_V_OK, or why not. */
static int verify(const struct world *world)
{
    X509 *authority = read_pem(&world->authority);
    X509 *leaf = read_pem(&world->leaf);
    X509_STORE *anchors = X509_STORE_new();
    X509_STORE_CTX *store = X509_STORE_CTX_new();
    int error = X509_V_OK;

    assert_int_equal(X509_STORE_add_cert(anchors, authority), 1);
    assert_int_equal(X509_STORE_CTX_init(store, anchors, leaf, NULL), 1);
    if (X509_verify_cert(store) != 1) {
        error = X509_STORE_CTX_get_error(store);
    }
    X509_STORE_CTX_free(store);
    X509_STORE_free(anchors);
    X509_free(leaf);
    X509_free(authority);
    return error;
}

static void without_a_word_the_clock_counts(void **state)
{
    struct world world;
    (void)state;

    make(&world, 0, 30);
    assert_int_equal(verify(&world), X509_V_OK);
    clear(&world);
    make(&world, 400 * (int64_t)DAY_MS, 30);
    assert_int_equal(verify(&world), X509_V_ERR_CERT_NOT_YET_VALID);
    clear(&world);
    make(&world, -400 * (int64_t)DAY_MS, 30);
    assert_int_equal(verify(&world), X509_V_ERR_CERT_HAS_EXPIRED);
    clear(&world);
}

/* For this process the clock is 400 days behind what is known. */
static void a_clock_that_is_behind_is_not_asked(void **state)
{
    uint64_t now_ms = waits_wall_ms() + 400 * DAY_MS;
    struct world world;
    (void)state;

    make(&world, 400 * (int64_t)DAY_MS, 30);
    assert_int_equal(flo_tls_time_set(now_ms, true, NULL), 0);
    assert_int_equal(verify(&world), X509_V_OK);
    clear(&world);

    make(&world, 0, 30);
    assert_int_equal(flo_tls_time_set(now_ms, true, NULL), 0);
    assert_int_equal(verify(&world), X509_V_ERR_CERT_HAS_EXPIRED);
    clear(&world);
}

/* For this process the clock is ten years ahead of what is known. */
static void a_clock_that_is_ahead_ends_no_certificate(void **state)
{
    uint64_t now_ms = waits_wall_ms() - 3650 * DAY_MS;
    struct world world;
    (void)state;

    make(&world, -3650 * (int64_t)DAY_MS, 30);
    assert_int_equal(flo_tls_time_set(now_ms, false, NULL), 0);
    assert_int_equal(verify(&world), X509_V_OK);
    assert_int_equal(flo_tls_time_set(now_ms + 31 * DAY_MS, false, NULL), 0);
    assert_int_equal(verify(&world), X509_V_ERR_CERT_HAS_EXPIRED);
    clear(&world);
}

/* The broker's certificate was made again while the device lay in a box. */
static void what_begins_later_may_have_begun_where_nobody_knows(void **state)
{
    uint64_t now_ms = waits_wall_ms() + 400 * DAY_MS;
    struct world world;
    (void)state;

    make(&world, 500 * (int64_t)DAY_MS, 30);
    assert_int_equal(flo_tls_time_set(now_ms, false, NULL), 0);
    assert_int_equal(verify(&world), X509_V_OK);

    /* nobody keeps a clock right that is near, too */
    assert_int_equal(flo_tls_time_set(waits_wall_ms(), false, NULL), 0);
    assert_int_equal(verify(&world), X509_V_OK);
    /* but one that is right knows better */
    assert_int_equal(flo_tls_time_set(waits_wall_ms(), true, NULL), 0);
    assert_int_equal(verify(&world), X509_V_ERR_CERT_NOT_YET_VALID);
    clear(&world);
}

/* Both times of the certificate, and the clock's. */
static void assert_says_times(const char *problem, const struct world *world, const char *begin)
{
    struct flo_certificate facts;
    char from[25], until[25], now[25];

    assert_int_equal(flo_certificate_read(world->leaf.data, world->leaf.bytes, &facts, NULL), 0);
    flo_time_text(facts.not_before_ms, from);
    flo_time_text(facts.not_after_ms, until);
    flo_time_text(waits_wall_ms(), now);
    assert_int_equal(strncmp(problem, begin, strlen(begin)), 0);
    assert_non_null(strstr(problem, from));
    assert_non_null(strstr(problem, until));
    now[10] = '\0'; /* the day */
    assert_non_null(strstr(problem, now));
    assert_non_null(strstr(problem, "may be wrong"));
}

static void a_clock_that_is_set_by_nobody_is_named_too(void **state)
{
    char problem[FLO_TLS_PROBLEM_BYTES];
    struct world world;
    (void)state;

    make(&world, 500 * (int64_t)DAY_MS, 30);
    assert_int_equal(flo_tls_time_set(0, false, NULL), 0);
    flo_tls_problem_clear();
    assert_int_equal(verify(&world), X509_V_ERR_CERT_NOT_YET_VALID);
    assert_true(flo_tls_problem(problem));
    assert_says_times(problem, &world, "certificate is not yet valid: it ");
    clear(&world);
}

static void an_expired_or_foreign_certificate_never_holds(void **state)
{
    char problem[FLO_TLS_PROBLEM_BYTES];
    struct world world;
    struct world other;
    (void)state;

    make(&world, -400 * (int64_t)DAY_MS, 30);
    make(&other, 0, 30);
    assert_int_equal(flo_tls_time_set(waits_wall_ms(), false, NULL), 0);
    flo_tls_problem_clear();
    assert_false(flo_tls_problem(problem));
    assert_int_equal(verify(&world), X509_V_ERR_CERT_HAS_EXPIRED);
    assert_true(flo_tls_problem(problem));
    assert_says_times(problem, &world, "certificate has expired: it holds");
    struct flo_buf kept = world.authority;
    world.authority = other.authority;
    assert_int_not_equal(verify(&world), X509_V_OK);
    world.authority = kept;
    clear(&world);
    clear(&other);
}

static void the_peers_certificate_tells_what_time_it_was(void **state)
{
    struct flo_certificate facts;
    struct world world;
    uint64_t from = 0;
    uint64_t until = 0;
    (void)state;

    make(&world, 0, 30);
    assert_int_equal(flo_certificate_read(world.leaf.data, world.leaf.bytes, &facts, NULL), 0);
    assert_int_equal(flo_tls_time_set(waits_wall_ms(), false, NULL), 0);
    assert_int_equal(verify(&world), X509_V_OK);
    assert_true(flo_tls_time_peer(&from, &until));
    assert_int_equal(from, facts.not_before_ms);
    assert_int_equal(until, facts.not_after_ms);
    clear(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_word_the_clock_counts),
        cmocka_unit_test(a_clock_that_is_behind_is_not_asked),
        cmocka_unit_test(a_clock_that_is_ahead_ends_no_certificate),
        cmocka_unit_test(what_begins_later_may_have_begun_where_nobody_knows),
        cmocka_unit_test(a_clock_that_is_set_by_nobody_is_named_too),
        cmocka_unit_test(an_expired_or_foreign_certificate_never_holds),
        cmocka_unit_test(the_peers_certificate_tells_what_time_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
