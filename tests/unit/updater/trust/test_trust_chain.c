/* Trust statements: what is read, which one follows which, who must sign. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>
#include <flotilla/errors/trust.h>
#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/json.h"
#include "publisher.h"

enum who { ROOT_A, ROOT_B, ROOT_C, PUBLISHER, ORDER, EMERGENCY, OTHER, WHO };

struct world {
    struct flo_key *keys[WHO];
    char pem[WHO][FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_trust *list; /* statement 1: publisher and order key */
    struct flo_err err;
};

static const char *id_of(const struct world *world, enum who who)
{
    return flo_key_public(world->keys[who])->keyid;
}

static void add(struct world *world, struct flo_trust *trust, enum who who, unsigned role)
{
    assert_int_equal(flo_trust_add(trust, world->pem[who], role, NULL, &world->err), 0);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    for (size_t i = 0; i < WHO; i++) {
        assert_int_equal(flo_key_generate(&world->keys[i], &world->err), 0);
        flo_public_key_pem(flo_key_public(world->keys[i]), world->pem[i]);
    }
    world->list = flo_trust_new("demo");
    add(world, world->list, PUBLISHER, FLO_ROLE_RELEASE);
    add(world, world->list, ORDER, FLO_ROLE_ORDER);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    for (size_t i = 0; i < WHO; i++) {
        flo_key_free(world->keys[i]);
    }
    flo_trust_free(world->list);
    free(world);
    return 0;
}

/* Write the draft, have these sign it, read it back as a device does not: with
 * too few signatures, too. */
static struct flo_trust *finish(struct world *world, const struct flo_trust *held,
                                struct flo_trust *draft, const char *signers)
{
    struct flo_buf text = {0};
    struct flo_trust *out = NULL;

    assert_int_equal(flo_trust_draft(draft, held, &text, &world->err), 0);
    assert_int_equal(flo_trust_draft_parse(text.data, text.bytes, &out, &world->err), 0);
    for (; *signers != '\0'; signers++) {
        static const char letters[] = "abcpoex";
        size_t who = (size_t)(strchr(letters, *signers) - letters);
        assert_int_equal(flo_trust_sign(out, world->keys[who], &world->err), 0);
    }
    flo_buf_deinit(&text);
    flo_trust_free(draft);
    return out;
}

/* Statement 2: roots a, b, c, two of them; publisher, order, emergency key. */
static struct flo_trust *second(struct world *world, const char *signers)
{
    struct flo_trust *draft = NULL;

    assert_int_equal(flo_trust_next(world->list, 5, &draft, &world->err), 0);
    add(world, draft, ROOT_A, FLO_ROLE_ROOT);
    add(world, draft, ROOT_B, FLO_ROLE_ROOT);
    add(world, draft, ROOT_C, FLO_ROLE_ROOT);
    add(world, draft, EMERGENCY, FLO_ROLE_EMERGENCY);
    flo_trust_set_threshold(draft, 2);
    return finish(world, world->list, draft, signers);
}

static struct flo_trust *next_of(struct world *world, const struct flo_trust *held)
{
    struct flo_trust *draft = NULL;

    assert_int_equal(flo_trust_next(held, 6, &draft, &world->err), 0);
    return draft;
}

static int follows(struct world *world, const struct flo_trust *held, const struct flo_trust *next)
{
    enum flo_trust_standing standing = FLO_TRUST_GAP;
    int rv = flo_trust_follows(held, next, &standing, &world->err);

    return rv < 0 ? rv : (int)standing;
}

static void assert_said(const struct world *world, const char *part)
{
    if (strstr(world->err.what, part) == NULL) {
        fail_msg("`%s` does not say `%s`", world->err.what, part);
    }
}

/* ---- the first one ---- */

static void test_a_release_key_of_the_list_lets_root_keys_in(void **state)
{
    struct world *world = *state;
    struct flo_trust *next = second(world, "pab");

    assert_int_equal(flo_trust_number(next), 2);
    assert_int_equal(flo_trust_epoch(next), 1);
    assert_int_equal(follows(world, world->list, next), FLO_TRUST_NEXT);
    flo_trust_free(next);
}

static void test_the_controller_alone_cannot_name_root_keys(void **state)
{
    struct world *world = *state;
    struct flo_trust *next = second(world, "oab");

    assert_int_equal(follows(world, world->list, next), FLO_E_TRUST_THRESHOLD);
    assert_said(world, "0 of the release keys of statement 1");
    flo_trust_free(next);
}

/* A fleet's first statement, before any device knows a publisher. */
static void test_a_list_without_publishers_is_followed_by_root_keys(void **state)
{
    struct world *world = *state;

    assert_int_equal(flo_trust_drop(world->list, id_of(world, PUBLISHER), &world->err), 0);
    struct flo_trust *next = second(world, "ab");
    assert_int_equal(follows(world, world->list, next), FLO_TRUST_NEXT);
    flo_trust_free(next);
    next = second(world, "pob"); /* one of the two that it asks for */
    assert_int_equal(follows(world, world->list, next), FLO_E_TRUST_THRESHOLD);
    flo_trust_free(next);
}

static void test_a_first_statement_needs_its_own_root_keys_too(void **state)
{
    struct world *world = *state;
    struct flo_trust *next = second(world, "pa");
    struct flo_buf text = {0};
    struct flo_trust *read = NULL;

    assert_int_equal(follows(world, world->list, next), FLO_E_TRUST_THRESHOLD);
    assert_said(world, "1 of its own root keys");
    flo_trust_text(next, &text);
    assert_int_equal(flo_trust_parse(text.data, text.bytes, &read, &world->err),
                     FLO_E_TRUST_THRESHOLD);
    flo_buf_deinit(&text);
    flo_trust_free(next);
}

static void test_what_was_signed_is_read_back_as_it_was(void **state)
{
    struct world *world = *state;
    struct flo_trust *next = second(world, "pab");
    struct flo_trust *read = NULL;
    struct flo_buf text = {0};
    struct flo_buf again = {0};

    flo_trust_text(next, &text);
    assert_int_equal(flo_trust_parse(text.data, text.bytes, &read, &world->err), 0);
    flo_trust_text(read, &again);
    assert_int_equal(text.bytes, again.bytes);
    assert_memory_equal(text.data, again.data, text.bytes);
    assert_true(flo_digest_equal(flo_trust_digest(read), flo_trust_digest(next)));
    assert_int_equal(follows(world, next, read), FLO_TRUST_SAME);
    flo_buf_deinit(&text);
    flo_buf_deinit(&again);
    flo_trust_free(next);
    flo_trust_free(read);
}

/* ---- the chain ---- */

static void test_m_keys_of_the_one_before_must_sign(void **state)
{
    struct world *world = *state;
    struct flo_trust *held = second(world, "pab");
    static const struct {
        const char *signers;
        int wanted;
    } rows[] = {{"", FLO_E_TRUST_THRESHOLD},     {"a", FLO_E_TRUST_THRESHOLD},
                {"ap", FLO_E_TRUST_THRESHOLD},   {"aoe", FLO_E_TRUST_THRESHOLD},
                {"poex", FLO_E_TRUST_THRESHOLD}, {"ab", FLO_TRUST_NEXT},
                {"bc", FLO_TRUST_NEXT},          {"abc", FLO_TRUST_NEXT},
                {"abx", FLO_TRUST_NEXT}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_trust *next = finish(world, held, next_of(world, held), rows[i].signers);
        assert_int_equal(follows(world, held, next), rows[i].wanted);
        flo_trust_free(next);
    }
    flo_trust_free(held);
}

static void test_one_key_that_signs_twice_counts_once(void **state)
{
    struct world *world = *state;
    struct flo_trust *held = second(world, "pab");
    struct flo_trust *next = finish(world, held, next_of(world, held), "aa");
    struct flo_buf text = {0};
    char *copy;
    char *entry;
    struct flo_trust *read = NULL;

    assert_int_equal(follows(world, held, next), FLO_E_TRUST_THRESHOLD);
    /* by hand: the same entry once more */
    flo_trust_text(next, &text);
    entry = strstr(text.data, "{\"keyid\"");
    copy = calloc(1, 2 * text.bytes);
    memcpy(copy, text.data, text.bytes - 2);
    strcat(copy, ",");
    strncat(copy, entry, (size_t)(text.data + text.bytes - 2 - entry));
    strcat(copy, "]}");
    assert_int_equal(flo_trust_draft_parse(copy, strlen(copy), &read, &world->err),
                     FLO_E_SIG_FORMAT);
    assert_said(world, "stands twice");
    free(copy);
    flo_buf_deinit(&text);
    flo_trust_free(held);
    flo_trust_free(next);
}

static void test_a_signature_that_is_broken_spoils_the_rest(void **state)
{
    struct world *world = *state;
    struct flo_trust *held = second(world, "pab");
    struct flo_trust *next = finish(world, held, next_of(world, held), "abc");
    struct flo_buf text = {0};
    struct flo_trust *read = NULL;

    flo_trust_text(next, &text);
    char *sig = strstr(text.data, "\"sig\":\"") + 7;
    sig[10] = sig[10] == 'A' ? 'B' : 'A';
    assert_int_equal(flo_trust_draft_parse(text.data, text.bytes, &read, &world->err),
                     FLO_E_SIG_BAD);
    flo_buf_deinit(&text);
    flo_trust_free(held);
    flo_trust_free(next);
}

/* The same statement with its first signature changed: another bit, or the other s. */
static struct flo_trust *spoilt(struct flo_trust *next, const char *keyid, bool is_other_s, int *rv)
{
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};
    struct flo_buf text = {0};
    struct flo_trust *out = NULL;
    size_t i = 0;

    flo_trust_text(next, &text);
    assert_int_equal(flo_envelope_parse(text.data, text.bytes, FLO_TYPE_TRUST, &envelope, NULL), 0);
    while (strcmp(envelope.signatures[i].keyid, keyid) != 0) {
        i++;
    }
    if (is_other_s) {
        publisher_other_s(envelope.signatures[i].signature);
    } else {
        envelope.signatures[i].signature[9] ^= 1;
    }
    text.bytes = 0;
    flo_envelope_write(&envelope, &text);
    *rv = flo_trust_parse(text.data, text.bytes, &out, NULL);
    flo_buf_deinit(&text);
    flo_trust_free(next);
    return out;
}

static void test_a_root_key_that_goes_signs_as_strictly(void **state)
{
    struct world *world = *state;
    struct flo_trust *held = second(world, "pab");

    for (int is_other_s = 0; is_other_s < 2; is_other_s++) {
        int rv, wanted = is_other_s ? FLO_E_SIG_FORMAT : FLO_E_SIG_BAD;
        struct flo_trust *draft = next_of(world, held);
        assert_int_equal(flo_trust_drop(draft, id_of(world, ROOT_C), &world->err), 0);
        struct flo_trust *next =
            spoilt(finish(world, held, draft, "abc"), id_of(world, ROOT_C), is_other_s, &rv);
        assert_int_equal(rv, 0);
        assert_int_equal(follows(world, held, next), wanted);
        flo_trust_free(next);
        next = spoilt(finish(world, held, next_of(world, held), "abc"), id_of(world, ROOT_C),
                      is_other_s, &rv);
        assert_int_equal(rv, wanted);
    }
    flo_trust_free(held);
}

static void test_new_root_keys_need_the_old_and_the_new_ones(void **state)
{
    struct world *world = *state;
    struct flo_trust *held = second(world, "pab");
    static const struct {
        const char *signers;
        int wanted;
    } rows[] = {
        {"ab", FLO_E_TRUST_THRESHOLD}, {"ax", FLO_E_TRUST_THRESHOLD}, {"abx", FLO_TRUST_NEXT}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_trust *draft = next_of(world, held);
        assert_int_equal(flo_trust_drop(draft, id_of(world, ROOT_B), &world->err), 0);
        assert_int_equal(flo_trust_drop(draft, id_of(world, ROOT_C), &world->err), 0);
        add(world, draft, OTHER, FLO_ROLE_ROOT);
        struct flo_trust *next = finish(world, held, draft, rows[i].signers);
        assert_int_equal(follows(world, held, next), rows[i].wanted);
        flo_trust_free(next);
    }
    flo_trust_free(held);
}

static void test_the_number_moves_by_one(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *three = finish(world, two, next_of(world, two), "ab");
    struct flo_trust *four = finish(world, three, next_of(world, three), "bc");

    assert_int_equal(follows(world, two, four), FLO_TRUST_GAP);
    assert_int_equal(follows(world, two, three), FLO_TRUST_NEXT);
    assert_int_equal(follows(world, three, four), FLO_TRUST_NEXT);
    assert_int_equal(follows(world, four, two), FLO_TRUST_OLDER);
    assert_int_equal(follows(world, four, three), FLO_TRUST_OLDER);
    assert_int_equal(follows(world, four, world->list), FLO_TRUST_OLDER);
    flo_trust_free(two);
    flo_trust_free(three);
    flo_trust_free(four);
}

static void test_one_number_with_two_bodies_is_told(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *one = finish(world, two, next_of(world, two), "ab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_trust *other;

    assert_int_equal(flo_trust_raise_floor(draft, "tiny", 7, &world->err), 0);
    other = finish(world, two, draft, "ab");
    assert_int_equal(follows(world, one, other), FLO_E_META_EQUIVOCATION);
    flo_trust_free(two);
    flo_trust_free(one);
    flo_trust_free(other);
}

static void test_another_fleets_statement_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *other = flo_trust_new("other");

    assert_int_equal(follows(world, other, two), FLO_E_META_FLEET);
    flo_trust_free(two);
    flo_trust_free(other);
}

/* ---- epochs ---- */

static void test_a_lost_order_key_begins_an_epoch(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_trust *three;

    assert_int_equal(flo_trust_revoke_key(draft, id_of(world, ORDER), &world->err), 0);
    add(world, draft, OTHER, FLO_ROLE_ORDER);
    three = finish(world, two, draft, "ab");
    assert_int_equal(flo_trust_epoch(three), 2);
    assert_int_equal(follows(world, two, three), FLO_TRUST_NEXT);
    assert_true(flo_trust_is_key_revoked(three, id_of(world, ORDER)));
    flo_trust_free(two);
    flo_trust_free(three);
}

static void test_a_second_order_key_changes_no_epoch(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_trust *three;

    add(world, draft, OTHER, FLO_ROLE_ORDER);
    three = finish(world, two, draft, "ab");
    assert_int_equal(flo_trust_epoch(three), 1);
    assert_int_equal(follows(world, two, three), FLO_TRUST_NEXT);
    flo_trust_free(two);
    flo_trust_free(three);
}

/* A statement with one text of its body changed; signed by a and b. */
static struct flo_trust *changed(struct world *world, const struct flo_trust *held,
                                 struct flo_trust *draft, const char *from, const char *to)
{
    struct flo_envelope envelope = {.type = FLO_TYPE_TRUST};
    struct flo_buf text = {0};
    struct flo_buf again = {0};
    struct flo_trust *out = NULL;

    assert_int_equal(flo_trust_draft(draft, held, &text, &world->err), 0);
    assert_int_equal(
        flo_envelope_parse_draft(text.data, text.bytes, FLO_TYPE_TRUST, &envelope, &world->err), 0);
    char *at = strstr(envelope.body, from);
    assert_non_null(at);
    struct flo_buf body = {0};
    flo_buf_add(&body, envelope.body, (size_t)(at - envelope.body));
    flo_buf_text(&body, to);
    flo_buf_text(&body, at + strlen(from));
    free(envelope.body);
    envelope.body = body.data;
    envelope.body_bytes = body.bytes;
    flo_envelope_write(&envelope, &again);
    if (flo_trust_draft_parse(again.data, again.bytes, &out, &world->err) == 0) {
        assert_int_equal(flo_trust_sign(out, world->keys[ROOT_A], NULL), 0);
        assert_int_equal(flo_trust_sign(out, world->keys[ROOT_B], NULL), 0);
    }
    flo_buf_deinit(&text);
    flo_buf_deinit(&again);
    flo_buf_deinit(&body);
    flo_trust_free(draft);
    return out;
}

static void test_an_epoch_that_jumps_or_stays_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *next = changed(world, two, next_of(world, two), "\"epoch\":1", "\"epoch\":3");

    assert_int_equal(follows(world, two, next), FLO_E_TRUST_EPOCH);
    flo_trust_free(next);
    struct flo_trust *draft = next_of(world, two);
    assert_int_equal(flo_trust_drop(draft, id_of(world, EMERGENCY), &world->err), 0);
    next = changed(world, two, draft, "\"epoch\":2", "\"epoch\":1");
    assert_int_equal(follows(world, two, next), FLO_E_TRUST_EPOCH);
    assert_said(world, "takes the emergency key");
    flo_trust_free(next);
    flo_trust_free(two);
}

/* ---- what a body may say ---- */

#define PUBLISHERS(model, needed)                                                                  \
    "\"ca\":[],\"crit_publishers\":[{\"model\":\"" model "\",\"needed\":" #needed "}]"

static void test_a_statement_asks_for_publishers_until_it_ends_it(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);

    add(world, draft, OTHER, FLO_ROLE_RELEASE);
    assert_int_equal(flo_trust_ask_publishers(draft, "tiny*", 2, &world->err), 0);
    struct flo_trust *three = finish(world, two, draft, "ab");
    assert_int_equal(follows(world, two, three), 0);
    assert_int_equal(flo_trust_publishers(three, "tiny-2"), 2);
    assert_int_equal(flo_trust_publishers(three, "other"), 1);

    /* A key that is needed cannot go. */
    struct flo_buf text = {0};
    draft = next_of(world, three);
    assert_int_equal(flo_trust_revoke_key(draft, id_of(world, OTHER), &world->err), 0);
    assert_int_equal(flo_trust_draft(draft, three, &text, &world->err), FLO_E_META_SCHEMA);
    assert_said(world, "1 release keys cannot give 2 signatures");
    assert_int_equal(flo_trust_ask_publishers(draft, "tiny*", 1, &world->err), 0);
    struct flo_trust *four = finish(world, three, draft, "ab");
    assert_int_equal(follows(world, three, four), 0);
    assert_int_equal(flo_trust_publishers(four, "tiny-2"), 1);
    flo_buf_deinit(&text);
    flo_trust_free(four);
    flo_trust_free(three);
    flo_trust_free(two);
}

static void test_a_body_that_breaks_a_rule_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    static const struct {
        const char *from, *to;
        int wanted;
        const char *said;
    } rows[] = {
        {"\"v\":1", "\"v\":2", FLO_E_META_SCHEMA, ""},
        {"\"number\":3", "\"number\":1", FLO_E_META_SCHEMA, ""},
        {"\"number\":3", "\"number\":-3", FLO_E_META_SCHEMA, ""},
        {"\"epoch\":1", "\"epoch\":0", FLO_E_META_SCHEMA, ""},
        {"\"threshold\":2", "\"threshold\":0", FLO_E_META_SCHEMA, ""},
        {"\"threshold\":2", "\"threshold\":4", FLO_E_META_SCHEMA, ""},
        {"\"threshold\":2", "\"threshold\":9", FLO_E_META_SCHEMA, ""},
        {"\"role\":\"order\"", "\"role\":\"root\"", FLO_E_META_SCHEMA, "stand in `root`"},
        {"\"role\":\"order\"", "\"name\":7,\"role\":\"order\"", FLO_E_META_SCHEMA, ""},
        {"\"root\":{", "\"rood\":{", FLO_E_META_SCHEMA, "field `root`"},
        {"\"root\":{\"keys\"", "\"root\":{\"key\"", FLO_E_META_SCHEMA, "field `keys`"},
        {"\"root\":{\"keys\":[", "\"root\":{\"keys\":[7,", FLO_E_META_SCHEMA, "root.keys[0]"},
        {"\"pem\"", "\"pen\"", FLO_E_META_SCHEMA, "keys[0]: field `pem`"},
        {"\"issued_at_ms\":6", "\"issued_at_ms\":\"6\"", FLO_E_META_SCHEMA, ""},
        {"\"revoked\":{\"keys\":[],\"releases\":[]}", "\"revoked\":7", FLO_E_META_SCHEMA, ""},
        {"\"keys\":[],\"releases\":[]", "\"keys\":7", FLO_E_META_SCHEMA, ""},
        {"\"releases\":[]", "\"releases\":7", FLO_E_META_SCHEMA, ""},
        {"\"role\":\"order\"", "\"role\":\"later\"", FLO_E_META_SCHEMA, ""},
        {"\"role\":\"order\"", "\"role\":7", FLO_E_META_SCHEMA, ""},
        {"\"fleet\":\"demo\"", "\"fleet\":\"De mo\"", FLO_E_META_NAME, ""},
        {"\"v\":1", "\"crit_new\":1,\"v\":1", FLO_E_META_SCHEMA, ""},
        {"BEGIN PUBLIC", "BEGIN PUPLIC", FLO_E_SIG_FORMAT, ""},
        {"\"floors\":[]", "\"floors\":[{\"model\":\"a\",\"number\":0}]", FLO_E_META_SCHEMA,
         "floors[0]"},
        {"\"floors\":[]",
         "\"floors\":[{\"model\":\"a\",\"number\":1},{\"model\":\"a\","
         "\"number\":2}]",
         FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", "\"ca\":[],\"crit_publishers\":{}", FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", PUBLISHERS("*", 1), FLO_E_META_SCHEMA, "crit_publishers[0]"},
        {"\"ca\":[]", PUBLISHERS("*", 2), FLO_E_META_SCHEMA, ""}, /* there is one publisher */
        {"\"ca\":[]", PUBLISHERS("*", 5), FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", PUBLISHERS("", 2), FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", PUBLISHERS("a*b", 2), FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", PUBLISHERS("a**", 2), FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", PUBLISHERS("A*", 2), FLO_E_META_SCHEMA, ""},
        {"\"releases\":[]", "\"releases\":[\"sha256:00\"]", FLO_E_META_SCHEMA, ""},
        {"\"keys\":[],\"releases\"", "\"keys\":[\"AB\"],\"releases\"", FLO_E_META_SCHEMA, ""},
        {"\"ca\":[]", "\"ca\":[\"-----BEGIN CERTIFICATE-----\"]", FLO_E_SIG_FORMAT, "ca[0]"},
        {"\"ca\":[]", "\"ca\":[7]", FLO_E_META_SCHEMA, "ca[0]"},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        world->err = (struct flo_err){0};
        struct flo_trust *next = changed(world, two, next_of(world, two), rows[i].from, rows[i].to);
        if (next != NULL || world->err.code != rows[i].wanted) {
            fail_msg("row %zu: %s", i, world->err.what);
        }
        assert_said(world, rows[i].said);
    }
    struct flo_trust *next = changed(world, two, next_of(world, two), "\"revoked\":", "\"later\":");
    assert_int_equal(follows(world, two, next), FLO_TRUST_NEXT);
    flo_trust_free(next);
    flo_trust_free(two);
}

static void test_a_text_above_its_limit_is_not_looked_at(void **state)
{
    struct world *world = *state;
    struct flo_trust *read = NULL;
    char *blanks = malloc(FLO_TRUST_BYTES_MAX + 1);

    memset(blanks, ' ', FLO_TRUST_BYTES_MAX + 1);
    assert_int_equal(flo_trust_draft_parse(blanks, FLO_TRUST_BYTES_MAX, &read, &world->err),
                     FLO_E_META_JSON);
    assert_int_equal(flo_trust_draft_parse(blanks, FLO_TRUST_BYTES_MAX + 1, &read, &world->err),
                     FLO_E_META_TOO_LARGE);
    free(blanks);
}

static void test_a_key_in_two_roles_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    static const enum who twins[] = {ROOT_A, ORDER, PUBLISHER};

    for (size_t i = 0; i < FLO_COUNT(twins); i++) {
        struct flo_buf text = {0};
        struct flo_trust *draft = next_of(world, two);
        add(world, draft, twins[i], FLO_ROLE_EMERGENCY);
        assert_int_equal(flo_trust_draft(draft, two, &text, &world->err), FLO_E_META_SCHEMA);
        assert_said(world, "more than one role");
        flo_buf_deinit(&text);
        flo_trust_free(draft);
    }
    /* and where the writer of the file did not look */
    char quoted[2 * FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_buf pem = {0};
    flo_buf_json_text(&pem, world->pem[ROOT_A], strlen(world->pem[ROOT_A]));
    flo_buf_text(&pem, "");
    snprintf(quoted, sizeof(quoted), "\"keys\":[{\"pem\":\"%.*s\",\"role\":\"order\"},{",
             (int)pem.bytes, (const char *)pem.data);
    world->err = (struct flo_err){0};
    struct flo_trust *next = changed(world, two, next_of(world, two), "\"keys\":[{", quoted);
    assert_null(next);
    assert_said(world, "stands twice; a key has one role");
    flo_buf_deinit(&pem);
    flo_trust_free(two);
}

static void test_a_revoked_key_does_not_come_back(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_buf text = {0};

    assert_int_equal(flo_trust_revoke_key(draft, id_of(world, PUBLISHER), &world->err), 0);
    add(world, draft, PUBLISHER, FLO_ROLE_RELEASE);
    assert_int_equal(flo_trust_draft(draft, two, &text, &world->err), FLO_E_META_SCHEMA);
    assert_said(world, "trusted and revoked");
    flo_buf_deinit(&text);
    flo_trust_free(draft);
    flo_trust_free(two);
}

static void test_a_statement_without_an_order_key_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_buf text = {0};

    assert_int_equal(flo_trust_drop(draft, id_of(world, ORDER), &world->err), 0);
    assert_int_equal(flo_trust_draft(draft, two, &text, &world->err), FLO_E_META_SCHEMA);
    assert_said(world, "nobody could steer");
    flo_buf_deinit(&text);
    flo_trust_free(draft);
    flo_trust_free(two);
}

static void test_a_full_statement_fits_one_message(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_trust *next;
    struct flo_buf text = {0};
    char keyid[FLO_KEYID_TEXT];
    char model[FLO_NAME_MAX + 1];

    for (unsigned i = 0; i < 2 * FLO_TRUST_REVOKED_MAX; i++) { /* each one twice */
        struct flo_digest release = {.bytes = {1, (uint8_t)(i / 2)}};
        snprintf(keyid, sizeof(keyid), "%064x", i / 2 + 1);
        assert_int_equal(flo_trust_revoke_key(draft, keyid, &world->err), 0);
        assert_int_equal(flo_trust_revoke_release(draft, &release, &world->err), 0);
    }
    struct flo_digest other = {.bytes = {2}};
    assert_int_equal(flo_trust_revoke_key(draft, id_of(world, OTHER), &world->err),
                     FLO_E_META_SCHEMA);
    assert_int_equal(flo_trust_revoke_key(draft, "AB", &world->err), FLO_E_USAGE);
    assert_int_equal(flo_trust_revoke_release(draft, &other, &world->err), FLO_E_META_SCHEMA);
    for (unsigned i = 0; i <= FLO_TRUST_FLOORS_MAX; i++) {
        snprintf(model, sizeof(model), "m-%060u", i);
        assert_int_equal(flo_trust_raise_floor(draft, model, INT64_MAX, &world->err),
                         i < FLO_TRUST_FLOORS_MAX ? 0 : FLO_E_META_SCHEMA);
    }
    add(world, draft, OTHER, FLO_ROLE_RELEASE);
    for (unsigned i = 0; i <= FLO_TRUST_PUBLISHERS_MAX; i++) {
        snprintf(model, sizeof(model), "p-%060u*", i);
        assert_int_equal(flo_trust_ask_publishers(draft, model, 2, &world->err),
                         i < FLO_TRUST_PUBLISHERS_MAX ? 0 : FLO_E_META_SCHEMA);
    }
    next = finish(world, two, draft, "abc");
    assert_true(flo_trust_has_signed(next, id_of(world, ROOT_C)));
    assert_false(flo_trust_has_signed(next, id_of(world, OTHER)));
    flo_trust_text(next, &text);
    assert_true(text.bytes <= FLO_TRUST_BYTES_MAX);
    assert_int_equal(follows(world, two, next), FLO_TRUST_NEXT);
    flo_buf_deinit(&text);
    flo_trust_free(next);
    flo_trust_free(two);
}

static void test_a_list_has_places_for_its_most_keys(void **state)
{
    struct world *world = *state;
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_trust_key found;

    assert_true(flo_trust_key_with(world->list, FLO_ROLE_ORDER, &found));
    assert_string_equal(found.keyid, id_of(world, ORDER));
    assert_false(flo_trust_key_with(world->list, FLO_ROLE_EMERGENCY, &found));
    while (flo_trust_count(world->list) < FLO_TRUST_KEYS_MAX) {
        struct flo_key *key = NULL;
        assert_int_equal(flo_key_generate(&key, NULL), 0);
        flo_public_key_pem(flo_key_public(key), pem);
        assert_int_equal(flo_trust_add(world->list, pem, FLO_ROLE_RELEASE, NULL, NULL), 0);
        flo_key_free(key);
    }
    assert_int_equal(flo_trust_add(world->list, pem, FLO_ROLE_ORDER, NULL, NULL), 0);
    assert_int_equal(flo_trust_add(world->list, world->pem[OTHER], FLO_ROLE_ORDER, NULL, NULL),
                     FLO_E_META_SCHEMA);
    assert_int_equal(flo_trust_count(world->list), FLO_TRUST_KEYS_MAX);
}

static void test_who_asks_for_publishers_names_models_and_a_number(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *pattern;
        uint64_t needed;
        int wanted;
    } rows[] = {
        {"", 2, FLO_E_META_SCHEMA},
        {"A*", 2, FLO_E_META_SCHEMA},
        {"a*b", 2, FLO_E_META_SCHEMA},
        {"a", 0, FLO_E_META_SCHEMA},
        {"a", FLO_TRUST_THRESHOLD_MAX + 1, FLO_E_META_SCHEMA},
        {"a123456789b123456789c123456789d123456789e123456789f123456789g1234", 2, FLO_E_META_SCHEMA},
        {"a123456789b123456789c123456789d123456789e123456789f123456789g123*", 2, 0},
        {"a", FLO_TRUST_THRESHOLD_MAX, 0}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        int rv = flo_trust_ask_publishers(world->list, rows[i].pattern, rows[i].needed, NULL);
        if (rv != rows[i].wanted) {
            fail_msg("row %zu: %s", i, flo_error_id(rv));
        }
    }
}

static void test_a_statement_names_four_authorities(void **state)
{
    struct world *world = *state;
    struct flo_certificate_spec spec = {.common_name = "fleet demo", .days = 10};
    struct flo_buf authority = {0}, leaf = {0};

    assert_int_equal(flo_authority_make(world->keys[OTHER], &spec, &authority, &world->err), 0);
    assert_int_equal(flo_certificate_issue_for(world->keys[OTHER], authority.data, authority.bytes,
                                               flo_key_public(world->keys[ORDER]), &spec, &leaf,
                                               &world->err),
                     0);
    assert_int_equal(flo_trust_add_ca(world->list, leaf.data, &world->err), FLO_E_META_SCHEMA);
    for (size_t i = 0; i <= FLO_TRUST_CA_MAX; i++) {
        assert_int_equal(flo_trust_add_ca(world->list, authority.data, &world->err),
                         i < FLO_TRUST_CA_MAX ? 0 : FLO_E_META_SCHEMA);
    }
    assert_int_equal(flo_trust_ca_count(world->list), FLO_TRUST_CA_MAX);
    struct flo_trust *two = second(world, "pab");
    assert_string_equal(flo_trust_ca(two, FLO_TRUST_CA_MAX - 1), authority.data);
    assert_null(flo_trust_ca(two, FLO_TRUST_CA_MAX));
    json_t *json = flo_trust_object(two);
    assert_int_equal(json_array_size(json_object_get(json, "authorities")), FLO_TRUST_CA_MAX);
    json_decref(json);
    flo_trust_free(two);
    flo_buf_deinit(&authority);
    flo_buf_deinit(&leaf);
}

/* ---- releases ---- */

static const char *const release_body =
    "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.0.0\","
    "\"number\":2,\"variants\":[{\"name\":\"q4_0\",\"needs\":{},\"files\":["
    "\"model.gguf\"]}],\"files\":[{\"name\":\"model.gguf\",\"role\":\"model\","
    "\"digest\":\"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e730433"
    "62938b9824\",\"bytes\":5,\"get\":[{\"codec\":\"raw\",\"digest\":\"sha256:2"
    "cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\","
    "\"bytes\":5}]}]}";

static void test_a_release_by_a_revoked_key_says_so(void **state)
{
    struct world *world = *state;
    struct flo_trust *two = second(world, "pab");
    struct flo_trust *draft = next_of(world, two);
    struct flo_release_verified *out = calloc(1, sizeof(*out));
    struct flo_buf envelope = {0};
    struct flo_trust *three;

    assert_int_equal(flo_release_sign(release_body, strlen(release_body), world->keys[PUBLISHER],
                                      &envelope, &world->err),
                     0);
    assert_int_equal(flo_release_verify(envelope.data, envelope.bytes, two, out, &world->err), 0);
    struct flo_digest id = out->digest;
    flo_release_verified_deinit(out);
    assert_int_equal(flo_trust_revoke_release(draft, &id, &world->err), 0);
    three = finish(world, two, draft, "ab");
    assert_int_equal(flo_release_verify(envelope.data, envelope.bytes, three, out, &world->err),
                     FLO_E_TARGET_REVOKED);
    draft = next_of(world, three);
    assert_int_equal(flo_trust_revoke_key(draft, id_of(world, PUBLISHER), &world->err), 0);
    struct flo_trust *four = finish(world, three, draft, "ab");
    assert_int_equal(flo_release_verify(envelope.data, envelope.bytes, four, out, &world->err),
                     FLO_E_SIG_REVOKED_KEY);
    assert_said(world, "trust statement 4 revoked");
    /* a root key signs no release */
    flo_buf_deinit(&envelope);
    assert_int_equal(flo_release_sign(release_body, strlen(release_body), world->keys[ROOT_A],
                                      &envelope, &world->err),
                     0);
    assert_int_equal(flo_release_verify(envelope.data, envelope.bytes, two, out, &world->err),
                     FLO_E_SIG_UNKNOWN_KEY);
    flo_buf_deinit(&envelope);
    flo_trust_free(two);
    flo_trust_free(three);
    flo_trust_free(four);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(test_a_release_key_of_the_list_lets_root_keys_in),
        T(test_a_list_without_publishers_is_followed_by_root_keys),
        T(test_the_controller_alone_cannot_name_root_keys),
        T(test_a_first_statement_needs_its_own_root_keys_too),
        T(test_what_was_signed_is_read_back_as_it_was),
        T(test_m_keys_of_the_one_before_must_sign),
        T(test_one_key_that_signs_twice_counts_once),
        T(test_a_signature_that_is_broken_spoils_the_rest),
        T(test_a_root_key_that_goes_signs_as_strictly),
        T(test_new_root_keys_need_the_old_and_the_new_ones),
        T(test_the_number_moves_by_one),
        T(test_one_number_with_two_bodies_is_told),
        T(test_another_fleets_statement_is_refused),
        T(test_a_lost_order_key_begins_an_epoch),
        T(test_a_second_order_key_changes_no_epoch),
        T(test_an_epoch_that_jumps_or_stays_is_refused),
        T(test_a_statement_asks_for_publishers_until_it_ends_it),
        T(test_a_body_that_breaks_a_rule_is_refused),
        T(test_a_text_above_its_limit_is_not_looked_at),
        T(test_a_key_in_two_roles_is_refused),
        T(test_a_revoked_key_does_not_come_back),
        T(test_a_statement_without_an_order_key_is_refused),
        T(test_a_full_statement_fits_one_message),
        T(test_a_list_has_places_for_its_most_keys),
        T(test_who_asks_for_publishers_names_models_and_a_number),
        T(test_a_statement_names_four_authorities),
        T(test_a_release_by_a_revoked_key_says_so),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
