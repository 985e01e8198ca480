/* Who takes part in the next pass. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define USER FLO_WIRE_USER
#define PROBE FLO_WIRE_PROBE
#define BATCH FLO_WIRE_BATCH

#define TURN(who, tokens)                                                                          \
    {                                                                                              \
        .priority = who, .pending = tokens                                                         \
    }

/* An answer: its last tokens, of which a grammar forced all but one. */
#define ANSWER(who, tokens)                                                                        \
    {                                                                                              \
        .priority = who, .pending = tokens, .is_answer = true                                      \
    }

/* One pass, as text: rows of each, '!' when a user waits for it. */
static const char *pass(struct flo_schedule *schedule, struct flo_turn *turns, size_t count)
{
    static char text[256];
    bool is_waited_for = flo_schedule_pass(schedule, turns, count);
    int n = 0;

    for (size_t i = 0; i < count; i++) {
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%u ", turns[i].rows);
    }
    snprintf(text + n, sizeof(text) - (size_t)n, "%s", is_waited_for ? "!" : "");
    return text;
}

static void answers_go_together_and_a_prompt_with_them_in_pieces(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(USER, 1), TURN(USER, 100), TURN(USER, 1), TURN(USER, 5)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 4), "1 27 1 5 !");
    assert_string_equal(pass(&schedule, turns + 1, 1), "64 !");
    turns[1].pending = 20;
    assert_string_equal(pass(&schedule, turns, 4), "1 20 1 5 !");
}

static void equal_prompts_fill_a_pass_in_the_order_of_arrival(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(USER, 40), TURN(USER, 40), TURN(USER, 40)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 3), "40 24 0 !");
}

static void a_short_prompt_waits_for_no_long_one(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(USER, 1400), TURN(USER, 30)};
    struct flo_turn three[] = {TURN(USER, 1400), TURN(USER, 900), TURN(USER, 100)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 2), "34 30 !");
    /* The first come goes on whatever comes after it. */
    assert_string_equal(pass(&schedule, three, 3), "16 0 48 !");
}

static void no_stream_of_short_prompts_holds_a_long_one(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(USER, 1400), TURN(USER, 60), TURN(USER, 60), TURN(USER, 60)};
    uint32_t passes = 0;

    (void)state;
    for (; turns[0].pending > 16; passes++) {
        flo_schedule_pass(&schedule, turns, 4);
        assert_true(turns[0].rows >= 16);
        turns[0].pending -= turns[0].rows;
    }
    assert_true(passes <= 1400 / 16);
}

static void what_a_grammar_forced_does_not_wait_for_an_older_prompt(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(USER, 1000), ANSWER(USER, 6), TURN(USER, 1), ANSWER(USER, 129)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 1), "64 !");
    assert_string_equal(pass(&schedule, turns, 2), "32 6 !");
    /* The prompt goes on all the same. */
    assert_string_equal(pass(&schedule, turns, 4), "31 6 1 26 !");
    /* Alone it has the whole pass. */
    assert_string_equal(pass(&schedule, turns + 3, 1), "64 !");
}

/* A context that was shifted, or another session's, is computed again. */
static void an_answer_with_more_to_compute_is_a_prompt(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(USER, 1000), ANSWER(USER, 130)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 2), "16 48 !");
}

static void forced_tokens_hold_batch_work_up_as_an_answer_does(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(BATCH, 300), ANSWER(USER, 4)};

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_string_equal(pass(&schedule, turns, 2), "0 4 !");
    }
    assert_string_equal(pass(&schedule, turns, 2), "30 4 !");
}

static void batch_work_waits_while_a_user_is_answered(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(BATCH, 300), TURN(USER, 1), TURN(BATCH, 1)};

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            assert_string_equal(pass(&schedule, turns, 3), "0 1 0 !");
        }
        /* Every fourth pass is theirs too, and the answer goes on in it. */
        assert_string_equal(pass(&schedule, turns, 3), "30 1 1 !");
    }
}

static void a_users_prompt_holds_batch_work_up_longest(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(BATCH, 300), TURN(USER, 4000)};

    (void)state;
    for (int i = 0; i < 15; i++) {
        assert_string_equal(pass(&schedule, turns, 2), "0 64 !");
    }
    assert_string_equal(pass(&schedule, turns, 2), "32 0 ");
    assert_string_equal(pass(&schedule, turns, 2), "0 64 !");
}

static void nobody_waits_for_batch_work_alone(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(BATCH, 300), TURN(BATCH, 1)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 2), "32 1 ");
    assert_string_equal(pass(&schedule, turns, 1), "64 ");
}

static void a_probe_has_its_passes_for_itself(void **state)
{
    struct flo_schedule schedule = {0};
    struct flo_turn turns[] = {TURN(PROBE, 1), TURN(BATCH, 1)};
    struct flo_turn beside[] = {TURN(PROBE, 1), TURN(USER, 1)};

    (void)state;
    assert_string_equal(pass(&schedule, turns, 2), "1 0 ");
    assert_string_equal(pass(&schedule, turns, 2), "0 1 ");
    assert_string_equal(pass(&schedule, turns, 2), "1 0 ");
    for (int i = 0; i < 3; i++) {
        assert_string_equal(pass(&schedule, beside, 2), "0 1 !");
    }
    assert_string_equal(pass(&schedule, beside, 2), "1 0 ");
}

/* Whatever is there: something is computed, not too much, nothing that is not
 * pending, and all come to their end. */
static void everybody_comes_to_an_end(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (int world = 0; world < 300; world++) {
        struct flo_schedule schedule = {0};
        struct flo_turn turns[17];
        uint32_t answers[17];
        size_t count = 1 + (random >> 8) % 17, open = count;
        int passes = 0;

        for (size_t i = 0; i < count; i++) {
            random = random * 1664525u + 1013904223u;
            turns[i] = (struct flo_turn)TURN((enum flo_wire_priority)((random >> 8) % 3),
                                             1 + (random >> 12) % 99);
            answers[i] = 1 + (random >> 20) % 40;
        }
        while (open > 0) {
            uint32_t rows = 0;

            assert_true(++passes < 8000);
            flo_schedule_pass(&schedule, turns, count);
            for (size_t i = 0; i < count; i++) {
                assert_true(turns[i].rows <= turns[i].pending);
                rows += turns[i].rows;
                turns[i].pending -= turns[i].rows;
                if (turns[i].rows > 0 && turns[i].pending == 0) {
                    turns[i].is_answer = true;
                    turns[i].pending = --answers[i] > 0 ? 1 + (uint32_t)i : 0;
                    open -= answers[i] == 0;
                }
            }
            assert_in_range(rows, 1, FLO_PASS_ROWS);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_go_together_and_a_prompt_with_them_in_pieces),
        cmocka_unit_test(equal_prompts_fill_a_pass_in_the_order_of_arrival),
        cmocka_unit_test(a_short_prompt_waits_for_no_long_one),
        cmocka_unit_test(no_stream_of_short_prompts_holds_a_long_one),
        cmocka_unit_test(what_a_grammar_forced_does_not_wait_for_an_older_prompt),
        cmocka_unit_test(an_answer_with_more_to_compute_is_a_prompt),
        cmocka_unit_test(forced_tokens_hold_batch_work_up_as_an_answer_does),
        cmocka_unit_test(batch_work_waits_while_a_user_is_answered),
        cmocka_unit_test(a_users_prompt_holds_batch_work_up_longest),
        cmocka_unit_test(nobody_waits_for_batch_work_alone),
        cmocka_unit_test(a_probe_has_its_passes_for_itself),
        cmocka_unit_test(everybody_comes_to_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
