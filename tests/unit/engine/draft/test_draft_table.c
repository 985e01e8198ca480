/* Tables of drafts as a device reads them.  The files are laid out by hand, as
 * engine/draft/table.h describes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/model.h>

#include "engine/draft/table.h"

#define VOCAB 1000u
#define CHECKSUM 0x0123456789abcdefu
#define LOG2 5u
#define FILE_BYTES (FLO_DRAFT_HEAD_BYTES + (FLO_DRAFT_SLOT_BYTES << LOG2))

/* A context, written as people read it, and the token after it. */
struct row {
    int32_t context[FLO_DRAFT_CONTEXT_MAX];
    uint32_t length, token;
    uint16_t share;
};

static const struct row rows[] = {
    {{7}, 1, 8, 65535},        {{8}, 1, 9, 40000},     {{9}, 1, 10, 32768},
    {{10}, 1, 11, 32767},      {{5, 7}, 2, 20, 50000}, {{1, 5, 7}, 3, 30, 60000},
    {{2, 5, 7}, 3, 40, 30000}, {{20}, 1, 20, 65535},   {{3, 3, 3, 3}, 4, 999, 65535},
};

static void put_slot(uint8_t *file, uint32_t log2, const struct row *row)
{
    uint32_t last = (1u << log2) - 1;
    uint64_t hash = 0;

    for (uint32_t i = row->length; i-- > 0;) {
        hash = flo_draft_hash(hash, row->context[i]);
    }
    uint32_t place = (uint32_t)hash & last;
    while (flo_get_u16(file + 40 + (size_t)place * 12 + 10) != 0) {
        place = (place + 1) & last;
    }
    uint8_t *slot = file + 40 + (size_t)place * 12;
    flo_put_u32(slot, (uint32_t)(hash >> 32));
    flo_put_u32(slot + 4, row->token);
    flo_put_u16(slot + 8, row->share);
    flo_put_u16(slot + 10, (uint16_t)row->length);
}

static size_t make_file(uint8_t *file, uint32_t log2, const struct row *list, uint32_t count)
{
    memset(file, 0, FLO_DRAFT_HEAD_BYTES + ((size_t)FLO_DRAFT_SLOT_BYTES << log2));
    memcpy(file, "FLODRAFT", 8);
    flo_put_u32(file + 8, 1);
    flo_put_u32(file + 12, VOCAB);
    flo_put_u64(file + 16, CHECKSUM);
    flo_put_u32(file + 24, 4);
    flo_put_u32(file + 28, log2);
    flo_put_u32(file + 32, count);
    for (uint32_t i = 0; i < count; i++) {
        put_slot(file, log2, &list[i]);
    }
    return FLO_DRAFT_HEAD_BYTES + ((size_t)FLO_DRAFT_SLOT_BYTES << log2);
}

static int open_bytes(const uint8_t *data, size_t bytes, uint64_t bytes_max,
                      struct flo_draft_table **table, struct flo_err *err)
{
    int fd = memfd_create("draft", MFD_CLOEXEC);

    *table = NULL;
    assert_int_equal(flo_fd_write_all(fd, data, bytes, NULL), 0);
    int rv = flo_draft_table_open(fd, VOCAB, CHECKSUM, bytes_max, table, err);
    close(fd);
    return rv;
}

/* ---- refusals ---- */

static void a_table_of_another_vocabulary_is_refused_with_both(void **state)
{
    struct flo_draft_table *table;
    uint8_t file[FILE_BYTES];
    struct flo_err err = {0};
    (void)state;

    make_file(file, LOG2, rows, FLO_COUNT(rows));
    flo_put_u32(file + 12, 2000);
    assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_MODEL_DRAFT);
    assert_non_null(strstr(err.what, "2000 tokens"));
    assert_non_null(strstr(err.what, "has 1000"));
    flo_put_u32(file + 12, VOCAB);
    flo_put_u64(file + 16, 0xfedcba9876543210u);
    assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_MODEL_DRAFT);
    assert_non_null(strstr(err.what, "fedcba9876543210"));
    assert_non_null(strstr(err.what, "0123456789abcdef"));
}

static void a_file_of_any_other_size_is_refused(void **state)
{
    uint8_t file[FILE_BYTES + 1] = {0};
    struct flo_draft_table *table;
    struct flo_err err = {0};
    (void)state;

    make_file(file, LOG2, rows, FLO_COUNT(rows));
    for (size_t bytes = 0; bytes <= FILE_BYTES + 1; bytes++) {
        int want = bytes == FILE_BYTES ? 0 : FLO_E_MODEL_DRAFT;
        assert_int_equal(open_bytes(file, bytes, 0, &table, &err), want);
        flo_draft_table_close(table);
    }
    assert_non_null(strstr(err.what, "425 bytes, a table of 2^5 slots has 424"));
}

/* Refuses a file with another number at this place of its head. */
static void expect_refused(size_t at, uint32_t number, const char *what)
{
    uint8_t file[FILE_BYTES];
    struct flo_draft_table *table;
    struct flo_err err = {0};

    make_file(file, LOG2, rows, FLO_COUNT(rows));
    flo_put_u32(file + at, number);
    assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_MODEL_DRAFT);
    assert_null(table);
    if (strstr(err.what, what) == NULL) {
        fail_msg("'%s' has no '%s'", err.what, what);
    }
}

static void numbers_of_a_head_that_cannot_be_are_refused(void **state)
{
    (void)state;
    expect_refused(0, 0x46554747, "no table of drafts");
    expect_refused(8, 2, "version 2, this program reads 1");
    expect_refused(24, 0, "has 0 tokens, not 1 to 8");
    expect_refused(24, 9, "has 9 tokens, not 1 to 8");
    expect_refused(28, 23, "2^23 slots, at most 2^22");
    expect_refused(28, UINT32_MAX, "at most 2^22");
    expect_refused(28, 22, "2^22 slots has 50331688");
    expect_refused(32, 33, "33 contexts in 32 slots");
    expect_refused(32, 8, "9 slots are used, the head says 8");
    expect_refused(36, 7, "ends with 7, not 0");
}

static void a_slot_outside_vocabulary_or_contexts_is_refused(void **state)
{
    static const struct row bad[] = {
        {{7}, 1, VOCAB, 65535}, {{7}, 1, UINT32_MAX, 65535}, {{7}, 5, 8, 65535}};
    uint8_t file[FILE_BYTES];
    struct flo_draft_table *table;
    struct flo_err err = {0};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        make_file(file, LOG2, &bad[i], 1);
        assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_MODEL_DRAFT);
        assert_null(table);
        assert_non_null(strstr(err.what, "the vocabulary has 1000, the longest context 4"));
    }
}

static void a_table_above_the_budget_is_refused(void **state)
{
    uint8_t file[FILE_BYTES];
    struct flo_draft_table *table;
    struct flo_err err = {0};
    (void)state;

    make_file(file, LOG2, rows, FLO_COUNT(rows));
    assert_int_equal(open_bytes(file, FILE_BYTES, FILE_BYTES - 1, &table, &err),
                     FLO_E_MEMORY_BUDGET);
    assert_non_null(strstr(err.what, "424 bytes, 423 are left"));
    assert_int_equal(open_bytes(file, FILE_BYTES, FILE_BYTES, &table, &err), 0);
    flo_draft_table_close(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_of_another_vocabulary_is_refused_with_both),
        cmocka_unit_test(a_file_of_any_other_size_is_refused),
        cmocka_unit_test(numbers_of_a_head_that_cannot_be_are_refused),
        cmocka_unit_test(a_slot_outside_vocabulary_or_contexts_is_refused),
        cmocka_unit_test(a_table_above_the_budget_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
