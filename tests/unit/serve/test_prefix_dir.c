/* The folder of kept prefixes: whose file, how many, how large. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#include "agent/serve/serve.h"
#include "unit/remove_tree.h"

static char dir[64];

static struct flo_digest release(uint8_t i)
{
    struct flo_digest digest = {{i, 1, 2, 3}};
    return digest;
}

static int open_of(uint8_t i)
{
    struct flo_digest digest = release(i);
    struct flo_err err = {0};
    int fd = -1;
    if (flo_serve_prefix_open(dir, &digest, &fd, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return fd;
}

static const char *path_of(uint8_t i)
{
    static char path[256];
    char hex[2 * FLO_DIGEST_BYTES + 1];
    struct flo_digest digest = release(i);
    flo_hex_encode(digest.bytes, sizeof(digest.bytes), hex);
    snprintf(path, sizeof(path), "%s/sha256-%s.prefix", dir, hex);
    return path;
}

static bool is_there(uint8_t i)
{
    return access(path_of(i), F_OK) == 0;
}

static int make_dir(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/flotilla-prefix-XXXXXX");
    return mkdtemp(dir) == NULL ? -1 : rmdir(dir);
}

static int remove_dir(void **state)
{
    (void)state;
    return remove_tree(dir);
}

static void a_file_has_its_room_at_once_and_one_engine(void **state)
{
    struct flo_digest digest = release(1);
    struct stat st;
    int second = -1;
    (void)state;
    int fd = open_of(1);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, FLO_SERVE_PREFIX_BYTES);
    assert_true((uint64_t)st.st_blocks * 512 >= FLO_SERVE_PREFIX_BYTES);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(flo_fd_pwrite_all(fd, "kept", 4, 0, NULL), 0);

    assert_int_equal(flo_serve_prefix_open(dir, &digest, &second, NULL), FLO_E_STATE_LOCKED);
    assert_int_equal(second, -1);
    close(open_of(2)); /* another release has its own */

    close(fd);
    char text[4];
    fd = open_of(1);
    assert_int_equal(flo_fd_pread_all(fd, text, 4, 0, NULL), 0);
    assert_memory_equal(text, "kept", 4);
    close(fd);
}

static void of_five_files_the_one_not_used_for_longest_goes(void **state)
{
    char other[128];
    (void)state;
    for (uint8_t i = 0; i < FLO_SERVE_PREFIXES_MAX; i++) {
        const struct timespec times[2] = {{1000 + i, 0}, {1000 + i, 0}};
        int fd = open_of(i);
        assert_int_equal(futimens(fd, times), 0);
        close(fd);
    }
    snprintf(other, sizeof(other), "%s/other", dir);
    assert_int_equal(flo_file_write(other, "x", 1, 0600, NULL), 0);
    close(open_of(0)); /* it is there: nothing goes */
    for (uint8_t i = 0; i < FLO_SERVE_PREFIXES_MAX; i++) {
        assert_true(is_there(i));
    }
    close(open_of(100));
    assert_true(is_there(0));
    assert_false(is_there(1));
    for (uint8_t i = 2; i < FLO_SERVE_PREFIXES_MAX; i++) {
        assert_true(is_there(i));
    }
    assert_true(is_there(100));
    assert_int_equal(access(other, F_OK), 0);
}

static void a_disk_keeps_some_room_for_everything_else(void **state)
{
    struct flo_digest digest = release(2);
    struct flo_err err = {0};
    int fd = -1;
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    if (mount("tmpfs", dir, "tmpfs", 0, "size=80m,mode=0700") < 0) {
        print_message("no right to mount a small disk here: skipped\n");
        skip();
    }
    close(open_of(1));
    assert_int_equal(flo_serve_prefix_open(dir, &digest, &fd, &err), FLO_E_DISK_FULL);
    assert_non_null(strstr(err.what, "to spare"));
    assert_false(is_there(2)); /* nor is a part of it */
    close(open_of(1));         /* has its room */
    assert_int_equal(umount(dir), 0);
}

static void what_is_no_file_is_refused(void **state)
{
    struct flo_digest digest = release(1);
    char inside[128];
    int fd = -1;
    (void)state;
    assert_int_equal(mkdir(dir, 0700), 0);
    assert_int_equal(symlink("/dev/null", path_of(1)), 0);
    assert_int_equal(flo_serve_prefix_open(dir, &digest, &fd, NULL), FLO_E_IO_OPEN);
    assert_int_equal(unlink(path_of(1)), 0);
    assert_int_equal(mkfifo(path_of(1), 0600), 0);
    assert_int_equal(flo_serve_prefix_open(dir, &digest, &fd, NULL), FLO_E_IO_OPEN);
    snprintf(inside, sizeof(inside), "%s/file", dir);
    assert_int_equal(flo_file_write(inside, "x", 1, 0600, NULL), 0);
    assert_true(flo_serve_prefix_open(inside, &digest, &fd, NULL) < 0);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_has_its_room_at_once_and_one_engine, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(of_five_files_the_one_not_used_for_longest_goes, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(a_disk_keeps_some_room_for_everything_else, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, make_dir, remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
