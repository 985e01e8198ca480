/* Proofs of a device's messages: made, found, and everything that is changed in
 * one is seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/proof.h"

#define TOPIC "flotilla/v1/demo/d/0d9bc3c6-40d2-4f3b-8f2a-7a4a3c0f8f10/event"
static const char message[] = "{\"v\":1,\"seq\":7}";

static struct flo_proof_key device_side, controller_side;

static int set_up(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *device = NULL;
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *controller = NULL;
    struct flo_err err = {0};
    (void)state;

    return flo_key_generate(&device, &err) < 0 || flo_key_generate(&controller, &err) < 0 ||
           flo_proof_key_device(device, flo_key_public(controller), &device_side, &err) < 0 ||
           flo_proof_key_controller(controller, flo_key_public(device), &controller_side, &err) < 0;
}

static bool holds(const char *topic, const char *text, size_t bytes)
{
    struct flo_proof proof;

    return flo_proof_find(text, bytes, &proof) &&
           flo_proof_holds(&proof, &controller_side, topic, text);
}

static void both_ends_make_the_same_proof(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_proof proof;
    (void)state;

    assert_memory_equal(device_side.secret, controller_side.secret, sizeof(device_side.secret));
    flo_proof_add(&device_side, TOPIC, 0x123456789a, message, strlen(message), &text);
    assert_int_equal(text.bytes, strlen(message) + FLO_PROOF_BYTES);
    assert_true(flo_proof_find(text.data, text.bytes, &proof));
    assert_true(flo_proof_holds(&proof, &controller_side, TOPIC, text.data));
    assert_true(proof.number == 0x123456789a);
    assert_int_equal(proof.before, strlen(message) - 1);
}

static void a_change_of_any_byte_is_seen(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    (void)state;

    flo_proof_add(&device_side, TOPIC, 5, message, strlen(message), &text);
    for (size_t i = 0; i < text.bytes; i++) {
        text.data[i] ^= 1;
        assert_false(holds(TOPIC, text.data, text.bytes));
        text.data[i] ^= 1;
    }
    assert_true(holds(TOPIC, text.data, text.bytes));
}

static void a_proof_holds_on_its_own_topic_alone(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    (void)state;

    flo_proof_add(&device_side, TOPIC, 5, message, strlen(message), &text);
    assert_false(holds(TOPIC "s", text.data, text.bytes));
    assert_false(holds("flotilla/v1/demo/d/other/event", text.data, text.bytes));
}

static void a_message_without_a_proof_has_none(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_proof proof;
    (void)state;

    assert_false(flo_proof_find(message, strlen(message), &proof));
    assert_false(flo_proof_find("", 0, &proof));
    flo_proof_add(&device_side, TOPIC, 5, message, strlen(message), &text);
    for (size_t bytes = 0; bytes < text.bytes; bytes++) {
        assert_false(flo_proof_find(text.data, bytes, &proof));
    }
    for (size_t from = 1; from < text.bytes; from++) {
        struct flo_proof rest;
        /* The end alone is a proof of other words. */
        assert_false(flo_proof_find(text.data + from, text.bytes - from, &rest) &&
                     flo_proof_holds(&rest, &controller_side, TOPIC, text.data + from));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_make_the_same_proof),
        cmocka_unit_test(a_change_of_any_byte_is_seen),
        cmocka_unit_test(a_proof_holds_on_its_own_topic_alone),
        cmocka_unit_test(a_message_without_a_proof_has_none),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
