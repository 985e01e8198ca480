/* The keeper between the proxy and a runtime's processes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>

#include <cmocka.h>

#include "engine/proxy/proxy.h"
#include "unit/child.h"

#define TRIES 150

static struct flo_cgroup group; /* none */

/* The keeper of a runtime that sleeps. */
static pid_t keep(const char *scratch, int guard)
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
                                        .group = &group,
                                        .guard = guard,
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
    pid_t pid = keep(scratch, -1);
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
        pid_t pid = keep(scratch, -1);
        for (unsigned look = 0; look < 3 * whole * i / (2 * TRIES); look++) {
            (void)child_first_of(pid);
        }
        kill(pid, SIGTERM);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        rmdir(scratch); /* a keeper that had not begun leaves it */
    }
}

static struct flo_runtime_figures next_figures(int keeper)
{
    struct flo_runtime_figures figures = {0};

    assert_int_equal(recv(keeper, &figures, sizeof(figures), 0), sizeof(figures));
    return figures;
}

static bool has_text(const char *name, const char *wanted)
{
    char path[FLO_CGROUP_PATH_MAX + 64];
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    snprintf(path, sizeof(path), "%s/%s", group.folder, name);
    assert_int_equal(flo_file_read(path, 64, &text, &bytes, NULL), 0);
    return strcmp(text, wanted) == 0;
}

static void make_group(void)
{
    static const char *const files[] = {"memory.events", "cgroup.procs", "cgroup.kill"};
    char path[FLO_CGROUP_PATH_MAX + 64];

    strcpy(group.folder, "/tmp/flo-group-XXXXXX");
    assert_non_null(mkdtemp(group.folder));
    for (size_t i = 0; i < FLO_COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", group.folder, files[i]);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fputs(i == 0 ? "low 0\noom_kill 3\n" : "", file);
        fclose(file);
    }
}

static void end_group(void)
{
    const struct flo_cgroup folder = group;

    group.folder[0] = '\0';
    flo_scratch_remove(folder.folder);
}

/* The guard has no right to look at another user's memory, and opens no file. */
static void a_keeper_tells_its_guard_what_the_runtime_needs(void **state)
{
    char scratch[] = "/tmp/flo-keeper-XXXXXX";
    struct flo_runtime_figures figures = {0};
    int words[2];

    (void)state;
    assert_non_null(mkdtemp(scratch));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, words), 0);
    make_group();
    pid_t pid = keep(scratch, words[1]);
    close(words[1]);
    while (figures.count == 0) {
        assert_int_equal(send(words[0], "", 1, 0), 1);
        figures = next_figures(words[0]);
    }
    assert_int_equal(figures.count, 1);
    assert_true(figures.bytes > 0);
    assert_int_equal(figures.kills, 3);
    WAIT_UNTIL(has_text("cgroup.procs", "0"));
    kill(pid, SIGTERM);
    figures = next_figures(words[0]); /* the last ones, when all have ended */
    assert_int_equal(figures.count, 0);
    assert_int_equal(figures.kills, 3);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(has_text("cgroup.kill", "1"));
    end_group();
    close(words[0]);
    rmdir(scratch);
}

/* The keeper is not held up by a socket that nobody has at the other end. */
static void a_keeper_without_a_guard_waits_and_ends(void **state)
{
    char scratch[] = "/tmp/flo-keeper-XXXXXX";
    int words[2];

    (void)state;
    assert_non_null(mkdtemp(scratch));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, words), 0);
    pid_t pid = keep(scratch, words[1]);
    close(words[1]);
    close(words[0]);
    WAIT_UNTIL(child_first_of(pid) != 0);
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    rmdir(scratch);
}

/* A runtime may write its log faster than it can be read. */
static void words_without_an_end_do_not_hold_the_proxy(void **state)
{
    struct flo_runtime_process process = {
        .report = -1, .keeper = -1, .errors = open("/dev/zero", O_RDONLY | O_CLOEXEC)};
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
        cmocka_unit_test(a_keeper_tells_its_guard_what_the_runtime_needs),
        cmocka_unit_test(a_keeper_without_a_guard_waits_and_ends),
        cmocka_unit_test(words_without_an_end_do_not_hold_the_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
