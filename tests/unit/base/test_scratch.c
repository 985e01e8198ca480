/* Scratch: who owns a folder, who removes it, and who may not be there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/scratch.h"

static char place[64], root[128];

static int begin(void **state)
{
    (void)state;
    strcpy(place, "/tmp/flo-scratch-XXXXXX");
    assert_non_null(mkdtemp(place));
    assert_int_equal(setenv("TMPDIR", place, 1), 0);
    snprintf(root, sizeof(root), "%s/flotilla-scratch-%u", place, (unsigned)geteuid());
    return 0;
}

/* Nothing but the place may be left. */
static int end(void **state)
{
    (void)state;
    assert_int_equal(rmdir(place), 0);
    return 0;
}

static bool is_there(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

static void put(const char *folder, const char *name)
{
    char path[1200];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void make(char path[FLO_SCRATCH_BYTES], int *lock)
{
    assert_int_equal(flo_scratch_folder(NULL, path, lock, NULL), 0);
}

/* Makes a folder with contents in a child, which then dies by SIGKILL. */
static void leave_dead(char path[FLO_SCRATCH_BYTES])
{
    char below[1200];
    int lock, ends[2], status;

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        make(path, &lock);
        snprintf(below, sizeof(below), "%s/deep", path);
        mkdir(below, 0700);
        put(below, "file");
        put(path, "model.gguf");
        _exit(write(ends[1], path, FLO_SCRATCH_BYTES) < 0 || raise(SIGKILL) != 0);
    }
    assert_int_equal(read(ends[0], path, FLO_SCRATCH_BYTES), FLO_SCRATCH_BYTES);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    close(ends[0]);
    close(ends[1]);
}

static void its_owner_removes_the_folder_and_the_root(void **state)
{
    char path[FLO_SCRATCH_BYTES];
    struct stat st;
    int lock = -1;

    (void)state;
    make(path, &lock);
    put(path, "file");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    flo_scratch_remove(path);
    close(lock);
    assert_false(is_there(root));
}

static void the_next_start_removes_those_of_the_dead_and_of_nobody_else(void **state)
{
    char dead[FLO_SCRATCH_BYTES], alive[FLO_SCRATCH_BYTES];
    int lock = -1;

    (void)state;
    make(alive, &lock);
    leave_dead(dead);
    assert_true(is_there(dead));
    flo_scratch_clear();
    assert_false(is_there(dead));
    assert_true(is_there(alive));
    flo_scratch_remove(alive);
    close(lock);
    leave_dead(dead);
    flo_scratch_clear();
    assert_false(is_there(root));
}

static void a_fork_that_has_the_lock_keeps_the_folder(void **state)
{
    char path[FLO_SCRATCH_BYTES];
    int lock = -1, ends[2];
    char byte;

    (void)state;
    make(path, &lock);
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        _exit((int)read(ends[0], &byte, 1));
    }
    close(ends[0]);
    close(lock);
    flo_scratch_clear();
    assert_true(is_there(path));
    close(ends[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    flo_scratch_clear();
    assert_false(is_there(root));
}

static void a_link_in_place_of_the_root_is_refused(void **state)
{
    char path[FLO_SCRATCH_BYTES], victim[100];
    struct flo_err err = {0};
    int lock = -1;

    (void)state;
    snprintf(victim, sizeof(victim), "%s/victim", place);
    assert_int_equal(mkdir(victim, 0700), 0);
    put(victim, "file");
    assert_int_equal(symlink(victim, root), 0);
    assert_int_equal(flo_scratch_folder(NULL, path, &lock, &err), FLO_E_IO_WRITE);
    assert_string_equal(path, "");
    flo_scratch_clear();
    assert_int_equal(unlink(root), 0);
    strcat(victim, "/file");
    assert_int_equal(unlink(victim), 0);
    *strrchr(victim, '/') = '\0';
    assert_int_equal(rmdir(victim), 0);
}

static void a_link_in_a_folder_is_removed_and_not_followed(void **state)
{
    char path[FLO_SCRATCH_BYTES], link[1200], victim[100];
    int lock = -1;

    (void)state;
    snprintf(victim, sizeof(victim), "%s/victim", place);
    assert_int_equal(mkdir(victim, 0700), 0);
    put(victim, "file");
    make(path, &lock);
    snprintf(link, sizeof(link), "%s/link", path);
    assert_int_equal(symlink(victim, link), 0);
    flo_scratch_remove(path);
    close(lock);
    strcat(victim, "/file");
    assert_int_equal(unlink(victim), 0);
    *strrchr(victim, '/') = '\0';
    assert_int_equal(rmdir(victim), 0);
}

static void a_root_that_others_may_write_is_refused_and_left_alone(void **state)
{
    char path[FLO_SCRATCH_BYTES], theirs[160];
    struct flo_err err = {0};
    int lock = -1;

    (void)state;
    assert_int_equal(mkdir(root, 0700), 0);
    assert_int_equal(chmod(root, 0777), 0);
    put(root, "theirs");
    assert_int_equal(flo_scratch_folder(NULL, path, &lock, &err), FLO_E_IO_WRITE);
    assert_non_null(strstr(err.fix, "TMPDIR"));
    flo_scratch_clear();
    snprintf(theirs, sizeof(theirs), "%s/theirs", root);
    assert_int_equal(chmod(root, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(root, 65534, 65534), 0);
        assert_int_equal(flo_scratch_folder(NULL, path, &lock, &err), FLO_E_IO_WRITE);
        flo_scratch_clear();
    }
    assert_true(is_there(theirs));
    assert_int_equal(unlink(theirs), 0);
    assert_int_equal(rmdir(root), 0);
}

static void a_file_that_finds_no_room_leaves_nothing(void **state)
{
    const struct rlimit none = {0, RLIM_INFINITY};
    struct rlimit before;
    char path[128];
    int fd = -1;

    (void)state;
    snprintf(path, sizeof(path), "%s/out", place);
    assert_int_equal(flo_scratch_file(NULL, &fd, NULL), 0);
    close(fd);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    int rv = flo_file_write(path, "text", 4, 0600, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(rv, FLO_E_IO_WRITE);
    assert_false(is_there(path));
}

static void an_output_replaces_the_old_file_when_it_is_whole(void **state)
{
    char path[128], text[8] = "";
    int fd = -1;

    (void)state;
    snprintf(path, sizeof(path), "%s/out", place);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(flo_output_open(path, &fd, NULL), 0);
        assert_int_equal(write(fd, i == 0 ? "old" : "new", 3), 3);
        assert_int_equal(is_there(path), i == 1);
        assert_int_equal(flo_output_commit(fd, path, NULL), 0);
        close(fd);
    }
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof(text)), 3);
    close(fd);
    assert_string_equal(text, "new");
    assert_int_equal(unlink(path), 0);
}

static void a_signal_removes_the_folder_and_says_how_to_go_on(void **state)
{
    char path[FLO_SCRATCH_BYTES], said[64] = "";
    int ends[2], status;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        flo_interrupt_text("go on\n");
        _exit(flo_interrupt_folder(path, NULL) == 0 ? raise(SIGTERM) : 1);
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(read(ends[0], said, sizeof(said)), 6);
    assert_string_equal(said, "go on\n");
    close(ends[0]);
    assert_false(is_there(root));
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(its_owner_removes_the_folder_and_the_root),
        T(the_next_start_removes_those_of_the_dead_and_of_nobody_else),
        T(a_fork_that_has_the_lock_keeps_the_folder),
        T(a_link_in_place_of_the_root_is_refused),
        T(a_link_in_a_folder_is_removed_and_not_followed),
        T(a_root_that_others_may_write_is_refused_and_left_alone),
        T(a_file_that_finds_no_room_leaves_nothing),
        T(an_output_replaces_the_old_file_when_it_is_whole),
        T(a_signal_removes_the_folder_and_says_how_to_go_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
