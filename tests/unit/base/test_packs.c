/* The cache of packed weights: bounded, ours alone, whole or not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/cfg.h>
#include <flotilla/errors/state.h>

#include "unit/waits.h"

static char folder[80], models[64];

static int begin_empty(void **state)
{
    (void)state;
    strcpy(models, "/tmp/flo-cache-XXXXXX");
    assert_non_null(mkdtemp(models));
    snprintf(folder, sizeof(folder), "%s/c", models);
    return 0;
}

static int clean_up(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", models);
    return system(command);
}

static int model(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", models, name);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(fd >= 0);
    return fd;
}

static struct flo_packs *cache_of(uint64_t bytes_max)
{
    struct flo_packs *cache = NULL;
    struct flo_err err = {0};
    if (flo_packs_open(folder, bytes_max, &cache, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return cache;
}

static void put(struct flo_packs *cache, int model_fd, uint64_t bytes)
{
    struct flo_err err = {0};
    int fd = -1;
    if (flo_packs_begin(cache, model_fd, bytes, &fd, &err) < 0 ||
        flo_packs_commit(cache, fd, model_fd, &err) < 0) {
        fail_msg("%s", err.what);
    }
    close(fd);
}

static bool has(struct flo_packs *cache, int model_fd)
{
    int fd = -1;
    int rv = flo_packs_find(cache, model_fd, &fd, NULL);
    flo_fd_cleanup(&fd);
    assert_true(rv == 0 || rv == FLO_E_ABSENT);
    return rv == 0;
}

static void what_was_made_is_found_until_the_model_changes(void **state)
{
    int fd = model("m");
    struct flo_packs *cache = cache_of(1 << 20);
    (void)state;
    assert_false(has(cache, fd));
    put(cache, fd, 1000);
    assert_true(has(cache, fd));
    flo_packs_close(cache);
    cache = cache_of(1 << 20);
    assert_true(has(cache, fd));
    assert_int_equal(write(fd, "x", 1), 1);
    assert_false(has(cache, fd));
    flo_packs_close(cache);
    close(fd);
}

static void a_model_that_changes_meanwhile_is_not_taken(void **state)
{
    int fd = model("m"), out = -1;
    struct flo_packs *cache = cache_of(1 << 20);
    (void)state;
    assert_int_equal(flo_packs_begin(cache, fd, 10, &out, NULL), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_string_equal(flo_error_id(flo_packs_commit(cache, out, fd, NULL)), "model.packed");
    assert_false(has(cache, fd));
    close(out);
    close(fd);
    flo_packs_close(cache);
}

/* A file that is written now is younger than those before. */
static bool is_later(void)
{
    static struct timespec before;
    struct stat now;
    int fd = model("clock");
    assert_int_equal(futimens(fd, NULL), 0);
    assert_int_equal(fstat(fd, &now), 0);
    close(fd);
    bool is_so = now.st_mtim.tv_sec != before.tv_sec || now.st_mtim.tv_nsec != before.tv_nsec;
    before = now.st_mtim;
    return is_so;
}

static void what_was_not_used_for_longest_goes(void **state)
{
    int fds[4];
    char name[8];
    struct flo_packs *cache = cache_of(3000);
    struct flo_err err = {0};
    int out = -1;
    (void)state;
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        fds[i] = model(name);
        if (i == 3) {
            assert_true(has(cache, fds[0])); /* used once more */
            WAIT_UNTIL(is_later());
        }
        put(cache, fds[i], 1000);
        (void)is_later();
        WAIT_UNTIL(is_later());
    }
    assert_true(has(cache, fds[0]));
    assert_false(has(cache, fds[1]));
    assert_true(has(cache, fds[2]));
    assert_true(has(cache, fds[3]));
    /* A file that never fits drives nothing out. */
    assert_int_equal(flo_packs_begin(cache, fds[1], 3001, &out, &err), FLO_E_DISK_FULL);
    assert_int_equal(flo_packs_begin(cache, fds[1], UINT64_MAX / 2, &out, &err), FLO_E_DISK_FULL);
    assert_true(has(cache, fds[0]));
    for (int i = 0; i < 4; i++) {
        close(fds[i]);
    }
    flo_packs_close(cache);
}

static void two_starts_do_not_pack_at_the_same_time(void **state)
{
    int fd = model("m"), one = -1, other = -1;
    struct flo_packs *first = cache_of(1 << 20), *second = cache_of(1 << 20);
    (void)state;
    assert_int_equal(flo_packs_begin(first, fd, 10, &one, NULL), 0);
    assert_int_equal(flo_packs_begin(second, fd, 10, &other, NULL), FLO_E_STATE_LOCKED);
    assert_int_equal(flo_packs_commit(first, one, fd, NULL), 0);
    assert_true(has(second, fd));
    put(second, fd, 10); /* and it is there already */
    close(one);
    close(fd);
    flo_packs_close(first);
    flo_packs_close(second);
}

static void a_kill_midway_leaves_nothing(void **state)
{
    int fd = model("m"), status;
    struct flo_packs *cache = cache_of(1 << 20);
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        int out = -1;
        struct flo_packs *own = cache_of(1 << 20);
        if (flo_packs_begin(own, fd, 1 << 19, &out, NULL) == 0) {
            raise(SIGKILL);
        }
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_false(has(cache, fd));
    put(cache, fd, 1 << 20); /* all of its room, and its lock */
    close(fd);
    flo_packs_close(cache);
}

static void a_folder_of_others_is_not_used(void **state)
{
    struct flo_packs *cache = NULL;
    struct flo_err err = {0};
    char other[128];
    (void)state;
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(flo_packs_open(folder, 1000, &cache, &err), FLO_E_CFG_PERM);
    assert_non_null(strstr(err.fix, "--no-pack"));
    snprintf(other, sizeof(other), "%s/link", models);
    assert_int_equal(chmod(folder, 0700), 0);
    assert_int_equal(symlink(folder, other), 0);
    assert_true(flo_packs_open(other, 1000, &cache, &err) < 0);
}

static void a_file_that_others_may_write_is_not_used(void **state)
{
    int fd = model("m"), out = -1;
    char command[256];
    struct flo_packs *cache = cache_of(1 << 20);
    (void)state;
    put(cache, fd, 10);
    snprintf(command, sizeof(command), "chmod 0666 %s/*", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(flo_packs_find(cache, fd, &out, NULL), FLO_E_CFG_PERM);
    snprintf(command, sizeof(command), "for f in %s/*; do rm $f; ln -s /etc/passwd $f; done",
             folder);
    assert_int_equal(system(command), 0);
    assert_true(flo_packs_find(cache, fd, &out, NULL) < 0);
    flo_packs_remove(cache, fd);
    assert_false(has(cache, fd));
    close(fd);
    flo_packs_close(cache);
}

static void the_folder_is_the_users_own(void **state)
{
    char out[256];
    (void)state;
    unsetenv("FLOTILLA_PACK_CACHE");
    setenv("XDG_CACHE_HOME", "/x", 1);
    setenv("HOME", "/h", 1);
    assert_int_equal(flo_packs_folder(out, sizeof(out), NULL), 0);
    assert_string_equal(out, "/x/flotilla/packed");
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_int_equal(flo_packs_folder(out, sizeof(out), NULL), 0);
    assert_string_equal(out, "/h/.cache/flotilla/packed");
    setenv("FLOTILLA_PACK_CACHE", "off", 1);
    assert_int_equal(flo_packs_folder(out, sizeof(out), NULL), 0);
    assert_string_equal(out, "");
    setenv("FLOTILLA_PACK_CACHE", "/p", 1);
    assert_int_equal(flo_packs_folder(out, sizeof(out), NULL), 0);
    assert_string_equal(out, "/p");
    unsetenv("FLOTILLA_PACK_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    assert_int_equal(flo_packs_folder(out, sizeof(out), NULL), FLO_E_ABSENT);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, begin_empty, clean_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(what_was_made_is_found_until_the_model_changes),
        FRESH(a_model_that_changes_meanwhile_is_not_taken),
        FRESH(what_was_not_used_for_longest_goes),
        FRESH(two_starts_do_not_pack_at_the_same_time),
        FRESH(a_kill_midway_leaves_nothing),
        FRESH(a_folder_of_others_is_not_used),
        FRESH(a_file_that_others_may_write_is_not_used),
        cmocka_unit_test(the_folder_is_the_users_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
