/* Lists that are paged while their rows move: each device that is there throughout
 * comes once.  FLOTILLA_PART=all: 10,000 devices and 100 walks; else a part that
 * FLOTILLA_SEED draws. */
#include "tests/unit/dice.h"
#include "tests/unit/server/rest_world.h"

#include <jansson.h>

#include "server-stub/store/fleet.h"

static size_t devices = 200, walks = 18, limit = 23;

static const char *const orders[] = {"name",      "-name",      "site,-name",
                                     "condition", "-last_seen", "-label.rack,site"};

struct row {
    bool is_gone;
    unsigned times; /* that it came in this walk */
};

static void id_of(size_t i, char out[37])
{
    snprintf(out, 37, "%08zx-0000-4000-8000-000000000000", i);
}

static void add(struct world *world, size_t i)
{
    char id[37], name[32];

    id_of(i, id);
    snprintf(name, sizeof(name), "d-%zu", i);
    enrol(world, id, name, "hall");
}

static int open_fleet(void **state)
{
    dice_begin();
    if (dice_plays_all()) {
        devices = 10000;
        walks = 100;
        limit = 1000;
    }
    assert_int_equal(open_rest(state), 0);
    begin(*state);
    for (size_t i = 0; i < devices; i++) {
        add(*state, i);
    }
    commit(*state);
    return 0;
}

/* A rename, a move to another site or rack, a change of condition, a new device, or
 * one that goes. */
static void change(struct world *world, struct row *rows, size_t *next)
{
    char id[37], call[96], body[96];
    uint32_t kind = dice(12);
    size_t i = dice((uint32_t)devices);

    id_of(i, id);
    snprintf(call, sizeof(call), "PATCH /v1/devices/%s", id);
    if (kind == 11) {
        begin(world);
        add(world, (*next)++);
        commit(world);
        return;
    }
    if (rows[i].is_gone) {
        return;
    }
    if (kind == 10) {
        snprintf(call, sizeof(call), "DELETE /v1/devices/%s", id);
        rows[i].is_gone = true;
    } else if (kind < 4) {
        snprintf(body, sizeof(body), "{\"name\":\"n-%u-%zu\"}", dice(100000), i);
    } else if (kind < 7) {
        snprintf(body, sizeof(body), "{\"labels\":{\"site\":\"s-%u\",\"rack\":\"r%u\"}}", dice(9),
                 dice(9));
    } else {
        snprintf(body, sizeof(body), "{\"maintenance\":\"%s\"}", dice(2) == 0 ? "" : "fan");
    }
    ANSWERS(world, 200, "", asks(world, world->admin, call, kind == 10 ? "" : body));
}

/* Asks for a page, and counts its devices if the answer arrives. */
static json_t *page(struct world *world, const char *order, const char *cursor)
{
    char call[1400];

    snprintf(call, sizeof(call), "GET /v1/devices?fields=id&limit=%zu&sort=%s%s%s", limit, order,
             cursor[0] != '\0' ? "&cursor=" : "", cursor);
    ANSWERS(world, 200, "\"items\"", asks(world, world->admin, call, ""));
    json_t *json = json_loads(strstr(world->answer, "\r\n\r\n") + 4, 0, NULL);
    assert_non_null(json);
    return json;
}

static void count(struct row *rows, const json_t *answer, size_t most)
{
    const json_t *items = json_object_get(answer, "items");

    for (size_t i = 0; i < json_array_size(items); i++) {
        const char *id = json_string_value(json_object_get(json_array_get(items, i), "id"));
        size_t number = strtoul(id, NULL, 16);
        if (number < most) {
            rows[number].times++;
        }
    }
}

static void walk(struct world *world, struct row *rows, size_t *next, size_t number, bool moves)
{
    char cursor[1100] = "";

    for (size_t i = 0; i < devices; i++) {
        rows[i].times = 0;
    }
    for (bool is_on = true; is_on;) {
        const char *order = orders[number % (sizeof(orders) / sizeof(orders[0]))];
        if (moves && dice(4) == 0) { /* this answer was lost */
            json_decref(page(world, order, cursor));
        }
        json_t *answer = page(world, order, cursor);
        const char *after = json_string_value(json_object_get(answer, "next"));
        count(rows, answer, devices);
        is_on = after != NULL;
        snprintf(cursor, sizeof(cursor), "%s", is_on ? after : "");
        json_decref(answer);
        for (int i = 0; moves && is_on && i < 4; i++) {
            change(world, rows, next);
        }
        if (!moves) {
            flo_walks_close(&world->rest);
        }
    }
    for (size_t i = 0; i < devices; i++) {
        if (rows[i].times > 1 || (rows[i].times == 0 && !rows[i].is_gone)) {
            fail_msg("walk %zu: device %zu came %u times", number, i, rows[i].times);
        }
    }
}

static void who_is_there_throughout_comes_once_whatever_moves(void **state)
{
    struct row *rows = calloc(devices, sizeof(*rows));
    size_t next = devices;

    for (size_t i = 0; i < walks; i++) {
        walk(*state, rows, &next, i, true);
    }
    free(rows);
}

/* As of another controller, which does not know the walk. */
static void a_walk_that_was_given_up_goes_on_after_its_last_row(void **state)
{
    struct row *rows = calloc(devices, sizeof(*rows));
    size_t next = devices;

    for (int i = 0; i < 200; i++) {
        change(*state, rows, &next);
    }
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        walk(*state, rows, &next, i, false);
    }
    free(rows);
}

static void a_cursor_of_no_list_is_refused(void **state)
{
    static const char *const wrong[] = {
        "x",    ONE,      "W10",         "W10.",          "WzEsMiwzXQ", "WzAsMCwibiIsMSwyXQ",
        "////", "bnVsbA", "WzAsMCxbXV0", "WzAsMCxbXSwxXQ"};
    struct world *world = *state;
    char call[160];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(call, sizeof(call), "GET /v1/devices?sort=name&cursor=%s", wrong[i]);
        ANSWERS(world, 422, "is of no page", asks(world, world->admin, call, ""));
        snprintf(call, sizeof(call), "GET /v1/rollouts?cursor=%s", wrong[i]);
        ANSWERS(world, 422, "is of no page", asks(world, world->admin, call, ""));
    }
}

/* More walks than are remembered, and more ids than are kept. */
static void old_walks_make_room(void **state)
{
    struct world *world = *state;
    struct row *rows = calloc(devices, sizeof(*rows));
    size_t next = devices;
    char id[37];

    for (int i = 0; i < 600; i++) {
        assert_non_null(flo_walk_begin(&world->rest));
    }
    struct flo_walk *big = flo_walk_begin(&world->rest);
    struct flo_walk *small = flo_walk_begin(&world->rest);
    flo_walk_give(&world->rest, small, ONE);
    for (size_t i = 0; i <= FLO_WALKS_IDS; i++) {
        id_of(i, id);
        flo_walk_give(&world->rest, big, id);
    }
    assert_true(flo_walk_gave(big, id));
    assert_false(flo_walk_gave(small, ONE));
    walk(world, rows, &next, 0, true);
    assert_false(flo_walk_gave(big, id));
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fleet, close_rest)
        TEST(who_is_there_throughout_comes_once_whatever_moves),
        TEST(a_walk_that_was_given_up_goes_on_after_its_last_row),
        TEST(a_cursor_of_no_list_is_refused),
        TEST(old_walks_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
