/* Silence: when a device is stale, and which newest statements count.  Clocks of
 * devices may be wrong; words that somebody kept and plays back do not count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include <flotilla/errors/trust.h>

#include "agent/core/silence.h"

#define S UINT64_C(1000)
#define MINUTE (60 * S)
#define DAY (1440 * MINUTE)
#define EPOCH (1700000000 * S) /* the controller's clock when the device boots */

struct world {
    struct flo_silence silence;
    struct flo_agent_time time;
    uint64_t now, awake; /* steady, since boot, with and without sleep */
    bool is_online;
    unsigned alarms;
};

static void begin(struct world *world, int64_t clock_off, bool is_synchronised)
{
    *world = (struct world){.now = 5 * S, .awake = 5 * S, .is_online = true};
    world->time.is_synchronised = is_synchronised;
    world->time.clock_ms = (uint64_t)((int64_t)(EPOCH + world->now) + clock_off);
    world->silence.looked_ms = world->awake;
}

static struct flo_newest word_of(uint64_t at, uint64_t interval_ms)
{
    return (struct flo_newest){.number = EPOCH + at,
                               .issued_at_ms = EPOCH + at,
                               .expires_at_ms = EPOCH + at + 3 * interval_ms,
                               .interval_ms = interval_ms};
}

static int hear(struct world *world, const struct flo_newest *word, bool is_direct)
{
    int rv = flo_silence_admit(&world->silence, word, &world->time,
                               is_direct ? FLO_WORD_DIRECT : FLO_WORD_BY_ANYBODY, world->now, NULL);

    if (rv == 0 && word->number > world->silence.number) {
        flo_silence_hear(&world->silence, word, is_direct, world->now);
    }
    return rv;
}

/* The controller's word of this moment. */
static int hear_now(struct world *world)
{
    struct flo_newest word = word_of(world->now, MINUTE);

    return hear(world, &word, false);
}

static void pass(struct world *world, uint64_t ms)
{
    uint64_t pause = world->silence.interval_ms / FLO_SILENCE_LOOKS;
    uint64_t end = world->now + ms;

    while (world->now < end) {
        uint64_t step = pause == 0 || pause > end - world->now ? end - world->now : pause;
        world->now += step;
        world->awake += step;
        world->time.clock_ms += step;
        world->alarms += flo_silence_look(&world->silence, world->is_online, world->awake) &&
                         world->silence.is_stale;
    }
}

static void a_device_without_a_word_for_three_intervals_is_stale_and_heals(void **state)
{
    struct world world;
    (void)state;

    begin(&world, 0, false);
    assert_int_equal(hear_now(&world), 0);
    pass(&world, 3 * MINUTE);
    assert_false(world.silence.is_stale);
    assert_true(world.silence.asks);
    pass(&world, MINUTE / 4);
    assert_true(world.silence.is_stale);
    assert_int_equal(hear_now(&world), 0);
    pass(&world, MINUTE / 4);
    assert_false(world.silence.is_stale);
    assert_false(world.silence.asks);
}

static void a_device_of_a_fleet_without_words_is_never_stale(void **state)
{
    struct world world;
    struct flo_newest last;
    (void)state;

    begin(&world, 0, false);
    pass(&world, 30 * DAY);
    assert_false(world.silence.is_stale);
    assert_int_equal(hear_now(&world), 0);
    last = word_of(world.now + S, 0); /* the fleet hands out no more */
    last.expires_at_ms += DAY;
    assert_int_equal(hear(&world, &last, false), 0);
    pass(&world, DAY);
    assert_int_equal(world.alarms, 0);
}

static void time_offline_does_not_count_and_a_reconnect_begins_nothing_anew(void **state)
{
    struct world world;
    (void)state;

    begin(&world, 0, false);
    assert_int_equal(hear_now(&world), 0);
    for (int i = 0; i < 4; i++) {
        pass(&world, 40 * S);
        world.is_online = false;
        pass(&world, DAY);
        world.is_online = true;
    }
    assert_false(world.silence.is_stale);
    pass(&world, 40 * S);
    assert_true(world.silence.is_stale);
}

/* A machine that slept finds its connection as it was, for a moment. */
static void a_night_of_sleep_is_no_silence(void **state)
{
    struct world world;
    (void)state;

    begin(&world, 0, false);
    assert_int_equal(hear_now(&world), 0);
    world.now += 8 * 60 * MINUTE;
    assert_false(flo_silence_look(&world.silence, true, world.awake));
    assert_int_equal(hear_now(&world), 0);
}

static void older_numbers_are_refused_and_the_same_is_no_news(void **state)
{
    struct world world;
    struct flo_newest first = word_of(5 * S, MINUTE), second = word_of(65 * S, MINUTE);
    (void)state;

    begin(&world, 0, false);
    pass(&world, MINUTE);
    assert_int_equal(hear(&world, &second, false), 0);
    assert_int_equal(hear(&world, &first, false), FLO_E_TRUST_NEWEST);
    assert_int_equal(hear(&world, &first, true), FLO_E_TRUST_NEWEST);
    pass(&world, 2 * MINUTE);
    assert_int_equal(hear(&world, &second, false), 0);
    assert_int_equal(world.silence.silent_ms, 2 * MINUTE);
}

static void a_word_from_the_future_is_refused(void **state)
{
    struct world world;
    struct flo_newest word;
    (void)state;

    begin(&world, 0, true);
    word = word_of(2 * DAY, MINUTE);
    assert_int_equal(hear(&world, &word, false), FLO_E_TRUST_NEWEST);
    begin(&world, 0, false);
    word = word_of(500 * DAY, MINUTE);
    assert_int_equal(hear(&world, &word, false), FLO_E_TRUST_NEWEST);
    assert_int_equal(hear_now(&world), 0);
    word = word_of(world.now + 2 * DAY, MINUTE);
    assert_int_equal(hear(&world, &word, false), FLO_E_TRUST_NEWEST);
    assert_int_equal(hear(&world, &word, true), 0); /* the controller itself says so */
}

/* Each kept word is newer than the one before it, and all are late. */
static void words_that_were_kept_do_not_count_when_they_are_played_back(void **state)
{
    struct world world;
    struct flo_newest word;
    uint64_t cut;
    (void)state;

    begin(&world, 0, false);
    assert_int_equal(hear_now(&world), 0);
    cut = world.now;
    world.is_online = false;
    pass(&world, 10 * DAY);
    world.is_online = true;
    for (uint64_t i = 1; i <= 4; i++) {
        word = word_of(cut + i * MINUTE, MINUTE);
        assert_int_equal(hear(&world, &word, false), FLO_E_TRUST_NEWEST);
        pass(&world, MINUTE);
    }
    assert_true(world.silence.is_stale);
}

/* Whoever brings each word a little later than the one before gains no time. */
static void a_growing_delay_is_told(void **state)
{
    struct world world;
    struct flo_newest word;
    unsigned taken = 0;
    (void)state;

    begin(&world, 0, false);
    assert_int_equal(hear_now(&world), 0);
    for (uint64_t i = 1; i <= 50; i++) { /* the i-th word, two intervals after the last one */
        pass(&world, 2 * MINUTE);
        word = word_of(5 * S + i * MINUTE, MINUTE);
        taken += hear(&world, &word, false) == 0;
    }
    assert_true(taken <= 3);
    assert_true(world.silence.is_stale);
}

/* 30 days of devices that sleep, are offline and have wrong clocks. */
static void thirty_days_of_odd_devices_raise_no_alarm(void **state)
{
    static const int64_t offsets[] = {0, 2 * (int64_t)DAY, -2 * (int64_t)DAY, 3600000, -3600000};
    struct world world;
    unsigned deaf = 0;
    (void)state;

    for (size_t device = 0; device < 40; device++) {
        uint32_t random = (uint32_t)device;
        begin(&world, offsets[device % FLO_COUNT(offsets)], device % 2 != 0);
        for (uint64_t minute = 0; minute < 30 * 1440; minute++) {
            struct flo_newest word = word_of(world.now, MINUTE);
            random = random * 1664525 + 1013904223;
            if (random >> 22 == 0) { /* about each 1024th minute: a night of sleep */
                world.now += 480 * MINUTE;
                world.time.clock_ms += 480 * MINUTE;
                world.alarms +=
                    flo_silence_look(&world.silence, true, world.awake) && world.silence.is_stale;
                continue;
            }
            world.is_online = (random >> 12 & 7) != 0 && minute / 1440 % 7 != device % 7;
            if (world.is_online) {
                bool is_direct = world.silence.asks || minute % 1440 == 59;
                deaf += hear(&world, &word, is_direct) != 0;
            }
            pass(&world, MINUTE);
        }
        assert_int_equal(world.alarms, 0);
    }
    print_message("%u words refused in %u device minutes\n", deaf, 40 * 30 * 1440);
}

/* A bundle's word of `days` days, made so long after the boot; the device took
 * number `taken` before. */
static int bring(const struct world *world, uint64_t taken, int64_t made, uint64_t days)
{
    uint64_t at = (uint64_t)((int64_t)EPOCH + made);
    struct flo_newest word = {.number = at, .issued_at_ms = at, .expires_at_ms = at + days * DAY};
    struct flo_silence silence = world->silence;

    silence.number = taken;
    return flo_silence_admit(&silence, &word, &world->time, FLO_WORD_IN_BUNDLE, world->now, NULL);
}

static void a_bundle_holds_for_its_days_by_the_best_time_that_is_known(void **state)
{
    const int64_t old = -(int64_t)(32 * DAY);
    struct world world;
    (void)state;

    begin(&world, 0, false);
    assert_int_equal(bring(&world, 0, 0, 30), 0);
    assert_int_equal(bring(&world, EPOCH, 0, 30), 0); /* the same again */
    assert_int_equal(bring(&world, EPOCH + 1, 0, 30), FLO_E_TRUST_NEWEST);
    assert_int_equal(bring(&world, 0, old, 30), FLO_E_TRUST_NEWEST);
    assert_int_equal(bring(&world, (uint64_t)((int64_t)EPOCH + old), old, 30), FLO_E_TRUST_NEWEST);
    assert_int_equal(bring(&world, 0, 401 * DAY, 30), FLO_E_TRUST_NEWEST);
    world.time.is_synchronised = true;
    assert_int_equal(bring(&world, 0, 2 * DAY, 30), FLO_E_TRUST_NEWEST);

    world.time = (struct flo_agent_time){.trusted_ms = EPOCH}; /* a clock of 1970 */
    assert_int_equal(bring(&world, 0, 300 * DAY, 30), 0);
    assert_int_equal(bring(&world, 0, old, 30), FLO_E_TRUST_NEWEST);
    world.time.trusted_ms = 0;
    assert_int_equal(bring(&world, 0, old, 30), 0);

    begin(&world, -60 * (int64_t)DAY, false); /* two months behind, but it heard a word */
    assert_int_equal(bring(&world, 0, old, 30), 0);
    assert_int_equal(hear_now(&world), 0);
    assert_int_equal(bring(&world, 0, old, 30), FLO_E_TRUST_NEWEST);
    assert_int_equal(bring(&world, 0, 0, 30), 0); /* older than the network's: no matter */
    assert_int_equal(bring(&world, 0, 2 * DAY, 30), FLO_E_TRUST_NEWEST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_without_a_word_for_three_intervals_is_stale_and_heals),
        cmocka_unit_test(a_device_of_a_fleet_without_words_is_never_stale),
        cmocka_unit_test(time_offline_does_not_count_and_a_reconnect_begins_nothing_anew),
        cmocka_unit_test(a_night_of_sleep_is_no_silence),
        cmocka_unit_test(older_numbers_are_refused_and_the_same_is_no_news),
        cmocka_unit_test(a_word_from_the_future_is_refused),
        cmocka_unit_test(words_that_were_kept_do_not_count_when_they_are_played_back),
        cmocka_unit_test(a_growing_delay_is_told),
        cmocka_unit_test(thirty_days_of_odd_devices_raise_no_alarm),
        cmocka_unit_test(a_bundle_holds_for_its_days_by_the_best_time_that_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
