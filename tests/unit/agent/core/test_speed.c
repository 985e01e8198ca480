/* Verdicts on a candidate's speed, over thousands of simulated probes.
 *
 * The simulation follows measurements on a busy 4-CPU virtual machine with
 * equal models. A CPU computes at its full speed, or at 1/1.27, 1/1.67 or
 * 1/1.94 of it, for a random time of half a second on average. In one pair of
 * ten, one side is disturbed by up to as much again.  Engines share a CPU, or,
 * where that is not allowed, each has one of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/speed.h"
#include "unit/agent/core/uniform.h"

#define TOKEN_US 150.0
#define LIMIT 1.5
#define PAIR_MS 20.0
#define MODE_MS 500.0
#define BUDGET_MS 120000.0
#define PROBES 4000

struct cpu {
    double slowness;
};

static void live_through(struct cpu *cpu, double ms)
{
    static const double modes[] = {1, 1, 1.27, 1.27, 1.67, 1.94};

    while (ms > 0) {
        double step = ms < 10 ? ms : 10;

        if (cpu->slowness == 0 || uniform() < step / MODE_MS) {
            cpu->slowness = modes[(size_t)(uniform() * 6)];
        }
        ms -= step;
    }
}

static double measure(const struct cpu *cpu, double ratio)
{
    double disturbed = uniform() < 0.1 ? 1 + uniform() : 1;

    return TOKEN_US * ratio * cpu->slowness * disturbed * (0.97 + 0.06 * uniform());
}

struct counts {
    int fast, slow, unsure;
    double ms, ms_max;
};

static struct counts simulate(double ratio, double limit, bool share_a_cpu)
{
    static struct flo_speed speed; /* large */
    struct counts counts = {0};

    seed = 1;
    for (int probe = 0; probe < PROBES; probe++) {
        struct cpu a = {0}, b = {0};
        enum flo_speed_verdict verdict = FLO_SPEED_OPEN;
        double ms = 0;

        flo_speed_init(&speed, limit, FLO_SPEED_UNNOTICED_US);
        live_through(&a, 1000);
        live_through(&b, 1000);
        while (verdict == FLO_SPEED_OPEN && ms < BUDGET_MS) {
            double pause_ms;
            double candidate_us = measure(&a, ratio);

            live_through(&a, PAIR_MS / 2);
            live_through(&b, PAIR_MS / 2);
            verdict = flo_speed_add(&speed, candidate_us, measure(share_a_cpu ? &a : &b, 1));
            pause_ms = flo_speed_pause_ms(&speed) + PAIR_MS / 2;
            live_through(&a, pause_ms);
            live_through(&b, pause_ms);
            ms += pause_ms + PAIR_MS / 2;
        }
        counts.fast += verdict == FLO_SPEED_FAST;
        counts.slow += verdict == FLO_SPEED_SLOW;
        counts.unsure += verdict != FLO_SPEED_FAST && verdict != FLO_SPEED_SLOW;
        counts.ms += ms / PROBES;
        counts.ms_max = ms > counts.ms_max ? ms : counts.ms_max;
    }
    print_message("ratio %.2f limit %.2f %s: %d fast, %d slow, %d unsure, "
                  "%.1f s, at most %.1f\n",
                  ratio, limit, share_a_cpu ? "one CPU " : "two CPUs", counts.fast, counts.slow,
                  counts.unsure, counts.ms / 1e3, counts.ms_max / 1e3);
    return counts;
}

static void an_equal_model_is_never_too_slow(void **state)
{
    (void)state;
    assert_int_equal(simulate(1.0, LIMIT, true).fast, PROBES);
    assert_int_equal(simulate(1.1, LIMIT, true).fast, PROBES);
}

static void a_model_that_takes_1_6_times_as_long_is_always_too_slow(void **state)
{
    (void)state;
    assert_int_equal(simulate(1.6, LIMIT, true).slow, PROBES);
    assert_int_equal(simulate(2.9, LIMIT, true).slow, PROBES);
}

/* The system does not let engines share a CPU: a verdict takes longer, or there
 * is none, but a wrong one is rarer than one in a thousand. */
static void on_two_cpus_an_equal_model_is_hardly_ever_too_slow(void **state)
{
    (void)state;
    assert_in_range(simulate(1.0, LIMIT, false).slow, 0, PROBES / 1000);
}

static void at_the_limit_there_is_hardly_ever_a_verdict(void **state)
{
    struct counts got;

    (void)state;
    got = simulate(LIMIT, LIMIT, true);
    assert_in_range(got.slow, 0, 1);
    assert_in_range(got.fast, 0, PROBES * 2 / 100);
    assert_true(got.ms_max <= BUDGET_MS + 300);
}

static void what_nobody_notices_passes_whatever_the_ratio(void **state)
{
    static struct flo_speed speed;
    enum flo_speed_verdict verdict = FLO_SPEED_OPEN;
    int pairs = 0;

    (void)state;
    flo_speed_init(&speed, LIMIT, FLO_SPEED_UNNOTICED_US);
    for (; verdict == FLO_SPEED_OPEN; pairs++) {
        verdict = flo_speed_add(&speed, 60, 20);
    }
    assert_int_equal(verdict, FLO_SPEED_FAST);
    assert_in_range(pairs, 5, 15);
    assert_true(flo_speed_typical(&speed).ratio == 3);
}

static enum flo_speed_verdict verdict_of(double candidate_us, double current_us)
{
    static struct flo_speed speed;
    enum flo_speed_verdict verdict = FLO_SPEED_OPEN;

    flo_speed_init(&speed, 0.9, 0);
    while (verdict == FLO_SPEED_OPEN) {
        verdict = flo_speed_add(&speed, candidate_us, current_us);
    }
    return verdict;
}

static void who_must_be_faster_gets_no_allowance(void **state)
{
    (void)state;
    assert_int_equal(verdict_of(17, 20), FLO_SPEED_FAST);
    assert_int_equal(verdict_of(19, 20), FLO_SPEED_SLOW);
    assert_int_equal(verdict_of(60, 20), FLO_SPEED_SLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_equal_model_is_never_too_slow),
        cmocka_unit_test(a_model_that_takes_1_6_times_as_long_is_always_too_slow),
        cmocka_unit_test(on_two_cpus_an_equal_model_is_hardly_ever_too_slow),
        cmocka_unit_test(at_the_limit_there_is_hardly_ever_a_verdict),
        cmocka_unit_test(what_nobody_notices_passes_whatever_the_ratio),
        cmocka_unit_test(who_must_be_faster_gets_no_allowance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
