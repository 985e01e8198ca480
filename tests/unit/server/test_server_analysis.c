/* Studies in the controller: the standard of a large fleet, segments, records,
 * and an analysis over a start. */
#include <math.h>

#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/core/rollout/parts.h"
#include "server-stub/mqtt/evidence.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/telemetry/observe/observe.h"
#include "tests/unit/server/analysis_sites.h"
#include "tests/unit/server/analysis_waves.h"
#include "tests/unit/waits.h"

#define MORE 247 /* with those of the world, 250 devices */

/* Some are of another hardware class; five are of a third one. */
static void enrol_more(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < MORE; i++) {
        const char groups[1][FLO_NAME_MAX + 1] = {"all"};
        char id[37];
        char name[16];
        snprintf(id, sizeof(id), "%08d-0000-4000-8000-000000000000", i);
        snprintf(name, sizeof(name), "more-%d", i);
        struct flo_fleet_device device = {.id = id,
                                          .name = name,
                                          .labels = i < 5    ? "{\"hw\":\"rare\"}"
                                                    : i < 65 ? "{\"hw\":\"rpi5\"}"
                                                             : "{}",
                                          .profile = "{\"arch\":\"x86_64\",\"kernel\":\"avx2\"}",
                                          .groups = "[\"all\"]",
                                          .enrolled_at_ms = 1};
        assert_int_equal(
            flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
        bool is_news;
        assert_int_equal(
            flo_fleet_device_online(world->controller->store, id, true, &is_news, &world->err), 0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void a_large_fleet_has_the_gates_of_normal(void **state)
{
    struct world *world = *state;

    enrol_more(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    assert_int_equal(core->phase_count, 4);
    assert_string_equal(core->phases[0].name, "canary");
    assert_int_equal(core->phases[0].soak_ms, 4800000);
    assert_true(core->phases[3].is_hold_out);
    assert_int_equal(core->phases[3].watch_ms, 86400000);
    assert_int_equal(core->phases[0].members, 20);
    assert_int_equal(core->phases[3].members, 50);
    assert_int_equal(core->analysis.rules.count, 11);
    assert_false(core->analysis.rules.is_alarm);
}

/* ---- the order of members ---- */

static int site_of(const struct flo_rollout_member *member)
{
    return atoi(member->device) % SITES; /* those of the world have none */
}

/* Devices of each site up to and with a phase; of the world's three, none. */
static void devices_to(const struct flo_rollout *core, uint32_t phase, uint32_t *least,
                       uint32_t *most)
{
    uint32_t devices[SITES] = {0};

    for (size_t i = 0; i < core->member_count; i++) {
        const struct flo_rollout_member *member = &core->members[i];
        devices[site_of(member)] += member->phase <= phase && member->place.stratum > 0;
    }
    *least = UINT32_MAX;
    *most = 0;
    for (size_t i = 0; i < SITES; i++) {
        *least = devices[i] < *least ? devices[i] : *least;
        *most = devices[i] > *most ? devices[i] : *most;
    }
}

static void the_second_phase_begins_with_one_device_of_each_site(void **state)
{
    struct world *world = *state;
    uint32_t least, most;

    enrol_sites(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    assert_int_equal(core->phase_count, 5);
    assert_string_equal(core->phases[1].name, "cover");
    assert_int_equal(core->phases[1].soak_ms, 3600000);
    assert_int_equal(core->phases[0].members, 20); /* exposure is as before */
    assert_int_equal(core->phases[2].members, 100 - 20 - core->phases[1].members);
    assert_int_equal(core->phases[4].members, 80); /* two of each site */
    devices_to(core, 0, &least, &most);
    assert_int_equal(most, 1);
    devices_to(core, 1, &least, &most);
    assert_int_equal(least, 1);
    assert_int_equal(most, 1);
    devices_to(core, 2, &least, &most);
    assert_true(least >= 2 && most == least + 1);
    devices_to(core, 3, &least, &most);
    assert_int_equal(least, 23);
    assert_int_equal(most, 23);
}

/* An early phase names each of its devices, so agents of any age obey it; one
 * order is for the rest. */
static void a_wave_that_covers_proves_as_much_as_the_canary(void **state)
{
    struct world *world = *state;
    struct flo_statistic_rule canary, wave, early;

    enrol_sites(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    const struct flo_analysis_rules *rules = &core->analysis.rules;
    assert_int_equal(rules->cover, 2);
    flo_analysis_test(rules, 0, 0, 1, true, &canary);
    flo_analysis_test(rules, 0, 1, 1, true, &wave);
    flo_analysis_test(rules, 0, 2, 1, true, &early);
    assert_true(canary.ratio.prove_pct == 12 && wave.ratio.prove_pct == 12 &&
                early.ratio.prove_pct == 6);
    assert_true(core->phases[0].is_spread && core->phases[1].is_spread &&
                core->phases[2].is_spread && !core->phases[3].is_spread &&
                core->phases[4].is_spread);
}

static void phases_of_a_person_cover_a_label_too(void **state)
{
    struct world *world = *state;
    uint32_t least, most;

    enrol_sites(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\",\"cover\":\"site\","
                                              "\"phases\":[{\"size\":45},{\"size\":\"100%\"}]}")
                                    ->core;
    assert_int_equal(core->phase_count, 2);
    assert_int_equal(core->phases[0].members, 45);
    devices_to(core, 0, &least, &most);
    assert_int_equal(least, 1);
    assert_int_equal(most, 2);
}

static void phases_of_a_person_get_an_alarm(void **state)
{
    struct world *world = *state;

    enrol_more(world);
    struct flo_rollout *core =
        &create(world, "{\"release\":\"tiny@2.1.0\",\"phases\":[{\"size\":10},"
                       "{\"size\":\"100%\"}]}")
             ->core;
    assert_int_equal(core->phase_count, 2);
    assert_int_equal(core->analysis.rules.count, 11);
    assert_true(core->analysis.rules.is_alarm);
    assert_false(flo_rollout_analysis_waits(core, 0));
}

static void a_small_fleet_has_one_gate(void **state)
{
    struct world *world = *state;

    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    assert_int_equal(core->phase_count, 4);
    assert_int_equal(core->phases[0].devices, 1);
    assert_int_equal(core->analysis.rules.count, 0);
}

static void a_preset_fits_a_small_group(void **state)
{
    struct world *world = *state;

    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\",\"gates\":{\"preset\":"
                                              "\"normal\"}}")
                                    ->core;
    assert_int_equal(core->phase_count, 1); /* all three at once */
    assert_int_equal(core->analysis.rules.count, 11);
    assert_false(flo_rollout_analysis_waits(core, 0)); /* no control is left */
}

static void small_classes_are_one_segment(void **state)
{
    struct world *world = *state;
    uint32_t members[3] = {0};

    enrol_more(world);
    struct flo_rollout *core = &create(world, "{\"release\":\"tiny@2.1.0\"}")->core;
    assert_int_equal(core->segment_count, 3);
    assert_string_equal(core->segments[0], "x86_64 avx2 256m");
    assert_string_equal(core->segments[1], "rpi5");
    assert_string_equal(core->segments[2], "other");
    for (size_t i = 0; i < core->member_count; i++) {
        members[core->members[i].segment]++;
    }
    assert_int_equal(members[0], 182);
    assert_int_equal(members[1], 60);
    assert_int_equal(members[2], 8); /* five, and the world's three */
}

/* ---- evidence ---- */

static void analyses(struct world *world, struct flo_rollout_entry *entry, uint32_t block,
                     double change)
{
    struct flo_rollout_analysis *of = calloc(1, sizeof(*of));
    struct flo_analysis_evidence *evidence = &of->evidence;

    evidence->phase = entry->core.phase;
    evidence->block = block;
    evidence->segment_count = entry->core.segment_count;
    for (uint32_t i = 0; i < evidence->segment_count; i++) {
        evidence->segments[i].members = 50;
        evidence->segments[i].arms[FLO_MEASURE_TTFT_P95].ratio =
            (struct flo_ratio_segment){{20, change, 20 * 0.0064}, {100, 0, 100 * 0.0064}};
    }
    set_wave(evidence, 0);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(world->controller, entry,
                                       (struct flo_rollout_event){
                                           .kind = FLO_ROLLOUT_EVENT_ANALYSIS, .analysis = of},
                                       &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    free(of);
}

static int replay(void *context, const struct flo_fleet_evidence *evidence)
{
    struct flo_err err = {0};
    json_t *record = json_loads(evidence->body, 0, NULL);
    double worst;

    assert_non_null(record);
    if (flo_analysis_replay(record, NULL, NULL, &worst, &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_true(worst < 1e-9);
    assert_non_null(json_object_get(record, "digest"));
    json_decref(record);
    ++*(int *)context;
    return 0;
}

static void each_evaluation_is_stored_and_gives_the_same_verdict(void **state)
{
    struct world *world = *state;
    int records = 0;

    enrol_more(world);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];
    snprintf(id, sizeof(id), "%s", entry->core.id);
    analyses(world, entry, 100, 0);
    analyses(world, entry, 101, 0);
    analyses(world, entry, 102, 0.2);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_ROLLING_BACK);
    assert_non_null(strstr(entry->core.reason, "TTFT p95 +22.1 %"));
    assert_int_equal(
        flo_fleet_evidence_list(world->controller->store, id, 0, 10, replay, &records, &world->err),
        0);
    assert_int_equal(records, 3);
    records = 0;
    assert_int_equal(flo_fleet_evidence_list(world->controller->store, id, 101, 10, replay,
                                             &records, &world->err),
                     0);
    assert_int_equal(records, 1);
    assert_int_equal(
        flo_fleet_evidence_prune(world->controller->store, waits_wall_ms(), &world->err), 0);
    assert_int_equal(flo_fleet_evidence_prune(world->controller->store,
                                              waits_wall_ms() + 2 * FLO_FLEET_EVIDENCE_KEPT_MS,
                                              &world->err),
                     0);
    records = 0;
    assert_int_equal(
        flo_fleet_evidence_list(world->controller->store, id, 0, 10, replay, &records, &world->err),
        0);
    assert_int_equal(records, 0);
}

static void a_analysis_survives_a_start(void **state)
{
    struct world *world = *state;

    enrol_more(world);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];
    snprintf(id, sizeof(id), "%s", entry->core.id);
    analyses(world, entry, 100, 0);
    entry->core.analysis.state.looks = 2;
    entry->core.analysis.spread = 0.07;
    entry->core.analysis.state.standing[0].verdict = FLO_VERDICT_PASS;
    analyses(world, entry, 101, 0);
    uint8_t segment = entry->core.members[7].segment;
    char device[37];
    snprintf(device, sizeof(device), "%s", entry->core.members[7].device);

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, id, &entry, &world->err), 0);
    assert_int_equal(entry->core.analysis.rules.count, 11);
    assert_int_equal(entry->core.analysis.state.looks, 2);
    assert_int_equal(entry->core.analysis.state.block, 101);
    assert_true(fabs(entry->core.analysis.spread - 0.08) < 0.01);
    assert_int_equal(entry->core.analysis.state.standing[0].verdict, FLO_VERDICT_PASS);
    const struct flo_pooled_sums *wave = &entry->core.analysis.state.waves[0][FLO_READING_TTFT_P95];
    assert_true(fabs(wave->updated - 60) < 1e-9);
    assert_true(fabs(wave->squares - 360 * 0.0064) < 1e-9);
    assert_int_equal(entry->core.segment_count, 3);
    assert_string_equal(entry->core.segments[1], "rpi5");
    size_t index = flo_rollout_find(&entry->core, device);
    assert_int_equal(entry->core.members[index].segment, segment);
    assert_true(entry->core.phases[3].is_hold_out);
}

/* A gate pauses it: its devices stay in their arms until a person answers. */
static void a_paused_rollout_keeps_its_evidence(void **state)
{
    struct world *world = *state;

    enrol_more(world);
    struct flo_rollout_entry *entry =
        create(world, "{\"release\":\"tiny@2.1.0\",\"gates\":{\"preset\":"
                      "\"normal\"},\"on_fail\":\"pause\"}");
    struct flo_observe_analysis *analysis = flo_evidence_analysis(world->controller, entry);
    assert_non_null(analysis);
    assert_false(analysis->is_kept);
    flo_observe_analysis_free(analysis);
    analyses(world, entry, 100, 0);
    analyses(world, entry, 101, 0.2);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_PAUSED);
    assert_int_equal(entry->core.phases[0].state, FLO_PHASE_FAILED);
    analysis = flo_evidence_analysis(world->controller, entry);
    assert_non_null(analysis);
    assert_true(analysis->is_kept);
    assert_int_equal(analysis->member_count, entry->core.member_count);
    flo_observe_analysis_free(analysis);
}

/* Those at the site: four are updated, and twice as slow. */
static void add_devices(const struct flo_rollout_entry *entry, struct flo_rollout_analysis *of,
                        struct flo_analysis_device *out)
{
    size_t count = 0;

    for (size_t i = 0; i < entry->core.member_count; i++) {
        const struct flo_rollout_member *member = &entry->core.members[i];
        if (site_of(member) == 10) {
            out[count] = (struct flo_analysis_device){.wave = count < 4 ? 1 : 0,
                                                      .has_effect = count != 24,
                                                      .effect = count < 4 ? log(2) : 0};
            memcpy(out[count++].device, member->device, sizeof(out->device));
        }
    }
    assert_int_equal(count, 25);
    of->evidence.slices.devices = out;
    of->evidence.slices.device_count = count;
}

/* The scan's answer: all devices at a site are worse, and it is the first
 * label after the class of hardware. */
static void name_site(struct world *world, struct flo_rollout_entry *entry,
                      struct flo_observe_analysis *analysis, bool is_culprit)
{
    struct flo_rollout_analysis *of = calloc(1, sizeof(*of));
    struct flo_analysis_device devices[25];
    uint8_t *slices = NULL;

    of->evidence.phase = entry->core.phase;
    of->evidence.block = 100;
    of->evidence.segment_count = entry->core.segment_count;
    of->evidence.slices.count = 1;
    of->evidence.slices.rows[0] =
        (struct flo_analysis_slice){.measure = FLO_MEASURE_TTFT_P95,
                                    .is_culprit = is_culprit,
                                    .is_asked = !is_culprit,
                                    .members = 25,
                                    .updated = 4,
                                    .far = 4,
                                    .controls = 21,
                                    .told = {.has_effect = true, .effect = 0.7}};
    analysis->found[0].slice = (struct flo_slice){.label = 1, .value = 3};
    add_devices(entry, of, devices);
    assert_int_equal(flo_rollouts_slices_name(entry, analysis, &of->evidence, &slices, &world->err),
                     0);
    assert_string_equal(of->evidence.slices.rows[0].name, "site=s10");
    of->slices = slices;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(world->controller, entry,
                                       (struct flo_rollout_event){
                                           .kind = FLO_ROLLOUT_EVENT_ANALYSIS, .analysis = of},
                                       &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    free(slices);
    free(of);
}

static uint32_t held_in(const struct flo_rollout *core)
{
    uint32_t held = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        bool is_held = core->members[i].held != FLO_HELD_NOT;
        held += is_held ? 1 : 0;
        assert_true(!is_held || site_of(&core->members[i]) == 10);
    }
    return held;
}

static struct flo_observe_analysis *labels_of(struct world *world, struct flo_rollout_entry *entry)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(entry->core.member_count);

    assert_int_equal(flo_rollouts_slices_ask(world->controller, entry, analysis, &world->err), 0);
    assert_int_equal(analysis->label_count, 2); /* hardware, site */
    assert_int_equal(analysis->labels[1].count, SITES);
    return analysis;
}

static const char *said(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

/* The words of its one slice. */
static void assert_slice_says(const struct flo_rollout_entry *entry, const char *word)
{
    json_t *list = flo_rollouts_found_view(entry);

    assert_int_equal(json_array_size(list), 1);
    assert_non_null(strstr(said(json_array_get(list, 0), "text"), word));
    json_decref(list);
}

/* The words for people, and each device. */
static void assert_shown(struct world *world, struct flo_rollout_entry *entry)
{
    size_t counts[FLO_FOUND_COUNT];
    json_t *items = NULL;
    json_t *device;
    size_t i;

    assert_int_equal(flo_rollouts_found_show(world->controller, entry, &items, &world->err), 0);
    assert_int_equal(json_array_size(items), 1);
    json_t *one = json_array_get(items, 0);
    assert_string_equal(said(one, "slice"), "site=s10");
    assert_string_equal(said(one, "kind"), "named");
    assert_string_equal(said(one, "end"), "back");
    assert_string_equal(said(one, "text"), entry->core.reason);
    json_t *devices = json_object_get(one, "devices");
    assert_int_equal(json_array_size(devices), 25);
    json_array_foreach(devices, i, device)
    {
        assert_string_equal(said(device, "effect"), i < 4 ? "2 times" : i < 24 ? "+0.0 %" : "");
        assert_string_equal(said(device, "held"), "back");
    }
    json_decref(items);
    flo_rollouts_found_count(entry, counts);
    assert_int_equal(counts[FLO_FOUND_HELD], 0);
    assert_int_equal(counts[FLO_FOUND_BACK], 1);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    flo_rollouts_found_text(entry, &text);
    assert_string_equal(text.data, entry->core.reason);
}

static void a_named_slice_is_held_and_stays_so_over_a_start(void **state)
{
    struct world *world = *state;

    enrol_sites(world);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    char id[FLO_NAME_MAX + 1];
    snprintf(id, sizeof(id), "%s", entry->core.id);
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    name_site(world, entry, analysis, true);
    flo_observe_analysis_free(analysis);
    assert_int_equal(entry->core.state, FLO_ROLLOUT_RUNNING);
    assert_non_null(strstr(entry->core.reason, "TTFT p95 2.01 times at site="
                                               "s10: 4 of 4 updated devices "
                                               "against 21 there"));
    assert_int_equal(held_in(&entry->core), 25);
    assert_shown(world, entry);

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, id, &entry, &world->err), 0);
    assert_int_equal(entry->core.analysis.state.held_count, 1);
    assert_int_equal(held_in(&entry->core), 25);
    assert_shown(world, entry);
    analyses(world, entry, 101, 0); /* and after evidence that names nothing */
    assert_shown(world, entry);
}

static int answer(struct world *world, struct flo_rollout_entry *entry, const char *slice)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv =
        flo_rollouts_step(world->controller, entry,
                          (struct flo_rollout_event){
                              .kind = FLO_ROLLOUT_EVENT_PROMOTE, .slice = slice, .note = "ops"},
                          &world->err);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return rv;
}

static struct flo_rollout_entry *found_again(struct world *world, const char *id)
{
    struct flo_rollout_entry *entry = NULL;

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, id, &entry, &world->err), 0);
    return entry;
}

/* A person is asked about the site s10. */
static struct flo_rollout_entry *asks(struct world *world, char *id)
{
    enrol_sites(world);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    snprintf(id, FLO_NAME_MAX + 1, "%s", entry->core.id);
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    name_site(world, entry, analysis, false);
    flo_observe_analysis_free(analysis);
    assert_int_equal(held_in(&entry->core), 25);
    return entry;
}

/* Who waits there gets the release when a person says so, also after a
 * start. */
static void a_person_answers_for_a_slice_after_a_start(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];

    asks(world, id);
    struct flo_rollout_entry *entry = found_again(world, id);
    assert_int_equal(flo_analysis_asked(&entry->core.analysis.state), 1);
    assert_int_equal(held_in(&entry->core), 25);
    assert_int_equal(answer(world, entry, "site=x"), FLO_E_REST_MEANING);
    assert_slice_says(entry, "cannot tell; held there, look");
    assert_int_equal(answer(world, entry, "site=s10"), 0);
    assert_int_equal(held_in(&entry->core), 0);
    assert_slice_says(entry, "cannot tell; answered: goes on there");

    entry = found_again(world, id);
    assert_slice_says(entry, "cannot tell; answered: goes on there");
    assert_int_equal(flo_analysis_asked(&entry->core.analysis.state), 0);
    assert_int_equal(entry->core.analysis.state.held_as[0], FLO_SLICE_LET_GO);
    assert_int_equal(held_in(&entry->core), 0);
}

/* The devices bear other labels by now. */
static void an_answer_is_for_those_that_were_held(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *entry = asks(world, id);

    for (size_t i = 0; i < entry->core.member_count; i++) {
        if (entry->core.members[i].held != FLO_HELD_NOT) {
            assert_int_equal(
                flo_fleet_device_edit(world->controller->store, entry->core.members[i].device,
                                      &(struct flo_fleet_edit){.labels = "{\"site\":\"new\"}"},
                                      &world->err),
                0);
        }
    }
    entry = found_again(world, id);
    assert_int_equal(answer(world, entry, "site=s10"), 0);
    assert_int_equal(held_in(&entry->core), 0);
}

/* Places in the list are those of before: members know them. */
static void places_of_slices_survive_a_start(void **state)
{
    struct world *world = *state;
    char id[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *entry = asks(world, id);
    struct flo_analysis_state *analysis = &entry->core.analysis.state;

    snprintf(analysis->held[1], sizeof(analysis->held[1]), "site=s12");
    analysis->held_as[1] = FLO_SLICE_HELD;
    analysis->held_count = 2;
    assert_int_equal(answer(world, entry, "site=x"), FLO_E_REST_MEANING);
    analyses(world, entry, 101, 0);
    entry = found_again(world, id);
    analysis = &entry->core.analysis.state;
    assert_int_equal(analysis->held_count, 2);
    assert_string_equal(analysis->held[0], "site=s10");
    assert_int_equal(analysis->held_as[0], FLO_SLICE_ASKED);
    assert_int_equal(analysis->held_as[1], FLO_SLICE_HELD);
    assert_int_equal(answer(world, entry, "site=s10"), 0);
    assert_int_equal(held_in(&entry->core), 0);
}

static const struct flo_rollout_member *joined_at(struct world *world, const char *run,
                                                  const char *id, const char *name,
                                                  const char *labels)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = labels,
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 1};
    struct flo_rollout_entry *entry;
    bool is_news;

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(
        flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
    assert_int_equal(
        flo_fleet_device_online(world->controller->store, id, true, &is_news, &world->err), 0);
    assert_int_equal(flo_rollouts_join(world->controller, id, &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_find(world->controller, run, &entry, &world->err), 0);
    size_t index = flo_rollout_find(&entry->core, id);
    assert_int_not_equal(index, SIZE_MAX);
    return &entry->core.members[index];
}

static void who_joins_is_kept_out_where_a_slice_is_held(void **state)
{
    struct world *world = *state;
    const char *there = "90000000-0000-4000-8000-000000000000";
    char id[FLO_NAME_MAX + 1];

    asks(world, id);
    const struct flo_rollout_member *member =
        joined_at(world, id, there, "late", "{\"site\":\"s10\"}");
    assert_int_equal(member->state, FLO_EXECUTION_CANCELLED);
    assert_int_equal(member->held, FLO_HELD_THERE);
    member =
        joined_at(world, id, "90000000-0000-4000-8000-000000000001", "later", "{\"site\":\"s11\"}");
    assert_int_not_equal(member->state, FLO_EXECUTION_CANCELLED);
    assert_int_equal(member->held, FLO_HELD_NOT);

    struct flo_rollout_entry *entry = found_again(world, id);
    assert_int_equal(answer(world, entry, "site=s10"), 0);
    member = &entry->core.members[flo_rollout_find(&entry->core, there)];
    assert_int_not_equal(member->state, FLO_EXECUTION_CANCELLED);
    assert_int_equal(member->held, FLO_HELD_NOT);
}

/* The names of two sites, as a scan found them. */
static void names_of(struct world *world, struct flo_rollout_entry *entry,
                     struct flo_analysis_evidence *evidence)
{
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    uint8_t *in = NULL;

    evidence->slices.count = 2;
    analysis->found[0].slice = (struct flo_slice){.label = 1, .value = 1};
    analysis->found[1].slice = (struct flo_slice){.label = 1, .value = 2};
    assert_int_equal(flo_rollouts_slices_name(entry, analysis, evidence, &in, &world->err), 0);
    flo_observe_analysis_free(analysis);
    free(in);
}

/* 200 characters are the same, and a hold goes by the name. */
static void sites_with_long_names_are_told_apart(void **state)
{
    struct world *world = *state;
    struct flo_analysis_evidence *evidence = calloc(1, sizeof(*evidence));
    const struct flo_analysis_slices *slices = &evidence->slices;
    char prefix[201];

    memset(prefix, 'x', sizeof(prefix) - 1);
    prefix[sizeof(prefix) - 1] = '\0';
    enrol_sites_of(world, prefix);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    names_of(world, entry, evidence);
    assert_memory_equal(slices->rows[0].name, "site=xxx", 8);
    assert_int_equal(strlen(slices->rows[0].name), FLO_SLICE_TEXT - 1);
    assert_string_not_equal(slices->rows[0].name, slices->rows[1].name);
    free(evidence);
}

/* It alone is read: the others keep their numbers. */
static void a_member_that_goes_leaves_the_others_numbered(void **state)
{
    struct world *world = *state;

    enrol_sites(world);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    uint16_t second = analysis->values[entry->core.member_count + 1];
    flo_observe_analysis_free(analysis);
    flo_rollout_member_remove(&entry->core, 0);
    analysis = labels_of(world, entry);
    assert_int_equal(analysis->values[entry->core.member_count], second);
    assert_int_equal(analysis->labels[1].judged, SITES);
    flo_observe_analysis_free(analysis);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_large_fleet_has_the_gates_of_normal),
        TEST(the_second_phase_begins_with_one_device_of_each_site),
        TEST(a_wave_that_covers_proves_as_much_as_the_canary),
        TEST(phases_of_a_person_cover_a_label_too),
        TEST(phases_of_a_person_get_an_alarm),
        TEST(a_small_fleet_has_one_gate),
        TEST(a_preset_fits_a_small_group),
        TEST(small_classes_are_one_segment),
        TEST(each_evaluation_is_stored_and_gives_the_same_verdict),
        TEST(a_analysis_survives_a_start),
        TEST(a_paused_rollout_keeps_its_evidence),
        TEST(a_named_slice_is_held_and_stays_so_over_a_start),
        TEST(a_person_answers_for_a_slice_after_a_start),
        TEST(an_answer_is_for_those_that_were_held),
        TEST(places_of_slices_survive_a_start),
        TEST(who_joins_is_kept_out_where_a_slice_is_held),
        TEST(sites_with_long_names_are_told_apart),
        TEST(a_member_that_goes_leaves_the_others_numbered),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
