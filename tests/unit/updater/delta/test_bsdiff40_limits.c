/* The needs of applying a patch: memory, time until it stops, a codec that is
 * built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/patch.h>

#include "delta_help.h"

static int count_only(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

static void applying_takes_less_than_16_mib_for_any_size(void **state)
{
    (void)state;
    uint64_t total = UINT64_C(96) << 20;
    struct flo_buf patch = {0};
    uint64_t written = 0;

    /* old: a sparse file of zeros; new: the same with a difference of ones */
    int old_fd = memfd_create("old", MFD_CLOEXEC);
    assert_int_equal(ftruncate(old_fd, (off_t)total), 0);
    const int64_t triples[][3] = {{(int64_t)total, 0, 0}};
    struct flo_buf ones = {.bytes_max = (size_t)total + 1};
    char *piece = malloc(1 << 20);
    memset(piece, 1, 1 << 20);
    for (uint64_t i = 0; i < total >> 20; i++) {
        flo_buf_add(&ones, piece, 1 << 20);
    }
    craft_patch(triples, 1, ones.data, ones.bytes, "", 0, (int64_t)total, &patch);
    free(piece);
    flo_buf_deinit(&ones);
    int patch_fd = file_of(patch.data, patch.bytes);
    flo_buf_deinit(&patch);
    (void)malloc_trim(0); /* what is free already would not count */

    pid_t pid = fork();
    if (pid == 0) {
        const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                          .patch_fd = patch_fd,
                                          .base_fd = old_fd,
                                          .new_bytes = total,
                                          .on_data = count_only,
                                          .context = &written};
        if (!limit_growth(FLO_DELTA_MEMORY_BYTES_MAX)) {
            _exit(4);
        }
        struct flo_err err = {0};
        int rv = flo_delta_apply(&job, NULL, &err);
        _exit(rv == 0 && written == total ? 0 : 5);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(old_fd);
    (void)close(patch_fd);
}

static void a_lower_limit_takes_the_small_decoder_or_says_what_is_needed(void **state)
{
    (void)state;
    struct bytes old = load(OLD_MODEL);
    struct bytes new = load(NEW_MODEL);
    struct flo_buf patch = {0};
    struct flo_err err = {0};
    uint64_t written = 0;

    create_bytes("bsdiff40", old.data, old.bytes, new.data, new.bytes, &patch);
    int old_fd = file_of(old.data, old.bytes);
    int patch_fd = file_of(patch.data, patch.bytes);
    struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                .patch_fd = patch_fd,
                                .base_fd = old_fd,
                                .new_bytes = new.bytes,
                                .memory_bytes_max = 8 << 20,
                                .on_data = count_only,
                                .context = &written};
    assert_int_equal(flo_delta_apply(&job, NULL, &err), 0);
    assert_int_equal(written, new.bytes);

    written = 0;
    job.memory_bytes_max = 4 << 20; /* PA14 */
    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_PATCH_LIMIT);
    assert_int_equal(written, 0);
    job.memory_bytes_max = 1000;
    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_PATCH_LIMIT);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&patch);
    free(old.data);
    free(new.data);
}

static int stop_at_half(void *context, uint64_t done, uint64_t total)
{
    (void)context;
    return 2 * done >= total ? FLO_E_INTERRUPTED : 0;
}

static void applying_stops_when_it_is_told_to(void **state)
{
    (void)state;
    struct bytes old = load(OLD_MODEL);
    struct bytes new = load(NEW_MODEL);
    struct flo_buf patch = {0};
    struct flo_err err = {0};
    uint64_t written = 0;

    create_bytes("bsdiff40", old.data, old.bytes, new.data, new.bytes, &patch);
    int old_fd = file_of(old.data, old.bytes);
    int patch_fd = file_of(patch.data, patch.bytes);
    const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = new.bytes,
                                      .on_data = count_only,
                                      .on_progress = stop_at_half,
                                      .context = &written};
    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_INTERRUPTED);
    assert_true(written < new.bytes);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&patch);
    free(old.data);
    free(new.data);
}

static void codecs_to_come_say_that_they_are_not_built(void **state)
{
    (void)state;
    struct flo_delta_made made;
    struct flo_err err = {0};
    int fd = file_of("x", 1);
    struct flo_delta_job job = {
        .codec = FLO_CODEC_ADAPTER, .patch_fd = fd, .base_fd = fd, .new_bytes = 1};

    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_NOT_BUILT);
    assert_int_equal(flo_delta_create("adapter", fd, fd, fd, NULL, &made, &err), FLO_E_NOT_BUILT);
    assert_false(flo_delta_codec_is_built(FLO_CODEC_ADAPTER));
    assert_true(flo_delta_codec_is_built(FLO_CODEC_BSDIFF40));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applying_takes_less_than_16_mib_for_any_size),
        cmocka_unit_test(a_lower_limit_takes_the_small_decoder_or_says_what_is_needed),
        cmocka_unit_test(applying_stops_when_it_is_told_to),
        cmocka_unit_test(codecs_to_come_say_that_they_are_not_built),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
