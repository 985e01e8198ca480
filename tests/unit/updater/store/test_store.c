/* The records of the store over a real folder: they tear, rot, and heal. */
#include <errno.h>
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

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/meta.h>
#include <flotilla/errors/state.h>

#include "base/host/digest.h"
#include "blobs.h"
#include "store_world.h"
#include "unit/remove_tree.h"
#include "updater/store/store.h"

static int passing_syncs; /* so many of the next, then */
static int failing_syncs; /* so many */

int fdatasync(int fd) /* in front of the libc's */
{
    if (passing_syncs > 0) {
        passing_syncs--;
    } else if (failing_syncs > 0) {
        failing_syncs--;
        errno = EIO;
        return -1;
    }
    return fsync(fd);
}

static void write_slots(struct world *world, uint8_t current, uint8_t candidate, uint8_t tries)
{
    struct flo_slots slots = {.model = "tiny"};

    slots.current = digest_of(current);
    if (candidate != 0) {
        slots.candidate = digest_of(candidate);
        slots.phase = FLO_SLOT_TRIAL;
        slots.tries_left = tries;
    }
    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
}

static void what_was_written_is_read(void **state)
{
    struct world *world = *state;
    struct flo_slots slots = {
        .model = "tiny",
        .phase = FLO_SLOT_TRIAL,
        .tries_left = 3,
        .attempt = 0x01020304,
        .order_seq = 0x1122334455667788,
        .soak_ms = 900000,
        .soak_requests = 1,
        .soak_errors_ppm = 2,
        .soak_crashes_max = 3,
        .rollout_phase = 4,
        .rollout = "r-0001",
        .order = "o-0007",
    };
    struct flo_slots again;

    slots.current = digest_of(1);
    slots.previous = digest_of(2);
    slots.candidate = digest_of(3);
    slots.baseline = digest_of(4);
    slots.current_number = 41;
    slots.previous_number = 40;
    slots.candidate_number = 42;
    slots.baseline_number = 1;
    slots.floor = 41;
    slots.floor_hard = 38;
    slots.era = 5;
    slots.folded = 12;
    slots.is_removed = true;
    slots.emergency.number = 9;
    slots.emergency.body = digest_of(5);
    /* Field by field: bytes between fields are compared, too, and those of a
     * whole struct would be what the stack had. */
    slots.stated.number = 117;
    slots.stated.target = digest_of(3);
    slots.stated.body = digest_of(6);
    slots.stated.op = FLO_ORDER_ROLLBACK;
    slots.stated.outcome = FLO_STATED_REFUSED;
    slots.stated.below_floor = true;
    strcpy(slots.stated.rollout, "r-0002");
    strcpy(slots.stated.order, "o-0117");
    for (uint8_t i = 0; i < FLO_DENIALS_MAX; i++) {
        struct flo_denial said;
        memset(&said, 0, sizeof(said));
        said.release = digest_of((uint8_t)(100 + i));
        said.number = i;
        said.statement = 200 + i;
        said.cause = (enum flo_denial_cause)(i % 5);
        said.lane = i % 2;
        (void)flo_slots_deny(&slots, &said);
    }
    memset(slots.rollout, 'x', FLO_NAME_MAX);

    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
    again = read_slots(world);

    assert_memory_equal(&again, &slots, sizeof(slots));
    assert_int_equal(again.generation, 1);
}

static void nothing_written_is_no_error(void **state)
{
    struct world *world = *state;
    struct flo_slots slots = read_slots(world);
    struct flo_device device;

    assert_int_equal(slots.generation, 0);
    assert_int_equal(slots.phase, FLO_SLOT_IDLE);
    assert_int_equal(flo_store_device_read(world->store, &device, &world->err), 0);
    assert_int_equal(device.generation, 0);
}

static void the_device_record_is_read_as_written(void **state)
{
    struct world *world = *state;
    struct flo_device device = {.epoch = 3,
                                .era = 2,
                                .trusted_time_ms = 12345,
                                .claimed_time_ms = 12399,
                                .top = 77,
                                .is_frozen = true,
                                .is_frozen_emergency = true,
                                .prompts_stay = true,
                                .prompts_stay_emergency = true,
                                .all_paused = true,
                                .desired_rev = 8,
                                .heartbeat_ms = 2000,
                                .freeze = {70, digest_of(1)},
                                .freeze_emergency = {71, digest_of(2)},
                                .prompts = {75, digest_of(7)},
                                .prompts_emergency = {76, digest_of(8)},
                                .config = {72, digest_of(3)},
                                .report = {73, digest_of(4)},
                                .trust_number = 74,
                                .trust_document = digest_of(5),
                                .pauses_folded = 60,
                                .models_folded = 61,
                                .order_keys = digest_of(6)};
    struct flo_device again;

    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        snprintf(device.pauses[i].rollout, sizeof(device.pauses[i].rollout), "r-%04zu", i);
        device.pauses[i].number = 100 + i;
        device.pauses[i].said = (enum flo_rollout_said)(i % 3);
    }

    assert_int_equal(flo_store_device_write(world->store, &device, &world->err), 0);
    assert_int_equal(flo_store_device_read(world->store, &again, &world->err), 0);

    assert_memory_equal(&again, &device, sizeof(device));
}

/* Writes the image of slots/<name> as it was, then `bytes` of `record` at
 * `offset`, as a torn write would have left it. */
static void tear(struct world *world, const char *name, const uint8_t *image, size_t image_bytes,
                 const uint8_t *record, size_t bytes, off_t offset)
{
    int fd = open_file(world, name, O_RDWR);

    assert_int_equal(pwrite(fd, image, image_bytes, 0), image_bytes);
    assert_int_equal(pwrite(fd, record, bytes, offset), bytes);
    close(fd);
}

/* Three records in turn, so that both places were the newest once; the write
 * of the last is torn at every byte: the step before or the step itself. */
static void a_write_torn_at_any_byte_leaves_the_old_or_the_new_record(void **state)
{
    struct world *world = *state;
    uint8_t before[8192];
    uint8_t after[8192];
    unsigned points = 0;

    for (uint8_t round = 2; round < 4; round++) {
        write_slots(world, (uint8_t)(round - 1), round, 3);
        int fd = open_file(world, "slots/tiny.bin", O_RDONLY);
        assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
        write_slots(world, round, 0, 0);
        assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
        close(fd);
        off_t offset = memcmp(before, after, 4096) != 0 ? 0 : 4096;
        for (size_t bytes = 0; bytes <= 4096; bytes++) {
            tear(world, "slots/tiny.bin", before, sizeof(before), after + offset, bytes, offset);
            struct flo_slots slots = read_slots(world);
            struct flo_digest serves = flo_slots_serving(&slots);
            struct flo_digest old = digest_of(round);
            /* before: the candidate `round` on trial; after: committed. */
            assert_true(flo_digest_equal(&serves, &old));
            assert_int_equal(slots.phase, slots.tries_left == 3 ? FLO_SLOT_TRIAL : FLO_SLOT_IDLE);
            if (bytes == 4096) {
                assert_int_equal(slots.phase, FLO_SLOT_IDLE);
            }
            points++;
            /* And the next write works from there. */
            write_slots(world, 9, 0, 0);
            slots = read_slots(world);
            old = digest_of(9);
            assert_true(flo_digest_equal(&slots.current, &old));
            assert_false(slots.is_repaired);
        }
        tear(world, "slots/tiny.bin", after, sizeof(after), after, 0, 0);
    }
    assert_int_equal(points, 2 * 4097);
}

/* Nobody knows what of it the disk has: the other record is not touched. */
static void a_record_that_was_not_synced_is_written_there_again(void **state)
{
    struct world *world = *state;
    struct flo_slots slots = {.model = "tiny"};
    uint8_t before[8192];
    uint8_t after[8192];

    write_slots(world, 1, 0, 0);
    write_slots(world, 2, 0, 0); /* in the second place */
    int fd = open_file(world, "slots/tiny.bin", O_RDONLY);
    assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
    slots.current = digest_of(3);
    passing_syncs = 1; /* that of what was there before */
    failing_syncs = 1;
    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), FLO_E_IO_WRITE);

    struct flo_slots read = read_slots(world);
    struct flo_digest want = digest_of(2);
    assert_true(flo_digest_equal(&read.current, &want));

    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
    assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
    close(fd);
    assert_memory_equal(before + 4096, after + 4096, 4096);
    read = read_slots(world);
    assert_true(flo_digest_equal(&read.current, &slots.current));
}

static void a_flipped_bit_in_any_place_is_found(void **state)
{
    struct world *world = *state;
    uint8_t image[8192];

    write_slots(world, 1, 0, 0);
    write_slots(world, 2, 0, 0);
    int fd = open_file(world, "slots/tiny.bin", O_RDWR);
    assert_int_equal(pread(fd, image, sizeof(image), 0), sizeof(image));

    for (size_t which = 0; which < 2; which++) {
        for (size_t bit = 0; bit < 4096 * 8; bit++) {
            size_t at = which * 4096 + bit / 8;
            uint8_t bad = image[at] ^ (uint8_t)(1u << (bit % 8));
            assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);

            struct flo_slots slots = read_slots(world);

            /* The record at 0 says 1 and is older; the one at 4096 says 2. */
            struct flo_digest want = digest_of(which == 0 ? 2 : 1);
            assert_true(flo_digest_equal(&slots.current, &want));
            assert_true(slots.is_repaired);
            assert_int_equal(pwrite(fd, &image[at], 1, (off_t)at), 1);
        }
    }
    close(fd);
}

static void two_damaged_records_are_reported_and_healed_by_a_write(void **state)
{
    struct world *world = *state;
    struct flo_slots slots;

    write_slots(world, 1, 0, 0);
    write_slots(world, 2, 0, 0);
    int fd = open_file(world, "slots/tiny.bin", O_RDWR);
    assert_int_equal(pwrite(fd, "?", 1, 100), 1);
    assert_int_equal(pwrite(fd, "?", 1, 4096 + 100), 1);
    close(fd);

    assert_int_equal(flo_store_slots_read(world->store, "tiny", &slots, &world->err),
                     FLO_E_STATE_SLOT);
    assert_int_equal(slots.generation, 0);
    assert_int_equal(slots.phase, FLO_SLOT_IDLE);

    write_slots(world, 3, 0, 0);
    slots = read_slots(world);
    struct flo_digest want = digest_of(3);
    assert_true(flo_digest_equal(&slots.current, &want));
    assert_false(slots.is_repaired);
}

/* A whole record, by its checksum, that says what no agent wrote. */
static void a_record_that_cannot_be_is_reported(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *word;
    } wrong[] = {
        {464, 'T', "of another model"},
        {266, 9, "phase 9"},
        {266, 0, "phase 0"},
        {80, 0, "phase 2"},
        {539, 1, "denials"},
        {264, 4, "statement 4"},
        {265, 4, "statement 0/4"},
        {544 + 48, FLO_DENIAL_CAUSES, "cause"},
        {536, 49, "49 denials"},
    };
    struct world *world = *state;
    struct flo_slots slots = {.model = "tiny", .denial_count = 1};
    uint8_t record[4096], crc[4];

    slots.phase = FLO_SLOT_TRIAL;
    memset(slots.candidate.bytes, 0, sizeof(slots.candidate.bytes));
    slots.candidate.bytes[0] = 1;
    slots.denials[0].release = digest_of(7);
    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
    int fd = open_file(world, "slots/tiny.bin", O_RDWR);
    assert_int_equal(pread(fd, record, sizeof(record), 0), sizeof(record));
    for (size_t i = 0; i < FLO_COUNT(wrong); i++) {
        struct flo_slots got;
        uint8_t before = record[wrong[i].at];
        record[wrong[i].at] = wrong[i].value;
        flo_put_u32(crc, flo_crc32c(0, record, sizeof(record) - 4));
        assert_int_equal(pwrite(fd, record, sizeof(record) - 4, 0), sizeof(record) - 4);
        assert_int_equal(pwrite(fd, crc, 4, sizeof(record) - 4), 4);
        record[wrong[i].at] = before;
        assert_int_equal(flo_store_slots_read(world->store, "tiny", &got, &world->err),
                         FLO_E_STATE_SLOT);
        if (strstr(world->err.what, wrong[i].word) == NULL) {
            fail_msg("%zu: %s", wrong[i].at, world->err.what);
        }
        assert_int_equal(got.generation, 0);
    }
    close(fd);
    slots.denial_count = FLO_DENIALS_MAX;
    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
    assert_int_equal(read_slots(world).denial_count, FLO_DENIALS_MAX);
}

static void a_record_of_the_device_ends_at_its_limits(void **state)
{
    static const struct {
        size_t at;
        uint8_t most;
        const char *word;
    } limits[] = {{2296, FLO_GROUPS_MAX, "17 groups"},
                  {392, FLO_ROLLOUT_ABORTED_BY_ORDER, "of a rollout"},
                  {392 + 80 * (FLO_PAUSES_MAX - 1), FLO_ROLLOUT_ABORTED_BY_ORDER, "of a rollout"}};
    struct world *world = *state;
    struct flo_device device = {.epoch = 1};
    uint8_t record[4096];

    assert_int_equal(flo_store_device_write(world->store, &device, &world->err), 0);
    int fd = open_file(world, "slots/_device.bin", O_RDWR);
    assert_int_equal(pread(fd, record, sizeof(record), 0), sizeof(record));
    for (size_t i = 0; i < FLO_COUNT(limits); i++) {
        for (uint8_t more = 0; more < 2; more++) {
            record[limits[i].at] = (uint8_t)(limits[i].most + more);
            flo_put_u32(record + 4092, flo_crc32c(0, record, 4092));
            assert_int_equal(pwrite(fd, record, sizeof(record), 0), sizeof(record));
            assert_int_equal(flo_store_device_read(world->store, &device, &world->err),
                             more ? FLO_E_STATE_SLOT : 0);
            assert_true(!more || strstr(world->err.what, limits[i].word) != NULL);
        }
        record[limits[i].at] = 0;
    }
    close(fd);
}

static void more_models_than_can_be_listed_keep_all_files(void **state)
{
    struct world *world = *state;
    struct flo_slots slots = {.model = ""};
    struct flo_collected collected;
    struct flo_digest digest;
    char models[FLO_MODELS_MAX][FLO_NAME_MAX + 1], name[FLO_NAME_MAX + 16];
    size_t count;

    assert_int_equal(flo_store_blob_put(world->store, "new", 3, &digest, &world->err), 0);
    snprintf(name, sizeof(name), "slots/m%0*d.bin", FLO_NAME_MAX, 1); /* one letter too many */
    close(open_file(world, name, O_CREAT | O_RDWR));
    close(open_file(world, "slots/.bin", O_CREAT | O_RDWR));
    for (int i = 1; i <= FLO_MODELS_MAX; i++) {
        snprintf(slots.model, sizeof(slots.model), "m%0*d", FLO_NAME_MAX - 1, i);
        slots.generation = 0;
        assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
    }
    assert_int_equal(flo_store_models(world->store, models, FLO_MODELS_MAX, &count, &world->err),
                     0);
    assert_int_equal(count, FLO_MODELS_MAX);
    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, &world->err),
                     FLO_E_STATE);
    assert_true(flo_store_blob_has(world->store, &digest, 3));
    snprintf(name, sizeof(name), "%s.bin", slots.model);
    assert_int_equal(unlinkat(world->store->slots_fd, name, 0), 0);
    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, &world->err), 0);
    assert_false(flo_store_blob_has(world->store, &digest, 3));
}

/* The most bytes of a document are read, and one more is refused. */
static void a_document_above_its_limit_is_not_read(void **state)
{
    struct world *world = *state;
    struct flo_release *release = calloc(1, sizeof(*release));
    char *blanks = malloc(FLO_RELEASE_BYTES_MAX + 1);
    struct flo_digest file, id = put_stepped_of(world, "tiny", "1.0.0", 1, "content", &file, NULL);
    char hex[FLO_DIGEST_TEXT], name[FLO_DIGEST_TEXT + 16], path[256];

    memset(blanks, ' ', FLO_RELEASE_BYTES_MAX + 1);
    flo_digest_text(&id, hex);
    snprintf(name, sizeof(name), "releases/sha256-%s", hex + 7);
    world_path(world, name, path);
    assert_int_equal(chmod(path, 0600), 0);
    for (int more = 0; more < 2; more++) {
        struct flo_buf text = {.bytes_max = 2 * FLO_ENVELOPE_BYTES_MAX};
        assert_int_equal(truncate(path, FLO_ENVELOPE_BYTES_MAX + more), 0);
        assert_int_equal(flo_store_envelope_load(world->store, &id, &text, &world->err),
                         more ? FLO_E_META_TOO_LARGE : 0);
        flo_buf_deinit(&text);
        assert_int_equal(flo_store_blob_put(world->store, blanks,
                                            (size_t)(FLO_RELEASE_BYTES_MAX + more), &file,
                                            &world->err),
                         0);
        assert_int_equal(flo_store_release_load(world->store, &file, release, &world->err),
                         more ? FLO_E_META_TOO_LARGE : FLO_E_META_JSON);
    }
    file = digest_of(3);
    assert_int_equal(flo_store_release_load(world->store, &file, release, &world->err),
                     FLO_E_BLOB_ABSENT);
    free(blanks);
    free(release);
}

static void a_slot_whose_release_is_not_here_keeps_all_files(void **state)
{
    struct world *world = *state;
    struct flo_collected collected;
    struct flo_digest digest;

    assert_int_equal(flo_store_blob_put(world->store, "new", 3, &digest, &world->err), 0);
    for (int i = 0; i < 4; i++) {
        struct flo_slots slots = {.model = "tiny",
                                  .phase = i == 2 ? FLO_SLOT_TRIAL : FLO_SLOT_IDLE};
        struct flo_digest *const places[] = {&slots.current, &slots.previous, &slots.candidate,
                                             &slots.baseline};
        *places[i] = digest_of(5);
        assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), 0);
        assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, &world->err),
                         FLO_E_BLOB_ABSENT);
        assert_true(flo_store_blob_has(world->store, &digest, 3));
    }
}

static void a_model_whose_name_leads_elsewhere_has_no_record(void **state)
{
    struct world *world = *state;
    struct flo_slots slots = {.model = "../tiny"};

    assert_int_equal(flo_store_slots_read(world->store, "../tiny", &slots, &world->err),
                     FLO_E_META_NAME);
    assert_int_equal(flo_store_slots_remove(world->store, "../tiny", &world->err), FLO_E_META_NAME);
    snprintf(slots.model, sizeof(slots.model), "../tiny");
    assert_int_equal(flo_store_slots_write(world->store, &slots, &world->err), FLO_E_META_NAME);
}

static void a_file_of_any_length_of_garbage_is_reported(void **state)
{
    struct world *world = *state;
    struct flo_slots slots;
    uint8_t garbage[4097];

    memset(garbage, 0xa5, sizeof(garbage));
    for (size_t bytes = 0; bytes <= sizeof(garbage); bytes += 241) {
        int fd = open_file(world, "slots/tiny.bin", O_RDWR | O_CREAT | O_TRUNC);
        assert_int_equal(pwrite(fd, garbage, bytes, 0), bytes);
        close(fd);
        assert_int_equal(flo_store_slots_read(world->store, "tiny", &slots, &world->err),
                         bytes == 0 ? 0 : FLO_E_STATE_SLOT);
        assert_int_equal(slots.generation, 0);
    }
}

static void the_device_record_survives_a_write_torn_at_any_sector_and_byte(void **state)
{
    struct world *world = *state;
    struct flo_device device = {.epoch = 1};
    struct flo_device again;
    uint8_t before[8192];
    uint8_t after[8192];

    assert_int_equal(flo_store_device_write(world->store, &device, NULL), 0);
    device.epoch = 2;
    assert_int_equal(flo_store_device_write(world->store, &device, NULL), 0);
    int fd = open_file(world, "slots/_device.bin", O_RDWR);
    assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
    device.epoch = 3;
    snprintf(device.pauses[0].rollout, sizeof(device.pauses[0].rollout), "r-0001");
    device.pauses[0].said = FLO_ROLLOUT_PAUSED_BY_ORDER;
    assert_int_equal(flo_store_device_write(world->store, &device, NULL), 0);
    assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
    off_t offset = memcmp(before, after, 4096) != 0 ? 0 : 4096;

    for (size_t bytes = 0; bytes <= 4096; bytes += bytes < 64 ? 1 : 61) {
        tear(world, "slots/_device.bin", before, sizeof(before), after + offset, bytes, offset);
        assert_int_equal(flo_store_device_read(world->store, &again, NULL), 0);
        assert_true(again.epoch == 2 || again.epoch == 3);
        assert_int_equal(flo_device_rollout(&again, "r-0001", 0) == FLO_ROLLOUT_PAUSED_BY_ORDER,
                         again.epoch == 3);
    }
    /* Sectors reach the flash in any order. */
    for (unsigned sectors = 0; sectors < 256; sectors++) {
        tear(world, "slots/_device.bin", before, sizeof(before), before, 0, 0);
        for (unsigned i = 0; i < 8; i++) {
            if (sectors >> i & 1) {
                off_t at = offset + 512 * (off_t)i;
                assert_int_equal(pwrite(fd, after + at, 512, at), 512);
            }
        }
        assert_int_equal(flo_store_device_read(world->store, &again, NULL), 0);
        /* The difference lies in sector 0 and the crc lies in sector 7. */
        assert_int_equal(again.epoch, (sectors & 0x81) == 0x81 ? 3 : 2);
    }
    close(fd);
}

static void a_second_holder_is_told_the_pid_of_the_first(void **state)
{
    struct world *world = *state;
    struct flo_store *second = NULL;
    struct flo_err err = {0};
    char pid[32];

    assert_int_equal(flo_store_open(world->dir, true, &second, &err), FLO_E_STATE_LOCKED);
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    assert_non_null(strstr(err.what, pid));

    assert_int_equal(flo_store_open(world->dir, false, &second, &err), 0);
    struct flo_slots slots = {.model = "tiny"};
    struct flo_device device = {0};
    assert_int_equal(flo_store_slots_write(second, &slots, &err), FLO_E_STATE);
    assert_int_equal(flo_store_device_write(second, &device, &err), FLO_E_STATE);
    assert_int_equal(flo_store_collect(second, NULL, 0, NULL, &err), FLO_E_STATE);
    flo_store_close(second);
}

static void a_folder_that_others_may_enter_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_store *second = NULL;
    struct flo_err err = {0};

    assert_int_equal(chmod(world->dir, 0750), 0);
    assert_int_equal(flo_store_open(world->dir, false, &second, &err), FLO_E_CFG_PERM);
    assert_int_equal(chmod(world->dir, 0700), 0);
}

static int no_nameless; /* errno of an open without a name; 0: it works */

int openat(int dir, const char *path, int flags, ...) /* before the libc's */
{
    va_list rest;

    va_start(rest, flags);
    unsigned mode = va_arg(rest, unsigned);
    va_end(rest);
    if ((flags & O_TMPFILE) == O_TMPFILE && no_nameless != 0) {
        errno = no_nameless;
        return -1;
    }
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

static void a_file_system_without_nameless_files_is_refused_at_open(void **state)
{
    struct world *world = *state;
    static const struct {
        int number, code;
    } rows[] = {{EOPNOTSUPP, FLO_E_IO_OPEN},
                {EISDIR, FLO_E_IO_OPEN},
                {EROFS, 0}, /* what is there is served */
                {ENOSPC, 0},
                {0, 0}};
    struct flo_err err = {0};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        flo_store_close(world->store);
        world->store = NULL;
        no_nameless = rows[i].number;
        int rv = flo_store_open(world->dir, true, &world->store, &err);
        no_nameless = 0;
        assert_int_equal(rv, rows[i].code);
        if (rv < 0) {
            assert_non_null(strstr(err.what, "O_TMPFILE"));
        }
    }
}

static void a_planted_symbolic_link_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_store *second = NULL;
    struct flo_digest digest;
    struct flo_err err = {0};
    char path[256];
    int fd = -1;

    flo_sha256("x", 1, &digest);
    char name[128] = "blobs/sha256-";
    flo_hex_encode(digest.bytes, 32, name + strlen(name));
    world_path(world, name, path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_false(flo_store_blob_has(world->store, &digest, 0));
    assert_int_equal(flo_store_blob_open(world->store, &digest, &fd, NULL, &err), FLO_E_IO_SYMLINK);

    world_path(world, "slots/tiny.bin", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    struct flo_slots slots;
    assert_int_equal(flo_store_slots_read(world->store, "tiny", &slots, &err), FLO_E_IO_SYMLINK);

    flo_store_close(world->store);
    world->store = NULL;
    world_path(world, "blobs", path);
    assert_int_equal(remove_tree(path), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(flo_store_open(world->dir, true, &second, &err), FLO_E_IO_SYMLINK);
    assert_int_equal(unlink(path), 0);
}

#define with_store(test) cmocka_unit_test_setup_teardown(test, world_set_up, world_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_store(what_was_written_is_read),
        with_store(nothing_written_is_no_error),
        with_store(the_device_record_is_read_as_written),
        with_store(a_write_torn_at_any_byte_leaves_the_old_or_the_new_record),
        with_store(a_flipped_bit_in_any_place_is_found),
        with_store(a_record_that_was_not_synced_is_written_there_again),
        with_store(two_damaged_records_are_reported_and_healed_by_a_write),
        with_store(a_file_of_any_length_of_garbage_is_reported),
        with_store(a_record_that_cannot_be_is_reported),
        with_store(a_record_of_the_device_ends_at_its_limits),
        with_store(more_models_than_can_be_listed_keep_all_files),
        with_store(a_document_above_its_limit_is_not_read),
        with_store(a_slot_whose_release_is_not_here_keeps_all_files),
        with_store(a_model_whose_name_leads_elsewhere_has_no_record),
        with_store(the_device_record_survives_a_write_torn_at_any_sector_and_byte),
        with_store(a_second_holder_is_told_the_pid_of_the_first),
        with_store(a_folder_that_others_may_enter_is_refused),
        with_store(a_file_system_without_nameless_files_is_refused_at_open),
        with_store(a_planted_symbolic_link_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
