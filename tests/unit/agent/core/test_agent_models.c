/* Several models on one device: whose update moves, who waits for whom, and
 * what one model's rollback or removal leaves alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/probe.h>

#include "agent/core/device/step.h"
#include "unit/agent/core/story.h"

#define ALARM 100 /* versions of alarm count from there */
#define SITE 200

static struct world_model *const alarm_here = &world.models[1];
static struct world_model *const site_here = &world.models[2];

/* ---- given ---- */

/* tiny@2 and alarm@2 serve, each with its release before. */
static int two_models(void **state)
{
    (void)state;
    world_init(&world, 2, 1);
    snprintf(alarm_here->slots.model, sizeof(alarm_here->slots.model), "alarm");
    alarm_here->slots.current = world_digest(ALARM + 2);
    alarm_here->slots.previous = world_digest(ALARM + 1);
    return 0;
}

static int three_models(void **state)
{
    two_models(state);
    snprintf(site_here->slots.model, sizeof(site_here->slots.model), "site");
    site_here->slots.current = world_digest(SITE + 2);
    site_here->slots.previous = world_digest(SITE + 1);
    return 0;
}

/* ---- when ---- */

static void remove_by_hand(uint32_t model)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_REMOVE, .model = model};

    world_event(&world, &event);
}

/* ---- then ---- */

static bool serves(const struct world_model *model, int version)
{
    struct flo_digest digest = world_digest(version);

    return flo_digest_equal(&model->slots.current, &digest) && model->live_version == version;
}

static bool says(const char *text)
{
    return strstr(world.trace.data, text) != NULL;
}

/* How often the trace says it. */
static unsigned count(const char *text)
{
    const char *at = world.trace.data;
    unsigned found = 0;

    while ((at = strstr(at, text)) != NULL) {
        found++;
        at++;
    }
    return found;
}

/* ---- another model ---- */

static void a_device_with_a_model_takes_another_one(void **state)
{
    (void)state;
    boot();
    world_desire(&world, ALARM + 1, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(serves(alarm_here, ALARM + 1));
    assert_true(is_current(2));
    assert_int_equal(world.held, 0);
    assert_story("models-second");
}

static void more_models_than_the_configuration_allows_are_refused(void **state)
{
    (void)state;
    world.models_max = 2;
    boot();
    world_desire(&world, SITE + 1, 1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_REJECTED);
    assert_true(says("target.limit: model site: this device carries 2 models, "
                     "at most 2"));
    assert_true(is_current(2));
    assert_true(serves(alarm_here, ALARM + 2));
    assert_story("models-limit");
}

/* It is no fault of the release: more memory, or a model less, and it comes. */
static void a_model_without_memory_is_refused_and_not_denied(void **state)
{
    (void)state;
    boot();
    world.staged_error = FLO_E_MEMORY_BUDGET;
    world_desire(&world, SITE + 1, 1);
    world_run(&world, 60000);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_REJECTED);
    assert_int_equal(world.held + alarm_here->held, 0);
    assert_story("models-memory");
    world.staged_error = 0;
    world_desire(&world, SITE + 1, 2);
    world_run(&world, 60000);

    assert_true(serves(site_here, SITE + 1));
}

static void a_refused_model_takes_no_place(void **state)
{
    (void)state;
    world.models_max = 2;
    boot();
    world_desire(&world, SITE + 1, 1);
    world_run(&world, 1000);
    remove_by_hand(1);
    world_run(&world, 10000);
    world_desire(&world, SITE + 2, 2);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(serves(site_here, SITE + 2));
}

/* ---- the lane ---- */

static void updates_of_two_models_take_turns_and_soak_side_by_side(void **state)
{
    (void)state;
    boot();
    world_desire(&world, 3, 1);
    world_desire(&world, ALARM + 3, 2);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
    assert_true(serves(alarm_here, ALARM + 3));
    assert_story("models-queue");
}

static void the_lower_number_goes_first(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_FREEZE, 0);
    world_desire(&world, SITE + 3, 3);
    world_desire(&world, ALARM + 3, 1);
    world_desire(&world, 3, 2);
    world_order(&world, FLO_ORDER_UNFREEZE, 0);
    world_run(&world, 120000);

    const char *first = strstr(world.trace.data, "updater for alarm@3");
    const char *second = strstr(world.trace.data, "updater for tiny@3");
    const char *third = strstr(world.trace.data, "updater for site@3");
    assert_true(first < second && second < third);
    assert_true(is_current(3));
    assert_true(serves(alarm_here, ALARM + 3));
    assert_true(serves(site_here, SITE + 3));
}

static void a_paused_update_lets_others_pass(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_PAUSE, 0); /* r-0001 */
    world_desire(&world, 3, 1);
    world_desire(&world, ALARM + 3, 2);
    world_run(&world, 60000);

    assert_true(is_current(2));
    assert_true(serves(alarm_here, ALARM + 3));
    world_order(&world, FLO_ORDER_RESUME, 0);
    world_run(&world, 60000);
    assert_true(is_current(3));
}

static void a_network_that_fails_one_lets_the_other_try(void **state)
{
    (void)state;
    boot();
    world.job_error.code = FLO_E_NET_UNREACHABLE;
    world.job_is_passing = true;
    world.job_failures = 1;
    world_desire(&world, 3, 1);
    world_desire(&world, ALARM + 3, 2);
    world_run(&world, 120000);

    assert_true(is_current(3));
    assert_true(serves(alarm_here, ALARM + 3));
}

/* The models that are not asked serve on, and the lane is not waited for. */
static void a_rollback_runs_beside_the_download_of_another(void **state)
{
    (void)state;
    boot();
    world_desire(&world, ALARM + 3, 1);
    world_run(&world, 150); /* downloading */
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world_run(&world, 60000);

    assert_true(is_current(1));
    assert_int_equal(world.acks_done, 2);
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(serves(alarm_here, ALARM + 3));
    assert_int_equal(count("start updater"), 1);
    assert_int_equal(alarm_here->held, 0);
    assert_story("models-rollback");
}

static void a_rollback_takes_the_memory_of_anothers_probe(void **state)
{
    (void)state;
    boot();
    world_desire(&world, ALARM + 3, 1);
    world_run(&world, 900); /* probing */
    world.fits_one_only = true;
    world_order(&world, FLO_ORDER_ROLLBACK, 2);
    world.fits_one_only = false;
    world_run(&world, 60000);

    assert_true(is_current(1));
    assert_true(serves(alarm_here, ALARM + 3));
    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUCCEEDED);
    assert_story("models-rollback-memory");
}

static void an_abort_ends_the_update_of_its_rollout_only(void **state)
{
    (void)state;
    boot();
    world_desire(&world, ALARM + 3, 1);
    world_desire(&world, 3, 2);
    world_run(&world, 150);
    world_order(&world, FLO_ORDER_ABORT, 0); /* r-0001 */
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_CANCELLED);
    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(serves(alarm_here, ALARM + 2));
    assert_true(is_current(3));
}

static void lose_current(uint32_t model)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOST, .model = model, .role = FLO_AGENT_CURRENT};

    event.error.code = FLO_E_ENGINE_CRASH;
    snprintf(event.error.what, sizeof(event.error.what), "signal 7");
    world_event(&world, &event);
}

static void a_model_that_serves_nothing_is_repaired_first(void **state)
{
    (void)state;
    world.slots.previous = world_digest(0);
    boot();
    world_desire(&world, ALARM + 3, 1);
    world_run(&world, 50);
    world.damaged = 2;
    lose_current(0);
    world_run(&world, 120000);

    assert_true(is_current(2));
    assert_true(serves(alarm_here, ALARM + 3));
    assert_story("models-repair");
}

static void two_damaged_models_are_repaired_one_after_the_other(void **state)
{
    (void)state;
    world.slots.previous = alarm_here->slots.previous = world_digest(0);
    boot();
    world.damaged = 2;
    lose_current(0);
    world_run(&world, 350); /* tiny is under repair, alarm serves */
    world.damaged = ALARM + 2;
    lose_current(1);
    world_run(&world, 320); /* its start finds the damage */
    assert_true(says("repair alarm@2.0.0"));
    assert_int_equal(count("start updater"), 1);
    world_run(&world, 120000);

    assert_int_equal(count("start updater"), 2);
    assert_true(serves(&world.models[0], 2));
    assert_true(serves(alarm_here, ALARM + 2));
}

/* An execution of `version`, where `current` serves or, negative, is down. */
static void put_in_queue(struct flo_agent_model *model, const char *name, int version, int current,
                         uint64_t seq)
{
    memset(model, 0, sizeof(*model));
    snprintf(model->name, sizeof(model->name), "%s", name);
    model->live = current > 0 ? FLO_AGENT_CURRENT : -1;
    if (current != 0) {
        model->slots.current.digest = world_digest(current > 0 ? current : -current);
    }
    model->has_execution = true;
    model->execution.state = FLO_EXECUTION_ACCEPTED;
    model->execution.release.digest = world_digest(version);
    model->execution.seq = seq;
    if (seq != 0) {
        snprintf(model->execution.order, sizeof(model->execution.order), "o");
    }
}

static void the_queue_has_one_order(void **state)
{
    static struct flo_agent agent;
    uint32_t order[FLO_AGENT_MODELS_MAX];

    (void)state;
    put_in_queue(&agent.models[0], "a-deploy", 3, 2, 9);
    put_in_queue(&agent.models[1], "b-first", 5, 0, 99);
    put_in_queue(&agent.models[2], "c-repair", 2, 2, 0);
    put_in_queue(&agent.models[3], "d-repair-behind-previous", 4, 2, 0);
    put_in_queue(&agent.models[4], "e-repair-down", 6, -6, 0);
    put_in_queue(&agent.models[5], "f-soaks", 3, 2, 1);
    agent.models[5].execution.state = FLO_EXECUTION_SOAKING;

    assert_int_equal(flo_queue_order(&agent, order), 5);
    assert_int_equal(order[0], 4);
    assert_int_equal(order[1], 1);
    assert_int_equal(order[2], 0);
    assert_int_equal(order[3], 2);
    assert_int_equal(order[4], 3);
}

/* ---- removing ---- */

static void a_removed_model_is_gone_and_the_other_serves_on(void **state)
{
    (void)state;
    boot();
    remove_by_hand(1);
    world_run(&world, 10000);

    assert_true(flo_digest_is_zero(&alarm_here->slots.current));
    assert_int_equal(alarm_here->live_version, 0);
    assert_int_equal(world.acks_done, 1);
    assert_true(is_current(2));
    assert_int_equal(world.held, 0);
    assert_true(flo_agent_is_idle(&world.agent, 1));
    assert_story("models-remove");
}

static void requests_get_five_seconds_before_a_model_is_gone(void **state)
{
    (void)state;
    world.drain_ms = 60000;
    boot();
    remove_by_hand(1);
    world_run(&world, 4000);
    assert_false(flo_digest_is_zero(&alarm_here->slots.current));
    world_run(&world, 2000);

    assert_true(flo_digest_is_zero(&alarm_here->slots.current));
}

static void a_removal_ends_its_update_and_no_other(void **state)
{
    (void)state;
    boot();
    world_desire(&world, ALARM + 3, 1);
    world_desire(&world, 3, 2);
    world_run(&world, 150);
    remove_by_hand(1);
    world_run(&world, 60000);

    assert_int_equal(end_of("r-0001.1"), FLO_EXECUTION_SUPERSEDED);
    assert_int_equal(end_of("r-0002.1"), FLO_EXECUTION_SUCCEEDED);
    assert_true(is_current(3));
}

/* Its engine would outlive the model, and nobody would end it. */
static void a_model_that_is_being_removed_does_not_go_back(void **state)
{
    const struct flo_agent_event by_hand = {
        .kind = FLO_AGENT_GO_BACK, .model = 1, .fits_both = true};

    (void)state;
    world.drain_ms = 60000;
    boot();
    remove_by_hand(1);
    world_run(&world, 1000);
    world_order(&world, FLO_ORDER_ROLLBACK, ALARM + 2);
    world_event(&world, &by_hand);
    assert_false(world.agent.models[1].going_back.is_active);
    assert_int_equal(world.acks_ignored, 1);
    assert_int_equal(world.acks_refused, 1);
    world_run(&world, 60000);

    assert_true(flo_digest_is_zero(&alarm_here->slots.current));
    assert_int_equal(alarm_here->live_version, 0);
    assert_int_equal(world.acks_done, 1);
    assert_true(flo_agent_is_idle(&world.agent, 1));
}

static void a_removal_ends_a_rollback_under_way(void **state)
{
    (void)state;
    boot();
    world_order(&world, FLO_ORDER_ROLLBACK, ALARM + 2);
    world_run(&world, 50);
    assert_true(world.agent.models[1].going_back.is_active);
    remove_by_hand(1);
    assert_false(world.agent.models[1].going_back.is_active);
    assert_int_equal(world.acks_ignored, 1);
    world_run(&world, 10000);

    assert_true(flo_agent_is_idle(&world.agent, 1));
}

static void the_newest_order_to_remove_is_answered(void **state)
{
    struct flo_order order = {.op = FLO_ORDER_REMOVE, .id = "o-0001"};
    const struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .model = 1, .order = &order};

    (void)state;
    boot();
    world_event(&world, &event);
    snprintf(order.id, sizeof(order.id), "o-0002");
    world_event(&world, &event);

    assert_string_equal(world.agent.models[1].removal.order, "o-0002");
    world_run(&world, 10000);
    assert_int_equal(world.acks_running, 2);
    assert_int_equal(world.acks_done, 1);
}

static void a_sleep_is_no_time_for_requests_to_end(void **state)
{
    (void)state;
    world.drain_ms = 60000;
    boot();
    remove_by_hand(1);
    world_run(&world, 1000);
    world_sleep(&world, 3600000);
    world_run(&world, 1000);
    assert_false(flo_digest_is_zero(&alarm_here->slots.current));
    world_run(&world, 6000);

    assert_true(flo_digest_is_zero(&alarm_here->slots.current));
}

static void a_removal_that_the_disk_refuses_is_tried_again(void **state)
{
    (void)state;
    boot();
    world.slots_fail = true;
    remove_by_hand(1);
    world_run(&world, 2000);
    assert_false(flo_digest_is_zero(&alarm_here->slots.current));
    assert_int_equal(alarm_here->live_version, 0);
    world.slots_fail = false;
    world_run(&world, 20000);

    assert_true(flo_digest_is_zero(&alarm_here->slots.current));
}

static void a_removed_model_can_come_again(void **state)
{
    (void)state;
    boot();
    remove_by_hand(1);
    world_run(&world, 10000);
    world_desire(&world, ALARM + 3, 1);
    world_run(&world, 60000);

    assert_true(serves(alarm_here, ALARM + 3));
}

/* ---- starts ---- */

static void all_models_serve_after_a_start(void **state)
{
    (void)state;
    boot();
    world_boot(&world);
    world_run(&world, 1000);

    assert_true(is_current(2));
    assert_true(serves(alarm_here, ALARM + 2));
    assert_true(serves(site_here, SITE + 2));
    assert_story("models-boot");
}

/* The power fails after each action of two updates and a rollback. */
static void power_may_fail_while_three_models_move(void **state)
{
    uint64_t cut;

    (void)state;
    for (cut = 1; cut < 140; cut++) {
        world_deinit(&world);
        three_models(NULL);
        world.cut_after = cut;
        boot();
        world_desire(&world, 3, 1);
        world_desire(&world, ALARM + 3, 2);
        world_run(&world, 700);
        world_order(&world, FLO_ORDER_ROLLBACK, SITE + 2);
        world_run(&world, 60000);
        if (world.is_off) {
            world.cut_after = 0;
            world_boot(&world);
            world_run(&world, 1000);
            world_desire(&world, 3, 1);
            world_desire(&world, ALARM + 3, 2);
            world_order(&world, FLO_ORDER_ROLLBACK, SITE + 2);
            world_run(&world, 120000);
        }
        assert_true(is_current(3));
        assert_true(serves(alarm_here, ALARM + 3));
        assert_true(serves(site_here, SITE + 1));
    }
}

/* ---- any sequence ---- */

static uint64_t random_next(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *random >> 33;
}

static void any_word(uint64_t *random, uint64_t *seq)
{
    uint64_t chance = random_next(random);
    int model = (int)(random_next(random) % 3) * 100;
    int version = model + 1 + (int)(random_next(random) % 6);

    switch (chance % 8) {
    case 0:
    case 1:
    case 2:
        world_desire(&world, version, ++*seq);
        break;
    case 3:
        world_order(&world, FLO_ORDER_ROLLBACK, version);
        break;
    case 4:
        world_order(&world, (chance & 8) != 0 ? FLO_ORDER_FREEZE : FLO_ORDER_UNFREEZE, 0);
        break;
    case 5:
        remove_by_hand((uint32_t)(model / 100));
        break;
    case 6:
        world.probe_error = (chance & 8) != 0 ? FLO_E_PROBE_GOLDEN : 0;
        world.fits_one_only = (chance & 16) != 0;
        world.candidate_crashes = (chance & 32) != 0 ? 2 : 0;
        break;
    default:
        world.is_off = (chance & 56) == 0;
        if (world.is_off) {
            world_boot(&world);
        }
        break;
    }
}

/* After each step the core asserts its own invariants: one execution moves, no
 * job while frozen, what is live is ready, each candidate has its execution. */
static void any_words_about_three_models_keep_every_promise(void **state)
{
    uint64_t random = 3;

    (void)state;
    for (int life = 0; life < 60; life++) {
        uint64_t seq = 0;

        world_deinit(&world);
        three_models(NULL);
        boot();
        for (int i = 0; i < 60; i++) {
            any_word(&random, &seq);
            world_run(&world, random_next(&random) % 4000);
            world.trace.bytes = 0;
        }
        world_order(&world, FLO_ORDER_UNFREEZE, 0);
        world.fits_one_only = false;
        world.probe_error = 0;
        world.candidate_crashes = 0;
        world_run(&world, 7200000);
        for (uint32_t m = 0; m < WORLD_MODELS_MAX; m++) {
            const struct world_model *model = &world.models[m];

            assert_false(world.agent.models[m].has_execution);
            assert_true(flo_digest_is_zero(&model->slots.candidate));
            if (!flo_digest_is_zero(&model->slots.current)) {
                assert_int_not_equal(model->live_version, 0);
            }
        }
    }
}

#define WITH(test, given) cmocka_unit_test_setup_teardown(test, given, story_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_device_with_a_model_takes_another_one),
        WITH(more_models_than_the_configuration_allows_are_refused, two_models),
        WITH(a_model_without_memory_is_refused_and_not_denied, two_models),
        WITH(a_refused_model_takes_no_place, two_models),
        WITH(updates_of_two_models_take_turns_and_soak_side_by_side, two_models),
        WITH(the_lower_number_goes_first, three_models),
        WITH(a_paused_update_lets_others_pass, two_models),
        WITH(a_network_that_fails_one_lets_the_other_try, two_models),
        WITH(a_rollback_runs_beside_the_download_of_another, two_models),
        WITH(a_rollback_takes_the_memory_of_anothers_probe, two_models),
        WITH(an_abort_ends_the_update_of_its_rollout_only, two_models),
        WITH(a_model_that_serves_nothing_is_repaired_first, two_models),
        WITH(two_damaged_models_are_repaired_one_after_the_other, two_models),
        WITH(a_removed_model_is_gone_and_the_other_serves_on, two_models),
        WITH(requests_get_five_seconds_before_a_model_is_gone, two_models),
        WITH(a_removal_ends_its_update_and_no_other, two_models),
        WITH(the_queue_has_one_order, two_models),
        WITH(a_removal_ends_a_rollback_under_way, two_models),
        WITH(the_newest_order_to_remove_is_answered, two_models),
        WITH(a_sleep_is_no_time_for_requests_to_end, two_models),
        WITH(a_model_that_is_being_removed_does_not_go_back, two_models),
        WITH(a_removal_that_the_disk_refuses_is_tried_again, two_models),
        WITH(a_removed_model_can_come_again, two_models),
        WITH(all_models_serve_after_a_start, three_models),
        WITH(power_may_fail_while_three_models_move, three_models),
        WITH(any_words_about_three_models_keep_every_promise, three_models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
