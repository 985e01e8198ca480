/* Messages that wait for their commit: their order and when they leave. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/mqtt/held.h"

static void add(struct flo_held_messages *held, uint64_t number, const char *text)
{
    assert_true(flo_held_add(held, number, FLO_TOPIC_CMD, "key", text, strlen(text)));
}

static void leaves(struct flo_held_messages *held, uint64_t number, const char *text)
{
    struct flo_held_message *message = flo_held_take(held, number);

    if (text == NULL) {
        assert_null(message);
        return;
    }
    assert_non_null(message);
    assert_int_equal(message->bytes, strlen(text));
    assert_memory_equal(message->data, text, message->bytes);
    free(message);
}

static void a_message_leaves_when_its_commit_is_durable(void **state)
{
    struct flo_held_messages held;

    (void)state;
    flo_held_init(&held);
    add(&held, 5, "first");
    leaves(&held, 4, NULL);
    leaves(&held, 5, "first");
    leaves(&held, 5, NULL);
}

static void messages_leave_in_the_order_in_which_they_were_written(void **state)
{
    struct flo_held_messages held;

    (void)state;
    flo_held_init(&held);
    add(&held, 1, "one");
    add(&held, 1, "again one");
    add(&held, 3, "three");
    leaves(&held, 2, "one");
    leaves(&held, 2, "again one");
    leaves(&held, 2, NULL);
    add(&held, 3, "last");
    leaves(&held, 9, "three");
    leaves(&held, 9, "last");
    leaves(&held, 9, NULL);
    add(&held, 4, "left behind");
    flo_held_clear(&held);
    assert_null(held.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_leaves_when_its_commit_is_durable),
        cmocka_unit_test(messages_leave_in_the_order_in_which_they_were_written),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
