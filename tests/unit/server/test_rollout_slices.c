/* Rollouts whose analysis names slices: they are held, and a person answers. */
#include "tests/unit/server/rollout_analysis_world.h"

static void name_slice(struct world *world, uint32_t members, uint8_t *in)
{
    struct flo_analysis_slices *slices = &world->slices;

    slices->count = 1;
    slices->rows[0] = (struct flo_analysis_slice){.name = "site=lyon",
                                                  .measure = FLO_MEASURE_TTFT_P95,
                                                  .is_culprit = true,
                                                  .members = members,
                                                  .updated = 2,
                                                  .far = 2,
                                                  .controls = 2,
                                                  .told = {.has_effect = true,
                                                           .has_interval = true,
                                                           .effect = log(2),
                                                           .low = log(1.8),
                                                           .high = log(2.3)}};
    for (uint32_t i = 0; i < members; i++) {
        in[2 * i] = 1;
    }
    world->analysis.slices = in;
}

static uint8_t named(const struct world *world, const char *device)
{
    for (size_t i = 0; i < world->rollout.member_count; i++) {
        if (strcmp(world->rollout.members[i].device, device) == 0) {
            return world->rollout.members[i].state;
        }
    }
    fail_msg("%s is no member", device);
    return 0;
}

static void joins(struct world *world, const char *device, uint8_t slices)
{
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_JOINED,
                                                            .device = device,
                                                            .is_online = true,
                                                            .slices = slices}),
                     0);
}

/* Members with even numbers stand there: some have it, some wait. */
static void a_slice_goes_back_and_the_others_go_on(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    uint8_t in[DEVICES] = {0};
    uint32_t cancelled = 0;

    start(world);
    go_well(world, 0, CANARY);
    name_slice(world, 5, in);
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_string_equal(world->rollout.reason,
                        "TTFT p95 2 times (95 % CI 1.8…2.3) at site=lyon: 2 of "
                        "2 updated devices against 2 there that are not: taken "
                        "back there");
    assert_int_equal(world->rollout.analysis.state.held_count, 1);
    for (size_t i = 0; i < DEVICES; i++) {
        const struct flo_rollout_member *member = &world->rollout.members[i];
        assert_int_equal(member->held, in[i] ? FLO_HELD_BACK : FLO_HELD_NOT);
        cancelled += member->state == FLO_EXECUTION_CANCELLED ? 1 : 0;
    }
    assert_true(cancelled > 0);
    assert_non_null(strstr(world->trace.data, "rollback"));
    size_t told = world->trace.bytes;
    analyses(world, 0); /* once */
    assert_null(strstr(world->trace.data + told, "site=lyon"));

    joins(world, "f", 1);
    assert_int_equal(named(world, "f"), FLO_EXECUTION_CANCELLED);
    world_free(world);
}

static void a_slice_of_half_of_the_members_stops_the_rollout(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    uint8_t in[DEVICES] = {0};

    start(world);
    go_well(world, 0, CANARY);
    name_slice(world, DEVICES / 2, in);
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_non_null(strstr(world->rollout.reason, "at site=lyon"));
    assert_int_equal(world->rollout.analysis.state.held_count, 0);
    world_free(world);
}

/* Nobody there can tell: those that wait go on waiting, and a person says
 * what becomes of them. */
static struct world *world_that_asks(uint8_t *in)
{
    struct world *world = world_new(true);

    start(world);
    go_well(world, 0, CANARY);
    name_slice(world, 5, in);
    world->slices.rows[0].is_culprit = false;
    world->slices.rows[0].is_asked = true;
    world->slices.rows[0].controls = 0;
    analyses(world, 0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(world->rollout.reason,
                           " at site=lyon since the update, no device there "
                           "runs the old release any more: cannot tell; held "
                           "there, look"));
    assert_int_equal(flo_analysis_asked(&world->rollout.analysis.state), 1);
    return world;
}

static uint32_t cancelled_of(const struct world *world)
{
    uint32_t cancelled = 0;

    for (size_t i = 0; i < DEVICES; i++) {
        cancelled += world->rollout.members[i].state == FLO_EXECUTION_CANCELLED ? 1 : 0;
    }
    return cancelled;
}

static void answer(struct world *world, enum flo_rollout_event_kind kind)
{
    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = kind, .note = "ops", .slice = "site=lyon"}),
        0);
}

static void an_unclear_slice_waits_for_a_person_and_goes_on(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);

    assert_null(strstr(world->trace.data, "rollback"));
    assert_true(cancelled_of(world) > 0);
    step(world, (struct flo_rollout_event){
                    .kind = FLO_ROLLOUT_EVENT_PROMOTE, .note = "ops", .slice = "site=lyon"});
    assert_int_equal(flo_analysis_asked(&world->rollout.analysis.state), 0);
    assert_int_equal(cancelled_of(world), 0);
    assert_int_equal(world->rollout.phase, 0);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(world->rollout.members[i].held, FLO_HELD_NOT);
    }
    size_t told = world->trace.bytes;
    analyses(world, 0); /* it was answered */
    assert_null(strstr(world->trace.data + told, "site=lyon"));
    world->slices.rows[0].is_culprit = true; /* and now it is known */
    analyses(world, 0);
    assert_int_equal(world->rollout.analysis.state.held_as[0], FLO_SLICE_HELD);
    assert_int_equal(world->rollout.analysis.state.held_count, 1);
    world_free(world);
}

/* ... and with it who joins there; others are not concerned. */
static void who_joins_a_slice_waits_for_its_answer(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);

    joins(world, "f", 1);
    assert_int_equal(named(world, "f"), FLO_EXECUTION_CANCELLED);
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_not_equal(named(world, "f"), FLO_EXECUTION_CANCELLED);
    world_free(world);
}

static void who_joins_elsewhere_gets_the_release(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);

    joins(world, "f", 0);
    assert_int_equal(named(world, "f"), FLO_EXECUTION_NOTIFIED);
    world_free(world);
}

/* Device 0 was told, 1 and 3 were not, 5 has the release; a slice is held that
 * has none of them. */
static struct world *world_that_holds(uint8_t *in)
{
    struct world *world = world_new(true);

    start(world);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                           .device = world->names[0],
                                           .attempt = 1,
                                           .execution = FLO_EXECUTION_DOWNLOADING});
    name_slice(world, 0, in);
    world->slices.rows[0].is_culprit = false;
    world->slices.rows[0].is_asked = true;
    world->slices.rows[0].controls = 0;
    analyses(world, 0);
    assert_int_equal(world->rollout.analysis.state.held_count, 1);
    return world;
}

static size_t queued(const struct world *world)
{
    for (size_t i = 0; i < DEVICES; i++) {
        if (world->rollout.members[i].state == FLO_EXECUTION_QUEUED) {
            return i;
        }
    }
    fail_msg("nobody waits");
    return 0;
}

static void who_gets_other_labels_is_held_with_its_new_slice(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_holds(in);
    const struct flo_rollout_member *members = world->rollout.members;
    size_t waits = queued(world);

    joins(world, world->names[waits], 1);
    assert_int_equal(members[waits].state, FLO_EXECUTION_CANCELLED);
    assert_int_equal(members[waits].held, FLO_HELD_THERE);
    joins(world, world->names[waits], 0);
    assert_int_equal(members[waits].state, FLO_EXECUTION_QUEUED);
    assert_int_equal(members[waits].held, FLO_HELD_NOT);
    joins(world, world->names[waits], 1);
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_equal(members[waits].state, FLO_EXECUTION_QUEUED);
    world_free(world);
}

static void under_way_at_a_slice_it_moved_to_ends_and_begins_again(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_holds(in);
    const struct flo_rollout_member *members = world->rollout.members;

    size_t told = world->trace.bytes;
    joins(world, world->names[0], 1);
    assert_non_null(strstr(world->trace.data + told, "each     abort"));
    step(world, (struct flo_rollout_event){
                    .kind = FLO_ROLLOUT_EVENT_BACK, .device = world->names[0], .is_aborted = true});
    assert_int_equal(members[0].state, FLO_EXECUTION_CANCELLED);
    told = world->trace.bytes;
    joins(world, world->names[0], 0);
    assert_int_equal(members[0].state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(members[0].attempt, 2);
    assert_non_null(strstr(world->trace.data + told, "each     deploy"));
    world_free(world);
}

static void who_has_the_release_keeps_it_at_another_slice(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_holds(in);
    const struct flo_rollout_member *members = world->rollout.members;

    go_well(world, 0, CANARY);
    size_t has_it = 0;
    while (members[has_it].state != FLO_EXECUTION_SUCCEEDED) {
        has_it++;
    }
    size_t told = world->trace.bytes;
    joins(world, world->names[has_it], 1);
    assert_int_equal(members[has_it].state, FLO_EXECUTION_SUCCEEDED);
    joins(world, world->names[has_it], 0);
    assert_int_equal(members[has_it].state, FLO_EXECUTION_SUCCEEDED);
    assert_null(strstr(world->trace.data + told, "each"));
    world_free(world);
}

/* Devices 0, 2, 4, 6, 8 are at the site; of these 0 and 2 are of a class where
 * the release is worse, and stay as they are. */
static void an_answer_frees_nobody_whom_another_slice_holds(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);
    struct flo_analysis_slice *row = &world->slices.rows[1];

    world->rollout.analysis.on_fail = FLO_ON_FAIL_PAUSE;
    world->slices.count = 2;
    *row = world->slices.rows[0];
    row->is_culprit = true;
    row->is_asked = false;
    row->controls = 2;
    row->members = 2;
    snprintf(row->name, sizeof(row->name), "hw=x");
    in[0] |= 2;
    in[2] |= 2;
    analyses(world, 0);
    assert_int_equal(world->rollout.analysis.state.held_count, 2);
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(world->rollout.members[i].held,
                         i == 0 || i == 2 ? FLO_HELD_THERE : FLO_HELD_NOT);
    }
    world_free(world);
}

/* A start of the controller reads what is stored. */
static void a_member_that_waits_elsewhere_now_is_stored_so(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);
    struct flo_analysis_slice *row = &world->slices.rows[1];

    world->rollout.analysis.on_fail = FLO_ON_FAIL_PAUSE;
    world->slices.count = 2;
    *row = world->slices.rows[0];
    row->members = 2;
    snprintf(row->name, sizeof(row->name), "hw=x");
    analyses(world, 0);
    assert_int_equal(world->rollout.analysis.state.held_count, 2);
    struct flo_rollout_member *member = &world->rollout.members[4];
    assert_int_equal(member->held_of, 1);
    member->is_dirty = false;

    joins(world, member->device, 2);

    assert_int_equal(member->held_of, 2);
    assert_true(member->is_dirty);
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_equal(member->held, FLO_HELD_THERE);
    world_free(world);
}

static void aborted(struct world *world, const char *device)
{
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BACK,
                                                            .device = device,
                                                            .is_aborted = true}),
                     0);
}

/* Devices 0 and 2 are there and were told; 0 begins. */
static void what_is_under_way_there_ends_and_begins_again_by_answer(void **state)
{
    (void)state;
    struct world *world = world_new(true);
    const struct flo_rollout_member *members = world->rollout.members;
    uint8_t in[DEVICES] = {0};

    start(world);
    step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                           .device = world->names[0],
                                           .attempt = 1,
                                           .execution = FLO_EXECUTION_DOWNLOADING});
    name_slice(world, 5, in);
    world->slices.rows[0].is_culprit = false;
    world->slices.rows[0].is_asked = true;
    world->slices.rows[0].controls = 0;
    analyses(world, 0);
    assert_non_null(strstr(world->trace.data, "each     abort"));
    aborted(world, world->names[0]);
    aborted(world, world->names[1]); /* elsewhere: nobody asked it */
    aborted(world, world->names[2]);
    assert_int_equal(members[0].state, FLO_EXECUTION_CANCELLED);
    assert_int_equal(members[1].state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(members[2].state, FLO_EXECUTION_CANCELLED);
    size_t told = world->trace.bytes;
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_equal(members[0].state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(members[0].attempt, 2);
    assert_int_equal(members[2].state, FLO_EXECUTION_NOTIFIED);
    assert_int_equal(members[2].attempt, 0);
    assert_non_null(strstr(world->trace.data + told, "each     deploy"));
    world_free(world);
}

static void happens(struct world *world, const char *device, enum flo_rollout_event_kind kind)
{
    assert_int_equal(step(world, (struct flo_rollout_event){.kind = kind, .device = device}), 0);
}

/* A newer rollout has it: the answer of the older one is not about it. */
static void an_answer_brings_back_nobody_of_a_newer_rollout(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);
    const struct flo_rollout_member *members = world->rollout.members;
    size_t waits = CANARY;

    while (members[waits].state != FLO_EXECUTION_CANCELLED) {
        waits++;
    }
    happens(world, world->names[waits], FLO_ROLLOUT_EVENT_SUPERSEDED);
    assert_int_equal(members[waits].state, FLO_EXECUTION_SUPERSEDED);
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_equal(members[waits].state, FLO_EXECUTION_SUPERSEDED);
    world_free(world);
}

/* Pinned, in maintenance, or of other groups. */
static void an_answer_brings_back_nobody_who_left_meanwhile(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);
    size_t before = world->rollout.member_count;

    joins(world, "f", 1);
    happens(world, "f", FLO_ROLLOUT_EVENT_WITHDRAWN);
    assert_int_equal(world->rollout.member_count, before);
    joins(world, "f", 1);
    assert_int_equal(named(world, "f"), FLO_EXECUTION_CANCELLED);
    world_free(world);
}

static void an_unclear_slice_is_taken_back_by_a_person(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks(in);

    step(world, (struct flo_rollout_event){
                    .kind = FLO_ROLLOUT_EVENT_ROLLBACK, .note = "ops", .slice = "site=lyon"});
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.analysis.state.held_as[0], FLO_SLICE_HELD);
    assert_non_null(strstr(world->trace.data, "rollback"));
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(world->rollout.members[i].held, in[i] ? FLO_HELD_BACK : FLO_HELD_NOT);
    }
    world_free(world);
}

/* All others have it, and the gates pass: the last word is a person's. */
static struct world *world_that_asks_at_the_end(uint8_t *in)
{
    struct world *world = world_new(false);

    world->rollout.phases[0].devices = DEVICES;
    world->rollout.phase_count = 1;
    start(world);
    name_slice(world, 5, in);
    world->slices.rows[0].is_culprit = false;
    world->slices.rows[0].is_asked = true;
    world->slices.rows[0].controls = 0;
    analyses(world, 0);
    assert_int_equal(flo_analysis_asked(&world->rollout.analysis.state), 1);
    go_well(world, 0, DEVICES);
    for (int i = 0; i < 60; i++) {
        analyses(world, 0);
    }
    return world;
}

static void a_slice_that_waits_for_a_person_keeps_the_rollout_open(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks_at_the_end(in);
    struct flo_rollout_next next;

    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_HELD);
    assert_non_null(strstr(world->rollout.reason, "site=lyon waits for an answer"));
    assert_true(flo_rollout_next(&world->rollout, world->now_ms, 60000, &next));
    assert_non_null(strstr(next.what, "a person's answer for site=lyon"));
    size_t told = world->trace.bytes;
    analyses(world, 0); /* said once */
    assert_null(strstr(world->trace.data + told, "site=lyon"));
    answer(world, FLO_ROLLOUT_EVENT_PROMOTE);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

static void a_promoted_rollout_takes_the_answer_for_a_slice(void **state)
{
    (void)state;
    uint8_t in[DEVICES] = {0};
    struct world *world = world_that_asks_at_the_end(in);

    assert_int_equal(
        step(world, (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_PROMOTE, .note = "ops"}),
        0);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_RUNNING);
    assert_int_equal(world->rollout.phases[0].state, FLO_PHASE_PROMOTED);
    answer(world, FLO_ROLLOUT_EVENT_ROLLBACK);
    assert_int_equal(world->rollout.state, FLO_ROLLOUT_COMPLETED);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slice_goes_back_and_the_others_go_on),
        cmocka_unit_test(a_slice_of_half_of_the_members_stops_the_rollout),
        cmocka_unit_test(an_unclear_slice_waits_for_a_person_and_goes_on),
        cmocka_unit_test(who_joins_a_slice_waits_for_its_answer),
        cmocka_unit_test(who_gets_other_labels_is_held_with_its_new_slice),
        cmocka_unit_test(a_member_that_waits_elsewhere_now_is_stored_so),
        cmocka_unit_test(under_way_at_a_slice_it_moved_to_ends_and_begins_again),
        cmocka_unit_test(who_has_the_release_keeps_it_at_another_slice),
        cmocka_unit_test(who_joins_elsewhere_gets_the_release),
        cmocka_unit_test(an_answer_frees_nobody_whom_another_slice_holds),
        cmocka_unit_test(what_is_under_way_there_ends_and_begins_again_by_answer),
        cmocka_unit_test(an_answer_brings_back_nobody_of_a_newer_rollout),
        cmocka_unit_test(an_answer_brings_back_nobody_who_left_meanwhile),
        cmocka_unit_test(an_unclear_slice_is_taken_back_by_a_person),
        cmocka_unit_test(a_slice_that_waits_for_a_person_keeps_the_rollout_open),
        cmocka_unit_test(a_promoted_rollout_takes_the_answer_for_a_slice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
