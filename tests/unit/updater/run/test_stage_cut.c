/* A worker that was cut while it applied a typed delta, and the next one. */
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

#include <flotilla/updater.h>

#include "stage_world.h"
#include "updater/store/store.h"

static struct flo_digest offer_typed(struct world *world, struct flo_digest *file)
{
    struct flo_release release = two_files(world, NEW);

    publisher_add_way(&world->publisher, &release, 0, "tensor1", OLD);
    *file = release.files[0].digest;
    return publisher_sign(&world->publisher, world->publisher.key, &release);
}

struct made_path {
    char text[256];
};

static struct made_path path_of_made(const struct world *world, const struct flo_digest *file)
{
    struct made_path path;
    char name[FLO_PART_NAME];

    flo_store_part_name(file, ".made", name);
    snprintf(path.text, sizeof(path.text), "%s/partial/%s", world->state_dir, name);
    return path;
}

/* The first bytes of NEW as a worker made them, then zeros up to its end.
 * Returns the inode. */
static ino_t leave_made(struct world *world, const struct flo_digest *file, size_t bytes)
{
    struct stat st;
    char *data = NULL;
    size_t whole = 0;

    assert_int_equal(flo_file_read(NEW, 1 << 23, &data, &whole, NULL), 0);
    memset(data + bytes, 0, whole - bytes);
    struct made_path path = path_of_made(world, file);
    assert_int_equal(flo_file_write(path.text, data, whole, 0600, NULL), 0);
    free(data);
    assert_int_equal(stat(path.text, &st), 0);
    return st.st_ino;
}

static ino_t inode_of_blob(const struct world *world, const struct flo_digest *file)
{
    char name[FLO_BLOB_NAME];
    char path[256];
    struct stat st;

    flo_store_blob_name(file, name);
    snprintf(path, sizeof(path), "%s/blobs/%s", world->state_dir, name);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    return st.st_ino;
}

static unsigned long kept(const struct world *world)
{
    const char *event = strstr(world->events, "\"resumed\",\"kept\":");

    return event == NULL ? 0 : strtoul(event + 17, NULL, 10);
}

static void a_typed_delta_goes_on_after_a_cut(void **state)
{
    struct world *world = *state;
    struct flo_digest file;
    struct flo_digest digest = offer_typed(world, &file);

    put_blob_of(world, OLD);
    ino_t inode = leave_made(world, &file, 1500000);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "\"codec\":\"tensor1\"");
    assert_in_range(kept(world), 1000000, 1500000);
    assert_int_equal(inode_of_blob(world, &file), inode);
    assert_int_equal(count_partials(world), 0);
}

static void what_was_made_and_rotted_is_made_again(void **state)
{
    struct world *world = *state;
    struct flo_digest file;
    struct flo_digest digest = offer_typed(world, &file);

    put_blob_of(world, OLD);
    leave_made(world, &file, 1700000);
    struct made_path path = path_of_made(world, &file);
    int fd = open(path.text, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "rot", 3, 900000), 3);
    close(fd);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_int_equal(kept(world), 0);
    assert_int_equal(count_partials(world), 0);
}

static void a_longer_file_of_that_name_is_made_again(void **state)
{
    struct world *world = *state;
    struct flo_digest file;
    struct flo_digest digest = offer_typed(world, &file);

    put_blob_of(world, OLD);
    struct made_path path = path_of_made(world, &file);
    assert_int_equal(flo_file_write(path.text, "x", 1, 0600, NULL), 0);
    assert_int_equal(truncate(path.text, 1 << 22), 0);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_int_equal(kept(world), 0);
    assert_int_equal(count_partials(world), 0);
}

/* One mirror, and it lies about each file in the same place. */
static void a_patch_that_is_not_the_signed_one_is_fetched_again(void **state)
{
    struct world *world = *state;
    struct flo_digest file;
    struct flo_digest digest = offer_typed(world, &file);

    put_blob_of(world, OLD);
    world->mirror.flip_at = 100000; /* beyond the golden answers */
    stage(world, &digest, NULL);
    assert_event(world, "\"fallback\"");
    assert_int_not_equal(world->exit_code, 0);

    world->mirror.flip_at = -1;
    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    assert_event(world, "\"codec\":\"tensor1\"");
    assert_int_equal(count_partials(world), 0);
}

static void a_wrong_head_costs_only_the_lead(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);

    publisher_add_way(&world->publisher, &release, 0, "tensor1", OLD);
    struct flo_way *way = &release.files[0].ways[release.files[0].way_count - 1];
    assert_false(flo_digest_is_zero(&way->head));
    way->head = release.files[0].digest;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    put_blob_of(world, OLD);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "\"codec\":\"tensor1\"");
    assert_null(strstr(world->events, "\"fallback\""));
    assert_int_equal(count_partials(world), 0);
}

/* Its room was counted as free. */
static void what_was_made_goes_when_another_way_is_taken(void **state)
{
    struct world *world = *state;
    struct flo_digest file;
    struct flo_digest digest = offer_typed(world, &file);

    leave_made(world, &file, 1500000); /* the base is not here */

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_int_equal(kept(world), 0);
    assert_int_equal(count_partials(world), 0);
}

/* ---- chains ---- */

#define OLDEST "tests/models/tiny-v1.Q4_0.gguf"

/* NEW from OLD, and OLD as a step from OLDEST. */
static struct flo_digest offer_chain(struct world *world, struct flo_release *release)
{
    *release = two_files(world, NEW);
    publisher_add_way(&world->publisher, release, 0, "tensor1", OLD);
    uint32_t step = release->file_count;
    publisher_add(&world->publisher, release, "step-1.gguf", "step", OLD);
    release->variants[0].file_count = step; /* it is in no variant */
    release->files[step].way_count = 0;
    publisher_add_way(&world->publisher, release, step, "tensor1", OLDEST);
    return publisher_sign(&world->publisher, world->publisher.key, release);
}

static void a_device_two_versions_behind_takes_two_patches(void **state)
{
    struct world *world = *state;
    struct flo_release release;
    struct flo_digest digest = offer_chain(world, &release);

    put_blob_of(world, OLDEST);
    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    assert_event(world, "a chain of 2 deltas");
    assert_int_equal(count_partials(world), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_typed_delta_goes_on_after_a_cut),
        with_world(what_was_made_and_rotted_is_made_again),
        with_world(a_longer_file_of_that_name_is_made_again),
        with_world(what_was_made_goes_when_another_way_is_taken),
        with_world(a_patch_that_is_not_the_signed_one_is_fetched_again),
        with_world(a_wrong_head_costs_only_the_lead),
        with_world(a_device_two_versions_behind_takes_two_patches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
