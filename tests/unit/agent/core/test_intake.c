/* The fate of an order, case by case, as the trace tells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/agent.h>
#include <flotilla/errors/target.h>

static struct flo_intake_verdict judge(struct flo_intake_facts facts, enum flo_order_op op)
{
    const struct flo_order order = {.op = op, .id = "o-7", .seq = 7};
    struct flo_intake_verdict verdict;

    facts.order = &order;
    flo_agent_intake(&facts, &verdict);
    return verdict;
}

/* ---- the whole table, as text ---- */

static const struct flo_intake_facts cases[] = {
    {.standing = FLO_STATEMENT_NEW},
    {.standing = FLO_STATEMENT_NEW, .has_ended = true, .is_current = true},
    {.standing = FLO_STATEMENT_NEW, .aborted_by = 9},
    {.standing = FLO_STATEMENT_NEW,
     .has_ended = true,
     .refusal = {.code = FLO_E_TARGET_DENIED, .what = "it was too slow"}},
    {.standing = FLO_STATEMENT_NEW,
     .refusal = {.code = FLO_E_TARGET_DENIED, .what = "it was too slow"}},
    {.standing = FLO_STATEMENT_NEW, .is_set_here = true},
    {.standing = FLO_STATEMENT_AGAIN, .outcome = FLO_STATED_OPEN},
    {.standing = FLO_STATEMENT_AGAIN, .outcome = FLO_STATED_DONE},
    {.standing = FLO_STATEMENT_AGAIN, .outcome = FLO_STATED_FAILED},
    {.standing = FLO_STATEMENT_AGAIN, .outcome = FLO_STATED_FAILED, .is_answered = true},
    {.standing = FLO_STATEMENT_AGAIN, .outcome = FLO_STATED_FAILED, .is_current = true},
    {.standing = FLO_STATEMENT_SUPERSEDED, .by = 9},
    {.standing = FLO_STATEMENT_SUPERSEDED, .by = 9, .takes_back = true},
};

static const char *standing_word(enum flo_standing standing)
{
    switch (standing) {
    case FLO_STATEMENT_NEW:
        return "new";
    case FLO_STATEMENT_AGAIN:
        return "again";
    case FLO_STATEMENT_SUPERSEDED:
        break;
    }
    return "older";
}

static void describe(const struct flo_intake_facts *facts, enum flo_order_op op, char *out,
                     size_t out_bytes)
{
    static const char *const outcomes[] = {"", ", done", ", refused", ", failed"};

    snprintf(
        out, out_bytes, "%s %s%s%s%s%s%s%s%s%s", flo_order_op_word(op),
        standing_word(facts->standing), outcomes[facts->outcome], facts->has_ended ? ", ended" : "",
        facts->is_current ? ", current" : "", facts->aborted_by != 0 ? ", its rollout aborted" : "",
        facts->is_answered ? ", answered" : "", facts->takes_back ? ", takes back what runs" : "",
        facts->is_set_here ? ", set here" : "", facts->refusal.code != 0 ? ", denied" : "");
}

static void tell(struct flo_buf *text, const struct flo_intake_facts *facts, enum flo_order_op op)
{
    struct flo_agent agent = {.origin_ms = 1000};
    struct flo_intake_verdict verdict = judge(*facts, op);
    char name[160];

    describe(facts, op, name, sizeof(name));
    flo_agent_intake_trace(&agent, 1000, name, flo_intake_word(verdict.kind), verdict.why, text);
}

static void every_case_is_told_with_its_reason(void **state)
{
    static const enum flo_order_op ops[] = {FLO_ORDER_DEPLOY, FLO_ORDER_ROLLBACK, FLO_ORDER_FREEZE,
                                            FLO_ORDER_CONFIG, FLO_ORDER_PROMPTS};
    const char *path = "tests/golden/traces/intake.txt";
    const char *mode = getenv("FLOTILLA_GOLDEN");
    struct flo_buf text = {0};
    char *expected = NULL;
    size_t bytes;
    (void)state;

    for (size_t op = 0; op < FLO_COUNT(ops); op++) {
        for (size_t i = 0; i < FLO_COUNT(cases); i++) {
            tell(&text, &cases[i], ops[op]);
        }
    }
    if (mode != NULL && strcmp(mode, "write") == 0) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fputs(text.data, file);
        fclose(file);
    }
    assert_int_equal(flo_file_read(path, 1 << 20, &expected, &bytes, NULL), 0);
    assert_string_equal(text.data, expected);
    free(expected);
    flo_buf_deinit(&text);
}

/* ---- what matters most ---- */

static void a_refusal_names_the_error_that_is_told(void **state)
{
    const struct flo_intake_facts denied = {
        .standing = FLO_STATEMENT_NEW,
        .has_ended = true,
        .refusal = {.code = FLO_E_TARGET_DENIED, .what = "too slow"}};
    const struct flo_intake_facts failed = {.standing = FLO_STATEMENT_AGAIN,
                                            .outcome = FLO_STATED_FAILED};
    (void)state;

    assert_int_equal(judge(denied, FLO_ORDER_DEPLOY).error.code, FLO_E_TARGET_DENIED);
    assert_int_equal(judge(failed, FLO_ORDER_DEPLOY).error.code, FLO_E_STATE);
    assert_int_equal(judge(failed, FLO_ORDER_ROLLBACK).error.code, 0);
}

static void what_is_denied_goes_to_the_core_the_first_time(void **state)
{
    const struct flo_intake_facts denied = {
        .standing = FLO_STATEMENT_NEW,
        .refusal = {.code = FLO_E_TARGET_DENIED, .what = "too slow"}};
    (void)state;

    assert_int_equal(judge(denied, FLO_ORDER_DEPLOY).kind, FLO_INTAKE_ACT);
}

static void a_benchmark_under_way_goes_on_though_a_log_was_asked_for_since(void **state)
{
    struct flo_intake_facts older = {.standing = FLO_STATEMENT_SUPERSEDED, .by = 9};
    (void)state;

    assert_int_equal(judge(older, FLO_ORDER_BENCHMARK).kind, FLO_INTAKE_SUPERSEDED);
    older.is_under_way = true;
    assert_int_equal(judge(older, FLO_ORDER_BENCHMARK).kind, FLO_INTAKE_ACT);
    assert_int_equal(judge(older, FLO_ORDER_DOCTOR).kind, FLO_INTAKE_SUPERSEDED);
}

/* Told again, it must not reach the core either: no place there is its. */
static void a_model_that_is_not_here_is_nobodys(void **state)
{
    struct flo_intake_facts absent = {.standing = FLO_STATEMENT_NEW, .is_absent = true};
    (void)state;

    assert_int_equal(judge(absent, FLO_ORDER_ROLLBACK).kind, FLO_INTAKE_IGNORED);
    assert_int_equal(judge(absent, FLO_ORDER_REMOVE).kind, FLO_INTAKE_DONE);
    absent.standing = FLO_STATEMENT_AGAIN;
    assert_int_equal(judge(absent, FLO_ORDER_ROLLBACK).kind, FLO_INTAKE_IGNORED);
    assert_int_equal(judge(absent, FLO_ORDER_REMOVE).kind, FLO_INTAKE_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_told_with_its_reason),
        cmocka_unit_test(a_refusal_names_the_error_that_is_told),
        cmocka_unit_test(what_is_denied_goes_to_the_core_the_first_time),
        cmocka_unit_test(a_benchmark_under_way_goes_on_though_a_log_was_asked_for_since),
        cmocka_unit_test(a_model_that_is_not_here_is_nobodys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
