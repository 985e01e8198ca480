/* Keyring: who reads the fleet's keys, and whose word for them counts. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/keys.h>
#include <flotilla/errors/sig.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/keyring/memory.h"

struct fleet {
    struct flo_key *authority, *one, *other;
    struct flo_buf ca; /* PEM */
    char fingerprint[65];
    char dir[64];
};

static void make_authority(struct flo_key **key, struct flo_buf *pem)
{
    const struct flo_certificate_spec spec = {.common_name = "Flotilla test", .days = 10};

    assert_int_equal(flo_key_generate(key, NULL), 0);
    assert_int_equal(flo_authority_make(*key, &spec, pem, NULL), 0);
}

static int make_fleet(void **state)
{
    struct fleet *fleet = calloc(1, sizeof(*fleet));
    struct flo_certificate facts;

    make_authority(&fleet->authority, &fleet->ca);
    assert_int_equal(flo_certificate_read(fleet->ca.data, fleet->ca.bytes, &facts, NULL), 0);
    flo_hex_encode(facts.fingerprint.bytes, FLO_DIGEST_BYTES, fleet->fingerprint);
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
                 const struct flo_key *signer, struct flo_buf *out, char digest[FLO_KEYRING_DIGEST])
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(fleet->one), pem);
    struct flo_keyring keyring = {
        .fleet = "test",
        .number = number,
        .files = json_pack("{s:s,s:s}", "pki/ca.pem", fleet->ca.data, "keys/order.key", order),
        .controllers =
            json_pack("{s:{s:s,s:s}}", flo_key_public(fleet->one)->keyid, "name", "a", "key", pem)};
    assert_int_equal(flo_keyring_seal(&keyring, signer, out, NULL), 0);
    assert_int_equal(flo_keyring_digest(keyring.files, digest, NULL), 0);
    flo_keyring_deinit(&keyring);
}

static int take(const struct fleet *fleet, const struct flo_buf *text, const char *digest,
                const char *joins, struct flo_err *err)
{
    return flo_keyring_take(fleet->dir, digest, text->data, text->bytes, joins, err);
}

static void an_admitted_controller_gets_the_files_and_no_other_does(void **state)
{
    struct fleet *fleet = *state;
    struct flo_keyring found = {.number = 0};
    struct flo_buf text = {0};
    struct flo_err err = {0};
    char digest[FLO_KEYRING_DIGEST];

    seal(fleet, 3, "secret", fleet->authority, &text, digest);
    assert_null(strstr(text.data, "secret"));
    assert_int_equal(
        flo_keyring_open(text.data, text.bytes, fleet->other, fleet->ca.data, NULL, &found, &err),
        FLO_E_KEYS_ABSENT);
    assert_int_equal(
        flo_keyring_open(text.data, text.bytes, fleet->one, fleet->ca.data, NULL, &found, &err), 0);
    assert_int_equal(found.number, 3);
    assert_string_equal(json_string_value(json_object_get(found.files, "keys/order.key")),
                        "secret");
    flo_keyring_deinit(&found);
    flo_buf_deinit(&text);
}

static void a_folder_believes_the_authority_that_it_was_told_and_then_its_own(void **state)
{
    struct fleet *fleet = *state;
    struct flo_buf text = {0}, forged = {0};
    struct flo_err err = {0};
    char digest[FLO_KEYRING_DIGEST], other[FLO_KEYRING_DIGEST], zeros[65];

    memset(zeros, '0', 64);
    zeros[64] = '\0';
    seal(fleet, 3, "one", fleet->authority, &text, digest);
    assert_int_equal(take(fleet, &text, digest, NULL, &err), FLO_E_KEYS_ABSENT);
    assert_int_equal(take(fleet, &text, digest, zeros, &err), FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(take(fleet, &text, digest, fleet->fingerprint, &err), 0);

    /* Anybody can seal for a public key; the authority alone signs. */
    seal(fleet, 4, "two", fleet->other, &forged, other);
    assert_int_equal(take(fleet, &forged, other, NULL, &err), FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(take(fleet, &forged, other, fleet->fingerprint, &err), FLO_E_SIG_UNKNOWN_KEY);
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
    assert_int_equal(flo_keyring_dismissed_set(fleet->dir, keyid, true, &err), 0);
    assert_int_equal(flo_keyring_read(fleet->dir, &files, &err), 0);
    assert_int_equal(flo_keyring_digest(files, listed, &err), 0);
    assert_string_not_equal(listed, digest);
    assert_int_equal(take(fleet, &text, listed, NULL, &err), FLO_E_KEYS_ABSENT);
    assert_non_null(strstr(err.what, "dismissed"));
    assert_int_equal(flo_keyring_dismissed_set(fleet->dir, keyid, false, &err), 0);
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
    controller.keyring = flo_keyring_new();
    assert_non_null(controller.keyring);
    controller.keyring->as_stored.controllers = json_object();
    for (int is_committed = 0; is_committed < 2; is_committed++) {
        assert_int_equal(flo_keyring_admit(&controller, "b", pem, NULL), 0);
        flo_keyring_settle(&controller, is_committed);
        assert_int_equal(flo_keyring_is_admitted(&controller, keyid), is_committed);
    }
    for (int is_committed = 0; is_committed < 2; is_committed++) {
        assert_int_equal(flo_keyring_dismiss(&controller, keyid, NULL), 0);
        flo_keyring_settle(&controller, is_committed);
        assert_int_equal(flo_keyring_is_admitted(&controller, keyid), !is_committed);
    }
    flo_keyring_free(controller.keyring);
}

/* ---- what stays in memory ---- */

/* The shadow of a sanitizer is larger, up to terabytes that nobody reads in
 * time. */
#define AREA_MAX (UINT64_C(64) << 20)

/* Is this text, of which each byte is given as its complement, in a page of
 * ours that can be written? */
static bool is_in_area(int memory, unsigned long begin, unsigned long end,
                       const uint8_t *complement, size_t bytes)
{
    static uint8_t page[1 << 16];
    size_t kept = 0;
    bool is_there = false;

    for (unsigned long at = begin; at < end && !is_there;) {
        size_t room = sizeof(page) - kept;
        room = room < end - at ? room : end - at;
        if (pread(memory, page + kept, room, (off_t)at) != (ssize_t)room) {
            break; /* pages of the kernel */
        }
        size_t count = kept + room;
        for (size_t i = 0; i + bytes <= count && !is_there; i++) {
            size_t same = 0;
            while (same < bytes && (page[i + same] ^ complement[same]) == 0xff) {
                same++;
            }
            is_there = same == bytes;
        }
        kept = count < bytes - 1 ? count : bytes - 1;
        memmove(page, page + count - kept, kept);
        at += room;
    }
    flo_secret_wipe(page, sizeof(page));
    return is_there;
}

/* Nothing is allocated meanwhile: that would write over what was given back. */
static bool is_in_memory(const uint8_t *complement, size_t bytes)
{
    static char lines[1 << 17];
    int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    int memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    unsigned long begin, end;
    bool is_there = false;

    assert_true(maps >= 0 && memory >= 0);
    for (ssize_t got = 1; got > 0; used += (size_t)got) {
        got = read(maps, lines + used, sizeof(lines) - 1 - used);
        assert_true(got >= 0);
    }
    lines[used] = '\0';
    for (const char *line = lines; *line != '\0' && !is_there;) {
        char mode[8];
        is_there = sscanf(line, "%lx-%lx %7s", &begin, &end, mode) == 3 && mode[1] == 'w' &&
                   end - begin <= AREA_MAX && is_in_area(memory, begin, end, complement, bytes);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
    close(maps);
    close(memory);
    return is_there;
}

/* Bytes that no other memory has. */
static void fill(void *out, size_t bytes, uint32_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525u + 1013904223u;
        ((uint8_t *)out)[i] = (uint8_t)(seed >> 24);
    }
}

/* Lines of a key, with the ends that JSON escapes. */
static void draw_text(char text[1024], uint8_t complement[32])
{
    fill(text, 1023, 1);
    for (size_t i = 0; i < 1023; i++) {
        text[i] = i % 65 == 64 ? '\n' : (char)('A' + (uint8_t)text[i] % 26);
    }
    text[1023] = '\0';
    for (size_t i = 0; i < 32; i++) {
        complement[i] = (uint8_t)~text[200 + i]; /* within a line */
    }
}

/* An emulator's /proc/self/mem is that of the emulator. */
static bool can_look(void)
{
    static uint8_t known[32];
    uint8_t complement[32];

    fill(known, sizeof(known), 2);
    for (size_t i = 0; i < sizeof(known); i++) {
        complement[i] = (uint8_t)~known[i];
    }
    return is_in_memory(complement, sizeof(complement));
}

static void no_text_of_a_key_stays_in_memory(void **state)
{
    struct fleet *fleet = *state;
    struct flo_keyring found = {.number = 0};
    struct flo_buf text = {0};
    struct flo_err err = {0};
    char digest[FLO_KEYRING_DIGEST], order[1024];
    uint8_t complement[32];

    if (!can_look()) {
        skip();
    }
    draw_text(order, complement);
    seal(fleet, 3, order, fleet->authority, &text, digest);
    flo_secret_wipe(order, sizeof(order));
    assert_false(is_in_memory(complement, sizeof(complement)));

    /* The folder that takes them: written, and read again. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(take(fleet, &text, digest, fleet->fingerprint, &err), 0);
        assert_false(is_in_memory(complement, sizeof(complement)));
    }

    /* Who opened them has them until then. */
    assert_int_equal(
        flo_keyring_open(text.data, text.bytes, fleet->one, fleet->ca.data, NULL, &found, &err), 0);
    assert_true(is_in_memory(complement, sizeof(complement)));
    flo_keyring_deinit(&found);
    assert_false(is_in_memory(complement, sizeof(complement)));
    flo_buf_deinit(&text);
}

#define FLEET(test) cmocka_unit_test_setup_teardown(test, make_fleet, end_fleet)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FLEET(an_admitted_controller_gets_the_files_and_no_other_does),
        FLEET(a_folder_believes_the_authority_that_it_was_told_and_then_its_own),
        FLEET(an_older_document_that_was_put_back_is_refused),
        FLEET(who_is_admitted_is_as_the_transaction_ends),
        FLEET(who_was_dismissed_takes_no_lead),
        FLEET(no_text_of_a_key_stays_in_memory),
        cmocka_unit_test(names_stay_within_the_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
