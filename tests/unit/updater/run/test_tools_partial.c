/* The file of `delta apply --partial` may be anything: of another patch, torn,
 * too long, bent, somebody else's, a link, a folder, an input.  The result is
 * the right file, or an error that leaves every other file as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/base.h>

#include "base/host/digest.h"
#include "tools_world.h"

#define THIRD "tests/models/tiny-v1.Q4_0.gguf"
#define APPLY "delta apply " OLD " $D/p $D/n --partial $D/part"

static char *path_in(const struct tools_world *world, const char *name)
{
    static char path[4][320];
    static unsigned turn;
    char *out = path[turn++ % 4];

    snprintf(out, sizeof path[0], "%s/%s", world->dir, name);
    return out;
}

static struct flo_digest digest_of(const char *path)
{
    struct flo_digest digest;

    assert_int_equal(flo_sha256_file(path, &digest, NULL, NULL), 0);
    return digest;
}

static void assert_same(const char *one, const char *other)
{
    struct flo_digest a = digest_of(one);
    struct flo_digest b = digest_of(other);

    assert_memory_equal(&a, &b, sizeof a);
}

static size_t names_in(const char *dir)
{
    DIR *folder = opendir(dir);
    size_t count = 0;

    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    closedir(folder);
    return count - 2; /* "." and ".." */
}

static int begin(void **state)
{
    int rv = tools_set_up(state);
    struct tools_world *world = *state;

    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/p --codec tensor"), 0);
    return rv;
}

static void put(const struct tools_world *world, const char *data, size_t bytes)
{
    assert_int_equal(flo_file_write(path_in(world, "part"), data, bytes, 0644, NULL), 0);
}

/* It becomes the right file, and its own name is gone. */
static void expect_made(struct tools_world *world)
{
    if (tools_run(world, APPLY) != 0) {
        fail_msg("%s", world->output);
    }
    assert_same(path_in(world, "n"), NEW);
    assert_int_equal(names_in(world->dir), 2); /* p, n */
    assert_int_equal(unlink(path_in(world, "n")), 0);
}

static void whatever_stands_in_it_the_right_file_comes_out(void **state)
{
    struct tools_world *world = *state;
    char *new = NULL, *other = NULL;
    size_t bytes = 0, other_bytes = 0;

    assert_int_equal(flo_file_read(NEW, 1 << 23, &new, &bytes, NULL), 0);
    assert_int_equal(flo_file_read(THIRD, 1 << 23, &other, &other_bytes, NULL), 0);
    const size_t lengths[] = {0, 1, 4095, bytes / 2, bytes - 1, bytes};
    for (size_t i = 0; i < FLO_COUNT(lengths); i++) {
        put(world, new, lengths[i]);
        expect_made(world);
        put(world, other, /* of another patch */
            lengths[i] < other_bytes ? lengths[i] : other_bytes);
        expect_made(world);
    }
    const size_t bits[] = {0, 100 * 8, bytes / 2 * 8 + 3, bytes * 8 - 1};
    for (size_t i = 0; i < FLO_COUNT(bits); i++) {
        new[bits[i] / 8] ^= (char)(1 << bits[i] % 8);
        put(world, new, bytes);
        expect_made(world);
        put(world, new, bytes - 1000);
        expect_made(world);
        new[bits[i] / 8] ^= (char)(1 << bits[i] % 8);
    }
    memset(new + bytes - 5000, 0, 5000); /* a torn tail */
    put(world, new, bytes);
    expect_made(world);
    free(new);
    free(other);
}

static void a_longer_one_is_cut(void **state)
{
    struct tools_world *world = *state;
    char *new = NULL;
    size_t bytes = 0;

    assert_int_equal(flo_file_read(NEW, 1 << 23, &new, &bytes, NULL), 0);
    char *more = realloc(new, bytes + 3000);
    memset(more + bytes, 7, 3000);
    put(world, more, bytes + 3000);
    expect_made(world);
    put(world, "", 0);
    assert_int_equal(truncate(path_in(world, "part"), (off_t)1 << 40), 0);
    expect_made(world);
    free(more);
}

static void a_patch_that_is_refused_leaves_it_as_it_was(void **state)
{
    struct tools_world *world = *state;

    put(world, "somebody's notes", 16);
    assert_int_equal(tools_run(world, "delta apply " NEW " $D/p $D/n --partial "
                                      "$D/part"),
                     FLO_EXIT_VERIFY);
    assert_true(tools_says(world, "error[patch.base_mismatch]"));
    assert_false(tools_has(world, "n"));
    struct stat facts;
    assert_int_equal(stat(path_in(world, "part"), &facts), 0);
    assert_int_equal(facts.st_size, 16);
    assert_int_equal(names_in(world->dir), 2); /* p, part */
}

static void a_link_is_refused_and_its_file_stays(void **state)
{
    struct tools_world *world = *state;

    assert_int_equal(flo_file_write(path_in(world, "precious"), "precious", 8, 0644, NULL), 0);
    struct flo_digest before = digest_of(path_in(world, "precious"));
    assert_int_equal(symlink("precious", path_in(world, "part")), 0);
    assert_int_equal(tools_run(world, APPLY), FLO_EXIT_OTHER);
    assert_true(tools_says(world, "error[io.symlink]"));
    struct flo_digest after = digest_of(path_in(world, "precious"));
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(unlink(path_in(world, "part")), 0);
    /* One to nowhere makes no file there. */
    assert_int_equal(symlink("nowhere", path_in(world, "part")), 0);
    assert_int_equal(tools_run(world, APPLY), FLO_EXIT_OTHER);
    assert_false(tools_has(world, "nowhere"));
    assert_false(tools_has(world, "n"));
}

static void an_input_is_not_taken_for_it(void **state)
{
    struct tools_world *world = *state;
    struct flo_digest patch = digest_of(path_in(world, "p"));

    assert_int_equal(tools_run(world, "delta apply " OLD " $D/p $D/n --partial "
                                      "$D/p"),
                     FLO_EXIT_USAGE);
    assert_true(tools_says(world, "written over a file that is read"));
    struct flo_digest after = digest_of(path_in(world, "p"));
    assert_memory_equal(&patch, &after, sizeof patch);

    char *old = NULL;
    size_t bytes = 0;
    assert_int_equal(flo_file_read(OLD, 1 << 23, &old, &bytes, NULL), 0);
    assert_int_equal(flo_file_write(path_in(world, "old"), old, bytes, 0644, NULL), 0);
    assert_int_equal(link(path_in(world, "old"), path_in(world, "part")), 0);
    assert_int_equal(tools_run(world, "delta apply $D/old $D/p $D/n --partial "
                                      "$D/part"),
                     FLO_EXIT_USAGE);
    assert_same(path_in(world, "old"), OLD);
    free(old);
}

static void what_is_no_file_is_refused(void **state)
{
    struct tools_world *world = *state;
    struct stat facts;

    assert_int_equal(mkdir(path_in(world, "part"), 0755), 0);
    assert_int_equal(tools_run(world, APPLY), FLO_EXIT_OTHER);
    assert_true(tools_says(world, "error[io.open]"));
    assert_int_equal(rmdir(path_in(world, "part")), 0);
    assert_int_equal(mkfifo(path_in(world, "part"), 0600), 0);
    assert_int_equal(tools_run(world, APPLY), FLO_EXIT_OTHER);
    assert_true(tools_says(world, "is no regular file"));
    assert_int_equal(lstat(path_in(world, "part"), &facts), 0);
    assert_true(S_ISFIFO(facts.st_mode));
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/p $D/n --partial "
                                      "/dev/null"),
                     FLO_EXIT_OTHER);
    assert_int_equal(lstat("/dev/null", &facts), 0);
    assert_true(S_ISCHR(facts.st_mode));
    assert_false(tools_has(world, "n"));
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/p $D/n --partial "
                                      "$D/none/part"),
                     FLO_EXIT_OTHER);
    assert_int_equal(names_in(world->dir), 2); /* p, part */
}

/* Only root can give a file away; everybody else has nothing to test. */
static void a_file_of_somebody_else_is_refused(void **state)
{
    struct tools_world *world = *state;
    int status = 0;

    if (geteuid() != 0) {
        skip();
    }
    put(world, "theirs", 6);
    assert_int_equal(chmod(path_in(world, "part"), 0644), 0);
    assert_int_equal(chmod(world->dir, 0777), 0);
    assert_int_equal(chmod(path_in(world, "p"), 0644), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (setgid(65534) != 0 || setuid(65534) != 0) {
            _exit(77);
        }
        if (access(world->program, X_OK) != 0 || access(OLD, R_OK) != 0) {
            _exit(77); /* the tree is in a home that is closed to them */
        }
        int rv = tools_run(world, APPLY);
        _exit(rv == FLO_EXIT_OTHER && tools_says(world, "error[io.open]") ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
    struct stat facts;
    assert_int_equal(stat(path_in(world, "part"), &facts), 0);
    assert_int_equal(facts.st_size, 6);
    assert_false(tools_has(world, "n"));
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, begin, tools_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(whatever_stands_in_it_the_right_file_comes_out),
        in_world(a_longer_one_is_cut),
        in_world(a_patch_that_is_refused_leaves_it_as_it_was),
        in_world(a_link_is_refused_and_its_file_stays),
        in_world(an_input_is_not_taken_for_it),
        in_world(what_is_no_file_is_refused),
        in_world(a_file_of_somebody_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
