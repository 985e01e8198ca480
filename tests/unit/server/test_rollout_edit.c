/* An edit of a rollout that runs: other words, and the devices that were
 * touched stay touched. */
#include <flotilla/errors/rollout.h>

#include "unit/server/rollout_world.h"

/* A draft as the one that runs: 2 of 20 devices first, then all. */
static struct flo_rollout *asked(void)
{
    static struct flo_rollout draft;
    struct world *world = world_new(20, 2);

    draft = world->rollout;
    draft.members = NULL;
    world_free(world);
    return &draft;
}

static int edit(struct world *world, const struct flo_rollout *draft)
{
    return step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EDIT,
                                                  .note = "ops: phases",
                                                  .draft = draft,
                                                  .has_new_gates = true});
}

static size_t told(const struct world *world)
{
    size_t count = 0;

    for (size_t i = 0; i < world->rollout.member_count; i++) {
        count += world->rollout.members[i].state != FLO_EXECUTION_QUEUED;
    }
    return count;
}

static void phases_to_come_change_and_touched_devices_stay(void **state)
{
    struct world *world = world_started(20, 2);
    struct flo_rollout *draft = asked();
    (void)state;
    assert_int_equal(told(world), 2);
    draft->phase_count = 3;
    draft->phases[2] = draft->phases[1];
    draft->phases[1].share_pct = 0;
    draft->phases[1].devices = 7;
    assert_int_equal(edit(world, draft), 0);
    assert_int_equal(told(world), 2);
    assert_int_equal(world->rollout.phases[0].members, 2);
    assert_int_equal(world->rollout.phases[1].members, 5);
    assert_int_equal(world->rollout.phases[2].members, 13);
    assert_int_equal(world->rollout.phases[2].bucket_to, FLO_BUCKETS);

    goes_well(world, 1);
    goes_well(world, 2);
    assert_int_equal(world->rollout.phase, 1);
    assert_int_equal(told(world), 7);

    draft->phase_count = 2; /* and nobody after these */
    assert_int_equal(edit(world, draft), 0);
    for (size_t i = 3; i <= 7; i++) {
        goes_well(world, i);
    }
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    assert_int_equal(told(world), 7);
    assert_int_equal(edit(world, draft), FLO_E_ROLLOUT_ENDED);
    world_free(world);
}

static void phases_that_began_keep_their_devices(void **state)
{
    struct world *world = world_started(20, 2);
    struct flo_rollout before = world->rollout;
    struct flo_rollout *draft = asked();
    (void)state;
    draft->phases[0].devices = 1;
    assert_int_equal(edit(world, draft), FLO_E_REST_MEANING);
    assert_non_null(strstr(world->err.what, "phases[0]: phase canary"));

    goes_well(world, 1);
    goes_well(world, 2);
    draft = asked();
    draft->phase_count = 1;
    assert_int_equal(edit(world, draft), FLO_E_REST_MEANING);
    assert_non_null(strstr(world->err.what, "phase 2 all has begun"));
    assert_int_equal(world->rollout.phase_count, before.phase_count);
    assert_int_equal(world->rollout.edits, 0);
    world_free(world);
}

static void the_pace_of_a_phase_that_began_changes(void **state)
{
    struct world *world = world_new(20, 2);
    struct flo_rollout *draft = asked();
    (void)state;
    world->rollout.starts_per_s = 0.001;
    join_all(world);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_START), 0);
    wait_ms(world, 1000);
    assert_true(told(world) < 2);
    draft->starts_per_s = 0;
    draft->phases[0].soak_ms = 60000;
    assert_int_equal(edit(world, draft), 0);
    assert_string_equal(world->rollout.reason, "start: ops");
    wait_ms(world, 1000);
    assert_int_equal(told(world), 2);
    goes_well(world, 1);
    goes_well(world, 2);
    assert_int_equal(world->rollout.phase, 0); /* it soaks now */
    wait_ms(world, 60000);
    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

static void a_gate_that_broke_is_asked_again_by_its_new_limit(void **state)
{
    struct world *world = world_new(20, 2);
    struct flo_rollout *draft = asked();
    (void)state;
    world->rollout.on_fail = draft->on_fail = FLO_ON_FAIL_PAUSE;
    join_all(world);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_START), 0);
    says(world, 1, 1, FLO_EXECUTION_FAILED, "net.timeout");
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_RESUME), FLO_E_ROLLOUT_STATE);

    draft->gates[FLO_GATE_FAILED].margin = 90;
    assert_int_equal(edit(world, draft), 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_PAUSED);
    assert_int_equal(operator_does(world, FLO_ROLLOUT_EVENT_RESUME), 0);
    goes_well(world, 2);
    assert_int_equal(world->rollout.phase, 1);
    world_free(world);
}

/* Whatever is asked, and whenever. */
static void no_edit_moves_a_device_that_was_told(void **state)
{
    uint32_t random = 7;
    (void)state;
    for (int round = 0; round < 400; round++) {
        struct world *world = world_started(20, 2);
        for (int i = 0; i < 30; i++) {
            struct flo_rollout *draft = asked();
            uint8_t phases[20];
            random = random * 1664525u + 1013904223u;
            draft->phase_count = 1 + (random >> 8) % 5;
            for (uint32_t p = 1; p < draft->phase_count; p++) {
                random = random * 1664525u + 1013904223u;
                draft->phases[p] = (struct flo_rollout_phase){.devices = 2 + p + (random >> 9) % 5};
            }
            for (size_t d = 0; d < 20; d++) {
                phases[d] = world->rollout.members[d].phase;
            }
            (void)edit(world, draft);
            for (size_t d = 0; d < 20; d++) {
                const struct flo_rollout_member *m = &world->rollout.members[d];
                if (m->state != FLO_EXECUTION_QUEUED) {
                    assert_int_equal(m->phase, phases[d]);
                }
            }
            assert_true(world->rollout.phase < world->rollout.phase_count);
            size_t device = 1 + (random >> 11) % 20;
            if (state_of(world, device) == FLO_EXECUTION_NOTIFIED) {
                goes_well(world, device);
            }
        }
        world_free(world);
    }
}

/* Its rules prove as much as the phase before it: no edit makes a phase that
 * began such a wave, or none. */
static void a_wave_that_began_stays_a_wave(void **state)
{
    static const struct {
        uint32_t was, wanted;
        bool may_be;
    } rows[] = {{0, 0, true},  {1, 1, true}, {1, 0, false}, {0, 1, false}, {1, 2, false},
                {2, 1, false}, {2, 0, true}, {0, 2, true},  {2, 2, true}};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct world *world = world_started(20, 2);
        struct flo_rollout *draft = asked();
        struct flo_err err = {0};
        world->rollout.analysis.rules.cover = rows[i].was;
        draft->analysis.rules.cover = rows[i].wanted;
        int rv = flo_rollout_may_edit(&world->rollout, draft, &err);
        assert_int_equal(rv, rows[i].may_be ? 0 : FLO_E_REST_MEANING);
        world_free(world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phases_to_come_change_and_touched_devices_stay),
        cmocka_unit_test(phases_that_began_keep_their_devices),
        cmocka_unit_test(the_pace_of_a_phase_that_began_changes),
        cmocka_unit_test(a_gate_that_broke_is_asked_again_by_its_new_limit),
        cmocka_unit_test(no_edit_moves_a_device_that_was_told),
        cmocka_unit_test(a_wave_that_began_stays_a_wave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
