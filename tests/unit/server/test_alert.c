/* Alerts: rules, levels and states as a table, news, increases, signatures. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "base/host/http_client.h"

#include "server-stub/core/alert/alert.h"

static struct flo_alert_rule rule_of(const char *text)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_alert_rule rule;
    struct flo_err err = {0};

    assert_int_equal(flo_json_parse(text, strlen(text), 4096, &json, NULL), 0);
    assert_int_equal(flo_alert_rule_parse("r", json, &rule, &err), 0);
    return rule;
}

static struct flo_err refusal_of(const char *text)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_alert_rule rule;
    struct flo_err err = {0};

    assert_int_equal(flo_json_parse(text, strlen(text), 4096, &json, NULL), 0);
    assert_true(flo_alert_rule_parse("r", json, &rule, &err) < 0);
    return err;
}

#define HOT                                                                                        \
    "{\"where\":\"temperature>85\",\"above\":10,\"clear\":5,"                                      \
    "\"for_ms\":60000,\"keep_ms\":30000,\"repeat_ms\":600000}"

/* ---- states ---- */

static void each_state_answers_each_level_as_the_table_says(void **state)
{
    static const char *const levels[] = {"bad", "middle", "well"};
    struct flo_alert_rule rule = rule_of(HOT);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};

    (void)state;
    for (int from = 0; from < FLO_ALERT_STATES; from++) {
        for (int late = 0; late < 2; late++) {
            flo_buf_printf(&out, "%-8s %-5s", flo_alert_state_word((enum flo_alert_state)from),
                           late ? "late" : "soon");
            for (int level = 0; level < 3; level++) {
                struct flo_alert alert = {.state = (enum flo_alert_state)from, .since_ms = 1000};
                (void)flo_alert_step(&alert, &rule, (enum flo_alert_level)level,
                                     late ? 100000 : 2000);
                flo_buf_printf(&out, " %s:%s", levels[level], flo_alert_state_word(alert.state));
            }
            flo_buf_text(&out, "\n");
        }
    }
    assert_string_equal(out.data, "ok       soon  bad:pending middle:ok well:ok\n"
                                  "ok       late  bad:pending middle:ok well:ok\n"
                                  "pending  soon  bad:pending middle:ok well:ok\n"
                                  "pending  late  bad:firing middle:ok well:ok\n"
                                  "firing   soon  bad:firing middle:firing well:clearing\n"
                                  "firing   late  bad:firing middle:firing well:clearing\n"
                                  "clearing soon  bad:firing middle:firing well:clearing\n"
                                  "clearing late  bad:firing middle:firing well:resolved\n"
                                  "resolved soon  bad:pending middle:resolved well:resolved\n"
                                  "resolved late  bad:pending middle:resolved well:resolved\n");
}

/* Values at times, and the news that they make. */
static void play(const struct flo_alert_rule *rule, struct flo_alert *alert, const char *values,
                 bool is_silenced, struct flo_buf *out)
{
    uint64_t now_ms = 1000000;

    for (; *values != '\0'; values++, now_ms += 10000) {
        double value = *values == 'b' ? 20 : *values == 'm' ? 7 : 1;
        (void)flo_alert_step(alert, rule, flo_alert_level(rule, value), now_ms);
        enum flo_alert_news news = flo_alert_news(alert, rule, is_silenced, now_ms);
        if (news != FLO_ALERT_NEWS_NONE) {
            flo_buf_printf(out, "%llu %s\n", (unsigned long long)(now_ms - 1000000) / 1000,
                           flo_alert_news_word(news));
        }
    }
}

static void a_value_that_swings_tells_nobody_twice(void **state)
{
    struct flo_alert_rule rule = rule_of(HOT);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_alert alert = {0};

    (void)state;
    play(&rule, &alert, "bwbwbbbbbbbmwbwbwbwwwwwww", false, &out);
    assert_string_equal(out.data, "100 firing\n210 resolved\n");
}

static void a_clock_that_is_set_back_holds_no_alert(void **state)
{
    const uint64_t year_ms = UINT64_C(365) * 86400000;
    struct flo_alert_rule rule = rule_of(HOT);
    struct flo_alert alert = {0};

    (void)state;
    (void)flo_alert_step(&alert, &rule, FLO_ALERT_BAD, year_ms);
    (void)flo_alert_step(&alert, &rule, FLO_ALERT_BAD, 1000000);
    (void)flo_alert_step(&alert, &rule, FLO_ALERT_BAD, 1060000);
    assert_int_equal(alert.state, FLO_ALERT_FIRING);
    assert_int_equal(flo_alert_news(&alert, &rule, false, year_ms), FLO_ALERT_NEWS_FIRING);
    (void)flo_alert_step(&alert, &rule, FLO_ALERT_BAD, 1070000);
    assert_int_equal(flo_alert_news(&alert, &rule, false, 1070000), FLO_ALERT_NEWS_NONE);
    assert_int_equal(flo_alert_news(&alert, &rule, false, 1670000), FLO_ALERT_NEWS_STILL);
}

static void a_reminder_comes_seldom_and_not_to_who_has_it(void **state)
{
    struct flo_alert_rule rule = rule_of(HOT);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_alert alert = {0};
    char long_bad[201];

    (void)state;
    memset(long_bad, 'b', 200);
    long_bad[200] = '\0';
    play(&rule, &alert, long_bad, false, &out);
    assert_string_equal(out.data, "60 firing\n660 still-firing\n"
                                  "1260 still-firing\n1860 still-firing\n");
    flo_buf_deinit(&out);
    alert = (struct flo_alert){0};
    play(&rule, &alert, "bbbbbbb", false, &out);
    alert.is_acked = true;
    play(&rule, &alert, long_bad, false, &out);
    assert_string_equal(out.data, "60 firing\n");
}

static void a_silenced_alert_is_told_when_the_silence_ends(void **state)
{
    struct flo_alert_rule rule = rule_of(HOT);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_alert alert = {0};

    (void)state;
    play(&rule, &alert, "bbbbbbbbbb", true, &out);
    assert_int_equal(out.bytes, 0);
    assert_int_equal(alert.state, FLO_ALERT_FIRING);
    play(&rule, &alert, "b", false, &out);
    assert_string_equal(out.data, "0 firing\n");
}

static void an_alert_that_nobody_heard_of_ends_without_a_word(void **state)
{
    struct flo_alert_rule rule = rule_of(HOT);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_alert alert = {0};

    (void)state;
    play(&rule, &alert, "bbbbbbbbbbwwwwwww", true, &out);
    play(&rule, &alert, "w", false, &out);
    assert_int_equal(out.bytes, 0);
    assert_int_equal(alert.state, FLO_ALERT_RESOLVED);
}

/* ---- rules ---- */

static void a_rule_that_does_not_go_together_is_refused_with_its_place(void **state)
{
    static const char *const rows[][2] = {
        {"{\"above\":1}", "/metric"},
        {"{\"where\":\"drifts\",\"metric\":\"flotilla_devices\",\"above\":1}", "/metric"},
        {"{\"where\":\"drifts\"}", "/above"},
        {"{\"where\":\"drifts\",\"above\":1,\"below\":2}", "/above"},
        {"{\"where\":\"drifts\",\"above\":1,\"clear\":2}", "/clear"},
        {"{\"metric\":\"flotilla_devics\",\"above\":1}", "/metric"},
        {"{\"metric\":\"flotilla_first_token_seconds\",\"above\":1}", "/metric"},
        {"{\"metric\":\"flotilla_devices\",\"by\":\"site\",\"above\":1}", "/by"},
        {"{\"where\":\"drifts\",\"below\":1,\"clear\":0}", "/clear"},
        {"{\"metric\":\"flotilla_rollouts\",\"match\":{\"state\":1},\"above\":1}", "/match"},
        {"{\"metric\":\"flotilla_rollouts\",\"match\":"
         "{\"a-name-that-is-far-longer-than-any-label-of-a-metric-is\":\"x\"},\"above\":1}",
         "/match"},
        {"{\"metric\":\"flotilla_rollouts\",\"match\":{\"site\":\"x\"},"
         "\"above\":1}",
         "/match"}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = refusal_of(rows[i][0]);
        assert_string_equal(err.at, rows[i][1]);
    }
}

/* Writes this many characters of four bytes each. */
static const char *satellites(char *out, int chars)
{
    for (int i = 0; i < chars; i++) {
        memcpy(&out[i * 4], "\xf0\x9f\x9b\xb0", 5);
    }
    return out;
}

static void a_limit_counts_characters_and_not_bytes(void **state)
{
    char word[256 * 4 + 1];
    char text[2048];

    (void)state;
    snprintf(text, sizeof(text), "{\"where\":\"drifts\",\"above\":1,\"text\":\"%s\"}",
             satellites(word, 256));
    assert_string_equal(rule_of(text).text, word);
    snprintf(text, sizeof(text), "{\"metric\":\"%s\",\"above\":1}", satellites(word, 80));
    assert_int_equal(refusal_of(text).code, FLO_E_REST_MEANING);
}

static void the_shipped_rules_are_rules(void **state)
{
    const char *name;
    const char *text;
    size_t count = 0;

    (void)state;
    for (; (text = flo_alert_default(count, &name)) != NULL; count++) {
        struct flo_alert_rule rule = rule_of(text);
        assert_true(rule.text[0] != '\0');
        assert_true(flo_name_is_valid(name));
    }
    assert_true(count >= 14);
}

static void labels_are_compared_whole(void **state)
{
    struct flo_alert_rule rule = rule_of("{\"metric\":\"flotilla_rollout_phase\",\"match\":"
                                         "{\"state\":\"halted\"},\"by\":\"rollout\",\"above\":0}");
    char by[FLO_ALERT_SERIES];

    (void)state;
    assert_true(
        flo_alert_rule_takes(&rule, "rollout=\"r-1\",release=\"a@1\",state=\"halted\"", by));
    assert_string_equal(by, "r-1");
    assert_false(
        flo_alert_rule_takes(&rule, "rollout=\"r-1\",release=\"a@1\",state=\"halted2\"", by));
    assert_false(flo_alert_rule_takes(&rule, "rollout=\"state=\\\"halted\\\"\",release=\"a\"", by));
    assert_false(flo_alert_rule_takes(&rule, "", by));
}

static void labels_that_are_no_labels_match_nothing(void **state)
{
    struct flo_alert_rule rule = rule_of("{\"metric\":\"flotilla_rollout_phase\",\"match\":"
                                         "{\"state\":\"halted\"},\"by\":\"rollout\",\"above\":0}");
    char by[FLO_ALERT_SERIES];

    (void)state;
    assert_false(flo_alert_rule_takes(&rule, "rollout", by));
    assert_false(flo_alert_rule_takes(&rule, "rollout=r-1,state=\"halted\"", by));
    assert_false(flo_alert_rule_takes(&rule, "rollout=\"r-1", by));
    assert_false(flo_alert_rule_takes(&rule, "rollout=\"r-1\\", by));
    assert_false(flo_alert_rule_takes(&rule, "stat=\"halted\",states=\"halted\"", by));
    assert_false(flo_alert_rule_takes(&rule, "sta!e=\"halted\"", by));
    assert_true(flo_alert_rule_takes(&rule, "state=\"halted\"", by));
    assert_string_equal(by, "");
    rule.by[0] = '\0';
    assert_true(flo_alert_rule_takes(&rule, "rollout=\"r-1\",state=\"halted\"", by));
    assert_string_equal(by, "");
}

static void a_state_has_one_word(void **state)
{
    enum flo_alert_state parsed;

    (void)state;
    for (int i = 0; i < FLO_ALERT_STATES; i++) {
        assert_true(flo_alert_state_parse(flo_alert_state_word((enum flo_alert_state)i), &parsed));
        assert_int_equal(parsed, i);
    }
    assert_false(flo_alert_state_parse("fire", &parsed));
    assert_false(flo_alert_state_parse("", &parsed));
}

/* ---- increases ---- */

static void an_increase_forgets_what_is_older_and_survives_a_restart(void **state)
{
    struct flo_alert_increase increase = {0};
    double value = 0;

    (void)state;
    assert_true(flo_alert_increase(&increase, 500, 60000, 1000) == 0);
    assert_true(flo_alert_increase(&increase, 510, 60000, 11000) == 10);
    /* The counter began again. */
    assert_true(flo_alert_increase(&increase, 3, 60000, 21000) == 13);
    for (uint64_t now_ms = 31000; now_ms < 400000; now_ms += 2001) {
        value = flo_alert_increase(&increase, 3, 60000, now_ms);
    }
    assert_true(value == 0);
}

/* ---- deliveries ---- */

static void attempts_back_off_and_end_after_about_a_week(void **state)
{
    uint64_t total_ms = 0;
    uint64_t failed = 1;

    (void)state;
    assert_int_equal(flo_alert_pause_ms(1, 0), 5000);
    assert_int_equal(flo_alert_pause_ms(2, 0), 10000);
    assert_int_equal(flo_alert_pause_ms(2, 60000), 60000);
    assert_int_equal(flo_alert_pause_ms(2, UINT64_MAX), 3600000);
    assert_int_equal(flo_alert_pause_ms(100, 60000), 3600000);
    assert_int_equal(flo_alert_pause_ms(200, 60000), 0);
    for (uint64_t wait; (wait = flo_alert_pause_ms(failed, 0)) > 0; failed++) {
        total_ms += wait;
    }
    assert_in_range(total_ms, UINT64_C(160) * 3600000, UINT64_C(176) * 3600000);
}

static void a_signature_is_what_others_compute(void **state)
{
    char out[FLO_ALERT_SIGNATURE];

    (void)state;
    /* printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key */
    flo_alert_sign("key", 1700000000, "{\"a\":1}", 7, out);
    assert_string_equal(out, "v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03");
}

static bool may(const char *text, bool takes_private)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return flo_http_may_connect(&v4, takes_private);
    }
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return flo_http_may_connect(&v6, takes_private);
}

static void a_webhook_reaches_public_hosts_and_private_ones_when_allowed(void **state)
{
    static const char *const public[] = {"93.184.216.34", "2606:2800::1", "172.32.0.1",
                                         "::ffff:93.184.216.34"};
    static const char *const private[] = {"127.0.0.1",   "10.1.2.3",        "172.16.0.1",
                                          "192.168.9.9", "100.64.0.1",      "::1",
                                          "fd00::1",     "::ffff:127.0.0.1"};
    static const char *const never[] = {"169.254.169.254",
                                        "0.0.0.0",
                                        "224.0.0.1",
                                        "255.255.255.255",
                                        "::",
                                        "fe80::1",
                                        "ff02::1",
                                        "::ffff:169.254.169.254"};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(public); i++) {
        assert_true(may(public[i], false));
    }
    for (size_t i = 0; i < FLO_COUNT(private); i++) {
        assert_false(may(private[i], false));
        assert_true(may(private[i], true));
    }
    for (size_t i = 0; i < FLO_COUNT(never); i++) {
        assert_false(may(never[i], false));
        assert_false(may(never[i], true));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_answers_each_level_as_the_table_says),
        cmocka_unit_test(a_value_that_swings_tells_nobody_twice),
        cmocka_unit_test(a_clock_that_is_set_back_holds_no_alert),
        cmocka_unit_test(a_reminder_comes_seldom_and_not_to_who_has_it),
        cmocka_unit_test(a_silenced_alert_is_told_when_the_silence_ends),
        cmocka_unit_test(an_alert_that_nobody_heard_of_ends_without_a_word),
        cmocka_unit_test(a_rule_that_does_not_go_together_is_refused_with_its_place),
        cmocka_unit_test(a_limit_counts_characters_and_not_bytes),
        cmocka_unit_test(the_shipped_rules_are_rules),
        cmocka_unit_test(labels_are_compared_whole),
        cmocka_unit_test(labels_that_are_no_labels_match_nothing),
        cmocka_unit_test(a_state_has_one_word),
        cmocka_unit_test(an_increase_forgets_what_is_older_and_survives_a_restart),
        cmocka_unit_test(attempts_back_off_and_end_after_about_a_week),
        cmocka_unit_test(a_signature_is_what_others_compute),
        cmocka_unit_test(a_webhook_reaches_public_hosts_and_private_ones_when_allowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
