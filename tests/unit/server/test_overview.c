/* The overview of a fleet, over REST. */
#include "tests/unit/server/rest_world.h"

#include "server-stub/store/fleet.h"

/* One call for a page about any number of devices: its rows have a bound, and
 * what stands in none of them is counted, too. */
static void an_overview_counts_by_any_label_and_has_a_bound(void **state)
{
    struct world *world = *state;
    char id[40], name[24], label[64];

    ANSWERS(world, 200, "\"conditions\":{\"offline\":2}",
            asks(world, world->admin, "GET /v1/overview", ""));
    ANSWERS(world, 200, "\"by\":\"site\"", asks(world, world->admin, "GET /v1/overview", ""));
    ANSWERS(world, 200,
            "{\"name\":\"lab\",\"devices\":1,\"look\":1,"
            "\"conditions\":{\"offline\":1}}",
            asks(world, world->admin, "GET /v1/overview?by=group", ""));
    ANSWERS(world, 200, "{\"name\":null,\"devices\":2",
            asks(world, world->admin, "GET /v1/overview?by=hardware", ""));
    ANSWERS(world, 422, "rest.selector",
            asks(world, world->admin, "GET /v1/overview?by=temperature", ""));
    ANSWERS(world, 422, "rest.selector",
            asks(world, world->admin, "GET /v1/overview?by=release.tiny", ""));
    begin(world);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "%08x-0000-4000-8000-000000000000", i);
        snprintf(name, sizeof(name), "till-%u", i);
        enrol(world, id, name, "hall");
        snprintf(label, sizeof(label), "{\"site\":\"site-%u\"}", i);
        assert_int_equal(flo_fleet_device_edit(world->controller->store, id,
                                               &(struct flo_fleet_edit){.labels = label},
                                               &world->err),
                         0);
    }
    commit(world);
    ANSWERS(world, 200, "\"more\":{\"rows\":37,\"devices\":37,\"look\":37}",
            asks(world, world->admin, "GET /v1/overview", ""));
    ANSWERS(world, 200, "\"rows\":[{\"name\":null,\"devices\":2",
            asks(world, world->admin, "GET /v1/overview", ""));
    ANSWERS(world, 200, "\"devices\":1,\"offline\":1,",
            asks(world, world->admin, "GET /v1/overview?by=site&where=site%3Dsite-9", ""));
    ANSWERS(world, 200, "\"facets\":[]", asks(world, world->admin, "GET /v1/overview", ""));
    ANSWERS(world, 200,
            "\"facets\":[{\"by\":\"hardware\",\"values\":[{\"name\":null,"
            "\"devices\":1}],\"more\":0},{\"by\":\"label.site\",\"values\":"
            "[{\"name\":\"site-9\",\"devices\":1}],\"more\":0}]",
            asks(world, world->admin, "GET /v1/overview?facets=true&where=site%3Dsite-9", ""));
    ANSWERS(world, 200, "],\"more\":84}]",
            asks(world, world->admin, "GET /v1/overview?facets=true", ""));
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, open_rest, close_rest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(an_overview_counts_by_any_label_and_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
