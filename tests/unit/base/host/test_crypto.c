/* Digests, keys, signatures: known answers and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/sig.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "unit/remove_tree.h"

/* RFC 6979 A.2.5, curve P-256, SHA-256: the key and its signature of
 * "sample". */
static const char rfc_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                              "MHcCAQEEIMmvqdhFunUWa1whV2ex1pNOUMPbNuibEnuKYisSD2choAoGCCqGSM49\n"
                              "AwEHoUQDQgAEYP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Z5A/4QCLi8\n"
                              "maQa6elWKLxk8vGyDC1+n1F3o8KU1EYimQ==\n"
                              "-----END EC PRIVATE KEY-----\n";

static char folder[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/flo-crypto-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    return remove_tree(folder);
}

static const char *path_in(const char *name)
{
    static char path[200];
    assert_true(flo_path_join(path, sizeof(path), folder, name));
    return path;
}

static void save_public(const struct flo_key *key, const char *name)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(flo_file_write(path_in(name), pem, strlen(pem), 0644, NULL), 0);
}

/* Another key, and what openssl pkeyutl -derive makes of both, by RFC 5869. */
static const char other_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEMVPjCrR85miI7u7rL+JXFqI/t0+\n"
                                "jvKw++PkcwYK0RyNwkll06JtM4zMC+Hnett6yRYoi9Ko96LevFDD/yDJ4w==\n"
                                "-----END PUBLIC KEY-----\n";

static void two_keys_agree_on_the_known_secret(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *mine = NULL;
    struct flo_public_key other;
    struct flo_err err = {0};
    uint8_t one[FLO_DIGEST_BYTES], two[FLO_DIGEST_BYTES];
    char hex[FLO_DIGEST_TEXT];
    (void)state;

    assert_int_equal(flo_key_parse(rfc_key, strlen(rfc_key), &key, &err), 0);
    assert_int_equal(flo_public_key_parse(other_key, strlen(other_key), &other, &err), 0);
    assert_int_equal(flo_key_agree(key, &other, "a purpose", one, &err), 0);
    flo_hex_encode(one, sizeof(one), hex);
    assert_string_equal(hex, "30db47427d176d43cb7a34293418b83c"
                             "2b2bba14c4d070eeea5a3fa8a69a38fd");

    assert_int_equal(flo_key_generate(&mine, &err), 0);
    assert_int_equal(flo_key_agree(mine, flo_key_public(key), "another", one, &err), 0);
    assert_int_equal(flo_key_agree(key, flo_key_public(mine), "another", two, &err), 0);
    assert_memory_equal(one, two, sizeof(one));

    other.point[64] ^= 1; /* no point of the curve */
    assert_int_equal(flo_key_agree(key, &other, "a purpose", one, &err), FLO_E_SIG_FORMAT);
}

/* RFC 4231, cases 2 and 6. */
static void hmac_gives_the_known_answers(void **state)
{
    struct flo_digest digest;
    uint8_t long_key[131];
    char hex[FLO_DIGEST_TEXT];
    static const char last[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    (void)state;

    flo_hmac_sha256("Jefe", 4,
                    (struct flo_hmac_piece[]){{"what do ya want ", 16}, {"for nothing?", 12}}, 2,
                    &digest);
    flo_hex_encode(digest.bytes, sizeof(digest.bytes), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c7"
                             "5a003f089d2739839dec58b964ec3843");
    memset(long_key, 0xaa, sizeof(long_key));
    flo_hmac_sha256(long_key, sizeof(long_key), &(struct flo_hmac_piece){last, strlen(last)}, 1,
                    &digest);
    flo_hex_encode(digest.bytes, sizeof(digest.bytes), hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f"
                             "8e0bc6213728c5140546040f0ee37f54");
}

static void sha256_gives_the_known_answers(void **state)
{
    FLO_CLEANUP(flo_sha256_deinit) struct flo_sha256 sha = {0};
    struct flo_digest digest;
    char text[FLO_DIGEST_TEXT];
    (void)state;

    flo_sha256("abc", 3, &digest);
    flo_digest_text(&digest, text);
    assert_string_equal(text, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a3"
                              "96177a9cb410ff61f20015ad");
    flo_sha256("", 0, &digest);
    flo_digest_text(&digest, text);
    assert_string_equal(text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4"
                              "649b934ca495991b7852b855");
    for (int round = 0; round < 2; round++) {
        assert_int_equal(flo_sha256_init(&sha, NULL), 0);
        for (int i = 0; i < 1000000; i += 1000) {
            static char block[1000];
            memset(block, 'a', sizeof(block));
            flo_sha256_update(&sha, block, sizeof(block));
        }
        flo_sha256_final(&sha, &digest);
        flo_digest_text(&digest, text);
        assert_string_equal(text, "sha256:cdc76e5c9914fb9281a1c7e284d73e67"
                                  "f1809a48a497200e046d39ccc7112cd0");
    }
}

static void a_files_digest_is_that_of_its_bytes(void **state)
{
    struct flo_digest of_file;
    struct flo_digest of_bytes;
    uint64_t bytes = 0;
    char *block = calloc(1, 600000);
    char link[200];
    (void)state;
    block[599999] = 1;
    flo_sha256(block, 600000, &of_bytes);
    assert_int_equal(flo_file_write(path_in("f"), block, 600000, 0600, NULL), 0);

    assert_int_equal(flo_sha256_file(path_in("f"), &of_file, &bytes, NULL), 0);

    assert_true(flo_digest_equal(&of_file, &of_bytes));
    assert_int_equal(bytes, 600000);
    assert_int_equal(flo_sha256_file(path_in("none"), &of_file, NULL, NULL), FLO_E_ABSENT);
    assert_int_equal(flo_sha256_file(folder, &of_file, NULL, NULL), FLO_E_IO_OPEN);
    snprintf(link, sizeof(link), "%s", path_in("link"));
    assert_int_equal(symlink("f", link), 0);
    assert_int_equal(flo_sha256_file(link, &of_file, NULL, NULL), FLO_E_IO_SYMLINK);
    free(block);
}

static void secrets_are_compared_whole(void **state)
{
    (void)state;

    assert_true(flo_secret_equal("abcd", "abcd", 4));
    assert_false(flo_secret_equal("abcd", "abce", 4));
    assert_false(flo_secret_equal("abcd", "bbcd", 4));
    assert_true(flo_secret_equal("a", "b", 0));
}

static void a_signature_is_that_of_rfc_6979(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    uint8_t signature[FLO_SIGNATURE_BYTES];
    char text[2 * FLO_SIGNATURE_BYTES + 1];
    (void)state;
    assert_int_equal(flo_key_parse(rfc_key, strlen(rfc_key), &key, NULL), 0);

    assert_int_equal(flo_sign(key, "sample", 6, signature, NULL), 0);

    flo_hex_encode(signature, sizeof(signature), text);
    assert_string_equal(text, "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
                              /* n - s: RFC 6979's s is the high one */
                              "0834e36ad29a83bf2bc9385e491d6099c8fdf9d1ed67aa7ea5f51f93782857a9");
    assert_int_equal(
        flo_verify(flo_key_public(key), "sample", 6, signature, sizeof(signature), NULL), 0);
}

static void a_changed_bit_anywhere_breaks_the_signature(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *other = NULL;
    uint8_t signature[FLO_SIGNATURE_BYTES];
    char message[] = "deploy helpdesk@2.4.0";
    size_t bytes = strlen(message);
    (void)state;
    assert_int_equal(flo_key_generate(&key, NULL), 0);
    assert_int_equal(flo_key_generate(&other, NULL), 0);
    assert_int_equal(flo_sign(key, message, bytes, signature, NULL), 0);
    const struct flo_public_key *public_half = flo_key_public(key);

    for (size_t i = 0; i < sizeof(signature); i += 5) {
        signature[i] ^= 0x10;
        assert_int_equal(
            flo_verify(public_half, message, bytes, signature, sizeof(signature), NULL),
            FLO_E_SIG_BAD);
        signature[i] ^= 0x10;
    }
    for (size_t i = 0; i < bytes; i += 4) {
        message[i] ^= 1;
        assert_int_equal(
            flo_verify(public_half, message, bytes, signature, sizeof(signature), NULL),
            FLO_E_SIG_BAD);
        message[i] ^= 1;
    }
    assert_int_equal(
        flo_verify(flo_key_public(other), message, bytes, signature, sizeof(signature), NULL),
        FLO_E_SIG_BAD);
    assert_int_equal(flo_verify(public_half, message, bytes, signature, sizeof(signature), NULL),
                     0);
}

static void numbers_out_of_range_are_refused(void **state)
{
    static const char *const order = "ffffffff00000000ffffffffffffffff"
                                     "bce6faada7179e84f3b9cac2fc632551";
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    uint8_t good[FLO_SIGNATURE_BYTES];
    uint8_t bad[FLO_SIGNATURE_BYTES];
    (void)state;
    assert_int_equal(flo_key_generate(&key, NULL), 0);
    assert_int_equal(flo_sign(key, "x", 1, good, NULL), 0);

    for (size_t half = 0; half < 2; half++) {
        memcpy(bad, good, sizeof(bad));
        memset(bad + 32 * half, 0, 32);
        assert_int_equal(flo_verify(flo_key_public(key), "x", 1, bad, sizeof(bad), NULL),
                         FLO_E_SIG_BAD);
        assert_true(flo_hex_decode(order, bad + 32 * half, 32));
        assert_int_equal(flo_verify(flo_key_public(key), "x", 1, bad, sizeof(bad), NULL),
                         FLO_E_SIG_BAD);
        memset(bad + 32 * half, 0xff, 32);
        assert_int_equal(flo_verify(flo_key_public(key), "x", 1, bad, sizeof(bad), NULL),
                         FLO_E_SIG_BAD);
    }
    memset(bad, 0, sizeof(bad));
    assert_int_equal(flo_verify(flo_key_public(key), "x", 1, bad, sizeof(bad), NULL),
                     FLO_E_SIG_BAD);
    assert_int_equal(flo_verify(flo_key_public(key), "x", 1, good, 63, NULL), FLO_E_SIG_FORMAT);
    assert_int_equal(flo_verify(flo_key_public(key), "x", 1, good, 0, NULL), FLO_E_SIG_FORMAT);
}

static void a_64_kib_signature_is_refused_by_its_length(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    uint8_t *huge = calloc(1, 65536);
    (void)state;
    assert_int_equal(flo_key_generate(&key, NULL), 0);

    assert_int_equal(flo_verify(flo_key_public(key), "", 0, huge, 65536, NULL), FLO_E_SIG_FORMAT);
    free(huge);
}

static void a_saved_key_signs_as_before(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *back = NULL;
    struct flo_public_key public_half;
    uint8_t a[FLO_SIGNATURE_BYTES];
    uint8_t b[FLO_SIGNATURE_BYTES];
    struct stat st;
    (void)state;
    assert_int_equal(flo_key_generate(&key, NULL), 0);

    assert_int_equal(flo_key_save(key, path_in("key.pem"), NULL), 0);
    assert_int_equal(stat(path_in("key.pem"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(flo_key_load(path_in("key.pem"), &back, NULL), 0);
    save_public(key, "pub.pem");
    assert_int_equal(flo_public_key_load(path_in("pub.pem"), &public_half, NULL), 0);

    assert_int_equal(flo_sign(key, "m", 1, a, NULL), 0);
    assert_int_equal(flo_sign(back, "m", 1, b, NULL), 0);
    assert_memory_equal(a, b, sizeof(a));
    assert_string_equal(public_half.keyid, flo_key_public(back)->keyid);
    assert_int_equal(flo_verify(&public_half, "m", 1, b, sizeof(b), NULL), 0);
}

static void a_key_that_others_can_read_is_refused(void **state)
{
    static const mode_t open_modes[] = {0640, 0604, 0660, 0644, 0610, 0601};
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_key *back = NULL;
    struct flo_err err = {0};
    (void)state;
    assert_int_equal(flo_key_generate(&key, NULL), 0);
    assert_int_equal(flo_key_save(key, path_in("open.pem"), NULL), 0);

    for (size_t i = 0; i < FLO_COUNT(open_modes); i++) {
        assert_int_equal(chmod(path_in("open.pem"), open_modes[i]), 0);
        assert_int_equal(flo_key_load(path_in("open.pem"), &back, &err), FLO_E_CFG_PERM);
        assert_null(back);
    }
    assert_non_null(strstr(err.what, "mode 0601"));
    assert_non_null(strstr(err.fix, "chmod 0600"));
    save_public(key, "open.pub");
    assert_int_equal(flo_key_load(path_in("open.pub"), &back, &err), FLO_E_CFG_PERM);
    assert_non_null(strstr(err.fix, "open.key belongs here"));
    assert_int_equal(chmod(path_in("open.pem"), 0400), 0);
    assert_int_equal(flo_key_load(path_in("open.pem"), &back, NULL), 0);
    flo_key_free(back);
    assert_int_equal(flo_key_load(path_in("none.pem"), &back, NULL), FLO_E_ABSENT);
}

static void root_takes_a_token_of_another_user_and_no_key(void **state)
{
    static const uid_t other = 65534;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_key *back = NULL;
    struct flo_err err = {0};
    char token[16];
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(flo_key_generate(&key, NULL), 0);
    assert_int_equal(flo_key_save(key, path_in("other.pem"), NULL), 0);
    assert_int_equal(chown(path_in("other.pem"), other, other), 0);
    assert_int_equal(flo_file_write(path_in("token"), "secret\n", 7, 0600, NULL), 0);
    assert_int_equal(chown(path_in("token"), other, other), 0);

    assert_int_equal(flo_key_load(path_in("other.pem"), &back, &err), FLO_E_CFG_PERM);
    assert_non_null(strstr(err.what, "owned by user 65534, not 0"));
    assert_int_equal(flo_token_read(path_in("token"), token, sizeof(token), NULL), 0);
    assert_string_equal(token, "secret");
    assert_int_equal(chmod(path_in("token"), 0644), 0);
    assert_int_equal(flo_token_read(path_in("token"), token, sizeof(token), NULL), FLO_E_CFG_PERM);
}

static void what_is_no_p256_key_is_refused(void **state)
{
    /* A key on secp384r1. */
    static const char p384[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAESJXrBPwLHtd99qmbKlvVxGfoOeIclCFU\n"
                               "I8cpCAWjSc+xxsFwDikmcpUz4S6Vmp9bDSinda7iWNlBfwFuzkWQ9ejtJH+qtUO9\n"
                               "kQWkaBTUkeeSj8+/fOXmOEdziqA1crhA\n"
                               "-----END PUBLIC KEY-----\n";
    struct flo_public_key key;
    struct flo_key *private_key = NULL;
    struct flo_err err = {0};
    char pem[sizeof(rfc_key)];
    (void)state;

    assert_int_equal(flo_public_key_parse(p384, strlen(p384) - 60, &key, &err), FLO_E_SIG_FORMAT);
    /* Words, and no number of the library. */
    assert_string_not_equal(err.why, "");
    assert_null(strstr(err.what, "0x"));
    assert_null(strstr(err.why, "0x"));
    assert_int_equal(flo_public_key_parse(p384, strlen(p384), &key, NULL), FLO_E_SIG_FORMAT);
    assert_int_equal(flo_public_key_parse("", 0, &key, NULL), FLO_E_SIG_FORMAT);
    assert_int_equal(flo_key_parse("x", 1, &private_key, NULL), FLO_E_SIG_FORMAT);
    for (size_t cut = 0; cut < strlen(rfc_key) - 2; cut += 7) {
        assert_int_equal(flo_key_parse(rfc_key, cut, &private_key, NULL), FLO_E_SIG_FORMAT);
    }
    /* A digit of the private number changed: the halves differ. */
    memcpy(pem, rfc_key, sizeof(pem));
    pem[strlen("-----BEGIN EC PRIVATE KEY-----\n") + 20] ^= 1;
    assert_int_equal(flo_key_parse(pem, strlen(pem), &private_key, NULL), FLO_E_SIG_FORMAT);
    assert_null(private_key);
}

static void a_keyid_is_the_digest_of_the_key_info(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_public_key back;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    uint8_t der[128];
    char text[256];
    struct flo_digest digest;
    (void)state;
    assert_int_equal(flo_key_generate(&key, NULL), 0);

    flo_public_key_pem(flo_key_public(key), pem);

    /* The PEM's own bytes, taken apart by hand. */
    size_t used = 0;
    for (char *line = strtok(pem, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] != '-') {
            memcpy(text + used, line, strlen(line));
            used += strlen(line);
        }
    }
    ptrdiff_t bytes = flo_base64_decode(text, used, der);
    assert_int_equal(bytes, 91);
    flo_sha256(der, 91, &digest);
    flo_hex_encode(digest.bytes, 32, text);
    assert_string_equal(flo_key_public(key)->keyid, text);
    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(flo_public_key_parse(pem, strlen(pem), &back, NULL), 0);
    assert_memory_equal(&back, flo_key_public(key), sizeof(back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_known_answers),
        cmocka_unit_test(hmac_gives_the_known_answers),
        cmocka_unit_test(two_keys_agree_on_the_known_secret),
        cmocka_unit_test(a_files_digest_is_that_of_its_bytes),
        cmocka_unit_test(secrets_are_compared_whole),
        cmocka_unit_test(a_signature_is_that_of_rfc_6979),
        cmocka_unit_test(a_changed_bit_anywhere_breaks_the_signature),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(a_64_kib_signature_is_refused_by_its_length),
        cmocka_unit_test(a_saved_key_signs_as_before),
        cmocka_unit_test(a_key_that_others_can_read_is_refused),
        cmocka_unit_test(root_takes_a_token_of_another_user_and_no_key),
        cmocka_unit_test(what_is_no_p256_key_is_refused),
        cmocka_unit_test(a_keyid_is_the_digest_of_the_key_info),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
