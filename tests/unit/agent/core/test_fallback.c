/* Fallback: who answers a request that its model cannot answer, and what a day
 * may cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/core/fallback.h"
#include "agent/core/spend.h"

enum { NAMED, SMALL, DEVICE, CLOUD, TARGETS };

static struct flo_fallback_target targets[TARGETS];
static enum flo_fallback_refusal refusals[FLO_FALLBACK_TARGETS_MAX];

static struct flo_fallback_ask ask_for(enum flo_fallback_reason reason)
{
    return (struct flo_fallback_ask){.reason = reason, .is_app_allowed = true};
}

static int setup(void **unused)
{
    static const enum flo_fallback_kind kinds[TARGETS] = {FLO_TARGET_MODEL, FLO_TARGET_MODEL,
                                                          FLO_TARGET_DEVICE, FLO_TARGET_ENDPOINT};
    (void)unused;

    for (int i = 0; i < TARGETS; i++) {
        targets[i] = (struct flo_fallback_target){.kind = kinds[i],
                                                  .is_named = i == NAMED,
                                                  .is_ready = true,
                                                  .is_allowed = true,
                                                  .is_able = true,
                                                  .fits_budget = true};
    }
    return 0;
}

static uint32_t choose(const struct flo_fallback_ask *ask)
{
    return flo_fallback_choose(ask, targets, TARGETS, refusals);
}

static void the_first_target_that_can_takes_it(void **unused)
{
    struct flo_fallback_ask ask = ask_for(FLO_FALLBACK_DOWN);
    (void)unused;

    assert_int_equal(choose(&ask), SMALL);
    targets[SMALL].is_ready = false;
    assert_int_equal(choose(&ask), DEVICE);
    assert_int_equal(refusals[SMALL], FLO_REFUSAL_NOT_READY);
    targets[DEVICE].was_tried = true;
    assert_int_equal(choose(&ask), CLOUD);
    targets[CLOUD].is_able = false;
    assert_int_equal(choose(&ask), TARGETS);
    assert_int_equal(refusals[CLOUD], FLO_REFUSAL_ABILITY);
    assert_int_equal(refusals[NAMED], FLO_REFUSAL_TRIED);
}

static void a_token_limits_the_models_of_this_device(void **unused)
{
    struct flo_fallback_ask ask = ask_for(FLO_FALLBACK_QUEUE);
    (void)unused;

    targets[SMALL].is_allowed = false;
    assert_int_equal(choose(&ask), DEVICE);
    assert_int_equal(refusals[SMALL], FLO_REFUSAL_TOKEN);
}

/* Each condition alone keeps the prompt on the device, whatever the reason. */
static void no_prompt_leaves_when_one_condition_forbids_it(void **unused)
{
    (void)unused;

    targets[SMALL].is_ready = false;
    for (int reason = 0; reason < FLO_FALLBACK_REASONS; reason++) {
        const struct flo_fallback_ask may = ask_for((enum flo_fallback_reason)reason);
        struct flo_fallback_ask ask = may;
        struct {
            bool *condition;
            bool value;
            enum flo_fallback_refusal refusal;
        } each[] = {{&ask.is_off, true, FLO_REFUSAL_OFF},
                    {&ask.is_from_site, true, FLO_REFUSAL_SITE},
                    {&ask.is_app_allowed, false, FLO_REFUSAL_APP},
                    {&ask.is_never, true, FLO_REFUSAL_PRIORITY}};
        assert_int_equal(choose(&may), DEVICE);
        for (size_t i = 0; i < FLO_COUNT(each); i++) {
            ask = may;
            *each[i].condition = each[i].value;
            assert_int_equal(choose(&ask), TARGETS);
            assert_int_equal(refusals[DEVICE], each[i].refusal);
            assert_int_equal(refusals[CLOUD], each[i].refusal);
        }
    }
}

static void what_cannot_be_redacted_stays(void **unused)
{
    struct flo_fallback_ask ask = ask_for(FLO_FALLBACK_APP);
    (void)unused;

    targets[SMALL].is_ready = false;
    ask.has_media = true;
    assert_int_equal(choose(&ask), DEVICE);
    ask.needs_redaction = true;
    assert_int_equal(choose(&ask), TARGETS);
    assert_int_equal(refusals[CLOUD], FLO_REFUSAL_MEDIA);
    ask.has_media = false;
    assert_int_equal(choose(&ask), DEVICE);
}

static void a_used_budget_closes_endpoints_and_no_devices(void **unused)
{
    struct flo_fallback_ask ask = ask_for(FLO_FALLBACK_LONG);
    (void)unused;

    targets[SMALL].is_ready = false;
    targets[DEVICE].fits_budget = targets[CLOUD].fits_budget = false;
    assert_int_equal(choose(&ask), DEVICE);
    targets[DEVICE].is_ready = false;
    assert_int_equal(choose(&ask), TARGETS);
    assert_int_equal(refusals[CLOUD], FLO_REFUSAL_BUDGET);
}

static void words_are_read_back_and_others_refused(void **unused)
{
    enum flo_fallback_reason reason;
    (void)unused;

    for (int i = 0; i < FLO_FALLBACK_REASONS; i++) {
        assert_true(flo_fallback_parse(flo_fallback_word((enum flo_fallback_reason)i), &reason));
        assert_int_equal(reason, i);
    }
    assert_false(flo_fallback_parse("always", &reason));
    for (int i = 0; i <= FLO_REFUSAL_MEDIA; i++) {
        assert_non_null(flo_fallback_refusal_words((enum flo_fallback_refusal)i));
    }
}

/* ---- a day's budget ---- */

static void requests_under_way_together_do_not_exceed_it(void **unused)
{
    struct flo_spend spend = {.most = {.tokens = 100}};
    const struct flo_spend_amount claim = {.tokens = 40};
    (void)unused;

    flo_spend_begin(&spend, 7);
    for (int i = 0; i < 2; i++) {
        assert_true(flo_spend_fits(&spend, claim));
        assert_true(flo_spend_claim(&spend, claim));
    }
    assert_false(flo_spend_fits(&spend, claim));
    assert_false(flo_spend_claim(&spend, claim)); /* and adds nothing */
    assert_int_equal(spend.used.tokens, 80);
    flo_spend_settle(&spend, 7, claim, (struct flo_spend_amount){.tokens = 5});
    assert_int_equal(spend.used.tokens, 45);
    assert_true(flo_spend_fits(&spend, claim));
}

static void money_is_a_limit_of_its_own(void **unused)
{
    struct flo_spend spend = {.most = {.cost = 1000}};
    (void)unused;

    assert_true(flo_spend_claim(&spend, (struct flo_spend_amount){1u << 30, 999}));
    assert_true(flo_spend_fits(&spend, (struct flo_spend_amount){.tokens = 1, .cost = 1}));
    assert_false(flo_spend_fits(&spend, (struct flo_spend_amount){.cost = 2}));
    assert_int_equal(flo_spend_cost(1000, 150000, 10, 600000), 156000000);
    assert_true(flo_spend_cost(UINT64_MAX, 2, 1, 1) == UINT64_MAX);
}

static void a_new_day_begins_at_0_and_a_clock_that_goes_back_begins_none(void **unused)
{
    struct flo_spend spend = {.most = {.tokens = 100}};
    const struct flo_spend_amount claim = {.tokens = 90};
    (void)unused;

    flo_spend_begin(&spend, 10);
    assert_true(flo_spend_claim(&spend, claim));
    flo_spend_begin(&spend, 9);
    assert_int_equal(spend.used.tokens, 90);
    flo_spend_begin(&spend, 11);
    assert_int_equal(spend.used.tokens, 0);
    /* The claim of the day before is no part of the new day's use. */
    flo_spend_settle(&spend, 10, claim, (struct flo_spend_amount){.tokens = 12});
    assert_int_equal(spend.used.tokens, 12);
}

static void what_is_stored_is_never_behind_what_was_used(void **unused)
{
    struct flo_spend spend = {.most = {.tokens = 1600}};
    struct flo_spend_amount ahead;
    unsigned writes = 0;
    (void)unused;

    for (unsigned i = 1; i <= 1600; i++) {
        assert_true(flo_spend_claim(&spend, (struct flo_spend_amount){.tokens = 1}));
        if (flo_spend_must_keep(&spend, &ahead)) {
            spend.kept = ahead;
            writes++;
        }
        assert_true(spend.kept.tokens >= spend.used.tokens);
        assert_true(spend.kept.tokens <= 1600);
    }
    assert_in_range(writes, 1, 17);
    assert_false(flo_spend_must_keep(&(struct flo_spend){.used = {.tokens = 5}}, &ahead));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_first_target_that_can_takes_it, setup),
        cmocka_unit_test_setup(a_token_limits_the_models_of_this_device, setup),
        cmocka_unit_test_setup(no_prompt_leaves_when_one_condition_forbids_it, setup),
        cmocka_unit_test_setup(what_cannot_be_redacted_stays, setup),
        cmocka_unit_test_setup(a_used_budget_closes_endpoints_and_no_devices, setup),
        cmocka_unit_test(words_are_read_back_and_others_refused),
        cmocka_unit_test(requests_under_way_together_do_not_exceed_it),
        cmocka_unit_test(money_is_a_limit_of_its_own),
        cmocka_unit_test(a_new_day_begins_at_0_and_a_clock_that_goes_back_begins_none),
        cmocka_unit_test(what_is_stored_is_never_behind_what_was_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
