/* The walls of the process that reads a runtime's answers, from the inside: what an
 * answer that took it over would try. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/proxy/proxy.h"
#include "unit/escapes.h"

static int enter(void *context)
{
    (void)context;
    return flo_parser_confine(FLO_SANDBOX_REQUIRED, NULL) == 0 ? 1 : -1;
}

static void need_a_sandbox(void)
{
    if (!flo_sandbox_is_built() || flo_sandbox_lacks() != NULL) {
        print_message("no sandbox in this build or kernel: skipped\n");
        skip();
    }
}

static void nothing_leaves_the_parser(void **state)
{
    (void)state;
    need_a_sandbox();
    assert_int_equal(escapes_try(FROM_ENGINE, enter, NULL), 0);
    assert_int_equal(rights_left(enter, NULL), 0);
}

/* The agent's own sockets are open to its user. */
static void no_socket_of_the_agent_is_reached(void **state)
{
    int status = 0;

    (void)state;
    need_a_sandbox();
    pid_t pid = fork();
    if (pid == 0) {
        _exit(enter(NULL) == 1 && socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaves_the_parser),
        cmocka_unit_test(no_socket_of_the_agent_is_reached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
