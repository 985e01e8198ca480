/* Lease: one controller's way from follower to leader and out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server-stub/core/lease/lease.h"

#define T 1000000 /* now, at the begin of each scene */

static const struct flo_lease_row held = {.epoch = 7, .beat = 40, .is_held = true};

static void looks_and_sees(struct flo_lease *lease, const struct flo_lease_row *row,
                           uint64_t now_ms)
{
    assert_int_equal(flo_lease_next(lease, now_ms), FLO_LEASE_LOOK);
    flo_lease_saw(lease, row, now_ms);
}

static struct flo_lease leader_at(uint64_t now_ms)
{
    struct flo_lease lease = {0};

    looks_and_sees(&lease, &(struct flo_lease_row){0}, now_ms);
    assert_int_equal(flo_lease_next(&lease, now_ms), FLO_LEASE_TAKE);
    flo_lease_changed(&lease, true);
    return lease;
}

static void the_first_of_a_database_leads_at_once(void **state)
{
    struct flo_lease lease = leader_at(T);

    (void)state;
    assert_int_equal(lease.epoch, 1);
    assert_true(flo_lease_leads(&lease, T));
}

static void a_lease_that_was_given_back_is_taken_at_once(void **state)
{
    struct flo_lease lease = {0};
    struct flo_lease_row row = held;

    (void)state;
    row.is_held = false;
    looks_and_sees(&lease, &row, T);
    assert_int_equal(flo_lease_next(&lease, T), FLO_LEASE_TAKE);
    flo_lease_changed(&lease, true);
    assert_int_equal(lease.epoch, 8);
}

static void who_lacks_what_a_leader_must_have_looks_on(void **state)
{
    struct flo_lease lease = {.is_unfit = true};
    struct flo_lease_row row = held;

    (void)state;
    row.is_held = false;
    for (uint64_t at = T; at < T + 3 * FLO_LEASE_MS; at += FLO_LEASE_LOOK_MS) {
        looks_and_sees(&lease, &row, at);
        assert_int_equal(flo_lease_next(&lease, at), FLO_LEASE_WAIT);
    }
    lease.is_unfit = false;
    assert_int_equal(flo_lease_next(&lease, T + 3 * FLO_LEASE_MS), FLO_LEASE_TAKE);
}

static void a_wrong_clock_leads_where_nobody_else_would(void **state)
{
    struct flo_lease lease = {.is_late = true};
    struct flo_lease_row row = held;
    uint64_t at = T;

    (void)state;
    row.is_held = false;
    for (; at < T + FLO_LEASE_LATE_MS; at += FLO_LEASE_LOOK_MS) {
        looks_and_sees(&lease, &row, at);
        assert_int_equal(flo_lease_next(&lease, at), FLO_LEASE_WAIT);
    }
    assert_int_equal(flo_lease_next(&lease, at), FLO_LEASE_TAKE);
}

static void a_beat_makes_a_follower_wait_again(void **state)
{
    struct flo_lease lease = {0};
    struct flo_lease_row row = held;

    (void)state;
    looks_and_sees(&lease, &row, T);
    assert_int_equal(flo_lease_next(&lease, T + 100), FLO_LEASE_WAIT);
    row.beat++;
    looks_and_sees(&lease, &row, T + FLO_LEASE_MS - 1);
    assert_int_equal(lease.seen_ms, T + FLO_LEASE_MS - 1);
    looks_and_sees(&lease, &row, T + 2 * FLO_LEASE_MS - 2);
    assert_int_equal(flo_lease_next(&lease, T + 2 * FLO_LEASE_MS - 1), FLO_LEASE_TAKE);
}

static void a_claim_that_another_was_faster_with_follows(void **state)
{
    struct flo_lease lease = {0};

    (void)state;
    looks_and_sees(&lease, &held, T);
    assert_int_equal(flo_lease_next(&lease, T + FLO_LEASE_MS), FLO_LEASE_TAKE);
    flo_lease_changed(&lease, false);
    assert_int_equal(lease.state, FLO_LEASE_FOLLOWER);
    assert_int_equal(flo_lease_next(&lease, T + FLO_LEASE_MS), FLO_LEASE_LOOK);
}

/* The row may name this very controller: nobody else can tell, so it waits. */
static void a_claim_without_an_answer_is_waited_out(void **state)
{
    struct flo_lease lease = {0};
    struct flo_lease_row row = held;

    (void)state;
    looks_and_sees(&lease, &held, T);
    assert_int_equal(flo_lease_next(&lease, T + FLO_LEASE_MS), FLO_LEASE_TAKE);
    flo_lease_unanswered(&lease);
    row.epoch++, row.beat++;
    looks_and_sees(&lease, &row, T + FLO_LEASE_MS);
    assert_int_equal(flo_lease_next(&lease, T + FLO_LEASE_MS + 400), FLO_LEASE_WAIT);
    looks_and_sees(&lease, &row, T + FLO_LEASE_MS + 500);
    assert_false(flo_lease_leads(&lease, T + FLO_LEASE_MS + 500));
}

/* The caller pauses. */
static void a_question_without_an_answer_is_asked_again_at_once(void **state)
{
    struct flo_lease follower = {0}, leader = leader_at(T);

    (void)state;
    looks_and_sees(&follower, &held, T);
    assert_int_equal(flo_lease_next(&follower, T + FLO_LEASE_LOOK_MS), FLO_LEASE_LOOK);
    flo_lease_unanswered(&follower);
    assert_int_equal(flo_lease_next(&follower, T + FLO_LEASE_LOOK_MS), FLO_LEASE_LOOK);

    assert_int_equal(flo_lease_next(&leader, T + FLO_LEASE_BEAT_MS), FLO_LEASE_BEAT);
    flo_lease_unanswered(&leader);
    assert_int_equal(flo_lease_next(&leader, T + FLO_LEASE_BEAT_MS), FLO_LEASE_BEAT);
}

static void a_leader_counts_from_before_its_question(void **state)
{
    struct flo_lease lease = leader_at(T);

    (void)state;
    assert_int_equal(flo_lease_next(&lease, T + 999), FLO_LEASE_WAIT);
    assert_int_equal(flo_lease_next(&lease, T + 1000), FLO_LEASE_BEAT);
    assert_int_equal(flo_lease_next(&lease, T + 3000), FLO_LEASE_WAIT);
    flo_lease_changed(&lease, true); /* heard at T + 3000 */
    assert_true(flo_lease_leads(&lease, T + 4999));
    assert_false(flo_lease_leads(&lease, T + 5000));
}

static void a_leader_without_answers_rests_before_others_begin(void **state)
{
    struct flo_lease lease = leader_at(T);

    (void)state;
    assert_int_equal(flo_lease_next(&lease, T + 1000), FLO_LEASE_BEAT);
    flo_lease_unanswered(&lease);
    assert_int_equal(flo_lease_next(&lease, T + 2000), FLO_LEASE_BEAT);
    assert_false(flo_lease_leads(&lease, T + 4000));
    flo_lease_unanswered(&lease);
    assert_int_equal(flo_lease_next(&lease, T + 60000), FLO_LEASE_BEAT);
    flo_lease_changed(&lease, true); /* nobody else came meanwhile */
    assert_true(flo_lease_leads(&lease, T + 60001));
}

static void a_leader_whose_row_is_another_s_stops_at_once(void **state)
{
    struct flo_lease lease = leader_at(T);

    (void)state;
    assert_int_equal(flo_lease_next(&lease, T + 1000), FLO_LEASE_BEAT);
    flo_lease_changed(&lease, false);
    assert_false(flo_lease_leads(&lease, T + 1001));
    assert_int_equal(flo_lease_next(&lease, T + 1001), FLO_LEASE_STOP);
}

static void a_leader_waits_for_an_answer_while_beats_come(void **state)
{
    struct flo_lease lease = {.state = FLO_LEASE_LEADER,
                              .until_ms = 10000 + FLO_LEASE_MS - FLO_LEASE_MARGIN_MS};
    uint64_t unheard_ms = 10000 + FLO_LEASE_UNHEARD_MS;

    (void)state;
    /* A beat that is due is no beat that is missed. */
    assert_true(FLO_LEASE_UNHEARD_MS > FLO_LEASE_BEAT_MS);
    assert_true(flo_lease_may_wait(&lease, false, unheard_ms - 1));
    assert_false(flo_lease_may_wait(&lease, false, unheard_ms));
    /* A commit: exactly as long as it leads. */
    for (uint64_t now_ms = 10000; now_ms < 16000; now_ms += 7) {
        assert_int_equal(flo_lease_may_wait(&lease, true, now_ms), flo_lease_leads(&lease, now_ms));
    }
    lease.state = FLO_LEASE_ENDED;
    assert_false(flo_lease_may_wait(&lease, true, 10000));
}

static void a_controller_is_where_its_row_and_its_lease_say(void **state)
{
    (void)state;
    assert_int_equal(flo_lease_place_of(true, true, false, 0), FLO_LEASE_LEADS);
    /* Its own row may be old: it is the one that answers. */
    assert_int_equal(flo_lease_place_of(true, true, false, FLO_LEASE_FORGET_MS), FLO_LEASE_LEADS);
    assert_int_equal(flo_lease_place_of(true, false, false, 0), FLO_LEASE_WAITS);
    assert_int_equal(flo_lease_place_of(false, true, false, FLO_LEASE_SILENT_MS - 1),
                     FLO_LEASE_STANDS);
    assert_int_equal(flo_lease_place_of(false, true, false, FLO_LEASE_SILENT_MS), FLO_LEASE_SILENT);
    /* A leader that was killed, as soon as another leads. */
    assert_int_equal(flo_lease_place_of(false, true, true, 1), FLO_LEASE_SILENT);
    for (int place = 0; place < FLO_LEASE_PLACES; place++) {
        assert_non_null(flo_lease_place_word((enum flo_lease_place)place));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_of_a_database_leads_at_once),
        cmocka_unit_test(a_lease_that_was_given_back_is_taken_at_once),
        cmocka_unit_test(who_lacks_what_a_leader_must_have_looks_on),
        cmocka_unit_test(a_wrong_clock_leads_where_nobody_else_would),
        cmocka_unit_test(a_beat_makes_a_follower_wait_again),
        cmocka_unit_test(a_claim_that_another_was_faster_with_follows),
        cmocka_unit_test(a_claim_without_an_answer_is_waited_out),
        cmocka_unit_test(a_question_without_an_answer_is_asked_again_at_once),
        cmocka_unit_test(a_leader_counts_from_before_its_question),
        cmocka_unit_test(a_leader_without_answers_rests_before_others_begin),
        cmocka_unit_test(a_leader_whose_row_is_another_s_stops_at_once),
        cmocka_unit_test(a_leader_waits_for_an_answer_while_beats_come),
        cmocka_unit_test(a_controller_is_where_its_row_and_its_lease_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
