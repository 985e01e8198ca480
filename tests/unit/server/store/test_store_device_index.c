/* The device index: selectors see what the store says, also after a change that was
 * taken back. */
#include <time.h>

#include "server-stub/store/fleet.h"
#include "tests/unit/server/store/store.h"

#define REPORT                                                                                     \
    "{\"v\":2,\"agent\":\"0.3.0\",\"profile\":{\"arch\":\"aarch64\","                              \
    "\"cpus\":4,\"memory_bytes\":8589934592,\"kernel\":\"neon_dot\","                              \
    "\"accelerators\":[{\"kind\":\"npu\"}],\"temperature_mc\":61000,"                              \
    "\"power\":{\"mains\":true,\"battery_pct\":-1}},"                                              \
    "\"models\":[{\"model\":\"help\",\"state\":\"ready\","                                         \
    "\"serving\":{\"version\":\"2.4.0\"},\"drift\":null},"                                         \
    "{\"model\":\"old\",\"state\":\"removed\"},{\"model\":7}]}"

static int add_id(void *context, const struct flo_select_device *device)
{
    flo_buf_printf(context, "%.1s ", device->values[FLO_SELECT_ID].text);
    return 0;
}

/* The first digits of the ids that fit. */
static const char *who(struct flo_fleet_store *store, const char *text)
{
    static char found[64];
    static struct flo_selector selector;
    const struct flo_selector *const all[] = {&selector};
    struct flo_select_known known = flo_fleet_known(store);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_err err = {0};

    if (flo_selector_parse(text, &known, &selector, &err) < 0) {
        return err.what[0] != '\0' ? "refused" : "?";
    }
    assert_int_equal(flo_fleet_select(store, all, 1, 1000000, add_id, &out, &err), 0);
    snprintf(found, sizeof(found), "%s", out.data != NULL ? out.data : "");
    return found;
}

static void report(struct flo_fleet_store *store, const char *id, const char *text)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) profile = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_json_parse(text, strlen(text), 65536, &json, &err), 0);
    flo_json_dump(json_object_get(json, "profile"), &profile);
    assert_int_equal(
        flo_fleet_device_reported(store, id, text, json, profile.data, false, 1, NULL, 0, &err), 0);
}

static void a_selector_sees_rows_reports_and_what_was_heard(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    bool is_news;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    report(store, OTHER, REPORT);
    assert_int_equal(
        flo_fleet_device_edit(store, DEVICE,
                              &(struct flo_fleet_edit){.labels = "{\"hw\":\"rpi5\"}",
                                                       .maintenance = "new fan",
                                                       .pins = "{\"help\":\"help@1\"}"},
                              &err),
        0);
    flo_fleet_device_heard(store, DEVICE, 999000, 5000);
    flo_fleet_device_ttft(store, DEVICE, 250000);
    assert_int_equal(flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);

    assert_string_equal(who(store, "name"), "1 2 ");
    assert_string_equal(who(store, "hw=rpi5"), "1 ");
    assert_string_equal(who(store, "not hw"), "2 ");
    assert_string_equal(who(store, "site"), "refused");
    assert_string_equal(who(store, "maintenance"), "1 ");
    assert_string_equal(who(store, "pinned=help@1"), "1 ");
    assert_string_equal(who(store, "group=all"), "1 2 ");
    assert_string_equal(who(store, "state=online"), "2 ");
    assert_string_equal(who(store, "last_seen<=1s"), "1 ");
    assert_string_equal(who(store, "rss=5000B and ttft_p95=250ms"), "1 ");
    assert_string_equal(who(store, "arch=aarch64 and kernel=neon_dot"), "2 ");
    assert_string_equal(who(store, "memory>=8GiB and cores=4"), "2 ");
    assert_string_equal(who(store, "temperature>60 and mains"), "2 ");
    assert_string_equal(who(store, "battery"), "");
    assert_string_equal(who(store, "accelerator=npu"), "2 ");
    assert_string_equal(who(store, "model=help and release.help>=2.4"), "2 ");
    assert_string_equal(who(store, "model=old"), "");
    assert_string_equal(who(store, "agent=0.3.0 and not drifts"), "2 ");

    assert_int_equal(flo_fleet_device_retire(store, OTHER, &err), 0);
    assert_string_equal(who(store, "name"), "1 ");
    assert_null(flo_fleet_facts_of(store, OTHER));
    /* The device index says the same when it is read again. */
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_string_equal(who(store, "hw=rpi5 and maintenance"), "1 ");
}

static void a_change_that_was_taken_back_is_forgotten(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    begin(store);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    report(store, DEVICE, REPORT);
    assert_int_equal(flo_fleet_device_edit(
                         store, DEVICE,
                         &(struct flo_fleet_edit){.name = "gw-9", .labels = "{\"hw\":\"rpi5\"}"},
                         &err),
                     0);
    assert_string_equal(who(store, "label.hw"), "1 ");
    flo_fleet_roll_back(store);

    assert_string_equal(who(store, "name"), "1 ");
    assert_string_equal(who(store, "label.hw or arch or name=gw-9"), "");
    begin(store);
    report(store, DEVICE, REPORT);
    commit(store);
    assert_string_equal(who(store, "arch"), "1 ");
}

#define TARGET "sha256:bb"
#define LACKS(kind)                                                                                \
    "{\"profile\":{\"arch\":\"x\"},\"models\":[{\"model\":\"help\","                               \
    "\"state\":\"ready\",\"serving\":{\"release\":\"sha256:aa\"},"                                 \
    "\"target\":{\"release\":\"" TARGET "\"},\"drift\":{\"kind\":\"" kind "\"}}]}"

static void rollout_is(struct flo_fleet_store *store, const char *id, const char *state)
{
    struct flo_err err = {0};
    struct flo_fleet_rollout row = {
        .id = id, .spec = "{}", .state = state, .core = "{}", .digest = TARGET};

    assert_int_equal(flo_fleet_rollout_put(store, &row, &err), 0);
}

static void who_refused_a_release_drifts_as_long_as_somebody_wants_it(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    bool is_news;

    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_device_online(store, DEVICE, true, &is_news, &err), 0);
    report(store, DEVICE, LACKS("denied"));
    rollout_is(store, "r-0002", "running");
    assert_string_equal(who(store, "drifts and condition=drift"), "1 ");
    rollout_is(store, "r-0002", "halted");
    assert_string_equal(who(store, "drifts or condition=drift"), "");
    /* Its update was called off with the others. */
    report(store, DEVICE, LACKS("behind"));
    assert_string_equal(who(store, "drifts or condition=drift"), "");
    report(store, DEVICE, LACKS("no-memory"));
    assert_string_equal(who(store, "drifts and condition=drift"), "1 ");
    report(store, DEVICE, LACKS("behind"));
    /* The newest rollout of it counts, and memory is as the tables are. */
    begin(store);
    rollout_is(store, "r-0003", "completed");
    assert_string_equal(who(store, "drifts"), "1 ");
    flo_fleet_roll_back(store);
    assert_string_equal(who(store, "drifts"), "");
    rollout_is(store, "r-0003", "completed");
    rollout_is(store, "r-0002", "rolled-back");
    assert_string_equal(who(store, "drifts"), "1 ");
    assert_int_equal(flo_fleet_release_state(store, TARGET, "yanked", &err), 0);
    assert_string_equal(who(store, "drifts"), "");
    assert_int_equal(flo_fleet_release_state(store, TARGET, "published", &err), 0);
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_string_equal(who(store, "condition=drift"), "1 ");
}

/* Who pinned a release wants it, though its rollout was stopped. */
static void who_lacks_its_pinned_release_drifts_until_the_pin_or_the_release_goes(void **state)
{
    const struct flo_fleet_release release = {.model = "help",
                                              .version = "2",
                                              .number = 2,
                                              .digest = TARGET,
                                              .state = "published",
                                              .body = "{}"};
    struct flo_fleet_store *store = store_of(state);
    struct flo_fleet_edit pins = {.pins = "{\"help\":\"help@2\"}"};
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_release_add(store, &release, &err), 0);
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    rollout_is(store, "r-0002", "rolled-back");
    report(store, DEVICE, LACKS("denied"));
    report(store, OTHER, LACKS("denied"));
    assert_string_equal(who(store, "drifts"), "");
    assert_int_equal(flo_fleet_device_edit(store, DEVICE, &pins, &err), 0);
    assert_string_equal(who(store, "drifts"), "1 ");
    report(store, DEVICE, LACKS("behind"));
    assert_string_equal(who(store, "drifts"), "1 ");
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_string_equal(who(store, "drifts"), "1 ");

    assert_int_equal(flo_fleet_release_state(store, TARGET, "yanked", &err), 0);
    assert_string_equal(who(store, "drifts"), "");
    assert_int_equal(flo_fleet_release_state(store, TARGET, "published", &err), 0);
    assert_string_equal(who(store, "drifts"), "1 ");
    /* A pin to another release wants nothing of this one. */
    pins.pins = "{\"help\":\"help@1\"}";
    assert_int_equal(flo_fleet_device_edit(store, DEVICE, &pins, &err), 0);
    assert_string_equal(who(store, "drifts"), "");
}

static void a_name_is_one_devices_alone(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(
        flo_fleet_device_edit(store, DEVICE, &(struct flo_fleet_edit){.name = "gw-2"}, &err),
        FLO_E_STATE);
    assert_int_equal(
        flo_fleet_device_edit(store, DEVICE, &(struct flo_fleet_edit){.name = "gw-1"}, &err), 0);
}

/* The promise of docs/benchmarks.md, by the processor's time. */
static void ten_thousand_devices_are_chosen_from(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    static struct flo_selector selector;
    const struct flo_selector *const all[] = {&selector};
    char id[37];
    char name[16];

    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    begin(store);
    for (unsigned i = 0; i < 10000; i++) {
        snprintf(id, sizeof(id), "%08x-0000-4000-8000-000000000000", i);
        snprintf(name, sizeof(name), "gw-%u", i);
        assert_int_equal(add_device(store, id, name, "lab"), 0);
        report(store, id, REPORT);
    }
    commit(store);
    assert_int_equal(flo_selector_parse("model=help and memory>1GiB and release.help<3 and "
                                        "not label.lab and arch in (x,y,aarch64)",
                                        NULL, &selector, &err),
                     0);
    clock_t start = clock();
    assert_int_equal(flo_fleet_select(store, all, 1, 1000000, add_id, &out, &err), 0);
    double ms = 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC;
    assert_int_equal(out.bytes, 20000);
    print_message("10,000 devices are chosen from in %.2f ms\n", ms);
}

static int add_facts(void *context, const struct flo_select_device *device)
{
    flo_buf_printf(context, "%.1s%s%s%s ", device->values[FLO_SELECT_ID].text,
                   device->has_reported ? " reported" : "", device->zone != NULL ? " " : "",
                   device->zone != NULL ? device->zone : "");
    return 0;
}

/* Ids do not come in the order in which devices enrol, and a rollout keeps its
 * members in order. */
static void facts_of_a_group_come_in_order_of_id(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) lab = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    report(store, OTHER, "{\"v\":2,\"profile\":{\"arch\":\"x\",\"zone\":\"Europe/Paris\"}}");

    assert_int_equal(flo_fleet_facts_each(store, NULL, add_facts, &all, &err), 0);
    assert_int_equal(flo_fleet_facts_each(store, "nobody", add_facts, &lab, &err), 0);

    assert_string_equal(all.data, "1 2 reported Europe/Paris ");
    assert_int_equal(lab.bytes, 0);

    all.bytes = 0;
    assert_int_equal(add_device(store, "01111111-1111-4111-8111-111111111111", "gw-0", "lab"), 0);
    assert_int_equal(flo_fleet_facts_each(store, NULL, add_facts, &all, &err), 0);
    assert_string_equal(all.data, "0 1 2 reported Europe/Paris ");
}

/* A request that was refused makes memory doubt who is connected; the device index
 * knows it of all whom the request did not touch. */
static void an_orders_progress_reads_no_row_for_who_is_connected(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_order_progress progress;
    struct flo_err err = {0};
    bool is_news;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    assert_int_equal(flo_fleet_outcome_put(store, "o-1", DEVICE, FLO_OUTCOME_PENDING, 0, &err), 0);
    assert_int_equal(flo_fleet_outcome_put(store, "o-1", OTHER, FLO_OUTCOME_PENDING, 0, &err), 0);
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(flo_fleet_begin(store, &err), 0);
    flo_fleet_roll_back(store);

    uint64_t before = flo_fleet_statements(store);
    assert_int_equal(flo_fleet_outcome_progress(store, "o-1", &progress, &err), 0);
    assert_int_equal(flo_fleet_statements(store) - before, 1);
    assert_int_equal(progress.online, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(a_selector_sees_rows_reports_and_what_was_heard),
        OVER_ALL(a_change_that_was_taken_back_is_forgotten),
        OVER_ALL(who_refused_a_release_drifts_as_long_as_somebody_wants_it),
        OVER_ENGINES(who_lacks_its_pinned_release_drifts_until_the_pin_or_the_release_goes),
        OVER_ALL(a_name_is_one_devices_alone),
        OVER_ALL(facts_of_a_group_come_in_order_of_id),
        OVER_ENGINES(an_orders_progress_reads_no_row_for_who_is_connected),
        {"in memory: ten_thousand_devices_are_chosen_from", ten_thousand_devices_are_chosen_from,
         in_memory, close_store, NULL},
    };

    return run_over_all("roster", tests, FLO_COUNT(tests));
}
