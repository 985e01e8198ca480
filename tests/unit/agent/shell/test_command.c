/* Hooks: programs of the device that may do anything. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cmocka.h>
#include <event2/event.h>

#include "agent/shell/hooks/hooks.h"
#include "unit/waits.h"

#define NONE (-2)

static struct event_base *base;
static struct flo_command *command;
static int status;
static char words[512];

static void on_done(void *context, int ended, const char *last)
{
    (void)context;
    status = ended;
    snprintf(words, sizeof(words), "%s", last);
    command = NULL;
    event_base_loopbreak(base);
}

static void start(const char *code, uint64_t ms_max)
{
    const char *const argv[] = {"/bin/sh", "-c", code, NULL};
    char path[] = "PATH=/usr/bin:/bin";
    char *const environment[] = {path, NULL};
    const struct flo_command_spec spec = {
        .argv = argv, .environment = environment, .ms_max = ms_max, .done = on_done};
    struct flo_err err = {0};

    status = NONE;
    words[0] = '\0';
    assert_int_equal(flo_command_start(base, &spec, &command, &err), 0);
}

static void a_hook_is_told_with_its_last_words(void **state)
{
    (void)state;
    start("echo first; echo last >&2; exit 3", WAITS_HANG_MS);
    event_base_dispatch(base);
    assert_int_equal(status, 3);
    assert_non_null(strstr(words, "last"));
    start("kill -9 $$", WAITS_HANG_MS);
    event_base_dispatch(base);
    assert_int_equal(status, 128 + SIGKILL);
}

/* It waits where its words are not read as fast as it writes them. */
static void a_hook_of_many_words_is_not_failed_by_them(void **state)
{
    (void)state;
    start("head -c 1000000 /dev/zero | tr '\\0' x && echo whole", WAITS_HANG_MS);
    event_base_dispatch(base);
    assert_int_equal(status, 0);
    assert_non_null(strstr(words, "whole"));
}

/* The loop goes on meanwhile: else its limit would never come. */
static void a_hook_without_an_end_of_words_is_ended(void **state)
{
    (void)state;
    start("/bin/cat /dev/zero & exec /bin/cat /dev/zero", 300);
    event_base_dispatch(base);
    assert_int_equal(status, FLO_COMMAND_LATE);
}

static void a_hook_leaves_a_child_that_holds_its_output(void **state)
{
    (void)state;
    start("/bin/sleep 100000 & echo $!", WAITS_HANG_MS);
    event_base_dispatch(base);
    assert_int_equal(status, 0);
    pid_t child = (pid_t)strtol(words, NULL, 10);
    assert_true(child > 1);
    assert_int_equal(kill(child, SIGKILL), 0); /* it was still there */
}

/* Kernels before 5.11 refuse close_range with that flag. */
static bool become_older(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    const struct sock_fprog program = {FLO_COUNT(code), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The last one: what became older stays so. */
static void a_hook_has_no_descriptor_of_ours(void **state)
{
    char code[64];

    (void)state;
    int fd = open("/dev/null", O_RDONLY); /* not closed by exec */
    assert_true(fd > 2);
    snprintf(code, sizeof(code), "test ! -e /proc/self/fd/%d", fd);
    start(code, WAITS_HANG_MS);
    event_base_dispatch(base);
    assert_int_equal(status, 0);
    if (become_older()) {
        start(code, WAITS_HANG_MS);
        event_base_dispatch(base);
        assert_int_equal(status, 0);
    }
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    base = event_base_new();
    return base == NULL;
}

static int tear_down(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hook_is_told_with_its_last_words),
        cmocka_unit_test(a_hook_of_many_words_is_not_failed_by_them),
        cmocka_unit_test(a_hook_without_an_end_of_words_is_ended),
        cmocka_unit_test(a_hook_leaves_a_child_that_holds_its_output),
        cmocka_unit_test(a_hook_has_no_descriptor_of_ours),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
