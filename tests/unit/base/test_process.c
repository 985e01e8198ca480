/* Processes: a child gets descriptor 3, plain signals and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/process.h>

#include "unit/waits.h"

static int wait_exit(pid_t pid)
{
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void a_child_talks_through_descriptor_three(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "echo hello >&3", NULL};
    int pair[2];
    char text[16] = {0};
    pid_t pid = -1;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);

    assert_int_equal(flo_process_spawn(argv, pair[1], &pid, NULL), 0);
    close(pair[1]);

    assert_int_equal(wait_exit(pid), 0);
    assert_int_equal(read(pair[0], text, sizeof(text)), 6);
    assert_string_equal(text, "hello\n");
    close(pair[0]);
}

/* The child lists its descriptors into descriptor 3 or, without it, exits
 * with their number (less the one of the listing itself). */
static void other_descriptors_are_closed(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "set -- /proc/self/fd/*; exit $#", NULL};
    int high[20];
    pid_t pid = -1;
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(high); i++) {
        high[i] = open("/dev/null", O_RDONLY); /* without CLOEXEC */
        assert_true(high[i] >= 0);
    }

    assert_int_equal(flo_process_spawn(argv, high[7], &pid, NULL), 0);
    int with_fd = WEXITSTATUS(wait_exit(pid));
    assert_int_equal(flo_process_spawn(argv, -1, &pid, NULL), 0);
    int without_fd = WEXITSTATUS(wait_exit(pid));

    assert_int_equal(with_fd, without_fd + 1);
    assert_in_range(with_fd, 4, 5); /* 0 1 2 3 and the shell's listing */
    for (size_t i = 0; i < FLO_COUNT(high); i++) {
        close(high[i]);
    }
}

static void a_descriptor_that_is_three_already_stays_open(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "test -e /proc/self/fd/3", NULL};
    pid_t pid = -1;
    (void)state;
    int keep = fcntl(3, F_DUPFD_CLOEXEC, 10);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup3(null, 3, O_CLOEXEC) == 3 || null == 3, 1);

    assert_int_equal(flo_process_spawn(argv, 3, &pid, NULL), 0);

    assert_int_equal(wait_exit(pid), 0);
    if (null != 3) {
        close(null);
    }
    close(3);
    if (keep >= 0) {
        dup2(keep, 3);
        close(keep);
    }
}

static void signals_are_plain_in_the_child(void **state)
{
    const char *const argv[] = {/* 32 and 33 are the C library's own; make leaves them ignored. */
                                "/bin/sh", "-c",
                                "grep -q 'SigBlk:.0000000000000000' /proc/self/status "
                                "&& grep -q 'SigIgn:.0000000[01][08]0000000' "
                                "/proc/self/status",
                                NULL};
    sigset_t block, before, now;
    pid_t pid = -1;
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &before);

    assert_int_equal(flo_process_spawn(argv, -1, &pid, NULL), 0);

    assert_int_equal(wait_exit(pid), 0);
    /* The parent's mask is as it was. */
    sigprocmask(SIG_SETMASK, &before, &now);
    assert_int_equal(sigismember(&now, SIGTERM), 1);
    assert_int_equal(sigismember(&now, SIGUSR1), 0);
}

static void a_bare_child_has_no_variable_that_is_not_named(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c",
                                "[ \"$SECRET$FLO_NOT\" = '' ] && "
                                "[ \"$FLO_ONE$FLO_TWO$EXACT\" = 123 ]",
                                NULL};
    const char *const keep[] = {"FLO_ONE", "EXACT", "FLO_T*", NULL};
    pid_t pid = -1;
    (void)state;
    setenv("SECRET", "token", 1);
    setenv("FLO_ONE", "1", 1);
    setenv("FLO_TWO", "2", 1);
    setenv("FLO_NOT", "4", 1);
    setenv("EXACT", "3", 1);
    setenv("EXACTLY", "5", 1);

    assert_int_equal(flo_process_spawn_bare(argv, keep, -1, &pid, NULL), 0);

    assert_int_equal(WEXITSTATUS(wait_exit(pid)), 0);
}

static void a_child_gets_a_variable_that_we_do_not_have(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "[ \"$FLO_OURS$FLO_GIVEN\" = 12 ]", NULL};
    pid_t pid = -1;
    (void)state;
    setenv("FLO_OURS", "1", 1);
    unsetenv("FLO_GIVEN");

    assert_int_equal(flo_process_spawn_with(argv, "FLO_GIVEN=2", -1, -1, &pid, NULL), 0);
    assert_int_equal(WEXITSTATUS(wait_exit(pid)), 0);
    setenv("FLO_GIVEN", "2", 1);
    assert_int_equal(flo_process_spawn_with(argv, "FLO_GIVEN=3", -1, -1, &pid, NULL), 0);
    assert_int_equal(WEXITSTATUS(wait_exit(pid)), 0);
    unsetenv("FLO_GIVEN");
}

static void a_program_that_cannot_start_is_an_error(void **state)
{
    const char *const missing[] = {"/no/such/program", NULL};
    const char *const folder[] = {"/tmp", NULL};
    struct flo_err err = {0};
    pid_t pid = -1;
    (void)state;

    assert_int_equal(flo_process_spawn(missing, -1, &pid, &err), FLO_E_PROCESS);
    assert_non_null(strstr(err.what, "No such file"));
    assert_int_equal(flo_process_spawn(folder, -1, &pid, &err), FLO_E_PROCESS);
    assert_int_equal(pid, -1);
    /* Nothing is left to wait for. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

/* A middle process starts a grandchild and is killed; the pipe's end of file
 * says that the grandchild is gone too. */
static void a_child_dies_with_its_parent(void **state)
{
    const char *const argv[] = {"/bin/sh", "-c", "echo up >&3; read x <&3", NULL};
    int pair[2];
    char text[8];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);

    pid_t middle = fork();
    if (middle == 0) {
        pid_t child;
        close(pair[0]);
        if (flo_process_spawn(argv, pair[1], &child, NULL) < 0) {
            _exit(1);
        }
        close(pair[1]);
        for (;;) {
            pause();
        }
    }
    close(pair[1]);
    assert_int_equal(read(pair[0], text, sizeof(text)), 3);
    kill(middle, SIGKILL);
    wait_exit(middle);

    assert_int_equal(read(pair[0], text, sizeof(text)), 0);
    close(pair[0]);
}

/* ---- below a keeper ---- */

/* An emulator of a CPU may lack the call that a keeper needs; a keeper without
 * it does not start. */
static void need_keepers(void)
{
    if (prctl(PR_SET_CHILD_SUBREAPER, 0) < 0) { /* as it is anyhow */
        skip();
    }
}

struct kept {
    pid_t keeper;
    int in, out; /* our ends */
};

static void start_kept(const char *script, struct kept *out)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    static char path[] = "PATH=/usr/bin:/bin";
    char *const environment[] = {path, NULL};
    int in[2], from[2];

    need_keepers();
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    assert_int_equal(flo_process_spawn_kept(argv, environment, in[0], from[1], &out->keeper, NULL),
                     0);
    close(in[0]);
    close(from[1]);
    out->in = in[1];
    out->out = from[0];
}

/* All that it wrote.  With the keeper all of its processes are gone: the pipe
 * has ended. */
static const char *end_kept(const struct kept *kept, int *status)
{
    static char text[256];
    ssize_t bytes, more;
    char rest;

    *status = wait_exit(kept->keeper);
    fcntl(kept->out, F_SETFL, O_NONBLOCK);
    bytes = read(kept->out, text, sizeof(text) - 1);
    more = bytes > 0 ? read(kept->out, &rest, 1) : bytes;
    assert_int_equal(more, 0);
    text[bytes] = '\0';
    close(kept->in);
    close(kept->out);
    return text;
}

static void a_kept_program_has_its_streams_and_its_environment_alone(void **state)
{
    struct kept kept;
    int status;
    (void)state;
    setenv("FLO_TEST_SECRET", "1", 1);
    start_kept("read x; echo \"$x.$FLO_TEST_SECRET.$PWD.\"; echo lost >&2; "
               "exit 7",
               &kept);
    assert_int_equal(write(kept.in, "ping\n", 5), 5);
    assert_string_equal(end_kept(&kept, &status), "ping../.\n");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    unsetenv("FLO_TEST_SECRET");
}

static void a_kept_programs_signal_is_told_by_its_status(void **state)
{
    struct kept kept;
    int status;
    (void)state;
    start_kept("kill -SEGV $$", &kept);
    assert_string_equal(end_kept(&kept, &status), "");
    assert_int_equal(WEXITSTATUS(status), 128 + SIGSEGV);
}

static void a_kept_program_that_cannot_start_is_an_error(void **state)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    char *const environment[] = {NULL};
    struct flo_err err = {0};
    pid_t pid = -1;
    (void)state;
    need_keepers();
    assert_int_equal(flo_process_spawn_kept(argv, environment, -1, -1, &pid, &err), FLO_E_PROCESS);
    assert_non_null(strstr(err.what, "No such file"));
    assert_int_equal(pid, -1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* One in the background, and one in a session of its own: the pipe ends when
 * both are gone. */
#define LEAVES_TWO "sleep 60 & setsid sleep 60 & echo up; "

static void what_a_kept_program_leaves_behind_ends_with_it(void **state)
{
    struct kept kept;
    int status;
    (void)state;
    start_kept(LEAVES_TWO "exit 3", &kept);
    assert_string_equal(end_kept(&kept, &status), "up\n");
    assert_int_equal(WEXITSTATUS(status), 3);
}

static void a_kept_program_ends_when_its_keeper_is_asked(void **state)
{
    struct kept kept;
    int status;
    char text[4];
    (void)state;
    start_kept("trap '' TERM; " LEAVES_TWO "sleep 60", &kept);
    assert_int_equal(read(kept.out, text, 3), 3);
    kill(kept.keeper, SIGTERM);
    assert_string_equal(end_kept(&kept, &status), "");
}

static void a_kept_program_ends_when_its_caller_is_killed(void **state)
{
    char text[4];
    int tell[2];
    (void)state;
    need_keepers();
    assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
    pid_t middle = fork();
    if (middle == 0) {
        struct kept kept;
        start_kept(LEAVES_TWO "sleep 60", &kept);
        /* It is up, and its end of the pipe goes to the test. */
        if (read(kept.out, text, 3) != 3 || dup2(kept.out, 9) < 0 ||
            write(tell[1], "up\n", 3) != 3) {
            _exit(1);
        }
        waits_hang();
    }
    close(tell[1]); /* the pipe ends with a middle that failed */
    assert_int_equal(read(tell[0], text, 3), 3);
    char path[64];
    snprintf(path, sizeof(path), "/proc/%ld/fd/9", (long)middle);
    int out = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(out >= 0);
    kill(middle, SIGKILL);
    wait_exit(middle);
    assert_int_equal(read(out, text, 1), 0);
    close(out);
    close(tell[0]);
}

static void memory_of_a_process_is_known_until_it_is_gone(void **state)
{
    const char *const argv[] = {"/bin/true", NULL};
    uint64_t rss = 0;
    uint64_t anonymous = 0;
    uint64_t peak = 0;
    pid_t pid = -1;
    (void)state;

    assert_true(flo_process_memory(getpid(), &rss, &anonymous, &peak));
    assert_true(rss > 4096 && anonymous > 4096 && anonymous <= rss);
    assert_true(peak >= rss);
    assert_true(flo_process_memory(getpid(), NULL, NULL, NULL));
    uint64_t pss = 0;
    assert_true(flo_process_pss(getpid(), &pss));
    /* It grows from look to look, and the kernel counts pages in batches. */
    assert_true(flo_process_memory(getpid(), NULL, NULL, &peak));
    assert_true(pss >= anonymous / 2 && pss <= 2 * peak);

    assert_int_equal(flo_process_spawn(argv, -1, &pid, NULL), 0);
    wait_exit(pid);
    assert_false(flo_process_memory(pid, &rss, NULL, NULL));
    assert_false(flo_process_pss(pid, &pss));
}

static pid_t start_shell(const char *script, int fd)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    pid_t pid = -1;

    assert_int_equal(flo_process_spawn(argv, fd, &pid, NULL), 0);
    return pid;
}

/* The times of children: emulators show a process no times of its own. */
static void work_of_a_process_is_told_from_waiting(void **state)
{
    uint64_t ms = 0;
    bool waits = true;
    int pair[2];
    (void)state;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid_t pid = start_shell("while :; do :; done", pair[1]);
    while (ms < 20) { /* as long as it takes */
        assert_true(flo_process_work(pid, &ms, &waits));
    }
    kill(pid, SIGKILL);
    wait_exit(pid);

    pid = start_shell("read x <&3", pair[1]);
    close(pair[1]);
    assert_true(flo_process_work(pid, &ms, &waits));
    assert_true(ms < 1000);
    close(pair[0]);
    wait_exit(pid);
    assert_false(flo_process_work(pid, &ms, &waits));
}

static void a_process_computes_where_another_did_and_is_let_go(void **state)
{
    cpu_set_t set, mine;
    int pair[2];
    (void)state;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
    pid_t pid = start_shell("read x <&3", pair[1]);
    close(pair[1]);
    if (flo_process_cpu_join(pid, getpid())) { /* some sandboxes refuse it */
        assert_int_equal(sched_getaffinity(pid, sizeof(set), &set), 0);
        assert_int_equal(CPU_COUNT(&set), 1);
        flo_process_cpu_leave(pid);
        assert_int_equal(sched_getaffinity(pid, sizeof(set), &set), 0);
        assert_true(CPU_EQUAL(&set, &mine));
    }
    close(pair[0]);
    wait_exit(pid);
    assert_false(flo_process_cpu_join(getpid(), pid));
}

static void a_sibling_stands_next_to_this_program_or_in_the_named_folder(void **state)
{
    char path[512];
    char small[4];
    (void)state;

    assert_true(flo_process_sibling("test_process", path, sizeof(path)));
    assert_int_equal(access(path, X_OK), 0);
    assert_int_equal(setenv("FLOTILLA_BIN", "/some/bin", 1), 0);
    assert_true(flo_process_sibling("no-such", path, sizeof(path)));
    assert_string_equal(path, "/some/bin/no-such");
    assert_false(flo_process_sibling("no-such", small, sizeof(small)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_talks_through_descriptor_three),
        cmocka_unit_test(other_descriptors_are_closed),
        cmocka_unit_test(a_descriptor_that_is_three_already_stays_open),
        cmocka_unit_test(signals_are_plain_in_the_child),
        cmocka_unit_test(a_bare_child_has_no_variable_that_is_not_named),
        cmocka_unit_test(a_child_gets_a_variable_that_we_do_not_have),
        cmocka_unit_test(a_program_that_cannot_start_is_an_error),
        cmocka_unit_test(a_child_dies_with_its_parent),
        cmocka_unit_test(a_kept_program_has_its_streams_and_its_environment_alone),
        cmocka_unit_test(a_kept_programs_signal_is_told_by_its_status),
        cmocka_unit_test(a_kept_program_that_cannot_start_is_an_error),
        cmocka_unit_test(what_a_kept_program_leaves_behind_ends_with_it),
        cmocka_unit_test(a_kept_program_ends_when_its_keeper_is_asked),
        cmocka_unit_test(a_kept_program_ends_when_its_caller_is_killed),
        cmocka_unit_test(memory_of_a_process_is_known_until_it_is_gone),
        cmocka_unit_test(work_of_a_process_is_told_from_waiting),
        cmocka_unit_test(a_process_computes_where_another_did_and_is_let_go),
        cmocka_unit_test(a_sibling_stands_next_to_this_program_or_in_the_named_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
