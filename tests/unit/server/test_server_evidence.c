/* Evidence on its whole way: telemetry of devices comes in, the lane stores it
 * and adds it up, the rollout is stepped, and the store can tell it again. */
#include <event2/event.h>

#define send device_sends /* sockets have a function of that name */
#include "unit/server/world.h"
#include "unit/waits.h"

#include "server-stub/mqtt/evidence.h"
#include "server-stub/state/rollouts/view.h"
#include "server-stub/state/rollouts/work.h"

#define SPEC                                                                                       \
    "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"devices\":1},"                                     \
    "{\"share_pct\":100}],\"on_fail\":\"halt\",\"gates\":{\"ratio\":["                             \
    "{\"metric\":\"ttft_us\",\"devices_min\":1,\"samples_min\":50}]}}"

struct scene {
    struct world *world;
    struct event_base *base;
    struct flo_rollout_entry *entry;
    size_t canary;
    uint64_t seq;
};

static void on_news(void *context)
{
    (void)context;
}

static void scene_begin(struct scene *scene, struct world *world)
{
    struct flo_lane *lane = world->controller->lane;

    *scene = (struct scene){.world = world, .base = event_base_new()};
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    add_release(world, 2, "2.0.0", NEXT_DIGEST);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        flo_lane_device(lane, ids[i], "x86_64 avx2 4g");
    }
    flo_lane_release(lane, DIGEST, "tiny", "1", "");
    flo_lane_release(lane, NEXT_DIGEST, "tiny", "2", "");
    assert_int_equal(flo_lane_start(lane, scene->base, NULL, on_news, NULL, &world->err), 0);
    scene->entry = start(world, SPEC);
    if (scene->entry == NULL) {
        fail_msg("%s", world->err.what);
    }
    scene->canary = device_in_phase(scene->entry, 0);
}

static void scene_end(struct scene *scene)
{
    flo_lane_stop(scene->world->controller->lane);
    event_base_free(scene->base);
}

/* A window of 100 requests that took so long to their first token. */
static void measures(struct scene *scene, size_t device, const char *release, uint64_t us)
{
    struct flo_histogram *values = calloc(1, sizeof(*values));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) payload = {0};
    char topic[FLO_TOPIC_TEXT];

    for (uint64_t i = 0; i < 100; i++) {
        flo_histogram_add(values, us + i);
    }
    flo_histogram_encode(values, &text);
    free(values);
    flo_buf_printf(&payload,
                   "{\"v\":1,\"seq\":%llu,\"at_ms\":%llu,\"window_ms\":1000,"
                   "\"model\":\"tiny\",\"version\":\"x\",\"release\":\"%s\","
                   "\"histograms\":{\"ttft_us\":\"%s\"}}",
                   (unsigned long long)++scene->seq, (unsigned long long)waits_wall_ms(), release,
                   text.data);
    snprintf(topic, sizeof(topic), "flotilla/v1/demo/d/%s/tele", ids[device]);
    flo_lane_feed(
        scene->world->controller->lane,
        &(struct flo_mqtt_message){.topic = topic, .data = payload.data, .bytes = payload.bytes});
}

static void all_measure(struct scene *scene, uint64_t updated_us)
{
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        bool is_canary = i == scene->canary;
        measures(scene, i, is_canary ? DIGEST : NEXT_DIGEST, is_canary ? updated_us : 400000);
    }
}

/* Tick and let answers come until the rollout says so. */
static void ask_until(struct scene *scene, bool (*is_so)(struct scene *))
{
    struct timeval pause = {.tv_usec = 20000};

    WAIT_TURNING(is_so(scene), {
        scene->world->controller->rollouts->evidence_at_ms = 0; /* it is due */
        flo_evidence_tick(scene->world->controller, waits_now_ms());
        event_base_loopexit(scene->base, &pause);
        event_base_dispatch(scene->base);
    });
}

static bool is_halted(struct scene *scene)
{
    return scene->entry->core.state == FLO_ROLLOUT_HALTED;
}

static bool is_in_second_phase(struct scene *scene)
{
    return scene->entry->core.phase == 1;
}

static bool is_compared(struct scene *scene)
{
    return scene->entry->core.compared[1].has_evidence;
}

static bool has_passed(struct scene *scene)
{
    return scene->entry->core.compared[1].verdict == FLO_VERDICT_PASS &&
           scene->entry->core.compared[1].has_evidence;
}

static bool has_waiting_samples(struct scene *scene)
{
    return scene->entry->core.compared[1].waiting.samples >= 100;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void telemetry_of_a_slow_release_halts_the_rollout(void **state)
{
    struct scene scene;
    scene_begin(&scene, *state);

    /* before its swap the canary had the old one: that is no second arm */
    measures(&scene, scene.canary, NEXT_DIGEST, 400000);
    all_measure(&scene, 800000);
    ask_until(&scene, is_halted);

    assert_non_null(strstr(scene.entry->core.reason, "ttft_us p95"));
    assert_non_null(strstr(scene.entry->core.reason, "limit 1.35"));
    json_t *gates = flo_object_rollout_gates(&scene.entry->core);
    const json_t *gate = json_array_get(gates, 1);
    assert_string_equal(text_of(gate, "verdict"), "fail");
    assert_string_equal(text_of(gate, "hardware"), "x86_64 avx2 4g");
    const json_t *updated = json_object_get(gate, "updated");
    const json_t *waiting = json_object_get(gate, "waiting");
    assert_int_equal(json_integer_value(json_object_get(updated, "devices")), 1);
    assert_int_equal(json_integer_value(json_object_get(waiting, "devices")), 2);
    assert_int_equal(json_integer_value(json_object_get(waiting, "samples")), 200);
    json_decref(gates);
    scene_end(&scene);
}

static void telemetry_of_a_fast_release_lets_the_phase_go(void **state)
{
    struct scene scene;
    scene_begin(&scene, *state);

    ask_until(&scene, is_compared);
    event(scene.world, scene.canary, "soaking");
    event(scene.world, scene.canary, "succeeded");
    assert_int_equal(scene.entry->core.phases[0].state, FLO_PHASE_HELD);
    assert_non_null(strstr(scene.entry->core.reason, "each arm needs 1 device"));
    all_measure(&scene, 410000);
    ask_until(&scene, is_in_second_phase);

    assert_int_equal(scene.entry->core.state, FLO_ROLLOUT_RUNNING);
    scene_end(&scene);
}

/* Who is not in the rollout, and releases of other models, are in no arm. */
static void only_devices_and_releases_of_the_rollout_are_compared(void **state)
{
    struct scene scene;
    scene_begin(&scene, *state);

    measures(&scene, scene.canary,
             "sha256:"
             "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
             1);
    measures(&scene, (scene.canary + 1) % FLO_COUNT(ids), NEXT_DIGEST, 400000);
    ask_until(&scene, has_waiting_samples);

    assert_int_equal(scene.entry->core.compared[1].updated.samples, 0);
    assert_int_equal(scene.entry->core.compared[1].waiting.devices, 1);
    scene_end(&scene);
}

/* The answers are kept between ticks; a release that comes is among them. */
static void a_release_that_comes_during_a_rollout_is_compared_with(void **state)
{
    static const char third[] = "sha256:"
                                "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd";
    struct scene scene;
    struct flo_lane_evidence *evidence;
    struct world *world = *state;
    scene_begin(&scene, world);

    evidence = flo_evidence_ask(world->controller, scene.entry);
    assert_int_equal(evidence->waiting_count, 1);
    flo_lane_evidence_free(evidence);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    add_release(world, 3, "2.2.0", third);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    evidence = flo_evidence_ask(world->controller, scene.entry);
    assert_int_equal(evidence->waiting_count, 1);
    flo_lane_evidence_free(evidence);
    flo_rollouts_release_added(world->controller, "tiny");

    evidence = flo_evidence_ask(world->controller, scene.entry);
    assert_int_equal(evidence->waiting_count, 2);
    flo_lane_evidence_free(evidence);
    scene_end(&scene);
}

static bool leaves_nobody(struct world *world, const char *phases, uint32_t phase)
{
    char spec[400];
    struct flo_rollout_entry *entry;

    snprintf(spec, sizeof(spec),
             "{\"release\":\"tiny@2.1.0\",\"phases\":%s,\"gates\":"
             "{\"ratio\":[{\"metric\":\"ttft_us\"}]},\"hold_for_person\":true}",
             phases);
    entry = start(world, spec);
    if (entry == NULL) {
        fail_msg("%s", world->err.what);
    }
    for (uint32_t i = 0; i <= phase; i++) {
        entry->core.phases[i].state = FLO_PHASE_RUNNING;
    }
    entry->core.phase = phase;
    struct flo_lane_evidence *evidence = flo_evidence_ask(world->controller, entry);
    assert_non_null(evidence);
    bool is_last = evidence->items[0].is_last;
    flo_lane_evidence_free(evidence);
    return is_last;
}

/* A phase after it in which nobody is brings no devices to compare with. */
static void a_phase_is_the_last_when_nobody_is_behind_it(void **state)
{
    static const char all_in_two[] = "[{\"devices\":1},{\"devices\":3},{\"share_pct\":100}]";
    static const struct {
        const char *phases;
        uint32_t phase;
        bool is_last;
    } cases[] = {
        {"[{\"devices\":1},{\"share_pct\":100}]", 0, false},
        {"[{\"devices\":1},{\"share_pct\":100}]", 1, true},
        {all_in_two, 0, false},
        {all_in_two, 1, true},
        /* Nothing was compared yet: a person is asked. */
        {"[{\"devices\":3},{\"share_pct\":100}]", 0, false},
    };

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        world_setup(state);
        if (leaves_nobody(*state, cases[i].phases, cases[i].phase) != cases[i].is_last) {
            fail_msg("case %zu", i);
        }
        world_teardown(state);
    }
}

/* ---- replay ---- */

struct replay {
    struct flo_gate_rule rule;
    struct flo_gate_result result;
    char state[32];
};

static int replay_row(void *context, const struct flo_fleet_rollout *row)
{
    struct replay *replay = context;
    struct flo_comparison *evidence = calloc(1, sizeof(*evidence));
    struct flo_err err = {0};
    json_t *spec = json_loads(row->spec, 0, NULL);
    json_t *core = json_loads(row->core, 0, NULL);
    struct flo_gate_rule rules[FLO_GATES_MAX];
    uint32_t count;

    assert_int_equal(flo_gates_parse(json_object_get(spec, "gates"), rules, &count, &err), 0);
    assert_int_equal(count, 2);
    assert_int_equal(
        flo_evidence_parse(json_array_get(json_object_get(core, "evidence"), 1), evidence, &err),
        0);
    replay->rule = rules[1];
    flo_gate_evaluate(&rules[1], &(struct flo_gate_evidence){.arms = evidence}, &replay->result);
    snprintf(replay->state, sizeof(replay->state), "%s", row->state);
    json_decref(spec);
    json_decref(core);
    free(evidence);
    return 0;
}

static void a_verdict_is_replayed_from_the_store(void **state)
{
    struct scene scene;
    struct replay replay = {0};
    char then[FLO_GATE_TEXT];
    char now[FLO_GATE_TEXT];
    scene_begin(&scene, *state);
    all_measure(&scene, 800000);
    ask_until(&scene, is_halted);
    const struct flo_rollout *core = &scene.entry->core;
    flo_gate_text(&core->gates[1], &core->compared[1], then);

    assert_int_equal(flo_fleet_rollout_get(scene.world->controller->store, core->id, replay_row,
                                           &replay, &scene.world->err),
                     0);

    assert_string_equal(replay.state, "halted");
    assert_int_equal(replay.result.verdict, FLO_VERDICT_FAIL);
    flo_gate_text(&replay.rule, &replay.result, now);
    assert_string_equal(now, then);
    scene_end(&scene);
}

static void a_verdict_counts_again_after_the_rollout_is_read(void **state)
{
    struct scene scene;
    char id[FLO_NAME_MAX + 1];
    scene_begin(&scene, *state);
    all_measure(&scene, 410000);
    ask_until(&scene, has_passed);
    snprintf(id, sizeof(id), "%s", scene.entry->core.id);
    double ratio = scene.entry->core.compared[1].ratio;

    flo_rollouts_forget(scene.world->controller);
    assert_int_equal(flo_rollouts_load(scene.world->controller, &scene.world->err), 0);
    assert_int_equal(
        flo_rollouts_find(scene.world->controller, id, &scene.entry, &scene.world->err), 0);

    assert_true(scene.entry->core.compared[1].has_evidence);
    assert_int_equal(scene.entry->core.compared[1].verdict, FLO_VERDICT_PASS);
    assert_true(scene.entry->core.compared[1].ratio == ratio);
    scene_end(&scene);
}

/* ---- explain ---- */

static void explain_says_what_was_decided_and_why(void **state)
{
    struct scene scene;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    scene_begin(&scene, *state);
    all_measure(&scene, 800000);
    ask_until(&scene, is_halted);
    event(scene.world, scene.canary, "notified");

    json_t *json = flo_rollouts_explained(scene.world->controller, scene.entry);
    flo_json_dump(json, &text);

    assert_non_null(strstr(text.data, "verdict  ttft_us p95 fail"));
    assert_non_null(strstr(text.data, "why      gate ratio fails: ttft_us p95"));
    assert_non_null(strstr(text.data, "state    halted"));
    const json_t *decisions = json_object_get(json, "decisions");
    const json_t *last = json_array_get(decisions, json_array_size(decisions) - 1);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) decided = {0};
    flo_json_dump(decisions, &decided);
    assert_null(strstr(decided.data, "device   "));
    assert_null(strstr(decided.data, "ignored"));
    assert_non_null(strstr(decided.data, "gate ratio fails: ttft_us p95"));
    assert_true(json_integer_value(json_object_get(last, "at_ms")) >=
                json_integer_value(json_object_get(json, "created_at_ms")));
    assert_non_null(strstr(text.data, "ignored: the controller alone says that"));
    json_decref(json);
    scene_end(&scene);
}

static void explain_keeps_a_bounded_past(void **state)
{
    struct scene scene;
    scene_begin(&scene, *state);

    for (int i = 0; i < 3000; i++) {
        event(scene.world, scene.canary, "notified");
    }

    assert_true(scene.entry->own->trace.bytes <= 65536);
    assert_true(scene.entry->own->trace_cut > 0);
    assert_int_equal(scene.entry->own->trace.data[0], '[');
    scene_end(&scene);
}

/* Ten thousand devices say more than the buffer holds. */
static void explain_keeps_decisions_longer_than_steps_of_devices(void **state)
{
    struct scene scene;
    scene_begin(&scene, *state);

    for (int i = 0; i < 3000; i++) {
        event(scene.world, scene.canary, "notified");
    }
    assert_non_null(strstr(scene.entry->own->trace.data, " start "));
    assert_non_null(strstr(scene.entry->own->trace.data, "state    running"));
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(telemetry_of_a_slow_release_halts_the_rollout),
        WITH_WORLD(telemetry_of_a_fast_release_lets_the_phase_go),
        WITH_WORLD(only_devices_and_releases_of_the_rollout_are_compared),
        WITH_WORLD(a_release_that_comes_during_a_rollout_is_compared_with),
        cmocka_unit_test(a_phase_is_the_last_when_nobody_is_behind_it),
        WITH_WORLD(a_verdict_is_replayed_from_the_store),
        WITH_WORLD(a_verdict_counts_again_after_the_rollout_is_read),
        WITH_WORLD(explain_says_what_was_decided_and_why),
        WITH_WORLD(explain_keeps_a_bounded_past),
        WITH_WORLD(explain_keeps_decisions_longer_than_steps_of_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
