/* Records that an agent of format 1 wrote: read once, at the first start. */
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

#include <flotilla/errors/state.h>
#include <flotilla/updater.h>

#include "unit/remove_tree.h"

static ino_t watched; /* a folder */
static int watched_syncs;

int fsync(int fd) /* in front of the libc's */
{
    struct stat st;

    watched_syncs += fstat(fd, &st) == 0 && st.st_ino == watched;
    return (int)syscall(SYS_fsync, fd);
}

struct old {
    char dir[64];
    struct flo_store *store;
    struct flo_err err;
};

static void put_file(const struct old *old, const char *from, const char *to)
{
    char path[256];
    char *data = NULL;
    size_t bytes;

    snprintf(path, sizeof(path), "tests/golden/records/%s", from);
    assert_int_equal(flo_file_read(path, 1 << 20, &data, &bytes, NULL), 0);
    snprintf(path, sizeof(path), "%s/slots/%s", old->dir, to);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, bytes), bytes);
    close(fd);
    free(data);
}

static void put_envelope(const struct old *old, unsigned number)
{
    struct flo_digest digest;
    char path[256];
    char *data = NULL;
    size_t bytes;

    snprintf(path, sizeof(path), "tests/golden/records/release-%u.json", number);
    assert_int_equal(flo_file_read(path, 1 << 20, &data, &bytes, NULL), 0);
    assert_int_equal(flo_store_blob_put(old->store, data, bytes, &digest, NULL), 0);
    free(data);
}

static int set_up(void **state)
{
    struct old *old = calloc(1, sizeof(*old));

    snprintf(old->dir, sizeof(old->dir), "/tmp/flo-upgrade-XXXXXX");
    assert_non_null(mkdtemp(old->dir));
    assert_int_equal(flo_store_open(old->dir, true, &old->store, &old->err), 0);
    put_file(old, "format1-tiny.bin", "tiny.bin");
    put_file(old, "format1-device.bin", "_device.bin");
    *state = old;
    return 0;
}

static int tear_down(void **state)
{
    struct old *old = *state;
    int rv;

    flo_store_close(old->store);
    rv = remove_tree(old->dir);
    free(old);
    return rv;
}

/* The ids of the bodies in release-<n>.json. */
static struct flo_digest id_of(unsigned number)
{
    static const char *const ids[] = {
        "0a87a6d7b06a051d7fff635fdc9b6c96d70e476467bd3b3dbaa4ab624a1503b5",
        "5113fa1a0c8cc4b317c7ba62c0ea51269fbda90d26314746fb0c898d43730aff",
        "9fea7e9d9f6a3ceeae2c071337153b3b8a59c14b0d2f879e2ba0cf4072f2bb1e"};
    struct flo_digest digest;

    assert_true(flo_hex_decode(ids[number - 1], digest.bytes, 32));
    return digest;
}

static struct flo_slots slots_of(struct old *old)
{
    struct flo_slots slots;

    assert_int_equal(flo_store_slots_read(old->store, "tiny", &slots, &old->err), 0);
    return slots;
}

#define assert_is(digest, number)                                                                  \
    do {                                                                                           \
        struct flo_digest want = id_of(number);                                                    \
        assert_memory_equal(&(digest), &want, sizeof(want));                                       \
    } while (0)

static void assert_upgraded(struct old *old)
{
    struct flo_slots slots = slots_of(old);
    struct flo_device device;
    struct flo_digest first = id_of(1);
    struct flo_buf envelope = {0};

    assert_is(slots.current, 2);
    assert_is(slots.candidate, 3);
    assert_is(slots.previous, 1);
    assert_is(slots.baseline, 1);
    assert_int_equal(slots.current_number, 41);
    assert_int_equal(slots.candidate_number, 42);
    assert_int_equal(slots.floor, 41);
    assert_int_equal(slots.phase, FLO_SLOT_TRIAL);
    assert_int_equal(slots.tries_left, 2);
    assert_int_equal(slots.soak_ms, 30000);
    assert_int_equal(slots.attempt, 2);
    assert_string_equal(slots.rollout, "r-0007");
    assert_string_equal(slots.order, "o-0077");
    assert_int_equal(slots.stated.number, 0);
    assert_int_equal(slots.denial_count, 1);
    assert_int_equal(flo_slots_denial(&slots, &first, 0), FLO_DENIAL_ORDERED);
    assert_int_equal(flo_store_envelope_load(old->store, &slots.current, &envelope, NULL), 0);
    flo_buf_deinit(&envelope);
    assert_int_equal(flo_store_device_read(old->store, &device, NULL), 0);
    assert_int_equal(device.epoch, 1);
    assert_int_equal(device.top, 1234);
    assert_true(device.is_frozen);
    assert_int_equal(device.trusted_time_ms, UINT64_C(1795300001000));
    assert_int_equal(device.desired_rev, 12);
    assert_int_equal(device.order_keys.bytes[31], 0x5a);
    assert_int_equal(device.freeze.number, 0);
}

static void what_format_1_said_is_said_by_format_2(void **state)
{
    struct old *old = *state;

    for (unsigned i = 1; i <= 3; i++) {
        put_envelope(old, i);
    }
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    assert_upgraded(old);

    struct flo_slots before = slots_of(old);
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    assert_int_equal(slots_of(old).generation, before.generation);
}

/* Between two files: the first is new, the other one old. */
static void an_upgrade_that_was_cut_goes_on(void **state)
{
    struct old *old = *state;

    for (unsigned i = 1; i <= 3; i++) {
        put_envelope(old, i);
    }
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    put_file(old, "format1-device.bin", "_device.bin");
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    assert_upgraded(old);

    put_file(old, "format1-tiny.bin", "tiny.bin");
    put_file(old, "format1-device.bin", "_device.bin");
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    assert_upgraded(old);
}

/* Their names may not be on the disk yet, and the record will name them. */
static void envelopes_of_an_upgrade_that_was_cut_are_synced(void **state)
{
    struct old *old = *state;
    char path[256];
    struct stat st;

    for (unsigned i = 1; i <= 3; i++) {
        put_envelope(old, i);
    }
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    put_file(old, "format1-tiny.bin", "tiny.bin");
    snprintf(path, sizeof(path), "%s/releases", old->dir);
    assert_int_equal(stat(path, &st), 0);
    watched = st.st_ino;
    watched_syncs = 0;

    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);

    assert_int_equal(watched_syncs, 3);
}

static void without_the_current_document_the_record_waits_for_recovery(void **state)
{
    struct old *old = *state;
    struct flo_slots slots;

    flo_log_level_set(FLO_LOG_ERROR);
    put_envelope(old, 1);
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    flo_log_level_set(FLO_LOG_INFO);
    assert_int_equal(flo_store_slots_read(old->store, "tiny", &slots, &old->err), FLO_E_STATE_SLOT);
}

static void a_candidate_whose_document_is_gone_is_forgotten(void **state)
{
    struct old *old = *state;

    flo_log_level_set(FLO_LOG_ERROR);
    put_envelope(old, 2);
    assert_int_equal(flo_store_upgrade(old->store, &old->err), 0);
    flo_log_level_set(FLO_LOG_INFO);

    struct flo_slots slots = slots_of(old);
    assert_is(slots.current, 2);
    assert_true(flo_digest_is_zero(&slots.candidate));
    assert_int_equal(slots.phase, FLO_SLOT_IDLE);
    assert_string_equal(slots.rollout, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_format_1_said_is_said_by_format_2, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_upgrade_that_was_cut_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(envelopes_of_an_upgrade_that_was_cut_are_synced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(without_the_current_document_the_record_waits_for_recovery,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_candidate_whose_document_is_gone_is_forgotten, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
