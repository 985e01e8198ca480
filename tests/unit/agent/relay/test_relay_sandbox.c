/* The sandbox of the relay, from the inside: what a hostile server that took it
 * over would try, and the files that it still reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/relay/relay.h"
#include "unit/escapes.h"
#include "unit/remove_tree.h"

#define SEEN_KEY 1
#define SEEN_NEW 2
#define SEEN_OTHER 4

static int enter(void *context)
{
    return relay_sandbox_enter(context, NULL) == 0 ? 1 : -1;
}

static void need_a_sandbox(void)
{
    if (!flo_sandbox_is_built() || flo_sandbox_lacks() != NULL) {
        print_message("no sandbox in this build or kernel: skipped\n");
        skip();
    }
}

static void nothing_leaves_the_relay(void **state)
{
    struct relay_settings settings = {.sessions = 1};

    (void)state;
    need_a_sandbox();
    assert_int_equal(escapes_try(FROM_SHARE, enter, &settings), 0);
    assert_int_equal(rights_left(enter, &settings), 0);
}

static void write_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    close(fd);
}

static int can_open(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC) >= 0;
}

/* A file that is renamed to the key's place, as its owner replaces it. */
static void a_new_key_is_read_and_nothing_else(void **state)
{
    char dir[] = "/tmp/flo-relay-XXXXXX", folder[64], key[96], other[64];
    struct relay_settings settings = {.sessions = 1, .key_file = key};
    int pair[2], status = 0;

    (void)state;
    need_a_sandbox();
    assert_non_null(mkdtemp(dir));
    snprintf(folder, sizeof(folder), "%s/keys", dir);
    snprintf(key, sizeof(key), "%s/key", folder);
    snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(mkdir(folder, 0700), 0);
    write_file(key);
    write_file(other);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);

    pid_t pid = fork();
    if (pid == 0) {
        char word;
        int seen = enter(&settings) == 1 && can_open(key, O_RDONLY) ? SEEN_KEY : 0;
        bool is_told = write(pair[1], "e", 1) == 1 && read(pair[1], &word, 1) == 1;
        seen |= is_told && can_open(key, O_RDONLY) ? SEEN_NEW : 0;
        seen |= can_open(other, O_RDONLY) || can_open(key, O_RDWR) ? SEEN_OTHER : 0;
        _exit(seen);
    }
    char word;
    assert_int_equal(read(pair[0], &word, 1), 1);
    char made[128];
    snprintf(made, sizeof(made), "%s.new", key);
    write_file(made);
    assert_int_equal(rename(made, key), 0);
    assert_int_equal(write(pair[0], "g", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), SEEN_KEY | SEEN_NEW);
    close(pair[0]);
    close(pair[1]);
    assert_int_equal(remove_tree(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_leaves_the_relay),
        cmocka_unit_test(a_new_key_is_read_and_nothing_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
