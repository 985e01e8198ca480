/* Alerts in memory: one that comes and goes leaves no other out. */
#include "unit/server/world.h"

#include "server-stub/state/watch/memory.h"

#define TEN_MINUTES 600000

/* One look at two metrics, which are there or not: a device that takes too
 * much, and the broker that is gone. */
static void look(struct world *world, bool is_greedy, bool is_gone, uint64_t now_ms)
{
    struct flo_samples samples = {0};

    if (is_greedy) {
        flo_samples_add(&samples, FLO_EXPOSED_OVER_SHARE, (const char *const[]){"d-1", "messages"},
                        1);
    }
    if (is_gone) {
        flo_samples_add(&samples, FLO_EXPOSED_BROKER, NULL, 0);
    }
    assert_int_equal(flo_watch_evaluate(world->controller, &samples, now_ms, &world->err), 0);
    flo_samples_deinit(&samples);
}

static size_t fired(struct world *world, const char *rule)
{
    const struct flo_watch_alert *alert;
    size_t count = 0;

    for (size_t i = 0; (alert = flo_watch_alert_at(world->controller, i)) != NULL; i++) {
        count += strcmp(alert->rule, rule) == 0 ? 1 : 0;
    }
    return count;
}

static void an_alert_that_comes_and_goes_leaves_no_other_out(void **state)
{
    struct world *world = *state;
    uint64_t now_ms = 1000;

    for (int i = 0; i < 600; i++) {
        look(world, true, false, now_ms += 1000);
        look(world, false, false, now_ms += 1000);
        look(world, false, false, now_ms += TEN_MINUTES / 2);
    }
    assert_true(fired(world, "device-greedy") > 100);
    assert_true(world->controller->watch->alert_count <= FLO_WATCH_ALERTS_MAX / 2 + 8);
    look(world, false, true, now_ms += 1000);
    look(world, false, true, now_ms += TEN_MINUTES);
    assert_int_equal(fired(world, "broker-gone"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_alert_that_comes_and_goes_leaves_no_other_out,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
