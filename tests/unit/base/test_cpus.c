/* CPUs that a process may keep busy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/base.h>

static void a_quota_is_whole_cpus_and_at_least_one(void **state)
{
    (void)state;
    assert_int_equal(flo_cpus_of_quota("200000 100000\n"), 2);
    assert_int_equal(flo_cpus_of_quota("150000 100000"), 1);
    assert_int_equal(flo_cpus_of_quota("5000 100000"), 1);
}

static void without_a_quota_affinity_decides(void **state)
{
    (void)state;
    assert_int_equal(flo_cpus_of_quota("max 100000"), 0);
    assert_int_equal(flo_cpus_of_quota(""), 0);
    assert_int_equal(flo_cpus_of_quota("1 0"), 0);
    assert_int_equal(flo_cpus_of_quota("99999999999999999 1"), 0);
    assert_true(flo_cpus_allowed() >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quota_is_whole_cpus_and_at_least_one),
        cmocka_unit_test(without_a_quota_affinity_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
