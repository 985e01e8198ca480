/* Orders of a group, access tokens, the audit chain, telemetry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/audit.h>
#include <flotilla/errors/mqtt.h>
#include <flotilla/metrics.h>

#include "server-stub/core/access/grants.h"
#include "server-stub/core/access/tokens.h"
#include "server-stub/core/audit.h"
#include "server-stub/core/orders/orders.h"
#include "server-stub/core/telemetry/telemetry.h"

/* ---- orders of a group ---- */

static struct flo_order_card card(enum flo_order_op op, uint64_t seq, const char *rollout,
                                  uint8_t release)
{
    struct flo_order_card out = {.op = op, .seq = seq, .expires_at_ms = 1000};
    snprintf(out.rollout, sizeof(out.rollout), "%s", rollout);
    out.release.bytes[0] = release;
    return out;
}

static void only_the_newest_of_freeze_and_unfreeze_is_listed(void **state)
{
    (void)state;
    struct flo_order_card cards[] = {card(FLO_ORDER_FREEZE, 1, "", 0),
                                     card(FLO_ORDER_ROLLBACK, 2, "", 7),
                                     card(FLO_ORDER_UNFREEZE, 3, "", 0)};
    size_t out[FLO_GROUP_ORDERS_MAX];

    size_t count = flo_group_orders(cards, FLO_COUNT(cards), 10, out);

    assert_int_equal(count, 2);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 2);
}

static void only_the_newest_order_about_prompts_is_listed(void **state)
{
    (void)state;
    struct flo_order_card cards[] = {card(FLO_ORDER_PROMPTS, 1, "", 0),
                                     card(FLO_ORDER_FREEZE, 2, "", 0),
                                     card(FLO_ORDER_PROMPTS, 3, "", 0)};
    size_t out[FLO_GROUP_ORDERS_MAX];

    size_t count = flo_group_orders(cards, FLO_COUNT(cards), 10, out);

    assert_int_equal(count, 2);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 2);
}

static void expired_and_deploy_orders_are_not_listed(void **state)
{
    (void)state;
    struct flo_order_card cards[] = {card(FLO_ORDER_DEPLOY, 1, "r-1", 1),
                                     card(FLO_ORDER_ROLLBACK, 2, "", 7)};
    size_t out[FLO_GROUP_ORDERS_MAX];

    assert_int_equal(flo_group_orders(cards, 2, 999, out), 1);
    assert_int_equal(flo_group_orders(cards, 2, 1000, out), 0);
}

static void orders_of_an_epoch_before_are_not_listed(void **state)
{
    (void)state;
    struct flo_order_card cards[] = {card(FLO_ORDER_ABORT, 1, "r-1", 0),
                                     card(FLO_ORDER_FREEZE, 2, "", 0)};
    size_t out[FLO_GROUP_ORDERS_MAX];

    cards[0].is_over = true;

    assert_int_equal(flo_group_orders(cards, 2, 10, out), 1);
    assert_int_equal(out[0], 1);
}

static void pause_resume_abort_replace_each_other_per_rollout(void **state)
{
    (void)state;
    struct flo_order_card cards[] = {card(FLO_ORDER_PAUSE, 1, "r-1", 0),
                                     card(FLO_ORDER_PAUSE, 2, "r-2", 0),
                                     card(FLO_ORDER_ABORT, 3, "r-1", 0)};
    size_t out[FLO_GROUP_ORDERS_MAX];

    assert_int_equal(flo_group_orders(cards, 3, 10, out), 2);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 2);
}

static void too_many_orders_lose_the_harmless_first(void **state)
{
    (void)state;
    struct flo_order_card cards[40];
    size_t out[FLO_GROUP_ORDERS_MAX];
    char rollout[32];

    for (size_t i = 0; i < 40; i++) {
        snprintf(rollout, sizeof(rollout), "r-%zu", i);
        cards[i] = i == 0  ? card(FLO_ORDER_FREEZE, i, "", 0)
                   : i < 5 ? card(FLO_ORDER_ROLLBACK, i, "", (uint8_t)i)
                           : card(FLO_ORDER_PAUSE, i, rollout, 0);
    }
    size_t count = flo_group_orders(cards, 40, 10, out);

    assert_int_equal(count, FLO_GROUP_ORDERS_MAX);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(out[i], i);
    }
    assert_int_equal(out[7], 39);
}

static bool is_listed(const size_t *out, size_t count, size_t card)
{
    for (size_t i = 0; i < count; i++) {
        if (out[i] == card) {
            return true;
        }
    }
    return false;
}

/* A rollback stands until the last device answered: years, for some. */
static void rollbacks_that_stand_for_long_leave_room_for_what_people_do_now(void **state)
{
    (void)state;
    enum { OLD = 8, UNFREEZE = OLD, RESUME, COUNT };
    struct flo_order_card cards[COUNT];
    size_t out[FLO_GROUP_ORDERS_MAX];

    for (uint8_t i = 0; i < OLD; i++) {
        cards[i] = card(FLO_ORDER_ROLLBACK, i, "", i);
    }
    cards[UNFREEZE] = card(FLO_ORDER_UNFREEZE, UNFREEZE, "", 0);
    cards[RESUME] = card(FLO_ORDER_RESUME, RESUME, "r-1", 0);

    size_t count = flo_group_orders(cards, COUNT, 10, out);

    /* then: with both, the newest rollbacks fill the list, oldest first */
    assert_int_equal(count, FLO_GROUP_ORDERS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(out[i], i + 2);
    }
}

static void pauses_do_not_drive_the_newest_rollbacks_out(void **state)
{
    (void)state;
    enum { ROLLBACKS = 6, COUNT = 20 };
    struct flo_order_card cards[COUNT];
    size_t out[FLO_GROUP_ORDERS_MAX];
    char rollout[32];

    for (uint8_t i = 0; i < COUNT; i++) {
        snprintf(rollout, sizeof(rollout), "r-%u", i);
        cards[i] = i < ROLLBACKS ? card(FLO_ORDER_ROLLBACK, i, "", i)
                                 : card(FLO_ORDER_PAUSE, i, rollout, 0);
    }

    size_t count = flo_group_orders(cards, COUNT, 10, out);

    for (size_t i = 0; i < ROLLBACKS; i++) {
        assert_int_equal(is_listed(out, count, i), i >= ROLLBACKS - 4);
    }
}

static void an_order_is_aged_at_half_its_life(void **state)
{
    (void)state;
    assert_false(flo_order_is_aged(100, 200, 149));
    assert_true(flo_order_is_aged(100, 200, 150));
    assert_true(flo_order_is_aged(200, 100, 0));
}

/* Devices whose clocks are right refuse it. */
static void an_order_of_a_clock_that_was_set_back_is_aged(void **state)
{
    (void)state;
    assert_false(flo_order_is_aged(100, 200, 100));
    assert_true(flo_order_is_aged(100, 200, 99));
}

static void an_outcome_ends_once_but_refused_may_be_done(void **state)
{
    (void)state;
    assert_true(flo_outcome_is_news(FLO_OUTCOME_PENDING, FLO_OUTCOME_RUNNING));
    assert_true(flo_outcome_is_news(FLO_OUTCOME_RUNNING, FLO_OUTCOME_DONE));
    assert_false(flo_outcome_is_news(FLO_OUTCOME_DONE, FLO_OUTCOME_REFUSED));
    assert_false(flo_outcome_is_news(FLO_OUTCOME_DONE, FLO_OUTCOME_RUNNING));
    assert_true(flo_outcome_is_news(FLO_OUTCOME_REFUSED, FLO_OUTCOME_DONE));
    enum flo_order_outcome out;
    assert_false(flo_outcome_parse("pending", &out));
    assert_true(flo_outcome_parse("ignored", &out));
}

static void progress_runs_until_nobody_is_awaited(void **state)
{
    (void)state;
    struct flo_order_progress progress = {0};

    flo_order_progress_add(&progress, FLO_OUTCOME_DONE, true, 1);
    flo_order_progress_add(&progress, FLO_OUTCOME_PENDING, false, 1);
    assert_string_equal(flo_order_progress_word(&progress), "running");
    assert_int_equal(progress.awaited, 0);
    progress.pending = 0;
    assert_string_equal(flo_order_progress_word(&progress), "done");
    flo_order_progress_add(&progress, FLO_OUTCOME_REFUSED, true, 1);
    assert_string_equal(flo_order_progress_word(&progress), "partly");
    assert_int_equal(progress.online, 2);
}

/* ---- access ---- */

static struct flo_grants grants_of(const char *text)
{
    struct flo_grants grants;

    assert_true(flo_grants_parse(text, &grants));
    return grants;
}

static void a_role_includes_those_before_it(void **state)
{
    (void)state;
    struct flo_grants admin = grants_of("admin");
    struct flo_grants plain = grants_of("operator");
    struct flo_grants auditor = grants_of("auditor");

    assert_true(flo_grants_hold(&admin, FLO_ACCESS_RELEASER));
    assert_true(flo_grants_hold(&admin, FLO_ACCESS_AUDITOR));
    assert_true(flo_grants_hold(&plain, FLO_ACCESS_VIEWER));
    assert_false(flo_grants_hold(&plain, FLO_ACCESS_RELEASER));
    assert_false(flo_grants_hold(&plain, FLO_ACCESS_AUDITOR));
    assert_true(flo_grants_hold(&auditor, FLO_ACCESS_VIEWER));
    assert_true(flo_grants_hold(&auditor, FLO_ACCESS_AUDITOR));
    assert_false(flo_grants_hold(&auditor, FLO_ACCESS_OPERATOR));
}

static void a_role_may_be_of_a_group_alone(void **state)
{
    (void)state;
    struct flo_grants grants = grants_of("operator:store-eu,viewer");

    assert_true(flo_grants_hold_somewhere(&grants, FLO_ACCESS_OPERATOR));
    assert_false(flo_grants_hold(&grants, FLO_ACCESS_OPERATOR));
    assert_true(flo_grants_hold(&grants, FLO_ACCESS_VIEWER));
    assert_true(flo_grants_hold_group(&grants, FLO_ACCESS_OPERATOR, "store-eu"));
    assert_false(flo_grants_hold_group(&grants, FLO_ACCESS_OPERATOR, "store-eu2"));
    assert_false(flo_grants_hold_group(&grants, FLO_ACCESS_OPERATOR, "all"));
    assert_false(flo_grants_hold_somewhere(&grants, FLO_ACCESS_RELEASER));

    struct flo_grants all = grants_of("operator:all");
    assert_true(flo_grants_hold(&all, FLO_ACCESS_OPERATOR));
}

static void a_token_may_have_what_its_user_has_or_less(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        const char *less;
        bool includes;
    } rows[] = {
        {"admin", "admin", true},
        {"admin", "operator:lab,auditor,releaser", true},
        {"operator:lab", "viewer:lab", true},
        {"operator:lab", "viewer", false},
        {"operator:lab", "operator:shop", false},
        {"operator:lab,operator:shop", "operator:shop", true},
        {"operator", "operator:shop", true},
        {"auditor", "viewer", true},
        {"releaser", "auditor", false},
    };

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_grants more = grants_of(rows[i].more);
        struct flo_grants less = grants_of(rows[i].less);
        if (flo_grants_include(&more, &less) != rows[i].includes) {
            fail_msg("%s and %s", rows[i].more, rows[i].less);
        }
    }
}

static void words_that_are_no_roles_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "none",
        "root",
        "Admin",
        "operator:",
        ":lab",
        "operator:a b",
        "admin:lab",
        "auditor:x",
        "releaser:x",
        "viewer,",
        ",viewer",
        "viewer;lab",
        "viewer,,viewer",
        "operator:A",
        "viewer ",
        "viewer,viewer,viewer,viewer,viewer,viewer,viewer,viewer,viewer",
    };
    struct flo_grants grants;
    char long_name[80] = "operator:";

    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        if (flo_grants_parse(bad[i], &grants)) {
            fail_msg("`%s` passed", bad[i]);
        }
    }
    memset(long_name + 9, 'a', FLO_NAME_MAX + 1);
    assert_false(flo_grants_parse(long_name, &grants));
    long_name[9 + FLO_NAME_MAX] = '\0';
    assert_true(flo_grants_parse(long_name, &grants));
}

static void a_token_is_read_back_and_damage_is_seen(void **state)
{
    (void)state;
    uint8_t random[38];
    char id[FLO_TOKEN_ID_TEXT];
    char found[FLO_TOKEN_ID_TEXT];
    char token[FLO_TOKEN_TEXT];

    for (size_t i = 0; i < sizeof(random); i++) {
        random[i] = (uint8_t)(i * 37);
    }
    flo_access_token_text(random, id, token);
    assert_true(flo_access_token_parse(token, found));
    assert_string_equal(id, found);
    for (size_t i = 0; token[i] != '\0'; i++) {
        char kept = token[i];
        token[i] = '*';
        assert_false(flo_access_token_parse(token, found));
        token[i] = '\0';
        assert_false(flo_access_token_parse(token, found));
        token[i] = kept;
    }
}

static void an_enrolment_token_carries_the_authority(void **state)
{
    (void)state;
    const uint8_t zero[17] = {0};
    uint8_t ones[17];
    struct flo_digest authority = {{0xab, 0xcd}};
    char token[FLO_TOKEN_TEXT];

    flo_enrol_token_text(zero, &authority, token);
    assert_string_equal(token, "flt1.aaaaaaaaaaaaaaaaaaaaaaaaaa."
                               "abcd0000000000000000000000000000");
    assert_true(flo_enrol_token_is_valid(token));
    memset(ones, 0xff, sizeof(ones));
    flo_enrol_token_text(ones, &authority, token);
    assert_memory_equal(token + 5, "77777777777777777777777777", 26);
    token[6] = '1';
    assert_false(flo_enrol_token_is_valid(token));
    assert_false(flo_enrol_token_is_valid(""));
    assert_false(flo_enrol_token_is_valid("flt1."));
}

/* ---- audit ---- */

#define RECORDS 20
struct chain {
    struct flo_audit_record records[RECORDS];
    struct flo_digest hashes[RECORDS];
    char objects[RECORDS][16];
};

static void chain_make(struct chain *chain)
{
    struct flo_digest head = {{0}};

    for (size_t i = 0; i < RECORDS; i++) {
        snprintf(chain->objects[i], sizeof(chain->objects[i]), "r-%zu", i);
        chain->records[i] = (struct flo_audit_record){.number = i + 1,
                                                      .at_ms = 1000 + i,
                                                      .who = "ops",
                                                      .what = "rollout.start",
                                                      .object = chain->objects[i],
                                                      .result = "ok",
                                                      .detail = "",
                                                      .previous = head};
        flo_audit_hash(&chain->records[i], &chain->hashes[i]);
        head = chain->hashes[i];
    }
}

static size_t chain_good(const struct chain *chain, size_t count)
{
    struct flo_audit_walk walk = {0};
    struct flo_err err = {0};

    for (size_t i = 0; i < count; i++) {
        if (flo_audit_walk_next(&walk, &chain->records[i], &chain->hashes[i], &err) < 0) {
            assert_int_equal(err.code, FLO_E_AUDIT_CHAIN);
            return i;
        }
    }
    return count;
}

static void an_untouched_chain_holds(void **state)
{
    (void)state;
    static struct chain chain;
    chain_make(&chain);
    assert_int_equal(chain_good(&chain, RECORDS), RECORDS);
}

static void every_change_of_every_field_is_found(void **state)
{
    (void)state;
    static struct chain chain;

    for (size_t i = 0; i < RECORDS; i++) {
        chain_make(&chain);
        chain.records[i].who = "mallory";
        assert_int_equal(chain_good(&chain, RECORDS), i);
        chain_make(&chain);
        chain.records[i].at_ms++;
        assert_int_equal(chain_good(&chain, RECORDS), i);
        chain_make(&chain);
        chain.records[i].detail = "ok";
        chain.records[i].result = "";
        assert_int_equal(chain_good(&chain, RECORDS), i);
        chain_make(&chain);
        chain.records[i].detail = "for group lab";
        assert_int_equal(chain_good(&chain, RECORDS), i);
        chain_make(&chain);
        chain.records[i].result = "rest.role";
        assert_int_equal(chain_good(&chain, RECORDS), i);
        chain_make(&chain);
        chain.records[i].object = "r-99";
        assert_int_equal(chain_good(&chain, RECORDS), i);
        /* changed and hashed again: the next record shows it */
        chain_make(&chain);
        chain.records[i].what = "rollout.abort";
        flo_audit_hash(&chain.records[i], &chain.hashes[i]);
        assert_int_equal(chain_good(&chain, RECORDS), i + 1 < RECORDS ? i + 1 : RECORDS);
        /* removed */
        chain_make(&chain);
        memmove(&chain.records[i], &chain.records[i + 1],
                (RECORDS - i - 1) * sizeof(chain.records[0]));
        memmove(&chain.hashes[i], &chain.hashes[i + 1],
                (RECORDS - i - 1) * sizeof(chain.hashes[0]));
        assert_int_equal(chain_good(&chain, RECORDS - 1), i + 1 < RECORDS ? i : RECORDS - 1);
    }
}

/* Each hash is right.  Without this, a chain that was written again could leave
 * out the very numbers that have a signed head. */
static void a_number_that_is_left_out_is_found(void **state)
{
    (void)state;
    static struct chain chain;

    chain_make(&chain);
    for (size_t i = 7; i < RECORDS; i++) {
        chain.records[i].number++;
        chain.records[i].previous = chain.hashes[i - 1];
        flo_audit_hash(&chain.records[i], &chain.hashes[i]);
    }
    assert_int_equal(chain_good(&chain, RECORDS), 7);
}

static bool is_head(const char *number, const char *at_ms)
{
    uint8_t signature[FLO_AUDIT_SIGNATURE_BYTES];
    struct flo_audit_checkpoint mark;
    char line[FLO_AUDIT_LINE_TEXT];
    int chars = snprintf(line, sizeof(line), "head %s sha256:%064d %s %0*d", number, 0, at_ms,
                         2 * FLO_AUDIT_SIGNATURE_BYTES, 0);

    assert_in_range(chars, 1, sizeof(line) - 1);
    return flo_audit_line_parse(line, (size_t)chars, &mark, signature);
}

static void a_signed_head_has_one_form(void **state)
{
    static const char *const others[] = {"064", "+64", " 64", "0x40", "18446744073709551680"};
    (void)state;

    assert_true(is_head("64", "5"));
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        assert_false(is_head(others[i], "5"));
        assert_false(is_head("64", others[i]));
    }
}

static bool is_line(const char *line, size_t bytes)
{
    uint8_t signature[FLO_AUDIT_SIGNATURE_BYTES];
    struct flo_audit_checkpoint mark;

    return flo_audit_line_parse(line, bytes, &mark, signature);
}

static void a_line_that_is_cut_long_or_not_in_hex_is_no_head(void **state)
{
    char line[FLO_AUDIT_LINE_TEXT];
    char much[2 * FLO_AUDIT_LINE_TEXT];
    size_t chars = (size_t)snprintf(line, sizeof(line), "head 64 sha256:%064d 5 %0*d", 0,
                                    2 * FLO_AUDIT_SIGNATURE_BYTES, 0);
    (void)state;

    assert_true(is_line(line, chars));
    assert_false(is_line(line, chars - 1));
    line[chars - 1] = 'x';
    assert_false(is_line(line, chars));
    line[chars - 1] = '\0';
    assert_false(is_line(line, chars));
    line[chars - 1] = '0';
    strstr(line, "sha256")[10] = 'x';
    assert_false(is_line(line, chars));
    memset(much, ' ', sizeof(much));
    assert_false(is_line(much, sizeof(much)));
}

static void a_restart_takes_back_the_heads_from_its_number_on(void **state)
{
    struct flo_audit_checkpoint kept[4];
    size_t count = 0;
    (void)state;

    for (uint64_t number = 10; number <= 30; number += 10) {
        assert_true(flo_audit_checkpoints_add(kept, &count,
                                              &(struct flo_audit_checkpoint){.number = number}));
    }
    assert_false(
        flo_audit_checkpoints_add(kept, &count, &(struct flo_audit_checkpoint){.number = 30}));
    assert_true(flo_audit_checkpoints_add(
        kept, &count, &(struct flo_audit_checkpoint){.number = 15, .is_restart = true}));
    assert_int_equal(count, 2);
    assert_int_equal(kept[0].number, 10);
    assert_int_equal(kept[1].number, 15);
    assert_true(flo_audit_checkpoints_add(kept, &count,
                                          &(struct flo_audit_checkpoint){.is_restart = true}));
    assert_int_equal(count, 0);
}

/* ---- telemetry ---- */

static json_t *parsed(const char *text)
{
    json_t *json = NULL;
    struct flo_err err = {0};

    assert_int_equal(flo_json_parse(text, strlen(text), 1 << 20, &json, &err), 0);
    return json;
}

static int window_code(const char *text)
{
    static struct flo_histogram histograms[FLO_METRIC_COUNT];
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_err err = {0};
    json_t *json = parsed(text);
    size_t parts = 0;
    int rv = flo_telemetry_parts(json, &parts, &err);

    for (size_t i = 0; i < parts && rv == 0; i++) {
        rv = flo_telemetry_parse(json, i, &window, &err);
    }

    json_decref(json);
    return rv;
}

static void windows_with_impossible_numbers_are_refused(void **state)
{
    (void)state;
    assert_int_equal(window_code("{}"), 0);
    assert_int_equal(window_code("{\"counters\":{\"requests\":5}}"), 0);
    assert_int_equal(window_code("{\"counters\":{\"unknown\":\"x\"}}"), 0);
    assert_int_equal(window_code("{\"counters\":{\"requests\":-5}}"), FLO_E_MQTT_SCHEMA);
    assert_int_equal(window_code("{\"counters\":{\"requests\":1.5}}"), FLO_E_MQTT_SCHEMA);
    assert_int_equal(window_code("{\"gauges\":{\"queue\":1e300}}"), FLO_E_MQTT_SCHEMA);
    assert_int_equal(window_code("{\"counters\":{\"requests\":9007199254740993}}"),
                     FLO_E_MQTT_SCHEMA);
    assert_int_equal(window_code("{\"gauges\":{\"temperature_mc\":-10000}}"), 0);
    assert_int_equal(window_code("{\"histograms\":{\"ttft_us\":\"?\"}}"), FLO_E_MQTT_SCHEMA);
    assert_int_equal(window_code("{\"histograms\":{\"ttft_us\":5}}"), FLO_E_MQTT_SCHEMA);
}

/* An agent of another age has metrics that are not known here, and lacks some
 * that are: batch_token_us came after the four latencies. */
static void windows_of_other_ages_are_read(void **state)
{
    static struct flo_histogram histograms[FLO_METRIC_COUNT];
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_err err = {0};
    json_t *old = parsed("{\"v\":1,\"counters\":{\"requests\":3},\"gauges\":{}}");

    (void)state;
    assert_int_equal(window_code("{\"histograms\":{\"later_us\":\"?\"},"
                                 "\"gauges\":{\"later\":{}}}"),
                     0);
    assert_int_equal(flo_telemetry_parse(old, 0, &window, &err), 0);
    assert_true(window.has[FLO_METRIC_NAME_REQUESTS]);
    assert_false(window.has[FLO_METRIC_NAME_BATCH_TOKEN]);
    json_decref(old);
}

static void a_window_has_a_part_for_each_model(void **state)
{
    static struct flo_histogram histograms[FLO_METRIC_COUNT];
    struct flo_telemetry_window window = {.histograms = histograms};
    struct flo_err err = {0};
    size_t parts = 0;
    json_t *json = parsed("{\"v\":2,\"seq\":7,\"at_ms\":9,\"gauges\":{\"agent_rss_bytes\":5},"
                          "\"models\":[{\"model\":\"help\",\"version\":\"1.0.0\","
                          "\"counters\":{\"requests\":3}},{\"model\":\"tiny\",\"counters\":"
                          "{\"requests\":4},\"gauges\":{\"engine_rss_bytes\":6}}]}");

    (void)state;
    assert_int_equal(flo_telemetry_parts(json, &parts, &err), 0);
    assert_int_equal(parts, 2);
    assert_int_equal(flo_telemetry_parse(json, 0, &window, &err), 0);
    assert_string_equal(window.model, "help");
    assert_int_equal(window.values[FLO_METRIC_NAME_REQUESTS], 3);
    assert_int_equal(window.values[FLO_METRIC_NAME_AGENT_RSS], 5);
    assert_false(window.has[FLO_METRIC_NAME_ENGINE_RSS]);
    assert_int_equal(flo_telemetry_parse(json, 1, &window, &err), 0);
    assert_string_equal(window.model, "tiny");
    assert_int_equal(window.values[FLO_METRIC_NAME_REQUESTS], 4);
    assert_int_equal(window.values[FLO_METRIC_NAME_AGENT_RSS], 5);
    assert_int_equal(window.values[FLO_METRIC_NAME_ENGINE_RSS], 6);
    assert_int_equal(window.seq, 7);
    json_decref(json);
    assert_int_equal(window_code("{\"models\":[1]}"), FLO_E_MQTT_SCHEMA);
    assert_int_equal(window_code("{\"models\":[]}"), 0);
    assert_int_equal(window_code("{\"models\":[{\"counters\":{\"requests\":1}},"
                                 "{\"counters\":{\"requests\":-1}}]}"),
                     FLO_E_MQTT_SCHEMA);
}

static int query_code(const char *text)
{
    struct flo_telemetry_query query;
    struct flo_err err = {0};
    json_t *json = parsed(text);
    int rv = flo_telemetry_query_parse(json, &query, &err);

    json_decref(json);
    return rv;
}

static void queries_are_checked(void **state)
{
    (void)state;
    assert_int_equal(query_code("{\"metric\":\"ttft_us\"}"), 0);
    assert_true(query_code("{}") < 0);
    assert_true(query_code("{\"metric\":\"x\"}") < 0);
    assert_true(query_code("{\"metric\":\"ttft_us\",\"by\":[\"x\"]}") < 0);
    assert_true(query_code("{\"metric\":\"ttft_us\",\"quantiles\":[0]}") < 0);
    assert_true(query_code("{\"metric\":\"ttft_us\",\"quantiles\":[1.1]}") < 0);
    assert_true(query_code("{\"metric\":\"ttft_us\",\"step_ms\":1}") < 0);
    assert_int_equal(query_code("{\"metric\":\"ttft_us\",\"by\":[\"release\",\"model\"]}"), 0);
    assert_int_equal(query_code("{\"metric\":\"ttft_us\",\"by\":[\"device\"]}"), 0);
    assert_int_equal(query_code("{\"metric\":\"ttft_us\",\"by\":[\"hardware\"]}"), 0);
    assert_int_equal(query_code("{\"metric\":\"ttft_us\",\"by\":[\"hardware\",\"device\"]}"),
                     FLO_E_REST_MEANING);
    assert_int_equal(query_code("{\"metric\":\"ttft_us\",\"by\":[7]}"), FLO_E_REST_SCHEMA);
}

static void folding_merges_histograms_it_does_not_average(void **state)
{
    (void)state;
    struct flo_telemetry_query query = {.metric = FLO_METRIC_NAME_TTFT,
                                        .by_release = true,
                                        .step_ms = 10000,
                                        .quantile_count = 1,
                                        .quantiles = {0.5}};
    struct flo_histogram *h = calloc(4, sizeof(*h));
    struct flo_telemetry_fold fold = {.query = &query,
                                      .step_histogram = &h[0],
                                      .series_histogram = &h[1],
                                      .series = json_array()};
    for (int i = 0; i < 99; i++) {
        flo_histogram_add(&h[2], 100);
    }
    flo_histogram_add(&h[3], 1000000);

    struct flo_telemetry_row rows[] = {
        {.release = "a", .device = "x", .at_ms = 20000, .count = 99, .histogram = &h[2]},
        {.release = "a", .device = "y", .at_ms = 25000, .count = 1, .histogram = &h[3]},
        {.release = "a", .device = "y", .at_ms = 30000, .count = 1, .histogram = &h[3]},
        {.release = "b", .device = "y", .at_ms = 30000, .count = 1, .histogram = &h[3]}};
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        flo_telemetry_fold_add(&fold, &rows[i]);
    }
    flo_telemetry_fold_end(&fold);

    assert_int_equal(json_array_size(fold.series), 2);
    json_t *first = json_array_get(fold.series, 0);
    json_t *points = json_object_get(first, "points");
    assert_int_equal(json_array_size(points), 2);
    json_t *point = json_array_get(points, 0);
    assert_int_equal(json_integer_value(json_array_get(point, 0)), 20000);
    assert_int_equal(json_integer_value(json_array_get(point, 1)), 100);
    assert_in_range(json_integer_value(json_array_get(point, 2)), 100, 104);
    assert_int_equal(json_integer_value(json_object_get(first, "count")), 101);
    json_decref(fold.series);
    free(h);
}

static void each_model_and_each_hardware_has_a_series(void **state)
{
    (void)state;
    struct flo_telemetry_query query = {
        .metric = FLO_METRIC_NAME_WAITING, .by_model = true, .by_hardware = true, .step_ms = 10000};
    struct flo_histogram *h = calloc(2, sizeof(*h));
    struct flo_telemetry_fold fold = {.query = &query,
                                      .step_histogram = &h[0],
                                      .series_histogram = &h[1],
                                      .series = json_array()};
    static const struct flo_telemetry_row rows[] = {
        {"r", "", "", "x 1g", "help", 20000, 2, 6, 1, 5, NULL},
        {"r", "", "", "x 1g", "help", 25000, 1, 9, 9, 9, NULL},
        {"r", "", "", "x 2g", "help", 20000, 1, 2, 2, 2, NULL},
        {"r", "", "", "x 2g", "tiny", 20000, 0, 0, 0, 0, NULL}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        flo_telemetry_fold_add(&fold, &rows[i]);
    }
    flo_telemetry_fold_end(&fold);
    FLO_CLEANUP(flo_json_cleanup)
    json_t *wanted = parsed("[{\"key\":{\"model\":\"help\",\"hardware\":\"x 1g\"},"
                            "\"points\":[[20000,3,1,5.0,9]],\"count\":3,\"sum\":15},"
                            "{\"key\":{\"model\":\"help\",\"hardware\":\"x 2g\"},"
                            "\"points\":[[20000,1,2,2.0,2]],\"count\":1,\"sum\":2},"
                            "{\"key\":{\"model\":\"tiny\",\"hardware\":\"x 2g\"},"
                            "\"points\":[[20000,0,0,0.0,0]],\"count\":0,\"sum\":0}]");
    assert_true(json_equal(fold.series, wanted));
    json_decref(fold.series);
    free(h);
}

static void points_beyond_the_most_are_left_out_and_counted(void **state)
{
    (void)state;
    struct flo_telemetry_query query = {.metric = FLO_METRIC_NAME_REQUESTS, .step_ms = 1};
    struct flo_histogram *h = calloc(2, sizeof(*h));
    struct flo_telemetry_fold fold = {.query = &query,
                                      .step_histogram = &h[0],
                                      .series_histogram = &h[1],
                                      .series = json_array()};
    struct flo_telemetry_row row = {"r", "", "", "", "", 0, 1, 1, 1, 1, NULL};

    for (; row.at_ms < FLO_TELEMETRY_POINTS_MAX + 5; row.at_ms++) {
        flo_telemetry_fold_add(&fold, &row);
    }
    flo_telemetry_fold_end(&fold);
    const json_t *only = json_array_get(fold.series, 0);
    assert_int_equal(json_array_size(json_object_get(only, "points")), FLO_TELEMETRY_POINTS_MAX);
    assert_int_equal(flo_json_number(only, "count"), FLO_TELEMETRY_POINTS_MAX + 5);
    json_decref(fold.series);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_newest_of_freeze_and_unfreeze_is_listed),
        cmocka_unit_test(only_the_newest_order_about_prompts_is_listed),
        cmocka_unit_test(expired_and_deploy_orders_are_not_listed),
        cmocka_unit_test(orders_of_an_epoch_before_are_not_listed),
        cmocka_unit_test(pause_resume_abort_replace_each_other_per_rollout),
        cmocka_unit_test(too_many_orders_lose_the_harmless_first),
        cmocka_unit_test(rollbacks_that_stand_for_long_leave_room_for_what_people_do_now),
        cmocka_unit_test(pauses_do_not_drive_the_newest_rollbacks_out),
        cmocka_unit_test(an_order_is_aged_at_half_its_life),
        cmocka_unit_test(an_order_of_a_clock_that_was_set_back_is_aged),
        cmocka_unit_test(an_outcome_ends_once_but_refused_may_be_done),
        cmocka_unit_test(progress_runs_until_nobody_is_awaited),
        cmocka_unit_test(a_role_includes_those_before_it),
        cmocka_unit_test(a_role_may_be_of_a_group_alone),
        cmocka_unit_test(a_token_may_have_what_its_user_has_or_less),
        cmocka_unit_test(words_that_are_no_roles_are_refused),
        cmocka_unit_test(a_token_is_read_back_and_damage_is_seen),
        cmocka_unit_test(an_enrolment_token_carries_the_authority),
        cmocka_unit_test(an_untouched_chain_holds),
        cmocka_unit_test(every_change_of_every_field_is_found),
        cmocka_unit_test(a_number_that_is_left_out_is_found),
        cmocka_unit_test(a_signed_head_has_one_form),
        cmocka_unit_test(a_line_that_is_cut_long_or_not_in_hex_is_no_head),
        cmocka_unit_test(a_restart_takes_back_the_heads_from_its_number_on),
        cmocka_unit_test(windows_with_impossible_numbers_are_refused),
        cmocka_unit_test(windows_of_other_ages_are_read),
        cmocka_unit_test(a_window_has_a_part_for_each_model),
        cmocka_unit_test(queries_are_checked),
        cmocka_unit_test(folding_merges_histograms_it_does_not_average),
        cmocka_unit_test(each_model_and_each_hardware_has_a_series),
        cmocka_unit_test(points_beyond_the_most_are_left_out_and_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
