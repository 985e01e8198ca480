/* Given: a name of somebody else's folder leads to nothing outside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/errors/core.h>
#include <flotilla/errors/io.h>

#include "base/given.h"
#include "unit/remove_tree.h"

/* Somebody's cache of models, and the publisher's key outside its folders. */
struct world {
    char root[64], folder[128];
};

static const char *at(const struct world *world, const char *name)
{
    static char path[4][256];
    static unsigned turn;

    turn = (turn + 1) % 4;
    assert_true(flo_path_join(path[turn], sizeof(path[0]), world->root, name));
    return path[turn];
}

static void put(const struct world *world, const char *name, const char *text)
{
    assert_int_equal(flo_file_write(at(world, name), text, strlen(text), 0600, NULL), 0);
}

static int set_up(void **state)
{
    static const char *const folders[] = {"blobs",           "snapshots", "snapshots/1",
                                          "snapshots/1/sub", "plain",     "plain/sub"};
    struct world *world = calloc(1, sizeof(*world));

    snprintf(world->root, sizeof(world->root), "/tmp/flo-given-XXXXXX");
    assert_non_null(mkdtemp(world->root));
    for (size_t i = 0; i < FLO_COUNT(folders); i++) {
        assert_int_equal(mkdir(at(world, folders[i]), 0700), 0);
    }
    put(world, "key", "secret");
    put(world, "blobs/a", "good");
    put(world, "plain/file", "good");
    put(world, "plain/sub/file", "good");
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    int rv = remove_tree(world->root);

    free(world);
    return rv;
}

static int expect_good(int rv, char *data)
{
    if (rv == 0) {
        assert_string_equal(data, "good");
    }
    free(data);
    return rv;
}

/* Returns an error, or 0 for the good text.  Another reader that gets the path
 * FOLDER/./NAME answers the same. */
static int read_of(const struct world *world, const char *folder, const char *name,
                   struct flo_err *err)
{
    char *data = NULL;
    size_t bytes = 0;

    int rv = flo_given_read(at(world, folder), name, 10, &data, &bytes, err);
    return expect_good(rv, data);
}

static int read_path(const struct world *world, const char *folder, const char *name,
                     struct flo_err *err)
{
    char *data = NULL, path[500];
    size_t bytes = 0;

    snprintf(path, sizeof(path), "%s%s%s", at(world, folder), FLO_GIVEN_MARK, name);
    int rv = flo_file_read(path, 10, &data, &bytes, err);
    return expect_good(rv, data);
}

/* Where the kernel lacks openat2() (qemu's emulation does), no link is followed. */
static bool follows_links(void)
{
    return syscall(SYS_openat2, -1, "", NULL, 0) == 0 || errno != ENOSYS;
}

static void a_name_is_read_where_it_stays_in_the_folder(void **state)
{
    static const struct {
        const char *folder, *name, *target; /* of the link; NULL: it is no link */
        int rv;
        const char *says;
    } cases[] = {
        {"plain", "file", NULL, 0, ""},
        {"plain", "sub/file", NULL, 0, ""},
        {"plain", "none", NULL, FLO_E_ABSENT, "none"},
        {"plain", "sub", NULL, FLO_E_IO_OPEN, "not a regular file"},
        {"plain", "../key", NULL, FLO_E_IO_SYMLINK, "out of the folder"},
        {"plain", "a", "file", 0, ""},
        {"plain", "a", "sub/file", 0, ""},
        {"plain", "sub/a", "../file", 0, ""},
        {"plain", "a", "../key", FLO_E_IO_SYMLINK, "out of the folder, to ../key"},
        {"plain", "sub/a", "../../key", FLO_E_IO_SYMLINK, "out of the folder, to ../../key"},
        {"plain", "a", "/etc/hostname", FLO_E_IO_SYMLINK, "to /etc/hostname"},
        {"plain", "a", "/proc/self/exe", FLO_E_IO_SYMLINK, "to /proc/self/exe"},
        {"plain", "a", "gone", FLO_E_IO_SYMLINK, "nowhere, to gone"},
        {"plain", "a", "a", FLO_E_IO_SYMLINK, "to a"},
        {"plain", "a", "../../blobs/a", FLO_E_IO_SYMLINK, "to ../../blobs/a"},
        {"snapshots/1", "a", "../../blobs/a", 0, ""},
        {"snapshots/1", "sub/a", "../../../blobs/a", 0, ""},
        {"snapshots/1", "a", "../../../blobs/a", FLO_E_IO_SYMLINK, "to ../../../blobs/a"},
        {"snapshots/1", "a", "../../key", FLO_E_IO_SYMLINK, "to ../../key"},
        {"snapshots/1", "a", "../../blobs/../key", FLO_E_IO_SYMLINK, "blobs/../key"},
        {"snapshots/1", "a", "../../blobs/none", FLO_E_IO_SYMLINK, "nowhere"},
        {"snapshots/1", "a", "../../blobs/out", FLO_E_IO_SYMLINK, "out of the folder"},
    };
    struct world *world = *state;

    assert_int_equal(symlink("../key", at(world, "blobs/out")), 0);
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        char link[200];
        struct flo_err err = {0};
        bool is_shut =
            cases[i].target != NULL && strcmp(cases[i].folder, "plain") == 0 && !follows_links();
        snprintf(link, sizeof(link), "%s/%s", cases[i].folder, cases[i].name);
        assert_true(cases[i].target == NULL || symlink(cases[i].target, at(world, link)) == 0);

        assert_int_equal(read_of(world, cases[i].folder, cases[i].name, &err),
                         is_shut ? FLO_E_IO_SYMLINK : cases[i].rv);

        assert_non_null(strstr(err.what, is_shut ? cases[i].target : cases[i].says));
        struct flo_err again = {0};
        assert_int_equal(read_path(world, cases[i].folder, cases[i].name, &again),
                         is_shut ? FLO_E_IO_SYMLINK : cases[i].rv);
        assert_string_equal(again.what, err.what);
        assert_true(cases[i].target == NULL || unlink(at(world, link)) == 0);
    }
}

static void a_folder_in_the_way_that_is_a_link_leads_nowhere(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};

    assert_int_equal(symlink(world->root, at(world, "plain/up")), 0);
    assert_int_equal(read_of(world, "plain", "up/key", &err), FLO_E_IO_SYMLINK);
}

/* The folder itself is the word of the person who names it. */
static void the_folder_may_be_named_by_a_link(void **state)
{
    struct world *world = *state;

    assert_int_equal(symlink("plain", at(world, "link")), 0);
    assert_int_equal(read_of(world, "link", "file", NULL), 0);
    assert_int_equal(read_of(world, "none", "file", NULL), FLO_E_ABSENT);
}

/* A path may begin with the mark: "/" and "." are folders, too. */
static void the_mark_stands_behind_any_folder(void **state)
{
    static const char *const folders[] = {"", "/."}, *const names[] = {"plain/./file", "plain/file",
                                                                       "plain/././file",
                                                                       "./plain/./file"};
    struct world *world = *state;
    char path[300], long_path[PATH_MAX + 20];
    int fd = -1;

    for (size_t i = 0; i < 2 * FLO_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s%s/%s", folders[i % 2], world->root, names[i / 2]);
        assert_int_equal(flo_file_open(path, &fd, NULL), 0);
        close(fd);
    }
    assert_int_equal(chdir(at(world, "plain")), 0);
    assert_int_equal(symlink("../key", "out"), 0);
    assert_int_equal(flo_file_open("././file", &fd, NULL), 0);
    close(fd);
    assert_int_equal(flo_file_open("././out", &fd, NULL), FLO_E_IO_SYMLINK);
    memset(long_path, 'a', sizeof(long_path));
    strcpy(long_path + PATH_MAX, "/./file");
    assert_int_equal(flo_file_open(long_path, &fd, NULL), FLO_E_IO_OPEN);
    assert_int_equal(chdir("/"), 0);
}

static void a_hard_link_to_another_users_file_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};

    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(link(at(world, "plain/file"), at(world, "plain/twice")), 0);
    assert_int_equal(read_of(world, "plain", "twice", NULL), 0); /* the owner's own */
    assert_int_equal(chown(at(world, "plain"), 12345, 12345), 0);
    assert_int_equal(read_of(world, "plain", "twice", &err), FLO_E_IO_OPEN);
    assert_non_null(strstr(err.what, "has 2 names, and its owner is user 0"));
    assert_int_equal(unlink(at(world, "plain/twice")), 0);
    assert_int_equal(read_of(world, "plain", "file", NULL), 0); /* one name: a copy as root */
}

/* ---- a swap while it is read ---- */

struct swapper {
    char name[256], file[256], link[256];
    bool ends;
};

static void *swap(void *context)
{
    struct swapper *swapper = context;

    while (!__atomic_load_n(&swapper->ends, __ATOMIC_ACQUIRE)) {
        (void)!link(swapper->file, swapper->name);
        (void)unlink(swapper->name);
        (void)!symlink(swapper->link, swapper->name);
        (void)unlink(swapper->name);
    }
    return NULL;
}

static void a_name_that_is_swapped_gives_the_file_or_an_error(void **state)
{
    struct world *world = *state;
    struct swapper swapper = {.ends = false};
    pthread_t thread;

    snprintf(swapper.name, sizeof(swapper.name), "%s/plain/a", world->root);
    snprintf(swapper.file, sizeof(swapper.file), "%s/plain/file", world->root);
    snprintf(swapper.link, sizeof(swapper.link), "%s/key", world->root);
    assert_int_equal(pthread_create(&thread, NULL, swap, &swapper), 0);
    for (int i = 0; i < 10000; i++) {
        (void)!read_of(world, "plain", "a", NULL); /* "secret" would fail the assertion there */
        (void)!read_path(world, "plain", "a", NULL);
    }
    __atomic_store_n(&swapper.ends, true, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
#define with_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        with_world(a_name_is_read_where_it_stays_in_the_folder),
        with_world(a_folder_in_the_way_that_is_a_link_leads_nowhere),
        with_world(the_folder_may_be_named_by_a_link),
        with_world(the_mark_stands_behind_any_folder),
        with_world(a_hard_link_to_another_users_file_is_refused),
        with_world(a_name_that_is_swapped_gives_the_file_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
