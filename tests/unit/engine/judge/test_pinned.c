/* The verdict on pinned grids, by real models: what is kept of an update, and
 * what a text cannot show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "engine/judge/pinned.h"

#ifdef __SANITIZE_ADDRESS__ /* the same lines again, minutes of them */
#define not_if_slow() skip()
#else
#define not_if_slow() ((void)0)
#endif
#define MODEL(name) "tests/models/tiny-" name ".gguf"
#define TEXT_BYTES 10000 /* some more than 16 chunks */

static char text_path[] = "/tmp/flo-pinned-XXXXXX";
static struct flo_pinned_verdict verdict;

static int make_text(void **state)
{
    char text[TEXT_BYTES];
    FILE *whole = fopen("tests/models/ops-eval.jsonl", "re");
    int fd = mkstemp(text_path);
    bool is_made = whole != NULL && fd >= 0 &&
                   fread(text, 1, sizeof(text), whole) == sizeof(text) &&
                   write(fd, text, sizeof(text)) == sizeof(text);

    (void)state;
    close(fd);
    fclose(whole);
    return is_made ? 0 : -1;
}

static int remove_text(void **state)
{
    (void)state;
    return unlink(text_path);
}

static int judge(const char *old, const char *pinned, struct flo_err *err)
{
    const struct flo_pinned_files files = {.floats = MODEL("v1.F16"),
                                           .old = old,
                                           .free = MODEL("v1.Q4_0"),
                                           .pinned = pinned,
                                           .text = text_path,
                                           .threads = 1};

    verdict = (struct flo_pinned_verdict){0};
    return flo_pinned_judge(&files, &verdict, err);
}

static void assert_refused(double weights_kept, const char *what)
{
    struct flo_err err = {0};

    assert_int_equal(flo_pinned_check(&verdict, weights_kept, &err), FLO_E_MODEL_UPDATE_LOST);
    if (strstr(err.what, what) == NULL) {
        fail_msg("%s", err.what);
    }
}

static void a_model_that_answers_as_the_free_one_keeps_all(void **state)
{
    (void)state;
    not_if_slow();
    assert_int_equal(judge(MODEL("v2.Q4_0"), MODEL("v1.Q4_0"), NULL), 0);
    assert_true(verdict.is_shown);
    assert_true(verdict.kept == 1 && verdict.kept_error == 0);
    assert_true(verdict.kl_pinned == verdict.kl_free);
    assert_true(verdict.kl_free < verdict.kl_old);
    assert_int_equal(verdict.tokens, verdict.chunks * 128);
    assert_int_equal(flo_pinned_check(&verdict, 0, NULL), 0);
}

static void another_rounding_of_the_same_update_keeps_it(void **state)
{
    (void)state;
    not_if_slow();
    assert_int_equal(judge(MODEL("v2.Q4_0"), MODEL("v1.Q4_1"), NULL), 0);
    assert_true(verdict.kept > 0.97);
    assert_true(verdict.kept_error > 0);
    assert_int_equal(flo_pinned_check(&verdict, 0, NULL), 0);
}

static void a_model_that_answers_as_before_has_lost_it(void **state)
{
    (void)state;
    assert_int_equal(judge(MODEL("v2.Q4_0"), MODEL("v2.Q4_0"), NULL), 0);
    assert_true(verdict.is_shown);
    assert_true(fabs(verdict.kept) < 1e-9);
    assert_refused(1, "0.93 is needed");
}

static void a_damaged_model_has_lost_it(void **state)
{
    (void)state;
    not_if_slow();
    assert_int_equal(judge(MODEL("v2.Q4_0"), MODEL("v3-bad-noise.Q4_0"), NULL), 0);
    assert_true(verdict.kept > 0.1 && verdict.kept < 0.4);
    assert_refused(1, "0.93 is needed");
}

/* Two roundings of the same floats: there is no update. */
static void an_update_that_rounding_hides_is_weighed_by_the_weights(void **state)
{
    (void)state;
    not_if_slow();
    assert_int_equal(judge(MODEL("v1.Q4_0"), MODEL("v1.Q4_0"), NULL), 0);
    assert_false(verdict.is_shown);
    assert_int_equal(flo_pinned_check(&verdict, 0.90, NULL), 0);
    assert_refused(0.89, "the weights keep 0.890 of it, 0.90 is needed");
}

static void an_update_that_rounding_hides_lets_no_damage_pass(void **state)
{
    (void)state;
    not_if_slow();
    assert_int_equal(judge(MODEL("v1.Q4_0"), MODEL("v2.Q4_0"), NULL), 0);
    assert_false(verdict.is_shown);
    assert_refused(1, "more than 1.05 times as far");
}

static void a_large_update_does_not_pay_for_a_poor_grid(void **state)
{
    (void)state;
    verdict = (struct flo_pinned_verdict){.is_shown = true,
                                          .kept = 0.95,
                                          .kl_free = 0.03,
                                          .kl_pinned = 0.2,
                                          .excess = 0.14,
                                          .excess_error = 0.01};
    assert_refused(1, "more than 2.00 times as far");
}

static void what_is_within_two_errors_asks_for_a_longer_text(void **state)
{
    struct flo_err err = {0};

    (void)state;
    verdict = (struct flo_pinned_verdict){
        .is_shown = true, .kept = 0.95, .kept_error = 0.011, .excess = -1};
    assert_int_equal(flo_pinned_check(&verdict, 1, &err), FLO_E_MODEL_UPDATE_LOST);
    assert_non_null(strstr(err.fix, "a longer text"));
    verdict.kept_error = 0.009;
    assert_int_equal(flo_pinned_check(&verdict, 1, NULL), 0);
    verdict.kept = 0.9;
    assert_int_equal(flo_pinned_check(&verdict, 1, &err), FLO_E_MODEL_UPDATE_LOST);
    assert_non_null(strstr(err.fix, "without --pin-grid"));
}

static void models_that_do_not_fit_together_are_refused(void **state)
{
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(judge("tests/oracle/tiny/smollm2-S-q4_1.gguf", MODEL("v1.Q4_0"), &err),
                     FLO_E_USAGE);
    assert_non_null(strstr(err.what, "has 288 tokens"));
    assert_int_equal(judge(MODEL("none"), MODEL("v1.Q4_0"), &err), FLO_E_ABSENT);
    assert_int_equal(judge(MODEL("v2.Q4_0"), MODEL("v3-bad-nan.Q4_0"), &err),
                     FLO_E_MODEL_NONFINITE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_that_answers_as_before_has_lost_it),
        cmocka_unit_test(a_model_that_answers_as_the_free_one_keeps_all),
        cmocka_unit_test(another_rounding_of_the_same_update_keeps_it),
        cmocka_unit_test(a_damaged_model_has_lost_it),
        cmocka_unit_test(an_update_that_rounding_hides_is_weighed_by_the_weights),
        cmocka_unit_test(an_update_that_rounding_hides_lets_no_damage_pass),
        cmocka_unit_test(a_large_update_does_not_pay_for_a_poor_grid),
        cmocka_unit_test(what_is_within_two_errors_asks_for_a_longer_text),
        cmocka_unit_test(models_that_do_not_fit_together_are_refused),
    };

    return cmocka_run_group_tests(tests, make_text, remove_text);
}
