/* An engine process and its enemies: files that are no model, garbage on its
 * socket, code that wants out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <flotilla/errors/gguf.h>

#include "unit/serve/worker/worker_talk.h"

static void a_file_that_is_no_model_is_refused(void **state)
{
    (void)state;
    worker_spawn(bin("flotilla-engine"));
    say_open("tests/models/README.md");
    expect(FLO_WIRE_FAILED);
    assert_int_equal(flo_wire_failed_code(&worker.got.failed), FLO_E_GGUF_MAGIC);
    assert_int_equal(worker_end(), 0);
}

static void garbage_on_the_socket_ends_the_process(void **state)
{
    (void)state;
    worker_open(MODEL);
    assert_int_equal(send(worker.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    assert_false(hear());
    assert_int_equal(worker_end(), 0);
}

static void what_a_model_must_not_do_kills_its_process(void **state)
{
    static const char *const deeds[] = {"socket", "open", "exec", "fork", "code", "kill"};
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    skip();
#endif
    for (size_t i = 0; i < FLO_COUNT(deeds); i++) {
        setenv("FLO_HOSTILE", deeds[i], 1);
        worker_spawn(HOSTILE_ENGINE);
        unsetenv("FLO_HOSTILE");
        say_open(MODEL);
        assert_false(hear()); /* no READY ever */
        int status = worker_end();
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
            fail_msg("%s: status %#x instead of SIGSYS", deeds[i], status);
        }
    }
    worker_spawn(HOSTILE_ENGINE); /* without a deed it serves */
    say_open(MODEL);
    expect(FLO_WIRE_READY);
    assert_int_equal(worker_end(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_that_is_no_model_is_refused),
        cmocka_unit_test(garbage_on_the_socket_ends_the_process),
        cmocka_unit_test(what_a_model_must_not_do_kills_its_process),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
