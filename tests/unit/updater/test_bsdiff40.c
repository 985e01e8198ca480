/* BSDIFF40 patches: exchange with Debian's bsdiff and bspatch, every way in
 * which one can be broken, and the bound on memory. */
#include "delta_help.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/host/digest.h"

#define OLD_MODEL "tests/models/tiny-v2.Q4_0.gguf"
#define NEW_MODEL "tests/models/tiny-v2.1.Q4_0.gguf"

struct bytes {
    char *data;
    size_t bytes;
};

static struct bytes load(const char *path)
{
    struct bytes file = {0};
    struct flo_err err = {0};

    assert_int_equal(
        flo_file_read(path, 16 << 20, &file.data, &file.bytes, &err), 0);
    return file;
}

static void save(const char *path, const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(flo_fd_write_all(fd, data, bytes, NULL), 0);
    assert_int_equal(close(fd), 0);
}

/* Pseudo-random bytes that are the same everywhere. */
static void fill(uint8_t *data, size_t bytes, uint32_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t)(seed >> 24);
    }
}

static void must_round_trip(const void *old, size_t old_bytes, const void *new,
                            size_t new_bytes)
{
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", old, old_bytes, new, new_bytes, &patch);
    int rv = apply_bytes(FLO_CODEC_BSDIFF40, old, old_bytes, patch.data,
                         patch.bytes, new_bytes, &out, &err);

    assert_string_equal(err.what, "");
    assert_int_equal(rv, 0);
    assert_int_equal(out.bytes, new_bytes);
    if (new_bytes > 0) {
        assert_memory_equal(out.data, new, new_bytes);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

/* ---- exchange with Debian's tools ---- */

static bool run_tool(const char *tool, const char *a, const char *b,
                     const char *c)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execlp(tool, tool, a, b, c, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool has_tool(const char *path)
{
    return access(path, X_OK) == 0;
}

struct pair {
    char dir[64];
    char old[96];
    char new[96];
    char patch[96];
    char result[96];
};

static void open_pair(struct pair *pair, const void *old, size_t old_bytes,
                      const void *new, size_t new_bytes)
{
    snprintf(pair->dir, sizeof pair->dir, "/tmp/flo-bsdiff-XXXXXX");
    assert_non_null(mkdtemp(pair->dir));
    snprintf(pair->old, sizeof pair->old, "%s/old", pair->dir);
    snprintf(pair->new, sizeof pair->new, "%s/new", pair->dir);
    snprintf(pair->patch, sizeof pair->patch, "%s/patch", pair->dir);
    snprintf(pair->result, sizeof pair->result, "%s/result", pair->dir);
    save(pair->old, old, old_bytes);
    save(pair->new, new, new_bytes);
}

static void close_pair(struct pair *pair)
{
    (void)unlink(pair->old);
    (void)unlink(pair->new);
    (void)unlink(pair->patch);
    (void)unlink(pair->result);
    (void)rmdir(pair->dir);
}

static void must_exchange(const void *old, size_t old_bytes, const void *new,
                          size_t new_bytes)
{
    struct pair pair;
    struct flo_buf ours = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    open_pair(&pair, old, old_bytes, new, new_bytes);
    /* ours -> bspatch */
    create_bytes("bsdiff40", old, old_bytes, new, new_bytes, &ours);
    save(pair.patch, ours.data, ours.bytes);
    assert_true(run_tool("bspatch", pair.old, pair.result, pair.patch));
    struct bytes result = load(pair.result);
    assert_int_equal(result.bytes, new_bytes);
    assert_memory_equal(result.data, new, new_bytes);
    free(result.data);
    if (old_bytes == 0 || new_bytes == 0) { /* Debian's cannot map nothing */
        flo_buf_deinit(&ours);
        close_pair(&pair);
        return;
    }
    /* bsdiff -> ours */
    assert_true(run_tool("bsdiff", pair.old, pair.new, pair.patch));
    struct bytes theirs = load(pair.patch);
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, old, old_bytes,
                                 theirs.data, theirs.bytes, new_bytes, &out,
                                 &err),
                     0);
    assert_int_equal(out.bytes, new_bytes);
    assert_memory_equal(out.data, new, new_bytes);
    /* no more than 2 % above bsdiff's, for real sizes */
    if (theirs.bytes > 10000) {
        assert_true(ours.bytes * 100 <= theirs.bytes * 102);
    }
    free(theirs.data);
    flo_buf_deinit(&ours);
    flo_buf_deinit(&out);
    close_pair(&pair);
}

static void patches_go_both_ways_between_debians_tools_and_ours(void **state)
{
    (void)state;
    if (!has_tool("/usr/bin/bsdiff") || !has_tool("/usr/bin/bspatch")) {
        print_message("bsdiff is not installed\n");
        skip();
    }
    static uint8_t noise[30000];
    static uint8_t other[30000];
    fill(noise, sizeof noise, 1);
    fill(other, sizeof other, 2);
    struct bytes old = load(OLD_MODEL);
    struct bytes new = load(NEW_MODEL);

    must_exchange(old.data, old.bytes, new.data, new.bytes);
    must_exchange(old.data, 200000, new.data, 200000); /* header, vocabulary */
    must_exchange(old.data, 5000, old.data, 5000);     /* identical */
    must_exchange(noise, sizeof noise, other, sizeof other); /* unrelated */
    must_exchange(noise, sizeof noise, "", 0);
    must_exchange("", 0, noise, 1000);
    must_exchange("a", 1, "b", 1);
    must_exchange("", 0, "", 0);
    free(old.data);
    free(new.data);
}

static void the_good_small_update_takes_18_percent(void **state)
{
    (void)state;
    struct bytes old = load(OLD_MODEL);
    struct bytes new = load(NEW_MODEL);
    struct flo_buf patch = {0};

    create_bytes("bsdiff40", old.data, old.bytes, new.data, new.bytes, &patch);

    assert_true(patch.bytes <= 311795); /* what bsdiff 4.3 needs */
    flo_buf_deinit(&patch);
    free(old.data);
    free(new.data);
}

static void golden_patches_apply_and_ours_is_made_bit_for_bit(void **state)
{
    (void)state;
    struct bytes old = load("tests/golden/delta/old.bin");
    struct bytes new = load("tests/golden/delta/new.bin");
    struct bytes debian = load("tests/golden/delta/debian.bsdiff40");
    struct bytes ours = load("tests/golden/delta/flotilla.bsdiff40");
    struct flo_buf out = {0};
    struct flo_err err;
    const struct bytes *patches[] = {&debian, &ours};

    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, old.data, old.bytes,
                                     patches[i]->data, patches[i]->bytes,
                                     new.bytes, &out, &err),
                         0);
        assert_int_equal(out.bytes, new.bytes);
        assert_memory_equal(out.data, new.data, new.bytes);
    }
    create_bytes("bsdiff40", old.data, old.bytes, new.data, new.bytes, &out);
    assert_int_equal(out.bytes, ours.bytes);
    assert_memory_equal(out.data, ours.data, ours.bytes);
    flo_buf_deinit(&out);
    free(old.data);
    free(new.data);
    free(debian.data);
    free(ours.data);
}

static void every_pair_of_small_files_comes_back_as_it_was(void **state)
{
    (void)state;
    /* All pairs of texts of up to 4 letters over {a, b}: 31 * 31. */
    char texts[31][5] = {""};
    size_t count = 1;

    for (size_t length = 1; length <= 4; length++) {
        for (unsigned bits = 0; bits < 1u << length; bits++) {
            for (size_t i = 0; i < length; i++) {
                texts[count][i] = (bits >> i & 1) != 0 ? 'b' : 'a';
            }
            count++;
        }
    }
    assert_int_equal(count, 31);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            must_round_trip(texts[i], strlen(texts[i]), texts[j],
                            strlen(texts[j]));
        }
    }
}

static void edited_files_of_many_kinds_come_back_as_they_were(void **state)
{
    (void)state;
    static uint8_t old[70000];
    static uint8_t new[90000];

    fill(old, sizeof old, 7);
    for (uint32_t seed = 0; seed < 12; seed++) {
        size_t bytes = 0;
        uint32_t at = seed * 977;
        while (bytes < 60000) { /* pieces of old in another order, edited */
            at = at * 1103515245 + 12345;
            size_t from = at % 60000;
            size_t length = 1 + (at >> 8) % 9000;
            length = bytes + length > sizeof new ? sizeof new - bytes : length;
            memcpy(new + bytes, old + from, length);
            for (size_t i = 0; i < length; i += 20 + seed) {
                new[bytes + i] = (uint8_t)(new[bytes + i] + 1);
            }
            bytes += length;
        }
        must_round_trip(old, sizeof old, new, bytes);
    }
    memset(old, 0, sizeof old); /* nothing but repetition */
    memset(new, 0, sizeof new);
    for (size_t i = 500; i < sizeof new; i += 1000) {
        new[i] = 1;
    }
    must_round_trip(old, sizeof old, new, sizeof new);
}

/* ---- broken patches ---- */

static void each_of_the_32_cut_heads_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    for (size_t bytes = 0; bytes < 32; bytes++) {
        int rv = apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                             bytes, 8, &out, &err);
        assert_int_equal(rv, FLO_E_PATCH_TRUNCATED);
        assert_int_equal(out.bytes, 0);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void every_cut_after_the_head_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;
    static uint8_t old[4000];
    static uint8_t new[4000];

    fill(old, sizeof old, 3);
    memcpy(new, old, sizeof new);
    fill(new + 1000, 500, 4);
    create_bytes("bsdiff40", old, sizeof old, new, sizeof new, &patch);
    for (size_t bytes = 32; bytes < patch.bytes; bytes++) {
        int rv = apply_bytes(FLO_CODEC_BSDIFF40, old, sizeof old, patch.data,
                             bytes, sizeof new, &out, &err);
        assert_int_equal(rv, FLO_E_PATCH_TRUNCATED);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

/* bzip2 and the bounds catch nearly all flips; the digest catches the rest. */
static void every_bit_flip_is_refused_or_leaves_the_right_bytes(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_digest digest;
    struct flo_err err;
    static uint8_t old[3000];
    static uint8_t new[3000];
    unsigned harmless = 0;

    fill(old, sizeof old, 5);
    memcpy(new, old, sizeof new);
    fill(new + 700, 200, 6);
    flo_sha256(new, sizeof new, &digest);
    create_bytes("bsdiff40", old, sizeof old, new, sizeof new, &patch);
    int old_fd = file_of(old, sizeof old);
    for (size_t bit = 0; bit < 8 * patch.bytes; bit++) {
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
        int patch_fd = file_of(patch.data, patch.bytes);
        const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                          .patch_fd = patch_fd,
                                          .base_fd = old_fd,
                                          .new_bytes = sizeof new,
                                          .new_digest = &digest};
        int rv = flo_delta_apply(&job, NULL, &err);
        harmless += rv == 0;
        if (rv == 0)
            print_message("bit %zu of %zu\n", bit, patch.bytes * 8);
        (void)close(patch_fd);
        patch.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    /* What may be flipped for nothing: padding, the level's digit, code tables
     * of bzip2 that nothing uses. */
    assert_true(harmless * 100 <= 8 * patch.bytes);
    (void)close(old_fd);
    flo_buf_deinit(&patch);
}

struct bad_triples {
    int64_t triples[3][3];
    size_t count;
    int code;
};

static void triples_that_leave_their_files_are_refused(void **state)
{
    (void)state;
    static const struct bad_triples rows[] = {
        /* PA02: a seek before the beginning, behind the end */
        {{{2, 0, -3}, {6, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
        {{{2, 0, 7}, {6, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
        {{{8, 0, -9}}, 1, FLO_E_PATCH_BOUNDS},
        /* reading behind the end of old */
        {{{2, 0, 4}, {6, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
        /* PA03: lengths whose sum overflows (CVE-2020-14315) */
        {{{INT64_MAX, INT64_MAX, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{1, INT64_MAX, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{INT64_MAX, 1, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{2, 0, INT64_MAX}}, 1, FLO_E_PATCH_BOUNDS},
        {{{2, 0, -INT64_MAX}}, 1, FLO_E_PATCH_BOUNDS},
        /* negative lengths (CVE-2014-9862) */
        {{{-1, 0, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{0, -1, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{-INT64_MAX, 8, 0}}, 1, FLO_E_PATCH_BOUNDS},
        /* more than the new file */
        {{{4, 0, 0}, {0, 5, 0}}, 2, FLO_E_PATCH_BOUNDS},
        {{{9, 0, 0}}, 1, FLO_E_PATCH_BOUNDS},
        /* fewer triples than the new file needs, or more */
        {{{4, 0, 0}}, 1, FLO_E_PATCH_BOUNDS},
        {{{8, 0, 0}, {0, 0, 0}}, 2, FLO_E_PATCH_BOUNDS},
    };
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        craft_patch(rows[i].triples, rows[i].count, "\0\0\0\0\0\0\0\0", 8, "",
                    0, 8, &patch);
        int rv = apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                             patch.bytes, 8, &out, &err);
        if (rv != rows[i].code) {
            print_message("row %zu: %s\n", i, err.what);
        }
        assert_int_equal(rv, rows[i].code);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_negative_zero_reads_as_zero(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_buf parts[3] = {{0}};
    struct flo_err err;
    uint8_t triple[24] = {0};
    triple[0] = 8;
    triple[15] = 0x80;
    triple[23] = 0x80;
    add_bzip2(&parts[0], triple, sizeof triple);
    add_bzip2(&parts[1], "\1\0\0\0\0\0\0\0", 8);
    add_bzip2(&parts[2], "", 0);
    uint8_t head[32] = "BSDIFF40";
    put_offset(head + 8, (int64_t)parts[0].bytes);
    put_offset(head + 16, (int64_t)parts[1].bytes);
    put_offset(head + 24, 8);
    flo_buf_add(&patch, head, sizeof head);
    for (size_t i = 0; i < 3; i++) {
        flo_buf_add(&patch, parts[i].data, parts[i].bytes);
        flo_buf_deinit(&parts[i]);
    }

    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                                 patch.bytes, 8, &out, &err),
                     0);
    assert_memory_equal(out.data, "pld text", 8);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void triples_that_write_nothing_do_not_turn_for_ever(void **state)
{
    (void)state;
    static int64_t triples[5000][3];
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    craft_patch((const int64_t(*)[3])triples, FLO_COUNT(triples), "", 0, "", 0,
                8, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                                 patch.bytes, 8, &out, &err),
                     FLO_E_PATCH_BOUNDS);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void an_empty_new_file_may_carry_nothing(void **state)
{
    (void)state;
    static const int64_t one[][3] = {{4, 0, 0}};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    craft_patch(one, 0, "", 0, "", 0, 0, &patch); /* no control at all: good */
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data,
                                 patch.bytes, 0, &out, &err),
                     0);
    craft_patch(one, 1, "", 0, "", 0, 0, &patch); /* PA06 */
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data,
                                 patch.bytes, 0, &out, &err),
                     FLO_E_PATCH_BOUNDS);
    craft_patch(one, 0, "diff", 4, "", 0, 0, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data,
                                 patch.bytes, 0, &out, &err),
                     FLO_E_PATCH_BOUNDS);
    craft_patch(one, 0, "", 0, "extra", 5, 0, &patch);
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old", 3, patch.data,
                                 patch.bytes, 0, &out, &err),
                     FLO_E_PATCH_BOUNDS);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void another_size_than_signed_is_refused_before_anything(void **state)
{
    (void)state;
    static const int64_t one[][3] = {{8, 0, 0}};
    static const int64_t sizes[] = {0, 7, 9, INT64_C(1) << 62, INT64_MAX};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    for (size_t i = 0; i < FLO_COUNT(sizes); i++) { /* PA05 */
        craft_patch(one, 1, "\0\0\0\0\0\0\0\0", 8, "", 0, sizes[i], &patch);
        assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8,
                                     patch.data, patch.bytes, 8, &out, &err),
                         FLO_E_PATCH_LIMIT);
        assert_int_equal(out.bytes, 0);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void impossible_sizes_in_the_head_are_refused(void **state)
{
    (void)state;
    static const struct {
        int64_t control;
        int64_t diff;
        int code;
    } rows[] = {{-1, 10, FLO_E_PATCH_BOUNDS},
                {10, -1, FLO_E_PATCH_BOUNDS},
                {-INT64_MAX, -INT64_MAX, FLO_E_PATCH_BOUNDS},
                {INT64_MAX, INT64_MAX, FLO_E_PATCH_BOUNDS},
                {INT64_MAX, 0, FLO_E_PATCH_TRUNCATED},
                {0, 100000, FLO_E_PATCH_TRUNCATED},
                {0, 0, FLO_E_PATCH_TRUNCATED}};
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        put_offset((uint8_t *)patch.data + 8, rows[i].control);
        put_offset((uint8_t *)patch.data + 16, rows[i].diff);
        int rv = apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                             patch.bytes, 8, &out, &err);
        assert_int_equal(rv, rows[i].code);
    }
    patch.data[0] = 'b';
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                                 patch.bytes, 8, &out, &err),
                     FLO_E_PATCH_FORMAT);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void bytes_behind_the_streams_are_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    flo_buf_add(&patch, "x", 1);
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                                 patch.bytes, 8, &out, &err),
                     FLO_E_PATCH_STREAM);
    patch.bytes--;
    add_bzip2(&patch, "", 0); /* a second stream */
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, "old text", 8, patch.data,
                                 patch.bytes, 8, &out, &err),
                     FLO_E_PATCH_STREAM);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

/* ---- base, result, memory ---- */

static void
a_base_with_other_bytes_is_refused_before_the_first_write(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_digest digest;
    struct flo_err err = {0};

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    flo_sha256("old text", 8, &digest);
    int old_fd = file_of("old texT", 8);
    int patch_fd = file_of(patch.data, patch.bytes);
    const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .base_digest = &digest,
                                      .new_bytes = 8,
                                      .on_data = append_piece,
                                      .context = &out};

    assert_int_equal(flo_delta_apply(&job, NULL, &err),
                     FLO_E_PATCH_BASE_CORRUPT);
    assert_int_equal(out.bytes, 0);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void a_result_with_another_digest_is_refused(void **state)
{
    (void)state;
    struct flo_buf patch = {0};
    struct flo_digest digest;
    struct flo_err err = {0};

    create_bytes("bsdiff40", "old text", 8, "new text", 8, &patch);
    flo_sha256("new text", 8, &digest);
    int old_fd = file_of("old texT", 8); /* and nobody checked the base */
    int patch_fd = file_of(patch.data, patch.bytes);
    const struct flo_delta_job job = {.codec = FLO_CODEC_BSDIFF40,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = 8,
                                      .new_digest = &digest};

    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_TARGET_HASH);
    (void)close(old_fd);
    (void)close(patch_fd);
    flo_buf_deinit(&patch);
}

static int count_only(void *context, const void *data, size_t bytes,
                      struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

/* The child may not grow its address space by more than the limit; sanitizers
 * live on address space, so they run without. */
static bool limit_growth(uint64_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
    (void)bytes;
    return true;
#else
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;
    bool is_read = file != NULL && fscanf(file, "%lu", &pages) == 1;
    struct rlimit limit;

    if (file != NULL) {
        (void)fclose(file);
    }
    limit.rlim_cur = pages * (unsigned long)sysconf(_SC_PAGESIZE) + bytes;
    limit.rlim_max = limit.rlim_cur;
    return is_read && setrlimit(RLIMIT_AS, &limit) == 0;
#endif
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
    craft_patch(triples, 1, ones.data, ones.bytes, "", 0, (int64_t)total,
                &patch);
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

static void
a_lower_limit_takes_the_small_decoder_or_says_what_is_needed(void **state)
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
    struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                .patch_fd = fd,
                                .base_fd = fd,
                                .new_bytes = 1};

    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_NOT_BUILT);
    job.codec = FLO_CODEC_ADAPTER;
    assert_int_equal(flo_delta_apply(&job, NULL, &err), FLO_E_NOT_BUILT);
    assert_int_equal(flo_delta_create("tensor1", fd, fd, fd, &made, &err),
                     FLO_E_NOT_BUILT);
    assert_false(flo_delta_codec_is_built(FLO_CODEC_TENSOR1));
    assert_true(flo_delta_codec_is_built(FLO_CODEC_BSDIFF40));
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_go_both_ways_between_debians_tools_and_ours),
        cmocka_unit_test(the_good_small_update_takes_18_percent),
        cmocka_unit_test(golden_patches_apply_and_ours_is_made_bit_for_bit),
        cmocka_unit_test(every_pair_of_small_files_comes_back_as_it_was),
        cmocka_unit_test(edited_files_of_many_kinds_come_back_as_they_were),
        cmocka_unit_test(each_of_the_32_cut_heads_is_refused),
        cmocka_unit_test(every_cut_after_the_head_is_refused),
        cmocka_unit_test(every_bit_flip_is_refused_or_leaves_the_right_bytes),
        cmocka_unit_test(triples_that_leave_their_files_are_refused),
        cmocka_unit_test(a_negative_zero_reads_as_zero),
        cmocka_unit_test(triples_that_write_nothing_do_not_turn_for_ever),
        cmocka_unit_test(an_empty_new_file_may_carry_nothing),
        cmocka_unit_test(another_size_than_signed_is_refused_before_anything),
        cmocka_unit_test(impossible_sizes_in_the_head_are_refused),
        cmocka_unit_test(bytes_behind_the_streams_are_refused),
        cmocka_unit_test(
            a_base_with_other_bytes_is_refused_before_the_first_write),
        cmocka_unit_test(a_result_with_another_digest_is_refused),
        cmocka_unit_test(applying_takes_less_than_16_mib_for_any_size),
        cmocka_unit_test(
            a_lower_limit_takes_the_small_decoder_or_says_what_is_needed),
        cmocka_unit_test(applying_stops_when_it_is_told_to),
        cmocka_unit_test(codecs_to_come_say_that_they_are_not_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
