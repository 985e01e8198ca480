/* The table of moves: each state has one way out per move, and an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/device/step.h"

static const struct {
    enum flo_move move;
    uint32_t from;
} rows[] = {
#define FLO_MOVES(move, from, to) {FLO_MOVE_##move, from},
#include "agent/core/execution/moves.def"
#undef FLO_MOVES
};

static void a_move_leads_from_a_state_to_one_other(void **state)
{
    uint32_t seen[FLO_MOVE_COUNT] = {0};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(seen[rows[i].move] & rows[i].from, 0);
        seen[rows[i].move] |= rows[i].from;
    }
    for (int move = 0; move < FLO_MOVE_COUNT; move++) {
        assert_int_not_equal(seen[move], 0);
    }
}

static void nothing_moves_an_end(void **state)
{
    enum flo_execution to;
    (void)state;

    for (int from = 0; from < FLO_EXECUTION_COUNT; from++) {
        for (int move = 0; move < FLO_MOVE_COUNT; move++) {
            if (flo_execution_is_end((enum flo_execution)from)) {
                assert_false(flo_move_find((enum flo_execution)from, (enum flo_move)move, &to));
            }
        }
    }
}

static void whatever_is_on_the_way_can_be_superseded_and_go_wrong(void **state)
{
    enum flo_execution to;
    (void)state;

    for (int from = 0; from < FLO_EXECUTION_COUNT; from++) {
        enum flo_execution way = (enum flo_execution)from;

        if (flo_execution_is_end(way) || flo_is_in(way, IN_TOLD)) {
            continue;
        }
        assert_true(flo_move_find(way, FLO_MOVE_SUPERSEDE, &to));
        assert_true(flo_move_find(
            way, way == FLO_EXECUTION_SOAKING ? FLO_MOVE_TAKE_BACK : FLO_MOVE_FAIL, &to));
        assert_int_equal(flo_execution_kind(to), FLO_EXECUTION_END_BAD);
    }
}

static void only_a_trial_is_taken_back(void **state)
{
    enum flo_execution to;
    (void)state;

    assert_false(flo_move_find(FLO_EXECUTION_PROBING, FLO_MOVE_TAKE_BACK, &to));
    assert_true(flo_move_find(FLO_EXECUTION_ACTIVATING, FLO_MOVE_TAKE_BACK, &to));
    assert_int_equal(to, FLO_EXECUTION_ROLLED_BACK);
    assert_false(flo_move_find(FLO_EXECUTION_SOAKING, FLO_MOVE_FAIL, &to));
}

/* A file that is here already is not fetched, and a file that came whole is not
 * made. */
static void an_updater_may_leave_out_what_it_does_not_need(void **state)
{
    static const enum flo_execution way[] = {FLO_EXECUTION_ACCEPTED, FLO_EXECUTION_DOWNLOADING,
                                             FLO_EXECUTION_APPLYING, FLO_EXECUTION_VERIFYING};
    static const enum flo_move moves[] = {FLO_MOVE_DOWNLOAD, FLO_MOVE_APPLY, FLO_MOVE_VERIFY};
    enum flo_execution to;
    (void)state;

    for (size_t from = 0; from < FLO_COUNT(way); from++) {
        for (size_t i = 0; i < FLO_COUNT(moves); i++) {
            bool is_onward = i + 1 > from;
            assert_int_equal(flo_move_find(way[from], moves[i], &to), is_onward);
            assert_true(!is_onward || to == way[i + 1]);
        }
        assert_true(flo_move_find(way[from], FLO_MOVE_STAGE, &to));
    }
}

static void until_it_serves_it_can_be_ended_by_order_and_by_time(void **state)
{
    static const enum flo_move moves[] = {FLO_MOVE_CANCEL, FLO_MOVE_EXPIRE};
    enum flo_execution to;
    (void)state;

    for (int from = 0; from < FLO_EXECUTION_COUNT; from++) {
        bool is_before = flo_is_in((enum flo_execution)from, IN_BEFORE_TRIAL | IN(ACTIVATING));
        for (size_t i = 0; i < FLO_COUNT(moves); i++) {
            assert_int_equal(flo_move_find((enum flo_execution)from, moves[i], &to), is_before);
        }
    }
}

/* Whatever the database says, the record on disk says where it goes on. */
static void a_start_goes_on_from_wherever_it_was(void **state)
{
    enum flo_execution to;
    (void)state;

    for (int from = 0; from < FLO_EXECUTION_COUNT; from++) {
        enum flo_execution was = (enum flo_execution)from;

        if (flo_execution_is_end(was)) {
            continue;
        }
        assert_true(flo_move_find(was, FLO_MOVE_RESTART_STAGED, &to));
        assert_int_equal(to, FLO_EXECUTION_STAGED);
        assert_true(flo_move_find(was, FLO_MOVE_RESTART_TRIAL, &to));
        assert_true(flo_is_in(to, IN_TRIAL));
        assert_int_equal(flo_move_find(was, FLO_MOVE_RESTART, &to), !flo_is_in(was, IN_TRIAL));
        assert_int_equal(flo_move_find(was, FLO_MOVE_COMMIT, &to),
                         !flo_is_in(was, IN_TOLD | IN_FETCHING));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_leads_from_a_state_to_one_other),
        cmocka_unit_test(nothing_moves_an_end),
        cmocka_unit_test(whatever_is_on_the_way_can_be_superseded_and_go_wrong),
        cmocka_unit_test(only_a_trial_is_taken_back),
        cmocka_unit_test(an_updater_may_leave_out_what_it_does_not_need),
        cmocka_unit_test(until_it_serves_it_can_be_ended_by_order_and_by_time),
        cmocka_unit_test(a_start_goes_on_from_wherever_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
