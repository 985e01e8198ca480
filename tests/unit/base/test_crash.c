/* The note of a process that a signal ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crash.h"

static char folder[] = "/tmp/flo-crash-XXXXXX";
static char note[64];

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(note, sizeof(note), "%s/crash.note", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Calls itself until its stack is full. */
static volatile bool falls = true;
static int fall(volatile char *above)
{
    volatile char room[4096];

    room[0] = above != NULL ? above[0] : 0;
    return falls ? fall(room) + room[0] : 0;
}

static void say_and_end(const char *what, int number)
{
    const struct rlimit no_core = {0};

    setrlimit(RLIMIT_CORE, &no_core);
    flo_crash_open(note);
    flo_crash_doing("1f2e ada", "PUT", "/v1/x", "{\n\"a\":1}\x01rest", 13);
    if (what == NULL) {
        flo_crash_done();
    } else if (strcmp(what, "stack") == 0) {
        fall(NULL);
    }
    raise(number);
}

static void ended(const char *what, int number, struct flo_crash *out)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        say_and_end(what, number);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), number);
    assert_true(flo_crash_read(note, out));
    assert_int_equal(unlink(note), 0);
}

static void it_says_who_asked_for_what(void **state)
{
    struct flo_crash crash;

    (void)state;
    ended("", SIGABRT, &crash);
    assert_string_equal(crash.signal, "SIGABRT");
    assert_false(crash.is_after);
    assert_string_equal(crash.who, "1f2e ada");
    assert_string_equal(crash.what, "PUT /v1/x");
    assert_string_equal(crash.text, "{?\"a\":1}?rest");
}

static void nothing_was_done_any_more(void **state)
{
    struct flo_crash crash;

    (void)state;
    ended(NULL, SIGBUS, &crash);
    assert_string_equal(crash.signal, "SIGBUS");
    assert_true(crash.is_after);
    assert_string_equal(crash.what, "PUT /v1/x");
}

static void the_stack_was_full(void **state)
{
    struct flo_crash crash;

    (void)state;
    ended("stack", SIGSEGV, &crash);
    assert_string_equal(crash.signal, "SIGSEGV");
    assert_string_equal(crash.who, "1f2e ada");
}

static void a_long_text_is_cut(void **state)
{
    char text[4096];
    struct flo_crash crash;
    pid_t child = fork();

    (void)state;
    assert_true(child >= 0);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    if (child == 0) {
        const struct rlimit no_core = {0};
        setrlimit(RLIMIT_CORE, &no_core);
        flo_crash_open(note);
        flo_crash_doing(text, "DELETE", text, text, sizeof(text));
        abort();
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_true(flo_crash_read(note, &crash));
    assert_int_equal(strlen(crash.who), FLO_CRASH_WHO - 1);
    assert_memory_equal(crash.what, "DELETE x", 8);
    assert_int_equal(strlen(crash.text), FLO_CRASH_TEXT - 1);
    assert_int_equal(unlink(note), 0);
    assert_false(flo_crash_read(note, &crash));
}

/* There the sanitizer tells how a process ended. */
static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return true;
#endif
#endif
    return false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_who_asked_for_what),
        cmocka_unit_test(nothing_was_done_any_more),
        cmocka_unit_test(the_stack_was_full),
        cmocka_unit_test(a_long_text_is_cut),
    };
    if (is_sanitized()) {
        return 0;
    }
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
