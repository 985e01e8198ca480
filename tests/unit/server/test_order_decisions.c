/* Orders: what follows from answers, which are signed again, and whether a
 * device is back.  The tables and walks are golden texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/core/orders/answer.h"
#include "server-stub/core/orders/intent.h"
#include "server-stub/core/orders/offer.h"
#include "server-stub/core/orders/recall.h"
#include "server-stub/core/orders/renewal.h"

#include "unit/server/golden.h"

#define HOUR_MS UINT64_C(3600000)
#define NOW_MS (100 * HOUR_MS)

/* ---- answers ---- */

static const char *answer_word(enum flo_answer_follows follows)
{
    static const char *const words[FLO_ANSWER_COUNT] = {
        [FLO_ANSWER_NOTHING] = "nothing",
        [FLO_ANSWER_SEND_AGAIN] = "send again",
        [FLO_ANSWER_LOOK] = "the report decides",
        [FLO_ANSWER_BACK] = "back",
        [FLO_ANSWER_STAYS] = "stays",
        [FLO_ANSWER_ABORTED] = "aborted",
        [FLO_ANSWER_REJECTED] = "rejected",
        [FLO_ANSWER_SUPERSEDED] = "superseded",
        [FLO_ANSWER_REMOVED] = "removed",
    };

    return words[follows];
}

static void add_answer(struct flo_buf *out, enum flo_order_op op, enum flo_order_outcome outcome,
                       const char *error, bool is_aged)
{
    struct flo_answer answer = {.op = op, .outcome = outcome, .error = error, .is_aged = is_aged};
    struct flo_answer_result result = flo_answer_decide(&answer);

    flo_buf_printf(out, "%-8s  %-10s  %-12s  %-5s  ->  %s%s\n", flo_order_op_word(op),
                   flo_outcome_word(outcome), error != NULL ? error : "-",
                   is_aged ? "aged" : "young", answer_word(result.follows),
                   result.is_for_good ? ", for good" : "");
}

static void each_answer_to_each_order_has_one_meaning(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    static const char *const errors[] = {NULL, "cmd.expired", "cmd.future", "io.write",
                                         "probe.golden"};

    (void)state;
    for (int op = 0; op < FLO_ORDER_COUNT; op++) {
        for (int outcome = 0; outcome <= FLO_OUTCOME_SUPERSEDED; outcome++) {
            size_t count = outcome == FLO_OUTCOME_REFUSED ? FLO_COUNT(errors) : 1;
            for (size_t e = 0; e < count; e++) {
                add_answer(&text, (enum flo_order_op)op, (enum flo_order_outcome)outcome, errors[e],
                           false);
                if (e > 0) {
                    add_answer(&text, (enum flo_order_op)op, (enum flo_order_outcome)outcome,
                               errors[e], true);
                }
            }
        }
    }
    golden_check("answers", text.data);
}

static void an_answer_covers_only_earlier_orders_about_the_same(void **state)
{
    struct flo_answer_order answered = {
        .op = "rollback", .group = "all", .rollout = "", .model = "tiny", .release = "a", .seq = 7};
    struct flo_answer_order awaited = answered;

    (void)state;
    awaited.seq = 6;
    assert_true(flo_answer_covers(&answered, &awaited));
    awaited.seq = 7; /* itself */
    assert_false(flo_answer_covers(&answered, &awaited));
    awaited.seq = 8; /* the device has not seen that one */
    assert_false(flo_answer_covers(&answered, &awaited));
    awaited.seq = 6;
    awaited.release = "b";
    assert_false(flo_answer_covers(&answered, &awaited));
    awaited.release = "a";
    awaited.group = "lab";
    assert_false(flo_answer_covers(&answered, &awaited));
    awaited.group = "all";
    awaited.rollout = "r-0001";
    assert_false(flo_answer_covers(&answered, &awaited));
    awaited.rollout = "";
    awaited.op = "abort";
    assert_false(flo_answer_covers(&answered, &awaited));
    answered.op = awaited.op = "remove";
    assert_true(flo_answer_covers(&answered, &awaited));
    answered.op = awaited.op = "logs"; /* each brings a report of its own */
    assert_false(flo_answer_covers(&answered, &awaited));
}

static void an_answer_is_missed_after_ten_seconds_while_the_order_holds(void **state)
{
    (void)state;
    assert_false(
        flo_answer_is_missing(NOW_MS, NOW_MS + HOUR_MS, NOW_MS + FLO_ANSWER_ASK_AFTER_MS, false));
    assert_true(flo_answer_is_missing(NOW_MS, NOW_MS + HOUR_MS,
                                      NOW_MS + FLO_ANSWER_ASK_AFTER_MS + 1, false));
    assert_false(flo_answer_is_missing(NOW_MS, NOW_MS + HOUR_MS, NOW_MS + HOUR_MS, false));
}

static void of_a_device_that_is_back_it_is_missed_at_once(void **state)
{
    (void)state;
    assert_true(flo_answer_is_missing(NOW_MS, NOW_MS + HOUR_MS, NOW_MS + 1, true));
    assert_false(flo_answer_is_missing(NOW_MS, NOW_MS + HOUR_MS, NOW_MS + HOUR_MS, true));
}

static void only_errors_of_trust_say_that_an_order_is_distrusted(void **state)
{
    (void)state;
    assert_true(flo_answer_is_distrust("sig.invalid"));
    assert_true(flo_answer_is_distrust("meta.json"));
    assert_false(flo_answer_is_distrust("cmd.expired"));
    assert_false(flo_answer_is_distrust("signal"));
    assert_false(flo_answer_is_distrust(NULL));
}

/* ---- signing again ---- */

/* Age in hours; an order lives for 72. */
static struct flo_renewal_order order_of(enum flo_order_op op, uint64_t seq, uint64_t age_h,
                                         bool is_listed)
{
    return (struct flo_renewal_order){.op = op,
                                      .seq = seq,
                                      .issued_at_ms = NOW_MS - age_h * HOUR_MS,
                                      .expires_at_ms = NOW_MS - age_h * HOUR_MS + FLO_ORDER_LIFE_MS,
                                      .is_listed = is_listed};
}

/* rollback: the newest one of the model. */
static void walk(struct flo_buf *out, const char *title, bool is_each, uint64_t rollback,
                 const struct flo_renewal_order *orders, size_t count)
{
    struct flo_renewal renewal = {.now_ms = NOW_MS, .is_each = is_each};

    flo_buf_printf(out, "%s\n", title);
    for (size_t i = 0; i < count; i++) {
        uint64_t age_ms = NOW_MS - orders[i].issued_at_ms;
        struct flo_renewal_order order = orders[i];
        order.rollback = rollback;
        enum flo_renewal_why why = flo_renewal_next(&renewal, &order);
        flo_buf_printf(out, "  o-%04llu  %-8s  %2llu h  %s%s\n", (unsigned long long)orders[i].seq,
                       flo_order_op_word(orders[i].op), (unsigned long long)(age_ms / HOUR_MS),
                       why == FLO_RENEWAL_NOT ? "" : "again: ", flo_renewal_word(why));
    }
}

static void walks_over_orders_say_which_are_signed_again_and_why(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    const struct flo_renewal_order listed[] = {
        order_of(FLO_ORDER_ROLLBACK, 1, 20, true), order_of(FLO_ORDER_FREEZE, 2, 36, true),
        order_of(FLO_ORDER_CONFIG, 3, 37, true),   order_of(FLO_ORDER_ROLLBACK, 4, 40, true),
        order_of(FLO_ORDER_ABORT, 5, 10, true),    order_of(FLO_ORDER_ROLLBACK, 6, 5, true),
        order_of(FLO_ORDER_REMOVE, 7, 5, true),
    };
    const struct flo_renewal_order held[] = {
        order_of(FLO_ORDER_REMOVE, 6, 3, false),    order_of(FLO_ORDER_DEPLOY, 7, 3, false),
        order_of(FLO_ORDER_ROLLBACK, 8, 40, false), order_of(FLO_ORDER_ROLLBACK, 9, 2, false),
        order_of(FLO_ORDER_DEPLOY, 10, 1, false),
    };

    (void)state;
    walk(&text, "lists of groups", false, 9, listed, FLO_COUNT(listed));
    walk(&text, "desired documents, the newest rollback is o-0009", false, 9, held,
         FLO_COUNT(held));
    walk(&text, "desired documents, no rollback", false, 0, held, FLO_COUNT(held));
    walk(&text, "desired documents, devices know higher numbers", true, 0, held, FLO_COUNT(held));
    golden_check("renewal", text.data);
}

static void an_order_of_an_epoch_before_is_signed_again(void **state)
{
    struct flo_renewal renewal = {.now_ms = NOW_MS, .epoch = 2};
    struct flo_renewal_order order = order_of(FLO_ORDER_DEPLOY, 7, 1, false);

    (void)state;
    order.epoch = 1;
    assert_int_equal(flo_renewal_next(&renewal, &order), FLO_RENEWAL_EPOCH);
    order.epoch = 2;
    assert_int_equal(flo_renewal_next(&renewal, &order), FLO_RENEWAL_NOT);
}

static void few_holders_of_a_deploy_get_an_order_each(void **state)
{
    (void)state;
    assert_true(flo_renewal_is_own(FLO_ORDER_DEPLOY, 1));
    assert_true(flo_renewal_is_own(FLO_ORDER_DEPLOY, FLO_RENEWAL_OWN_MAX));
    assert_false(flo_renewal_is_own(FLO_ORDER_DEPLOY, FLO_RENEWAL_OWN_MAX + 1));
    assert_false(flo_renewal_is_own(FLO_ORDER_DEPLOY, 0));
    assert_true(flo_renewal_is_own(FLO_ORDER_REMOVE, 1));
    assert_false(flo_renewal_is_own(FLO_ORDER_ROLLBACK, 1));
}

/* ---- back ---- */

static bool names(const char *report, const char *release)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    assert_int_equal(flo_json_parse(report, strlen(report), 65536, &json, NULL), 0);
    return flo_return_names(json, release);
}

/* A report on two models; the second one is told. */
#define MODELS(second) "{\"models\":[{\"model\":\"x\"},{" second "}]}"

static void a_device_is_back_when_its_report_names_the_release_nowhere(void **state)
{
    (void)state;
    assert_true(names(MODELS("\"serving\":{\"release\":\"a\"}"), "a"));
    assert_true(names(MODELS("\"current\":{\"release\":\"a\"}"), "a"));
    assert_true(names(MODELS("\"candidate\":{\"release\":\"a\"}"), "a"));
    assert_true(names(MODELS("\"execution\":{\"release\":\"a\"}"), "a"));
    /* A kept release is no more than a copy on disk. */
    assert_false(names(MODELS("\"previous\":{\"release\":\"a\"}"), "a"));
    assert_false(names(MODELS("\"serving\":{\"release\":\"b\"}"), "a"));
    assert_false(names("{}", "a"));
}

static bool succeeded(const char *report)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    assert_int_equal(flo_json_parse(report, strlen(report), 65536, &json, NULL), 0);
    return flo_return_succeeded(json, "a", "r-1");
}

#define RUN(release, rollout, state)                                                               \
    "\"execution\":{\"release\":\"" release "\",\"rollout\":\"" rollout "\",\"state\":\"" state    \
    "\"}"
#define HAS_A "\"current\":{\"release\":\"a\"},"

static void a_report_tells_the_rollout_that_brought_what_runs(void **state)
{
    (void)state;
    assert_true(succeeded(MODELS(HAS_A RUN("a", "r-1", "succeeded"))));
    assert_false(succeeded(MODELS(HAS_A RUN("a", "r-1", "soaking"))));
    assert_false(succeeded(MODELS(HAS_A RUN("a", "r-2", "succeeded")))); /* by another one */
    assert_false(succeeded(MODELS(HAS_A RUN("b", "r-1", "succeeded"))));
    assert_false(succeeded(MODELS(RUN("a", "r-1", "succeeded")))); /* it left it since */
    assert_false(succeeded(MODELS("\"current\":7,\"execution\":[]")));
    assert_false(succeeded("{}"));
}

static void a_report_older_than_desired_says_nothing_of_it(void **state)
{
    (void)state;
    assert_false(flo_return_report_counts(3, 4));
    assert_true(flo_return_report_counts(4, 4));
    assert_true(flo_return_report_counts(5, 4));
}

static void
rollouts_that_go_on_are_concerned_only_when_they_are_done_and_it_was_ordered(void **state)
{
    (void)state;
    assert_false(flo_return_concerns(FLO_ROLLOUT_RUNNING, false));
    assert_false(flo_return_concerns(FLO_ROLLOUT_RUNNING, true));
    assert_false(flo_return_concerns(FLO_ROLLOUT_COMPLETED, false));
    assert_true(flo_return_concerns(FLO_ROLLOUT_COMPLETED, true));
    assert_true(flo_return_concerns(FLO_ROLLOUT_PAUSED, false));
    assert_true(flo_return_concerns(FLO_ROLLOUT_HALTED, false));
}

/* ---- intent ---- */

static void a_rollback_and_a_yank_end_rollouts_by_their_state(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    static const char *const words[] = {[FLO_INTENT_STAYS] = "stays",
                                        [FLO_INTENT_RECALL] = "taken back",
                                        [FLO_INTENT_ABORT] = "aborted"};

    (void)state;
    flo_buf_text(&text, "state         covered      yanked only\n");
    for (int i = 0; i < FLO_ROLLOUT_STATE_COUNT; i++) {
        enum flo_rollout_state of = (enum flo_rollout_state)i;
        flo_buf_printf(&text, "%-12s  %-11s  %s\n", flo_rollout_state_word(of),
                       words[flo_intent_stop(of, true, false)],
                       words[flo_intent_stop(of, false, true)]);
        /* A yank adds nothing where the rollback is for the group. */
        assert_int_equal(flo_intent_stop(of, true, true), flo_intent_stop(of, true, false));
        assert_int_equal(flo_intent_stop(of, false, false), FLO_INTENT_STAYS);
    }
    golden_check("rollback-ends-rollouts", text.data);
}

static void a_rollout_orders_while_it_runs_is_paused_or_is_done(void **state)
{
    (void)state;
    for (int i = 0; i < FLO_ROLLOUT_STATE_COUNT; i++) {
        enum flo_rollout_state of = (enum flo_rollout_state)i;
        bool may =
            of == FLO_ROLLOUT_RUNNING || of == FLO_ROLLOUT_PAUSED || of == FLO_ROLLOUT_COMPLETED;
        assert_int_equal(flo_intent_may_order(of), may);
    }
}

static void a_deploy_yields_to_a_newer_rollout_of_its_model(void **state)
{
    (void)state;
    assert_true(flo_intent_may_write(FLO_ORDER_DEPLOY, "r-0002", "r-0001"));
    assert_true(flo_intent_may_write(FLO_ORDER_DEPLOY, "r-0002", "r-0002"));
    assert_false(flo_intent_may_write(FLO_ORDER_DEPLOY, "r-0002", "r-0003"));
    assert_false(flo_intent_may_write(FLO_ORDER_DEPLOY, "r-9999", "r-10000"));
    assert_true(flo_intent_may_write(FLO_ORDER_DEPLOY, "r-0002", ""));
}

static void other_orders_are_written_over_the_rollouts_own_only(void **state)
{
    (void)state;
    assert_true(flo_intent_may_write(FLO_ORDER_ABORT, "r-0002", "r-0002"));
    assert_false(flo_intent_may_write(FLO_ORDER_ABORT, "r-0002", "r-0001"));
    assert_false(flo_intent_may_write(FLO_ORDER_ROLLBACK, "r-0002", ""));
}

static void denials_are_lifted_when_asked_or_when_it_was_taken_back(void **state)
{
    (void)state;
    assert_int_equal(flo_intent_lift(false, 0, 9), 0);
    assert_int_equal(flo_intent_lift(true, 0, 9), 9);
    assert_int_equal(flo_intent_lift(false, 4, 9), 9);
}

static void a_restored_controller_skips_numbers_within_bounds(void **state)
{
    (void)state;
    assert_int_equal(flo_intent_top(9, 9, false), FLO_INTENT_TOP_OURS);
    assert_int_equal(flo_intent_top(10, 9, false), FLO_INTENT_TOP_ALARM);
    assert_int_equal(flo_intent_top(10, 9, true), FLO_INTENT_TOP_SKIP);
    assert_int_equal(flo_intent_top(9 + FLO_INTENT_TOP_JUMP_MAX, 9, true), FLO_INTENT_TOP_SKIP);
    assert_int_equal(flo_intent_top(10 + FLO_INTENT_TOP_JUMP_MAX, 9, true), FLO_INTENT_TOP_ALARM);
}

/* ---- offers ---- */

static int add_digest(void *context, const struct flo_digest *digest, struct flo_err *err)
{
    (void)err;
    flo_buf_printf(context, "%c ", digest->bytes[0]);
    return digest->bytes[0] == '!' ? 7 : 0;
}

static struct flo_digest named(char name)
{
    return (struct flo_digest){.bytes = {(uint8_t)name}};
}

static void a_release_brings_its_files_the_ways_to_them_and_bases_of_deltas(void **state)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_release *release = calloc(1, sizeof(*release));
    struct flo_err err = {0};

    (void)state;
    assert_non_null(release);
    release->base = named('R'); /* a release is no artifact */
    release->file_count = 2;
    release->files[0] = (struct flo_release_file){
        .digest = named('f'),
        .chunk_list = named('c'),
        .way_count = 3,
        .ways = {{.digest = named('f')},
                 {.codec = FLO_CODEC_ZSTD, .digest = named('z')},
                 {.codec = FLO_CODEC_TENSOR1, .digest = named('d'), .base = named('b')}}};
    release->files[1] = (struct flo_release_file){
        .digest = named('g'), .way_count = 1, .ways = {{.digest = named('!')}}};

    assert_int_equal(flo_offer_each(release, add_digest, &out, &err), 7);
    assert_string_equal(out.data, "f c f z d b g ! ");
    free(release);
}

static void a_release_states_the_bytes_of_what_it_brings(void **state)
{
    struct flo_release *release = calloc(1, sizeof(*release));
    static const struct {
        char artifact;
        uint64_t bytes;
    } stated[] = {{'f', 1000}, {'z', 300}, {'c', 96}, {'g', 9}, {'b', 0}, {'x', 0}};

    (void)state;
    assert_non_null(release);
    release->file_count = 2;
    release->files[0] = (struct flo_release_file){
        .digest = named('f'),
        .bytes = 1000,
        .chunk_bytes = 400,
        .chunk_list = named('c'),
        .way_count = 1,
        .ways = {{.digest = named('z'), .bytes = 300, .base = named('b')}}};
    /* The same artifact, of a document that contradicts itself. */
    release->files[1] = (struct flo_release_file){.digest = named('g'),
                                                  .bytes = 8,
                                                  .way_count = 1,
                                                  .ways = {{.digest = named('g'), .bytes = 9}}};

    for (size_t i = 0; i < FLO_COUNT(stated); i++) {
        struct flo_digest digest = named(stated[i].artifact);
        assert_int_equal(flo_offer_bytes(release, &digest), stated[i].bytes);
    }
    free(release);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_to_each_order_has_one_meaning),
        cmocka_unit_test(an_answer_covers_only_earlier_orders_about_the_same),
        cmocka_unit_test(an_answer_is_missed_after_ten_seconds_while_the_order_holds),
        cmocka_unit_test(of_a_device_that_is_back_it_is_missed_at_once),
        cmocka_unit_test(only_errors_of_trust_say_that_an_order_is_distrusted),
        cmocka_unit_test(walks_over_orders_say_which_are_signed_again_and_why),
        cmocka_unit_test(an_order_of_an_epoch_before_is_signed_again),
        cmocka_unit_test(few_holders_of_a_deploy_get_an_order_each),
        cmocka_unit_test(a_device_is_back_when_its_report_names_the_release_nowhere),
        cmocka_unit_test(a_report_tells_the_rollout_that_brought_what_runs),
        cmocka_unit_test(a_report_older_than_desired_says_nothing_of_it),
        cmocka_unit_test(
            rollouts_that_go_on_are_concerned_only_when_they_are_done_and_it_was_ordered),
        cmocka_unit_test(a_rollback_and_a_yank_end_rollouts_by_their_state),
        cmocka_unit_test(a_deploy_yields_to_a_newer_rollout_of_its_model),
        cmocka_unit_test(other_orders_are_written_over_the_rollouts_own_only),
        cmocka_unit_test(denials_are_lifted_when_asked_or_when_it_was_taken_back),
        cmocka_unit_test(a_restored_controller_skips_numbers_within_bounds),
        cmocka_unit_test(a_release_brings_its_files_the_ways_to_them_and_bases_of_deltas),
        cmocka_unit_test(a_release_states_the_bytes_of_what_it_brings),
        cmocka_unit_test(a_rollout_orders_while_it_runs_is_paused_or_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
