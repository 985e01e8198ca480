/* Who may sign what: releases and orders as envelopes, the trusted keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>
#include <flotilla/newest.h>
#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "publisher.h"

#define BLOB "sha256:" BLOB_HEX
#define BLOB_HEX "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static const char body[] =
    "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.0.0\","
    "\"number\":2,\"future\":{\"kept\":true},\"variants\":[{\"name\":\"q4_0\","
    "\"needs\":{},\"files\":[\"model.gguf\"]}],\"files\":[{\"name\":"
    "\"model.gguf\",\"role\":\"model\",\"digest\":\"" BLOB "\",\"bytes\":5,"
    "\"get\":[{\"codec\":\"raw\",\"digest\":\"" BLOB "\",\"bytes\":5}]}]}";

static const char freeze[] =
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0001\",\"op\":\"freeze\","
    "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":1,\"issued_at_ms\":1,"
    "\"expires_at_ms\":2,\"by\":\"ops\",\"args\":{}}";

static const char pause_order[] =
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-0002\",\"op\":\"pause\","
    "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":2,\"issued_at_ms\":1,"
    "\"expires_at_ms\":2,\"by\":\"ops\",\"args\":{\"rollout\":\"r-0001\"}}";

struct world {
    struct flo_key *release;
    struct flo_key *order;
    struct flo_key *emergency;
    struct flo_key *stranger;
    struct flo_trust *trust;
    struct flo_buf envelope;
    struct flo_err err;
};

static void trust_key(struct flo_trust *trust, const struct flo_key *key, unsigned roles)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_err err = {0};

    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(flo_trust_add(trust, pem, roles, NULL, &err), 0);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_int_equal(flo_key_generate(&world->release, &world->err), 0);
    assert_int_equal(flo_key_generate(&world->order, &world->err), 0);
    assert_int_equal(flo_key_generate(&world->emergency, &world->err), 0);
    assert_int_equal(flo_key_generate(&world->stranger, &world->err), 0);
    world->trust = flo_trust_new("demo");
    trust_key(world->trust, world->release, FLO_ROLE_RELEASE);
    trust_key(world->trust, world->order, FLO_ROLE_ORDER);
    trust_key(world->trust, world->emergency, FLO_ROLE_EMERGENCY);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_key_free(world->release);
    flo_key_free(world->order);
    flo_key_free(world->emergency);
    flo_key_free(world->stranger);
    flo_trust_free(world->trust);
    flo_buf_deinit(&world->envelope);
    free(world);
    return 0;
}

static void sign_release(struct world *world, const struct flo_key *key)
{
    world->envelope.bytes = 0;
    assert_int_equal(flo_release_sign(body, strlen(body), key, &world->envelope, &world->err), 0);
}

static void sign_order(struct world *world, const char *text, const struct flo_key *key)
{
    world->envelope.bytes = 0;
    assert_int_equal(flo_order_sign(text, strlen(text), key, &world->envelope, &world->err), 0);
}

static int verify(struct world *world)
{
    struct flo_release_verified verified = {0};

    memset(&world->err, 0, sizeof world->err);
    int rv = flo_release_verify(world->envelope.data, world->envelope.bytes, world->trust,
                                &verified, &world->err);
    if (rv == 0) {
        flo_release_verified_deinit(&verified);
    }
    return rv;
}

static int verify_order(struct world *world, struct flo_order_verified *out)
{
    memset(&world->err, 0, sizeof world->err);
    return flo_order_verify(world->envelope.data, world->envelope.bytes, world->trust, out,
                            &world->err);
}

/* The envelope with one text in it replaced. */
static void replace(struct world *world, const char *from, const char *to)
{
    struct flo_buf changed = {0};
    char *at = strstr(world->envelope.data, from);

    assert_non_null(at);
    flo_buf_add(&changed, world->envelope.data, (size_t)(at - world->envelope.data));
    flo_buf_text(&changed, to);
    flo_buf_text(&changed, at + strlen(from));
    flo_buf_deinit(&world->envelope);
    world->envelope = changed;
}

/* ---- releases ---- */

static void a_signed_release_is_accepted_and_named_by_its_body(void **state)
{
    struct world *world = *state;
    struct flo_release_verified verified;
    struct flo_digest digest;

    sign_release(world, world->release); /* MD39: `future` is an unknown key */
    assert_int_equal(flo_release_verify(world->envelope.data, world->envelope.bytes, world->trust,
                                        &verified, &world->err),
                     0);
    assert_string_equal(verified.body, body);
    flo_sha256(body, strlen(body), &digest);
    assert_true(flo_digest_equal(&verified.digest, &digest));
    assert_string_equal(verified.keyid, flo_key_public(world->release)->keyid);
    assert_string_equal(verified.release.version, "2.0.0");
    flo_release_verified_deinit(&verified);
}

/* ---- one body, one name ---- */

/* The envelope of one good signature, taken apart. */
static void open_good(struct world *world, struct flo_envelope *out)
{
    sign_release(world, world->release);
    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes,
                                        FLO_TYPE_RELEASE, out, &world->err),
                     0);
}

static void write_again(struct world *world, const struct flo_envelope *parts)
{
    flo_buf_deinit(&world->envelope);
    flo_envelope_write(parts, &world->envelope);
}

static void the_other_s_of_a_signature_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_envelope parts;
    struct flo_buf message = {0};

    open_good(world, &parts);
    publisher_other_s(parts.signatures[0].signature);
    flo_envelope_signed_bytes(parts.type, parts.body, parts.body_bytes, &message);
    assert_int_equal(flo_verify(flo_key_public(world->release), message.data, message.bytes,
                                parts.signatures[0].signature, 64, NULL),
                     0); /* as good as the one that was made */
    write_again(world, &parts);

    assert_int_equal(verify(world), FLO_E_SIG_FORMAT);

    flo_buf_deinit(&message);
    flo_envelope_deinit(&parts);
}

static void blanks_and_other_texts_of_an_envelope_are_refused(void **state)
{
    static const struct {
        const char *from;
        const char *to;
    } rows[] = {
        {"\",\"", "\", \""},
        {"{\"payload\"", " {\"payload\""},
        {"]}", "]} "},
        {"]}", "]}\n"},
        {"]}", "],\"x\":1}"},
        {"{\"payload\"", "{\"a\":\"\",\"payload\""},
        {"vnd.", "vnd\\u002e"},
        {"application/", "application\\/"},
        {"{\"keyid\"", "{\"a\":1,\"keyid\""},
    };
    struct world *world = *state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        sign_release(world, world->release);
        replace(world, rows[i].from, rows[i].to);
        int rv = verify(world);
        if (rv != FLO_E_SIG_FORMAT) {
            fail_msg("row %zu: %s", i, flo_error_id(rv));
        }
    }
}

static void keyids_are_sorted_and_stand_once(void **state)
{
    struct world *world = *state;
    struct flo_envelope parts;

    open_good(world, &parts);
    parts.signatures[1] = parts.signatures[0];
    parts.signature_count = 2;
    write_again(world, &parts);
    assert_int_equal(verify(world), FLO_E_SIG_FORMAT); /* MD09 */

    memset(parts.signatures[1].keyid, '0', 64);
    write_again(world, &parts);
    assert_int_equal(verify(world), FLO_E_SIG_FORMAT);
    flo_envelope_deinit(&parts);
}

static void an_added_signature_gives_no_new_name(void **state)
{
    struct world *world = *state;
    struct flo_release_verified first;
    struct flo_release_verified second;
    struct flo_envelope parts;

    open_good(world, &parts);
    assert_int_equal(flo_release_verify(world->envelope.data, world->envelope.bytes, world->trust,
                                        &first, &world->err),
                     0);
    parts.signatures[1] = parts.signatures[0];
    memset(parts.signatures[1].keyid, 'f', 64);
    parts.signature_count = 2;
    write_again(world, &parts);

    assert_int_equal(flo_release_verify(world->envelope.data, world->envelope.bytes, world->trust,
                                        &second, &world->err),
                     0);

    assert_true(flo_digest_equal(&first.digest, &second.digest));
    flo_release_verified_deinit(&first);
    flo_release_verified_deinit(&second);
    flo_envelope_deinit(&parts);
}

static void a_release_without_a_signature_is_refused(void **state) /* MD02 */
{
    struct world *world = *state;
    struct flo_envelope envelope;

    sign_release(world, world->release);
    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes,
                                        FLO_TYPE_RELEASE, &envelope, &world->err),
                     0);
    envelope.signature_count = 0;
    world->envelope.bytes = 0;
    flo_envelope_write(&envelope, &world->envelope);
    flo_envelope_deinit(&envelope);

    assert_int_equal(verify(world), FLO_E_SIG_MISSING);
}

static void a_strangers_signature_is_refused_and_named(void **state) /* MD03 */
{
    struct world *world = *state;

    sign_release(world, world->stranger);
    assert_int_equal(verify(world), FLO_E_SIG_UNKNOWN_KEY);
    assert_non_null(strstr(world->err.what, flo_key_public(world->stranger)->keyid));
}

static void a_key_of_another_role_may_not_sign_a_release(void **state)
{
    struct world *world = *state;

    sign_release(world, world->order);
    assert_int_equal(verify(world), FLO_E_SIG_UNKNOWN_KEY);
    sign_release(world, world->emergency);
    assert_int_equal(verify(world), FLO_E_SIG_UNKNOWN_KEY);
}

static void one_good_signature_among_strangers_is_enough(void **state)
{
    struct world *world = *state;
    struct flo_envelope first;
    struct flo_envelope second;

    sign_release(world, world->stranger);
    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes,
                                        FLO_TYPE_RELEASE, &first, &world->err),
                     0);
    sign_release(world, world->release);
    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes,
                                        FLO_TYPE_RELEASE, &second, &world->err),
                     0);
    size_t good = strcmp(first.signatures[0].keyid, second.signatures[0].keyid) < 0;
    first.signatures[1 - good] = first.signatures[0];
    first.signatures[good] = second.signatures[0];
    first.signature_count = 2;
    world->envelope.bytes = 0;
    flo_envelope_write(&first, &world->envelope);
    assert_int_equal(verify(world), 0);

    /* but a bad one by a trusted key is not overlooked */
    first.signatures[good].signature[9] ^= 1;
    world->envelope.bytes = 0;
    flo_envelope_write(&first, &world->envelope);
    assert_int_equal(verify(world), FLO_E_SIG_BAD);
    flo_envelope_deinit(&first);
    flo_envelope_deinit(&second);
}

static void every_flipped_bit_of_a_signature_is_refused(void **state)
{
    struct world *world = *state; /* MD05, MD06 */
    struct flo_envelope envelope;

    sign_release(world, world->release);
    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes,
                                        FLO_TYPE_RELEASE, &envelope, &world->err),
                     0);
    for (size_t bit = 0; bit < 512; bit += 7) {
        envelope.signatures[0].signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
        world->envelope.bytes = 0;
        flo_envelope_write(&envelope, &world->envelope);
        assert_int_equal(verify(world), FLO_E_SIG_BAD);
        envelope.signatures[0].signature[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t half = 0; half < 64; half += 32) { /* r = 0, then s = 0 */
        uint8_t kept[32];
        memcpy(kept, envelope.signatures[0].signature + half, 32);
        memset(envelope.signatures[0].signature + half, 0, 32);
        world->envelope.bytes = 0;
        flo_envelope_write(&envelope, &world->envelope);
        assert_int_equal(verify(world), FLO_E_SIG_BAD);
        memcpy(envelope.signatures[0].signature + half, kept, 32);
    }
    flo_envelope_deinit(&envelope);
}

static void every_changed_letter_of_an_envelope_is_refused(void **state)
{
    struct world *world = *state;

    sign_release(world, world->release);
    assert_int_equal(verify(world), 0);
    for (size_t i = 0; i < world->envelope.bytes; i++) {
        char kept = world->envelope.data[i];
        world->envelope.data[i] = kept == 'A' ? 'B' : 'A';
        int rv = verify(world);
        if (rv == 0) {
            print_message("letter %zu '%c'\n", i, kept);
        }
        assert_true(rv < 0);
        world->envelope.data[i] = kept;
    }
}

static void every_cut_of_an_envelope_is_refused(void **state)
{
    struct world *world = *state;

    sign_release(world, world->release);
    size_t whole = world->envelope.bytes;
    for (size_t bytes = 0; bytes < whole; bytes++) {
        world->envelope.bytes = bytes;
        assert_int_equal(verify(world), FLO_E_META_JSON);
    }
    world->envelope.bytes = whole;
    flo_buf_text(&world->envelope, "x"); /* MD38 */
    assert_int_equal(verify(world), FLO_E_META_JSON);
}

static void a_signature_that_is_too_long_is_refused_by_its_form(void **state)
{
    struct world *world = *state; /* MD08 */
    char *long_text = malloc(70000);

    sign_release(world, world->release);
    memset(long_text, 'A', 69999);
    memcpy(long_text, "\"sig\":\"", 7);
    long_text[69999] = '\0';
    replace(world, "\"sig\":\"", long_text);
    assert_int_equal(verify(world), FLO_E_SIG_FORMAT);
    free(long_text);
}

static void nine_signatures_are_refused(void **state)
{
    struct world *world = *state;

    sign_release(world, world->release);
    char *entry = strdup(strstr(world->envelope.data, "{\"keyid\""));
    *strstr(entry, "]}") = '\0';
    struct flo_buf many = {0};
    for (int i = 0; i < 8; i++) {
        flo_buf_printf(&many, "%s,", entry);
    }
    flo_buf_text(&many, "{\"keyid\"");
    replace(world, "{\"keyid\"", many.data);
    assert_true(verify(world) < 0);
    flo_buf_deinit(&many);
    free(entry);
}

static void an_order_is_no_release(void **state) /* MD15 */
{
    struct world *world = *state;

    sign_order(world, freeze, world->order);
    assert_int_equal(verify(world), FLO_E_META_WRONG_TYPE);
    /* not even when its name is painted over: the type is signed */
    trust_key(world->trust, world->order, FLO_ROLE_RELEASE);
    replace(world, "flotilla.order", "flotilla.release");
    assert_int_equal(verify(world), FLO_E_SIG_BAD);
}

static void a_release_for_another_fleet_is_refused(void **state) /* MD44 */
{
    struct world *world = *state;
    struct flo_trust *other = flo_trust_new("demo-b");
    struct flo_release_verified verified;

    trust_key(other, world->release, FLO_ROLE_RELEASE);
    sign_release(world, world->release);
    assert_int_equal(flo_release_verify(world->envelope.data, world->envelope.bytes, other,
                                        &verified, &world->err),
                     FLO_E_META_FLEET);
    flo_trust_free(other);
}

static void what_devices_would_refuse_is_not_signed(void **state)
{
    struct world *world = *state;
    static const char *const bad[] = {"{}", "[]", "{\"v\":1}", "nonsense", ""};

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_true(flo_release_sign(bad[i], strlen(bad[i]), world->release, &world->envelope,
                                     &world->err) < 0);
        assert_true(flo_order_sign(bad[i], strlen(bad[i]), world->order, &world->envelope,
                                   &world->err) < 0);
    }
    assert_int_equal(world->envelope.bytes, 0);
}

/* ---- orders ---- */

static void the_order_key_may_ask_for_everything(void **state)
{
    struct world *world = *state;
    struct flo_order_verified verified;

    sign_order(world, freeze, world->order);
    assert_int_equal(verify_order(world, &verified), 0);
    assert_int_equal(verified.order.op, FLO_ORDER_FREEZE);
    assert_int_equal(verified.role, FLO_ROLE_ORDER);
    sign_order(world, pause_order, world->order);
    assert_int_equal(verify_order(world, &verified), 0);
    assert_string_equal(verified.order.rollout, "r-0001");
}

static const char emergency_freeze[] =
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"e-5\",\"op\":\"freeze\","
    "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":5,\"issued_at_ms\":5,"
    "\"expires_at_ms\":6,\"by\":\"ops\",\"args\":{}}";

static const char allow_order[] =
    "{\"v\":1,\"fleet\":\"demo\",\"id\":\"%s\",\"op\":\"allow\","
    "\"scope\":{\"group\":\"all\"},\"epoch\":1,\"seq\":5,\"issued_at_ms\":5,"
    "\"expires_at_ms\":6,\"by\":\"ops\",\"args\":{\"model\":\"tiny\",\"from\":"
    "[\"" BLOB "\"]}}";

static void the_emergency_key_may_stop_but_not_steer(void **state)
{
    struct world *world = *state;
    struct flo_order_verified verified;

    sign_order(world, emergency_freeze, world->emergency);
    assert_int_equal(verify_order(world, &verified), 0);
    assert_int_equal(verified.role, FLO_ROLE_EMERGENCY);
    assert_true(verified.order.is_emergency);
    sign_order(world, pause_order, world->emergency);
    assert_int_equal(verify_order(world, &verified), FLO_E_SIG_UNKNOWN_KEY);
}

static void an_order_of_one_lane_cannot_be_taken_for_the_others(void **state)
{
    struct world *world = *state;
    struct flo_order_verified verified;
    char text[1024];

    sign_order(world, freeze, world->emergency); /* o-0001 */
    assert_int_equal(verify_order(world, &verified), FLO_E_CMD_FORMAT);
    sign_order(world, emergency_freeze, world->order); /* e-5 */
    assert_int_equal(verify_order(world, &verified), FLO_E_CMD_FORMAT);
    snprintf(text, sizeof(text), allow_order, "o-5");
    sign_order(world, text, world->order);
    assert_int_equal(verify_order(world, &verified), FLO_E_SIG_UNKNOWN_KEY);
    snprintf(text, sizeof(text), allow_order, "e-5");
    sign_order(world, text, world->emergency);
    assert_int_equal(verify_order(world, &verified), 0);
    assert_int_equal(verified.order.from_count, 1);
}

static void an_emergency_orders_number_is_its_time(void **state)
{
    struct world *world = *state;
    struct flo_order_verified verified;
    char text[512];
    char *at;

    memcpy(text, emergency_freeze, sizeof(emergency_freeze));
    at = strstr(text, "\"seq\":5");
    at[6] = '6';
    sign_order(world, text, world->emergency);
    assert_int_equal(verify_order(world, &verified), FLO_E_CMD_FORMAT);
    assert_non_null(strstr(world->err.what, "is not its time"));
}

static void an_order_that_is_no_order_names_its_signer(void **state)
{
    struct world *world = *state;
    struct flo_order_verified verified = {0};
    struct flo_trust *other = flo_trust_new("demo-b");

    trust_key(other, world->order, FLO_ROLE_ORDER);
    sign_order(world, freeze, world->order);
    assert_int_equal(flo_order_verify(world->envelope.data, world->envelope.bytes, other, &verified,
                                      &world->err),
                     FLO_E_META_FLEET);
    assert_string_equal(verified.keyid, ""); /* nothing was written */
    flo_trust_free(other);
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};
    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes, FLO_TYPE_ORDER,
                                        &envelope, &world->err),
                     0);
    char *op = strstr(envelope.body, "\"op\":\"");
    assert_non_null(op);
    op[6] = 'X'; /* no operation of this version */
    assert_int_equal(flo_envelope_sign(&envelope, world->order, &world->err), 0);
    world->envelope.bytes = 0;
    flo_envelope_write(&envelope, &world->envelope);
    assert_int_equal(verify_order(world, &verified), FLO_E_CMD_FORMAT);
    assert_string_equal(verified.keyid, flo_key_public(world->order)->keyid);
    assert_string_equal(verified.order.id, "o-0001");
}

static void a_release_key_may_not_give_orders(void **state)
{
    struct world *world = *state;
    struct flo_order_verified verified;

    sign_order(world, freeze, world->release);
    assert_int_equal(verify_order(world, &verified), FLO_E_SIG_UNKNOWN_KEY);
    sign_release(world, world->release);
    assert_int_equal(verify_order(world, &verified), FLO_E_META_WRONG_TYPE);
}

/* ---- trust ---- */

static void trust_reads_back_as_it_was_written(void **state)
{
    struct world *world = *state;
    struct flo_buf json = {0};
    struct flo_buf again = {0};
    struct flo_trust *read = NULL;

    trust_key(world->trust, world->order, FLO_ROLE_EMERGENCY); /* gains one */
    assert_int_equal(flo_trust_count(world->trust), 3);
    flo_trust_text(world->trust, &json);
    assert_int_equal(flo_trust_parse(json.data, json.bytes, &read, &world->err), 0);
    assert_string_equal(flo_trust_fleet(read), "demo");
    flo_trust_text(read, &again);
    assert_string_equal(json.data, again.data);
    flo_trust_free(read);
    flo_buf_deinit(&json);
    flo_buf_deinit(&again);
}

static void other_keys_for_orders_are_another_digest(void **state)
{
    struct world *world = *state;
    struct flo_trust *other = flo_trust_new("demo");
    struct flo_digest digest;
    struct flo_digest others;

    flo_trust_order_keys(world->trust, &digest);
    trust_key(other, world->emergency, FLO_ROLE_EMERGENCY);
    flo_trust_order_keys(other, &others);
    assert_false(flo_digest_equal(&digest, &others));
    trust_key(other, world->order, FLO_ROLE_ORDER);
    flo_trust_order_keys(other, &others);
    assert_true(flo_digest_equal(&digest, &others));
    trust_key(other, world->stranger, FLO_ROLE_RELEASE);
    flo_trust_order_keys(other, &others);
    assert_true(flo_digest_equal(&digest, &others));
    trust_key(other, world->stranger, FLO_ROLE_ORDER);
    flo_trust_order_keys(other, &others);
    assert_false(flo_digest_equal(&digest, &others));
    flo_trust_free(other);
}

#define KEY(members) "{\"v\":1,\"fleet\":\"demo\",\"keys\":[{" members "}]}"

static void bad_trust_files_are_refused(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *json;
        int code;
    } rows[] = {
        {"", FLO_E_META_JSON},
        {"{\"v\":1,\"fleet\":\"demo\"}", FLO_E_META_SCHEMA},
        {"{\"v\":2,\"fleet\":\"demo\",\"keys\":[]}", FLO_E_META_SCHEMA},
        {"{\"v\":1,\"fleet\":\"../x\",\"keys\":[]}", FLO_E_META_NAME},
        {"{\"v\":1,\"fleet\":\"demo\",\"keys\":[7]}", FLO_E_META_SCHEMA},
        {KEY("\"roles\":[]"), FLO_E_META_SCHEMA},
        {KEY("\"pem\":\"x\""), FLO_E_META_SCHEMA},
        {KEY("\"pem\":\"x\",\"roles\":[7]"), FLO_E_META_SCHEMA},
        {KEY("\"pem\":\"x\",\"roles\":[],\"keyid\":7"), FLO_E_META_SCHEMA},
        {KEY("\"pem\":\"x\",\"roles\":[],\"keyid\":\"y\""), FLO_E_SIG_FORMAT},
        {KEY("\"pem\":\"x\",\"roles\":[]"), FLO_E_SIG_FORMAT},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_trust *trust = NULL;
        int rv = flo_trust_parse(rows[i].json, strlen(rows[i].json), &trust, &world->err);
        assert_int_equal(rv, rows[i].code);
        assert_null(trust);
    }
    struct flo_trust *trust = NULL;
    assert_int_equal(flo_trust_load("/nowhere/trust.json", &trust, &world->err), FLO_E_ABSENT);
}

static void nobody_trusted_means_nothing_accepted(void **state)
{
    struct world *world = *state;
    struct flo_trust *nobody = flo_trust_new("demo");
    struct flo_release_verified verified;

    sign_release(world, world->release);
    assert_int_equal(flo_release_verify(world->envelope.data, world->envelope.bytes, nobody,
                                        &verified, &world->err),
                     FLO_E_SIG_UNKNOWN_KEY);
    flo_trust_free(nobody);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static int parse_list(const struct world *world, const char *head, const char *in_key)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_buf text = {0};
    struct flo_trust *trust = NULL;

    flo_public_key_pem(flo_key_public(world->release), pem);
    flo_buf_printf(&text, "{\"v\":1,\"fleet\":\"demo\"%s,\"keys\":[{\"pem\":\"", head);
    flo_buf_json_text(&text, pem, strlen(pem));
    flo_buf_printf(&text, "\",\"roles\":[\"release\"]%s}]}", in_key);
    int rv = flo_trust_parse(text.data, text.bytes, &trust, NULL);
    flo_trust_free(trust);
    flo_buf_deinit(&text);
    return rv;
}

static void a_list_of_keys_that_asks_for_more_is_refused(void **state)
{
    static const char *const bad[] = {
        ",\"threshold\":0",   ",\"threshold\":2",     ",\"threshold\":-1",
        ",\"threshold\":1.5", ",\"threshold\":\"1\"", ",\"threshold\":18446744073709551616",
        ",\"crit_roles\":{}", ",\"epoch\":0",         ",\"epoch\":4294967296",
    }; /* MD12, MD14 */
    const struct world *world = *state;
    char named[128];

    assert_int_equal(parse_list(world, "", ""), 0);
    assert_int_equal(parse_list(world, ",\"threshold\":1", ""), 0);
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        int rv = parse_list(world, bad[i], "");
        if (rv != FLO_E_META_SCHEMA) {
            fail_msg("%s: %s", bad[i], flo_error_id(rv));
        }
    }
    snprintf(named, sizeof(named), ",\"keyid\":\"%s\"", flo_key_public(world->release)->keyid);
    assert_int_equal(parse_list(world, "", named), 0);
    snprintf(named, sizeof(named), ",\"keyid\":\"%s\"", flo_key_public(world->order)->keyid);
    assert_int_equal(parse_list(world, "", named), FLO_E_META_KEYID); /* MD11 */
}

/* Adds a signature to the envelope. */
static void sign_too(struct world *world, const struct flo_key *key)
{
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};

    assert_int_equal(flo_envelope_parse(world->envelope.data, world->envelope.bytes,
                                        FLO_TYPE_RELEASE, &envelope, &world->err),
                     0);
    assert_int_equal(flo_envelope_sign(&envelope, key, &world->err), 0);
    world->envelope.bytes = 0;
    flo_envelope_write(&envelope, &world->envelope);
}

static void an_envelope_has_places_for_its_most_signatures(void **state)
{
    struct world *world = *state;
    FLO_CLEANUP(flo_envelope_deinit) struct flo_envelope envelope = {0};

    open_good(world, &envelope);
    for (size_t i = 1; i <= FLO_SIGNATURES_MAX; i++) {
        struct flo_key *key = NULL;
        assert_int_equal(flo_key_generate(&key, NULL), 0);
        assert_int_equal(flo_envelope_sign(&envelope, key, &world->err),
                         i < FLO_SIGNATURES_MAX ? 0 : FLO_E_SIG_FORMAT);
        flo_key_free(key);
    }
    assert_int_equal(envelope.signature_count, FLO_SIGNATURES_MAX);
    assert_int_equal(flo_envelope_sign(&envelope, world->release, &world->err), 0); /* again */
}

static void one_publisher_of_two_changes_nothing(void **state)
{
    static const char *const about[] = {"tiny", "t*", "*"}, *const elsewhere[] = {"tin", "tiny2*"};
    struct world *world = *state;
    struct flo_release_verified verified = {0};

    trust_key(world->trust, world->stranger, FLO_ROLE_RELEASE);
    for (size_t i = 0; i < FLO_COUNT(about); i++) {
        assert_int_equal(flo_trust_ask_publishers(world->trust, about[i], 2, &world->err), 0);
        sign_release(world, world->release);
        assert_int_equal(verify(world), FLO_E_TRUST_PUBLISHERS);
        assert_non_null(strstr(world->err.what, "1 of 2 publishers"));
        sign_too(world, world->release); /* the same one again */
        sign_too(world, world->order);   /* no publisher */
        assert_int_equal(verify(world), FLO_E_TRUST_PUBLISHERS);
        assert_int_equal(flo_release_verify_draft(world->envelope.data, world->envelope.bytes,
                                                  world->trust, &verified, &world->err),
                         0);
        assert_int_equal(verified.publishers, 1);
        flo_release_verified_deinit(&verified);
        sign_too(world, world->stranger);
        assert_int_equal(verify(world), 0);
        assert_int_equal(flo_trust_ask_publishers(world->trust, about[i], 1, &world->err), 0);
    }
    sign_release(world, world->release);
    for (size_t i = 0; i < FLO_COUNT(elsewhere); i++) {
        assert_int_equal(flo_trust_ask_publishers(world->trust, elsewhere[i], 4, &world->err), 0);
    }
    assert_int_equal(verify(world), 0);
    assert_int_equal(flo_trust_ask_publishers(world->trust, "tiny", 3, &world->err), 0);
    assert_int_equal(flo_trust_ask_publishers(world->trust, "*", 2, &world->err), 0);
    sign_too(world, world->stranger);
    assert_int_equal(verify(world), FLO_E_TRUST_PUBLISHERS); /* the most of those that fit */
}

static void a_critical_field_that_nobody_knows_is_refused(void **state)
{
    static const char *const places[] = {"{\"v\":1", "{\"kept\":true", "{\"codec\":\"raw\""};
    struct world *world = *state; /* DV15 */

    for (size_t i = 0; i < FLO_COUNT(places); i++) {
        struct flo_buf changed = {0};
        struct flo_release release = {0};
        const char *at = strstr(body, places[i]);
        assert_non_null(at);
        flo_buf_add(&changed, body, (size_t)(at - body));
        flo_buf_text(&changed, "{\"crit_licence\":1,");
        flo_buf_text(&changed, at + 1);
        assert_int_equal(
            flo_release_parse(changed.data, changed.bytes, NULL, &release, &world->err),
            FLO_E_META_SCHEMA);
        assert_non_null(strstr(world->err.what, "crit_licence"));
        flo_buf_deinit(&changed);
    }
}

static int verify_newest(struct world *world, const char *fleet, const struct flo_key *key)
{
    struct flo_newest newest = {.number = 7, .issued_at_ms = 7, .expires_at_ms = 9};
    struct flo_newest read;

    snprintf(newest.fleet, sizeof(newest.fleet), "%s", fleet);
    flo_buf_deinit(&world->envelope);
    world->envelope = (struct flo_buf){0};
    assert_int_equal(flo_newest_sign(&newest, key, &world->envelope, &world->err), 0);
    return flo_newest_verify(world->envelope.data, world->envelope.bytes, world->trust, &read,
                             &world->err);
}

static void an_order_key_alone_signs_newest_statements(void **state)
{
    struct world *world = *state;

    assert_int_equal(verify_newest(world, "demo", world->order), 0);
    assert_int_equal(verify_newest(world, "other", world->order), FLO_E_META_FLEET);
    assert_int_equal(verify_newest(world, "demo", world->release), FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(verify_newest(world, "demo", world->emergency), FLO_E_SIG_UNKNOWN_KEY);
    assert_int_equal(verify_newest(world, "demo", world->stranger), FLO_E_SIG_UNKNOWN_KEY);
    sign_order(world, freeze, world->order);
    assert_int_equal(flo_newest_verify(world->envelope.data, world->envelope.bytes, world->trust,
                                       &(struct flo_newest){.number = 0}, &world->err),
                     FLO_E_META_WRONG_TYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(an_order_key_alone_signs_newest_statements),
        in_world(a_signed_release_is_accepted_and_named_by_its_body),
        in_world(the_other_s_of_a_signature_is_refused),
        in_world(blanks_and_other_texts_of_an_envelope_are_refused),
        in_world(keyids_are_sorted_and_stand_once),
        in_world(an_added_signature_gives_no_new_name),
        in_world(a_release_without_a_signature_is_refused),
        in_world(a_strangers_signature_is_refused_and_named),
        in_world(a_key_of_another_role_may_not_sign_a_release),
        in_world(one_good_signature_among_strangers_is_enough),
        in_world(every_flipped_bit_of_a_signature_is_refused),
        in_world(every_changed_letter_of_an_envelope_is_refused),
        in_world(every_cut_of_an_envelope_is_refused),
        in_world(a_signature_that_is_too_long_is_refused_by_its_form),
        in_world(nine_signatures_are_refused),
        in_world(a_list_of_keys_that_asks_for_more_is_refused),
        in_world(an_envelope_has_places_for_its_most_signatures),
        in_world(one_publisher_of_two_changes_nothing),
        in_world(a_critical_field_that_nobody_knows_is_refused),
        in_world(an_order_is_no_release),
        in_world(a_release_for_another_fleet_is_refused),
        in_world(what_devices_would_refuse_is_not_signed),
        in_world(the_order_key_may_ask_for_everything),
        in_world(the_emergency_key_may_stop_but_not_steer),
        in_world(an_order_of_one_lane_cannot_be_taken_for_the_others),
        in_world(an_emergency_orders_number_is_its_time),
        in_world(an_order_that_is_no_order_names_its_signer),
        in_world(a_release_key_may_not_give_orders),
        in_world(trust_reads_back_as_it_was_written),
        in_world(other_keys_for_orders_are_another_digest),
        in_world(bad_trust_files_are_refused),
        in_world(nobody_trusted_means_nothing_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
