/* Files that are synced before a record may name them: each sync is one that a
 * power cut needs. tests/crash/power.py shows the cuts themselves. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/host/digest.h"
#include "store_world.h"
#include "unit/remove_tree.h"
#include "updater/store/store.h"

/* Each sync as " <last part of the path>", in order. */
static char synced[4096];

static int note(int fd, long number)
{
    char self[40], path[512];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    ssize_t chars = readlink(self, path, sizeof(path) - 1);
    path[chars < 0 ? 0 : chars] = '\0';
    const char *name = strrchr(path, '/');
    if (name != NULL && strlen(synced) + strlen(name) + 2 < sizeof(synced)) {
        strcat(strcat(synced, " "), name + 1);
    }
    return (int)syscall(number, fd);
}

int fsync(int fd) /* in front of the libc's */
{
    return note(fd, SYS_fsync);
}

int fdatasync(int fd)
{
    return note(fd, SYS_fdatasync);
}

static void a_blob_that_is_found_has_a_durable_name(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    const char text[] = "a document";

    assert_int_equal(flo_store_blob_put(world->store, text, sizeof(text), &digest, &world->err), 0);
    synced[0] = '\0';
    assert_int_equal(flo_store_blob_put(world->store, text, sizeof(text), &digest, &world->err), 0);

    assert_string_equal(synced, " blobs");
}

static void bytes_are_synced_before_they_get_a_name(void **state)
{
    struct world *world = *state;
    char name[FLO_PART_NAME], expected[2 * FLO_PART_NAME];
    struct flo_digest digest;

    synced[0] = '\0';
    assert_int_equal(flo_store_blob_put(world->store, "new", 3, &digest, &world->err), 0);
    assert_non_null(strstr(synced, " (deleted) blobs")); /* no name yet */

    flo_sha256("part", 4, &digest);
    flo_store_part_name(&digest, ".part", name);
    int fd = openat(world->store->partial_fd, name, O_CREAT | O_RDWR, 0600);
    assert_int_equal(write(fd, "part", 4), 4);
    synced[0] = '\0';
    assert_int_equal(flo_store_part_publish(world->store, fd, &digest, &world->err), 0);
    close(fd);
    snprintf(expected, sizeof(expected), " %s blobs partial", name);
    assert_string_equal(synced, expected);
}

/* An envelope that is here may be of a run that was cut.  Its name is synced
 * with that of the variant, before a record can name the release. */
static void a_release_that_is_found_has_durable_names_when_it_is_chosen(void **state)
{
    struct world *world = *state;
    struct flo_release_document document = {"an envelope", 11, "a body", 6};
    const struct flo_release_variant variant = {.name = "q4_0"};
    struct flo_digest id;

    flo_sha256("a body", 6, &id);
    assert_int_equal(flo_store_release_put(world->store, &document, &world->err), 0);
    synced[0] = '\0';
    assert_int_equal(flo_store_release_put(world->store, &document, &world->err), 0);
    assert_string_equal(synced, " blobs");
    assert_int_equal(flo_store_variant_keep(world->store, &id, &variant, NULL, &world->err), 0);

    const char *last = strrchr(synced, ' ');
    assert_string_equal(last, " releases");
    assert_non_null(strstr(synced, " (deleted) releases")); /* no name yet */
}

/* Else the half that is overwritten may be the only one on the disk. */
static void a_record_is_synced_before_and_behind_its_write(void **state)
{
    struct world *world = *state;
    struct flo_slots slots = {.model = "tiny", .current = digest_of(1)};

    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
    assert_non_null(strstr(synced, " tiny.bin.new slots"));
    synced[0] = '\0';
    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);

    assert_string_equal(synced, " tiny.bin tiny.bin");
}

static void folders_that_are_made_are_synced_into_their_parents(void **state)
{
    struct world *world = *state;
    struct flo_store *other = NULL;
    char path[128];

    synced[0] = '\0';
    snprintf(path, sizeof(path), "%s/far/state", world->dir);
    assert_int_equal(flo_store_open(path, true, &other, &world->err), 0);

    const char *parent = strrchr(world->dir, '/') + 1;
    char expected[128];
    snprintf(expected, sizeof(expected), " %s far state", parent);
    assert_true(strncmp(synced, expected, strlen(expected)) == 0);
    flo_store_close(other);

    synced[0] = '\0';
    assert_int_equal(flo_store_open(path, true, &other, &world->err), 0);
    assert_string_equal(synced, "");
    flo_store_close(other);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_blob_that_is_found_has_a_durable_name),
        with_world(bytes_are_synced_before_they_get_a_name),
        with_world(a_release_that_is_found_has_durable_names_when_it_is_chosen),
        with_world(a_record_is_synced_before_and_behind_its_write),
        with_world(folders_that_are_made_are_synced_into_their_parents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
