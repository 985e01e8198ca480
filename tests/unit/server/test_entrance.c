/* Connections to the broker that are no sessions yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/guard/entrance.h"

#define SECOND_MS 1000u

static const char here[] = "10.0.0.1";
static const char there[] = "10.0.0.2";

static struct flo_entrance *entrance_new(void **state)
{
    free(*state);
    return *state = calloc(1, sizeof(struct flo_entrance));
}

static int entrance_free(void **state)
{
    free(*state);
    return 0;
}

/* How many of an address there are, in any state but those that gave way. */
static int held(const struct flo_entrance *entrance, const char *address)
{
    int found = 0;

    for (int i = 0; i < FLO_ENTRANCE_PLACES; i++) {
        const struct flo_entrance_place *one = &entrance->places[i];
        found += one->state != FLO_ENTRANCE_FREE && one->state < FLO_ENTRANCE_CUT &&
                 strcmp(one->address->text, address) == 0;
    }
    return found;
}

/* Ends those that gave way, as the broker does. */
static int ends(struct flo_entrance *entrance, uint64_t now_ms)
{
    int count = 0;

    for (int place; (place = flo_entrance_cut(entrance, now_ms)) >= 0; count++) {
        flo_entrance_leaves(entrance, place);
    }
    return count;
}

static int arrives(struct flo_entrance *entrance, const char *address, uint64_t now_ms)
{
    bool is_wasteful;

    return flo_entrance_arrives(entrance, address, 1, now_ms, &is_wasteful);
}

/* One more connection that sends its hello. */
static int greets(struct flo_entrance *entrance, const char *address, uint64_t now_ms)
{
    int place = arrives(entrance, address, now_ms);

    if (place >= 0) {
        flo_entrance_hello(entrance, place);
    }
    return place;
}

/* The address tries 333 a second, in a state, for ten seconds. */
static void crowds(struct flo_entrance *entrance, const char *address, bool greets_too)
{
    for (uint64_t now_ms = 1; now_ms <= 10 * SECOND_MS; now_ms += 3) {
        (void)(greets_too ? greets(entrance, address, now_ms) : arrives(entrance, address, now_ms));
        while (flo_entrance_admits(entrance, now_ms) >= 0) {
        }
        (void)ends(entrance, now_ms);
    }
}

static void an_address_that_wastes_connections_has_few(void **state)
{
    for (int greets_too = 0; greets_too < 2; greets_too++) {
        struct flo_entrance *entrance = entrance_new(state);

        crowds(entrance, here, greets_too);

        assert_int_equal(held(entrance, here), FLO_ENTRANCE_EACH_MAX);
        int place = greets(entrance, there, 10 * SECOND_MS);
        assert_true(place >= 0);
        assert_int_equal(flo_entrance_admits(entrance, 10 * SECOND_MS), place);
    }
}

static void one_that_wastes_has_a_turn_again_and_again(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);
    int turns = 0;

    crowds(entrance, here, true);
    for (uint64_t now_ms = 10 * SECOND_MS; now_ms < 20 * SECOND_MS; now_ms += 3) {
        turns += greets(entrance, here, now_ms) >= 0;
        while (flo_entrance_admits(entrance, now_ms) >= 0) {
        }
        (void)ends(entrance, now_ms);
    }
    assert_in_range(turns, 150, 170); /* 4 places, each for a quarter of a second */
}

static void a_site_that_comes_back_at_once_is_let_in(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);
    int inside = 0;

    for (int i = 0; i < 200; i++) {
        assert_true(greets(entrance, here, 5) >= 0);
    }
    for (int place; (place = flo_entrance_admits(entrance, 6)) >= 0; inside++) {
        flo_entrance_connects(entrance, place, true);
    }
    assert_int_equal(inside, 200);
    assert_int_equal(held(entrance, here), 0);
    assert_int_equal(entrance->top, 0);
}

static void an_address_that_wastes_handshakes_has_few_in_a_second(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);
    int begun = 0;

    for (uint64_t now_ms = 1; now_ms <= 10 * SECOND_MS; now_ms++) {
        (void)greets(entrance, here, now_ms);
        for (int place; (place = flo_entrance_admits(entrance, now_ms)) >= 0; begun++) {
            flo_entrance_leaves(entrance, place);
        }
    }
    assert_in_range(begun, 225, 235); /* 32 at once, then one in 50 ms */
}

static void sessions_waste_nothing_unless_they_come_too_often(void **state)
{
    for (int is_due = 0; is_due < 2; is_due++) {
        struct flo_entrance *entrance = entrance_new(state);
        int begun = 0;

        for (int i = 0; i < 1000; i++) {
            (void)greets(entrance, here, 1);
            int place = flo_entrance_admits(entrance, 1);
            if (place >= 0) {
                flo_entrance_connects(entrance, place, is_due);
                begun++;
            }
        }
        assert_int_equal(begun, is_due ? 1000 : FLO_ENTRANCE_WASTE_MAX);
    }
}

static void a_certificate_has_few_from_all_addresses_and_the_oldest_gives_way(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);
    int first = -1;

    for (int i = 0; i < 9; i++) {
        char address[16];
        snprintf(address, sizeof(address), "10.0.1.%d", i);
        (void)greets(entrance, address, (uint64_t)i + 1);
        int place = flo_entrance_admits(entrance, (uint64_t)i + 1);
        first = i == 0 ? place : first;
        assert_true(flo_entrance_names(entrance, place, "greedy") == (i < FLO_ENTRANCE_NAMED_MAX));
        if (i == FLO_ENTRANCE_NAMED_MAX) {
            assert_int_equal(flo_entrance_cut(entrance, 20), first);
            assert_true(entrance->places[first].is_inside);
        }
    }
    (void)greets(entrance, here, 30);
    assert_true(flo_entrance_names(entrance, flo_entrance_admits(entrance, 30), "other"));
}

static void all_is_over_in_the_end(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);

    (void)arrives(entrance, here, 5);
    (void)greets(entrance, here, 5);
    (void)greets(entrance, there, 6);
    assert_true(flo_entrance_names(entrance, flo_entrance_admits(entrance, 6), "one"));
    assert_int_equal(ends(entrance, 4 + FLO_ENTRANCE_WHOLE_MS), 0);
    assert_int_equal(ends(entrance, 5 + FLO_ENTRANCE_WHOLE_MS), 2);
    assert_int_equal(ends(entrance, 6 + FLO_ENTRANCE_WHOLE_MS), 1);
    assert_int_equal(entrance->top, 0);
}

static void the_last_place_is_for_whoever_comes_first(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);
    bool is_wasteful;

    for (int i = 0; i < FLO_ENTRANCE_PLACES + 5; i++) {
        char address[16];
        snprintf(address, sizeof(address), "10.1.%d.%d", i / 256, i % 256);
        assert_int_equal(flo_entrance_arrives(entrance, address, 1, 1, &is_wasteful),
                         i < FLO_ENTRANCE_PLACES ? i : -1);
        assert_false(is_wasteful);
    }
    assert_int_equal(ends(entrance, 1 + FLO_ENTRANCE_WHOLE_MS), FLO_ENTRANCE_PLACES);
    assert_true(arrives(entrance, here, 1 + FLO_ENTRANCE_WHOLE_MS) >= 0);
}

/* An end without CONNECT, of so many connections. */
static void ends_early(struct flo_entrance *entrance, int count)
{
    for (int i = 0; i < count; i++) {
        flo_entrance_leaves(entrance, greets(entrance, here, 1));
    }
}

/* Tells whether the address wastes connections; the question is one, too. */
static bool wastes(struct flo_entrance *entrance)
{
    bool is_wasteful;

    flo_entrance_leaves(entrance, flo_entrance_arrives(entrance, here, 1, 1, &is_wasteful));
    return is_wasteful;
}

static void many_early_ends_are_waste_and_sessions_make_up_for_some(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);

    ends_early(entrance, FLO_ENTRANCE_WASTE_MAX - 1);
    for (int i = 0; i < 5; i++) {
        (void)greets(entrance, here, 1);
        flo_entrance_connects(entrance, flo_entrance_admits(entrance, 1), true);
    }
    ends_early(entrance, 19);
    assert_false(wastes(entrance));
    assert_false(wastes(entrance));
    assert_true(wastes(entrance));
}

static void few_of_an_address_are_in_the_broker_at_a_time(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);
    int inside = 0;

    for (int i = 0; i < 300; i++) {
        assert_true((greets(entrance, here, 1) >= 0) == (i < FLO_ENTRANCE_WAITING_MAX));
    }
    for (; flo_entrance_admits(entrance, 1) >= 0; inside++) {
    }
    assert_int_equal(inside, FLO_ENTRANCE_EACH_MAX);
    assert_int_equal(flo_entrance_admits(entrance, FLO_ENTRANCE_PATIENCE_MS), -1);
    assert_true(flo_entrance_admits(entrance, 1 + FLO_ENTRANCE_PATIENCE_MS) >= 0);
    assert_int_equal(ends(entrance, 1 + FLO_ENTRANCE_PATIENCE_MS), 1);
}

static void silent_ones_give_way_in_time_to_others_of_an_address(void **state)
{
    struct flo_entrance *entrance = entrance_new(state);

    for (int i = 0; i < FLO_ENTRANCE_EACH_MAX; i++) {
        (void)arrives(entrance, here, 1);
    }
    (void)arrives(entrance, here, FLO_ENTRANCE_PATIENCE_MS);
    assert_int_equal(ends(entrance, FLO_ENTRANCE_PATIENCE_MS), 0);
    (void)arrives(entrance, here, 1 + FLO_ENTRANCE_PATIENCE_MS);
    assert_int_equal(ends(entrance, 1 + FLO_ENTRANCE_PATIENCE_MS), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(an_address_that_wastes_connections_has_few, entrance_free),
        cmocka_unit_test_teardown(one_that_wastes_has_a_turn_again_and_again, entrance_free),
        cmocka_unit_test_teardown(a_site_that_comes_back_at_once_is_let_in, entrance_free),
        cmocka_unit_test_teardown(an_address_that_wastes_handshakes_has_few_in_a_second,
                                  entrance_free),
        cmocka_unit_test_teardown(sessions_waste_nothing_unless_they_come_too_often, entrance_free),
        cmocka_unit_test_teardown(a_certificate_has_few_from_all_addresses_and_the_oldest_gives_way,
                                  entrance_free),
        cmocka_unit_test_teardown(many_early_ends_are_waste_and_sessions_make_up_for_some,
                                  entrance_free),
        cmocka_unit_test_teardown(few_of_an_address_are_in_the_broker_at_a_time, entrance_free),
        cmocka_unit_test_teardown(silent_ones_give_way_in_time_to_others_of_an_address,
                                  entrance_free),
        cmocka_unit_test_teardown(all_is_over_in_the_end, entrance_free),
        cmocka_unit_test_teardown(the_last_place_is_for_whoever_comes_first, entrance_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
