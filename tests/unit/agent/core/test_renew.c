/* Renewal of a device's certificate over years, with clocks that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/core/renew.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define LIFE_MS (90 * DAY_MS)
#define TODAY_MS UINT64_C(1790000000000)

/* The device's clock, as a function of the true time. */
typedef uint64_t clock_of(uint64_t true_ms);

struct world {
    struct flo_renew renew;
    clock_of *clock;
    uint64_t true_ms;   /* the controller's */
    uint64_t uptime_ms; /* of the agent */
    uint32_t asked;     /* times */
    enum flo_renew_why why;
    uint64_t asked_at_ms[64];
    bool is_away; /* the controller does not answer */
    unsigned seed;
};

static struct flo_renew_now now(struct world *world)
{
    return (struct flo_renew_now){.now_ms = world->uptime_ms,
                                  .clock_ms = world->clock(world->true_ms),
                                  .random = (uint64_t)rand_r(&world->seed)};
}

static struct flo_renew_life life_from(struct world *world)
{
    return (struct flo_renew_life){.issued_ms = world->true_ms,
                                   .until_ms = world->true_ms + LIFE_MS,
                                   .taken_ms = world->clock(world->true_ms)};
}

static struct world begin(clock_of *clock)
{
    struct world world = {.clock = clock, .true_ms = TODAY_MS, .uptime_ms = HOUR_MS, .seed = 1};
    struct flo_renew_life life = life_from(&world);
    struct flo_renew_now at = now(&world);

    flo_renew_begin(&world.renew, &life, &at);
    return world;
}

static void ask(struct world *world)
{
    struct flo_renew_now at = now(world);
    enum flo_renew_why why = flo_renew_look(&world->renew, &at);

    if (why == FLO_RENEW_NOT) {
        return;
    }
    world->asked_at_ms[world->asked % 64] = world->true_ms;
    world->asked++;
    world->why = why;
    if (world->is_away) {
        flo_renew_failed(&world->renew, 0, &at);
    } else {
        struct flo_renew_life life = life_from(world);
        flo_renew_done(&world->renew, &life, &at);
    }
}

static void pass(struct world *world, uint64_t ms)
{
    uint64_t end_ms = world->true_ms + ms;

    while (world->true_ms < end_ms) {
        uint64_t step_ms = flo_renew_pause_ms(&world->renew);
        world->true_ms += step_ms;
        world->uptime_ms += step_ms;
        ask(world);
    }
}

static void restart(struct world *world)
{
    struct flo_renew_life life = world->renew.life;
    struct flo_renew_now at;

    world->uptime_ms = 1000;
    at = now(world);
    flo_renew_begin(&world->renew, &life, &at);
}

static uint64_t right(uint64_t true_ms)
{
    return true_ms;
}
static uint64_t stands_still(uint64_t true_ms)
{
    (void)true_ms;
    return TODAY_MS - 400 * DAY_MS;
}
static uint64_t decades_ahead(uint64_t true_ms)
{
    return true_ms + 20000 * DAY_MS;
}
static uint64_t years_behind(uint64_t true_ms)
{
    return true_ms - 2000 * DAY_MS;
}
static uint64_t jumps_ahead_after_a_week(uint64_t true_ms)
{
    return true_ms < TODAY_MS + 7 * DAY_MS ? true_ms : decades_ahead(true_ms);
}
static uint64_t is_put_right_after_a_week(uint64_t true_ms)
{
    return true_ms < TODAY_MS + 7 * DAY_MS ? decades_ahead(true_ms) : true_ms;
}
static uint64_t behind_and_put_right(uint64_t true_ms)
{
    return true_ms < TODAY_MS + 7 * DAY_MS ? years_behind(true_ms) : true_ms;
}

static void it_asks_when_two_thirds_of_its_life_are_over(void **state)
{
    struct world world = begin(right);
    (void)state;

    pass(&world, 59 * DAY_MS);
    assert_int_equal(world.asked, 0);
    pass(&world, 2 * DAY_MS);

    assert_int_equal(world.asked, 1);
    assert_int_equal(world.why, FLO_RENEW_DUE);
    assert_in_range(world.asked_at_ms[0], TODAY_MS + 60 * DAY_MS,
                    TODAY_MS + 60 * DAY_MS + 2 * HOUR_MS);
    pass(&world, 365 * DAY_MS);
    assert_int_equal(world.asked, 7);
}

/* Six renewals a year, and one more where a clock jumped. */
static void a_wrong_clock_neither_stops_it_nor_drives_it(void **state)
{
    static const struct {
        clock_of *clock;
        uint32_t more;
    } clocks[] = {{stands_still, 0},
                  {decades_ahead, 0},
                  {years_behind, 0},
                  {jumps_ahead_after_a_week, 1},
                  {is_put_right_after_a_week, 0},
                  {behind_and_put_right, 1}};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(clocks); i++) {
        struct world world = begin(clocks[i].clock);
        pass(&world, 365 * DAY_MS);
        print_message("clock %zu: %u renewals\n", i, world.asked);
        assert_in_range(world.asked, 6, 6 + clocks[i].more);
        uint64_t last_ms = world.asked_at_ms[(world.asked - 1) % 64];
        assert_true(world.true_ms - last_ms < LIFE_MS);
    }
}

/* Each start finds a clock of 1970; the trusted time is the enrolment's. */
static void a_device_without_a_clock_that_starts_each_day_is_asked(void **state)
{
    struct world world = begin(stands_still);
    struct flo_renew_now at;
    (void)state;

    for (int day = 0; day < 80; day++) {
        pass(&world, DAY_MS);
        restart(&world);
    }
    assert_int_equal(world.asked, 0);
    at = now(&world);
    flo_renew_want(&world.renew, FLO_RENEW_ASKED, &at);
    pass(&world, HOUR_MS);

    assert_int_equal(world.asked, 1);
    assert_int_equal(world.why, FLO_RENEW_ASKED);
}

/* It renewed a minute ago, and the other one takes the connection meanwhile. */
static void who_keeps_a_shared_identity_asks_at_once(void **state)
{
    struct world world = begin(right);
    struct flo_renew_life life = life_from(&world);
    struct flo_renew_now at = now(&world);
    (void)state;

    flo_renew_want(&world.renew, FLO_RENEW_REFUSED, &at);
    pass(&world, HOUR_MS);
    at = now(&world);
    assert_int_equal(world.why, FLO_RENEW_REFUSED);
    flo_renew_begin(&world.renew, &life, &at);
    world.renew.next_ms = at.now_ms + 24 * HOUR_MS;
    flo_renew_want(&world.renew, FLO_RENEW_ASKED, &at);
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_NOT);
    flo_renew_want(&world.renew, FLO_RENEW_SPLIT, &at);
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_SPLIT);
}

static void five_thousand_of_one_day_do_not_ask_in_one_minute(void **state)
{
    static uint32_t in_hour[90 * 24];
    uint32_t most = 0;
    (void)state;

    for (unsigned i = 0; i < 5000; i++) {
        struct world world = begin(right);
        struct flo_renew_life life = life_from(&world);
        struct flo_renew_now at = now(&world);
        unsigned seed = i + 1;
        life.place = (uint32_t)rand_r(&seed) * 2;
        flo_renew_begin(&world.renew, &life, &at);
        at.clock_ms = TODAY_MS;
        while (flo_renew_look(&world.renew, &at) == FLO_RENEW_NOT) {
            at.clock_ms += HOUR_MS;
        }
        uint64_t hour = (at.clock_ms - TODAY_MS) / HOUR_MS;
        assert_in_range(hour, 60 * 24, 60 * 24 + 181);
        in_hour[hour]++;
        most = in_hour[hour] > most ? in_hour[hour] : most;
    }
    print_message("at most %u in an hour\n", most);
    assert_true(most < 60); /* 28 in the mean */
}

/* All are due when the controller comes back after a month. */
static void those_that_are_overdue_do_not_come_at_once(void **state)
{
    uint32_t in_second[61] = {0};
    (void)state;

    for (unsigned i = 0; i < 5000; i++) {
        struct world world = begin(right);
        world.seed = i + 1;
        world.true_ms += 80 * DAY_MS;
        restart(&world);
        uint64_t from_ms = world.uptime_ms;
        assert_in_range(world.renew.next_ms, from_ms, from_ms + 60000);
        in_second[(world.renew.next_ms - from_ms) / 1000]++;
    }
    for (int i = 0; i < 60; i++) {
        assert_in_range(in_second[i], 20, 200);
    }
}

static void a_failure_is_tried_again_later_each_time(void **state)
{
    struct world world = begin(right);
    (void)state;

    world.is_away = true;
    pass(&world, 62 * DAY_MS);
    assert_true(world.asked > 5);
    assert_in_range(world.asked_at_ms[1] - world.asked_at_ms[0], 60000, 4 * 60000);
    uint32_t before = world.asked;
    pass(&world, 10 * DAY_MS); /* six hours are the longest pause */
    assert_in_range(world.asked - before, 40, 200);
    world.is_away = false;
    pass(&world, DAY_MS);
    before = world.asked;
    pass(&world, 50 * DAY_MS);

    assert_int_equal(world.asked, before);
}

static void a_controller_that_is_full_says_when(void **state)
{
    struct world world = begin(right);
    struct flo_renew_now at;
    (void)state;

    world.true_ms += 70 * DAY_MS;
    at = now(&world);
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_DUE);
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_NOT);
    flo_renew_failed(&world.renew, 2 * HOUR_MS, &at);
    at.now_ms += 2 * HOUR_MS - 1;
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_NOT);
    at.now_ms += 1;

    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_DUE);
}

/* A broker that does not know the newest authority refuses for ever. */
static void a_refusal_that_stays_asks_once_a_day(void **state)
{
    struct world world = begin(right);
    (void)state;

    for (int minute = 0; minute < 10 * 24 * 60; minute++) {
        struct flo_renew_now at = now(&world);
        flo_renew_want(&world.renew, FLO_RENEW_REFUSED, &at);
        pass(&world, 60000);
    }

    print_message("%u renewals in ten days\n", world.asked);
    assert_in_range(world.asked, 9, 11);
    assert_int_equal(world.why, FLO_RENEW_REFUSED);
}

static void a_newer_authority_is_not_waited_for(void **state)
{
    struct world world = begin(right);
    struct flo_renew_now at;
    (void)state;

    pass(&world, 60 * DAY_MS + HOUR_MS);
    assert_int_equal(world.asked, 1);
    at = now(&world);
    flo_renew_want(&world.renew, FLO_RENEW_ASKED, &at);
    pass(&world, HOUR_MS);
    assert_int_equal(world.asked, 1);
    world = begin(right);
    pass(&world, 60 * DAY_MS + HOUR_MS);
    assert_int_equal(world.asked, 1);
    at = now(&world);
    flo_renew_want(&world.renew, FLO_RENEW_AUTHORITY, &at);
    pass(&world, 11 * 60000);

    assert_int_equal(world.asked, 2);
    assert_int_equal(world.why, FLO_RENEW_AUTHORITY);
}

static void the_last_sixth_is_told_once(void **state)
{
    struct world world = begin(right);
    struct flo_renew_now at;
    (void)state;

    world.is_away = true;
    pass(&world, 74 * DAY_MS);
    at = now(&world);
    assert_false(flo_renew_warns(&world.renew, &at));
    pass(&world, 2 * DAY_MS);
    at = now(&world);
    assert_true(flo_renew_warns(&world.renew, &at));
    assert_false(flo_renew_warns(&world.renew, &at));
    world.is_away = false;
    pass(&world, DAY_MS);
    at = now(&world);
    assert_false(flo_renew_warns(&world.renew, &at));
}

static void lives_of_seconds_work_too(void **state)
{
    struct world world = begin(right);
    struct flo_renew_life life = {TODAY_MS, TODAY_MS + 12000, TODAY_MS, 0};
    struct flo_renew_now at = now(&world);
    (void)state;

    flo_renew_begin(&world.renew, &life, &at);
    assert_int_equal(flo_renew_pause_ms(&world.renew), 100);
    at.now_ms += 7999;
    at.clock_ms += 7999;
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_NOT);
    at.now_ms += 1;
    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_DUE);
    flo_renew_failed(&world.renew, 0, &at);
    at.now_ms += 700;

    assert_int_equal(flo_renew_look(&world.renew, &at), FLO_RENEW_DUE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_asks_when_two_thirds_of_its_life_are_over),
        cmocka_unit_test(a_wrong_clock_neither_stops_it_nor_drives_it),
        cmocka_unit_test(who_keeps_a_shared_identity_asks_at_once),
        cmocka_unit_test(a_device_without_a_clock_that_starts_each_day_is_asked),
        cmocka_unit_test(five_thousand_of_one_day_do_not_ask_in_one_minute),
        cmocka_unit_test(those_that_are_overdue_do_not_come_at_once),
        cmocka_unit_test(a_failure_is_tried_again_later_each_time),
        cmocka_unit_test(a_controller_that_is_full_says_when),
        cmocka_unit_test(a_refusal_that_stays_asks_once_a_day),
        cmocka_unit_test(a_newer_authority_is_not_waited_for),
        cmocka_unit_test(the_last_sixth_is_told_once),
        cmocka_unit_test(lives_of_seconds_work_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
