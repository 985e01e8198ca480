/* Sample ratio: uneven losses of an experiment's arms are seen, even ones are
 * not accused.  Draws come from printed seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/experiment/ratio.h"

#define RUNS 2000
#define LOOKS 20

static uint64_t random_state;

static double draw(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / (double)(UINT64_C(1) << 53);
}

static void lose(struct flo_sample_arm *arm, double chance)
{
    for (uint32_t left = arm->seen; left > 0; left--) {
        arm->seen -= draw() < chance ? 1 : 0;
    }
}

/* Looked at after each of the losses: was it accused once? */
static bool is_accused(uint64_t seed, struct flo_sample_arm one, struct flo_sample_arm other,
                       double one_loses, double other_loses)
{
    bool fits = true;

    random_state = 0x9e3779b97f4a7c15 * (seed + 1);
    for (int look = 0; look < LOOKS; look++) {
        lose(&one, one_loses / LOOKS);
        lose(&other, other_loses / LOOKS);
        fits = fits && flo_sample_ratio_fits(&one, &other);
    }
    return !fits;
}

static int accused(struct flo_sample_arm one, struct flo_sample_arm other, double one_loses,
                   double other_loses)
{
    int count = 0;

    for (uint64_t seed = 0; seed < RUNS; seed++) {
        count += is_accused(seed, one, other, one_loses, other_loses) ? 1 : 0;
    }
    print_message("seeds 0 to %d, losses %.2f : %.2f: %d accused\n", RUNS - 1, one_loses,
                  other_loses, count);
    return count;
}

static void arms_that_lose_alike_are_hardly_ever_accused(void **state)
{
    (void)state;
    struct flo_sample_arm half = {500, 500};
    struct flo_sample_arm few = {100, 100};
    struct flo_sample_arm many = {900, 900};

    assert_true(accused(half, half, 0.10, 0.10) <= 2 * RUNS / 1000);
    assert_true(accused(few, many, 0.10, 0.10) <= 2 * RUNS / 1000);
    assert_true(accused(half, half, 0.80, 0.80) <= 2 * RUNS / 1000);
}

static void an_arm_that_loses_more_is_accused(void **state)
{
    (void)state;
    struct flo_sample_arm half = {500, 500};
    struct flo_sample_arm few = {100, 100};
    struct flo_sample_arm many = {900, 900};

    assert_true(accused(half, half, 0.25, 0.10) >= 80 * RUNS / 100);
    assert_true(accused(half, half, 0.30, 0.10) >= 98 * RUNS / 100);
    assert_true(accused(half, half, 0.10, 0.30) >= 98 * RUNS / 100);
    assert_true(accused(few, many, 0.50, 0.10) >= 98 * RUNS / 100);
}

static void an_arm_without_devices_accuses_nobody(void **state)
{
    (void)state;
    struct flo_sample_arm none = {0, 0};
    struct flo_sample_arm lost = {500, 0};

    assert_true(flo_sample_ratio_fits(&none, &lost));
    assert_true(flo_sample_ratio_fits(&lost, &none));
    assert_true(flo_sample_ratio_fits(&none, &none));
    assert_true(flo_sample_ratio_fits(&lost, &lost));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arms_that_lose_alike_are_hardly_ever_accused),
        cmocka_unit_test(an_arm_that_loses_more_is_accused),
        cmocka_unit_test(an_arm_without_devices_accuses_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
