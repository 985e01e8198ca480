/* Trouble of reading: said after a few errors, ended by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/trouble.h"

static const struct flo_err row = {.code = FLO_E_IO_READ, .what = "a row"};
static const struct flo_err model = {.code = FLO_E_IO_OPEN, .what = "a model"};

static void a_few_reads_may_fail_before_it_is_said(void **state)
{
    struct flo_trouble trouble = {0};
    (void)state;

    for (unsigned i = 1; i < FLO_TROUBLE_READS; i++) {
        flo_trouble_read(&trouble, &row, false);
        assert_int_equal(trouble.code, 0);
    }
    flo_trouble_read(&trouble, &row, false);
    assert_int_equal(trouble.code, FLO_E_IO_READ);
    assert_string_equal(trouble.what, "a row");
}

static void one_read_is_enough_where_nothing_goes_on_without_it(void **state)
{
    struct flo_trouble trouble = {0};
    (void)state;

    flo_trouble_read(&trouble, &model, true);
    assert_int_equal(trouble.code, FLO_E_IO_OPEN);
}

static void quiet_looks_end_it_and_an_error_begins_again(void **state)
{
    struct flo_trouble trouble = {0};
    (void)state;

    flo_trouble_read(&trouble, &model, true);
    for (unsigned i = 1; i < FLO_TROUBLE_LOOKS; i++) {
        flo_trouble_look(&trouble);
    }
    flo_trouble_read(&trouble, &row, false);
    for (unsigned i = 1; i < FLO_TROUBLE_LOOKS; i++) {
        flo_trouble_look(&trouble);
        assert_int_equal(trouble.code, FLO_E_IO_OPEN);
    }
    flo_trouble_look(&trouble);
    assert_int_equal(trouble.code, 0);
}

static void old_errors_are_forgotten(void **state)
{
    struct flo_trouble trouble = {0};
    (void)state;

    for (unsigned round = 0; round < 5; round++) {
        flo_trouble_read(&trouble, &row, false);
        for (unsigned i = 0; i < FLO_TROUBLE_LOOKS; i++) {
            flo_trouble_look(&trouble);
        }
        assert_int_equal(trouble.code, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_few_reads_may_fail_before_it_is_said),
        cmocka_unit_test(one_read_is_enough_where_nothing_goes_on_without_it),
        cmocka_unit_test(quiet_looks_end_it_and_an_error_begins_again),
        cmocka_unit_test(old_errors_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
