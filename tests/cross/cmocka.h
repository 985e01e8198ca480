/* A stand-in for cmocka in cross builds, for which Debian has no package.
 *
 * The part of its interface that the tests of base and engine use, with its
 * meaning: a failed assertion ends its test, the program's exit status is
 * the number of failed tests.  Native builds use the real one. */
#ifndef FLOTILLA_TESTS_CROSS_CMOCKA_H
#define FLOTILLA_TESTS_CROSS_CMOCKA_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef void cross_test(void **state);
typedef int cross_fixture(void **state);

struct CMUnitTest {
    const char *name;
    cross_test *test;
    cross_fixture *setup;
    cross_fixture *teardown;
};

static jmp_buf cross_end; /* of the test that runs: 1 failed, 2 skipped */

#define cmocka_unit_test(function)                                             \
    {                                                                          \
#function, function, NULL, NULL                                        \
    }
#define cmocka_unit_test_setup(function, setup)                                \
    {                                                                          \
#function, function, setup, NULL                                       \
    }
#define cmocka_unit_test_setup_teardown(function, setup, teardown)             \
    {                                                                          \
#function, function, setup, teardown                                   \
    }

#define print_message(...) printf(__VA_ARGS__)
#define print_error(...) fprintf(stderr, __VA_ARGS__)
#define skip() longjmp(cross_end, 2)
#define fail_msg(...)                                                          \
    do {                                                                       \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                        \
        fprintf(stderr, __VA_ARGS__);                                          \
        fputc('\n', stderr);                                                   \
        longjmp(cross_end, 1);                                                 \
    } while (0)
#define fail() fail_msg("failed")

#define cross_check(holds, text)                                               \
    do {                                                                       \
        if (!(holds)) {                                                        \
            fail_msg("%s", text);                                              \
        }                                                                      \
    } while (0)
#define assert_true(c) cross_check(c, #c)
#define assert_false(c) cross_check(!(c), "not: " #c)
#define assert_null(p) cross_check((p) == NULL, #p " is not NULL")
#define assert_non_null(p) cross_check((p) != NULL, #p " is NULL")
#define assert_ptr_equal(a, b)                                                 \
    cross_check((const void *)(a) == (const void *)(b), #a " == " #b)
#define assert_int_equal(a, b)                                                 \
    do {                                                                       \
        uintmax_t cross_a = (uintmax_t)(a);                                    \
        uintmax_t cross_b = (uintmax_t)(b);                                    \
        if (cross_a != cross_b) {                                              \
            fail_msg("%s is %#jx, %#jx expected", #a, cross_a, cross_b);       \
        }                                                                      \
    } while (0)
#define assert_int_not_equal(a, b)                                             \
    cross_check((uintmax_t)(a) != (uintmax_t)(b), #a " != " #b)
#define assert_in_range(value, least, most)                                    \
    cross_check((uintmax_t)(value) >= (uintmax_t)(least) &&                    \
                    (uintmax_t)(value) <= (uintmax_t)(most),                   \
                #value " in " #least ".." #most)
#define assert_string_equal(a, b)                                              \
    do {                                                                       \
        const char *cross_s = (a);                                             \
        const char *cross_t = (b);                                             \
        if (strcmp(cross_s, cross_t) != 0) {                                   \
            fail_msg("'%s' is not '%s'", cross_s, cross_t);                    \
        }                                                                      \
    } while (0)
#define assert_string_not_equal(a, b)                                          \
    cross_check(strcmp((a), (b)) != 0, #a " != " #b)
#define assert_memory_equal(a, b, bytes)                                       \
    cross_check(memcmp((a), (b), (bytes)) == 0, #a " == " #b)
#define assert_memory_not_equal(a, b, bytes)                                   \
    cross_check(memcmp((a), (b), (bytes)) != 0, #a " != " #b)

#define cmocka_run_group_tests(tests, setup, teardown)                         \
    cross_run(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#define cmocka_run_group_tests_name(name, tests, setup, teardown)              \
    (printf("%s:\n", name), cmocka_run_group_tests(tests, setup, teardown))

static inline int cross_run_one(const struct CMUnitTest *test, void **state)
{
    static const char *const words[] = {"OK", "FAILED", "SKIPPED"};
    int outcome;
    printf("[ RUN      ] %s\n", test->name);
    fflush(stdout);
    if (test->setup != NULL && test->setup(state) != 0) {
        outcome = 1;
    } else if ((outcome = setjmp(cross_end)) == 0) {
        test->test(state);
    }
    if (test->teardown != NULL && test->teardown(state) != 0) {
        outcome = 1;
    }
    printf("[ %8s ] %s\n", words[outcome], test->name);
    return outcome == 1;
}

static inline int cross_run(const struct CMUnitTest *tests, size_t count,
                            cross_fixture *setup, cross_fixture *teardown)
{
    void *state = NULL;
    int failed = 0;
    if (setup != NULL && setup(&state) != 0) {
        fputs("the group's setup failed\n", stderr);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        failed += cross_run_one(&tests[i], &state);
    }
    if (teardown != NULL && teardown(&state) != 0) {
        failed++;
    }
    printf("%zu tests, %d failed\n", count, failed);
    return failed;
}

#endif
