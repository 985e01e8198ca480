/* A phase that picks over a label: a rollout is divided once more when it
 * begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "server-stub/core/rollout/rollout.h"

#define MEMBERS 100
#define CANARIES 10

static struct flo_rollout_member members[MEMBERS];
static struct flo_rollout rollout;

static void divide(void)
{
    rollout = (struct flo_rollout){
        .state = FLO_ROLLOUT_SCHEDULED,
        .phase_count = 2,
        .phases = {{.devices = CANARIES, .is_spread = true}, {.share_pct = 100}},
        .members = members,
        .member_count = MEMBERS,
        .member_capacity = MEMBERS};
    flo_rollout_divide(&rollout);
}

static void members_that_change_places_are_stored_again(void **state)
{
    uint32_t before[MEMBERS];
    size_t changed = 0;
    (void)state;
    for (size_t i = 0; i < MEMBERS; i++) {
        members[i] = (struct flo_rollout_member){.state = FLO_EXECUTION_QUEUED,
                                                 .is_online = true,
                                                 .bucket = (uint32_t)(i * (FLO_BUCKETS / MEMBERS)),
                                                 .place.stratum = i < 90 ? 1 : 2};
        snprintf(members[i].device, sizeof(members[i].device), "%04zu", i);
    }
    divide();
    for (size_t i = 0; i < MEMBERS; i++) {
        before[i] = members[i].bucket;
        members[i].is_online = members[i].phase != 0; /* the canaries left */
        members[i].is_dirty = false;
    }
    divide();
    for (size_t i = 0; i < MEMBERS; i++) {
        changed += members[i].bucket != before[i];
        assert_true(members[i].bucket == before[i] || members[i].is_dirty);
    }
    assert_true(changed >= CANARIES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_that_change_places_are_stored_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
