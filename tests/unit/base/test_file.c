/* Files: bounds, atomic writes, no way through symbolic links. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/core.h>
#include <flotilla/errors/io.h>

#include "unit/remove_tree.h"

struct folder {
    char path[64];
    int fd;
};

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof(*folder));
    snprintf(folder->path, sizeof(folder->path), "/tmp/flo-file-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY);
    assert_true(folder->fd >= 0);
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *folder = *state;
    close(folder->fd);
    int rv = remove_tree(folder->path);
    free(folder);
    return rv;
}

static const char *path_in(const struct folder *folder, const char *name)
{
    static char path[2][300];
    static unsigned turn;
    turn++;
    assert_true(flo_path_join(path[turn % 2], sizeof(path[0]), folder->path, name));
    return path[turn % 2];
}

static size_t entry_count(const struct folder *folder)
{
    DIR *dir = opendir(folder->path);
    size_t count = 0;
    while (readdir(dir) != NULL) {
        count++;
    }
    closedir(dir);
    return count - 2;
}

static void what_was_written_is_read(void **state)
{
    struct folder *folder = *state;
    const char *path = path_in(folder, "a");
    char *data = NULL;
    size_t bytes = 0;
    struct stat st;

    assert_int_equal(flo_file_write(path, "one\0two", 7, 0640, NULL), 0);
    assert_int_equal(flo_file_read(path, 7, &data, &bytes, NULL), 0);

    assert_int_equal(bytes, 7);
    assert_memory_equal(data, "one\0two", 8);
    free(data);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(entry_count(folder), 1);
}

static void a_file_above_its_limit_is_refused(void **state)
{
    struct folder *folder = *state;
    const char *path = path_in(folder, "a");
    char *data = NULL;
    size_t bytes = 0;
    struct flo_err err = {0};

    assert_int_equal(flo_file_write(path, "12345678", 8, 0600, NULL), 0);

    assert_int_equal(flo_file_read(path, 7, &data, &bytes, &err), FLO_E_META_TOO_LARGE);
    assert_null(data);
    /* Files of /proc say size 0 and are long. */
    assert_int_equal(flo_file_read("/proc/self/status", 16, &data, &bytes, &err),
                     FLO_E_META_TOO_LARGE);
    assert_int_equal(flo_file_read("/proc/self/status", 1 << 20, &data, &bytes, &err), 0);
    assert_true(bytes > 100);
    free(data);
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
    struct folder *folder = *state;
    const char *fifo = path_in(folder, "fifo");
    char *data = NULL;
    size_t bytes;

    assert_int_equal(mkfifo(fifo, 0600), 0);

    assert_int_equal(flo_file_read(fifo, 10, &data, &bytes, NULL), FLO_E_IO_OPEN);
    assert_int_equal(flo_file_read("/dev/zero", 10, &data, &bytes, NULL), FLO_E_IO_OPEN);
    assert_int_equal(flo_file_read(folder->path, 10, &data, &bytes, NULL), FLO_E_IO_OPEN);
    assert_int_equal(flo_file_read(path_in(folder, "none"), 10, &data, &bytes, NULL), FLO_E_ABSENT);
}

static void a_write_that_fails_keeps_the_old_content(void **state)
{
    struct folder *folder = *state;
    const char *path = path_in(folder, "a");
    char *big = calloc(1, 100000);
    char *data = NULL;
    size_t bytes = 0;
    struct flo_err err = {0};
    struct rlimit before;
    assert_int_equal(flo_file_write(path, "old", 3, 0600, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {.rlim_cur = 50000, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);

    /* The write tears in the middle. */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rv = flo_file_write(path, big, 100000, 0600, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

    assert_int_equal(rv, FLO_E_IO_WRITE);
    assert_int_equal(flo_file_read(path, 10, &data, &bytes, NULL), 0);
    assert_string_equal(data, "old");
    assert_int_equal(entry_count(folder), 1);
    free(data);
    free(big);
}

static void a_reader_sees_the_old_or_the_new_and_never_a_mix(void **state)
{
    struct folder *folder = *state;
    char path[300];
    enum { BYTES = 65536, ROUNDS = 200 };
    char *block = malloc(BYTES);
    snprintf(path, sizeof(path), "%s", path_in(folder, "a"));
    memset(block, 'a', BYTES);
    assert_int_equal(flo_file_write(path, block, BYTES, 0600, NULL), 0);

    pid_t writer = fork();
    if (writer == 0) {
        for (int i = 0; i < ROUNDS; i++) {
            memset(block, 'a' + i % 26, BYTES);
            if (flo_file_write(path, block, BYTES, 0600, NULL) < 0) {
                _exit(1);
            }
        }
        _exit(0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        char *data = NULL;
        size_t bytes = 0;
        assert_int_equal(flo_file_read(path, BYTES, &data, &bytes, NULL), 0);
        assert_int_equal(bytes, BYTES);
        memset(block, data[0], BYTES);
        assert_memory_equal(data, block, BYTES);
        free(data);
    }
    int status = -1;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_int_equal(status, 0);
    free(block);
}

/* Each writer fills the file with its own letter; nobody's is lost in a mix, and
 * nothing else is left. */
static void writers_at_the_same_moment_leave_one_whole_file(void **state)
{
    struct folder *folder = *state;
    enum { BYTES = 4096, ROUNDS = 200, WRITERS = 4 };
    char path[300], block[BYTES];
    char *data = NULL;
    size_t bytes = 0;
    pid_t writers[WRITERS];
    snprintf(path, sizeof(path), "%s", path_in(folder, "a"));

    for (int i = 0; i < WRITERS; i++) {
        writers[i] = fork();
        if (writers[i] == 0) {
            memset(block, 'a' + i, BYTES);
            for (int round = 0; round < ROUNDS; round++) {
                if (flo_file_write(path, block, BYTES, 0600, NULL) < 0) {
                    _exit(1);
                }
            }
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = -1;
        assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(flo_file_read(path, BYTES, &data, &bytes, NULL), 0);
    assert_int_equal(bytes, BYTES);
    memset(block, data[0], BYTES);
    assert_memory_equal(data, block, BYTES);
    assert_int_equal(entry_count(folder), 1);
    free(data);
}

static void the_next_write_removes_what_a_killed_one_left(void **state)
{
    struct folder *folder = *state;
    const char *path = path_in(folder, "a");
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(flo_file_write(path, "old", 3, 0600, NULL), 0);
    close(open(path_in(folder, "a.tmp-new"), O_WRONLY | O_CREAT, 0400));

    assert_int_equal(flo_file_write(path, "new", 3, 0600, NULL), 0);

    assert_int_equal(flo_file_read(path, 10, &data, &bytes, NULL), 0);
    assert_string_equal(data, "new");
    assert_int_equal(entry_count(folder), 1);
    free(data);
}

static void of_two_new_files_at_the_same_moment_one_wins(void **state)
{
    struct folder *folder = *state;
    char path[300];
    int ends[2], status;
    snprintf(path, sizeof(path), "%s", path_in(folder, "a"));

    for (int round = 0; round < 100; round++) {
        pid_t writers[2];
        unsigned wins = 0;
        char *data = NULL;
        size_t bytes = 0;
        char winner = 0;
        assert_int_equal(pipe(ends), 0);
        for (int i = 0; i < 2; i++) {
            writers[i] = fork();
            if (writers[i] == 0) {
                char go;
                close(ends[1]);
                (void)!read(ends[0], &go, 1); /* both begin when the pipe ends */
                int rv = flo_file_write_new(path, i == 0 ? "a" : "b", 1, 0600, NULL);
                _exit(rv == 0 ? 0 : rv == FLO_E_STATE ? 2 : 1);
            }
        }
        close(ends[0]);
        close(ends[1]);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(waitpid(writers[i], &status, 0), writers[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
            wins += WEXITSTATUS(status) == 0;
            winner = WEXITSTATUS(status) == 0 ? (char)('a' + i) : winner;
        }
        assert_int_equal(wins, 1);
        assert_int_equal(flo_file_read(path, 10, &data, &bytes, NULL), 0);
        assert_int_equal(data[0], winner);
        assert_int_equal(entry_count(folder), 1);
        free(data);
        assert_int_equal(unlink(path), 0);
    }
}

static void a_write_into_a_missing_folder_is_refused(void **state)
{
    struct folder *folder = *state;

    assert_int_equal(flo_file_write(path_in(folder, "no/a"), "x", 1, 0600, NULL), FLO_E_ABSENT);
}

static void symbolic_links_lead_nowhere(void **state)
{
    struct folder *folder = *state;
    int fd = -1;
    assert_int_equal(mkdirat(folder->fd, "sub", 0700), 0);
    assert_int_equal(symlinkat("sub", folder->fd, "link"), 0);
    assert_int_equal(symlinkat("/etc/passwd", folder->fd, "sub/out"), 0);
    assert_int_equal(flo_file_write(path_in(folder, "sub/a"), "x", 1, 0600, NULL), 0);

    assert_int_equal(flo_file_open_beneath(folder->fd, "sub/a", O_RDONLY, 0, &fd, NULL), 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    fd = -1;
    assert_int_equal(flo_file_open_beneath(folder->fd, "link/a", O_RDONLY, 0, &fd, NULL),
                     FLO_E_IO_SYMLINK);
    assert_int_equal(flo_file_open_beneath(folder->fd, "sub/out", O_RDONLY, 0, &fd, NULL),
                     FLO_E_IO_SYMLINK);
    assert_int_equal(flo_file_open_beneath(folder->fd, "../x", O_RDONLY, 0, &fd, NULL),
                     FLO_E_IO_OPEN);
    assert_int_equal(flo_file_open_beneath(folder->fd, "/etc/passwd", O_RDONLY, 0, &fd, NULL),
                     FLO_E_IO_OPEN);
    assert_int_equal(flo_file_open_beneath(folder->fd, "sub/none", O_RDONLY, 0, &fd, NULL),
                     FLO_E_ABSENT);
    assert_int_equal(fd, -1);
    assert_int_equal(
        flo_file_open_beneath(folder->fd, "sub/new", O_CREAT | O_EXCL | O_RDWR, 0600, &fd, NULL),
        0);
    close(fd);
}

static void a_read_beyond_the_end_is_an_error(void **state)
{
    struct folder *folder = *state;
    char room[8];
    int fd = -1;
    assert_int_equal(flo_file_write(path_in(folder, "a"), "12345678", 8, 0600, NULL), 0);
    assert_int_equal(flo_file_open_beneath(folder->fd, "a", O_RDONLY, 0, &fd, NULL), 0);

    assert_int_equal(flo_fd_pread_all(fd, room, 4, 4, NULL), 0);
    assert_memory_equal(room, "5678", 4);
    assert_int_equal(flo_fd_pread_all(fd, room, 5, 4, NULL), FLO_E_IO_READ);
    assert_int_equal(flo_fd_pread_all(fd, room, 1, UINT64_MAX, NULL), FLO_E_IO_READ);
    close(fd);
}

static void folders_are_made_with_their_parents(void **state)
{
    struct folder *folder = *state;
    struct flo_err err = {0};

    assert_int_equal(flo_dir_make(path_in(folder, "a/b//c/"), 0700, &err), 0);
    assert_int_equal(flo_dir_make(path_in(folder, "a/b/c"), 0700, &err), 0);
    assert_int_equal(flo_file_write(path_in(folder, "a/b/c/f"), "", 0, 0600, NULL), 0);
    assert_int_equal(flo_dir_make(path_in(folder, "a/b/c/f"), 0700, &err), FLO_E_IO_OPEN);
    assert_int_equal(flo_dir_make(path_in(folder, "a/b/c/f/g"), 0700, &err), FLO_E_IO_OPEN);
    assert_int_equal(flo_dir_make("", 0700, &err), FLO_E_IO_OPEN);
    assert_int_equal(flo_dir_sync(path_in(folder, "a"), NULL), 0);
    assert_true(flo_disk_free(folder->path) > 0);
    assert_int_equal(flo_disk_free("/no/such/folder"), 0);
}

static void a_file_is_older_by_whole_seconds_or_when_nobody_knows(void **state)
{
    struct folder *folder = *state;
    struct timespec times[2] = {{.tv_sec = 100}, {.tv_sec = 100}};
    int one = open(path_in(folder, "one"), O_WRONLY | O_CREAT, 0600);
    int other = open(path_in(folder, "other"), O_WRONLY | O_CREAT, 0600);

    assert_int_equal(futimens(one, times), 0);
    times[1].tv_nsec = 1000;
    assert_int_equal(futimens(other, times), 0);
    assert_false(flo_fd_is_older(one, other));
    times[1] = (struct timespec){.tv_sec = 101};
    assert_int_equal(futimens(other, times), 0);
    assert_true(flo_fd_is_older(one, other));
    assert_false(flo_fd_is_older(other, one));
    assert_true(flo_fd_is_older(other, -1));
    close(one);
    close(other);
}

static void paths_that_do_not_fit_are_told(void **state)
{
    char out[8];
    (void)state;

    assert_true(flo_path_join(out, sizeof(out), "/a", "bcde"));
    assert_string_equal(out, "/a/bcde");
    assert_true(flo_path_join(out, sizeof(out), "/a/", "b"));
    assert_string_equal(out, "/a/b");
    assert_false(flo_path_join(out, sizeof(out), "/a", "bcdef"));
}

int main(void)
{
#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(what_was_written_is_read),
        WITH_FOLDER(a_file_above_its_limit_is_refused),
        WITH_FOLDER(what_is_no_regular_file_is_refused_at_once),
        WITH_FOLDER(a_write_that_fails_keeps_the_old_content),
        WITH_FOLDER(a_reader_sees_the_old_or_the_new_and_never_a_mix),
        WITH_FOLDER(writers_at_the_same_moment_leave_one_whole_file),
        WITH_FOLDER(the_next_write_removes_what_a_killed_one_left),
        WITH_FOLDER(of_two_new_files_at_the_same_moment_one_wins),
        WITH_FOLDER(a_write_into_a_missing_folder_is_refused),
        WITH_FOLDER(symbolic_links_lead_nowhere),
        WITH_FOLDER(a_read_beyond_the_end_is_an_error),
        WITH_FOLDER(folders_are_made_with_their_parents),
        WITH_FOLDER(a_file_is_older_by_whole_seconds_or_when_nobody_knows),
        WITH_FOLDER(paths_that_do_not_fit_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
