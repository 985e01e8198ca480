/* The model's record as pure steps: slots, floor, denials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/target.h>
#include <flotilla/updater.h>

static struct flo_digest release_of(uint8_t n)
{
    struct flo_digest digest;

    memset(digest.bytes, n, sizeof(digest.bytes));
    return digest;
}

#define assert_slot(slot, n)                                                                       \
    do {                                                                                           \
        struct flo_digest want = release_of(n);                                                    \
        assert_true(flo_digest_equal(&(slot), &want));                                             \
    } while (0)

static struct flo_slots serving(uint8_t current, uint8_t previous)
{
    struct flo_slots slots = {.model = "tiny", .generation = 5};

    slots.current = release_of(current);
    slots.previous = release_of(previous);
    return slots;
}

static struct flo_slots on_trial(uint8_t current, uint8_t previous, uint8_t candidate,
                                 uint32_t tries)
{
    struct flo_slots slots = serving(current, previous);
    struct flo_slots execution = {.attempt = 2, .soak_ms = 900000, .rollout = "r-0001"};
    struct flo_digest digest = release_of(candidate);
    struct flo_err err = {0};

    assert_int_equal(flo_slots_stage(&slots, &digest, &execution, &err), 0);
    assert_int_equal(flo_slots_begin_trial(&slots, tries, &err), 0);
    return slots;
}

static bool deny(struct flo_slots *slots, uint8_t release, uint64_t number, uint64_t statement,
                 enum flo_denial_cause cause)
{
    struct flo_denial said = {
        .release = release_of(release), .number = number, .statement = statement, .cause = cause};

    return flo_slots_deny(slots, &said);
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
    struct flo_err err = {0};

    for (int i = 0; i < 3; i++) {
        assert_int_equal(flo_slots_count_try(&slots, &err), 0);
    }
    assert_int_equal(flo_slots_count_try(&slots, &err), FLO_E_SOAK_FAILED);

    assert_true(flo_slots_heal(&slots));
    assert_slot(slots.candidate, 0);
    assert_slot(slots.current, 1);
    struct flo_digest second = release_of(2);
    assert_int_equal(flo_slots_denial(&slots, &second, 0), FLO_DENIAL_FAULT);
}

static void steps_in_the_wrong_order_are_refused_and_change_nothing(void **state)
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

static void an_ordered_rollback_goes_to_previous_and_never_flips_back(void **state)
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

    deny(&slots, 2, 0, 7, FLO_DENIAL_ORDERED);

    assert_true(flo_slots_heal(&slots));
    assert_slot(slots.current, 1);
    assert_slot(slots.previous, 0);
    assert_false(flo_slots_heal(&slots));
}

static void a_denied_candidate_is_dropped_and_current_stays(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 9, 2, 3);

    deny(&slots, 2, 0, 7, FLO_DENIAL_ORDERED);

    assert_true(flo_slots_heal(&slots));
    assert_slot(slots.current, 1);
    assert_slot(slots.previous, 9);
    assert_slot(slots.candidate, 0);
}

static void a_denied_current_without_previous_still_serves(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 0);

    deny(&slots, 2, 0, 7, FLO_DENIAL_ORDERED);

    assert_false(flo_slots_heal(&slots));
    assert_slot(slots.current, 2);
}

static void a_rollback_that_was_refused_is_not_made_up_for(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 1);

    slots.stated.op = FLO_ORDER_ROLLBACK;
    slots.stated.outcome = FLO_STATED_REFUSED;
    deny(&slots, 2, 0, 7, FLO_DENIAL_ORDERED);

    assert_false(flo_slots_heal(&slots));
    assert_slot(slots.current, 2);
}

/* ---- floor ---- */

static int admit(const struct flo_slots *slots, uint8_t release, uint64_t number)
{
    struct flo_digest digest = release_of(release);

    return flo_slots_admit(slots, &digest, number, NULL);
}

static void the_floor_is_the_highest_number_ever_committed(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 9, 2, 3);

    slots.candidate_number = 41;
    slots.floor = 5;
    assert_int_equal(flo_slots_commit(&slots, NULL), 0);
    assert_int_equal(slots.floor, 41);
    assert_int_equal(slots.current_number, 41);

    assert_int_equal(flo_slots_roll_back(&slots, NULL), 0);
    assert_int_equal(slots.floor, 41);
    assert_int_equal(admit(&slots, 7, 40), FLO_E_TARGET_FLOOR);
    assert_int_equal(admit(&slots, 7, 41), 0);
}

/* DV24 */
static void a_committed_floor_holds_against_every_order(void **state)
{
    struct flo_slots slots = {.model = "tiny", .current_number = 40};
    struct flo_slots facts = {.candidate_number = 41, .candidate_floor = 38};
    struct flo_digest candidate = {.bytes = {1}};
    struct flo_digest old = {.bytes = {2}};

    (void)state;
    assert_int_equal(flo_slots_stage(&slots, &candidate, &facts, NULL), 0);
    assert_int_equal(flo_slots_begin_trial(&slots, 3, NULL), 0);
    assert_int_equal(slots.floor_hard, 0); /* it may still go back */
    assert_int_equal(flo_slots_commit(&slots, NULL), 0);
    assert_int_equal(slots.floor_hard, 38);
    slots.stated.target = old;
    slots.stated.below_floor = true;
    assert_int_equal(flo_slots_admit(&slots, &old, 38, NULL), 0);
    struct flo_err err = {0};
    assert_int_equal(flo_slots_admit(&slots, &old, 37, &err), FLO_E_TARGET_FLOOR);
    assert_string_equal(err.what, "tiny: release number 37 is below the hard floor 38: "
                                  "one that was made later forbids it");
    assert_null(strstr(err.fix, "--below-floor"));
}

static void a_removed_model_keeps_floors_denials_and_its_statement(void **state)
{
    struct flo_slots slots = {.model = "tiny",
                              .floor = 41,
                              .floor_hard = 38,
                              .denial_count = 1,
                              .current = {.bytes = {1}},
                              .previous = {.bytes = {2}},
                              .baseline = {.bytes = {3}},
                              .stated = {.number = 9, .op = FLO_ORDER_REMOVE}};
    struct flo_digest again = {.bytes = {4}};

    (void)state;
    flo_slots_remove(&slots);
    assert_true(slots.is_removed);
    assert_true(flo_digest_is_zero(&slots.current));
    assert_true(flo_digest_is_zero(&slots.previous));
    assert_true(flo_digest_is_zero(&slots.baseline));
    assert_int_equal(slots.floor, 41);
    assert_int_equal(slots.floor_hard, 38);
    assert_int_equal(slots.denial_count, 1);
    assert_int_equal(slots.stated.number, 9);
    assert_int_equal(slots.stated.outcome, FLO_STATED_DONE);
    assert_int_equal(flo_slots_stage(&slots, &again, NULL, NULL), 0);
    assert_false(slots.is_removed);
}

static void a_model_that_is_removed_by_hand_leaves_another_order_open(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 1);

    slots.stated = (struct flo_stated){.number = 9, .op = FLO_ORDER_DEPLOY};
    flo_slots_remove(&slots);
    assert_int_equal(slots.stated.outcome, FLO_STATED_OPEN);
    slots.stated = (struct flo_stated){.number = 0};
    flo_slots_remove(&slots);
    assert_int_equal(slots.stated.outcome, FLO_STATED_OPEN);
}

static void a_start_is_given_back_on_trial_alone_and_never_beyond_its_byte(void **state)
{
    (void)state;
    struct flo_slots slots = on_trial(1, 0, 2, UINT8_MAX);

    flo_slots_return_try(&slots);
    assert_int_equal(slots.tries_left, UINT8_MAX);
    assert_int_equal(flo_slots_count_try(&slots, NULL), 0);
    flo_slots_return_try(&slots);
    assert_int_equal(slots.tries_left, UINT8_MAX);
    flo_slots_clear_candidate(&slots);
    flo_slots_return_try(&slots);
    assert_int_equal(slots.tries_left, 0);
}

static void without_a_statement_of_trust_no_release_is_forgotten(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 1);

    slots.floor_hard = 7;
    flo_slots_raise_floor(&slots, NULL);
    assert_int_equal(slots.floor_hard, 7);
    assert_false(flo_slots_is_forgotten(&slots, NULL));
}

static void what_a_slot_holds_may_always_come_again(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 1);

    slots.current_number = 41;
    slots.floor = 41;
    assert_int_equal(admit(&slots, 1, 40), 0);
    assert_int_equal(admit(&slots, 2, 41), 0);
    assert_int_equal(admit(&slots, 3, 40), FLO_E_TARGET_FLOOR);
    slots.candidate = release_of(3);
    assert_int_equal(admit(&slots, 3, 40), 0);
}

static void only_an_order_that_says_so_goes_below_the_floor(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 0);

    slots.floor = 41;
    slots.stated.target = release_of(3);
    assert_int_equal(admit(&slots, 3, 40), FLO_E_TARGET_FLOOR);
    slots.stated.below_floor = true;
    assert_int_equal(admit(&slots, 3, 40), 0);
    assert_int_equal(admit(&slots, 4, 40), FLO_E_TARGET_FLOOR);
    slots.floor_hard = 41;
    assert_int_equal(admit(&slots, 3, 40), FLO_E_TARGET_FLOOR);
}

static void a_number_twice_or_far_ahead_is_refused(void **state)
{
    (void)state;
    struct flo_slots slots = serving(2, 0);

    assert_int_equal(admit(&slots, 3, UINT64_C(1) << 52), 0);
    slots.current_number = 41;
    slots.floor = 41;
    assert_int_equal(admit(&slots, 3, 41), FLO_E_META_EQUIVOCATION);
    assert_int_equal(admit(&slots, 3, 41 + FLO_VERSION_JUMP_MAX), 0);
    assert_int_equal(admit(&slots, 3, 42 + FLO_VERSION_JUMP_MAX), FLO_E_META_VERSION_JUMP);
}

/* ---- denials ---- */

static bool is_denied(const struct flo_slots *slots, uint8_t release, uint64_t number)
{
    struct flo_digest digest = release_of(release);

    return flo_slots_is_denied(slots, &digest, number);
}

static void the_newest_word_about_a_release_counts(void **state)
{
    (void)state;
    struct flo_slots slots = {.model = "tiny"};

    deny(&slots, 1, 0, 7, FLO_DENIAL_ORDERED);
    deny(&slots, 1, 0, 6, FLO_DENIAL_ALLOWED);
    assert_true(is_denied(&slots, 1, 0));
    deny(&slots, 1, 0, 7, FLO_DENIAL_ALLOWED); /* lifts what is up to 7 */
    assert_false(is_denied(&slots, 1, 0));
    deny(&slots, 1, 0, 7, FLO_DENIAL_ORDERED); /* told again */
    assert_false(is_denied(&slots, 1, 0));
    deny(&slots, 1, 0, 8, FLO_DENIAL_SPEED);
    assert_true(is_denied(&slots, 1, 0));
    deny(&slots, 1, 0, 9, FLO_DENIAL_ALLOWED);
    assert_false(is_denied(&slots, 1, 0));
    assert_int_equal(slots.denial_count, 1);
}

static void nothing_lifts_a_fault(void **state)
{
    (void)state;
    struct flo_slots slots = {.model = "tiny"};

    deny(&slots, 1, 0, 7, FLO_DENIAL_FAULT);
    deny(&slots, 1, 0, 9, FLO_DENIAL_ALLOWED);
    assert_true(is_denied(&slots, 1, 0));
    deny(&slots, 2, 0, 9, FLO_DENIAL_ALLOWED);
    deny(&slots, 2, 0, 7, FLO_DENIAL_FAULT);
    assert_true(is_denied(&slots, 2, 0));
}

static bool deny_here(struct flo_slots *slots, uint8_t release, uint64_t order,
                      enum flo_denial_cause cause)
{
    const struct flo_device device = {.top = 50};
    const struct flo_denial_here said = {
        .release = release_of(release), .cause = cause, .order = order, .assigned = 77};

    return flo_slots_deny_here(slots, &device, &said);
}

static void whoever_stands_at_the_device_lifts_all_but_a_fault(void **state)
{
    const struct flo_digest slow = release_of(1), faulty = release_of(2);
    const struct flo_device device = {.top = 50};
    struct flo_slots slots = {.model = "tiny"};
    (void)state;

    deny_here(&slots, 1, 40, FLO_DENIAL_SPEED);
    deny_here(&slots, 2, 40, FLO_DENIAL_FAULT);
    assert_true(flo_slots_allow_here(&slots, &device, &slow));
    assert_false(is_denied(&slots, 1, 0));
    assert_true(flo_slots_allow_here(&slots, &device, &faulty));
    assert_true(is_denied(&slots, 2, 0));
    assert_false(flo_slots_allow_here(&slots, &device, &slow));
}

static void a_word_by_hand_is_newer_than_any_order(void **state)
{
    const struct flo_digest release = release_of(1);
    const struct flo_device device = {.top = 50};
    struct flo_slots slots = {.model = "tiny"};
    (void)state;

    deny(&slots, 1, 0, 50, FLO_DENIAL_ORDERED);
    assert_true(flo_slots_allow_here(&slots, &device, &release));
    deny_here(&slots, 1, 0, FLO_DENIAL_ORDERED);
    assert_true(is_denied(&slots, 1, 0)); /* the last word */
    deny(&slots, 1, 0, 51, FLO_DENIAL_ALLOWED);
    assert_false(is_denied(&slots, 1, 0));
}

static void what_an_order_takes_back_is_kept_with_the_order(void **state)
{
    struct flo_slots slots = {.model = "tiny"};
    (void)state;

    assert_false(deny_here(&slots, 1, 40, FLO_DENIAL_ORDERED));
    assert_int_equal(slots.denial_count, 0);
}

static void a_denial_knows_its_number_from_slot_or_order(void **state)
{
    struct flo_slots slots = {.model = "tiny",
                              .current = release_of(1),
                              .current_number = 11,
                              .stated.target = release_of(2)};
    (void)state;

    deny_here(&slots, 1, 40, FLO_DENIAL_SPEED);
    deny_here(&slots, 2, 40, FLO_DENIAL_SPEED);
    deny_here(&slots, 3, 40, FLO_DENIAL_SPEED);
    assert_int_equal(slots.denials[0].number, 11);
    assert_int_equal(slots.denials[1].number, 77);
    assert_int_equal(slots.denials[2].number, 0);
}

static void a_denied_release_is_not_permitted_and_the_cause_is_told(void **state)
{
    const struct flo_digest release = release_of(1), unknown = release_of(2);
    struct flo_slots slots = {.model = "tiny", .floor = 5};
    struct flo_err err = {0};
    (void)state;

    deny_here(&slots, 1, 40, FLO_DENIAL_MEMORY);
    assert_int_equal(flo_slots_permit(&slots, &release, 9, &err), FLO_E_TARGET_DENIED);
    assert_non_null(strstr(err.what, "too much memory"));
    assert_int_equal(flo_slots_permit(&slots, &unknown, 4, &err), FLO_E_TARGET_FLOOR);
    assert_int_equal(flo_slots_permit(&slots, &unknown, 0, &err), 0);
}

static void no_denial_is_forgotten_when_there_are_too_many(void **state)
{
    (void)state;
    struct flo_slots slots = {.model = "tiny"};
    uint8_t n;

    for (n = 1; n <= FLO_DENIALS_MAX; n++) {
        assert_false(deny(&slots, n, 100 + n, n, FLO_DENIAL_FAULT));
    }
    assert_true(deny(&slots, 200, 300, 99, FLO_DENIAL_FAULT));

    assert_int_equal(slots.denial_count, FLO_DENIALS_MAX);
    assert_int_equal(slots.folded, 101);
    for (n = 1; n <= FLO_DENIALS_MAX; n++) {
        assert_true(is_denied(&slots, n, 100 + n));
    }
    assert_true(is_denied(&slots, 200, 300));
    assert_true(is_denied(&slots, 250, 90)); /* older than one that failed */
    assert_false(is_denied(&slots, 250, 102));
    slots.previous = release_of(250); /* but for what a slot holds */
    assert_false(is_denied(&slots, 250, 90));
}

static void what_is_allowed_gives_way_first(void **state)
{
    (void)state;
    struct flo_slots slots = {.model = "tiny"};
    uint8_t n;

    deny(&slots, 99, 500, 1, FLO_DENIAL_ALLOWED);
    for (n = 1; n < FLO_DENIALS_MAX; n++) {
        deny(&slots, n, n, n, FLO_DENIAL_ORDERED);
    }
    assert_false(deny(&slots, 200, 300, 99, FLO_DENIAL_ORDERED));
    assert_int_equal(slots.folded, 0);
}

static void what_is_allowed_and_in_a_slot_stays(void **state)
{
    static const size_t places[] = {
        offsetof(struct flo_slots, current), offsetof(struct flo_slots, previous),
        offsetof(struct flo_slots, candidate), offsetof(struct flo_slots, baseline)};
    (void)state;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) * 2; i++) {
        struct flo_slots slots = {.model = "tiny"};
        uint8_t allowed = i % 2 == 0 ? 1 : 99; /* in front of the others, or behind */
        struct flo_digest digest = release_of(allowed);
        memcpy((char *)&slots + places[i / 2], &digest, sizeof(digest));
        deny(&slots, allowed, 500, 1, FLO_DENIAL_ALLOWED);
        for (uint8_t n = 2; n <= FLO_DENIALS_MAX; n++) {
            deny(&slots, n, n, n, FLO_DENIAL_ORDERED);
        }
        assert_true(deny(&slots, 200, 300, 99, FLO_DENIAL_ORDERED));
        assert_int_equal(slots.folded, 2);
    }
}

static void without_its_number_a_denial_folds_all_below_the_floor(void **state)
{
    (void)state;
    struct flo_slots slots = {.model = "tiny", .floor = 41};
    uint8_t n;

    for (n = 1; n <= FLO_DENIALS_MAX + 1; n++) {
        deny(&slots, n, 0, n, FLO_DENIAL_ORDERED);
    }
    assert_int_equal(slots.folded, 40);

    slots = (struct flo_slots){.model = "tiny"}; /* no floor: nothing can be told */
    for (n = 1; n <= FLO_DENIALS_MAX + 1; n++) {
        deny(&slots, n, 0, n, FLO_DENIAL_ORDERED);
    }
    assert_int_equal(slots.folded, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(activating_does_not_rotate_and_commit_does),
        cmocka_unit_test(a_failed_soak_clears_the_candidate_and_nothing_else),
        cmocka_unit_test(a_crash_loop_ends_by_the_tries),
        cmocka_unit_test(steps_in_the_wrong_order_are_refused_and_change_nothing),
        cmocka_unit_test(an_ordered_rollback_goes_to_previous_and_never_flips_back),
        cmocka_unit_test(power_loss_between_denying_and_rolling_back_is_healed),
        cmocka_unit_test(a_denied_candidate_is_dropped_and_current_stays),
        cmocka_unit_test(a_denied_current_without_previous_still_serves),
        cmocka_unit_test(a_rollback_that_was_refused_is_not_made_up_for),
        cmocka_unit_test(the_floor_is_the_highest_number_ever_committed),
        cmocka_unit_test(a_committed_floor_holds_against_every_order),
        cmocka_unit_test(a_removed_model_keeps_floors_denials_and_its_statement),
        cmocka_unit_test(a_model_that_is_removed_by_hand_leaves_another_order_open),
        cmocka_unit_test(a_start_is_given_back_on_trial_alone_and_never_beyond_its_byte),
        cmocka_unit_test(without_a_statement_of_trust_no_release_is_forgotten),
        cmocka_unit_test(what_a_slot_holds_may_always_come_again),
        cmocka_unit_test(only_an_order_that_says_so_goes_below_the_floor),
        cmocka_unit_test(a_number_twice_or_far_ahead_is_refused),
        cmocka_unit_test(the_newest_word_about_a_release_counts),
        cmocka_unit_test(nothing_lifts_a_fault),
        cmocka_unit_test(whoever_stands_at_the_device_lifts_all_but_a_fault),
        cmocka_unit_test(a_word_by_hand_is_newer_than_any_order),
        cmocka_unit_test(what_an_order_takes_back_is_kept_with_the_order),
        cmocka_unit_test(a_denial_knows_its_number_from_slot_or_order),
        cmocka_unit_test(a_denied_release_is_not_permitted_and_the_cause_is_told),
        cmocka_unit_test(no_denial_is_forgotten_when_there_are_too_many),
        cmocka_unit_test(what_is_allowed_gives_way_first),
        cmocka_unit_test(what_is_allowed_and_in_a_slot_stays),
        cmocka_unit_test(without_its_number_a_denial_folds_all_below_the_floor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
