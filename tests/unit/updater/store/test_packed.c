/* Packed weights in the store: found whole, or not at all. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/digest.h"
#include "store_world.h"

#define BYTES 8192

static const struct flo_digest model = {{7}};

/* Names in packed/; the last one as a path. */
static size_t names(const struct world *world, char path[512])
{
    char folder[128];
    size_t count = 0;

    snprintf(folder, sizeof(folder), "%s/packed", world->dir);
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            snprintf(path, 512, "%s/%s", folder, entry->d_name);
            count++;
        }
    }
    closedir(dir);
    return count;
}

/* Fill with `byte`, hash, publish. */
static void publish(struct world *world, uint8_t byte)
{
    struct flo_digest digest;
    uint8_t data[BYTES];
    int fd = -1;

    memset(data, byte, sizeof(data));
    assert_int_equal(flo_store_packed_create(world->store, BYTES, &fd, NULL), 0);
    assert_int_equal(pwrite(fd, data, BYTES, 0), BYTES);
    assert_int_equal(flo_sha256_fd(fd, &digest, NULL, NULL), 0);
    assert_int_equal(flo_store_packed_publish(world->store, fd, &model, &digest, NULL), 0);
    close(fd);
}

/* As the agent does: open, hash, check. */
static int look(struct world *world, uint8_t *byte)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_digest actual;
    int rv = flo_store_packed_open(world->store, &model, &fd, NULL);

    if (rv == 0) {
        assert_int_equal(pread(fd, byte, 1, BYTES / 2), 1);
        assert_int_equal(flo_sha256_fd(fd, &actual, NULL, NULL), 0);
        rv = flo_store_packed_check(world->store, &model, &actual, NULL);
    }
    return rv;
}

static void what_is_published_is_found_by_its_model(void **state)
{
    struct world *world = *state;
    struct flo_digest other = {{9}};
    uint8_t byte = 0;
    int fd = -1;

    assert_int_equal(look(world, &byte), FLO_E_BLOB_ABSENT);
    publish(world, 5);

    assert_int_equal(look(world, &byte), 0);
    assert_int_equal(byte, 5);
    assert_int_equal(flo_store_packed_open(world->store, &other, &fd, NULL), FLO_E_BLOB_ABSENT);
}

static void a_new_one_takes_the_place_of_the_old(void **state)
{
    struct world *world = *state;
    char path[512];
    uint8_t byte = 0;

    publish(world, 5);
    publish(world, 6);
    publish(world, 6);

    assert_int_equal(names(world, path), 1);
    assert_int_equal(look(world, &byte), 0);
    assert_int_equal(byte, 6);
}

static void what_was_not_published_is_gone(void **state)
{
    struct world *world = *state;
    char path[512];
    int fd = -1;

    assert_int_equal(flo_store_packed_create(world->store, BYTES, &fd, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), BYTES);
    close(fd);

    assert_int_equal(names(world, path), 0);
}

static void one_changed_bit_removes_the_file(void **state)
{
    struct world *world = *state;
    char path[512];
    uint8_t byte = 4;

    publish(world, 5);
    assert_int_equal(names(world, path), 1);
    assert_int_equal(chmod(path, 0600), 0);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, &byte, 1, BYTES - 1), 1);
    close(fd);

    assert_int_equal(look(world, &byte), FLO_E_TARGET_HASH);
    assert_int_equal(names(world, path), 0);
    assert_int_equal(look(world, &byte), FLO_E_BLOB_ABSENT);
}

static void a_disk_keeps_some_room_for_everything_else(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};
    int fd = -1;
    uint64_t free_bytes = flo_store_disk_free(world->store);

    assert_int_equal(flo_store_packed_create(world->store, free_bytes, &fd, &err), FLO_E_DISK_FULL);
    assert_non_null(strstr(err.what, "to spare"));
    assert_int_equal(flo_store_packed_create(world->store, UINT64_MAX, &fd, &err), FLO_E_DISK_FULL);
}

static void collection_takes_what_belongs_to_no_model(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};
    char path[512], stray[512];

    publish(world, 5);
    snprintf(stray, sizeof(stray), "%s/packed/notes.txt", world->dir);
    assert_int_equal(flo_file_write(stray, "x", 1, 0600, NULL), 0);

    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, NULL), 0);

    assert_int_equal(collected.files, 1);
    assert_int_equal(collected.bytes, BYTES);
    assert_int_equal(names(world, path), 1); /* not ours to remove */
    assert_string_equal(path, stray);
}

/* A name that is nearly one of ours is a person's. */
static void collection_leaves_names_of_another_form(void **state)
{
#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
    static const char *const strays[] = {
        "packed/sha256-" HEX "f",
        "packed/sha256-" HEX "f." HEX,
        "packed/sha256-" HEX "f.prefix",
        "packed/sha256-" HEX "." HEX "f",
        "packed/sha512-" HEX "f." HEX "f",
        "blobs/sha256-" HEX "f.old",
        "blobs/sha256-" HEX,
    };
    struct world *world = *state;
    struct flo_collected collected = {0};
    char path[512];

    for (size_t i = 0; i < FLO_COUNT(strays); i++) {
        snprintf(path, sizeof(path), "%s/%s", world->dir, strays[i]);
        assert_int_equal(flo_file_write(path, "x", 1, 0600, NULL), 0);
    }
    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, NULL), 0);
    assert_int_equal(collected.files, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_set_up, world_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_published_is_found_by_its_model),
        TEST(a_new_one_takes_the_place_of_the_old),
        TEST(what_was_not_published_is_gone),
        TEST(one_changed_bit_removes_the_file),
        TEST(a_disk_keeps_some_room_for_everything_else),
        TEST(collection_takes_what_belongs_to_no_model),
        TEST(collection_leaves_names_of_another_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
