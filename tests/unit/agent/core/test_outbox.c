/* Outbox and retry rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <flotilla/agent.h>

static void nothing_is_sent_without_a_connection(void **state)
{
    struct flo_outbox outbox = {0};

    (void)state;
    flo_outbox_stored(&outbox, 1);
    assert_int_equal(flo_outbox_next(&outbox, 0), 0);
    flo_outbox_connected(&outbox, 0);
    assert_int_equal(flo_outbox_next(&outbox, 0), 1);
}

static void events_go_out_in_order_until_the_window_is_full(void **state)
{
    struct flo_outbox outbox = {0};
    uint64_t sequence;

    (void)state;
    flo_outbox_stored(&outbox, 100);
    flo_outbox_connected(&outbox, 0);
    for (sequence = 1; sequence <= FLO_OUTBOX_WINDOW; sequence++) {
        assert_int_equal(flo_outbox_next(&outbox, 0), sequence);
        flo_outbox_sent(&outbox, sequence, 0);
    }
    assert_int_equal(flo_outbox_next(&outbox, 0), 0);

    assert_true(flo_outbox_acked(&outbox, 10));

    assert_int_equal(flo_outbox_next(&outbox, 0), FLO_OUTBOX_WINDOW + 1);
}

static void a_new_connection_begins_behind_the_last_ack(void **state)
{
    struct flo_outbox outbox = {0};

    (void)state;
    flo_outbox_stored(&outbox, 5);
    flo_outbox_connected(&outbox, 0);
    flo_outbox_sent(&outbox, 1, 0);
    flo_outbox_sent(&outbox, 2, 0);
    flo_outbox_sent(&outbox, 3, 0);
    assert_true(flo_outbox_acked(&outbox, 1));
    flo_outbox_disconnected(&outbox);
    flo_outbox_connected(&outbox, 10);

    assert_int_equal(flo_outbox_next(&outbox, 10), 2);
}

static void a_controller_that_stays_silent_is_told_again(void **state)
{
    struct flo_outbox outbox = {0};

    (void)state;
    flo_outbox_stored(&outbox, 1);
    flo_outbox_connected(&outbox, 0);
    flo_outbox_sent(&outbox, 1, 0);
    assert_int_equal(flo_outbox_next(&outbox, FLO_OUTBOX_RESEND_MS - 1), 0);
    assert_int_equal(flo_outbox_next(&outbox, FLO_OUTBOX_RESEND_MS), 1);
}

static void events_wait_when_asked_and_not_after_a_new_connection(void **state)
{
    struct flo_outbox outbox = {0};

    (void)state;
    flo_outbox_stored(&outbox, 1);
    flo_outbox_connected(&outbox, 0);
    flo_outbox_wait(&outbox, 100);
    assert_int_equal(flo_outbox_next(&outbox, 99), 0);
    assert_int_equal(flo_outbox_next(&outbox, 100), 1);
    flo_outbox_wait(&outbox, 200);
    flo_outbox_disconnected(&outbox);
    flo_outbox_connected(&outbox, 101);
    assert_int_equal(flo_outbox_next(&outbox, 101), 1);
}

static void an_ack_of_what_was_never_stored_is_ignored(void **state)
{
    struct flo_outbox outbox = {0};

    (void)state;
    flo_outbox_stored(&outbox, 3);
    assert_false(flo_outbox_acked(&outbox, 4));
    assert_true(flo_outbox_acked(&outbox, 3));
    assert_false(flo_outbox_acked(&outbox, 2));
    assert_int_equal(outbox.acked, 3);
}

static void the_delay_is_jittered_doubled_and_bounded(void **state)
{
    (void)state;
    assert_int_equal(flo_retry_delay_ms(0, 500, 60000, 500), 500);
    assert_int_equal(flo_retry_delay_ms(0, 500, 60000, 501), 0);
    assert_int_equal(flo_retry_delay_ms(3, 500, 60000, 4000), 4000);
    assert_int_equal(flo_retry_delay_ms(40, 500, 60000, 60000), 60000);
    assert_int_equal(flo_retry_delay_ms(400, 500, 60000, 60001), 0);
    assert_int_equal(flo_retry_delay_ms(4000000, 1, UINT64_MAX, 7), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_without_a_connection),
        cmocka_unit_test(events_go_out_in_order_until_the_window_is_full),
        cmocka_unit_test(a_new_connection_begins_behind_the_last_ack),
        cmocka_unit_test(a_controller_that_stays_silent_is_told_again),
        cmocka_unit_test(events_wait_when_asked_and_not_after_a_new_connection),
        cmocka_unit_test(an_ack_of_what_was_never_stored_is_ignored),
        cmocka_unit_test(the_delay_is_jittered_doubled_and_bounded),
    };

    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
