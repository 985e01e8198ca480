/* Waits of the agent: each scene is a golden trace, so that a rule which
 * changes shows in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/timeouts.h>

#include "unit/server/golden.h"

static struct flo_buf text;

/* ---- the watchdog ---- */

static const char *word(enum flo_watchdog_verdict verdict)
{
    static const char *const words[] = {"waits", "pings", "kills"};

    return words[verdict];
}

/* Ticks without an answer, up to the end. */
static void silent(const char *scene, struct flo_watchdog_limits limits)
{
    struct flo_watchdog dog = {0};
    enum flo_watchdog_verdict verdict = FLO_WATCHDOG_WAITS, last = verdict;
    uint64_t tick_ms = flo_watchdog_tick_ms(limits.hang_ms_max);

    flo_buf_printf(&text, "%s: a tick each %llu ms\n", scene, (unsigned long long)tick_ms);
    for (uint64_t tick = 1; verdict != FLO_WATCHDOG_KILLS; tick++) {
        verdict = flo_watchdog_tick(&dog, &limits);
        dog.has_ping = dog.has_ping || verdict == FLO_WATCHDOG_PINGS;
        if (tick == 1 || verdict != last) {
            flo_buf_printf(&text, "  %8llu ms  %s\n", (unsigned long long)(tick * tick_ms),
                           word(verdict));
        }
        last = verdict;
        assert_true(tick < 10000);
    }
}

/* ---- losses ---- */

static void lose_each(uint64_t every_ms, unsigned count)
{
    struct flo_losses losses = {0};
    uint64_t delay_ms = 0;

    flo_buf_printf(&text, "an engine is lost each %llu ms\n", (unsigned long long)every_ms);
    for (unsigned i = 0; i < count; i++) {
        uint64_t now_ms = 100000 + i * every_ms;
        if (!flo_losses_add(&losses, now_ms, &delay_ms)) {
            flo_buf_printf(&text, "  %8llu ms  gives up\n", (unsigned long long)now_ms);
            return;
        }
        flo_buf_printf(&text, "  %8llu ms  again after %llu ms\n", (unsigned long long)now_ms,
                       (unsigned long long)delay_ms);
    }
}

/* ---- work ---- */

static void work(const char *scene, bool is_told, unsigned computes_every, bool waits_for_disk)
{
    static const char *const words[] = {"goes on", "spent too much", "takes too long",
                                        "stands still"};
    const struct flo_work_limits limits = {
        .spent_ms_max = 10000, .total_ms_max = 60000, .idle_ms_max = 2000};
    struct flo_work work;
    enum flo_work_verdict verdict = FLO_WORK_GOES_ON;
    uint64_t now_ms = 5000, cpu_ms = 0;

    flo_work_begin(&work, now_ms);
    while (verdict == FLO_WORK_GOES_ON) {
        now_ms += 250;
        cpu_ms += computes_every > 0 && now_ms / 250 % computes_every == 0;
        verdict = flo_work_look(&work, &limits, now_ms, is_told, cpu_ms, waits_for_disk);
        assert_true(now_ms < 1000000);
    }
    flo_buf_printf(&text, "%s: after %llu ms it %s\n", scene, (unsigned long long)(now_ms - 5000),
                   words[verdict]);
}

static void each_wait_ends_as_its_trace_says(void **state)
{
    (void)state;
    silent("an engine that serves", (struct flo_watchdog_limits){.hang_ms_max = 60000});
    silent("an engine that loads",
           (struct flo_watchdog_limits){.hang_ms_max = 60000, .is_loading = true});
    silent(
        "a runtime that may load for 10 minutes",
        (struct flo_watchdog_limits){.hang_ms_max = 60000, .ready_ms = 600000, .is_loading = true});
    silent("an engine with a short limit", (struct flo_watchdog_limits){.hang_ms_max = 400});
    lose_each(1000, 10);
    lose_each(20000, 8);
    work("it computes all the time", true, 1, false);
    work("it waits for the disk alone", true, 0, true);
    work("it computes once in 2 s", true, 8, false);
    work("it does nothing", true, 0, false);
    work("the system does not tell", false, 0, false);

    golden_check("patience", text.data);
    flo_buf_deinit(&text);
}

static void a_sign_of_life_begins_the_silence_again(void **state)
{
    const struct flo_watchdog_limits limits = {.hang_ms_max = 8000};
    struct flo_watchdog dog = {0};
    (void)state;

    for (int i = 0; i < 100; i++) {
        assert_int_not_equal(flo_watchdog_tick(&dog, &limits), FLO_WATCHDOG_KILLS);
        dog.ticks = i % 8 == 7 ? 0 : dog.ticks;
    }
}

static void security_is_told_once_a_minute_and_64_notes_wait(void **state)
{
    (void)state;
    assert_true(flo_note_may_go(true, 0, 0, 1000));
    assert_false(flo_note_may_go(true, 1000, 1, 60999));
    assert_true(flo_note_may_go(true, 1000, 1, 61000));
    assert_true(flo_note_may_go(false, 1000, 1, 1001));
    assert_true(flo_note_may_go(false, 0, 63, 1000));
    assert_false(flo_note_may_go(false, 0, 64, 1000));
}

static void a_small_fleet_reports_at_once_and_a_large_one_in_turn(void **state)
{
    uint64_t first = UINT64_MAX;
    uint64_t last = 0;

    (void)state;
    for (uint64_t random = 0; random < 100000; random += 777) {
        assert_int_equal(flo_report_pause_ms(0, random), 0);
        assert_int_equal(flo_report_pause_ms(FLO_RECONNECT_MS_MIN, random), 0);
        uint64_t pause_ms = flo_report_pause_ms(15000, random);
        assert_true(pause_ms >= 3750 && pause_ms < 15000);
        first = pause_ms < first ? pause_ms : first;
        last = pause_ms > last ? pause_ms : last;
    }
    assert_true(first < 4000);
    assert_true(last > 14000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wait_ends_as_its_trace_says),
        cmocka_unit_test(a_sign_of_life_begins_the_silence_again),
        cmocka_unit_test(security_is_told_once_a_minute_and_64_notes_wait),
        cmocka_unit_test(a_small_fleet_reports_at_once_and_a_large_one_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
