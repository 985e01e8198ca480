/* The rotation of the slots: what each step leaves where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <flotilla/proto.h>

struct slots {
    int current, previous, candidate;
};

static struct slots rotated(enum flo_slot_turn turn)
{
    struct slots slots = {.current = 2, .previous = 1, .candidate = 3};
    const struct flo_places places = {&slots.current, &slots.previous, &slots.candidate,
                                      sizeof(int)};

    flo_slots_turn(turn, &places);
    return slots;
}

static void assert_slots(struct slots slots, int current, int previous)
{
    assert_int_equal(slots.current, current);
    assert_int_equal(slots.previous, previous);
    assert_int_equal(slots.candidate, 0);
}

static void a_commit_makes_the_candidate_current(void **state)
{
    (void)state;
    assert_slots(rotated(FLO_TURN_COMMIT), 3, 2);
}

static void a_way_back_leaves_no_previous(void **state)
{
    (void)state;
    assert_slots(rotated(FLO_TURN_BACK), 1, 0);
}

static void a_forgotten_candidate_changes_nothing_else(void **state)
{
    (void)state;
    assert_slots(rotated(FLO_TURN_CLEAR), 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_makes_the_candidate_current),
        cmocka_unit_test(a_way_back_leaves_no_previous),
        cmocka_unit_test(a_forgotten_candidate_changes_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
