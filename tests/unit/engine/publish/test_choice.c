/* Types by tensor: the change with the most loss per byte comes first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "engine/publish/choice.h"

static struct flo_type_choice choices[3];

/* Two tensors of equal size, one of which is sensitive, and a large one. */
static int make(void **state)
{
    static const struct flo_type_option options[] = {
        {2, 40, 0.08}, {8, 85, 0.001}, {6, 55, 0.03}, {1, 160, 0}};
    static const double times[] = {1, 10, 2};
    static const uint64_t sizes[] = {1, 1, 4};
    (void)state;
    memset(choices, 0, sizeof(choices));
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 4; k++) {
            struct flo_type_option option = options[k];
            option.loss *= times[i];
            option.bytes *= sizes[i];
            flo_choice_add(&choices[i], option);
        }
    }
    return 0;
}

static uint32_t type_of(size_t i)
{
    return choices[i].options[choices[i].chosen].type;
}

static void options_stand_by_bytes_and_useless_ones_are_left_out(void **state)
{
    (void)state;
    struct flo_type_choice choice = {0};

    flo_choice_add(&choice, (struct flo_type_option){2, 100, 0.5});
    flo_choice_add(&choice, (struct flo_type_option){3, 120, 0.5}); /* loses no less */
    flo_choice_add(&choice, (struct flo_type_option){4, 90, 0.9});
    flo_choice_add(&choice, (struct flo_type_option){5, 100, 0.4}); /* takes 2's place */
    flo_choice_add(&choice, (struct flo_type_option){6, 300, 0});

    assert_int_equal(choice.count, 3);
    assert_int_equal(choice.options[0].type, 4);
    assert_int_equal(choice.options[1].type, 5);
    assert_int_equal(choice.options[2].type, 6);
}

static void a_sensitive_tensor_gets_the_bytes_first(void **state)
{
    (void)state;
    assert_true(flo_choice_to_size(choices, 3, 40 + 40 + 160 + 45));
    assert_int_equal(type_of(0), 2);
    assert_int_equal(type_of(1), 8);
    assert_int_equal(type_of(2), 2);
    assert_int_equal(flo_choice_bytes(choices, 3), 40 + 85 + 160);
}

static void no_choice_is_above_the_size_and_more_bytes_never_lose_more(void **state)
{
    (void)state;
    double before = 1e9;
    for (uint64_t bytes = 240; bytes < 1000; bytes++) {
        assert_true(flo_choice_to_size(choices, 3, bytes));
        assert_true(flo_choice_bytes(choices, 3) <= bytes);
        assert_true(flo_choice_loss(choices, 3) <= before + 0.2);
        before = flo_choice_loss(choices, 3);
    }
    assert_true(before == 0);
    assert_false(flo_choice_to_size(choices, 3, 239));
    assert_int_equal(flo_choice_bytes(choices, 3), 240);
}

static void a_loss_is_kept_with_few_bytes(void **state)
{
    (void)state;
    assert_true(flo_choice_to_loss(choices, 3, 0.26));
    assert_true(flo_choice_loss(choices, 3) <= 0.26);
    assert_int_equal(flo_choice_bytes(choices, 3), 40 + 85 + 160);
    assert_true(flo_choice_to_loss(choices, 3, 0));
    assert_int_equal(flo_choice_bytes(choices, 3), 960);
    choices[0].count--; /* the exact type */
    assert_false(flo_choice_to_loss(choices, 3, 0));
    assert_int_equal(type_of(0), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_by_bytes_and_useless_ones_are_left_out),
        cmocka_unit_test_setup(a_sensitive_tensor_gets_the_bytes_first, make),
        cmocka_unit_test_setup(no_choice_is_above_the_size_and_more_bytes_never_lose_more, make),
        cmocka_unit_test_setup(a_loss_is_kept_with_few_bytes, make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
