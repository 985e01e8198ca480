/* Turns of a site's devices at the uplink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/core/neighbours.h"

#define RELEASE "sha256:803792f668684f02f09ab4c7975db40de40054deef6c8c94f472"

static struct flo_uplink_turn turn_of(unsigned device, bool serves)
{
    struct flo_policy policy;
    char name[37];

    flo_policy_default(&policy);
    snprintf(name, sizeof(name), "1ff53d56-16b5-4c8e-8d1e-%012x", device);
    return flo_neighbours_turn(&policy, RELEASE, name, serves);
}

static void turns_are_spread_and_who_serves_is_before_who_does_not(void **state)
{
    uint64_t halves[2] = {0};

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct flo_uplink_turn serves = turn_of(i, true);
        struct flo_uplink_turn uses = turn_of(i, false);
        assert_true(serves.turn_ms < 10000);
        assert_true(uses.turn_ms >= 10000 && uses.turn_ms < 20000);
        assert_int_equal(uses.wait_ms, 900000);
        assert_int_equal(turn_of(i, true).turn_ms, serves.turn_ms);
        halves[serves.turn_ms / 5000]++;
    }
    assert_true(halves[0] > 400 && halves[1] > 400);
}

static void an_urgent_order_waits_for_nobody(void **state)
{
    struct flo_policy policy;

    (void)state;
    flo_policy_default(&policy);
    policy.urgent = 1;
    struct flo_uplink_turn turn =
        flo_neighbours_turn(&policy, RELEASE, "1ff53d56-16b5-4c8e-8d1e-000000000000", false);

    assert_int_equal(turn.turn_ms, 0);
    assert_int_equal(turn.wait_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_are_spread_and_who_serves_is_before_who_does_not),
        cmocka_unit_test(an_urgent_order_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
