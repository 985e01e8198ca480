/* Share of bad ends: golden numbers of another program, and rules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/gate/share.h"

static const struct flo_share_rule rule = {.limit_pct = 2, .alpha = 0.03, .weight = 0.15};
static const char *const words[] = {"inconclusive", "pass", "fail"};

static enum flo_verdict verdict(uint64_t bad, uint64_t done, uint64_t members)
{
    struct flo_share share;

    assert_true(flo_share_evaluate(&rule, bad, done, members, &share));
    return share.verdict;
}

static void near(double got, double wanted, const char *line)
{
    if (!(fabs(got - wanted) <= 1e-6 + 1e-6 * fabs(wanted))) {
        fail_msg("%.12g is not %.12g in: %s", got, wanted, line);
    }
}

static void check_line(const char *line)
{
    struct flo_share_rule of = {0};
    struct flo_share got;
    struct flo_share want = {0};
    unsigned long bad;
    unsigned long done;
    unsigned long members;
    char word[16];

    assert_int_equal(sscanf(line, "%lf %lf %lf %lu %lu %lu %15s %lf %lf %lf %lf", &of.limit_pct,
                            &of.alpha, &of.weight, &bad, &done, &members, word, &want.ln_e,
                            &want.low_pct, &want.high_pct, &want.tail),
                     11);
    assert_true(flo_share_evaluate(&of, bad, done, members, &got));
    if (strcmp(words[got.verdict], word) != 0) {
        fail_msg("%s: %s", words[got.verdict], line);
    }
    near(got.ln_e, want.ln_e, line);
    near(got.low_pct, want.low_pct, line);
    near(got.high_pct, want.high_pct, line);
    near(got.tail, want.tail, line);
}

static void numbers_are_those_of_exact_fractions(void **state)
{
    (void)state;
    FILE *file = fopen("tests/golden/share/vectors.txt", "r");
    char line[512];
    size_t count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] != '#') {
            check_line(line);
            count++;
        }
    }
    fclose(file);
    assert_int_equal(count, 228);
}

static void one_of_ten_is_no_ten_per_cent(void **state)
{
    (void)state;

    assert_int_equal(verdict(1, 10, 10), FLO_VERDICT_PASS);
    assert_int_equal(verdict(2, 10, 10), FLO_VERDICT_INCONCLUSIVE);
    assert_int_equal(verdict(4, 10, 10), FLO_VERDICT_FAIL);
    assert_int_equal(verdict(2, 2, 10), FLO_VERDICT_FAIL);
    assert_int_equal(verdict(1, 1, 1), FLO_VERDICT_INCONCLUSIVE);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct flo_share share;

    assert_false(flo_share_evaluate(&rule, 3, 2, 10, &share));
    assert_int_equal(share.verdict, FLO_VERDICT_INCONCLUSIVE);
    assert_false(flo_share_evaluate(&rule, 0, 11, 10, &share));
}

/* The promise on false halts: with exactly the limit's share of bad ends,
 * looked at after each of 300 ends, it halts hardly ever. */
static void chance_hardly_ever_halts_a_good_release(void **state)
{
    (void)state;
    uint32_t random = 17;
    int halted = 0;

    for (int run = 0; run < 1000; run++) {
        uint64_t bad = 0;
        bool is_halted = false;
        for (uint64_t done = 1; done <= 300 && !is_halted; done++) {
            random = random * 1664525u + 1013904223u;
            bad += random / 4294967296.0 < 0.02 ? 1 : 0;
            is_halted = verdict(bad, done, 1000) == FLO_VERDICT_FAIL;
        }
        halted += is_halted;
    }

    assert_true(halted <= 10);
}

static void large_numbers_stay_finite(void **state)
{
    (void)state;
    struct flo_share share;

    for (uint64_t bad = 0; bad <= 200000; bad += 20000) {
        assert_true(flo_share_evaluate(&rule, bad, 200000, 200000, &share));
        assert_true(isfinite(share.ln_e) && isfinite(share.tail));
        assert_true(share.low_pct <= share.share_pct + 1e-9 &&
                    share.share_pct <= share.high_pct + 1e-9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_exact_fractions),
        cmocka_unit_test(one_of_ten_is_no_ten_per_cent),
        cmocka_unit_test(numbers_that_cannot_be_are_refused),
        cmocka_unit_test(chance_hardly_ever_halts_a_good_release),
        cmocka_unit_test(large_numbers_stay_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
