/* Slots and the device record as pure steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/updater.h>

static struct flo_digest release_of(uint8_t n)
{
    struct flo_digest digest;

    memset(digest.bytes, n, sizeof(digest.bytes));
    return digest;
}

#define assert_slot(slot, n)                                                   \
    do {                                                                       \
        struct flo_digest want = release_of(n);                                \
        assert_true(flo_digest_equal(&(slot), &want));                         \
    } while (0)

static struct flo_slots serving(uint8_t current, uint8_t previous)
{
    struct flo_slots slots = {.model = "tiny", .generation = 5};

    slots.current = release_of(current);
    slots.previous = release_of(previous);
    return slots;
}

static struct flo_slots on_trial(uint8_t current, uint8_t previous,
                                 uint8_t candidate, uint32_t tries)
{
    struct flo_slots slots = serving(current, previous);
    struct flo_slots execution = {
        .attempt = 2, .soak_ms = 900000, .rollout = "r-0001"};
    struct flo_digest digest = release_of(candidate);
    struct flo_err err = {0};

    assert_int_equal(flo_slots_stage(&slots, &digest, &execution, &err), 0);
    assert_int_equal(flo_slots_begin_trial(&slots, tries, &err), 0);
    return slots;
}

static void activating_does_not_rotate_and_commit_does(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 9, 2, 3);
    struct flo_digest serves = flo_slots_serving(&slots);
    struct flo_err err = {0};

    assert_slot(serves, 2);
    assert_slot(slots.current, 1);
    assert_slot(slots.previous, 9);
    assert_string_equal(slots.rollout, "r-0001");
    assert_int_equal(slots.attempt, 2);

    assert_int_equal(flo_slots_commit(&slots, &err), 0);

    assert_slot(slots.current, 2);
    assert_slot(slots.previous, 1);
    assert_slot(slots.candidate, 0);
    assert_int_equal(slots.phase, FLO_SLOT_IDLE);
    assert_string_equal(slots.rollout, "");
    assert_int_equal(slots.generation, 5);
}

static void a_failed_soak_clears_the_candidate_and_nothing_else(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 9, 2, 3);

    flo_slots_clear_candidate(&slots);

    struct flo_digest serves = flo_slots_serving(&slots);
    assert_slot(serves, 1);
    assert_slot(slots.previous, 9);
    assert_slot(slots.candidate, 0);
    assert_string_equal(slots.model, "tiny");
}

static void a_crash_loop_ends_by_the_tries(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 0, 2, 3);
    struct flo_device device = {0};
    struct flo_err err = {0};

    for (int i = 0; i < 3; i++) {
        assert_int_equal(flo_slots_count_try(&slots, &err), 0);
    }
    assert_int_equal(flo_slots_count_try(&slots, &err), FLO_E_SOAK_FAILED);

    assert_true(flo_slots_heal(&slots, &device));
    assert_slot(slots.candidate, 0);
    assert_slot(slots.current, 1);
}

static void
steps_in_the_wrong_order_are_refused_and_change_nothing(void **state)
{
    (void)state;
    struct flo_slots idle = serving(1, 0);
    struct flo_slots trial = on_trial(1, 9, 2, 3);
    struct flo_slots before = idle;
    struct flo_digest third = release_of(3);
    struct flo_digest first = release_of(1);
    struct flo_digest none = release_of(0);
    struct flo_err err = {0};

    assert_int_equal(flo_slots_commit(&idle, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_begin_trial(&idle, 3, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_count_try(&idle, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_roll_back(&idle, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_stage(&idle, &first, NULL, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_stage(&idle, &none, NULL, &err), FLO_E_STATE);
    assert_memory_equal(&idle, &before, sizeof(idle));

    before = trial;
    assert_int_equal(flo_slots_stage(&trial, &third, NULL, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_begin_trial(&trial, 3, &err), FLO_E_STATE);
    assert_memory_equal(&trial, &before, sizeof(trial));

    assert_int_equal(flo_slots_stage(&idle, &third, NULL, &err), 0);
    before = idle;
    assert_int_equal(flo_slots_begin_trial(&idle, 0, &err), FLO_E_STATE);
    assert_int_equal(flo_slots_begin_trial(&idle, 256, &err), FLO_E_STATE);
    assert_memory_equal(&idle, &before, sizeof(idle));
}

static void
an_ordered_rollback_goes_to_previous_and_never_flips_back(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(2, 1, 3, 3);
    struct flo_err err = {0};

    assert_int_equal(flo_slots_roll_back(&slots, &err), 0);

    assert_slot(slots.current, 1);
    assert_slot(slots.previous, 0);
    assert_slot(slots.candidate, 0);
    assert_int_equal(flo_slots_roll_back(&slots, &err), FLO_E_STATE);
    assert_slot(slots.current, 1);
}

static void power_loss_between_denying_and_rolling_back_is_healed(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 1);
    struct flo_device device = {0};
    struct flo_digest bad = release_of(2);

    flo_device_deny(&device, &bad);

    assert_true(flo_slots_heal(&slots, &device));
    assert_slot(slots.current, 1);
    assert_slot(slots.previous, 0);
    assert_false(flo_slots_heal(&slots, &device));
}

static void a_denied_candidate_is_dropped_and_current_stays(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 9, 2, 3);
    struct flo_device device = {0};
    struct flo_digest bad = release_of(2);

    flo_device_deny(&device, &bad);

    assert_true(flo_slots_heal(&slots, &device));
    assert_slot(slots.current, 1);
    assert_slot(slots.previous, 9);
    assert_slot(slots.candidate, 0);
}

static void a_denied_current_without_previous_still_serves(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 0);
    struct flo_device device = {0};
    struct flo_digest bad = release_of(2);

    flo_device_deny(&device, &bad);

    assert_false(flo_slots_heal(&slots, &device));
    assert_slot(slots.current, 2);
}

/* ---- device ---- */

#define KEY_A "aaaaaaaaaaaaaaaabbbb"
#define KEY_B "bbbbbbbbbbbbbbbbcccc"

static void an_order_acts_once(void **state)
{
    (void)state;
    struct flo_device device = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_device_order_check(&device, KEY_A, 1, 7, &err), 0);
    assert_int_equal(flo_device_order_accept(&device, KEY_A, 1, 7, 1000, &err),
                     0);

    assert_int_equal(flo_device_order_check(&device, KEY_A, 1, 7, &err),
                     FLO_E_CMD_NONCE_REUSED);
    assert_int_equal(flo_device_order_check(&device, KEY_B, 1, 7, &err), 0);
    assert_int_equal(device.trusted_time_ms, 1000);
    assert_int_equal(flo_device_order_accept(&device, KEY_B, 1, 7, 900, &err),
                     0);
    assert_int_equal(device.trusted_time_ms, 1000);
}

/* A model of the window: a plain set of what was accepted. */
static void orders_in_any_order_act_once_within_the_window(void **state)
{
    (void)state;
    enum { SPAN = 9000, SPREAD = FLO_REPLAY_WINDOW + 200 };
    static bool seen[SPAN];
    struct flo_device device = {0};
    uint64_t highest = 0;
    uint32_t random = 1;
    bool is_first = true;

    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        uint64_t base = (uint64_t)i * (SPAN - SPREAD) / 20000;
        uint64_t seq = base + (random >> 8) % SPREAD;
        bool is_fresh = is_first || seq > highest ||
                        (highest - seq < FLO_REPLAY_WINDOW && !seen[seq]);

        int rv = flo_device_order_accept(&device, KEY_A, 1, seq, 0, NULL);

        assert_int_equal(rv, is_fresh ? 0 : FLO_E_CMD_NONCE_REUSED);
        if (is_fresh) {
            seen[seq] = true;
            highest = is_first || seq > highest ? seq : highest;
            is_first = false;
        }
    }
}

static void
an_older_epoch_is_refused_and_a_newer_one_starts_afresh(void **state)
{
    (void)state;
    struct flo_device device = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_device_order_accept(&device, KEY_A, 3, 50, 0, &err),
                     0);

    assert_int_equal(flo_device_order_accept(&device, KEY_A, 2, 51, 0, &err),
                     FLO_E_CMD_EPOCH);
    assert_int_equal(flo_device_order_accept(&device, KEY_A, 4, 1, 0, &err), 0);
    assert_int_equal(device.epoch, 4);
    assert_int_equal(flo_device_order_check(&device, KEY_A, 3, 99, &err),
                     FLO_E_CMD_EPOCH);
}

/* A stolen key can use up every number and all of time, but not its
 * successor's. */
static void what_orders_of_old_keys_said_is_void_under_new_ones(void **state)
{
    (void)state;
    struct flo_device device = {.is_frozen = true};
    struct flo_digest stolen = release_of(7);
    struct flo_digest fresh = release_of(8);
    struct flo_digest bad = release_of(3);
    const uint64_t far = UINT64_C(399) * 86400000;

    assert_true(flo_device_trust(&device, &stolen));
    flo_device_deny(&device, &bad);
    assert_int_equal(flo_device_order_accept(&device, KEY_A, UINT32_MAX,
                                             INT64_MAX, far, NULL),
                     0);
    assert_false(flo_device_trust(&device, &stolen));
    assert_int_equal(flo_device_order_check(&device, KEY_B, 1, 1, NULL),
                     FLO_E_CMD_EPOCH);

    assert_true(flo_device_trust(&device, &fresh));

    assert_int_equal(flo_device_order_check(&device, KEY_B, 1, 1, NULL), 0);
    assert_int_equal(flo_device_time(&device, 5, 1), 5);
    assert_true(flo_device_is_denied(&device, &bad));
    assert_true(device.is_frozen);
}

static void the_record_of_an_older_version_keeps_its_fence(void **state)
{
    (void)state;
    struct flo_device device = {.epoch = 3, .trusted_time_ms = 500};
    struct flo_digest keys = release_of(7);

    assert_true(flo_device_trust(&device, &keys));

    assert_int_equal(flo_device_order_check(&device, KEY_A, 2, 1, NULL),
                     FLO_E_CMD_EPOCH);
    assert_int_equal(device.trusted_time_ms, 500);
}

static void a_malformed_key_id_is_refused(void **state)
{
    (void)state;
    struct flo_device device = {0};

    assert_int_equal(flo_device_order_check(&device, "abc", 1, 1, NULL),
                     FLO_E_SIG_FORMAT);
    assert_int_equal(
        flo_device_order_check(&device, "zzzzzzzzzzzzzzzz", 1, 1, NULL),
        FLO_E_SIG_FORMAT);
    assert_int_equal(
        flo_device_order_check(&device, "0000000000000000", 1, 1, NULL),
        FLO_E_SIG_FORMAT);
}

static void the_deny_list_keeps_the_last_thirty_two(void **state)
{
    (void)state;
    struct flo_device device = {0};

    for (uint8_t n = 1; n <= 33; n++) {
        struct flo_digest digest = release_of(n);
        flo_device_deny(&device, &digest);
        flo_device_deny(&device, &digest);
    }

    for (uint8_t n = 1; n <= 33; n++) {
        struct flo_digest digest = release_of(n);
        assert_int_equal(flo_device_is_denied(&device, &digest), n >= 2);
    }
    struct flo_digest none = release_of(0);
    struct flo_digest last = release_of(33);
    assert_false(flo_device_is_denied(&device, &none));
    flo_device_allow(&device, &last);
    assert_false(flo_device_is_denied(&device, &last));
}

static void time_is_the_latest_that_is_known(void **state)
{
    (void)state;
    struct flo_device device = {.trusted_time_ms = 500};

    assert_int_equal(flo_device_time(&device, 0, 100), 500);
    assert_int_equal(flo_device_time(&device, 0, 700), 700);
    assert_int_equal(flo_device_time(&device, 900, 700), 900);
}

static void eight_models_have_a_baseline(void **state)
{
    (void)state;
    struct flo_device device = {0};
    struct flo_digest release = release_of(1);
    struct flo_digest other = release_of(2);
    char model[] = "m0";

    for (int i = 0; i < FLO_BASELINE_MAX; i++) {
        model[1] = (char)('0' + i);
        assert_int_equal(
            flo_device_set_baseline(&device, model, &release, NULL), 0);
    }
    assert_int_equal(flo_device_set_baseline(&device, "m9", &release, NULL),
                     FLO_E_STATE);
    assert_int_equal(flo_device_set_baseline(&device, "m3", &other, NULL), 0);
    assert_slot(device.baseline[3].release, 2);
    assert_int_equal(flo_device_set_baseline(&device, "../m", &other, NULL),
                     FLO_E_META_NAME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activating_does_not_rotate_and_commit_does),
        cmocka_unit_test(a_failed_soak_clears_the_candidate_and_nothing_else),
        cmocka_unit_test(a_crash_loop_ends_by_the_tries),
        cmocka_unit_test(
            steps_in_the_wrong_order_are_refused_and_change_nothing),
        cmocka_unit_test(
            an_ordered_rollback_goes_to_previous_and_never_flips_back),
        cmocka_unit_test(power_loss_between_denying_and_rolling_back_is_healed),
        cmocka_unit_test(a_denied_candidate_is_dropped_and_current_stays),
        cmocka_unit_test(a_denied_current_without_previous_still_serves),
        cmocka_unit_test(an_order_acts_once),
        cmocka_unit_test(orders_in_any_order_act_once_within_the_window),
        cmocka_unit_test(
            an_older_epoch_is_refused_and_a_newer_one_starts_afresh),
        cmocka_unit_test(what_orders_of_old_keys_said_is_void_under_new_ones),
        cmocka_unit_test(the_record_of_an_older_version_keeps_its_fence),
        cmocka_unit_test(a_malformed_key_id_is_refused),
        cmocka_unit_test(the_deny_list_keeps_the_last_thirty_two),
        cmocka_unit_test(time_is_the_latest_that_is_known),
        cmocka_unit_test(eight_models_have_a_baseline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
