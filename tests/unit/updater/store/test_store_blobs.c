/* Blobs and release documents of the store over a real folder, and their
 * collection. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/io.h>

#include "base/host/digest.h"
#include "blobs.h"
#include "store_world.h"
#include "unit/remove_tree.h"
#include "updater/store/store.h"

static void a_blob_has_its_name_only_when_published(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    uint64_t bytes = 0;
    char text[8] = "";
    int fd = -1;

    flo_sha256("hello", 5, &digest);
    assert_int_equal(flo_store_blob_create(world->store, 5, &fd, NULL), 0);
    assert_int_equal(flo_fd_write_all(fd, "hello", 5, NULL), 0);
    assert_false(flo_store_blob_has(world->store, &digest, 0));

    assert_int_equal(flo_store_blob_publish(world->store, fd, &digest, NULL), 0);
    assert_int_equal(flo_store_blob_publish(world->store, fd, &digest, NULL), 0);
    close(fd);

    assert_true(flo_store_blob_has(world->store, &digest, 5));
    assert_false(flo_store_blob_has(world->store, &digest, 6));
    assert_int_equal(flo_store_blob_open_verified(world->store, &digest, &fd, &bytes, NULL), 0);
    assert_int_equal(bytes, 5);
    assert_int_equal(flo_fd_pread_all(fd, text, 5, 0, NULL), 0);
    assert_string_equal(text, "hello");
    close(fd);
}

static void a_rotten_blob_is_put_aside_as_it_is(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    struct flo_err err = {0};
    char name[128] = "blobs/sha256-";
    char path[256];
    struct stat facts;
    int fd = -1;

    assert_int_equal(flo_store_blob_put(world->store, "hello", 5, &digest, &err), 0);
    flo_hex_encode(digest.bytes, 32, name + strlen(name));
    world_path(world, name, path);
    assert_int_equal(chmod(path, 0600), 0);
    fd = open_file(world, name, O_RDWR);
    assert_int_equal(pwrite(fd, "H", 1, 0), 1);
    assert_int_equal(fchmod(fd, 0400), 0);
    close(fd);

    assert_int_equal(flo_store_blob_open_verified(world->store, &digest, &fd, NULL, &err),
                     FLO_E_TARGET_HASH);

    assert_false(flo_store_blob_has(world->store, &digest, 0));
    strcat(name, ".rotten");
    world_path(world, name, path);
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0400);
    assert_int_equal(flo_store_blob_open(world->store, &digest, &fd, NULL, &err),
                     FLO_E_BLOB_ABSENT);
}

static void more_than_the_disk_has_is_refused_with_numbers(void **state)
{
    struct world *world = *state;
    struct flo_err err = {0};
    int fd = -1;

    int rv = flo_store_blob_create(world->store, UINT64_C(1) << 50, &fd, &err);

    assert_int_equal(rv, FLO_E_DISK_FULL);
    assert_non_null(strstr(err.what, "1125899906842624 bytes needed"));
}

static struct flo_digest put_release_of(struct world *world, const char *model, const char *version,
                                        uint64_t number, const char *content,
                                        struct flo_digest *file)
{
    return put_stepped_of(world, model, version, number, content, file, NULL);
}

static struct flo_digest put_release(struct world *world, const char *version, uint64_t number,
                                     const char *content, struct flo_digest *file)
{
    return put_release_of(world, "tiny", version, number, content, file);
}

static void keep_prefix(struct world *world, const struct flo_digest *release)
{
    char name[128] = "prefix/sha256-";
    size_t chars = strlen(name);

    assert_int_equal(mkdirat(world->store->dir_fd, "prefix", 0700), 0);
    flo_hex_encode(release->bytes, sizeof(release->bytes), name + chars);
    strcat(name, ".prefix");
    close(open_file(world, name, O_RDWR | O_CREAT));
}

static void collection_keeps_downloads_under_way(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};
    struct stat st;

    close(open_file(world, "partial/x.part", O_RDWR | O_CREAT));

    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, NULL), 0);

    assert_int_equal(collected.files, 0);
    assert_int_equal(fstatat(world->store->dir_fd, "partial/x.part", &st, 0), 0);
}

/* The updater was killed between an envelope's last byte and its name. */
static void collection_removes_what_a_killed_updater_left_and_no_living_ones(void **state)
{
    struct world *world = *state;
    struct stat st;

    close(open_file(world, "releases/sha256-0a.tmp-new", O_RDWR | O_CREAT));
    int living = open_file(world, "releases/sha256-0b.tmp-new", O_RDWR | O_CREAT);
    assert_int_equal(flock(living, LOCK_EX), 0);

    assert_int_equal(flo_store_collect(world->store, NULL, 0, NULL, NULL), 0);

    assert_int_not_equal(fstatat(world->store->dir_fd, "releases/sha256-0a.tmp-new", &st, 0), 0);
    assert_int_equal(fstatat(world->store->dir_fd, "releases/sha256-0b.tmp-new", &st, 0), 0);
    close(living);
}

/* Models that cannot be listed are not models that are not there: descriptors,
 * memory and reading fail in the same call. */
static void collection_without_a_descriptor_removes_nothing(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};
    struct flo_slots slots = {.model = "tiny"};
    struct flo_digest file;
    struct rlimit before, none;

    slots.current = put_release(world, "1.0.0", 1, "one", &file);
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int rv = flo_store_collect(world->store, NULL, 0, &collected, &world->err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

    assert_int_equal(rv, FLO_E_DESCRIPTORS);
    assert_int_equal(collected.files, 0);
    assert_true(flo_store_blob_has(world->store, &slots.current, 0));
    assert_true(flo_store_blob_has(world->store, &file, 0));
}

static void collection_keeps_what_slots_and_baseline_name(void **state)
{
    struct world *world = *state;
    struct flo_digest files[5];
    struct flo_digest documents[5];
    struct flo_collected collected = {0};
    const char *const contents[5] = {"one", "two", "three", "four", "five"};
    const char *const versions[5] = {"1.0.0", "2.0.0", "3.0.0", "4.0.0", "5.0.0"};

    for (size_t i = 0; i < 5; i++) {
        documents[i] = put_release(world, versions[i], i + 1, contents[i], &files[i]);
    }
    struct flo_slots slots = {.model = "tiny", .phase = FLO_SLOT_STAGED};
    slots.current = documents[1];
    slots.previous = documents[0];
    slots.candidate = documents[2];
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    int fd = -1;
    keep_prefix(world, &documents[0]);

    assert_int_equal(flo_store_collect(world->store, &documents[3], 1, &collected, &world->err), 0);

    for (size_t i = 0; i < 4; i++) {
        assert_true(flo_store_blob_has(world->store, &documents[i], 0));
        assert_true(flo_store_blob_has(world->store, &files[i], 0));
    }
    assert_false(flo_store_blob_has(world->store, &documents[4], 0));
    assert_false(flo_store_blob_has(world->store, &files[4], 0));
    struct flo_buf envelope = {0};
    assert_int_equal(flo_store_envelope_load(world->store, &documents[3], &envelope, NULL), 0);
    flo_buf_deinit(&envelope);
    assert_int_equal(flo_store_envelope_load(world->store, &documents[4], &envelope, NULL),
                     FLO_E_BLOB_ABSENT);
    assert_int_equal(collected.files, 3); /* body, envelope, file */
    assert_true(flo_store_prefix_has(world->store, &documents[0]));

    /* A commit later the old previous goes, unless it is the baseline; and the
     * older record image no longer names what went. */
    slots = read_slots(world);
    slots.phase = FLO_SLOT_TRIAL;
    assert_int_equal(flo_slots_commit(&slots, NULL), 0);
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, NULL), 0);
    assert_false(flo_store_blob_has(world->store, &files[0], 0));
    assert_false(flo_store_blob_has(world->store, &files[3], 0));
    assert_false(flo_store_prefix_has(world->store, &documents[0]));
    for (off_t which = 0; which < 2; which++) {
        struct flo_slots either;
        uint8_t byte = 0;
        fd = open_file(world, "slots/tiny.bin", O_RDWR);
        assert_int_equal(pread(fd, &byte, 1, which * 4096 + 9), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, which * 4096 + 9), 1);
        either = read_slots(world);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, which * 4096 + 9), 1);
        close(fd);
        assert_true(either.is_repaired);
        assert_memory_equal(&either.current, &documents[2], 32);
        assert_memory_equal(&either.previous, &documents[1], 32);
        assert_int_equal(either.phase, FLO_SLOT_IDLE);
    }
}

/* A worker was killed between two deltas of a chain; another model's commit
 * collects then. */
static void a_step_stays_while_its_release_is_on_its_way(void **state)
{
    struct world *world = *state;
    struct flo_digest file, step;
    struct flo_slots slots = {.model = "tiny"};

    assert_int_equal(flo_store_blob_put(world->store, "two", 3, &step, &world->err), 0);
    slots.current = put_release(world, "1.0.0", 1, "one", &file);
    slots.stated.target = put_stepped_of(world, "tiny", "3.0.0", 3, "three", &file, &step);
    slots.stated.number = 7;
    slots.stated.outcome = FLO_STATED_OPEN;
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    assert_int_equal(flo_store_collect(world->store, NULL, 0, NULL, &world->err), 0);
    assert_true(flo_store_blob_has(world->store, &step, 0));

    flo_store_keep_steps(world->store, false); /* the disk is full */
    assert_int_equal(flo_store_collect(world->store, NULL, 0, NULL, &world->err), 0);
    assert_false(flo_store_blob_has(world->store, &step, 0));
    assert_true(flo_store_blob_has(world->store, &file, 0));
    flo_store_keep_steps(world->store, true);
    assert_int_equal(flo_store_blob_put(world->store, "two", 3, &step, &world->err), 0);

    slots.previous = slots.current;
    slots.current = slots.stated.target;
    slots.stated.outcome = FLO_STATED_DONE;
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    assert_int_equal(flo_store_collect(world->store, NULL, 0, NULL, &world->err), 0);
    assert_false(flo_store_blob_has(world->store, &step, 0));
    assert_true(flo_store_blob_has(world->store, &file, 0));
}

/* Bytes of a document that another program, or the disk, changed. */
static void a_document_that_rotted_or_grew_is_not_loaded(void **state)
{
    struct world *world = *state;
    static struct flo_release release; /* large */
    struct flo_digest file;
    char name[FLO_BLOB_NAME + 8] = "blobs/";
    struct flo_digest id = put_release(world, "1.0.0", 1, "one", &file);

    flo_store_blob_name(&id, name + strlen(name));
    assert_int_equal(flo_store_release_load(world->store, &id, &release, &world->err), 0);
    flo_release_deinit(&release);

    assert_int_equal(fchmodat(world->store->dir_fd, name, 0600, 0), 0);
    int fd = open_file(world, name, O_RDWR);
    char text[4096];
    ssize_t bytes = pread(fd, text, sizeof(text) - 1, 0);
    assert_true(bytes > 0);
    text[bytes] = '\0';
    char *version = strstr(text, "1.0.0");
    assert_int_equal(pwrite(fd, "1.0.1", 5, version - text), 5);
    assert_int_equal(flo_store_release_load(world->store, &id, &release, &world->err),
                     FLO_E_TARGET_HASH);

    assert_int_equal(ftruncate(fd, FLO_RELEASE_BYTES_MAX + 1), 0);
    assert_int_equal(flo_store_release_load(world->store, &id, &release, &world->err),
                     FLO_E_META_TOO_LARGE);
    close(fd);
}

static void damage_record(const struct world *world, const char *name)
{
    int fd = open_file(world, name, O_RDWR | O_CREAT);

    assert_int_equal(pwrite(fd, "garbage", 7, 0), 7);
    close(fd);
}

/* Another model's release, and one that nobody names. */
static void a_damaged_record_keeps_what_it_may_name_and_no_more(void **state)
{
    struct world *world = *state;
    struct flo_collected collected = {0};
    struct flo_digest files[4], ids[4];
    char name[128] = "releases/";

    ids[0] = put_release(world, "1.0.0", 1, "one", &files[0]);
    ids[1] = put_release(world, "2.0.0", 2, "two", &files[1]);
    ids[2] = put_release_of(world, "other", "1.0.0", 1, "three", &files[2]);
    ids[3] = put_release_of(world, "third", "1.0.0", 1, "four", &files[3]);
    damage_record(world, "slots/tiny.bin");
    struct flo_slots slots = {.model = "other"};
    slots.current = ids[2];
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    /* A body stays also where its envelope is gone, and one that rotted where
     * its envelope is here. */
    flo_store_blob_name(&ids[0], name + strlen(name));
    assert_int_equal(unlinkat(world->store->dir_fd, name, 0), 0);
    blob_lose(world->store, &ids[1]);

    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, &world->err), 0);

    assert_int_equal(collected.files, 3); /* of `third`: body, envelope, file */
    for (size_t i = 0; i < 3; i++) {
        assert_true(flo_store_blob_has(world->store, &files[i], 0));
    }
    assert_true(flo_store_blob_has(world->store, &ids[0], 0));
    assert_false(flo_store_blob_has(world->store, &files[3], 0));
}

static void nothing_goes_where_a_damaged_record_may_name_what_nobody_reads(void **state)
{
    struct world *world = *state;
    struct flo_digest files[2];
    char name[128] = "releases/";
    struct flo_digest id = put_release(world, "1.0.0", 1, "one", &files[0]);

    (void)put_release_of(world, "third", "1.0.0", 1, "two", &files[1]);
    damage_record(world, "slots/tiny.bin");
    blob_lose(world->store, &id);
    flo_store_blob_name(&id, name + strlen(name));
    assert_int_equal(unlinkat(world->store->dir_fd, name, 0), 0);
    close(open_file(world, name, O_RDWR | O_CREAT)); /* empty */

    assert_true(flo_store_collect(world->store, NULL, 0, NULL, &world->err) < 0);
    assert_non_null(strstr(world->err.what, "record of tiny"));
    assert_true(flo_store_blob_has(world->store, &files[0], 0));
    assert_true(flo_store_blob_has(world->store, &files[1], 0));
}

static void one_body_in_two_envelopes_is_kept_once(void **state)
{
    struct world *world = *state;
    struct flo_buf here = {0};
    struct flo_digest file;
    struct flo_digest id = put_release(world, "1.0.0", 1, "one", &file);
    struct flo_digest again;
    int fd = -1;
    char body[4096];
    uint64_t bytes = 0;

    assert_int_equal(flo_store_blob_open(world->store, &id, &fd, &bytes, NULL), 0);
    assert_true(bytes < sizeof(body));
    assert_int_equal(flo_fd_pread_all(fd, body, bytes, 0, NULL), 0);
    close(fd);
    struct flo_release_document document = {"another", 7, body, bytes};
    assert_int_equal(flo_store_release_put(world->store, &document, &world->err), 0);
    flo_sha256(body, bytes, &again);

    assert_memory_equal(&again, &id, sizeof(id));
    assert_int_equal(flo_store_envelope_load(world->store, &id, &here, NULL), 0);
    assert_int_equal(here.bytes, 7);
    assert_memory_equal(here.data, "another", 7);
    flo_buf_deinit(&here);
}

static void a_lost_record_is_recovered_from_whole_releases(void **state)
{
    struct world *world = *state;
    struct flo_digest files[4];
    struct flo_digest documents[4];
    struct flo_slots slots;

    documents[0] = put_release(world, "1.0.0", 1, "one", &files[0]);
    documents[1] = put_release(world, "2.0.0", 2, "two", &files[1]);
    documents[2] = put_release(world, "3.0.0", 3, "three", &files[2]);
    documents[3] = put_release(world, "4.0.0", 4, "four", &files[3]);
    blob_lose(world->store, &files[1]);
    blob_lose(world->store, &files[3]);

    assert_int_equal(flo_store_slots_recover(world->store, "tiny", &slots, &world->err), 0);

    assert_int_equal(slots.floor, 3);
    assert_int_equal(slots.current_number, 3);
    assert_memory_equal(&slots.current, &documents[2], 32);
    assert_memory_equal(&slots.previous, &documents[0], 32);
    assert_int_equal(flo_store_slots_recover(world->store, "other", &slots, &world->err),
                     FLO_E_ABSENT);
}

static void models_are_listed_in_order(void **state)
{
    struct world *world = *state;
    struct flo_device device = {0};
    char models[4][FLO_NAME_MAX + 1];
    const char *const names[] = {"b", "c", "a"};

    assert_int_equal(flo_store_device_write(world->store, &device, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        struct flo_slots slots = {.generation = 0};
        strcpy(slots.model, names[i]);
        assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    }

    size_t count = 0;
    assert_int_equal(flo_store_models(world->store, models, 4, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_string_equal(models[0], "a");
    assert_string_equal(models[1], "b");
    assert_string_equal(models[2], "c");
    struct flo_slots slots;
    assert_int_equal(flo_store_slots_read(world->store, "../x", &slots, NULL), FLO_E_META_NAME);
}

#define with_store(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_store(a_blob_has_its_name_only_when_published),
        with_store(a_rotten_blob_is_put_aside_as_it_is),
        with_store(more_than_the_disk_has_is_refused_with_numbers),
        with_store(collection_keeps_downloads_under_way),
        with_store(collection_removes_what_a_killed_updater_left_and_no_living_ones),
        with_store(collection_without_a_descriptor_removes_nothing),
        with_store(collection_keeps_what_slots_and_baseline_name),
        with_store(a_step_stays_while_its_release_is_on_its_way),
        with_store(a_document_that_rotted_or_grew_is_not_loaded),
        with_store(a_damaged_record_keeps_what_it_may_name_and_no_more),
        with_store(nothing_goes_where_a_damaged_record_may_name_what_nobody_reads),
        with_store(a_lost_record_is_recovered_from_whole_releases),
        with_store(one_body_in_two_envelopes_is_kept_once),
        with_store(models_are_listed_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
