/* BSDIFF40 patches give back what was, and are those of Debian's bsdiff and
 * bspatch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "delta_help.h"

static void must_round_trip(const void *old, size_t old_bytes, const void *new, size_t new_bytes)
{
    struct flo_buf patch = {0};
    struct flo_buf out = {0};
    struct flo_err err;

    create_bytes("bsdiff40", old, old_bytes, new, new_bytes, &patch);
    int rv = apply_bytes(FLO_CODEC_BSDIFF40, old, old_bytes, patch.data, patch.bytes, new_bytes,
                         &out, &err);

    assert_string_equal(err.what, "");
    assert_int_equal(rv, 0);
    assert_int_equal(out.bytes, new_bytes);
    if (new_bytes > 0) {
        assert_memory_equal(out.data, new, new_bytes);
    }
    flo_buf_deinit(&patch);
    flo_buf_deinit(&out);
}

static void save(const char *path, const void *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(flo_fd_write_all(fd, data, bytes, NULL), 0);
    assert_int_equal(close(fd), 0);
}

static bool run_tool(const char *tool, const char *a, const char *b, const char *c)
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

static void open_pair(struct pair *pair, const void *old, size_t old_bytes, const void *new,
                      size_t new_bytes)
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

static void must_exchange(const void *old, size_t old_bytes, const void *new, size_t new_bytes)
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
    assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, old, old_bytes, theirs.data, theirs.bytes,
                                 new_bytes, &out, &err),
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
    must_exchange(old.data, 200000, new.data, 200000);       /* header, vocabulary */
    must_exchange(old.data, 5000, old.data, 5000);           /* identical */
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
        assert_int_equal(apply_bytes(FLO_CODEC_BSDIFF40, old.data, old.bytes, patches[i]->data,
                                     patches[i]->bytes, new.bytes, &out, &err),
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
            must_round_trip(texts[i], strlen(texts[i]), texts[j], strlen(texts[j]));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_go_both_ways_between_debians_tools_and_ours),
        cmocka_unit_test(the_good_small_update_takes_18_percent),
        cmocka_unit_test(golden_patches_apply_and_ours_is_made_bit_for_bit),
        cmocka_unit_test(every_pair_of_small_files_comes_back_as_it_was),
        cmocka_unit_test(edited_files_of_many_kinds_come_back_as_they_were),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
