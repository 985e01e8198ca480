/* Requests that wait: their order, what they hold, how many there can be. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct flo_waiting waiting;

static int empty(void **state)
{
    (void)state;
    flo_buf_deinit(&waiting.frames);
    memset(&waiting, 0, sizeof(waiting));
    return 0;
}

static struct flo_wire_message ask(uint32_t request, const char *prompt, size_t bytes)
{
    struct flo_wire_message m = {.type = FLO_WIRE_GENERATE, .request = request};
    m.generate.prompt = (struct flo_wire_text){prompt, bytes};
    return m;
}

static void add(const struct flo_wire_message *message)
{
    assert_int_equal(flo_waiting_add(&waiting, message, NULL, NULL), 0);
}

static void each_is_read_as_it_came_whatever_went_before_it(void **state)
{
    static const char *const prompts[] = {"first", "second, longer", "third"};
    struct flo_wire_message m;
    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        m = ask(i, prompts[i], strlen(prompts[i]));
        m.generate.priority = i == 1 ? FLO_WIRE_BATCH : FLO_WIRE_USER;
        add(&m);
    }
    flo_waiting_remove(&waiting, 1);
    m = ask(3, "fourth", 6);
    add(&m);
    flo_waiting_remove(&waiting, 0);
    assert_int_equal(waiting.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        flo_waiting_read(&waiting, i, &m);
        assert_int_equal(m.request, i + 2);
        assert_int_equal(waiting.list[i].request, i + 2);
        assert_true(waiting.list[i].is_user);
        assert_memory_equal(m.generate.prompt.data, i == 0 ? "third" : "fourth",
                            m.generate.prompt.bytes);
    }
}

static void so_many_of_each_kind_wait_and_no_more(void **state)
{
    struct flo_wire_message m = ask(1, "a", 1);
    struct flo_err err = {0};
    (void)state;
    for (uint32_t i = 0; i < FLO_QUEUE_MAX; i++) {
        add(&m);
    }
    assert_int_equal(flo_waiting_add(&waiting, &m, NULL, &err), FLO_E_INFER_BUSY);
    assert_string_equal(err.what, "256 requests wait already");
    m = (struct flo_wire_message){.type = FLO_WIRE_EMBED, .request = 2};
    for (uint32_t i = 0; i < FLO_EMBEDS_MAX; i++) {
        add(&m);
    }
    assert_int_equal(flo_waiting_add(&waiting, &m, NULL, &err), FLO_E_INFER_BUSY);
    assert_string_equal(err.what, "64 requests for vectors wait already");
    assert_false(waiting.list[FLO_QUEUE_MAX].is_user);
}

static void the_bytes_of_all_are_bounded_and_three_of_the_largest_fit(void **state)
{
    /* A frame has 6 bytes before the prompt. */
    enum { BYTES = FLO_WIRE_PAYLOAD_BYTES_MAX - 6 };
    char *prompt = calloc(1, BYTES);
    struct flo_wire_message m = ask(1, prompt, BYTES), small = ask(2, "a", 1);
    struct flo_err err = {0};
    (void)state;
    for (int i = 0; i < 3; i++) {
        add(&m);
    }
    assert_int_equal(waiting.frames.bytes, FLO_WIRE_WAITING_BYTES_MAX);
    assert_int_equal(flo_waiting_add(&waiting, &small, NULL, &err), FLO_E_INFER_BUSY);
    assert_string_equal(err.what, "requests of 3145776 bytes wait already");
    assert_true(waiting.frames.capacity <= FLO_WIRE_WAITING_BYTES_MAX + 1);
    flo_waiting_remove(&waiting, 1); /* then there is room again */
    add(&small);
    flo_waiting_read(&waiting, 2, &m);
    assert_int_equal(m.request, 2);
    free(prompt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_is_read_as_it_came_whatever_went_before_it, NULL,
                                        empty),
        cmocka_unit_test_setup_teardown(so_many_of_each_kind_wait_and_no_more, NULL, empty),
        cmocka_unit_test_setup_teardown(the_bytes_of_all_are_bounded_and_three_of_the_largest_fit,
                                        NULL, empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
