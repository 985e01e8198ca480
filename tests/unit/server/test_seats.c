/* Who has one of the few streams of events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/access/seats.h"

#define MAX 64

static struct flo_seat seats[MAX];
static size_t count;

static int fresh(void **state)
{
    (void)state;
    count = 0;
    return 0;
}

/* As the controller does it; false: refused. */
static bool comes(const char *account, bool is_admin)
{
    struct flo_seat one = {account, is_admin};
    size_t seat = flo_seat_find(seats, count, MAX, &one);

    if (seat == SIZE_MAX) {
        return false;
    }
    if (seat < count) {
        seats[seat] = seats[--count];
    }
    seats[count++] = one;
    return true;
}

static size_t has(const char *account)
{
    size_t own = 0;

    for (size_t i = 0; i < count; i++) {
        own += strcmp(seats[i].account, account) == 0 ? 1 : 0;
    }
    return own;
}

static void one_account_has_its_part(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(comes("a", false), i < FLO_SEATS_ACCOUNT_MAX);
    }
    assert_true(comes("b", false));
}

static void fill(bool is_admin)
{
    static const char *const names[] = {"a", "b", "c", "d"};

    for (int i = 0; i < MAX; i++) {
        assert_true(comes(names[i / FLO_SEATS_ACCOUNT_MAX], is_admin));
    }
}

static void a_newcomer_takes_from_who_has_most_until_both_have_as_many(void **state)
{
    (void)state;
    fill(false);
    for (int i = 0; i < 12; i++) {
        assert_true(comes("e", false));
    }
    assert_true(has("e") == 12 && has("a") == 13 && count == MAX);
    assert_false(comes("e", false));
    assert_false(comes("a", false));
}

static void an_admin_always_has_a_place(void **state)
{
    (void)state;
    fill(false);
    for (int i = 0; i < FLO_SEATS_ACCOUNT_MAX; i++) {
        assert_true(comes("root", true));
    }
    assert_false(comes("root", true));
    /* Nobody but an admin sends an admin away, and only for an equal part. */
    count = 0;
    fill(true);
    assert_true(comes("root", true));
    assert_true(comes("viewer", false));
    assert_int_equal(count, MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(one_account_has_its_part, fresh),
        cmocka_unit_test_setup(a_newcomer_takes_from_who_has_most_until_both_have_as_many, fresh),
        cmocka_unit_test_setup(an_admin_always_has_a_place, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
