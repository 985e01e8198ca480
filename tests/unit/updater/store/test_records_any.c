/* Any denials, pauses and lists of keys, drawn from seeds: what a record of the device
 * keeps, however full it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/updater.h>

#include "updater/core/eras.h"

#define SEEDS 60
#define STEPS 400
#define RELEASES 90

struct world {
    struct flo_slots slots;
    struct flo_device device;
    bool has_failed[RELEASES];
    uint64_t random;
};

static uint32_t draw(struct world *world, uint32_t below)
{
    uint64_t z = (world->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static struct flo_digest release_of(uint32_t n)
{
    struct flo_digest digest = {{0}};

    digest.bytes[0] = (uint8_t)(n * 37);
    digest.bytes[1] = (uint8_t)n;
    return digest;
}

/* ---- denials ---- */

static void the_list_is_sorted_and_has_room(const struct flo_slots *slots)
{
    assert_true(slots->denial_count <= FLO_DENIALS_MAX);
    for (uint32_t i = 1; i < slots->denial_count; i++) {
        const struct flo_denial *one = &slots->denials[i - 1];
        const struct flo_denial *other = &slots->denials[i];
        int order = memcmp(one->release.bytes, other->release.bytes, sizeof(one->release.bytes));
        assert_true(order < 0 || (order == 0 && one->lane < other->lane));
    }
}

static void one_denial(struct world *world)
{
    uint32_t n = 1 + draw(world, RELEASES - 1);
    struct flo_denial said = {.release = release_of(n),
                              .number = n,
                              .statement = draw(world, 50),
                              .cause = (enum flo_denial_cause)draw(world, FLO_DENIAL_CAUSES),
                              .lane = (uint8_t)draw(world, 2)};
    struct flo_denial_here here = {
        .release = said.release, .cause = FLO_DENIAL_FAULT, .order = draw(world, 3), .assigned = n};
    bool is_allowed = false;

    switch (draw(world, 6)) {
    case 0:
        here.cause = FLO_DENIAL_ORDERED;
        (void)flo_slots_deny_here(&world->slots, &world->device, &here);
        break;
    case 1:
        world->slots.stated.target = said.release; /* it knows the number */
        (void)flo_slots_deny_here(&world->slots, &world->device, &here);
        assert_true(flo_slots_is_denied(&world->slots, &said.release, n));
        world->has_failed[n] = true;
        break;
    case 2:
        world->device.top++;
        is_allowed = flo_slots_allow_here(&world->slots, &world->device, &said.release);
        break;
    default:
        is_allowed = said.cause == FLO_DENIAL_ALLOWED;
        said.lane = is_allowed ? 0 : said.lane;
        (void)flo_slots_deny(&world->slots, &said);
        world->has_failed[n] = world->has_failed[n] || said.cause == FLO_DENIAL_FAULT;
    }
    /* Folded ones have no cause any more: who allows one by name is heard. */
    if (is_allowed) {
        world->has_failed[n] =
            world->has_failed[n] && flo_slots_is_denied(&world->slots, &said.release, n);
    }
}

static void a_release_that_failed_stays_denied_however_many_follow(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    struct flo_denial none = {.cause = FLO_DENIAL_FAULT};
    (void)state;

    assert_non_null(world);
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        memset(world, 0, sizeof(*world));
        world->random = seed;
        world->slots.floor = draw(world, 2) * 5;
        world->slots.current = release_of(RELEASES + 1);
        assert_false(flo_slots_deny(&world->slots, &none)); /* of no release */
        for (uint32_t i = 0; i < STEPS; i++) {
            one_denial(world);
            the_list_is_sorted_and_has_room(&world->slots);
        }
        for (uint32_t n = 1; n < RELEASES; n++) {
            struct flo_digest release = release_of(n);
            if (world->has_failed[n] && !flo_slots_is_denied(&world->slots, &release, n)) {
                fail_msg("seed %u: release %u is allowed again", seed, n);
            }
        }
        flo_slots_begin_era(&world->slots, 2);
        the_list_is_sorted_and_has_room(&world->slots);
        for (uint32_t i = 0; i < world->slots.denial_count; i++) {
            assert_int_equal(world->slots.denials[i].statement, 0);
            assert_int_not_equal(world->slots.denials[i].cause, FLO_DENIAL_ALLOWED);
        }
    }
    free(world);
}

/* ---- pauses ---- */

static void a_rollout_that_was_paused_last_is_paused_however_many_are(void **state)
{
    static const enum flo_rollout_said sayings[] = {
        FLO_ROLLOUT_PAUSED_BY_ORDER, FLO_ROLLOUT_PAUSED_BY_ORDER, FLO_ROLLOUT_RESUMED,
        FLO_ROLLOUT_ABORTED_BY_ORDER};
    struct world *world = calloc(1, sizeof(*world));
    char rollout[16];
    (void)state;

    assert_non_null(world);
    for (uint32_t seed = 1; seed <= SEEDS; seed++) {
        memset(world, 0, sizeof(*world));
        world->random = seed;
        uint32_t kinds = 1 + draw(world, 4);
        for (uint32_t i = 1; i <= STEPS; i++) {
            enum flo_rollout_said said = sayings[draw(world, kinds)];
            snprintf(rollout, sizeof(rollout), "r-%u", draw(world, 3 * FLO_PAUSES_MAX));
            flo_device_pause_keep(&world->device, rollout, i, said);
            enum flo_rollout_said now = flo_device_rollout(&world->device, rollout, i - 1);
            assert_true(said != FLO_ROLLOUT_PAUSED_BY_ORDER || now == said);
            /* An end takes no place of a pause. */
            assert_true(said != FLO_ROLLOUT_ABORTED_BY_ORDER || now == said ||
                        flo_device_said(&world->device, rollout) == NULL);
            /* An order of before: the rollout was started again. */
            assert_true(said != FLO_ROLLOUT_ABORTED_BY_ORDER ||
                        flo_device_rollout(&world->device, rollout, i) != said);
        }
        assert_int_equal(flo_device_rollout(&world->device, "", 1), FLO_ROLLOUT_RESUMED);
        flo_device_begin_era(&world->device);
        assert_int_equal(world->device.pauses_folded, 0);
    }
    free(world);
}

/* ---- keys ---- */

static void a_list_of_keys_is_taken_or_nothing_changes(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    size_t answers[3] = {0};
    (void)state;

    assert_non_null(world);
    for (uint32_t seed = 1; seed <= SEEDS * 4; seed++) {
        memset(world, 0, sizeof(*world));
        world->random = seed;
        world->device.group_count = 1;
        for (uint32_t i = 0; i < 40; i++) {
            struct flo_device before = world->device;
            struct flo_trust_facts facts = {.number = 1 + draw(world, 4),
                                            .document = release_of(1 + draw(world, 2)),
                                            .order_keys = release_of(1 + draw(world, 2)),
                                            .epoch = draw(world, 3),
                                            .has_emergency = draw(world, 2) == 0,
                                            .holder = {(uint8_t)(draw(world, 10) == 0)}};
            world->device.epoch = before.epoch = draw(world, 3);
            enum flo_trust_hold hold = flo_device_trust(&world->device, &facts);
            answers[hold]++;
            if (hold == FLO_TRUST_TAKEN) {
                assert_int_equal(world->device.trust_number, facts.number);
                assert_memory_equal(&world->device.trust_document, &facts.document,
                                    sizeof(facts.document));
                assert_true(!world->device.is_frozen_emergency || facts.has_emergency);
            } else {
                assert_memory_equal(&world->device, &before, sizeof(before));
            }
        }
    }
    assert_true(answers[FLO_TRUST_HELD] > 0 && answers[FLO_TRUST_TAKEN] > 0 &&
                answers[FLO_TRUST_BEHIND] > 0);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_that_failed_stays_denied_however_many_follow),
        cmocka_unit_test(a_rollout_that_was_paused_last_is_paused_however_many_are),
        cmocka_unit_test(a_list_of_keys_is_taken_or_nothing_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
