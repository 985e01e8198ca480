/* The first few of many: the same as after sorting, at few comparisons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/select/first.h"

#define MANY 100000

static size_t asked;

static int compare(const void *a, const void *b, void *context)
{
    const uint32_t *one = a;
    const uint32_t *other = b;

    (void)context;
    asked++;
    return *one < *other ? -1 : *one > *other;
}

static uint32_t values[MANY];
static const void *items[MANY];
static const void *found[MANY];

static uint32_t random_of(uint32_t i)
{
    i = (i ^ 61) ^ (i >> 16);
    i *= 9;
    i ^= i >> 4;
    i *= 0x27d4eb2d;
    return i ^ (i >> 15);
}

/* Those numbers in this order, and the first of them. */
static size_t find(uint32_t (*value)(uint32_t), size_t count, size_t most)
{
    for (size_t i = 0; i < count; i++) {
        values[i] = value((uint32_t)i);
        items[i] = &values[i];
    }
    asked = 0;
    return flo_select_first(items, count, most, compare, NULL, found);
}

static uint32_t up(uint32_t i)
{
    return i;
}

static uint32_t down(uint32_t i)
{
    return MANY - i;
}

static uint32_t same(uint32_t i)
{
    (void)i;
    return 7;
}

static void expect_order(size_t count)
{
    for (size_t i = 1; i < count; i++) {
        assert_true(*(const uint32_t *)found[i - 1] <= *(const uint32_t *)found[i]);
    }
}

static void a_page_of_many_costs_about_one_comparison_each(void **state)
{
    (void)state;
    uint32_t (*const orders[])(uint32_t) = {up, down, same, random_of};

    for (size_t i = 0; i < 4; i++) {
        size_t count = find(orders[i], MANY, 51);
        assert_int_equal(count, 51);
        expect_order(count);
        assert_true(asked < MANY + MANY / 4);
    }
}

static void the_first_are_those_of_a_sorted_list(void **state)
{
    (void)state;
    find(down, MANY, 3);
    assert_int_equal(*(const uint32_t *)found[0], 1);
    assert_int_equal(*(const uint32_t *)found[1], 2);
    assert_int_equal(*(const uint32_t *)found[2], 3);
}

static void each_size_gives_all_or_as_many_as_asked(void **state)
{
    (void)state;
    for (size_t count = 0; count < 300; count++) {
        size_t given = find(random_of, count, 100);
        assert_int_equal(given, count < 100 ? count : 100);
        expect_order(given);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_many_costs_about_one_comparison_each),
        cmocka_unit_test(the_first_are_those_of_a_sorted_list),
        cmocka_unit_test(each_size_gives_all_or_as_many_as_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
