/* The thread pool: barriers, the counter, many jobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/memory/arena.h"
#include "engine/memory/pool.h"
#include "engine/memory/threads.h"

enum { UNITS = 100, PHASES = 50 };

struct work {
    struct flo_pool *pool;
    int done[UNITS]; /* plain: barriers alone order them */
    int wrong;
};

/* In each phase every unit is taken once, and the phase before is whole. */
static void phases(void *context, unsigned thread)
{
    struct work *work = context;

    for (int phase = 0; phase < PHASES; phase++) {
        size_t unit;

        while ((unit = flo_pool_take(work->pool, thread, UNITS)) < UNITS) {
            if (work->done[unit] != phase) {
                work->wrong++;
            }
            work->done[unit]++;
        }
        flo_pool_barrier(work->pool);
        if (thread == 0 && work->done[UNITS - 1] != phase + 1) {
            work->wrong++;
        }
        flo_pool_barrier(work->pool);
    }
}

static void every_unit_is_done_once_in_each_phase(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 5; threads++) {
        struct work work = {0};

        assert_int_equal(flo_pool_open(threads, &work.pool, NULL), 0);
        flo_pool_run(work.pool, threads, phases, &work);
        for (int i = 0; i < UNITS; i++) {
            assert_int_equal(work.done[i], PHASES);
        }
        assert_int_equal(work.wrong, 0);
        flo_pool_close(work.pool);
    }
}

static void count_me(void *context, unsigned thread)
{
    int *counts = context;

    counts[thread]++;
}

static void each_thread_runs_each_job_once(void **state)
{
    int counts[3] = {0};
    struct flo_pool *pool;

    (void)state;
    assert_int_equal(flo_pool_open(3, &pool, NULL), 0);
    for (int i = 0; i < 500; i++) {
        flo_pool_run(pool, 3, count_me, counts);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(counts[i], 500);
    }
    flo_pool_close(pool);
}

static void a_job_of_fewer_threads_is_run_by_the_first_ones(void **state)
{
    int counts[4] = {0};
    struct flo_pool *pool;

    (void)state;
    assert_int_equal(flo_pool_open(4, &pool, NULL), 0);
    for (unsigned i = 0; i < 2000; i++) {
        flo_pool_run(pool, i * 7 % 4 + 1, count_me, counts);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(counts[i], 2000 - i * 500);
    }
    flo_pool_close(pool);
}

/* ---- how many threads ---- */

/* A machine on which a pass takes `cost[count]` and has a CPU for the share
 * `ran` of it; the mean count chosen. */
static double mean_on(struct flo_threads *threads, const double *cost, double ran, int passes)
{
    double sum = 0;

    for (int i = 0; i < passes; i++) {
        unsigned count = flo_threads_next(threads);

        sum += count;
        flo_threads_learn(threads, cost[count], ran * cost[count]);
    }
    return sum / passes;
}

static double mean_count(struct flo_threads *threads, const double *cost, int passes)
{
    return mean_on(threads, cost, 1, passes);
}

static void threads_that_stall_are_left_alone_until_they_pay(void **state)
{
    static const double idle[] = {0, 100, 60}, stalls[] = {0, 200, 1600};
    struct flo_threads threads = {.most = 2};

    (void)state;
    assert_true(mean_count(&threads, idle, 200) > 1.9);
    /* Learnt within some passes; then one in hundreds is a trial. */
    assert_true(mean_count(&threads, stalls, 30) < 1.5);
    assert_true(mean_count(&threads, stalls, 2000) < 1.02);
    assert_true(mean_count(&threads, idle, 600) > 1.0);
    assert_true(mean_count(&threads, idle, 600) > 1.9);
}

static void a_thread_that_shares_its_cpu_gets_no_company(void **state)
{
    static const double idle[] = {0, 100, 60}, busy[] = {0, 400, 450};
    struct flo_threads threads = {.most = 2};

    (void)state;
    (void)mean_on(&threads, busy, 0.4, 200);
    assert_true(mean_on(&threads, busy, 0.25, 20000) == 1);
    (void)mean_count(&threads, idle, 600);
    assert_true(mean_count(&threads, idle, 600) > 1.9);
}

static void a_trial_that_has_clearly_lost_costs_one_pass(void **state)
{
    static const double idle[] = {0, 175, 100};
    struct flo_threads threads = {.most = 2};

    (void)state;
    assert_int_equal(200 - (int)(mean_count(&threads, idle, 100) * 100), 2);
}

static void a_pass_that_waited_for_the_disk_takes_no_thread_away(void **state)
{
    static const double idle[] = {0, 175, 100};
    struct flo_threads threads = {.most = 2};
    double few = 0;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        unsigned count = flo_threads_next(&threads);

        few += 2 - count;
        flo_threads_learn(&threads, i % 300 == 0 ? 50000 : idle[count], idle[count]);
    }
    assert_true(few < 10);
}

static void a_long_trial_ends_when_it_has_lost(void **state)
{
    static const double shared[] = {0, 190, 100};
    struct flo_threads threads = {.most = 2};

    (void)state;
    assert_true(mean_on(&threads, shared, 0.7, 1000) > 1.99);
}

/* Among busy neighbours a pass runs through, or waits for a CPU: one thread in
 * a fifth of the passes, two in two fifths. */
static void few_lucky_passes_do_not_decide_among_busy_neighbours(void **state)
{
    static const double through[] = {0, 100, 60};
    struct flo_threads threads = {.most = 2};
    uint32_t random = 1;
    double sum = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        unsigned count = flo_threads_next(&threads);

        random = random * 1664525u + 1013904223u;
        sum += count;
        bool waits = (random >> 16) % 5 < count;
        flo_threads_learn(&threads, waits ? 1000 : through[count], through[count]);
    }
    assert_true(sum / 20000 < 1.1);
}

static double drawn(uint32_t *random)
{
    *random = *random * 1664525u + 1013904223u;
    return (*random >> 8) / (double)(1u << 24);
}

/* A neighbour computes for 0.3 to 1 s, and passes next to it take longer by chance.
 * Returns the time after that until the engine stays with both threads, in ms. */
static double way_back(uint32_t seed, double one, double two)
{
    struct flo_threads threads = {.most = 2};
    uint32_t random = seed;
    double slower_one = 1 + drawn(&random), slower_two = 1.3 + 4 * drawn(&random);
    double least_ran = 0.3 + 0.7 * drawn(&random);
    double begin = 3e6 + 1e6 * drawn(&random), end = begin + 300e3 + 700e3 * drawn(&random);
    double now = 0, back = 0;

    while (now < end + 10e6) {
        unsigned count = flo_threads_next(&threads);
        double cost = count == 2 ? two : one, ran = cost * (0.97 + 0.03 * drawn(&random));
        if (now >= begin && now < end && drawn(&random) < (count == 2 ? 0.8 : 0.5)) {
            double slower = count == 2 ? slower_two : slower_one;
            cost *= 1 + (slower - 1) * 2 * drawn(&random);
            ran = cost * (least_ran + (1 - least_ran) * drawn(&random));
        }
        now += cost;
        flo_threads_learn(&threads, cost, ran);
        back = now > end && threads.halvings > 0 ? now - end : back;
    }
    return back / 1e3;
}

static void threads_come_back_half_a_second_after_a_neighbour(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 300; seed++) {
        assert_true(way_back(seed, 60e3, 33e3) < 500);
        assert_true(way_back(seed, 12e3, 7e3) < 500);
        assert_true(way_back(seed, 1800, 1000) < 500);
    }
}

static void of_many_threads_the_best_number_is_found(void **state)
{
    static const double cost[] = {0, 100, 52, 0, 40, 0, 0, 0, 55};
    struct flo_threads threads = {.most = 8};

    (void)state;
    (void)mean_count(&threads, cost, 100);
    double mean = mean_count(&threads, cost, 2000);
    assert_true(mean > 3.9 && mean < 4.1);
}

static void one_thread_is_always_one(void **state)
{
    struct flo_threads threads = {.most = 1};
    static const double cost[] = {0, 1};

    (void)state;
    assert_true(mean_count(&threads, cost, 100) == 1);
}

static void a_pool_without_a_job_closes(void **state)
{
    struct flo_pool *pool;

    (void)state;
    assert_int_equal(flo_pool_open(4, &pool, NULL), 0);
    flo_pool_close(pool);
    flo_pool_close(NULL);
}

static void an_arena_counts_first_and_gives_the_same_then(void **state)
{
    struct flo_arena count = {0}, arena = {0};
    void *pages;

    (void)state;
    assert_null(flo_arena_take(&count, 3, 10));
    assert_null(flo_arena_take(&count, 1, 64));
    assert_int_equal(count.used, 128);
    assert_int_equal(flo_pages_map(count.used, &pages, NULL), 0);
    arena.base = pages;
    arena.bytes = count.used;
    assert_ptr_equal(flo_arena_take(&arena, 3, 10), pages);
    assert_ptr_equal(flo_arena_take(&arena, 1, 64), (uint8_t *)pages + 64);
    assert_false(arena.failed);
    assert_null(flo_arena_take(&arena, 1, 1));
    assert_true(arena.failed);
    flo_pages_unmap(pages, count.used);
    assert_null(flo_arena_take(&count, UINT64_MAX, 2));
    assert_true(count.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_unit_is_done_once_in_each_phase),
        cmocka_unit_test(each_thread_runs_each_job_once),
        cmocka_unit_test(a_job_of_fewer_threads_is_run_by_the_first_ones),
        cmocka_unit_test(threads_that_stall_are_left_alone_until_they_pay),
        cmocka_unit_test(a_thread_that_shares_its_cpu_gets_no_company),
        cmocka_unit_test(a_trial_that_has_clearly_lost_costs_one_pass),
        cmocka_unit_test(a_pass_that_waited_for_the_disk_takes_no_thread_away),
        cmocka_unit_test(a_long_trial_ends_when_it_has_lost),
        cmocka_unit_test(few_lucky_passes_do_not_decide_among_busy_neighbours),
        cmocka_unit_test(threads_come_back_half_a_second_after_a_neighbour),
        cmocka_unit_test(of_many_threads_the_best_number_is_found),
        cmocka_unit_test(one_thread_is_always_one),
        cmocka_unit_test(a_pool_without_a_job_closes),
        cmocka_unit_test(an_arena_counts_first_and_gives_the_same_then),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
