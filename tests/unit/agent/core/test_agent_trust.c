/* The trusted keys change: before, in the middle of and after an update. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/sig.h>

#include "unit/agent/core/story.h"

static void trust_changes(int code, bool is_forgotten)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_TRUST, .error.code = code, .is_forgotten = is_forgotten};

    if (code != 0) {
        snprintf(event.error.what, sizeof(event.error.what), "its key was revoked");
    }
    world_event(&world, &event);
}

static void a_release_on_its_way_ends_with_its_key(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 150);
    trust_changes(FLO_E_SIG_REVOKED_KEY, false);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_FAILED);
    assert_true(is_current(2));
    assert_int_equal(world.live_version, 2);
    assert_false(is_denied(3)); /* the key, not the release */
    assert_story("revoked-on-its-way");
}

static void a_release_that_serves_on_trial_goes_on(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_run(&world, 5000);
    assert_int_equal(world.live_version, 3);
    trust_changes(FLO_E_SIG_REVOKED_KEY, false);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
}

static void nobody_goes_back_to_a_revoked_release(void **state)
{
    (void)state;
    boot();
    trust_changes(0, true);
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);

    assert_true(is_current(2));
    assert_int_equal(world.live_version, 2);
    assert_int_equal(world.acks_refused, 1);
}

static void a_freeze_of_the_other_lane_outlives_an_unfreeze(void **state)
{
    (void)state;
    struct flo_order go = {.op = FLO_ORDER_UNFREEZE, .id = "o-0009"};
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = &go, .stays_frozen = true};

    boot();
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_event(&world, &event);
    assert_true(world.agent.is_frozen);
    event.stays_frozen = false;
    world_event(&world, &event);
    assert_false(world.agent.is_frozen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_release_on_its_way_ends_with_its_key),
        STORY(a_release_that_serves_on_trial_goes_on),
        STORY(nobody_goes_back_to_a_revoked_release),
        STORY(a_freeze_of_the_other_lane_outlives_an_unfreeze),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
