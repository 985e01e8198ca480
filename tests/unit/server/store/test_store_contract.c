/* The contract of the store, over every engine: devices, reports, events and
 * transactions. */
#include <flotilla/errors/device.h>
#include <flotilla/errors/release.h>
#include <flotilla/errors/rollout.h>

#include "unit/server/store/store.h"
#include "unit/waits.h"

static int count_device(void *context, const struct flo_fleet_device *device)
{
    (void)device;
    (*(int *)context)++;
    return 0;
}

static int listed(struct flo_fleet_store *store, struct flo_fleet_device_filter filter)
{
    struct flo_err err = {0};
    int count = 0;

    assert_int_equal(flo_fleet_device_list(store, &filter, count_device, &count, &err), 0);
    return count;
}

static void devices_are_found_by_id_name_and_group(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "shop"), 0);
    assert_int_equal(add_device(store, BOOT, "gw-2", "shop"), FLO_E_STATE);

    assert_int_equal(flo_fleet_device_get(store, DEVICE, NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_device_get(store, "gw-2", NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_device_get(store, "gw-3", NULL, NULL, &err), FLO_E_DEVICE_ABSENT);
    assert_int_equal(listed(store, (struct flo_fleet_device_filter){.online = -1}), 2);
    assert_int_equal(listed(store, (struct flo_fleet_device_filter){.online = -1, .group = "lab"}),
                     1);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = -1, .group = "x' OR '1'='1"}), 0);
    assert_int_equal(listed(store, (struct flo_fleet_device_filter){.online = -1, .after = DEVICE}),
                     1);
    assert_int_equal(listed(store, (struct flo_fleet_device_filter){.online = 1}), 0);
}

static int count_one(void *context, const char *device)
{
    (void)device;
    ++*(int *)context;
    return 0;
}

static void a_retired_device_frees_its_name_and_keeps_its_row(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t rev;
    int members = 0;
    bool active = true;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_device_retire(store, DEVICE, &err), 0);

    assert_int_equal(flo_fleet_device_is_active(store, DEVICE, &active, &err), 0);
    assert_false(active);
    assert_int_equal(flo_fleet_group_each(store, "lab", count_one, &members, &err), 0);
    assert_int_equal(members, 0);
    assert_int_equal(flo_fleet_device_get(store, DEVICE, NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), FLO_E_DEVICE_ABSENT);
    assert_int_equal(add_device(store, OTHER, "gw-1", "lab"), 0);
}

static int add_report_id(void *context, const struct flo_fleet_report *report)
{
    flo_buf_printf(context, "%s ", report->order);
    return 0;
}

static void a_device_keeps_its_newest_reports(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_err err = {0};

    for (unsigned i = 1; i <= FLO_FLEET_REPORTS_MAX + 2; i++) {
        char order[16];
        snprintf(order, sizeof(order), "o-%02u", i);
        struct flo_fleet_report report = {.order = order,
                                          .device = i == 1 ? OTHER : DEVICE,
                                          .op = "logs",
                                          .at_ms = i,
                                          .body = "{}"};
        assert_int_equal(flo_fleet_report_add(store, &report, &err), 0);
        assert_int_equal(flo_fleet_report_add(store, &report, &err), FLO_E_STATE);
    }
    assert_int_equal(flo_fleet_report_list(store, DEVICE, add_report_id, &all, &err), 0);
    assert_string_equal(all.data, "o-10 o-09 o-08 o-07 o-06 o-05 o-04 o-03 ");
    assert_int_equal(flo_fleet_report_get(store, "o-01", NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_report_get(store, "o-02", NULL, NULL, &err), FLO_E_ABSENT);
    assert_int_equal(flo_fleet_report_prune(store, 5 + FLO_FLEET_REPORT_KEPT_MS, &err), 0);
    assert_int_equal(flo_fleet_report_get(store, "o-04", NULL, NULL, &err), FLO_E_ABSENT);
    assert_int_equal(flo_fleet_report_get(store, "o-05", NULL, NULL, &err), 0);
}

/* The clock was set back, or several came in one millisecond. */
static void a_report_that_came_last_is_kept_whatever_the_clock_says(void **state)
{
    static const uint64_t at_ms[] = {7000, 5};
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char order[32];

    for (size_t c = 0; c < FLO_COUNT(at_ms); c++) {
        for (unsigned i = 0; i < 2 * FLO_FLEET_REPORTS_MAX; i++) {
            snprintf(order, sizeof(order), "o-%zu%02u", 1 - c, i);
            struct flo_fleet_report report = {
                .order = order, .device = DEVICE, .op = "logs", .at_ms = at_ms[c], .body = "{}"};
            assert_int_equal(flo_fleet_report_add(store, &report, &err), 0);
            assert_int_equal(flo_fleet_report_get(store, order, NULL, NULL, &err), 0);
        }
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
        assert_int_equal(flo_fleet_report_list(store, DEVICE, add_report_id, &all, &err), 0);
        assert_int_equal(all.bytes, 6 * FLO_FLEET_REPORTS_MAX);
    }
}

static int add_assignment(void *context, const char *model, const char *order)
{
    flo_buf_printf(context, "%s %s\n", model, order);
    return 0;
}

static void a_device_has_an_order_for_each_model(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_err err = {0};
    char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "tiny", "o-1", &err), 0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "help", "o-2", &err), 0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-3", &err), 0);
    assert_int_equal(flo_fleet_desired_each(store, DEVICE, add_assignment, &all, &err), 0);
    assert_string_equal(all.data, "help o-2\ntiny o-3\n");
    assert_int_equal(flo_fleet_desired_swap(store, "o-2", "", &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "help", order, &err), 0);
    assert_string_equal(order, "");
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "tiny", order, &err), 0);
    assert_string_equal(order, "o-3");
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(rev, 5);
    /* A device that is not there gets none. */
    assert_int_equal(flo_fleet_desired_set(store, OTHER, "tiny", "o-1", &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, OTHER, "tiny", order, &err), 0);
    assert_string_equal(order, "");
}

static void each_write_of_desired_raises_the_revision(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "tiny", order, &err), 0);
    assert_int_equal(rev, 1);
    assert_string_equal(order, "");
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "tiny", "o-1", &err), 0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-2", &err), 0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-3", &err), 0);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "tiny", order, &err), 0);

    assert_int_equal(rev, 3);
    assert_string_equal(order, "o-2");
}

static uint64_t event_from(struct flo_fleet_store *store, uint64_t seq, uint64_t from,
                           bool expect_new)
{
    struct flo_err err = {0};
    uint64_t last = 0;
    bool is_new = !expect_new;

    assert_int_equal(
        flo_fleet_event_add(store, DEVICE, BOOT, seq, from, 1, 2, "{}", &is_new, &last, &err), 0);
    assert_int_equal(is_new, expect_new);
    return last;
}

static uint64_t event(struct flo_fleet_store *store, uint64_t seq, bool expect_new)
{
    return event_from(store, seq, 0, expect_new);
}

/* The device says which event it awaits the acknowledgement of. */
static void no_event_that_a_device_still_has_is_acknowledged(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    assert_int_equal(event_from(store, 12, 10, true), 9); /* 10, 11: lost */
    assert_int_equal(event_from(store, 13, 10, true), 9);
    assert_int_equal(event_from(store, 13, 10, false), 9);
    assert_int_equal(event_from(store, 10, 10, true), 10);
    assert_int_equal(event_from(store, 11, 10, true), 13);
    assert_int_equal(event_from(store, 10, 10, false), 10);
    assert_int_equal(event_from(store, 14, 14, true), 14);
    assert_int_equal(event_from(store, 20, 19, true), 18);
    assert_int_equal(event_from(store, 19, 19, true), 20);
}

static void events_are_acknowledged_up_to_the_first_gap(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    assert_int_equal(event(store, 1, true), 1);
    assert_int_equal(event(store, 2, true), 2);
    assert_int_equal(event(store, 2, false), 2);
    assert_int_equal(event(store, 5, true), 2);
    assert_int_equal(event(store, 4, true), 2);
    assert_int_equal(event(store, 3, true), 5);
    assert_int_equal(event(store, 9, true), 5);
    /* Sent twice: the device has nothing older. */
    assert_int_equal(event(store, 9, false), 9);
    assert_int_equal(event(store, 1, false), 9);
}

static void what_is_rolled_back_never_was(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t number;

    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    flo_fleet_roll_back(store);
    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(flo_fleet_commit(store, &err), 0);

    assert_int_equal(number, 1);
    assert_int_equal(listed(store, (struct flo_fleet_device_filter){.online = -1}), 0);
}

static int ignore_text(void *context, const char *text)
{
    (void)context;
    (void)text;
    return 0;
}

static int ignore_rollout(void *context, const struct flo_fleet_rollout *rollout)
{
    (void)context;
    (void)rollout;
    return 0;
}

static int ignore_token(void *context, const struct flo_fleet_token *token)
{
    (void)context;
    (void)token;
    return 0;
}

static void what_is_not_there_is_named_as_absent(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t revision;

    assert_int_equal(flo_fleet_device_get(store, "x", NULL, NULL, &err), FLO_E_DEVICE_ABSENT);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &revision, &err), FLO_E_DEVICE_ABSENT);
    assert_int_equal(flo_fleet_release_get(store, "tiny", "1.0.0", NULL, NULL, &err),
                     FLO_E_RELEASE_ABSENT);
    assert_non_null(strstr(err.what, "tiny@1.0.0"));
    assert_int_equal(flo_fleet_envelope_get(store, "sha256:00", ignore_text, NULL, &err),
                     FLO_E_RELEASE_ABSENT);
    assert_int_equal(flo_fleet_rollout_get(store, "r-1", ignore_rollout, NULL, &err),
                     FLO_E_ROLLOUT_ABSENT);
    assert_int_equal(flo_fleet_order_get(store, "o-1", NULL, NULL, &err), FLO_E_ABSENT);
    assert_int_equal(flo_fleet_order_of(store, "r-1", "deploy", 0, NULL, NULL, &err), FLO_E_ABSENT);
    assert_int_equal(flo_fleet_token_get(store, "t", NULL, ignore_token, NULL, &err), FLO_E_ABSENT);
}

static void transactions_do_not_nest_and_end_once(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB);
    begin(store);
    assert_int_equal(flo_fleet_begin(store, &err), FLO_E_DB);
    commit(store);
    assert_int_equal(flo_fleet_commit(store, &err), FLO_E_DB);
    flo_fleet_roll_back(store); /* harmless */
    begin(store);
    flo_fleet_roll_back(store);
}

static int stop_at_second(void *context, const struct flo_fleet_device *device)
{
    (void)device;
    return ++*(int *)context == 2 ? FLO_E_ABSENT : 0;
}

static void a_listing_ends_with_the_answer_that_its_callback_gives(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_fleet_device_filter filter = {.online = -1};
    struct flo_err err = {0};
    int count = 0;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(add_device(store, BOOT, "gw-3", "lab"), 0);
    assert_int_equal(flo_fleet_device_list(store, &filter, stop_at_second, &count, &err),
                     FLO_E_ABSENT);
    assert_int_equal(count, 2);
    assert_int_equal(listed(store, filter), 3);
}

static void devices_are_found_by_label_release_and_connection(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    bool is_news;
    struct flo_fleet_device device = {.id = BOOT,
                                      .name = "gw-3",
                                      .labels = "{\"site\":\"oslo\"}",
                                      .profile = "{}",
                                      .groups = "[]"};
    const struct flo_fleet_model models[] = {{"help", ""}, {"tiny", "tiny@2.1.0"}};

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(flo_fleet_device_add(store, &device, NULL, 0, &err), 0);
    assert_int_equal(flo_fleet_device_reported(store, OTHER, "{}", NULL, NULL, true, 3, models,
                                               FLO_COUNT(models), &err),
                     0);
    assert_int_equal(flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    assert_true(is_news);
    assert_int_equal(flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    assert_false(is_news);

    struct flo_fleet_device_filter filter = {.online = -1, .release = "tiny@2.1.0"};
    assert_int_equal(listed(store, filter), 1);
    filter.release = "tiny@2.1.1";
    assert_int_equal(listed(store, filter), 0);
    filter = (struct flo_fleet_device_filter){.online = -1, .model = "help"};
    assert_int_equal(listed(store, filter), 1);
    filter.release = "tiny@2.1.0"; /* of another of its models */
    assert_int_equal(listed(store, filter), 1);
    assert_int_equal(
        flo_fleet_device_reported(store, OTHER, "{}", NULL, NULL, true, 3, models + 1, 1, &err), 0);
    assert_int_equal(listed(store, filter), 0);
    filter = (struct flo_fleet_device_filter){
        .online = -1, .label = "site", .label_value = "oslo", .limit = 1};
    assert_int_equal(listed(store, filter), 1);
    filter.label_value = "rome";
    assert_int_equal(listed(store, filter), 0);
    filter = (struct flo_fleet_device_filter){.online = 1};
    assert_int_equal(listed(store, filter), 1);
    filter = (struct flo_fleet_device_filter){.online = -1, .limit = 2};
    assert_int_equal(listed(store, filter), 2);

    struct flo_fleet_device_count count;
    assert_int_equal(flo_fleet_device_counts(store, &count, &err), 0);
    assert_int_equal(count.devices, 3);
    assert_int_equal(count.online, 1);
    assert_int_equal(count.drifting, 1);
}

struct moved {
    struct flo_fleet_store *store;
    int count;
};

static int move_on(void *context, const char *device)
{
    struct moved *moved = context;

    moved->count++;
    return flo_fleet_desired_set(moved->store, device, "tiny", "o-2", NULL);
}

static void a_listing_meets_each_row_once_though_its_callback_changes_them(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct moved moved = {.store = store};
    struct flo_err err = {0};

    begin(store);
    for (int i = 0; i < 50; i++) {
        char id[40];
        char name[16];
        snprintf(id, sizeof(id), "%08x-1111-4111-8111-111111111111", (unsigned)i);
        snprintf(name, sizeof(name), "n-%d", i);
        assert_int_equal(add_device(store, id, name, "lab"), 0);
        assert_int_equal(flo_fleet_desired_set(store, id, "tiny", "o-1", &err), 0);
    }
    assert_int_equal(flo_fleet_desired_holders(store, "o-1", move_on, &moved, &err), 0);
    commit(store);

    assert_int_equal(moved.count, 50);
    moved.count = 0;
    assert_int_equal(flo_fleet_desired_holders(store, "o-1", move_on, &moved, &err), 0);
    assert_int_equal(moved.count, 0);
}

static int take_event(void *context, const char *json)
{
    flo_buf_printf(context, "%s ", json);
    return 0;
}

static void add_event(struct flo_fleet_store *store, uint64_t seq, uint64_t from, uint64_t at_ms,
                      bool expect_new, uint64_t expect_mark)
{
    struct flo_err err = {0};
    char json[32];
    uint64_t mark;
    bool is_new = !expect_new;

    snprintf(json, sizeof(json), "%u@%u", (unsigned)seq, (unsigned)at_ms);
    assert_int_equal(
        flo_fleet_event_add(store, DEVICE, BOOT, seq, from, at_ms, 2, json, &is_new, &mark, &err),
        0);
    assert_int_equal(is_new, expect_new);
    assert_int_equal(mark, expect_mark);
}

/* A state folder went back from event 4 to event 2. */
static void a_number_that_was_given_to_another_event_is_not_known(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    struct flo_err err = {0};
    uint64_t oldest;

    begin(store);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        add_event(store, seq, 1, 100 + seq, true, seq);
    }
    add_event(store, 4, 1, 104, false, 4);
    add_event(store, 3, 3, 203, true, 3);
    add_event(store, 4, 3, 204, true, 4);
    add_event(store, 4, 3, 204, false, 4);
    commit(store);

    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, FLO_FLEET_ALL, 99, take_event, &texts, &oldest, &err),
        0);
    assert_string_equal(texts.data, "1@101 2@102 3@103 4@104 3@203 4@204 ");
}

/* Its report comes before its first event. */
static void a_device_that_knows_fewer_events_begins_an_outbox_anew(void **state)
{
    static const uint64_t lasts[] = {4, 2, 4, 2, 2}; /* the first 2 comes late */
    bool is_doubtful;
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t mark;

    begin(store);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        add_event(store, seq, 1, 100 + seq, true, seq);
    }
    for (size_t i = 0; i < FLO_COUNT(lasts); i++) {
        assert_int_equal(flo_fleet_event_checkpoint(store, DEVICE, BOOT, &mark, &err), 0);
        assert_int_equal(mark, 4);
        assert_int_equal(flo_fleet_event_told(store, DEVICE, BOOT, lasts[i], &is_doubtful, &err),
                         0);
        assert_int_equal(is_doubtful, i == 1 || i == 3);
    }
    assert_int_equal(flo_fleet_event_checkpoint(store, DEVICE, BOOT, &mark, &err), 0);
    assert_int_equal(mark, 0);
    add_event(store, 3, 3, 203, true, 3);
    commit(store);
}

static void the_ack_of_a_known_event_vouches_for_no_later_one(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    begin(store);
    for (uint64_t seq = 1; seq <= 4; seq++) {
        add_event(store, seq, 1, 100 + seq, true, seq);
    }
    add_event(store, 2, 2, 102, false, 2);
    commit(store);
}

/* An event that was damaged on the device comes without its time. */
static void an_event_without_its_time_is_known_by_its_number(void **state)
{
    struct flo_fleet_store *store = store_of(state);

    begin(store);
    add_event(store, 1, 1, 101, true, 1);
    add_event(store, 1, 1, 0, false, 1);
    commit(store);
}

static void the_newest_2000_events_of_a_device_are_kept_and_listed_in_order(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    uint64_t oldest;
    struct flo_err err = {0};
    uint64_t mark;
    bool is_new;

    begin(store);
    for (uint64_t seq = 1; seq <= 2112; seq++) {
        char json[16];
        snprintf(json, sizeof(json), "%llu", (unsigned long long)seq);
        assert_int_equal(
            flo_fleet_event_add(store, DEVICE, BOOT, seq, 0, 1, 1, json, &is_new, &mark, &err), 0);
    }
    commit(store);
    assert_int_equal(mark, 2112);
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, FLO_FLEET_ALL, 3, take_event, &texts, &oldest, &err),
        0);
    assert_string_equal(texts.data, "2110 2111 2112 ");
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, FLO_FLEET_ALL, 9999, take_event, &all, &oldest, &err),
        0);
    assert_int_equal(strncmp(all.data, "113 114 ", 8), 0);
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, FLO_FLEET_ALL, 0, take_event, NULL, &oldest, &err), 0);
}

static int take_number(void *context, const struct flo_row *row, uint64_t count)
{
    (void)row;
    *(uint64_t *)context = count;
    return 0;
}

static uint64_t forms(struct flo_fleet_store *store)
{
    struct flo_query query = {.table = FLO_TABLE_EVENT_FORM};
    struct flo_err err = {0};
    uint64_t count = 0;

    assert_int_equal(flo_fleet_count(store, &query, NULL, 0, take_number, &count, &err), 0);
    return count;
}

static void tell(struct flo_fleet_store *store, const char *device, const char *boot, uint64_t seq,
                 const char *own)
{
    struct flo_err err = {0};
    char json[512];
    uint64_t mark;
    bool is_new;

    snprintf(json, sizeof(json),
             "{\"from\":%llu,\"type\":\"execution\",\"state\":\"%s\",\"v\":1,"
             "\"boot\":\"%s\",\"seq\":%llu,\"at_ms\":%llu}",
             (unsigned long long)seq, own, boot, (unsigned long long)seq,
             (unsigned long long)(1000 + seq));
    assert_int_equal(
        flo_fleet_event_add(store, device, boot, seq, 0, 1000 + seq, 2, json, &is_new, &mark, &err),
        0);
}

static void what_many_devices_say_alike_is_kept_once(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    struct flo_err err = {0};
    uint64_t oldest;

    tell(store, "d-1", "b-1", 1, "staged");
    tell(store, "d-2", "b-2", 1, "staged");
    tell(store, "d-2", "b-3", 1, "staged");
    assert_int_equal(forms(store), 1);

    assert_int_equal(
        flo_fleet_event_list(store, "d-2", FLO_FLEET_ALL, 9, take_event, &texts, &oldest, &err), 0);
    assert_string_equal(texts.data, "{\"type\":\"execution\",\"state\":\"staged\",\"v\":1,"
                                    "\"from\":1,\"boot\":\"b-2\",\"seq\":1,\"at_ms\":1001} "
                                    "{\"type\":\"execution\",\"state\":\"staged\",\"v\":1,"
                                    "\"from\":1,\"boot\":\"b-3\",\"seq\":1,\"at_ms\":1001} ");
}

/* A form that was made by a change that was taken back has no number. */
static void a_form_of_a_cancelled_change_is_made_again(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    struct flo_err err = {0};
    uint64_t oldest;

    begin(store);
    tell(store, "d-1", "b-1", 1, "staged");
    flo_fleet_roll_back(store);
    assert_int_equal(forms(store), 0);

    tell(store, "d-1", "b-1", 1, "staged");
    assert_int_equal(
        flo_fleet_event_list(store, "d-1", FLO_FLEET_ALL, 9, take_event, &texts, &oldest, &err), 0);
    assert_non_null(strstr(texts.data, "staged"));
}

/* A device that never says the same twice has no more forms than twice the
 * events that are kept of it. */
static void forms_of_events_that_went_go_too(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    char own[24];

    begin(store);
    for (uint64_t seq = 1; seq <= 8000; seq++) {
        snprintf(own, sizeof(own), "s-%llu", (unsigned long long)seq);
        tell(store, "d-1", "b-1", seq, own);
    }
    commit(store);

    assert_in_range(forms(store), 2000, 4400);
}

static int take_statement(void *context, uint64_t number, const char *envelope)
{
    flo_buf_printf(context, "%llu:%s ", (unsigned long long)number, envelope);
    return 0;
}

static int take_trust(void *context, uint64_t number, uint64_t devices)
{
    flo_buf_printf(context, "%llux%llu ", (unsigned long long)devices, (unsigned long long)number);
    return 0;
}

static void statements_are_kept_once_and_counted_by_device(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) said = {0};
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_trust_statements(store, 0, true, take_statement, &said, &err), 0);
    assert_int_equal(said.bytes, 0);
    assert_int_equal(flo_fleet_statement_add(store, 2, "two", &err), 0);
    assert_int_equal(flo_fleet_statement_add(store, 3, "three", &err), 0);
    assert_int_equal(flo_fleet_statement_add(store, 3, "other", &err), FLO_E_STATE);
    assert_int_equal(flo_fleet_trust_statements(store, 0, true, take_statement, &said, &err), 0);
    assert_int_equal(flo_fleet_trust_statements(store, 2, false, take_statement, &said, &err), 0);
    assert_string_equal(said.data, "3:three 2:two 3:three ");

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_device(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(
        flo_fleet_device_reported(store, OTHER, "{}", NULL, NULL, false, 3, NULL, 0, &err), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) counts = {0};
    assert_int_equal(flo_fleet_device_trusts(store, take_trust, &counts, &err), 0);
    assert_string_equal(counts.data, "1x3 1x0 ");
}

static int take_emergency(void *context, const struct flo_fleet_emergency *emergency)
{
    flo_buf_printf(context, "%s %s%s %llu; ", emergency->id, emergency->op, emergency->envelope,
                   (unsigned long long)emergency->outcomes[FLO_OUTCOME_DONE]);
    return 0;
}

static void emergencies_are_known_by_their_answers_or_whole(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_fleet_emergency answered = {.id = "e-5", .op = "", .envelope = "", .seq = 5};
    struct flo_fleet_emergency whole = {.id = "e-5", .op = "freeze", .envelope = "{}", .seq = 5};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) said = {0};
    struct flo_err err = {0};
    char id[FLO_NAME_MAX + 1];
    bool is_news;

    assert_int_equal(flo_fleet_emergency_put(store, &answered, &is_news, &err), 0);
    assert_true(is_news);
    assert_int_equal(flo_fleet_outcome_put(store, "e-5", DEVICE, FLO_OUTCOME_DONE, 1, &err), 0);
    assert_int_equal(flo_fleet_emergency_put(store, &whole, &is_news, &err), 0);
    assert_true(is_news);
    assert_int_equal(flo_fleet_emergency_put(store, &answered, &is_news, &err), 0);
    assert_false(is_news);
    /* a device that makes up names pushes out no order that was seen */
    for (unsigned i = 0; i < 200; i++) {
        snprintf(id, sizeof(id), "e-%u", 1000 + i);
        answered.id = id;
        answered.seq = 1000 + i;
        assert_int_equal(flo_fleet_emergency_put(store, &answered, &is_news, &err), 0);
    }
    assert_int_equal(flo_fleet_emergencies(store, false, 999, take_emergency, &said, &err), 0);
    assert_non_null(strstr(said.data, "e-5 freeze{} 1; "));
    assert_non_null(strstr(said.data, "e-1199  0; "));
    assert_null(strstr(said.data, "e-1183 ")); /* sixteen are kept */
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) seen = {0};
    assert_int_equal(flo_fleet_emergencies(store, true, 999, take_emergency, &seen, &err), 0);
    assert_string_equal(seen.data, "e-5 freeze{} 1; ");
}

static void when_a_device_was_heard_is_known_at_once_and_stored_in_pieces(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    size_t from = 0;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = dump(store);
    flo_fleet_device_heard(store, DEVICE, 77, 5000);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) heard = dump(store);
    assert_string_equal(heard.data, before.data);
    assert_int_equal(flo_fleet_facts_write(store, 100, &from, &err), 0);
    assert_true(from == SIZE_MAX);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = dump(store);
    assert_non_null(strstr(after.data, " 77 5000 "));
}

static int take_seen(void *context, const struct flo_fleet_device *device)
{
    *(uint64_t *)context = device->last_seen_at_ms;
    return 0;
}

static uint64_t seen_at(struct flo_fleet_store *store)
{
    uint64_t seen_at_ms = 1;

    assert_int_equal(flo_fleet_device_get(store, DEVICE, take_seen, &seen_at_ms, NULL), 0);
    return seen_at_ms;
}

/* A controller whose clock was an hour ahead wrote it. */
static void a_time_of_the_future_is_unknown_until_the_device_is_heard(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    uint64_t now_ms = waits_wall_ms();
    struct flo_err err = {0};
    size_t from = 0;

    assert_int_equal(add_device(store, DEVICE, "gw-1", "lab"), 0);
    flo_fleet_device_heard(store, DEVICE, now_ms + 3600000, 0);
    assert_int_equal(flo_fleet_facts_write(store, 100, &from, &err), 0);
    flo_fleet_device_heard(store, DEVICE, now_ms, 0);
    assert_int_equal(seen_at(store), now_ms);
    assert_int_equal(flo_fleet_facts_write(store, 100, &from, &err), 0);
    assert_int_equal(seen_at(store), now_ms);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(devices_are_found_by_id_name_and_group),
        OVER_ALL(a_retired_device_frees_its_name_and_keeps_its_row),
        OVER_ALL(a_device_has_an_order_for_each_model),
        OVER_ALL(a_device_keeps_its_newest_reports),
        OVER_ALL(a_report_that_came_last_is_kept_whatever_the_clock_says),
        OVER_ALL(each_write_of_desired_raises_the_revision),
        OVER_ALL(no_event_that_a_device_still_has_is_acknowledged),
        OVER_ENGINES(events_are_acknowledged_up_to_the_first_gap),
        OVER_ALL(what_is_rolled_back_never_was),
        OVER_ALL(what_is_not_there_is_named_as_absent),
        OVER_ENGINES(transactions_do_not_nest_and_end_once),
        OVER_ALL(a_listing_ends_with_the_answer_that_its_callback_gives),
        OVER_ALL(devices_are_found_by_label_release_and_connection),
        OVER_ALL(a_listing_meets_each_row_once_though_its_callback_changes_them),
        OVER_ALL(the_newest_2000_events_of_a_device_are_kept_and_listed_in_order),
        OVER_ALL(a_number_that_was_given_to_another_event_is_not_known),
        OVER_ALL(an_event_without_its_time_is_known_by_its_number),
        OVER_ALL(a_device_that_knows_fewer_events_begins_an_outbox_anew),
        OVER_ALL(the_ack_of_a_known_event_vouches_for_no_later_one),
        OVER_ENGINES(what_many_devices_say_alike_is_kept_once),
        OVER_ALL(a_form_of_a_cancelled_change_is_made_again),
        OVER_ALL(forms_of_events_that_went_go_too),
        OVER_ALL(statements_are_kept_once_and_counted_by_device),
        OVER_ALL(emergencies_are_known_by_their_answers_or_whole),
        OVER_ENGINES(when_a_device_was_heard_is_known_at_once_and_stored_in_pieces),
        OVER_ALL(a_time_of_the_future_is_unknown_until_the_device_is_heard),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
