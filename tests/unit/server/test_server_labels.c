/* Labels of a rollout's scan: those of its policy and pairs of them, their
 * names, and what is left out. */
#include "server-stub/core/gate/analysis/analysis.h"
#include "server-stub/mqtt/evidence.h"
#include "server-stub/state/rollouts/view.h"
#include "server-stub/state/rollouts/work.h"
#include "server-stub/telemetry/observe/observe.h"
#include "tests/unit/server/world.h"

#define SITES 40
#define DEVICES 1200

/* Labels of a device, by its number. */
typedef void labels_fn(int number, char *out, size_t bytes);

static void enrol_one(struct world *world, int number, const char *labels)
{
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};
    char id[37], name[16];
    bool is_news;

    snprintf(id, sizeof(id), "%08d-0000-4000-8000-000000000000", number);
    snprintf(name, sizeof(name), "more-%d", number);
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = labels,
                                      .profile = "{\"arch\":\"x86_64\",\"kernel\":\"avx2\"}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 1};
    assert_int_equal(
        flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
    assert_int_equal(
        flo_fleet_device_online(world->controller->store, id, true, &is_news, &world->err), 0);
}

static void enrol_all(struct world *world, labels_fn *labels_of)
{
    char labels[320];

    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < DEVICES; i++) {
        labels_of(i, labels, sizeof(labels));
        enrol_one(world, i, labels);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static struct flo_rollout_entry *create(struct world *world, const char *text)
{
    struct flo_rollout_entry *entry = NULL;
    json_t *json = json_loads(text, 0, NULL);

    assert_non_null(json);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    int rv = flo_rollouts_create(world->controller, json, &(struct flo_actor){"ops", "user:ops"},
                                 false, &entry, &world->err);
    json_decref(json);
    if (rv < 0) {
        fail_msg("%s", world->err.what);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    return entry;
}

static struct flo_observe_analysis *labels_of(struct world *world, struct flo_rollout_entry *entry)
{
    struct flo_observe_analysis *analysis = flo_observe_analysis_new(entry->core.member_count);

    assert_int_equal(flo_rollouts_slices_ask(world->controller, entry, analysis, &world->err), 0);
    return analysis;
}

static struct flo_slice slice_of(const struct flo_rollout_entry *entry,
                                 const struct flo_observe_analysis *analysis, uint16_t label,
                                 int device)
{
    char id[37];

    snprintf(id, sizeof(id), "%08d-0000-4000-8000-000000000000", device);
    size_t at = flo_rollout_find(&entry->core, id);
    assert_true(at < entry->core.member_count);
    return (struct flo_slice){.label = label,
                              .value = analysis->values[label * entry->core.member_count + at]};
}

/* The name of a device's slice. */
static void name_of(struct world *world, struct flo_rollout_entry *entry, uint16_t label,
                    int device, char *out)
{
    struct flo_analysis_evidence *evidence = calloc(1, sizeof(*evidence));
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    uint8_t *in = NULL;

    evidence->slices.count = 1;
    analysis->found[0].slice = slice_of(entry, analysis, label, device);
    assert_int_equal(flo_rollouts_slices_name(entry, analysis, evidence, &in, &world->err), 0);
    memcpy(out, evidence->slices.rows[0].name, FLO_SLICE_TEXT);
    flo_observe_analysis_free(analysis);
    free(evidence);
    free(in);
}

/* ---- pairs ---- */

static void site_and_rack(int number, char *out, size_t bytes)
{
    snprintf(out, bytes, "{\"site\":\"s%d\",\"rack\":\"r%d\"}", number % SITES, number / SITES % 2);
}

#define PAIRED                                                                                     \
    "{\"release\":\"tiny@2.1.0\",\"labels\":[\"site&rack\",\"site\","                              \
    "\"rack\"]}"

static void a_policy_names_labels_and_pairs_of_them(void **state)
{
    struct world *world = *state;
    char name[FLO_SLICE_TEXT];

    enrol_all(world, site_and_rack);
    struct flo_rollout_entry *entry = create(world, PAIRED);
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    assert_int_equal(analysis->label_count, 3); /* pairs come last */
    assert_int_equal(analysis->labels[0].count, SITES);
    assert_int_equal(analysis->labels[1].count, 2);
    assert_int_equal(analysis->labels[2].count, 2 * SITES);
    assert_int_equal(analysis->labels[2].judged, 2 * SITES);
    assert_true(analysis->labels[2].needs_own);
    assert_false(analysis->labels[0].needs_own);
    flo_observe_analysis_free(analysis);
    name_of(world, entry, 2, 10, name);
    assert_string_equal(name, "site&rack=s10&r0");
    name_of(world, entry, 2, 10 + SITES, name);
    assert_string_equal(name, "site&rack=s10&r1");
    name_of(world, entry, 0, 10, name);
    assert_string_equal(name, "site=s10");
}

static void without_a_word_they_are_the_class_and_the_site(void **state)
{
    struct world *world = *state;
    char name[FLO_SLICE_TEXT];

    enrol_all(world, site_and_rack);
    struct flo_rollout_entry *entry = create(world, "{\"release\":\"tiny@2.1.0\"}");
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    assert_int_equal(analysis->label_count, 2);
    flo_observe_analysis_free(analysis);
    name_of(world, entry, 0, 3, name);
    assert_memory_equal(name, "hw=x86_64", 9);
    name_of(world, entry, 1, 3, name);
    assert_string_equal(name, "site=s3");
}

/* A row and a probe of a pair are of its members alone. */
static void its_members_get_a_bit_for_each_row_and_probe(void **state)
{
    struct world *world = *state;
    struct flo_analysis_evidence *evidence = calloc(1, sizeof(*evidence));
    uint8_t *in = NULL;
    size_t rows = 0, probes = 0;

    enrol_all(world, site_and_rack);
    struct flo_rollout_entry *entry = create(world, PAIRED);
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    evidence->slices.count = 1;
    analysis->found[0].slice = slice_of(entry, analysis, 2, 10);
    evidence->probe_count = 2;
    analysis->probed[0] = slice_of(entry, analysis, 0, 11);
    analysis->probed[1] = slice_of(entry, analysis, 2, 11);
    assert_int_equal(flo_rollouts_slices_name(entry, analysis, evidence, &in, &world->err), 0);
    assert_string_equal(evidence->probes[0].name, "site=s11");
    assert_string_equal(evidence->probes[1].name, "site&rack=s11&r0");
    for (size_t m = 0; m < entry->core.member_count; m++) {
        uint8_t bits = in[entry->core.member_count + m];
        rows += in[m];
        probes += bits & 1;
        assert_true(bits == 0 || bits == 1 || bits == 3);
    }
    assert_int_equal(rows, DEVICES / SITES / 2);
    assert_int_equal(probes, DEVICES / SITES);
    flo_observe_analysis_free(analysis);
    free(evidence);
    free(in);
}

/* Members that a probe brought. */
static size_t probes_in(const struct flo_rollout *core)
{
    size_t probes = 0;

    for (size_t i = 0; i < core->member_count; i++) {
        probes += core->members[i].is_probe ? 1 : 0;
    }
    return probes;
}

/* Their swaps are waves of their own, also after a start in between. */
static void probes_are_known_after_a_start(void **state)
{
    struct world *world = *state;
    struct flo_rollout_analysis *of = calloc(1, sizeof(*of));
    uint8_t *in = NULL;
    char id[FLO_NAME_MAX + 1];

    enrol_all(world, site_and_rack);
    struct flo_rollout_entry *entry = create(world, PAIRED);
    snprintf(id, sizeof(id), "%s", entry->core.id);
    struct flo_observe_analysis *analysis = labels_of(world, entry);
    of->evidence.block = 100;
    of->evidence.segment_count = entry->core.segment_count;
    of->evidence.probe_count = 1;
    analysis->probed[0] = slice_of(entry, analysis, 2, 10);
    assert_int_equal(flo_rollouts_slices_name(entry, analysis, &of->evidence, &in, &world->err), 0);
    of->slices = in;
    of->probes = in + entry->core.member_count;
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_rollouts_step(world->controller, entry,
                                       (struct flo_rollout_event){
                                           .kind = FLO_ROLLOUT_EVENT_ANALYSIS, .analysis = of},
                                       &world->err),
                     0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(of->finding.probed[0], 3);
    assert_int_equal(probes_in(&entry->core), 3);

    flo_rollouts_forget(world->controller);
    assert_int_equal(flo_rollouts_find(world->controller, id, &entry, &world->err), 0);
    assert_int_equal(probes_in(&entry->core), 3);
    assert_int_equal(entry->core.probed_count, 1);
    flo_observe_analysis_free(analysis);
    free(in);
    free(of);
}

static void hold(struct flo_rollout_entry *entry, const char *name)
{
    struct flo_analysis_state *state = &entry->core.analysis.state;

    snprintf(state->held[0], sizeof(state->held[0]), "%s", name);
    state->held_count = 1;
}

static uint8_t held_by(struct world *world, struct flo_rollout_entry *entry, int number)
{
    char id[37];

    snprintf(id, sizeof(id), "%08d-0000-4000-8000-000000000000", number);
    return flo_rollouts_slices_of(entry, flo_fleet_facts_of(world->controller->store, id));
}

/* Who joins is kept out where it has both. */
static void who_joins_is_of_a_pair_with_both_values(void **state)
{
    struct world *world = *state;

    enrol_all(world, site_and_rack);
    struct flo_rollout_entry *entry = create(world, PAIRED);
    hold(entry, "site&rack=s10&r0");
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    enrol_one(world, 5000, "{\"site\":\"s10\",\"rack\":\"r0\"}");
    enrol_one(world, 5001, "{\"site\":\"s10\",\"rack\":\"r1\"}");
    enrol_one(world, 5002, "{\"site\":\"s10\"}");
    enrol_one(world, 5003, "{\"rack\":\"r0\"}");
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    assert_int_equal(held_by(world, entry, 5000), 1);
    assert_int_equal(held_by(world, entry, 5001), 0);
    assert_int_equal(held_by(world, entry, 5002), 0);
    assert_int_equal(held_by(world, entry, 5003), 0);
}

/* "a&b" with "c", and "a" with "b&c". */
static void with_ampersands(int number, char *out, size_t bytes)
{
    snprintf(out, bytes, "{\"site\":\"%s\",\"rack\":\"%s\"}", number % 2 == 0 ? "a&b" : "a",
             number % 2 == 0 ? "c" : "b&c");
}

static void pairs_that_read_alike_are_told_apart(void **state)
{
    struct world *world = *state;
    char one[FLO_SLICE_TEXT], other[FLO_SLICE_TEXT];

    enrol_all(world, with_ampersands);
    struct flo_rollout_entry *entry = create(world, PAIRED);
    name_of(world, entry, 2, 0, one);
    name_of(world, entry, 2, 1, other);
    assert_memory_equal(one, "site&rack=a&b&c…#", 19);
    assert_memory_equal(other, "site&rack=a&b&c…#", 19);
    assert_string_not_equal(one, other);
    hold(entry, one);
    assert_int_equal(held_by(world, entry, 0), 1);
    assert_int_equal(held_by(world, entry, 1), 0);
}

/* ---- what is left out ---- */

static void each_its_own(int number, char *out, size_t bytes)
{
    snprintf(out, bytes, "{\"site\":\"s%d\",\"serial\":\"n%d\"}", number % SITES, number);
}

static const char *text_in(const json_t *json, const char *key)
{
    return json_string_value(json_object_get(json, key));
}

static json_t *scan_in(const json_t *view, size_t index)
{
    return json_array_get(json_object_get(view, "scans"), index);
}

static void a_label_with_too_many_values_says_what_is_left_out(void **state)
{
    struct world *world = *state;
    static const char note[] =
        "serial: 1000 of 1200 values are scanned, those with the most devices; "
        "the other 200 devices are in none of its slices; room: no device has "
        "it, so nothing is looked for there";
    json_t *view = NULL;
    json_t *gate;
    size_t i, noted = 0;

    enrol_all(world, each_its_own);
    struct flo_rollout_entry *entry =
        create(world, "{\"release\":\"tiny@2.1.0\",\"labels\":[\"site\","
                      "\"serial\",\"room\"]}");
    assert_int_equal(flo_object_rollout(world->controller, entry, 0, &view, &world->err), 0);
    assert_null(json_object_get(view, "scans")); /* they are not read yet */
    json_decref(view);
    assert_int_equal(flo_rollouts_labels_read(world->controller, entry, &world->err), 0);
    assert_int_equal(flo_object_rollout(world->controller, entry, 0, &view, &world->err), 0);
    assert_string_equal(text_in(scan_in(view, 0), "text"), "site: 40 values");
    json_t *serial = scan_in(view, 1);
    assert_int_equal(json_integer_value(json_object_get(serial, "values")), FLO_SLICE_VALUES_MAX);
    assert_int_equal(json_integer_value(json_object_get(serial, "left_devices")), 200);
    json_array_foreach(json_object_get(view, "gates"), i, gate)
    {
        const char *said = text_in(gate, "note");
        noted += said != NULL && strcmp(said, note) == 0 ? 1 : 0;
        assert_true(said == NULL || strcmp(said, note) == 0);
        assert_true(said == NULL || strcmp(text_in(gate, "gate"), "engine_rss") != 0);
    }
    assert_true(noted >= 4);
    json_decref(view);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_policy_names_labels_and_pairs_of_them),
        TEST(without_a_word_they_are_the_class_and_the_site),
        TEST(its_members_get_a_bit_for_each_row_and_probe),
        TEST(probes_are_known_after_a_start),
        TEST(who_joins_is_of_a_pair_with_both_values),
        TEST(pairs_that_read_alike_are_told_apart),
        TEST(a_label_with_too_many_values_says_what_is_left_out),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
