/* Making typed deltas on many threads: the same bytes, progress, and an end
 * after an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model_help.h"
#include "updater/delta/tensor/format.h"

/* Nine tensors of 560 KiB: typed groups, one that is noise, one of zeros. */
#define TENSORS 9
#define COLUMNS 512
#define ROWS 2048
#define BYTES (COLUMNS * ROWS / 32 * 18)

static struct bytes model(bool is_new)
{
    static uint8_t data[TENSORS][BYTES];
    struct model_tensor tensors[TENSORS];
    static char names[TENSORS][16];

    for (size_t i = 0; i < TENSORS; i++) {
        (void)snprintf(names[i], sizeof names[i], "t%d", (int)i);
        tensors[i] = (struct model_tensor){names[i], 2, COLUMNS, ROWS, data[i]};
        weights_fill(2, data[i], COLUMNS * ROWS, (uint32_t)i);
        if (is_new && i == 3) {
            fill(data[i], BYTES, 99);
        } else if (is_new && i == 6) {
            memset(data[i], 0, BYTES);
        } else if (is_new && i != 7) {
            weights_move(2, data[i], COLUMNS * ROWS, (uint32_t)i, 9);
        }
    }
    return model_of(tensors, TENSORS, is_new ? "new" : "old");
}

struct heard {
    uint64_t last, total;
    size_t calls;
    bool falls;
};

static void hear(void *context, uint64_t done, uint64_t total)
{
    struct heard *heard = context;

    heard->falls = heard->falls || done < heard->last;
    heard->last = done;
    heard->total = total;
    heard->calls++;
}

static void any_number_of_threads_makes_the_same_bytes(void **state)
{
    (void)state;
    struct bytes old = model(false);
    struct bytes new = model(true);
    struct flo_buf first = {0};
    struct flo_buf back = {0};
    struct flo_err err = {0};

    for (unsigned threads = 1; threads <= 40; threads = threads * 2 + 1) {
        struct heard heard = {0};
        const struct flo_delta_making making = {
            .threads = threads, .on_progress = hear, .context = &heard};
        struct flo_delta_made made;
        int old_fd = file_of(old.data, old.bytes);
        int new_fd = file_of(new.data, new.bytes);
        int patch_fd = file_of("", 0);

        assert_int_equal(
            flo_delta_create("tensor1", old_fd, new_fd, patch_fd, &making, &made, &err), 0);

        uint8_t *patch = malloc((size_t)made.bytes);
        assert_int_equal(flo_fd_pread_all(patch_fd, patch, (size_t)made.bytes, 0, &err), 0);
        if (first.bytes == 0) {
            flo_buf_add(&first, patch, (size_t)made.bytes);
        }
        assert_int_equal(made.bytes, first.bytes);
        assert_memory_equal(patch, first.data, first.bytes);
        assert_false(heard.falls);
        assert_true(heard.calls >= TENSORS - 2);
        assert_int_equal(heard.last, new.bytes);
        assert_int_equal(heard.total, new.bytes);
        free(patch);
        (void)close(old_fd);
        (void)close(new_fd);
        (void)close(patch_fd);
    }
    assert_int_equal(apply_bytes(FLO_CODEC_TENSOR1, old.data, old.bytes, first.data, first.bytes,
                                 new.bytes, &back, &err),
                     0);
    assert_memory_equal(back.data, new.data, new.bytes);

    flo_buf_deinit(&first);
    flo_buf_deinit(&back);
    free(old.data);
    free(new.data);
}

/* The disk is full while groups are under way: payloads go to a file that may
 * not grow. */
static void a_patch_that_cannot_be_written_ends_all_threads(void **state)
{
    (void)state;
    struct bytes old = model(false);
    struct bytes new = model(true);
    struct heard heard = {0};
    const struct flo_delta_making making = {.threads = 4, .on_progress = hear, .context = &heard};
    struct flo_delta_made made;
    struct flo_err err = {0};
    struct rlimit before;
    int old_fd = file_of(old.data, old.bytes);
    int new_fd = file_of(new.data, new.bytes);
    int patch_fd = file_of("", 0);

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {64 << 10, before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rv = flo_delta_create("tensor1", old_fd, new_fd, patch_fd, &making, &made, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);

    assert_int_equal(rv, FLO_E_IO_WRITE);
    assert_int_equal(err.code, FLO_E_IO_WRITE);
    assert_true(heard.last < new.bytes);
    (void)close(old_fd);
    (void)close(new_fd);
    (void)close(patch_fd);
    free(old.data);
    free(new.data);
}

/* The first part of a patch whose index is not packed. */
static struct tensor_entry first_part(int patch_fd)
{
    static uint8_t data[4096];
    struct tensor_head head;
    struct tensor_index index;
    struct tensor_entry part = {0};
    struct flo_err err = {0};
    bool is_end = true;
    ssize_t bytes = pread(patch_fd, data, sizeof data, 0);

    assert_in_range(bytes, TENSOR_HEAD_BYTES, sizeof data - 1);
    assert_int_equal(flo_tensor_head_read(data, (size_t)bytes, (uint64_t)bytes, &head, &err), 0);
    assert_int_equal(head.packed_bytes, head.index_bytes);
    flo_tensor_index_begin(&index, &head, data + TENSOR_HEAD_BYTES);
    assert_int_equal(flo_tensor_index_next(&index, &part, &is_end, &err), 0);
    assert_false(is_end);
    return part;
}

/* Each piece that is packed costs two hashes and a frame.  A short one whose
 * like is at its place reads no more than that. */
static void a_header_with_small_changes_is_one_part(void **state)
{
    (void)state;
    static uint8_t rows[256 * 512 / 32 * 18];
    static char text[60000];
    struct model_tensor tensor = {"w", 2, 256, 512, rows};
    struct flo_delta_facts facts;
    struct flo_delta_made made;
    struct flo_err err = {0};

    weights_fill(2, rows, 256 * 512, 1);
    fill((uint8_t *)text, sizeof text - 1, 3);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        text[i] = (char)('a' + (text[i] & 15));
    }
    struct bytes old = model_of(&tensor, 1, text);
    text[9000] = 'Z';
    text[30000] = 'Z';
    text[50000] = 'Z';
    struct bytes new = model_of(&tensor, 1, text);
    int old_fd = file_of(old.data, old.bytes);
    int new_fd = file_of(new.data, new.bytes);
    int patch_fd = file_of("", 0);

    assert_int_equal(flo_delta_create("tensor1", old_fd, new_fd, patch_fd, NULL, &made, &err), 0);

    assert_int_equal(flo_delta_inspect(patch_fd, &facts, &err), 0);
    assert_true(facts.part_count <= 2); /* the header, the tensor */
    assert_true(made.bytes < 320);
    struct tensor_entry part = first_part(patch_fd);
    assert_int_equal(part.op, TENSOR_PACKED);
    assert_in_range(part.old_bytes, 1, part.new_bytes);
    (void)close(old_fd);
    (void)close(new_fd);
    (void)close(patch_fd);
    free(old.data);
    free(new.data);
}

static void of_two_models_the_typed_delta_is_taken_at_once(void **state)
{
    (void)state;
    struct bytes old = load(OLD_MODEL);
    struct bytes new = load(NEW_MODEL);
    int old_fd = file_of(old.data, old.bytes);
    int new_fd = file_of(new.data, new.bytes);
    int patch_fd = file_of("", 0);
    struct flo_delta_made made;
    struct flo_err err = {0};

    assert_true(flo_delta_codec_is_built(FLO_CODEC_TENSOR1));
    assert_int_equal(flo_delta_create("auto", old_fd, new_fd, patch_fd, NULL, &made, &err), 0);

    assert_int_equal(made.codec, FLO_CODEC_TENSOR1);
    assert_int_equal(made.full_bytes, new.bytes); /* zstd would save some */
    (void)close(old_fd);
    (void)close(new_fd);
    (void)close(patch_fd);
    free(old.data);
    free(new.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_threads_makes_the_same_bytes),
        cmocka_unit_test(a_header_with_small_changes_is_one_part),
        cmocka_unit_test(a_patch_that_cannot_be_written_ends_all_threads),
        cmocka_unit_test(of_two_models_the_typed_delta_is_taken_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
