/* Deltas of files that are no models: above the size that a suffix array may
 * have, in bounded memory, exact, and with an index that never overflows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "delta_help.h"

#include "updater/delta/publish/plan.h"

#define MIB (1u << 20)

/* ---- a large pair: islands of noise in a sea of zeros ---- */

#define ISLANDS 24
#define ISLAND_BYTES (256u << 10)
#define STRIDE_BYTES (13u << 20)
#define OLD_BYTES ((uint64_t)ISLANDS * STRIDE_BYTES) /* 312 MiB */
#define EDIT_EVERY 1500
#define APPENDED_BYTES 100000u
/* The islands change places; behind the fifth some bytes are inserted. */
#define INSERT_BEHIND 5
#define INSERTED_BYTES 1000u
#define NEW_BYTES (OLD_BYTES + INSERTED_BYTES + APPENDED_BYTES)

static uint64_t new_island_at(unsigned i)
{
    return (uint64_t)i * STRIDE_BYTES + (i > INSERT_BEHIND ? INSERTED_BYTES : 0);
}

static void put(int fd, const void *data, size_t bytes, uint64_t at)
{
    assert_int_equal(pwrite(fd, data, bytes, (off_t)at), bytes);
}

/* A file with holes that is gone with its descriptor. */
static int holes(uint64_t bytes)
{
    char path[] = "/tmp/flo-blocks-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
    return fd;
}

static void make_pair(int old_fd, int new_fd)
{
    static uint8_t island[ISLAND_BYTES];

    for (unsigned i = 0; i < ISLANDS; i++) {
        fill(island, sizeof island, i + 1);
        put(old_fd, island, sizeof island, (uint64_t)i * STRIDE_BYTES);
        for (size_t k = i; k < sizeof island; k += EDIT_EVERY) {
            island[k] ^= 0x55;
        }
        unsigned place = (i * 7 + 3) % ISLANDS;
        put(new_fd, island, sizeof island, new_island_at(place));
    }
    fill(island, APPENDED_BYTES, 99);
    put(new_fd, island, INSERTED_BYTES, new_island_at(INSERT_BEHIND) + ISLAND_BYTES);
    put(new_fd, island, APPENDED_BYTES, NEW_BYTES - APPENDED_BYTES);
}

struct comparison {
    int new_fd;
    uint64_t at;
    bool differs;
};

static int compare_piece(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    static uint8_t wanted[MIB];
    struct comparison *comparison = context;

    assert_true(bytes <= sizeof wanted);
    int rv = flo_fd_pread_all(comparison->new_fd, wanted, bytes, comparison->at, err);
    comparison->differs = comparison->differs || rv != 0 || memcmp(wanted, data, bytes) != 0;
    comparison->at += bytes;
    return rv;
}

/* In a child that may have the two mapped files and `memory_bytes` more. */
static int create_within(uint64_t memory_bytes, int old_fd, int new_fd, int patch_fd)
{
    int status = 0;

    (void)malloc_trim(0); /* what is free already would not count */
    pid_t pid = fork();
    if (pid == 0) {
        const struct flo_delta_making making = {.threads = 1};
        struct flo_delta_made made;
        struct flo_err err = {0};
        if (!limit_growth(OLD_BYTES + NEW_BYTES + memory_bytes)) {
            _exit(4);
        }
        int rv = flo_delta_create("delta", old_fd, new_fd, patch_fd, &making, &made, &err);
        if (rv != 0) {
            (void)fprintf(stderr, "%s\n", err.what);
        }
        _exit(rv != 0 ? 5 : made.codec == FLO_CODEC_TENSOR1 ? 0 : 6);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WEXITSTATUS(status);
}

static void a_large_file_that_moved_and_changed_has_a_small_patch(void **state)
{
    (void)state;
    int old_fd = holes(OLD_BYTES);
    int new_fd = holes(NEW_BYTES);
    int patch_fd = file_of("", 0);
    struct flo_err err = {0};
    uint64_t patch_bytes = 0;
    struct comparison comparison = {.new_fd = new_fd};
    const struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = NEW_BYTES,
                                      .on_data = compare_piece,
                                      .context = &comparison};

    /* given two files above the limit of a suffix array, when a patch is made
     * in at most 64 MiB of its own */
    make_pair(old_fd, new_fd);
    assert_int_equal(create_within(64 * MIB, old_fd, new_fd, patch_fd), 0);

    /* then it holds what is new, and about four bytes for each edit */
    assert_int_equal(flo_delta_file_bytes(patch_fd, "patch", &patch_bytes, &err), 0);
    assert_in_range(patch_bytes, APPENDED_BYTES + INSERTED_BYTES,
                    APPENDED_BYTES + INSERTED_BYTES +
                        ISLANDS * (ISLAND_BYTES / EDIT_EVERY * 4 + 400));
    assert_int_equal(flo_delta_apply(&job, NULL, &err), 0);
    assert_int_equal(comparison.at, NEW_BYTES);
    assert_false(comparison.differs);
    (void)close(old_fd);
    (void)close(new_fd);
    (void)close(patch_fd);
}

/* ---- nothing in common ---- */

static void an_unrelated_file_costs_a_thousandth(void **state)
{
    (void)state;
    uint8_t *old = malloc(5 * MIB);
    uint8_t *new = malloc(4 * MIB);
    struct flo_buf patch = {0};
    struct flo_buf back = {0};
    struct flo_err err = {0};

    fill(old, 5 * MIB, 1);
    fill(new, 4 * MIB, 2);
    create_bytes("tensor1", old, 5 * MIB, new, 4 * MIB, &patch);
    assert_in_range(patch.bytes, 4 * MIB, 4 * MIB + 4 * MIB / 1000);
    assert_int_equal(
        apply_bytes(FLO_CODEC_TENSOR1, old, 5 * MIB, patch.data, patch.bytes, 4 * MIB, &back, &err),
        0);
    assert_int_equal(back.bytes, 4 * MIB);
    assert_memory_equal(back.data, new, 4 * MIB);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&back);
    free(old);
    free(new);
}

/* ---- more runs than an index has room for ---- */

#define RUNS 24000u
#define RUN_BYTES 4200u
#define GAP_BYTES 64u

static void more_runs_than_an_index_holds_are_planned_within_it(void **state)
{
    (void)state;
    size_t step = RUN_BYTES + GAP_BYTES;
    size_t old_bytes = 4 * MIB;
    uint8_t *old = malloc(old_bytes);
    uint8_t *new = malloc(step * RUNS);
    struct delta_input input = {
        .old = old, .old_bytes = old_bytes, .new = new, .new_bytes = step *RUNS};
    struct tensor_plan plan = {0};
    struct flo_err err = {0};
    uint64_t at = 0;
    uint64_t copied = 0;

    /* given runs from all over the old file, with new bytes between */
    fill(old, old_bytes, 1);
    for (size_t i = 0; i < RUNS; i++) {
        size_t from = i * 7919 * 128 % (old_bytes - RUN_BYTES);
        memcpy(new + i *step, old + from, RUN_BYTES);
        fill(new + i *step + RUN_BYTES, GAP_BYTES, (uint32_t)i);
    }
    /* when they are planned, then most are copied, and the index has room */
    assert_int_equal(flo_tensor_plan_make(&input, &plan, &err), 0);
    assert_in_range(plan.index_bytes, TENSOR_INDEX_BYTES_MAX / 2, TENSOR_INDEX_BYTES_MAX);
    for (size_t i = 0; i < plan.count; i++) {
        const struct tensor_entry *part = &plan.parts[i];
        assert_int_equal(part->new_at, at);
        assert_true(part->old_at + part->old_bytes <= old_bytes);
        if (part->op == TENSOR_COPY) {
            assert_memory_equal(new + at, old + part->old_at, part->new_bytes);
            copied += part->new_bytes;
        }
        at += part->new_bytes;
    }
    assert_int_equal(at, step * RUNS);
    assert_true(copied > at / 2);
    flo_tensor_plan_deinit(&plan);
    free(old);
    free(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_file_that_moved_and_changed_has_a_small_patch),
        cmocka_unit_test(an_unrelated_file_costs_a_thousandth),
        cmocka_unit_test(more_runs_than_an_index_holds_are_planned_within_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
