/* Devices of a rollout as people see them: the first ones, and page by page
 * while they change. */
#include "server-stub/state/rollouts/view.h"
#include "unit/server/world.h"

#define FOURTH "00000000-1111-4111-8111-111111111111"
#define FIFTH "40000000-1111-4111-8111-111111111111"

/* gw-1 to gw-3, gw-10 and gw-9, all queued. */
static struct flo_rollout_entry *five(struct world *world)
{
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(enrol(world, FOURTH, "gw-10"), 0);
    assert_int_equal(enrol(world, FIFTH, "gw-9"), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\",\"start_at_ms\":"
                                                   "4000000000000}");
    assert_non_null(entry);
    assert_int_equal(entry->core.member_count, 5);
    return entry;
}

static void is_in(struct flo_rollout_entry *entry, const char *device, enum flo_execution state)
{
    size_t index = flo_rollout_find(&entry->core, device);

    assert_true(index != SIZE_MAX);
    entry->core.members[index].state = (uint8_t)state;
}

/* Names of the items, apart by blanks; the items go. */
static const char *names(json_t *items)
{
    static char text[256];
    size_t used = 0;
    size_t i;
    json_t *item;

    text[0] = '\0';
    json_array_foreach(items, i, item)
    {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "",
                                 json_string_value(json_object_get(item, "name")));
        assert_true(used < sizeof(text));
    }
    json_decref(items);
    return text;
}

static const char *first(struct world *world, struct flo_rollout_entry *entry, size_t limit)
{
    json_t *items = NULL;

    assert_int_equal(flo_rollouts_show_first(world->controller, entry, limit, &items, &world->err),
                     0);
    return names(items);
}

static void who_failed_comes_first_then_who_is_under_way(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = five(world);
    const char *all = "gw-3 gw-9 gw-10 gw-1 gw-2";

    assert_string_equal(first(world, entry, 9), "gw-1 gw-2 gw-3 gw-9 gw-10");
    is_in(entry, ids[0], FLO_EXECUTION_SUCCEEDED);
    is_in(entry, ids[2], FLO_EXECUTION_FAILED);
    is_in(entry, FOURTH, FLO_EXECUTION_SOAKING);
    is_in(entry, FIFTH, FLO_EXECUTION_NOTIFIED);
    for (size_t limit = 1; limit <= 6; limit++) {
        const char *shown = first(world, entry, limit);
        assert_memory_equal(shown, all, strlen(shown));
        size_t count = 1;
        for (const char *at = shown; (at = strchr(at, ' ')) != NULL; at++) {
            count++;
        }
        assert_int_equal(count, limit < 5 ? limit : 5);
    }
    entry->core.members[0].lateness = FLO_LATENESS_SILENT;
    assert_string_equal(first(world, entry, 2), "gw-3 gw-10");
}

static void a_retired_device_is_shown_with_its_name_and_last(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = five(world);

    is_in(entry, ids[0], FLO_EXECUTION_SUCCEEDED);
    assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
    assert_int_equal(flo_fleet_device_retire(world->controller->store, ids[0], &world->err), 0);
    assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);

    assert_string_equal(first(world, entry, 9), "gw-2 gw-3 gw-9 gw-10 gw-1");
}

static int count_of(const json_t *json, const char *key)
{
    return (int)json_integer_value(json_object_get(json, key));
}

/* Told and connected, and neither back nor unable to go. */
static void a_rollback_awaits_who_is_connected_and_has_not_answered(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = five(world);
    json_t *json = json_object();

    flo_object_rollback(world->controller, &entry->core, json);
    assert_int_equal(json_object_size(json), 0);
    entry->core.state = FLO_ROLLOUT_ROLLING_BACK;
    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        is_in(entry, ids[i], FLO_EXECUTION_SUCCEEDED);
    }
    is_in(entry, FOURTH, FLO_EXECUTION_SUCCEEDED); /* never connected */
    flo_object_rollback(world->controller, &entry->core, json);
    assert_int_equal(count_of(json, "awaited"), 3);
    size_t index = flo_rollout_find(&entry->core, ids[0]);
    entry->core.members[index].is_back = true; /* and keeps it */
    index = flo_rollout_find(&entry->core, ids[1]);
    entry->core.members[index].is_back = true;
    is_in(entry, ids[1], FLO_EXECUTION_ROLLED_BACK);
    flo_object_rollback(world->controller, &entry->core, json);
    assert_int_equal(count_of(json, "awaited"), 1);
    assert_int_equal(count_of(json, "stays"), 1);
    assert_int_equal(count_of(json, "back"), 1);
    json_decref(json);
}

static json_t *page(struct world *world, struct flo_rollout_entry *entry,
                    struct flo_members_page page, bool *has_more)
{
    json_t *items = NULL;

    assert_int_equal(
        flo_rollouts_show_page(world->controller, entry, &page, &items, has_more, &world->err), 0);
    return items;
}

static void each_member_comes_on_one_page_whatever_becomes_of_it_meanwhile(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = five(world);
    char after[37] = "";
    char all[256] = "";
    bool has_more = true;

    for (int number = 0; has_more; number++) {
        json_t *items = page(world, entry,
                             (struct flo_members_page){after, 2, FLO_MEMBERS_ALL, NULL}, &has_more);
        assert_int_equal(json_array_size(items), has_more ? 2 : 1);
        const json_t *last = json_array_get(items, json_array_size(items) - 1);
        snprintf(after, sizeof(after), "%s", json_string_value(json_object_get(last, "id")));
        strcat(strcat(all, names(items)), ", ");
        if (number == 0) { /* one that was shown, and one that comes later */
            is_in(entry, ids[0], FLO_EXECUTION_FAILED);
            is_in(entry, ids[2], FLO_EXECUTION_FAILED);
            assert_int_equal(flo_controller_begin(world->controller, &world->err), 0);
            assert_int_equal(flo_fleet_device_edit(
                                 world->controller->store, ids[1],
                                 &(struct flo_fleet_edit){.name = "a-renamed-one"}, &world->err),
                             0);
            assert_int_equal(flo_controller_commit(world->controller, &world->err), 0);
        }
    }
    assert_string_equal(all, "gw-10 gw-1, a-renamed-one gw-3, gw-9, ");
    assert_string_equal(
        names(page(world, entry, (struct flo_members_page){"~", 2, FLO_MEMBERS_ALL, NULL},
                   &has_more)),
        "");
    assert_false(has_more);
}

static void a_page_has_those_alone_that_are_asked_for(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = five(world);
    struct flo_members_page asked = {.after = "", .limit = 1};
    struct flo_selector where;
    bool has_more;

    is_in(entry, ids[0], FLO_EXECUTION_SUCCEEDED);
    is_in(entry, ids[2], FLO_EXECUTION_ROLLED_BACK);
    asked.which = FLO_MEMBERS_FAILED;
    assert_string_equal(names(page(world, entry, asked, &has_more)), "gw-3");
    assert_false(has_more);
    asked.which = FLO_MEMBERS_NOT_DONE;
    asked.limit = 4;
    assert_string_equal(names(page(world, entry, asked, &has_more)), "gw-10 gw-2 gw-3 gw-9");
    assert_false(has_more);
    assert_int_equal(flo_selector_parse("name in (gw-1,gw-10)", NULL, &where, &world->err), 0);
    asked = (struct flo_members_page){"", 1, FLO_MEMBERS_ALL, &where};
    assert_string_equal(names(page(world, entry, asked, &has_more)), "gw-10");
    assert_true(has_more);
    asked.after = FOURTH;
    assert_string_equal(names(page(world, entry, asked, &has_more)), "gw-1");
    assert_false(has_more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(who_failed_comes_first_then_who_is_under_way),
        WITH_WORLD(a_retired_device_is_shown_with_its_name_and_last),
        WITH_WORLD(each_member_comes_on_one_page_whatever_becomes_of_it_meanwhile),
        WITH_WORLD(a_rollback_awaits_who_is_connected_and_has_not_answered),
        WITH_WORLD(a_page_has_those_alone_that_are_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
