/* The devices of a group, in slices. */
#include "server-stub/state/groups/walk.h"
#include "tests/unit/server/store/store.h"

#define DEVICES 250u

static const char *id_of(unsigned number)
{
    static char id[37];

    snprintf(id, sizeof(id), "%08x-0000-4000-8000-000000000000", number);
    return id;
}

/* Every other one is in the group lab. */
static void add_devices(struct flo_fleet_store *store)
{
    static const char groups[2][FLO_NAME_MAX + 1] = {"all", "lab"};
    struct flo_err err = {0};
    char name[16];

    begin(store);
    for (unsigned i = 0; i < DEVICES; i++) {
        struct flo_fleet_device device = {.id = id_of(i),
                                          .name = name,
                                          .labels = "{}",
                                          .profile = "{}",
                                          .groups = i % 2 == 0 ? "[\"all\",\"lab\"]" : "[\"all\"]"};
        snprintf(name, sizeof(name), "gw-%u", i);
        assert_int_equal(flo_fleet_device_add(store, &device, groups, i % 2 == 0 ? 2 : 1, &err), 0);
    }
    commit(store);
}

struct met {
    char last[37];
    unsigned devices, slices;
};

static int meet(void *context, const struct flo_fleet_device *device)
{
    struct met *met = context;

    assert_true(strcmp(device->id, met->last) > 0);
    snprintf(met->last, sizeof(met->last), "%s", device->id);
    met->devices++;
    return 0;
}

/* false: it is whole. */
static bool next(struct flo_group_walk *walk, struct met *met)
{
    struct flo_err err = {0};
    bool is_whole = false;

    met->slices++;
    assert_int_equal(flo_group_walk_on(walk, 0, met, &is_whole, &err), 0);
    return !is_whole;
}

static void each_device_of_a_group_is_met_once_and_in_order(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    static const struct {
        const char *group;
        unsigned devices, slices;
    } rows[] = {{"all", DEVICES, 3}, {"lab", DEVICES / 2, 2}, {"attic", 0, 1}};
    struct flo_group_walk walk;
    struct flo_err err = {0};

    add_devices(store);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct met met = {.last = ""};
        assert_int_equal(flo_group_walk_begin(&walk, store, rows[i].group, meet, &err), 0);
        while (next(&walk, &met)) {
        }
        flo_group_walk_end(&walk);
        assert_int_equal(met.devices, rows[i].devices);
        assert_int_equal(met.slices, rows[i].slices);
    }
}

static void who_is_retired_meanwhile_is_passed_over(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    static const char *const groups[] = {"all", "lab"};
    static const unsigned devices[] = {DEVICES - 1, DEVICES / 2 - 2};
    struct flo_group_walk walk;
    struct flo_err err = {0};

    add_devices(store);
    for (size_t i = 0; i < FLO_COUNT(groups); i++) {
        struct met met = {.last = ""};
        assert_int_equal(flo_group_walk_begin(&walk, store, groups[i], meet, &err), 0);
        assert_true(next(&walk, &met));
        assert_int_equal(flo_fleet_device_retire(store, id_of(DEVICES - 2 - 2 * (unsigned)i), &err),
                         0);
        while (next(&walk, &met)) {
        }
        flo_group_walk_end(&walk);
        assert_int_equal(met.devices, devices[i]);
    }
}

static int refuse(void *context, const struct flo_fleet_device *device)
{
    (void)context;
    (void)device;
    return FLO_E_MEMORY;
}

static void an_error_of_who_takes_the_devices_ends_the_slice(void **state)
{
    struct flo_fleet_store *store = store_of(state);
    static const char *const groups[] = {"all", "lab"};

    add_devices(store);
    for (size_t i = 0; i < FLO_COUNT(groups); i++) {
        struct flo_group_walk walk;
        struct flo_err err = {0};
        bool is_whole = false;
        assert_int_equal(flo_group_walk_begin(&walk, store, groups[i], refuse, &err), 0);
        assert_int_equal(flo_group_walk_on(&walk, 0, NULL, &is_whole, &err), FLO_E_MEMORY);
        flo_group_walk_end(&walk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        OVER_ALL(each_device_of_a_group_is_met_once_and_in_order),
        OVER_ALL(who_is_retired_meanwhile_is_passed_over),
        OVER_ALL(an_error_of_who_takes_the_devices_ends_the_slice),
    };

    return run_over_all("group walk", tests, FLO_COUNT(tests));
}
