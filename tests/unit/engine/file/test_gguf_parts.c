/* Parts of a split GGUF file: one model by any of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <flotilla/errors/gguf.h>

#include "tests/unit/engine/gguf_make.h"
#include "tests/unit/remove_tree.h"

#define PARTS 3

/* A part as its file says it. */
struct part {
    uint32_t no, count, tensors;
    uint32_t alignment;     /* 0: no key */
    const char *name;       /* of its tensor */
    bool is_absent, is_odd; /* odd: nothing of a model */
};
static struct part parts[PARTS];
static char folder[] = "/tmp/flotilla-parts-XXXXXX";
static struct flo_err err;

static const char *path_of(uint32_t number)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/m-%05u-of-%05u.gguf", folder, number, PARTS);
    return path;
}

static void write_part(uint32_t number)
{
    const struct part *part = &parts[number - 1];
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {.bytes_max = 1 << 16};
    FILE *file = fopen(path_of(number), "w");

    assert_non_null(file);
    put_head(&out, 1, 3 + (number == 1 ? 1 : 0) + (part->alignment > 0 ? 1 : 0));
    if (number == 1) {
        put_key_text(&out, "general.architecture", "llama");
    }
    put_key_u32(&out, "split.no", part->no);
    put_key_u32(&out, "split.count", part->count);
    put_key_u32(&out, "split.tensors.count", part->tensors);
    if (part->alignment > 0) {
        put_key_u32(&out, "general.alignment", part->alignment);
    }
    put_tensor(&out, part->name, 8, 1, 0, 0);
    while (out.bytes % (part->alignment > 0 ? part->alignment : 32) != 0) {
        flo_buf_add(&out, "", 1);
    }
    for (int i = 0; i < 32; i++) {
        flo_buf_add(&out, (const char[]){(char)('0' + number)}, 1);
    }
    if (part->is_odd) {
        out.bytes = 3;
    }
    assert_int_equal(fwrite(out.data, 1, out.bytes, file), out.bytes);
    assert_int_equal(fclose(file), 0);
}

static void make_parts(void)
{
    static const char *const names[] = {"a.weight", "b.weight", "c.weight"};

    for (uint32_t i = 0; i < PARTS; i++) {
        parts[i] = (struct part){.no = i, .count = PARTS, .tensors = PARTS, .name = names[i]};
    }
}

static int open_by(uint32_t number, struct flo_gguf **out)
{
    *out = NULL;
    err = (struct flo_err){0};
    for (uint32_t i = 1; i <= PARTS; i++) {
        (void)unlink(path_of(i));
        if (!parts[i - 1].is_absent) {
            write_part(i);
        }
    }
    return flo_gguf_open_path(path_of(number), out, &err);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + sizeof(folder) - 7, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    make_parts();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

static void any_part_opens_the_whole(void **state)
{
    (void)state;
    for (uint32_t number = 1; number <= PARTS; number++) {
        struct flo_gguf *gguf;
        struct flo_gguf_text arch = {"", 0};

        assert_int_equal(open_by(number, &gguf), 0);
        assert_int_equal(flo_gguf_tensor_count(gguf), PARTS);
        assert_int_equal(flo_gguf_kv_count(gguf), 1);
        assert_int_equal(flo_gguf_string(gguf, "general.architecture", &arch, NULL), 0);
        for (uint32_t i = 0; i < PARTS; i++) {
            const struct flo_gguf_tensor *t = flo_gguf_tensor_find(gguf, parts[i].name);
            char wanted[32];
            assert_non_null(t);
            memset(wanted, '1' + (int)i, sizeof(wanted));
            flo_gguf_drop_pages(gguf); /* the header comes back, too */
            assert_memory_equal(flo_gguf_tensor_data(gguf, t), wanted, sizeof(wanted));
        }
        flo_gguf_close(gguf);
    }
}

static void a_larger_alignment_stays(void **state)
{
    struct flo_gguf *gguf;

    (void)state;
    for (int i = 0; i < PARTS; i++) {
        parts[i].alignment = 64;
    }
    assert_int_equal(open_by(2, &gguf), 0);
    assert_int_equal(flo_gguf_alignment(gguf), 64);
    assert_int_equal(*(const char *)flo_gguf_tensor_data(gguf, flo_gguf_tensor_at(gguf, 2)), '3');
    flo_gguf_close(gguf);
}

static void a_part_that_is_missing_or_of_another_model_is_named(void **state)
{
    static const struct {
        struct part second;
        int code;
        const char *what;
    } rows[] = {
        {{.is_absent = true}, FLO_E_ABSENT, "m-00002-of-00003.gguf: No such file"},
        {{1, 3, 3, 0, "b.weight", false, true}, FLO_E_GGUF_MAGIC, "m-00002-of-00003.gguf: "},
        {{0, 3, 3, 0, "b.weight", false, false},
         FLO_E_GGUF_MISSING,
         "m-00002-of-00003.gguf: part 1 of 3 with 3 tensors, not 2 of 3 with 3 of one model"},
        {{1, 2, 3, 0, "b.weight", false, false}, FLO_E_GGUF_MISSING, "part 2 of 2 with 3 tensors"},
        {{1, 3, 4, 0, "b.weight", false, false}, FLO_E_GGUF_MISSING, "part 2 of 3 with 4 tensors"},
        {{1, 3, 3, 64, "b.weight", false, false}, FLO_E_GGUF_MISSING, "part 2 of 3 with 3 tensors"},
        {{1, 3, 3, 0, "a.weight", false, false}, FLO_E_GGUF_DUP, "a.weight"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_gguf *gguf;
        make_parts();
        parts[1] = rows[i].second;
        int rv = open_by(1, &gguf);
        if (rv != rows[i].code || strstr(err.what, rows[i].what) == NULL) {
            fail_msg("row %zu: %d %s", i, rv, err.what);
        }
        assert_null(gguf);
    }
}

static void counts_that_no_model_has_are_refused(void **state)
{
    static const uint32_t rows[][2] = {{1001, 3}, {UINT32_MAX, 3}, {3, 2}, {3, 4}, {3, UINT32_MAX}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_gguf *gguf;
        for (int p = 0; p < PARTS; p++) {
            parts[p].count = rows[i][0];
            parts[p].tensors = rows[i][1];
        }
        assert_true(open_by(3, &gguf) < 0);
        assert_null(gguf);
    }
    for (int p = 0; p < PARTS; p++) { /* one part is whole */
        parts[p].count = 1;
    }
    struct flo_gguf *gguf;
    assert_int_equal(open_by(2, &gguf), 0);
    assert_int_equal(flo_gguf_tensor_count(gguf), 1);
    flo_gguf_close(gguf);
}

static void a_part_is_never_the_whole(void **state)
{
    struct flo_gguf *gguf;
    char other[128];

    (void)state;
    assert_int_equal(open_by(1, &gguf), 0);
    flo_gguf_close(gguf);
    snprintf(other, sizeof(other), "%s/model.gguf", folder);
    assert_int_equal(rename(path_of(1), other), 0);
    assert_int_equal(flo_gguf_open_path(other, &gguf, &err), FLO_E_GGUF_MISSING);
    assert_non_null(strstr(err.what, "one of 3 parts of a model, and its name does not end with"));

    int fd = open(other, O_RDONLY | O_CLOEXEC);
    err = (struct flo_err){0};
    assert_int_equal(flo_gguf_open_named(fd, NULL, &gguf, &err), FLO_E_GGUF_MISSING);
    assert_string_equal(err.fix, "flotilla-model import PART --to FILE joins them");
    close(fd);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(any_part_opens_the_whole),
        TEST(a_larger_alignment_stays),
        TEST(a_part_that_is_missing_or_of_another_model_is_named),
        TEST(counts_that_no_model_has_are_refused),
        TEST(a_part_is_never_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
