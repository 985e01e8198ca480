/* A file that is made while its patch still comes: how far it gets, and what
 * wrong bytes do. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/patch.h>

#include "base/host/digest.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"
#include "updater/run/make.h"

#define OLD "tests/models/tiny-v2.Q4_0.gguf"
#define NEW "tests/models/tiny-v2.1.Q4_0.gguf"
#define OTHER "tests/models/tiny-v1.Q4_0.gguf"

struct world {
    char dir[64];
    struct flo_store *store;
    struct flo_fetch fetch;
    struct flo_release_file file;
    struct flo_way way;
    struct flo_make_job job;
    struct flo_make *make;
    uint8_t *patch;
    int part_fd; /* the download */
    int null_fd; /* events */
};

static void put_base(struct world *world)
{
    char *data = NULL;
    size_t bytes;

    assert_int_equal(flo_file_read(OLD, 1 << 23, &data, &bytes, NULL), 0);
    assert_int_equal(flo_store_blob_put(world->store, data, bytes, &world->way.base, NULL), 0);
    free(data);
}

static void make_patch(struct world *world)
{
    struct flo_delta_made made;
    struct flo_delta_facts facts;
    char path[96];
    int old_fd = open(OLD, O_RDONLY | O_CLOEXEC);
    int new_fd = open(NEW, O_RDONLY | O_CLOEXEC);

    snprintf(path, sizeof(path), "%s/patch", world->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flo_delta_create("tensor1", old_fd, new_fd, fd, NULL, &made, NULL), 0);
    assert_int_equal(flo_delta_inspect(fd, &facts, NULL), 0);
    world->way.codec = FLO_CODEC_TENSOR1;
    world->way.digest = made.digest;
    world->way.bytes = made.bytes;
    world->way.head = facts.head;
    world->file.digest = made.new_digest;
    world->file.bytes = made.new_bytes;
    world->patch = malloc((size_t)made.bytes);
    assert_int_equal(flo_fd_pread_all(fd, world->patch, (size_t)made.bytes, 0, NULL), 0);
    close(old_fd);
    close(new_fd);
    close(fd);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    char path[256];
    char name[FLO_PART_NAME];

    snprintf(world->dir, sizeof(world->dir), "/tmp/flo-make-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    assert_int_equal(flo_store_open(world->dir, true, &world->store, NULL), 0);
    put_base(world);
    make_patch(world);
    flo_store_part_name(&world->way.digest, ".part", name);
    snprintf(path, sizeof(path), "%s/partial/%s", world->dir, name);
    world->part_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(world->part_fd, (off_t)world->way.bytes), 0);
    world->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    world->fetch.control_fd = -1;
    world->job = (struct flo_make_job){world->store, &world->fetch, world->null_fd, &world->file,
                                       &world->way};
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_make_free(world->make);
    flo_store_close(world->store);
    close(world->part_fd);
    close(world->null_fd);
    free(world->patch);
    assert_int_equal(remove_tree(world->dir), 0);
    free(world);
    return 0;
}

static void begin(struct world *world)
{
    assert_int_equal(flo_make_begin(&world->job, &world->make, NULL), 0);
}

/* Bytes of the patch from `from` to `to` have come. */
static void come(struct world *world, uint64_t from, uint64_t to)
{
    assert_int_equal(
        flo_fd_pwrite_all(world->part_fd, world->patch + from, (size_t)(to - from), from, NULL), 0);
    world->fetch.on_kept(world->fetch.kept_context, to);
}

/* Bytes of the new file that are right from its begin on. */
static uint64_t made(const struct world *world)
{
    char path[256];
    char name[FLO_PART_NAME];
    static uint8_t mine[1 << 22];
    char *wanted = NULL;
    size_t bytes;
    uint64_t right = 0;

    flo_store_part_name(&world->file.digest, ".made", name);
    snprintf(path, sizeof(path), "%s/partial/%s", world->dir, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return 0;
    }
    ssize_t got = read(fd, mine, sizeof(mine));
    close(fd);
    assert_int_equal(flo_file_read(NEW, 1 << 23, &wanted, &bytes, NULL), 0);
    while (right < (uint64_t)got && right < bytes && mine[right] == (uint8_t)wanted[right]) {
        right++;
    }
    free(wanted);
    return right;
}

static void wait_until_made(const struct world *world, uint64_t bytes)
{
    WAIT_UNTIL(made(world) >= bytes);
}

static void assert_complete(struct world *world)
{
    struct flo_digest found;
    int fd = -1;
    struct flo_err err = {0};

    if (flo_make_end(world->make, world->part_fd, &fd, &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(flo_sha256_fd(fd, &found, NULL, NULL), 0);
    assert_true(flo_digest_equal(&found, &world->file.digest));
    assert_int_equal(flo_make_publish(world->make, NULL), 0);
    assert_true(flo_store_blob_has(world->store, &world->file.digest, world->file.bytes));
}

static void a_file_is_made_while_its_patch_comes(void **state)
{
    struct world *world = *state;
    uint64_t most = world->way.bytes * 9 / 10;

    begin(world);
    come(world, 0, 0);
    come(world, 0, 1000);
    come(world, 1000, most);
    wait_until_made(world, world->file.bytes / 3);
    assert_true(made(world) < world->file.bytes);
    come(world, most, world->way.bytes);
    assert_complete(world);
}

static void a_patch_that_was_there_is_applied(void **state)
{
    struct world *world = *state;

    begin(world);
    come(world, 0, world->way.bytes);
    assert_complete(world);
}

/* The whole patch has another byte: nobody decodes its payload. */
static void a_damaged_payload_is_not_decoded(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};
    int fd = -1;
    uint64_t at = world->way.bytes - 10;

    world->patch[at] ^= 1;
    begin(world);
    come(world, 0, world->way.bytes);
    assert_int_equal(flo_make_end(world->make, world->part_fd, &fd, &err), FLO_E_PATCH_STREAM);
    assert_true(made(world) < world->file.bytes);
}

/* Wrong bytes came first, and right ones in their place. */
static void what_a_liar_sent_is_made_good(void **state)
{
    struct world *world = *state;
    uint64_t at = world->way.bytes / 2;

    world->patch[at] ^= 1;
    begin(world);
    come(world, 0, world->way.bytes);
    wait_until_made(world, 1);
    world->patch[at] ^= 1;
    come(world, 0, world->way.bytes);
    assert_complete(world);
}

static void a_download_that_ends_early_leaves_what_was_made(void **state)
{
    struct world *world = *state;

    begin(world);
    come(world, 0, world->way.bytes * 9 / 10);
    wait_until_made(world, world->file.bytes / 3);
    flo_make_free(world->make);
    world->make = NULL;
    assert_null(world->fetch.on_kept);
    uint64_t before = made(world);
    assert_true(before >= world->file.bytes / 3);

    begin(world);
    come(world, 0, world->way.bytes);
    assert_complete(world);
}

static void without_a_signed_head_nothing_is_decoded_ahead(void **state)
{
    struct world *world = *state;

    memset(&world->way.head, 0, sizeof(world->way.head));
    begin(world);
    assert_null(world->fetch.on_kept);
    assert_int_equal(
        flo_fd_pwrite_all(world->part_fd, world->patch, (size_t)world->way.bytes, 0, NULL), 0);
    assert_complete(world);
}

static void another_head_than_the_signed_one_is_not_read_on(void **state)
{
    struct world *world = *state;

    memset(&world->way.head, 1, sizeof(world->way.head));
    begin(world);
    come(world, 0, world->way.bytes);
    assert_complete(world); /* by the whole patch, which is the right one */
}

/* The patch of another release: `model` in place of NEW. */
static uint8_t *other_patch(const struct world *world, const char *model,
                            struct flo_delta_facts *facts)
{
    struct flo_delta_made made;
    char path[96];

    snprintf(path, sizeof(path), "%s/other", world->dir);
    int old_fd = open(OLD, O_RDONLY | O_CLOEXEC);
    int new_fd = open(model, O_RDONLY | O_CLOEXEC);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(flo_delta_create("tensor1", old_fd, new_fd, fd, NULL, &made, NULL), 0);
    assert_int_equal(flo_delta_inspect(fd, facts, NULL), 0);
    uint8_t *data = malloc((size_t)made.bytes);
    assert_int_equal(flo_fd_pread_all(fd, data, (size_t)made.bytes, 0, NULL), 0);
    close(old_fd);
    close(new_fd);
    close(fd);
    assert_int_equal(unlink(path), 0);
    return data;
}

/* A release names the head of another patch; a neighbour sends that one, and
 * the right one comes in its place. */
static void the_signed_head_of_another_patch_makes_no_wrong_byte(void **state)
{
    struct world *world = *state;
    struct flo_delta_facts facts;
    uint8_t *right = world->patch;
    uint8_t *wrong = other_patch(world, OTHER, &facts);
    uint64_t least = facts.patch_bytes < world->way.bytes ? facts.patch_bytes : world->way.bytes;

    assert_memory_not_equal(&facts.head, &world->way.head, sizeof(facts.head));
    world->way.head = facts.head;
    begin(world);
    world->patch = wrong;
    come(world, 0, least);
    world->patch = right;
    free(wrong);
    come(world, 0, world->way.bytes);
    assert_complete(world); /* by the whole patch, which is the right one */
}

/* Nobody brings the right one: an error, and nothing is published. */
static void the_patch_of_another_release_is_an_error(void **state)
{
    struct world *world = *state;
    struct flo_delta_facts facts;
    struct flo_err err = {0};
    uint8_t *right = world->patch;
    int fd = -1;

    world->patch = other_patch(world, OTHER, &facts);
    world->way.head = facts.head;
    assert_int_equal(ftruncate(world->part_fd, (off_t)facts.patch_bytes), 0);
    begin(world);
    come(world, 0, facts.patch_bytes);
    int rv = flo_make_end(world->make, world->part_fd, &fd, &err);
    assert_true(rv == FLO_E_PATCH_LIMIT || rv == FLO_E_TARGET_HASH);
    assert_int_equal(made(world), 0);
    assert_false(flo_store_blob_has(world->store, &world->file.digest, world->file.bytes));
    free(world->patch);
    world->patch = right;
}

/* ---- what stands in the file that is made ---- */

static void put_made(const struct world *world, const void *data, size_t bytes)
{
    char path[256];
    char name[FLO_PART_NAME];

    flo_store_part_name(&world->file.digest, ".made", name);
    snprintf(path, sizeof(path), "%s/partial/%s", world->dir, name);
    assert_int_equal(flo_file_write(path, data, bytes, 0600, NULL), 0);
}

static void whatever_an_earlier_worker_left_the_file_is_right(void **state)
{
    struct world *world = *state;
    char *new = NULL;
    size_t bytes = 0;

    assert_int_equal(flo_file_read(NEW, 1 << 23, &new, &bytes, NULL), 0);
    new = realloc(new, bytes + 5000);
    memset(new + bytes, 9, 5000);
    const struct {
        size_t bytes, bit;
    } found[] = {
        {bytes, 0},           {bytes, 77777},   {bytes, bytes * 8 - 1},
        {bytes + 5000, 5000}, {bytes + 1, 0},   {1, 3},
        {bytes / 2, 0},       {bytes - 1, 800}, {bytes / 3, bytes / 4 * 8},
    };
    for (size_t i = 0; i < FLO_COUNT(found); i++) {
        new[found[i].bit / 8] ^= (char)(1 << found[i].bit % 8);
        put_made(world, new, found[i].bytes);
        begin(world);
        come(world, 0, world->way.bytes);
        assert_complete(world);
        assert_int_equal(made(world), 0); /* its name is gone */
        flo_make_free(world->make);
        world->make = NULL;
        new[found[i].bit / 8] ^= (char)(1 << found[i].bit % 8);
    }
    free(new);
}

static void a_link_in_its_place_is_not_followed(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};
    char path[256], target[96];
    char name[FLO_PART_NAME];
    int fd = -1;

    snprintf(target, sizeof(target), "%s/precious", world->dir);
    assert_int_equal(flo_file_write(target, "precious", 8, 0600, NULL), 0);
    flo_store_part_name(&world->file.digest, ".made", name);
    snprintf(path, sizeof(path), "%s/partial/%s", world->dir, name);
    for (int is_folder = 0; is_folder <= 1; is_folder++) {
        assert_int_equal(is_folder ? mkdir(path, 0700) : symlink(target, path), 0);
        begin(world);
        assert_null(world->fetch.on_kept); /* nothing is decoded ahead */
        int rv = flo_make_end(world->make, world->part_fd, &fd, &err);
        assert_true(rv < 0 && err.what[0] != '\0');
        flo_make_free(world->make);
        world->make = NULL;
        assert_int_equal(remove(path), 0);
    }
    struct stat facts;
    assert_int_equal(stat(target, &facts), 0);
    assert_int_equal(facts.st_size, 8);
}

static void a_base_that_is_gone_is_told_at_the_end(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};
    int fd = -1;

    memset(&world->way.base, 7, sizeof(world->way.base));
    begin(world);
    assert_null(world->fetch.on_kept);
    assert_int_equal(flo_make_end(world->make, world->part_fd, &fd, &err), FLO_E_BLOB_ABSENT);
}

#define with_world(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_file_is_made_while_its_patch_comes),
        with_world(a_patch_that_was_there_is_applied),
        with_world(a_damaged_payload_is_not_decoded),
        with_world(what_a_liar_sent_is_made_good),
        with_world(a_download_that_ends_early_leaves_what_was_made),
        with_world(without_a_signed_head_nothing_is_decoded_ahead),
        with_world(another_head_than_the_signed_one_is_not_read_on),
        with_world(the_signed_head_of_another_patch_makes_no_wrong_byte),
        with_world(the_patch_of_another_release_is_an_error),
        with_world(whatever_an_earlier_worker_left_the_file_is_right),
        with_world(a_link_in_its_place_is_not_followed),
        with_world(a_base_that_is_gone_is_told_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
