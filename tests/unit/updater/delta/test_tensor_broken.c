/* Typed deltas that are cut, bent or for another file; what applying takes;
 * and going on after a power cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/patch.h>

#include "base/host/digest.h"
#include "model_help.h"

/* An update of three tensors with a new text, and its patch. */
struct story {
    struct bytes old;
    struct bytes new;
    struct flo_buf patch;
};

static struct story begin(uint64_t columns, uint64_t rows)
{
    static const uint32_t types[] = {12, 8, 1};
    static const char *const names[] = {"a", "b", "c"};
    struct model_tensor tensors[3];
    struct story story = {0};

    for (size_t i = 0; i < 3; i++) {
        tensors[i] = (struct model_tensor){names[i], types[i], columns, rows, NULL};
        uint8_t *data = malloc((size_t)model_tensor_bytes(&tensors[i]));
        weights_fill(types[i], data, columns * rows, (uint32_t)i);
        tensors[i].data = data;
    }
    story.old = model_of(tensors, 3, "hello");
    for (size_t i = 0; i < 3; i++) {
        uint8_t *data;
        memcpy(&data, &tensors[i].data, sizeof data);
        weights_move(types[i], data, columns * rows, (uint32_t)i + 50, 40);
    }
    story.new = model_of(tensors, 3, "good evening");
    for (size_t i = 0; i < 3; i++) {
        uint8_t *data;
        memcpy(&data, &tensors[i].data, sizeof data);
        free(data);
    }
    create_bytes("tensor1", story.old.data, story.old.bytes, story.new.data, story.new.bytes,
                 &story.patch);
    return story;
}

static void end(struct story *story)
{
    free(story->old.data);
    free(story->new.data);
    flo_buf_deinit(&story->patch);
}

/* Does a bent patch fail, or make the same bytes? */
static void expect_harmless(const struct story *story, const void *patch, size_t bytes)
{
    struct flo_buf out = {0};
    struct flo_err err = {0};
    int rv = apply_bytes(FLO_CODEC_TENSOR1, story->old.data, story->old.bytes, patch, bytes,
                         story->new.bytes, &out, &err);

    if (rv == 0) {
        assert_int_equal(out.bytes, story->new.bytes);
        assert_memory_equal(out.data, story->new.data, out.bytes);
    } else {
        assert_true(out.bytes <= story->new.bytes);
        assert_true(err.code == rv);
        /* The bytes before the error are right. */
        if (out.bytes > 0) {
            assert_memory_equal(out.data, story->new.data, out.bytes);
        }
    }
    flo_buf_deinit(&out);
}

static void each_truncation_is_an_error(void **state)
{
    (void)state;
    struct story story = begin(256, 2);
    struct flo_err err = {0};
    struct flo_buf out = {0};

    for (size_t bytes = 0; bytes < story.patch.bytes; bytes++) {
        int rv = apply_bytes(FLO_CODEC_TENSOR1, story.old.data, story.old.bytes, story.patch.data,
                             bytes, story.new.bytes, &out, &err);
        assert_int_not_equal(rv, 0);
        assert_int_equal(out.bytes, 0); /* seen before anything is decoded */
    }
    flo_buf_deinit(&out);
    end(&story);
}

static void each_flipped_bit_is_an_error_or_makes_the_same_bytes(void **state)
{
    (void)state;
    struct story story = begin(256, 2);

    for (size_t bit = 0; bit < story.patch.bytes * 8; bit++) {
        story.patch.data[bit / 8] ^= (char)(1 << bit % 8);
        expect_harmless(&story, story.patch.data, story.patch.bytes);
        story.patch.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    end(&story);
}

static void bytes_behind_the_patch_are_refused(void **state)
{
    (void)state;
    struct story story = begin(256, 2);
    struct flo_err err = {0};
    struct flo_buf out = {0};

    flo_buf_add(&story.patch, "x", 1);

    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, story.old.data, story.old.bytes,
                                 story.patch.data, story.patch.bytes, story.new.bytes, &out, &err),
                     FLO_E_PATCH_STREAM);
    flo_buf_deinit(&out);
    end(&story);
}

static void another_base_is_refused_before_a_byte_is_written(void **state)
{
    (void)state;
    struct story story = begin(256, 2);
    struct flo_err err = {0};
    struct flo_buf out = {0};

    story.old.data[story.old.bytes - 1] ^= 1;

    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, story.old.data, story.old.bytes,
                                 story.patch.data, story.patch.bytes, story.new.bytes, &out, &err),
                     FLO_E_PATCH_BASE);
    assert_int_equal(out.bytes, 0);
    flo_buf_deinit(&out);
    end(&story);
}

/* ---- after a power cut ---- */

struct receiver {
    struct flo_buf file;
    uint64_t kept;
};

static int keep(void *context, uint64_t kept, struct flo_err *err)
{
    struct receiver *receiver = context;

    (void)err;
    receiver->kept = kept;
    receiver->file.bytes = (size_t)kept;
    return 0;
}

static int receive(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    struct receiver *receiver = context;

    (void)err;
    flo_buf_add(&receiver->file, data, bytes);
    return 0;
}

/* The result when `done` bytes of `found` stand in the file already. */
static uint64_t resume(const struct story *story, const char *found, size_t done)
{
    int old_fd = file_of(story->old.data, story->old.bytes);
    int patch_fd = file_of(story->patch.data, story->patch.bytes);
    struct receiver receiver = {0};
    struct flo_err err = {0};
    struct flo_digest expected;

    flo_sha256(story->new.data, story->new.bytes, &expected);
    flo_buf_add(&receiver.file, found, done);
    const struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = story->new.bytes,
                                      .new_digest = &expected,
                                      .done_fd = file_of(found, done),
                                      .done_bytes = done,
                                      .on_resume = keep,
                                      .on_data = receive,
                                      .context = &receiver};
    assert_int_equal(flo_delta_apply(&job, NULL, &err), 0);
    assert_int_equal(receiver.file.bytes, story->new.bytes);
    assert_memory_equal(receiver.file.data, story->new.data, story->new.bytes);
    (void)close(job.done_fd);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&receiver.file);
    return receiver.kept;
}

static void applying_goes_on_behind_the_last_whole_group(void **state)
{
    (void)state;
    struct story story = begin(2048, 1500); /* 12 MB, a group each 1 MiB */

    for (size_t done = 1; done < story.new.bytes; done += 777777) {
        uint64_t kept = resume(&story, story.new.data, done);
        assert_true(kept <= done);
        assert_true(done - kept <= 2 << 20);
    }
    assert_int_equal(resume(&story, story.new.data, story.new.bytes), story.new.bytes);
    end(&story);
}

static void wrong_bytes_in_the_partial_file_are_made_again(void **state)
{
    (void)state;
    struct story story = begin(2048, 1500);
    char *found = malloc(story.new.bytes);

    memcpy(found, story.new.data, story.new.bytes);
    found[5000000] ^= 4;

    uint64_t kept = resume(&story, found, story.new.bytes);

    assert_true(kept <= 5000000 && kept > 2000000);
    free(found);
    end(&story);
}

/* ---- memory ---- */

static int count_only(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

static void a_decoder_with_less_than_8_mib_says_so(void **state)
{
    (void)state;
    struct story story = begin(256, 2);
    struct flo_err err = {0};
    uint64_t written = 0;
    int old_fd = file_of(story.old.data, story.old.bytes);
    int patch_fd = file_of(story.patch.data, story.patch.bytes);
    struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                .patch_fd = patch_fd,
                                .base_fd = old_fd,
                                .new_bytes = story.new.bytes,
                                .memory_bytes_max = 4 << 20,
                                .on_data = count_only,
                                .context = &written};

    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_PATCH_LIMIT);
    assert_int_equal(written, 0);
    job.memory_bytes_max = 8 << 20;
    assert_int_equal(flo_delta_apply(&job, NULL, &err), 0);
    (void)close(old_fd);
    (void)close(patch_fd);
    end(&story);
}

static void applying_takes_less_than_8_mib(void **state)
{
    (void)state;
#ifndef __SANITIZE_ADDRESS__
    struct story story = begin(2048, 1500);
    int old_fd = file_of(story.old.data, story.old.bytes);
    int patch_fd = file_of(story.patch.data, story.patch.bytes);
    uint64_t written = 0;
    const struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = story.new.bytes,
                                      .on_data = count_only,
                                      .context = &written};
    size_t new_bytes = story.new.bytes;
    end(&story);
    (void)malloc_trim(0); /* what is free already would not count */

    pid_t pid = fork();
    if (pid == 0) {
        FILE *file = fopen("/proc/self/statm", "r");
        unsigned long pages = 0;
        struct rlimit limit;
        if (file == NULL || fscanf(file, "%lu", &pages) != 1) {
            _exit(4);
        }
        limit.rlim_cur = (rlim_t)(pages * (unsigned long)sysconf(_SC_PAGESIZE) + (8 << 20));
        limit.rlim_max = limit.rlim_cur;
        if (setrlimit(RLIMIT_AS, &limit) != 0) {
            _exit(5);
        }
        int rv = flo_delta_apply(&job, NULL, NULL);
        _exit(rv == 0 && written == new_bytes ? 0 : 6);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(old_fd);
    (void)close(patch_fd);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_truncation_is_an_error),
        cmocka_unit_test(each_flipped_bit_is_an_error_or_makes_the_same_bytes),
        cmocka_unit_test(bytes_behind_the_patch_are_refused),
        cmocka_unit_test(another_base_is_refused_before_a_byte_is_written),
        cmocka_unit_test(applying_goes_on_behind_the_last_whole_group),
        cmocka_unit_test(wrong_bytes_in_the_partial_file_are_made_again),
        cmocka_unit_test(a_decoder_with_less_than_8_mib_says_so),
        cmocka_unit_test(applying_takes_less_than_8_mib),
    };

    limit_growth_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
