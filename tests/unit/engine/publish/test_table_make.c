/* Tables of drafts as a publisher makes them: what is counted, stored and
 * guessed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/publish/draft/held_out.h"

#define VOCAB 100u
#define CHECKSUM 42u

static struct flo_draft_maker *open_maker(uint32_t longest, uint32_t contexts_max)
{
    struct flo_draft_maker *maker = NULL;

    assert_int_equal(flo_draft_maker_open(longest, VOCAB, contexts_max, &maker, NULL), 0);
    return maker;
}

/* Adds an answer.  The tokens before the 0 are the prompt, the second 0 ends the
 * list. */
static void add(struct flo_draft_maker *maker, const int32_t *list)
{
    int32_t tokens[64];
    uint32_t n_prompt = 0, count = 0;

    while (list[n_prompt] != 0) {
        n_prompt++;
    }
    for (count = n_prompt; list[count + 1] != 0; count++) {
        tokens[count] = list[count + 1];
    }
    memcpy(tokens, list, n_prompt * sizeof(*list));
    assert_int_equal(flo_draft_maker_add(maker, tokens, n_prompt, count, NULL), 0);
}
#define PLAYED(...) ((const int32_t[]){__VA_ARGS__, 0})

static struct flo_draft_table *table_of(struct flo_draft_maker *maker)
{
    int fd = memfd_create("draft", MFD_CLOEXEC);
    struct flo_draft_table *table = NULL;
    struct flo_buf file = {0};

    assert_int_equal(flo_draft_maker_write(maker, CHECKSUM, &file, NULL), 0);
    assert_int_equal(flo_fd_write_all(fd, file.data, file.bytes, NULL), 0);
    assert_int_equal(flo_draft_table_open(fd, VOCAB, CHECKSUM, 0, &table, NULL), 0);
    assert_int_equal(flo_draft_table_bytes(table), file.bytes);
    flo_buf_deinit(&file);
    close(fd);
    return table;
}

/* The next token by the table, or -1. */
static int32_t next_of(const struct flo_draft_table *table, const int32_t *tokens, uint32_t count)
{
    int32_t token = -1;

    (void)flo_draft_table_guess(table, tokens, count, &token, 1);
    return token;
}
#define NEXT(table, ...)                                                                           \
    next_of(table, (const int32_t[]){__VA_ARGS__},                                                 \
            sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* ---- what is counted ---- */

static void tokens_that_followed_before_are_guessed(void **state)
{
    struct flo_draft_maker *maker = open_maker(4, FLO_DRAFT_CONTEXTS_MAX);
    int32_t out[8];
    (void)state;

    add(maker, PLAYED(1, 2, 0, 10, 11, 12, 13));
    add(maker, PLAYED(3, 2, 0, 10, 11, 12, 14));
    struct flo_draft_table *table = table_of(maker);

    assert_int_equal(NEXT(table, 9, 2), 10);
    assert_int_equal(flo_draft_table_guess(table, (const int32_t[]){2}, 1, out, 8), 4);
    assert_memory_equal(out, ((const int32_t[]){10, 11, 12, 13}), 4 * sizeof(int32_t));
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
    flo_draft_maker_close(NULL);
}

static void tokens_of_prompts_are_not_guessed(void **state)
{
    struct flo_draft_maker *maker = open_maker(4, FLO_DRAFT_CONTEXTS_MAX);
    (void)state;

    for (int i = 0; i < 5; i++) {
        add(maker, PLAYED(1, 2, 3, 0, 4));
    }
    struct flo_draft_table *table = table_of(maker);

    assert_int_equal(NEXT(table, 1), -1);
    assert_int_equal(NEXT(table, 1, 2), -1);
    assert_int_equal(NEXT(table, 1, 2, 3), 4);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static void no_context_reaches_into_another_answer(void **state)
{
    struct flo_draft_maker *maker = open_maker(4, FLO_DRAFT_CONTEXTS_MAX);
    (void)state;

    for (int i = 0; i < 5; i++) {
        add(maker, PLAYED(0, 1, 2));
        add(maker, PLAYED(0, 3, 4));
    }
    struct flo_draft_table *table = table_of(maker);

    assert_int_equal(NEXT(table, 1), 2);
    assert_int_equal(NEXT(table, 2), -1);
    assert_int_equal(NEXT(table, 1, 2), -1);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static void one_case_makes_a_guess_and_two_against_each_other_one_of_them(void **state)
{
    struct flo_draft_maker *maker = open_maker(1, FLO_DRAFT_CONTEXTS_MAX);
    (void)state;

    add(maker, PLAYED(1, 0, 4));
    struct flo_draft_table *table = table_of(maker);
    assert_int_equal(NEXT(table, 1), 4);
    flo_draft_table_close(table);

    add(maker, PLAYED(1, 0, 3));
    table = table_of(maker);
    assert_int_equal(NEXT(table, 1), 3); /* the smaller number */
    flo_draft_table_close(table);

    add(maker, PLAYED(1, 0, 5));
    table = table_of(maker);
    assert_int_equal(NEXT(table, 1), -1);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static void a_maker_without_answers_makes_a_table_without_contexts(void **state)
{
    struct flo_draft_maker *maker = open_maker(4, FLO_DRAFT_CONTEXTS_MAX);
    struct flo_draft_table *table = table_of(maker);
    (void)state;

    assert_int_equal(flo_draft_table_contexts(table), 0);
    assert_int_equal(NEXT(table, 1), -1);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static void answers_may_be_added_after_a_table_was_written(void **state)
{
    struct flo_draft_maker *maker = open_maker(4, FLO_DRAFT_CONTEXTS_MAX);
    (void)state;

    add(maker, PLAYED(1, 0, 2));
    flo_draft_table_close(table_of(maker));
    add(maker, PLAYED(3, 0, 4));
    struct flo_draft_table *table = table_of(maker);

    assert_int_equal(NEXT(table, 1), 2);
    assert_int_equal(NEXT(table, 3), 4);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static void more_tokens_than_the_list_has_room_for_are_refused(void **state)
{
    struct flo_draft_maker *maker = open_maker(4, FLO_DRAFT_CONTEXTS_MAX);
    uint32_t count = FLO_DRAFT_LIST_MAX / 4;
    int32_t *tokens = calloc(count, sizeof(*tokens));
    struct flo_err err = {0};
    (void)state;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(flo_draft_maker_add(maker, tokens, count - 4, count, NULL), 0);
        assert_int_equal(flo_draft_maker_add(maker, tokens, 0, count - 10, NULL), 0);
    }
    assert_int_equal(flo_draft_maker_add(maker, tokens, 0, count, &err), FLO_E_USAGE);
    assert_non_null(strstr(err.what, "more than 16777216 tokens"));
    free(tokens);
    flo_draft_maker_close(maker);
}

/* ---- what is stored ---- */

static void a_context_that_repeats_a_shorter_one_takes_no_slot(void **state)
{
    struct flo_draft_maker *maker = open_maker(8, FLO_DRAFT_CONTEXTS_MAX);
    (void)state;

    for (int i = 0; i < 3; i++) {
        add(maker, PLAYED(1, 0, 2, 3, 4, 5));
    }
    struct flo_draft_table *table = table_of(maker);
    assert_int_equal(flo_draft_table_contexts(table), 4); /* 1, 2, 3 and 4 alone */
    flo_draft_table_close(table);

    for (int i = 0; i < 2; i++) {
        add(maker, PLAYED(7, 1, 0, 9)); /* other than after 1 alone */
    }
    table = table_of(maker);
    assert_int_equal(flo_draft_table_contexts(table), 5);
    assert_int_equal(NEXT(table, 1), 2);
    assert_int_equal(NEXT(table, 7, 1), 9);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * below) >> 32);
}

enum { ANSWERS = 60, LENGTH = 24, LONGEST = 4, N_PROMPT = 5 };
static int32_t played[ANSWERS][LENGTH];

/* Answers of few tokens, so that many contexts come again. */
static void play(uint32_t seed)
{
    for (int i = 0; i < ANSWERS; i++) {
        for (int k = 0; k < LENGTH; k++) {
            bool repeats = k > 0 && draw(&seed, 3) > 0;
            played[i][k] = repeats ? (played[i][k - 1] * 5 + 1) % 7 : (int32_t)draw(&seed, 7);
        }
    }
}

/* Counts each token after a context, as the header says, with no cleverness. */
static uint32_t count_after(const int32_t *context, uint32_t length, uint32_t *counts)
{
    uint32_t cases = 0;

    memset(counts, 0, VOCAB * sizeof(*counts));
    for (int i = 0; i < ANSWERS; i++) {
        for (uint32_t k = N_PROMPT; k < LENGTH; k++) {
            if (memcmp(&played[i][k - length], context, length * sizeof(*context)) == 0) {
                counts[played[i][k]]++;
                cases++;
            }
        }
    }
    return cases;
}

/* The next token if each context was stored. */
static int32_t next_of_all(const int32_t *tokens, uint32_t count)
{
    uint32_t counts[VOCAB];

    for (uint32_t length = count < LONGEST ? count : LONGEST; length > 0; length--) {
        uint32_t cases = count_after(tokens + count - length, length, counts), best = 0;
        if (cases == 0) {
            continue;
        }
        for (uint32_t t = 1; t < VOCAB; t++) {
            best = counts[t] > counts[best] ? t : best;
        }
        return 2 * counts[best] >= cases ? (int32_t)best : -1;
    }
    return -1;
}

static void no_guess_changes_because_contexts_are_left_out(void **state)
{
    uint32_t seed = 5, guessed = 0;
    (void)state;

    for (uint32_t round = 0; round < 3; round++) {
        struct flo_draft_maker *maker = open_maker(LONGEST, FLO_DRAFT_CONTEXTS_MAX);
        play(round);
        for (int i = 0; i < ANSWERS; i++) {
            assert_int_equal(flo_draft_maker_add(maker, played[i], N_PROMPT, LENGTH, NULL), 0);
        }
        struct flo_draft_table *table = table_of(maker);
        for (uint32_t i = 0; i < 3000; i++) {
            const int32_t tokens[] = {(int32_t)draw(&seed, 8), (int32_t)draw(&seed, 8),
                                      (int32_t)draw(&seed, 8), (int32_t)draw(&seed, 8),
                                      (int32_t)draw(&seed, 8)};
            uint32_t count = 1 + draw(&seed, 5);
            int32_t want = next_of_all(tokens, count);
            assert_int_equal(next_of(table, tokens, count), want);
            guessed += want >= 0;
        }
        flo_draft_table_close(table);
        flo_draft_maker_close(maker);
    }
    assert_in_range(guessed, 1000, 8000);
}

static void the_same_answers_give_the_same_bytes_in_any_order(void **state)
{
    struct flo_buf files[2] = {{0}};
    (void)state;

    play(9);
    for (int round = 0; round < 2; round++) {
        struct flo_draft_maker *maker = open_maker(8, FLO_DRAFT_CONTEXTS_MAX);
        for (int i = 0; i < ANSWERS; i++) {
            const int32_t *answer = played[round == 0 ? i : ANSWERS - 1 - i];
            assert_int_equal(flo_draft_maker_add(maker, answer, N_PROMPT, LENGTH, NULL), 0);
        }
        assert_int_equal(flo_draft_maker_write(maker, CHECKSUM, &files[round], NULL), 0);
        flo_draft_maker_close(maker);
    }
    assert_int_equal(files[0].bytes, files[1].bytes);
    assert_memory_equal(files[0].data, files[1].data, files[0].bytes);
    flo_buf_deinit(&files[0]);
    flo_buf_deinit(&files[1]);
}

static void contexts_of_the_fewest_cases_make_room_for_the_others(void **state)
{
    struct flo_draft_maker *maker = open_maker(1, 3);
    (void)state;

    for (int i = 0; i < 8; i++) {
        add(maker, PLAYED(1, 0, 2));
    }
    add(maker, PLAYED(3, 0, 4));
    add(maker, PLAYED(3, 0, 4));
    add(maker, PLAYED(5, 0, 6));
    add(maker, PLAYED(5, 0, 6));
    struct flo_draft_table *table = table_of(maker);
    assert_int_equal(flo_draft_table_contexts(table), 3);
    flo_draft_table_close(table);

    add(maker, PLAYED(7, 0, 8));
    add(maker, PLAYED(7, 0, 8));
    table = table_of(maker);
    assert_int_equal(flo_draft_table_contexts(table), 1);
    assert_int_equal(NEXT(table, 1), 2);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

static void a_large_table_finds_each_of_its_contexts(void **state)
{
    struct flo_draft_maker *maker = open_maker(2, FLO_DRAFT_CONTEXTS_MAX);
    uint32_t contexts = 0;
    (void)state;

    for (int32_t i = 0; i < 100 * 100; i++) {
        const int32_t tokens[] = {i / 100, i % 100, (i * 7 + i / 100 * 31) % 100};
        assert_int_equal(flo_draft_maker_add(maker, tokens, 2, 3, NULL), 0);
        assert_int_equal(flo_draft_maker_add(maker, tokens, 2, 3, NULL), 0);
    }
    struct flo_draft_table *table = table_of(maker);
    for (int32_t i = 0; i < 100 * 100; i++) {
        const int32_t tokens[] = {i / 100, i % 100};
        contexts += next_of(table, tokens, 2) == (i * 7 + i / 100 * 31) % 100;
    }
    assert_int_equal(contexts, 100 * 100);
    flo_draft_table_close(table);
    flo_draft_maker_close(maker);
}

/* ---- answers that are held out ---- */

static void answers_that_are_held_out_tell_how_much_is_guessed(void **state)
{
    struct flo_draft_maker *maker = open_maker(8, FLO_DRAFT_CONTEXTS_MAX);
    const int32_t answer[] = {1, 2, 3, 5, 9};
    struct flo_held_out_score score;
    struct flo_held_out held = {0};
    (void)state;

    add(maker, PLAYED(1, 0, 2, 3, 4));
    add(maker, PLAYED(1, 0, 2, 3, 4));
    struct flo_draft_table *table = table_of(maker);
    assert_int_equal(flo_held_out_add(&held, answer, 1, 5, NULL), 0);
    assert_int_equal(flo_held_out_add(&held, answer, 5, 5, NULL), 0);
    flo_held_out_measure(&held, table, &score);

    assert_int_equal(score.tokens, 4);
    assert_int_equal(score.guessed, 3); /* after 1, 2 and 3 */
    assert_int_equal(score.right, 2);
    flo_draft_table_close(table);
    flo_held_out_deinit(&held);
    flo_draft_maker_close(maker);
}

static void answers_that_are_released_count_as_if_added(void **state)
{
    struct flo_buf files[2] = {{0}};
    (void)state;

    play(3);
    for (int round = 0; round < 2; round++) {
        struct flo_draft_maker *maker = open_maker(8, FLO_DRAFT_CONTEXTS_MAX);
        struct flo_held_out held = {0};
        for (int i = 0; i < ANSWERS; i++) {
            bool is_held = round == 1 && i % 4 == 3;
            int rv = is_held ? flo_held_out_add(&held, played[i], 12, LENGTH, NULL)
                             : flo_draft_maker_add(maker, played[i], 12, LENGTH, NULL);
            assert_int_equal(rv, 0);
        }
        assert_int_equal(flo_held_out_release(&held, maker, NULL), 0);
        assert_int_equal(flo_draft_maker_write(maker, CHECKSUM, &files[round], NULL), 0);
        flo_held_out_deinit(&held);
        flo_draft_maker_close(maker);
    }
    assert_int_equal(files[0].bytes, files[1].bytes);
    assert_memory_equal(files[0].data, files[1].data, files[0].bytes);
    flo_buf_deinit(&files[0]);
    flo_buf_deinit(&files[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_that_followed_before_are_guessed),
        cmocka_unit_test(tokens_of_prompts_are_not_guessed),
        cmocka_unit_test(no_context_reaches_into_another_answer),
        cmocka_unit_test(one_case_makes_a_guess_and_two_against_each_other_one_of_them),
        cmocka_unit_test(a_maker_without_answers_makes_a_table_without_contexts),
        cmocka_unit_test(answers_may_be_added_after_a_table_was_written),
        cmocka_unit_test(more_tokens_than_the_list_has_room_for_are_refused),
        cmocka_unit_test(a_context_that_repeats_a_shorter_one_takes_no_slot),
        cmocka_unit_test(no_guess_changes_because_contexts_are_left_out),
        cmocka_unit_test(the_same_answers_give_the_same_bytes_in_any_order),
        cmocka_unit_test(contexts_of_the_fewest_cases_make_room_for_the_others),
        cmocka_unit_test(a_large_table_finds_each_of_its_contexts),
        cmocka_unit_test(answers_that_are_held_out_tell_how_much_is_guessed),
        cmocka_unit_test(answers_that_are_released_count_as_if_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
