/* Frames that wait in the socket, seen without reading them. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PING = 1 << FLO_WIRE_PING,
    CANCEL = 1 << FLO_WIRE_CANCEL,
    GENERATE = 1 << FLO_WIRE_GENERATE,
};

static int pair[2];

static int open_pair(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int close_pair(void **state)
{
    (void)state;
    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void put(struct flo_buf *out, enum flo_wire_type type, const char *prompt)
{
    struct flo_wire_message m = {.type = type, .request = 7};
    if (type == FLO_WIRE_GENERATE) {
        m.generate.prompt = flo_wire_text_of(prompt);
    }
    assert_int_equal(flo_wire_write(out, &m, NULL), 0);
}

static void send_all(struct flo_buf *out)
{
    assert_int_equal(write(pair[0], out->data, out->bytes), out->bytes);
    flo_buf_deinit(out);
}

static void a_frame_is_seen_behind_others(void **state)
{
    struct flo_buf out = {0};
    (void)state;
    assert_false(flo_frames_wait(pair[1], UINT32_MAX));
    put(&out, FLO_WIRE_PING, NULL);
    put(&out, FLO_WIRE_GENERATE, "hello");
    send_all(&out);
    assert_true(flo_frames_wait(pair[1], PING));
    assert_true(flo_frames_wait(pair[1], GENERATE));
    assert_false(flo_frames_wait(pair[1], CANCEL));
    put(&out, FLO_WIRE_CANCEL, NULL);
    send_all(&out);
    assert_true(flo_frames_wait(pair[1], CANCEL));
    assert_true(flo_frames_wait(pair[1], CANCEL)); /* nothing was read */
}

static void what_cannot_be_seen_is_not_there(void **state)
{
    static char prompt[300];
    struct flo_buf out = {0};
    (void)state;
    memset(prompt, 'a', sizeof(prompt) - 1);
    put(&out, FLO_WIRE_GENERATE, prompt);
    put(&out, FLO_WIRE_CANCEL, NULL);
    send_all(&out);
    assert_true(flo_frames_wait(pair[1], GENERATE));
    assert_false(flo_frames_wait(pair[1], CANCEL));
}

static void no_bytes_are_trusted(void **state)
{
    static const uint8_t types[] = {31, 32, 255};
    uint8_t head[FLO_WIRE_HEAD_BYTES + 1];
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        memset(head, 0xff, sizeof(head));
        flo_put_u16(head + 8, types[i]);
        assert_int_equal(write(pair[0], head, sizeof(head)), sizeof(head));
        assert_false(flo_frames_wait(pair[1], PING | CANCEL | GENERATE));
        assert_int_equal(read(pair[1], head, sizeof(head)), sizeof(head));
    }
    assert_int_equal(write(pair[0], head, 15), 15); /* of 16 */
    assert_false(flo_frames_wait(pair[1], UINT32_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_frame_is_seen_behind_others, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(what_cannot_be_seen_is_not_there, open_pair, close_pair),
        cmocka_unit_test_setup_teardown(no_bytes_are_trusted, open_pair, close_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
