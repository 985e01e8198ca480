/* Events that wait for the core: in order, none lost in silence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/shell/queue/queue.h"

static struct flo_queue queue;

static int begin(void **state)
{
    (void)state;
    memset(&queue, 0, sizeof(queue));
    return 0;
}

static void post(enum flo_agent_event_kind kind, enum flo_agent_role role, uint32_t job)
{
    const struct flo_agent_event event = {.kind = kind, .role = role, .job = job};

    flo_queue_post(&queue, &event);
}

static void events_are_taken_in_the_order_in_which_they_came(void **state)
{
    struct flo_agent_event event;
    uint32_t next = 0;

    (void)state;
    for (uint32_t i = 0; i < 3 * FLO_QUEUE_EVENTS_MAX; i++) {
        post(FLO_AGENT_PROGRESS, FLO_AGENT_CURRENT, i);
        if (i % 4 > 0) {
            assert_true(flo_queue_take(&queue, &event));
            assert_int_equal(event.job, next++);
        }
    }
    while (flo_queue_take(&queue, &event)) {
        assert_int_equal(event.job, next++);
    }

    assert_int_equal(next, 3 * FLO_QUEUE_EVENTS_MAX);
}

static void those_who_may_say_anything_leave_room_for_the_rest(void **state)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_REQUEST};
    size_t taken = 0;

    (void)state;
    while (flo_queue_offer(&queue, &event)) {
        taken++;
    }

    assert_int_equal(taken, FLO_QUEUE_OFFERED_MAX);
    for (size_t i = taken; i < FLO_QUEUE_EVENTS_MAX; i++) {
        post(FLO_AGENT_WRITTEN, FLO_AGENT_CURRENT, 0);
    }
}

static void requests_that_end_alike_are_one_event(void **state)
{
    struct flo_agent_event ended = {.kind = FLO_AGENT_REQUEST};
    struct flo_agent_event event;

    (void)state;
    for (int i = 0; i < 3 * FLO_QUEUE_EVENTS_MAX; i++) {
        ended.error.code = i % 3 == 0 ? FLO_E_ENGINE_CRASH : 0;
        assert_true(flo_queue_offer_request(&queue, &ended));
    }
    post(FLO_AGENT_LOST, FLO_AGENT_CURRENT, 0);
    assert_true(flo_queue_offer_request(&queue, &ended));

    assert_true(flo_queue_take(&queue, &event));
    assert_int_equal(event.error.code, FLO_E_ENGINE_CRASH);
    assert_int_equal(event.more, FLO_QUEUE_EVENTS_MAX - 1);
    assert_true(flo_queue_take(&queue, &event));
    assert_int_equal(event.error.code, 0);
    assert_int_equal(event.more, 2 * FLO_QUEUE_EVENTS_MAX - 1);
    assert_true(flo_queue_take(&queue, &event));
    assert_int_equal(event.kind, FLO_AGENT_LOST);
    assert_true(flo_queue_take(&queue, &event)); /* behind the loss */
    assert_int_equal(event.more, 0);
    assert_false(flo_queue_take(&queue, &event));
}

static void one_event_too_many_ends_the_program(void **state)
{
    const struct rlimit no_core = {0, 0};
    int status = 0;
    pid_t pid;

    (void)state;
    for (size_t i = 0; i < FLO_QUEUE_EVENTS_MAX; i++) {
        post(FLO_AGENT_WRITTEN, FLO_AGENT_CURRENT, 0);
    }
    pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        fclose(stderr);
        post(FLO_AGENT_WRITTEN, FLO_AGENT_CURRENT, 0);
        _exit(0);
    }

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void a_new_engine_is_not_taken_for_the_one_before_in_its_role(void **state)
{
    struct flo_agent_event event;

    (void)state;
    post(FLO_AGENT_LOADED, FLO_AGENT_BESIDE, 0);
    post(FLO_AGENT_LOST, FLO_AGENT_CURRENT, 0);
    post(FLO_AGENT_LOST, FLO_AGENT_BESIDE, 0);
    flo_queue_forget_engine(&queue, 0, FLO_AGENT_BESIDE);

    assert_false(flo_queue_has_lost(&queue, 0, FLO_AGENT_BESIDE));
    assert_true(flo_queue_take(&queue, &event));
    assert_int_equal(event.kind, FLO_AGENT_LOST);
    assert_int_equal(event.role, FLO_AGENT_CURRENT);
    assert_false(flo_queue_take(&queue, &event));
}

static void the_loss_of_a_promoted_engine_is_the_current_ones(void **state)
{
    struct flo_agent_event event;

    (void)state;
    post(FLO_AGENT_LOST, FLO_AGENT_CURRENT, 1); /* of the one that goes */
    post(FLO_AGENT_LOST, FLO_AGENT_BESIDE, 2);
    flo_queue_promote_engine(&queue, 0);

    assert_true(flo_queue_has_lost(&queue, 0, FLO_AGENT_CURRENT));
    assert_false(flo_queue_has_lost(&queue, 0, FLO_AGENT_BESIDE));
    assert_true(flo_queue_take(&queue, &event));
    assert_int_equal(event.job, 2);
    assert_false(flo_queue_take(&queue, &event));
}

static void nothing_is_next_in_an_empty_queue(void **state)
{
    struct flo_agent_event event;

    (void)state;
    post(FLO_AGENT_WRITTEN, FLO_AGENT_CURRENT, 0);
    assert_true(flo_queue_is_next(&queue, FLO_AGENT_WRITTEN));
    assert_false(flo_queue_is_next(&queue, FLO_AGENT_LOST));
    assert_true(flo_queue_take(&queue, &event));
    assert_false(flo_queue_is_next(&queue, FLO_AGENT_WRITTEN));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(events_are_taken_in_the_order_in_which_they_came),
        TEST(those_who_may_say_anything_leave_room_for_the_rest),
        TEST(requests_that_end_alike_are_one_event),
        TEST(one_event_too_many_ends_the_program),
        TEST(a_new_engine_is_not_taken_for_the_one_before_in_its_role),
        TEST(the_loss_of_a_promoted_engine_is_the_current_ones),
        TEST(nothing_is_next_in_an_empty_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
