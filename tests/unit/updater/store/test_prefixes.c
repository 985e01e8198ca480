/* Kept prefixes as room: what may go, in which order, and with its release. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "store_world.h"

#define BYTES 65536

static void path_of(const struct world *world, uint8_t n, char path[512])
{
    struct flo_digest digest = digest_of(n);
    char hex[65];

    flo_hex_encode(digest.bytes, sizeof(digest.bytes), hex);
    snprintf(path, 512, "%s/prefix/sha256-%s.prefix", world->dir, hex);
}

/* One that was used at `n` seconds. */
static int keep(const struct world *world, uint8_t n)
{
    const struct timespec times[2] = {{n, 0}, {n, 0}};
    char path[512];

    snprintf(path, sizeof(path), "%s/prefix", world->dir);
    (void)mkdir(path, 0700);
    path_of(world, n, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, BYTES), 0);
    assert_int_equal(futimens(fd, times), 0);
    return fd;
}

static bool has(const struct world *world, uint8_t n)
{
    struct flo_digest digest = digest_of(n);

    return flo_store_prefix_has(world->store, &digest);
}

static void without_the_folder_there_is_nothing(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};

    assert_int_equal(flo_store_prefixes_bytes(world->store), 0);
    flo_store_prefixes_drop(world->store, 1, &collected);
    assert_int_equal(collected.files, 0);
    assert_false(has(world, 1));
}

static void those_that_no_engine_has_are_room(void **state)
{
    struct world *world = *state;
    char path[512];

    close(keep(world, 1));
    int used = keep(world, 2);
    assert_int_equal(flock(used, LOCK_EX | LOCK_NB), 0);
    snprintf(path, sizeof(path), "%s/prefix/notes", world->dir);
    assert_int_equal(flo_file_write(path, "x", 1, 0600, NULL), 0);
    path_of(world, 3, path);
    assert_int_equal(symlink("/dev/zero", path), 0);

    assert_int_equal(flo_store_prefixes_bytes(world->store), BYTES);
    assert_true(has(world, 2));
    assert_false(has(world, 3));
    close(used);
    assert_int_equal(flo_store_prefixes_bytes(world->store), 2 * BYTES);
}

static void the_one_not_used_for_longest_goes_first(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};

    close(keep(world, 3));
    close(keep(world, 2));
    close(keep(world, 4));
    int used = keep(world, 1);
    assert_int_equal(flock(used, LOCK_EX | LOCK_NB), 0);

    flo_store_prefixes_drop(world->store, 1, &collected);
    assert_int_equal(collected.files, 1);
    assert_int_equal(collected.bytes, BYTES);
    assert_false(has(world, 2));
    assert_true(has(world, 3));

    flo_store_prefixes_drop(world->store, UINT64_MAX, &collected);
    assert_int_equal(collected.files, 3);
    assert_true(has(world, 1)); /* an engine has it */
    assert_false(has(world, 3));
    assert_false(has(world, 4));
    close(used);
}

static void collection_takes_what_belongs_to_no_release(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};
    char path[512];

    close(keep(world, 1));
    snprintf(path, sizeof(path), "%s/prefix/notes", world->dir);
    assert_int_equal(flo_file_write(path, "x", 1, 0600, NULL), 0);

    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, NULL), 0);

    assert_int_equal(collected.files, 1);
    assert_false(has(world, 1));
    assert_int_equal(access(path, F_OK), 0); /* not ours to remove */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(without_the_folder_there_is_nothing),
        TEST(those_that_no_engine_has_are_room),
        TEST(the_one_not_used_for_longest_goes_first),
        TEST(collection_takes_what_belongs_to_no_release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
