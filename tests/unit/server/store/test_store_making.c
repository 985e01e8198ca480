/* The store's contract: orders whose rows of devices are being made. */
#include "server-stub/store/fleet.h"
#include "server-stub/store/making.h"
#include "unit/server/store/store.h"

#define DEVICES 5

static const char *device_id(size_t number)
{
    static char id[37];

    snprintf(id, sizeof(id), "%08zu-4444-4444-8444-444444444444", number);
    return id;
}

static void add_devices(struct flo_fleet_store *store)
{
    struct flo_err err = {0};
    struct flo_fleet_order order = {.id = "o-1",
                                    .op = "freeze",
                                    .group = "all",
                                    .envelope = "{}",
                                    .body = "{}",
                                    .rollout = "",
                                    .model = "",
                                    .release = "",
                                    .seq = 1};

    for (size_t i = DEVICES; i-- > 0;) {
        char name[32];
        snprintf(name, sizeof(name), "gw-%zu", i);
        assert_int_equal(add_device(store, device_id(i), name, "lab"), 0);
    }
    assert_int_equal(flo_fleet_order_add(store, &order, &err), 0);
    assert_int_equal(flo_fleet_making_begin(store, "o-1", "all", &err), 0);
}

static const struct flo_making *making_of(struct flo_fleet_store *store, const char *order)
{
    const struct flo_making *making;
    struct flo_err err = {0};

    assert_int_equal(flo_fleet_making_of(store, order, &making, &err), 0);
    return making;
}

static int take_unmade(void *context, const char *device, bool is_there)
{
    struct flo_buf *out = context;

    flo_buf_printf(out, "%.8s%s ", device, is_there ? "!" : "");
    return 0;
}

static void next_are(struct flo_fleet_store *store, uint64_t limit, const char *expected)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) found = {0};
    const struct flo_making *making = making_of(store, "o-1");
    struct flo_err err = {0};

    flo_buf_text(&found, "");
    assert_int_equal(flo_fleet_making_next(store, making, limit, take_unmade, &found, &err), 0);
    assert_string_equal(found.data, expected);
}

static void slices_go_through_a_group_in_the_order_of_ids(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    begin(store);
    add_devices(store);
    commit(store);
    assert_int_equal(making_of(store, "o-1")->devices, DEVICES);
    assert_null(making_of(store, "o-2"));
    next_are(store, 2, "00000000 00000001 ");
    begin(store);
    assert_int_equal(flo_fleet_making_move(store, "o-1", device_id(1), 2, &err), 0);
    commit(store);
    next_are(store, 9, "00000002 00000003 00000004 ");
    assert_int_equal(making_of(store, "o-1")->count, 2);

    /* One was made before its turn. */
    begin(store);
    assert_int_equal(flo_fleet_outcome_put(store, "o-1", device_id(3), FLO_OUTCOME_DONE, 1, &err),
                     0);
    commit(store);
    next_are(store, 2, "00000002 00000003! ");
    bool awaits;
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(
            flo_fleet_making_awaits(store, making_of(store, "o-1"), device_id(i), &awaits, &err),
            0);
        assert_int_equal(awaits, i == 2 || i == 4);
    }
    assert_int_equal(flo_fleet_making_awaits(store, making_of(store, "o-1"), OTHER, &awaits, &err),
                     0);
    assert_false(awaits); /* no member */
    begin(store);
    assert_int_equal(flo_fleet_making_move(store, "o-1", NULL, 3, &err), 0);
    commit(store);
    assert_null(making_of(store, "o-1"));
}

static void a_slice_that_is_taken_back_is_made_again(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};

    begin(store);
    add_devices(store);
    commit(store);
    begin(store);
    assert_int_equal(flo_fleet_making_move(store, "o-1", device_id(3), 4, &err), 0);
    flo_fleet_roll_back(store);
    next_are(store, 2, "00000000 00000001 ");
    assert_int_equal(making_of(store, "o-1")->count, 0);
    begin(store);
    assert_int_equal(flo_fleet_making_move(store, "o-1", NULL, 5, &err), 0);
    flo_fleet_roll_back(store);
    assert_non_null(making_of(store, "o-1"));
}

static void who_is_not_made_yet_counts_as_pending(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_order_progress progress;
    struct flo_err err = {0};

    begin(store);
    add_devices(store);
    assert_int_equal(flo_fleet_outcome_put(store, "o-1", device_id(0), FLO_OUTCOME_DONE, 1, &err),
                     0);
    assert_int_equal(flo_fleet_making_move(store, "o-1", device_id(0), 1, &err), 0);
    commit(store);
    assert_int_equal(flo_fleet_device_index_load(store, &err), 0);
    assert_int_equal(flo_fleet_outcome_progress(store, "o-1", &progress, &err), 0);
    assert_int_equal(progress.devices, DEVICES);
    assert_int_equal(progress.done, 1);
}

static int take_held(void *context, const char *device, const char *order)
{
    flo_buf_printf(context, "%.8s %s ", device, order);
    return 0;
}

static void a_run_of_devices_is_told_another_order(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    struct flo_err err = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) found = {0};
    uint64_t before[DEVICES], after;

    begin(store);
    add_devices(store);
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(flo_fleet_desired_set(store, device_id(i), "tiny", "o-1", &err), 0);
        assert_int_equal(flo_fleet_desired_set(store, device_id(i), "big", "o-1", &err), 0);
        assert_int_equal(flo_fleet_desired_rev(store, device_id(i), &before[i], &err), 0);
    }
    char last[37];
    snprintf(last, sizeof(last), "%s", device_id(3));
    assert_int_equal(flo_fleet_desired_run(store, "tiny", device_id(1), last, "o-2", &err), 0);
    commit(store);
    assert_int_equal(
        flo_fleet_desired_between(store, "tiny", "", device_id(4), take_held, &found, &err), 0);
    assert_string_equal(found.data, "00000000 o-1 00000001 o-2 00000002 o-2 "
                                    "00000003 o-2 00000004 o-1 ");
    flo_buf_deinit(&found);
    assert_int_equal(
        flo_fleet_desired_between(store, "big", device_id(0), last, take_held, &found, &err), 0);
    assert_string_equal(found.data, "00000001 o-1 00000002 o-1 00000003 o-1 ");
    for (size_t i = 0; i < DEVICES; i++) {
        assert_int_equal(flo_fleet_desired_rev(store, device_id(i), &after, &err), 0);
        assert_int_equal(after - before[i], i >= 1 && i <= 3 ? 1 : 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(slices_go_through_a_group_in_the_order_of_ids),
        OVER_ALL(a_slice_that_is_taken_back_is_made_again),
        OVER_ALL(who_is_not_made_yet_counts_as_pending),
        OVER_ALL(a_run_of_devices_is_told_another_order),
    };
    return run_over_all("store", tests, FLO_COUNT(tests));
}
