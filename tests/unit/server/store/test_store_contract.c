/* The store's contract: what each engine does with devices, events, releases,
 * rollouts and tokens. */
#include "unit/server/store/store.h"

static int add(struct flo_fleet_store *store, const char *id, const char *name,
               const char *group)
{
    char groups[2][FLO_NAME_MAX + 1] = {"all"};
    struct flo_err err = {0};
    struct flo_fleet_device device = {.id = id,
                                      .name = name,
                                      .labels = "{}",
                                      .profile = "{}",
                                      .groups = "[\"all\"]",
                                      .enrolled_at_ms = 5};

    snprintf(groups[1], sizeof(groups[1]), "%s", group);
    return flo_fleet_device_add(
        store, &device, (const char(*)[FLO_NAME_MAX + 1]) groups, 2, &err);
}

static int count_device(void *context, const struct flo_fleet_device *device)
{
    (void)device;
    (*(int *)context)++;
    return 0;
}

static int listed(struct flo_fleet_store *store,
                  struct flo_fleet_device_filter filter)
{
    struct flo_err err = {0};
    int count = 0;

    assert_int_equal(
        flo_fleet_device_list(store, &filter, count_device, &count, &err), 0);
    return count;
}

static void devices_are_found_by_id_name_and_group(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add(store, OTHER, "gw-2", "shop"), 0);
    assert_int_equal(add(store, BOOT, "gw-2", "shop"), FLO_E_STATE);

    assert_int_equal(flo_fleet_device_get(store, DEVICE, NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_device_get(store, "gw-2", NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_device_get(store, "gw-3", NULL, NULL, &err),
                     FLO_E_DEVICE_ABSENT);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = -1}), 2);
    assert_int_equal(
        listed(store,
               (struct flo_fleet_device_filter){.online = -1, .group = "lab"}),
        1);
    assert_int_equal(listed(store,
                            (struct flo_fleet_device_filter){
                                .online = -1, .group = "x' OR '1'='1"}),
                     0);
    assert_int_equal(
        listed(store,
               (struct flo_fleet_device_filter){.online = -1, .after = DEVICE}),
        1);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = 1}), 0);
}

static void a_retired_device_frees_its_name_and_keeps_its_row(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t rev;
    bool active = true;

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_device_retire(store, DEVICE, &err), 0);

    assert_int_equal(flo_fleet_device_is_active(store, DEVICE, &active, &err),
                     0);
    assert_false(active);
    assert_int_equal(flo_fleet_device_get(store, DEVICE, NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err),
                     FLO_E_DEVICE_ABSENT);
    assert_int_equal(add(store, OTHER, "gw-1", "lab"), 0);
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
        assert_int_equal(flo_fleet_report_add(store, &report, &err),
                         FLO_E_STATE);
    }
    assert_int_equal(
        flo_fleet_report_list(store, DEVICE, add_report_id, &all, &err), 0);
    assert_string_equal(all.data, "o-10 o-09 o-08 o-07 o-06 o-05 o-04 o-03 ");
    assert_int_equal(flo_fleet_report_get(store, "o-01", NULL, NULL, &err), 0);
    assert_int_equal(flo_fleet_report_get(store, "o-02", NULL, NULL, &err),
                     FLO_E_ABSENT);
    assert_int_equal(
        flo_fleet_report_prune(store, 5 + FLO_FLEET_REPORT_KEPT_MS, &err), 0);
    assert_int_equal(flo_fleet_report_get(store, "o-04", NULL, NULL, &err),
                     FLO_E_ABSENT);
    assert_int_equal(flo_fleet_report_get(store, "o-05", NULL, NULL, &err), 0);
}

/* The clock was set back, or several came in one millisecond. */
static void
a_report_that_came_last_is_kept_whatever_the_clock_says(void **state)
{
    static const uint64_t at_ms[] = {7000, 5};
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char order[32];

    for (size_t c = 0; c < FLO_COUNT(at_ms); c++) {
        for (unsigned i = 0; i < 2 * FLO_FLEET_REPORTS_MAX; i++) {
            snprintf(order, sizeof(order), "o-%zu%02u", 1 - c, i);
            struct flo_fleet_report report = {.order = order,
                                              .device = DEVICE,
                                              .op = "logs",
                                              .at_ms = at_ms[c],
                                              .body = "{}"};
            assert_int_equal(flo_fleet_report_add(store, &report, &err), 0);
            assert_int_equal(
                flo_fleet_report_get(store, order, NULL, NULL, &err), 0);
        }
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
        assert_int_equal(
            flo_fleet_report_list(store, DEVICE, add_report_id, &all, &err), 0);
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

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "tiny", "o-1", &err),
                     0);
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "help", "o-2", &err),
                     0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-3", &err), 0);
    assert_int_equal(
        flo_fleet_desired_each(store, DEVICE, add_assignment, &all, &err), 0);
    assert_string_equal(all.data, "help o-2\ntiny o-3\n");
    assert_int_equal(flo_fleet_desired_swap(store, "o-2", "", &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "help", order, &err),
                     0);
    assert_string_equal(order, "");
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "tiny", order, &err),
                     0);
    assert_string_equal(order, "o-3");
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(rev, 5);
    /* A device that is not there gets none. */
    assert_int_equal(flo_fleet_desired_set(store, OTHER, "tiny", "o-1", &err),
                     0);
    assert_int_equal(flo_fleet_desired_get(store, OTHER, "tiny", order, &err),
                     0);
    assert_string_equal(order, "");
}

static void each_write_of_desired_raises_the_revision(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char order[FLO_NAME_MAX + 1];
    uint64_t rev;

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "tiny", order, &err),
                     0);
    assert_int_equal(rev, 1);
    assert_string_equal(order, "");
    assert_int_equal(flo_fleet_desired_set(store, DEVICE, "tiny", "o-1", &err),
                     0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-2", &err), 0);
    assert_int_equal(flo_fleet_desired_swap(store, "o-1", "o-3", &err), 0);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &rev, &err), 0);
    assert_int_equal(flo_fleet_desired_get(store, DEVICE, "tiny", order, &err),
                     0);

    assert_int_equal(rev, 3);
    assert_string_equal(order, "o-2");
}

static uint64_t event(struct flo_fleet_store *store, uint64_t seq,
                      bool expect_new)
{
    struct flo_err err = {0};
    uint64_t last = 0;
    bool is_new = !expect_new;

    assert_int_equal(flo_fleet_event_add(store, DEVICE, BOOT, seq, 1, 2, "{}",
                                         &is_new, &last, &err),
                     0);
    assert_int_equal(is_new, expect_new);
    return last;
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

static void a_token_has_as_many_uses_as_it_was_made_for(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = "t1",
                                    .kind = "enroll",
                                    .name = "",
                                    .role = "",
                                    .group = "all",
                                    .uses_left = 2};

    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_use(store, "t1", &err), FLO_E_ENROL_TOKEN);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), 0);
    assert_int_equal(flo_fleet_token_delete(store, "t1", &err), FLO_E_ABSENT);
}

static void add_token(struct flo_fleet_store *store, const char *id,
                      const char *kind, uint64_t uses_left,
                      uint64_t created_at_ms, uint64_t expires_at_ms)
{
    struct flo_err err = {0};
    struct flo_fleet_token token = {.id = id,
                                    .kind = kind,
                                    .name = "",
                                    .role = "",
                                    .group = "all",
                                    .uses_left = uses_left,
                                    .created_at_ms = created_at_ms,
                                    .expires_at_ms = expires_at_ms};

    flo_sha256(id, strlen(id), &token.secret);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), 0);
}

static int take_token_id(void *context, const struct flo_fleet_token *token)
{
    flo_buf_printf(context, "%s ", token->id);
    return 0;
}

static struct flo_buf tokens_of(struct flo_fleet_store *store)
{
    struct flo_buf ids = {0};
    struct flo_err err = {0};

    flo_buf_text(&ids, " ");
    assert_int_equal(flo_fleet_token_list(store, take_token_id, &ids, &err), 0);
    return ids;
}

static void the_newest_token_is_listed_whatever_their_number(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf ids;
    char id[16];

    begin(store);
    for (unsigned i = 0; i < 1001; i++) {
        snprintf(id, sizeof(id), "e%u", i);
        add_token(store, id, "enroll", 1, i, 0);
    }
    add_token(store, "access", "access", 0, 1001, 0);
    commit(store);

    ids = tokens_of(store);
    assert_int_equal(strncmp(ids.data, " access ", 8), 0);
    flo_buf_deinit(&ids);
}

static void enrolment_tokens_of_no_use_go(void **state)
{
    const uint64_t day_ms = 86400000;
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_buf ids;

    add_token(store, "good", "enroll", 1, 5, 101 * day_ms);
    add_token(store, "expired", "enroll", 1, 4, 71 * day_ms);
    add_token(store, "long-expired", "enroll", 1, 3, 69 * day_ms);
    add_token(store, "used-up", "enroll", 0, 2, 101 * day_ms);
    add_token(store, "used-up-expired", "enroll", 0, 1, 99 * day_ms);
    add_token(store, "access", "access", 0, 0, 0);
    assert_int_equal(flo_fleet_token_prune(store, 100 * day_ms, &err), 0);

    ids = tokens_of(store);
    assert_string_equal(ids.data, " good expired used-up access ");
    flo_buf_deinit(&ids);
}

static void put_rollout(struct flo_fleet_store *store, unsigned number,
                        enum flo_rollout_state state)
{
    struct flo_err err = {0};
    char id[16];
    struct flo_fleet_rollout rollout = {.id = id,
                                        .spec = "{}",
                                        .state = flo_rollout_state_word(state),
                                        .core = "{}",
                                        .digest = ""};

    snprintf(id, sizeof(id), "r-%u", number);
    assert_int_equal(flo_fleet_rollout_put(store, &rollout, &err), 0);
}

static int take_rollout_id(void *context,
                           const struct flo_fleet_rollout *rollout)
{
    flo_buf_printf(context, "%s ", rollout->id);
    return 0;
}

static void what_is_under_way_is_listed_before_all_that_ended(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf ids = {0};
    struct flo_err err = {0};

    begin(store);
    put_rollout(store, 1, FLO_ROLLOUT_RUNNING);
    put_rollout(store, 2, FLO_ROLLOUT_HALTED);
    put_rollout(store, 3, FLO_ROLLOUT_PAUSED);
    put_rollout(store, 4, FLO_ROLLOUT_ROLLING_BACK);
    for (unsigned i = 5; i < 105; i++) {
        put_rollout(store, i, FLO_ROLLOUT_COMPLETED);
    }
    commit(store);
    assert_int_equal(
        flo_fleet_rollout_list(store, 5, take_rollout_id, &ids, &err), 0);

    assert_string_equal(ids.data, "r-4 r-3 r-1 r-104 r-103 ");
    flo_buf_deinit(&ids);
}

static void what_is_rolled_back_never_was(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t number;

    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    flo_fleet_roll_back(store);
    assert_int_equal(flo_fleet_begin(store, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(flo_fleet_commit(store, &err), 0);

    assert_int_equal(number, 1);
    assert_int_equal(
        listed(store, (struct flo_fleet_device_filter){.online = -1}), 0);
}

/* ---- settings and counters ---- */

static void
a_counter_gives_each_number_once_and_none_that_was_skipped(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    uint64_t number;

    assert_int_equal(flo_fleet_newest(store, "order", &number, &err), 0);
    assert_int_equal(number, 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(number, 1);
    assert_int_equal(flo_fleet_skip(store, "order", 10, &err), 0);
    assert_int_equal(flo_fleet_next(store, "order", &number, &err), 0);
    assert_int_equal(number, 12);
    assert_int_equal(flo_fleet_newest(store, "order", &number, &err), 0);
    assert_int_equal(number, 12);
    assert_int_equal(flo_fleet_next(store, "rollout", &number, &err), 0);
    assert_int_equal(number, 1);
}

static void a_setting_is_the_last_one_that_was_set(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char text[32] = "x";

    assert_int_equal(
        flo_fleet_setting_get(store, "a", text, sizeof(text), &err), 0);
    assert_string_equal(text, "");
    assert_int_equal(flo_fleet_setting_set(store, "a", "one", &err), 0);
    assert_int_equal(flo_fleet_setting_set(store, "a", "it's two", &err), 0);
    assert_int_equal(
        flo_fleet_setting_get(store, "a", text, sizeof(text), &err), 0);
    assert_string_equal(text, "it's two");
}

/* ---- failures ---- */

static int ignore_text(void *context, const char *text)
{
    (void)context;
    (void)text;
    return 0;
}

static int ignore_rollout(void *context,
                          const struct flo_fleet_rollout *rollout)
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

    assert_int_equal(flo_fleet_device_get(store, "x", NULL, NULL, &err),
                     FLO_E_DEVICE_ABSENT);
    assert_int_equal(flo_fleet_desired_rev(store, DEVICE, &revision, &err),
                     FLO_E_DEVICE_ABSENT);
    assert_int_equal(
        flo_fleet_release_get(store, "tiny", "1.0.0", NULL, NULL, &err),
        FLO_E_RELEASE_ABSENT);
    assert_non_null(strstr(err.what, "tiny@1.0.0"));
    assert_int_equal(
        flo_fleet_envelope_get(store, "sha256:00", ignore_text, NULL, &err),
        FLO_E_RELEASE_ABSENT);
    assert_int_equal(
        flo_fleet_rollout_get(store, "r-1", ignore_rollout, NULL, &err),
        FLO_E_ROLLOUT_ABSENT);
    assert_int_equal(flo_fleet_order_get(store, "o-1", NULL, NULL, &err),
                     FLO_E_ABSENT);
    assert_int_equal(
        flo_fleet_order_of(store, "r-1", "deploy", 0, NULL, NULL, &err),
        FLO_E_ABSENT);
    assert_int_equal(
        flo_fleet_token_get(store, "t", NULL, ignore_token, NULL, &err),
        FLO_E_ABSENT);
}

static int add_release(struct flo_fleet_store *store, const char *version,
                       const char *digest)
{
    struct flo_err err = {0};
    struct flo_fleet_release release = {.model = "tiny",
                                        .version = version,
                                        .digest = digest,
                                        .state = "published",
                                        .body = "{}"};

    return flo_fleet_release_add(store, &release, &err);
}

static int take_version(void *context, const struct flo_fleet_release *release)
{
    snprintf(context, 16, "%s", release->version);
    return 0;
}

static void a_release_is_alone_with_its_version_and_its_digest(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    char version[16];

    assert_int_equal(add_release(store, "1.0.0", "sha256:a"), 0);
    assert_int_equal(add_release(store, "1.0.0", "sha256:b"), FLO_E_STATE);
    assert_int_equal(add_release(store, "2.0.0", "sha256:a"), FLO_E_STATE);
    assert_int_equal(flo_fleet_release_get(store, NULL, "sha256:a",
                                           take_version, version, &err),
                     0);
    assert_string_equal(version, "1.0.0");
    assert_int_equal(
        flo_fleet_release_get(store, NULL, "sha256:b", NULL, NULL, &err),
        FLO_E_RELEASE_ABSENT);
}

static void a_token_is_found_by_its_secret_and_alone_with_it(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ids = {0};
    struct flo_fleet_token token = {
        .id = "t2", .kind = "access", .name = "", .role = "", .group = ""};

    add_token(store, "t1", "access", 0, 1, 0);
    flo_sha256("t1", 2, &token.secret);
    assert_int_equal(flo_fleet_token_add(store, &token, &err), FLO_E_STATE);
    assert_int_equal(flo_fleet_token_get(store, NULL, &token.secret,
                                         take_token_id, &ids, &err),
                     0);
    assert_string_equal(ids.data, "t1 ");
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

/* ---- lists ---- */

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

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(add(store, BOOT, "gw-3", "lab"), 0);
    assert_int_equal(
        flo_fleet_device_list(store, &filter, stop_at_second, &count, &err),
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
    const struct flo_fleet_model models[] = {{"help", ""},
                                             {"tiny", "tiny@2.1.0"}};

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(flo_fleet_device_add(store, &device, NULL, 0, &err), 0);
    assert_int_equal(flo_fleet_device_reported(store, OTHER, "{}", NULL, true,
                                               models, FLO_COUNT(models), &err),
                     0);
    assert_int_equal(
        flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    assert_true(is_news);
    assert_int_equal(
        flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    assert_false(is_news);

    struct flo_fleet_device_filter filter = {.online = -1,
                                             .release = "tiny@2.1.0"};
    assert_int_equal(listed(store, filter), 1);
    filter.release = "tiny@2.1.1";
    assert_int_equal(listed(store, filter), 0);
    filter = (struct flo_fleet_device_filter){.online = -1, .model = "help"};
    assert_int_equal(listed(store, filter), 1);
    filter.release = "tiny@2.1.0"; /* of another of its models */
    assert_int_equal(listed(store, filter), 1);
    assert_int_equal(flo_fleet_device_reported(store, OTHER, "{}", NULL, true,
                                               models + 1, 1, &err),
                     0);
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

static void
a_listing_meets_each_row_once_though_its_callback_changes_them(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct moved moved = {.store = store};
    struct flo_err err = {0};

    begin(store);
    for (int i = 0; i < 50; i++) {
        char id[40];
        char name[16];
        snprintf(id, sizeof(id), "%08x-1111-4111-8111-111111111111",
                 (unsigned)i);
        snprintf(name, sizeof(name), "n-%d", i);
        assert_int_equal(add(store, id, name, "lab"), 0);
        assert_int_equal(flo_fleet_desired_set(store, id, "tiny", "o-1", &err),
                         0);
    }
    assert_int_equal(
        flo_fleet_desired_holders(store, "o-1", move_on, &moved, &err), 0);
    commit(store);

    assert_int_equal(moved.count, 50);
    moved.count = 0;
    assert_int_equal(
        flo_fleet_desired_holders(store, "o-1", move_on, &moved, &err), 0);
    assert_int_equal(moved.count, 0);
}

/* ---- events ---- */

static int take_event(void *context, const char *json)
{
    flo_buf_printf(context, "%s ", json);
    return 0;
}

static void
the_newest_2000_events_of_a_device_are_kept_and_listed_in_order(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) texts = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_err err = {0};
    uint64_t mark;
    bool is_new;

    begin(store);
    for (uint64_t seq = 1; seq <= 2112; seq++) {
        char json[16];
        snprintf(json, sizeof(json), "%llu", (unsigned long long)seq);
        assert_int_equal(flo_fleet_event_add(store, DEVICE, BOOT, seq, 1, 1,
                                             json, &is_new, &mark, &err),
                         0);
    }
    commit(store);
    assert_int_equal(mark, 2112);
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, 3, take_event, &texts, &err), 0);
    assert_string_equal(texts.data, "2110 2111 2112 ");
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, 9999, take_event, &all, &err), 0);
    assert_int_equal(strncmp(all.data, "113 114 ", 8), 0);
    assert_int_equal(
        flo_fleet_event_list(store, DEVICE, 0, take_event, NULL, &err), 0);
}

static void
when_a_device_was_heard_is_known_at_once_and_stored_in_pieces(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    size_t from = 0;

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) before = dump(store);
    flo_fleet_device_heard(store, DEVICE, 77, 5000);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) heard = dump(store);
    assert_string_equal(heard.data, before.data);
    assert_int_equal(flo_fleet_facts_write(store, 100, &from, &err), 0);
    assert_true(from == SIZE_MAX);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) after = dump(store);
    assert_non_null(strstr(after.data, " 77 5000\n"));
}

/* ---- rollouts ---- */

static int take_member(void *context, const struct flo_rollout_member *member,
                       const char *name, bool is_online, const char *error_json,
                       const char *detail_json)
{
    flo_buf_printf(context, "%s %s %d %s %s\n", name,
                   flo_execution_word((enum flo_execution)member->state),
                   is_online, error_json, detail_json);
    return 0;
}

static void put_member(struct flo_fleet_store *store, const char *device,
                       enum flo_execution state, const char *error_json,
                       const char *detail_json)
{
    struct flo_rollout_member member = {.state = (uint8_t)state, .bucket = 7};
    struct flo_err err = {0};

    snprintf(member.device, sizeof(member.device), "%s", device);
    assert_int_equal(flo_fleet_member_put(store, "r-1", &member, error_json,
                                          detail_json, &err),
                     0);
}

static void
members_are_shown_bad_first_and_then_by_name_as_people_count(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) shown = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) one = {0};
    struct flo_err err = {0};
    uint64_t awaited;
    bool is_news;

    assert_int_equal(add(store, DEVICE, "gw-10", "lab"), 0);
    assert_int_equal(add(store, OTHER, "gw-2", "lab"), 0);
    assert_int_equal(add(store, BOOT, "gw-3", "lab"), 0);
    assert_int_equal(
        flo_fleet_device_online(store, OTHER, true, &is_news, &err), 0);
    put_member(store, DEVICE, FLO_EXECUTION_PROBING, NULL, NULL);
    put_member(store, OTHER, FLO_EXECUTION_PROBING, "{}", NULL);
    put_member(store, BOOT, FLO_EXECUTION_FAILED, NULL, NULL);
    put_member(store, OTHER, FLO_EXECUTION_SOAKING, NULL, "[]");
    assert_int_equal(
        flo_fleet_member_detail(store, "r-1", BOOT, "why", NULL, &err), 0);

    assert_int_equal(flo_fleet_member_show(store, "r-1", FLO_FLEET_ALL,
                                           take_member, &shown, &err),
                     0);
    assert_string_equal(shown.data, "gw-3 failed 0 why \n"
                                    "gw-2 soaking 1 {} []\n"
                                    "gw-10 probing 0  \n");
    assert_int_equal(
        flo_fleet_member_list(store, "r-1", 1, take_member, &one, &err), 0);
    assert_string_equal(one.data, "gw-10 probing 0  \n");
    assert_int_equal(
        flo_fleet_member_show(store, "r-1", 0, take_member, NULL, &err), 0);
    assert_int_equal(flo_fleet_member_awaited(store, "r-1", &awaited, &err), 0);
    assert_int_equal(awaited, 1);
}

static void put_joined(struct flo_fleet_store *store, const char *id,
                       const char *state, const char *group, const char *digest)
{
    struct flo_err err = {0};
    char spec[64];
    struct flo_fleet_rollout rollout = {
        .id = id, .spec = spec, .state = state, .core = "{}", .digest = digest};

    snprintf(spec, sizeof(spec), group != NULL ? "{\"group\":\"%s\"}" : "{}",
             group);
    assert_int_equal(flo_fleet_rollout_put(store, &rollout, &err), 0);
}

static int take_text(void *context, const char *text)
{
    flo_buf_printf(context, "%s ", text);
    return 0;
}

static void
a_device_joins_what_goes_on_and_the_newest_that_completed(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) ids = {0};
    struct flo_err err = {0};

    assert_int_equal(add(store, DEVICE, "gw-1", "lab"), 0);
    assert_int_equal(add_release(store, "1.0.0", "sha256:a"), 0);
    assert_int_equal(add_release(store, "2.0.0", "sha256:b"), 0);
    put_joined(store, "r-9", "completed", NULL, "sha256:a");
    put_joined(store, "r-10", "completed", NULL, "sha256:a");
    put_joined(store, "r-11", "running", "lab", "sha256:a");
    put_joined(store, "r-12", "paused", "shop", "sha256:a");
    put_joined(store, "r-13", "halted", "lab", "sha256:a");
    put_joined(store, "r-14", "completed", NULL, "sha256:b");
    assert_int_equal(flo_fleet_release_state(store, "sha256:b", "yanked", &err),
                     0);
    put_joined(store, "r-15", "running", "lab", "sha256:a");
    assert_int_equal(
        flo_fleet_rollout_joined(store, DEVICE, take_text, &ids, &err), 0);
    assert_string_equal(ids.data, "r-10 r-11 r-15 ");
}

/* ---- access ---- */

static void an_answer_is_kept_for_a_day(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    const uint64_t day_ms = 86400000;
    struct flo_digest request = {{7}};
    struct flo_digest found = {{0}};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_err err = {0};
    int status;

    assert_int_equal(
        flo_fleet_replay_put(store, "t", "k", &request, 201, "{}", 5, &err), 0);
    assert_int_equal(
        flo_fleet_replay_get(store, "t", "k", &found, &status, &body, &err), 0);
    assert_int_equal(status, 201);
    assert_true(flo_digest_equal(&request, &found));
    assert_string_equal(body.data, "{}");
    assert_int_equal(flo_fleet_replay_put(store, "t", "l", &request, 201, "{}",
                                          day_ms + 6, &err),
                     0);
    assert_int_equal(
        flo_fleet_replay_get(store, "t", "k", &found, &status, &body, &err), 0);
    assert_int_equal(status, 0);
}

static int take_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    (void)hash;
    flo_buf_printf(context, "%llu ", (unsigned long long)record->number);
    return 0;
}

static int walk_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    return flo_audit_walk_next(context, record, hash, NULL);
}

static void the_audit_is_a_chain_that_is_read_from_both_ends(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) up = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) down = {0};
    struct flo_audit_walk walk = {0};
    struct flo_err err = {0};

    for (int i = 0; i < 6; i++) {
        struct flo_audit_record record = {.who = "ops",
                                          .what = "x",
                                          .object = "y",
                                          .result = "ok",
                                          .detail = ""};
        assert_int_equal(flo_fleet_audit_add(store, &record, &err), 0);
    }
    assert_int_equal(flo_fleet_audit_list(store, 3, 2, take_record, &up, &err),
                     0);
    assert_string_equal(up.data, "3 4 ");
    assert_int_equal(
        flo_fleet_audit_newest(store, INT64_MAX, 2, take_record, &down, &err),
        0);
    assert_string_equal(down.data, "6 5 ");
    assert_int_equal(
        flo_fleet_audit_list(store, 0, 0, walk_record, &walk, &err), 0);
    assert_int_equal(walk.number, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_BOTH(devices_are_found_by_id_name_and_group),
        OVER_BOTH(a_retired_device_frees_its_name_and_keeps_its_row),
        OVER_BOTH(a_device_has_an_order_for_each_model),
        OVER_BOTH(a_device_keeps_its_newest_reports),
        OVER_BOTH(a_report_that_came_last_is_kept_whatever_the_clock_says),
        OVER_BOTH(each_write_of_desired_raises_the_revision),
        OVER_BOTH(events_are_acknowledged_up_to_the_first_gap),
        OVER_BOTH(a_token_has_as_many_uses_as_it_was_made_for),
        OVER_BOTH(the_newest_token_is_listed_whatever_their_number),
        OVER_BOTH(enrolment_tokens_of_no_use_go),
        OVER_BOTH(what_is_under_way_is_listed_before_all_that_ended),
        OVER_BOTH(what_is_rolled_back_never_was),
        OVER_BOTH(a_counter_gives_each_number_once_and_none_that_was_skipped),
        OVER_BOTH(a_setting_is_the_last_one_that_was_set),
        OVER_BOTH(what_is_not_there_is_named_as_absent),
        OVER_BOTH(a_release_is_alone_with_its_version_and_its_digest),
        OVER_BOTH(a_token_is_found_by_its_secret_and_alone_with_it),
        OVER_BOTH(transactions_do_not_nest_and_end_once),
        OVER_BOTH(a_listing_ends_with_the_answer_that_its_callback_gives),
        OVER_BOTH(devices_are_found_by_label_release_and_connection),
        OVER_BOTH(
            a_listing_meets_each_row_once_though_its_callback_changes_them),
        OVER_BOTH(
            the_newest_2000_events_of_a_device_are_kept_and_listed_in_order),
        OVER_BOTH(
            when_a_device_was_heard_is_known_at_once_and_stored_in_pieces),
        OVER_BOTH(members_are_shown_bad_first_and_then_by_name_as_people_count),
        OVER_BOTH(a_device_joins_what_goes_on_and_the_newest_that_completed),
        OVER_BOTH(an_answer_is_kept_for_a_day),
        OVER_BOTH(the_audit_is_a_chain_that_is_read_from_both_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
