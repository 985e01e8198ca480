/* The keeper between the proxy and a runtime's processes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include <cmocka.h>

#include "engine/proxy/proxy.h"
#include "unit/child.h"

#define TRIES 150

/* The keeper of a runtime that sleeps. */
static pid_t keep(const char *scratch)
{
    static const char *const argv[] = {"/bin/sleep", "600", NULL};
    static char *environment[] = {NULL};
    static const struct flo_sandbox_path paths[] = {{"/usr", FLO_SANDBOX_RUN},
                                                    {"/lib", FLO_SANDBOX_RUN},
                                                    {"/lib64", FLO_SANDBOX_RUN},
                                                    {"/bin", FLO_SANDBOX_RUN}};
    const struct flo_keeping keeping = {.argv = argv,
                                        .environment = environment,
                                        .scratch = scratch,
                                        .paths = paths,
                                        .n_paths = FLO_COUNT(paths),
                                        .report = open("/dev/null", O_WRONLY | O_CLOEXEC),
                                        .group = -1,
                                        .errors = open("/dev/null", O_WRONLY | O_CLOEXEC),
                                        .proxy = getpid()};
    pid_t pid = fork();

    if (pid == 0) {
        flo_keeper_run(&keeping);
    }
    close(keeping.report);
    close(keeping.errors);
    return pid;
}

/* Looks that it takes until the keeper has its runtime. */
static unsigned start_looks(const char *scratch)
{
    pid_t pid = keep(scratch);
    unsigned looks = 0;

    WAIT_TURNING(child_first_of(pid) != 0, looks++);
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rmdir(scratch);
    return looks + 1;
}

/* A proxy may be ended while it starts its runtime. */
static void a_keeper_that_is_stopped_at_any_moment_ends(void **state)
{
    char scratch[] = "/tmp/flo-keeper-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(scratch));
    unsigned whole = start_looks(scratch);
    for (int i = 0; i < 4; i++) { /* the one that the machine disturbed least */
        assert_non_null(mkdtemp(strcpy(scratch, "/tmp/flo-keeper-XXXXXX")));
        unsigned again = start_looks(scratch);
        whole = again < whole ? again : whole;
    }
    for (unsigned i = 0; i < TRIES; i++) {
        strcpy(scratch, "/tmp/flo-keeper-XXXXXX");
        assert_non_null(mkdtemp(scratch));
        pid_t pid = keep(scratch);
        for (unsigned look = 0; look < 3 * whole * i / (2 * TRIES); look++) {
            (void)child_first_of(pid);
        }
        kill(pid, SIGTERM);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        rmdir(scratch); /* a keeper that had not begun leaves it */
    }
}

/* A runtime may write its log faster than it can be read. */
static void words_without_an_end_do_not_hold_the_proxy(void **state)
{
    struct flo_runtime_process process = {.report = -1,
                                          .errors = open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(flo_runtime_listen(&process, &err), 0);
    assert_true(process.n_words == sizeof(process.words));
    close(process.errors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keeper_that_is_stopped_at_any_moment_ends),
        cmocka_unit_test(words_without_an_end_do_not_hold_the_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
