/* What leaves after a commit: in pieces, and once more when it was cut off. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>

#include "server-stub/mqtt/publisher.h"

static int ended;

static void note_end(void *context)
{
    (void)context;
    ended++;
}

static void
desired_documents_leave_in_pieces_between_which_others_run(void **state)
{
    (void)state;
    enum { DEVICES = 20000 };
    struct flo_controller_options options = {.dir = ":memory:",
                                             .fleet = "demo"};
    struct flo_controller *controller;
    struct flo_err err = {0};
    const char groups[1][FLO_NAME_MAX + 1] = {"all"};

    flo_log_level_set(FLO_LOG_ERROR);
    assert_int_equal(flo_controller_open(&options, &controller, &err), 0);
    struct event_base *base = event_base_new();
    struct flo_publisher *publisher;
    assert_int_equal(
        flo_publisher_open(controller, base, NULL, &publisher, &err), 0);
    assert_int_equal(flo_controller_begin(controller, &err), 0);
    for (int i = 0; i < DEVICES; i++) {
        char id[37];
        snprintf(id, sizeof(id), "%08x-1111-4111-8111-111111111111",
                 (unsigned)i);
        struct flo_fleet_device device = {.id = id,
                                          .name = id,
                                          .labels = "{}",
                                          .profile = "{}",
                                          .groups = "[\"all\"]",
                                          .enrolled_at_ms = 1};
        assert_int_equal(
            flo_fleet_device_add(controller->store, &device, groups, 1, &err),
            0);
    }
    assert_int_equal(flo_controller_commit(controller, &err), 0);

    uint64_t begin_us = flo_now_us();
    flo_publisher_send_all(publisher, note_end, NULL);
    /* The call does not publish them: it only knows whom. */
    assert_int_equal(ended, 0);
    int turns = 0;
    uint64_t longest_us = flo_now_us() - begin_us;
    while (ended == 0) {
        uint64_t turn_us = flo_now_us();
        event_base_loop(base, EVLOOP_ONCE);
        turn_us = flo_now_us() - turn_us;
        longest_us = turn_us > longest_us ? turn_us : longest_us;
        turns++;
    }
    print_message("%d turns, the longest %llu us\n", turns,
                  (unsigned long long)longest_us);
    assert_true(turns > 3);
    assert_int_equal(ended, 1);
    flo_publisher_close(publisher);
    flo_controller_close(controller);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            desired_documents_leave_in_pieces_between_which_others_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
