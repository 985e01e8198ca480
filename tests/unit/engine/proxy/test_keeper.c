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

#define TRIES 300
#define STOP_MS 30000

/* The keeper of a runtime that sleeps. */
static pid_t keep(const char *scratch)
{
    static const char *const argv[] = {"/bin/sleep", "600", NULL};
    static char *environment[] = {NULL};
    static const struct flo_sandbox_path paths[] = {{"/usr", FLO_SANDBOX_RUN},
                                                    {"/lib", FLO_SANDBOX_RUN},
                                                    {"/lib64", FLO_SANDBOX_RUN},
                                                    {"/bin", FLO_SANDBOX_RUN}};
    const struct flo_keeping keeping = {
        .argv = argv,
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

static bool ends(pid_t pid)
{
    for (uint64_t until_ms = flo_now_ms() + STOP_MS; flo_now_ms() < until_ms;
         usleep(200)) {
        if (waitpid(pid, NULL, WNOHANG) == pid) {
            return true;
        }
    }
    return false;
}

/* A proxy may be ended while it starts its runtime. */
static void a_keeper_that_is_stopped_at_any_moment_ends(void **state)
{
    char scratch[] = "/tmp/flo-keeper-XXXXXX";

    (void)state;
    for (int i = 0; i < TRIES; i++) {
        strcpy(scratch, "/tmp/flo-keeper-XXXXXX");
        assert_non_null(mkdtemp(scratch));
        pid_t pid = keep(scratch);
        usleep((useconds_t)(i * 6));
        kill(pid, SIGTERM);
        bool is_over = ends(pid);
        if (!is_over) { /* its runtime ends with it */
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        }
        rmdir(scratch); /* a keeper that had not begun leaves it */
        assert_true(is_over);
    }
}

/* A runtime may write its log faster than it can be read. */
static void words_without_an_end_do_not_hold_the_proxy(void **state)
{
    struct flo_runtime_process process = {
        .report = -1, .errors = open("/dev/zero", O_RDONLY | O_CLOEXEC)};
    struct flo_err err = {0};

    (void)state;
    alarm(10);
    assert_int_equal(flo_runtime_listen(&process, &err), 0);
    alarm(0);
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
