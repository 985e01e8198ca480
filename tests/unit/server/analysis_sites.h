/* A fleet of 40 sites with 25 devices each, and rollouts of it: for tests that
 * ask what an analysis makes of its sites. */
#ifndef FLOTILLA_TESTS_ANALYSIS_SITES_H
#define FLOTILLA_TESTS_ANALYSIS_SITES_H

#include "tests/unit/server/world.h"

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

#define SITES 40
/* Sites of 25 devices, by their number; what their names begin with. */
static void enrol_sites_of(struct world *world, const char *prefix)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    for (int i = 0; i < 25 * SITES; i++) {
        const char groups[1][FLO_NAME_MAX + 1] = {"all"};
        char id[37], name[16], labels[320];
        bool is_news;
        snprintf(id, sizeof(id), "%08d-0000-4000-8000-000000000000", i);
        snprintf(name, sizeof(name), "more-%d", i);
        snprintf(labels, sizeof(labels), "{\"site\":\"%s%d\"}", prefix, i % SITES);
        struct flo_fleet_device device = {.id = id,
                                          .name = name,
                                          .labels = labels,
                                          .profile = "{}",
                                          .groups = "[\"all\"]",
                                          .enrolled_at_ms = 1};
        assert_int_equal(
            flo_fleet_device_add(world->controller->store, &device, groups, 1, &world->err), 0);
        assert_int_equal(
            flo_fleet_device_online(world->controller->store, id, true, &is_news, &world->err), 0);
    }
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
}

static void enrol_sites(struct world *world)
{
    enrol_sites_of(world, "s");
}

#endif
