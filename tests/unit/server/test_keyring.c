/* Keyring: who reads the fleet's keys, and whose word for them counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "server-stub/state/controller.h"

struct fleet {
    struct flo_key *authority, *one, *other;
    struct flo_buf ca; /* PEM */
    char fingerprint[65];
    char dir[64];
};

static void make_authority(struct flo_key **key, struct flo_buf *pem)
{
    const struct flo_certificate_wish wish = {.common_name = "Flotilla test",
                                              .days = 10};

    assert_int_equal(flo_key_generate(key, NULL), 0);
    assert_int_equal(flo_authority_make(*key, &wish, pem, NULL), 0);
}

static int make_fleet(void **state)
{
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    struct flo_certificate facts;

    make_authority(&fleet->authority, &fleet->ca);
    assert_int_equal(
        flo_certificate_read(fleet->ca.data, fleet->ca.bytes, &facts, NULL), 0);
    flo_hex_encode(facts.fingerprint.bytes, FLO_DIGEST_BYTES,
                   fleet->fingerprint);
    assert_int_equal(flo_key_generate(&fleet->other, NULL), 0);
    snprintf(fleet->dir, sizeof(fleet->dir), "/tmp/flo-keyring-XXXXXX");
    assert_non_null(mkdtemp(fleet->dir));
    assert_int_equal(flo_keyring_own(fleet->dir, &fleet->one, NULL), 0);
    *state = fleet;
    return 0;
}

static int end_fleet(void **state)
{
    struct fleet *fleet = *state;

    flo_key_free(fleet->authority);
    flo_key_free(fleet->one);
    flo_key_free(fleet->other);
    flo_buf_deinit(&fleet->ca);
    free(fleet);
    return 0;
}

/* Sealed for the folder's controller alone. */
static void seal(const struct fleet *fleet, uint64_t number, const char *order,
                 const struct flo_key *signer, struct flo_buf *out,
                 char digest[FLO_KEYRING_DIGEST])
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(fleet->one), pem);
    struct flo_keyring keyring = {
        .fleet = "test",
        .number = number,
        .files = json_pack("{s:s,s:s}", "pki/ca.pem", fleet->ca.data,
                           "keys/order.key", order),
        .controllers =
            json_pack("{s:{s:s,s:s}}", flo_key_public(fleet->one)->keyid,
                      "name", "a", "key", pem)};
    assert_int_equal(flo_keyring_seal(&keyring, signer, out, NULL), 0);
    assert_int_equal(flo_keyring_digest(keyring.files, digest, NULL), 0);
    flo_keyring_deinit(&keyring);
}

static int take(const struct fleet *fleet, const struct flo_buf *text,
                const char *digest, const char *joins, struct flo_err *err)
{
    return flo_keyring_take(fleet->dir, digest, text->data, text->bytes, joins,
                            err);
}

static void
an_admitted_controller_gets_the_files_and_no_other_does(void **state)
{
    struct fleet *fleet = *state;
    struct flo_keyring found = {.number = 0};
    struct flo_buf text = {0};
    struct flo_err err = {0};
    char digest[FLO_KEYRING_DIGEST];

    seal(fleet, 3, "secret", fleet->authority, &text, digest);
    assert_null(strstr(text.data, "secret"));
    assert_int_equal(flo_keyring_open(text.data, text.bytes, fleet->other,
                                      fleet->ca.data, NULL, &found, &err),
                     FLO_E_KEYS_ABSENT);
    assert_int_equal(flo_keyring_open(text.data, text.bytes, fleet->one,
                                      fleet->ca.data, NULL, &found, &err),
                     0);
    assert_int_equal(found.number, 3);
    assert_string_equal(
        json_string_value(json_object_get(found.files, "keys/order.key")),
        "secret");
    flo_keyring_deinit(&found);
    flo_buf_deinit(&text);
}

static void
a_folder_believes_the_authority_that_it_was_told_and_then_its_own(void **state)
{
    struct fleet *fleet = *state;
    struct flo_buf text = {0}, forged = {0};
    struct flo_err err = {0};
    char digest[FLO_KEYRING_DIGEST], other[FLO_KEYRING_DIGEST], zeros[65];

    memset(zeros, '0', 64);
    zeros[64] = '\0';
    seal(fleet, 3, "one", fleet->authority, &text, digest);
    assert_int_equal(take(fleet, &text, digest, NULL, &err), FLO_E_KEYS_ABSENT);
    assert_int_equal(take(fleet, &text, digest, zeros, &err),
                     FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(take(fleet, &text, digest, fleet->fingerprint, &err), 0);

    /* Anybody can seal for a public key; the authority alone signs. */
    seal(fleet, 4, "two", fleet->other, &forged, other);
    assert_int_equal(take(fleet, &forged, other, NULL, &err),
                     FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(take(fleet, &forged, other, fleet->fingerprint, &err),
                     FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(take(fleet, &text, digest, NULL, &err), 0); /* has them */
    flo_buf_deinit(&text);
    flo_buf_deinit(&forged);
}

static void an_older_document_that_was_put_back_is_refused(void **state)
{
    struct fleet *fleet = *state;
    struct flo_buf old = {0}, now = {0};
    struct flo_err err = {0};
    char before[FLO_KEYRING_DIGEST], digest[FLO_KEYRING_DIGEST];

    seal(fleet, 3, "one", fleet->authority, &old, before);
    seal(fleet, 4, "two", fleet->authority, &now, digest);
    assert_int_equal(take(fleet, &now, digest, fleet->fingerprint, &err), 0);
    assert_int_equal(take(fleet, &old, before, NULL, &err), FLO_E_KEYS_ABSENT);
    assert_int_equal(take(fleet, &now, before, NULL, &err), FLO_E_KEYS_ABSENT);
    flo_buf_deinit(&old);
    flo_buf_deinit(&now);
}

static void names_stay_within_the_folder(void **state)
{
    (void)state;
    assert_true(flo_keyring_has_name("pki/ca.pem"));
    assert_true(flo_keyring_has_name("pki/ca-0123456789abcdef.key"));
    assert_true(flo_keyring_has_name("trust/release-ab.pem"));
    assert_false(flo_keyring_has_name("pki/server.key"));
    assert_false(flo_keyring_has_name("pki/ca-/../../x.key"));
    assert_false(flo_keyring_has_name("trust/release-/x.pem"));
    assert_false(flo_keyring_has_name("../keys/order.key"));
    assert_false(flo_keyring_has_name(""));
}

static void make_keys(const struct fleet *fleet)
{
    char path[96];

    snprintf(path, sizeof(path), "%s/keys", fleet->dir);
    assert_int_equal(flo_dir_make(path, 0700, NULL), 0);
}

/* Files that it has do not make up for it, neither in a common folder nor in
 * its own, which lacks the list. */
static void who_was_dismissed_takes_no_lead(void **state)
{
    struct fleet *fleet = *state;
    const char *keyid = flo_key_public(fleet->one)->keyid;
    struct flo_buf text = {0};
    struct flo_err err = {0};
    char digest[FLO_KEYRING_DIGEST], listed[FLO_KEYRING_DIGEST];
    json_t *files = NULL;

    seal(fleet, 3, "one", fleet->authority, &text, digest);
    assert_int_equal(take(fleet, &text, digest, fleet->fingerprint, &err), 0);
    assert_int_equal(flo_keyring_dismissed_set(fleet->dir, keyid, true, &err),
                     0);
    assert_int_equal(flo_keyring_read(fleet->dir, &files, &err), 0);
    assert_int_equal(flo_keyring_digest(files, listed, &err), 0);
    assert_string_not_equal(listed, digest);
    assert_int_equal(take(fleet, &text, listed, NULL, &err), FLO_E_KEYS_ABSENT);
    assert_non_null(strstr(err.what, "dismissed"));
    assert_int_equal(flo_keyring_dismissed_set(fleet->dir, keyid, false, &err),
                     0);
    json_decref(files);
    assert_int_equal(flo_keyring_read(fleet->dir, &files, &err), 0);
    assert_int_equal(flo_keyring_digest(files, listed, &err), 0);
    assert_int_equal(take(fleet, &text, listed, NULL, &err), 0);
    json_decref(files);
    flo_buf_deinit(&text);
}

static void who_is_admitted_is_as_the_transaction_ends(void **state)
{
    struct fleet *fleet = *state;
    struct flo_controller controller = {.options.store = "postgresql://"};
    const char *keyid = flo_key_public(fleet->other)->keyid;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    snprintf(controller.dir, sizeof(controller.dir), "%s", fleet->dir);
    make_keys(fleet);
    flo_public_key_pem(flo_key_public(fleet->other), pem);
    controller.keyring.as_stored.controllers = json_object();
    for (int is_committed = 0; is_committed < 2; is_committed++) {
        assert_int_equal(flo_keyring_admit(&controller, "b", pem, NULL), 0);
        flo_keyring_settle(&controller, is_committed);
        assert_int_equal(flo_keyring_is_admitted(&controller, keyid),
                         is_committed);
    }
    for (int is_committed = 0; is_committed < 2; is_committed++) {
        assert_int_equal(flo_keyring_dismiss(&controller, keyid, NULL), 0);
        flo_keyring_settle(&controller, is_committed);
        assert_int_equal(flo_keyring_is_admitted(&controller, keyid),
                         !is_committed);
    }
    flo_keyring_deinit(&controller.keyring.as_stored);
}

#define FLEET(test) cmocka_unit_test_setup_teardown(test, make_fleet, end_fleet)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLEET(an_admitted_controller_gets_the_files_and_no_other_does),
        FLEET(
            a_folder_believes_the_authority_that_it_was_told_and_then_its_own),
        FLEET(an_older_document_that_was_put_back_is_refused),
        FLEET(who_is_admitted_is_as_the_transaction_ends),
        FLEET(who_was_dismissed_takes_no_lead),
        cmocka_unit_test(names_stay_within_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
