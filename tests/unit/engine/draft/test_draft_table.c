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

#include <flotilla/errors/draft.h>
#include <flotilla/errors/memory.h>

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

static struct flo_draft_table *open_rows(const struct row *list, uint32_t count)
{
    uint8_t file[FILE_BYTES];
    struct flo_draft_table *table;

    assert_int_equal(open_bytes(file, make_file(file, LOG2, list, count), 0, &table, NULL), 0);
    return table;
}

/* The guesses after these tokens, of which 0 ends the list, as text. */
static const char *guesses(const struct flo_draft_table *table, const int32_t *tokens,
                           uint32_t most)
{
    static char text[256];
    int32_t out[16];
    uint32_t count = 0;
    size_t used = 0;

    while (tokens[count] != 0) {
        count++;
    }
    uint32_t made = flo_draft_table_guess(table, tokens, count, out, most);
    assert_true(made <= most);
    text[0] = '\0';
    for (uint32_t i = 0; i < made; i++) {
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s%d", i > 0 ? " " : "", out[i]);
    }
    return text;
}
#define AFTER(...) ((const int32_t[]){__VA_ARGS__, 0})

/* ---- guesses ---- */

static void the_hash_is_the_same_on_every_cpu(void **state)
{
    (void)state;
    assert_int_equal(flo_draft_hash(0, 0), 0xe220a8397b1dcdafu);
    assert_int_equal(flo_draft_hash(0, 1), 0x910a2dec89025cc1u);
    assert_int_equal(flo_draft_hash(flo_draft_hash(0, 1), 2), 0xbcd9dbb49673066bu);
    assert_int_equal(flo_draft_hash(flo_draft_hash(0, 2), 1), 0xe06dd043328bd285u);
    assert_int_equal(flo_draft_hash(0, -1), 0x73b13ba2aff181c0u);
}

static void a_table_tells_its_contexts_and_its_memory(void **state)
{
    struct flo_draft_table *table = open_rows(rows, FLO_COUNT(rows));
    (void)state;

    assert_int_equal(flo_draft_table_contexts(table), FLO_COUNT(rows));
    assert_int_equal(flo_draft_table_bytes(table), FILE_BYTES);
    flo_draft_table_close(table);
    flo_draft_table_close(NULL);
}

static void the_longest_known_context_decides(void **state)
{
    struct flo_draft_table *table = open_rows(rows, FLO_COUNT(rows));
    (void)state;

    assert_string_equal(guesses(table, AFTER(6, 7), 1), "8");
    assert_string_equal(guesses(table, AFTER(4, 5, 7), 1), "20");
    assert_string_equal(guesses(table, AFTER(1, 5, 7), 1), "30");
    assert_string_equal(guesses(table, AFTER(9, 9, 1, 5, 7), 1), "30");
    assert_string_equal(guesses(table, AFTER(5), 1), "");
    flo_draft_table_close(table);
}

static void a_chain_goes_on_after_its_own_guesses(void **state)
{
    struct flo_draft_table *table = open_rows(rows, FLO_COUNT(rows));
    int32_t tokens[8] = {6, 7};
    (void)state;

    assert_string_equal(guesses(table, AFTER(4, 5, 7), 6), "20 20 20 20 20 20");
    assert_int_equal(flo_draft_table_guess(table, tokens, 2, tokens + 2, 6), 3);
    assert_memory_equal(tokens, ((int32_t[]){6, 7, 8, 9, 10}), 5 * sizeof(int32_t));
    flo_draft_table_close(table);
}

static void a_chain_ends_where_no_token_has_half_of_the_cases(void **state)
{
    struct flo_draft_table *table = open_rows(rows, FLO_COUNT(rows));
    (void)state;

    assert_string_equal(guesses(table, AFTER(7), 16), "8 9 10");
    assert_string_equal(guesses(table, AFTER(9), 16), "10");
    assert_string_equal(guesses(table, AFTER(10), 16), "");
    /* also if a shorter context would have a guess */
    assert_string_equal(guesses(table, AFTER(2, 5, 7), 16), "");
    flo_draft_table_close(table);
}

static void no_more_guesses_are_made_than_asked_for(void **state)
{
    struct flo_draft_table *table = open_rows(rows, FLO_COUNT(rows));
    (void)state;

    assert_string_equal(guesses(table, AFTER(7), 2), "8 9");
    assert_string_equal(guesses(table, AFTER(7), 0), "");
    assert_int_equal(flo_draft_table_guess(table, NULL, 0, NULL, 0), 0);
    flo_draft_table_close(table);
}

static void a_table_without_an_empty_slot_ends_each_search(void **state)
{
    static const struct row full[] = {
        {{1}, 1, 2, 65535}, {{2}, 1, 3, 65535}, {{3}, 1, 4, 65535}, {{4}, 1, 5, 65535}};
    struct flo_draft_table *table;
    uint8_t file[FILE_BYTES];
    (void)state;

    for (uint32_t log2 = 0; log2 <= 2; log2++) {
        size_t bytes = make_file(file, log2, full, 1u << log2);
        assert_int_equal(open_bytes(file, bytes, 0, &table, NULL), 0);
        assert_string_equal(guesses(table, AFTER(1), 1), "2");
        assert_string_equal(guesses(table, AFTER(99), 1), "");
        flo_draft_table_close(table);
    }
}

static void a_table_without_contexts_guesses_nothing(void **state)
{
    struct flo_draft_table *table = open_rows(NULL, 0);
    (void)state;

    assert_string_equal(guesses(table, AFTER(1, 2, 3), 16), "");
    flo_draft_table_close(table);
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
    assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_DRAFT_UNFIT);
    assert_non_null(strstr(err.what, "2000 tokens"));
    assert_non_null(strstr(err.what, "has 1000"));
    flo_put_u32(file + 12, VOCAB);
    flo_put_u64(file + 16, 0xfedcba9876543210u);
    assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_DRAFT_UNFIT);
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
        int want = bytes == FILE_BYTES ? 0 : FLO_E_DRAFT_UNFIT;
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
    assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_DRAFT_UNFIT);
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
        assert_int_equal(open_bytes(file, FILE_BYTES, 0, &table, &err), FLO_E_DRAFT_UNFIT);
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

/* ---- damage ---- */

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * below) >> 32);
}

/* Changes some bytes, a number, or the file's end; returns the new size. */
static size_t damage(uint8_t *file, uint32_t *seed)
{
    static const uint32_t numbers[] = {0,     1,          9,          999,       1000,
                                       65535, 0x7fffffff, 0x80000000, UINT32_MAX};
    size_t bytes = FILE_BYTES;

    for (uint32_t i = draw(seed, 4); i > 0; i--) {
        file[draw(seed, FILE_BYTES)] ^= (uint8_t)(1u << draw(seed, 8));
    }
    if (draw(seed, 3) == 0) {
        flo_put_u32(file + 4 * draw(seed, FILE_BYTES / 4), numbers[draw(seed, FLO_COUNT(numbers))]);
    }
    if (draw(seed, 8) == 0) {
        bytes = draw(seed, FILE_BYTES);
    }
    return bytes;
}

static void look(const struct flo_draft_table *table, uint32_t *seed)
{
    int32_t tokens[24];

    for (uint32_t i = 0; i < 8; i++) {
        tokens[i] = draw(seed, 2) == 0 ? rows[draw(seed, FLO_COUNT(rows))].context[0]
                                       : (int32_t)draw(seed, 12);
    }
    uint32_t made = flo_draft_table_guess(table, tokens, 8, tokens + 8, 16);
    assert_true(made <= 16);
    for (uint32_t i = 0; i < made; i++) {
        assert_in_range(tokens[8 + i], 0, VOCAB - 1);
    }
}

static void a_damaged_table_is_refused_or_guesses_tokens_of_the_vocabulary(void **state)
{
    uint32_t seed = 20261129, taken = 0;
    uint8_t file[FILE_BYTES];
    struct flo_draft_table *table;
    (void)state;

    for (uint32_t i = 0; i < 2000; i++) {
        struct flo_err err = {0};
        make_file(file, LOG2, rows, FLO_COUNT(rows));
        size_t bytes = damage(file, &seed);
        int rv = open_bytes(file, bytes, 0, &table, &err);
        if (rv == 0) {
            taken++;
            look(table, &seed);
            flo_draft_table_close(table);
            continue;
        }
        assert_int_equal(rv, FLO_E_DRAFT_UNFIT);
        assert_string_not_equal(err.what, "");
    }
    assert_in_range(taken, 200, 1800); /* both ways were gone */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_the_same_on_every_cpu),
        cmocka_unit_test(a_table_tells_its_contexts_and_its_memory),
        cmocka_unit_test(the_longest_known_context_decides),
        cmocka_unit_test(a_chain_goes_on_after_its_own_guesses),
        cmocka_unit_test(a_chain_ends_where_no_token_has_half_of_the_cases),
        cmocka_unit_test(no_more_guesses_are_made_than_asked_for),
        cmocka_unit_test(a_table_without_an_empty_slot_ends_each_search),
        cmocka_unit_test(a_table_without_contexts_guesses_nothing),
        cmocka_unit_test(a_table_of_another_vocabulary_is_refused_with_both),
        cmocka_unit_test(a_file_of_any_other_size_is_refused),
        cmocka_unit_test(numbers_of_a_head_that_cannot_be_are_refused),
        cmocka_unit_test(a_slot_outside_vocabulary_or_contexts_is_refused),
        cmocka_unit_test(a_table_above_the_budget_is_refused),
        cmocka_unit_test(a_damaged_table_is_refused_or_guesses_tokens_of_the_vocabulary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
