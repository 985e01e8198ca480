/* What the device does with an order and with an operator's word beside it:
 * which releases may come again that were taken back, and which orders act
 * again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

#include <cmocka.h>

#include "agent/shell/shell.h"
#include "base/host/crypto.h"
#include "unit/remove_tree.h"

#define DAY_MS UINT64_C(86400000)

/* The kernel, of whose clock nobody knows how right it is. */
int adjtimex(struct timex *kernel)
{
    kernel->status = STA_UNSYNC;
    return TIME_ERROR;
}

static struct flo_shell shell;
static struct flo_key *key;
static char dir[64];
static uint64_t orders;       /* made so far */
static unsigned acted;        /* of those that are no deploy order */
static uint64_t heartbeat_ms; /* as an order set it */
static int denied; /* as the core was told with the deploy; -1: it was not */

/* ---- the shell around it ---- */

void flo_shell_event(struct flo_shell *unused,
                     const struct flo_agent_event *event)
{
    (void)unused;
    acted += event->kind == FLO_AGENT_ORDER;
    if (event->kind == FLO_AGENT_DEPLOY) {
        denied = event->deploy.is_denied;
    }
}

void flo_shell_note(struct flo_shell *unused, const char *type,
                    const struct flo_err *err)
{
    (void)unused;
    fail_msg("%s: %s", type, err->what);
}

static size_t told; /* answers that went out */
static bool is_connected = true;

void flo_shell_link_ack(struct flo_shell *unused, const char *order,
                        const char *text)
{
    (void)unused, (void)text;
    if (is_connected) {
        told++;
        flo_shell_told(&shell, order);
    }
}

void flo_shell_device_write(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_resume(struct flo_shell *unused)
{
    (void)unused;
}

void flo_shell_set_heartbeat(struct flo_shell *unused, uint64_t ms)
{
    (void)unused;
    heartbeat_ms = ms;
}

bool flo_shell_fits_both(struct flo_shell *unused, const struct flo_digest *a,
                         const struct flo_digest *b)
{
    (void)unused, (void)a, (void)b;
    return true;
}

/* ---- given ---- */

static int begin(void **state)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_err err = {0};

    (void)state;
    memset(&shell, 0, sizeof(shell));
    orders = 0;
    acted = 0;
    heartbeat_ms = 0;
    told = 0;
    is_connected = true;
    snprintf(dir, sizeof(dir), "/tmp/flo-orders-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, &err), 0);
    assert_int_equal(flo_mailbox_open(dir, 1 << 20, &shell.mailbox, &err), 0);
    assert_int_equal(flo_key_generate(&key, &err), 0);
    shell.identity.trust = flo_trust_new("demo");
    flo_public_key_pem(flo_key_public(key), pem);
    assert_int_equal(
        flo_trust_add(shell.identity.trust, pem, FLO_ROLE_ORDER, &err), 0);
    strcpy(shell.identity.groups[shell.identity.group_count++], "all");
    return 0;
}

static int end(void **state)
{
    (void)state;
    flo_key_free(key);
    flo_mailbox_close(shell.mailbox);
    flo_trust_free(shell.identity.trust);
    flo_settings_deinit(&shell.settings);
    return remove_tree(dir);
}

static struct flo_release_ref release(void)
{
    return (struct flo_release_ref){
        .digest.bytes = {9}, .model = "tiny", .version = "2.1.0"};
}

/* By an order of that time; 0: by hand. */
static void take_back(uint64_t issued_at_ms)
{
    struct flo_agent_action action = {.kind = FLO_DO_DENY,
                                      .release = release(),
                                      .flag = true,
                                      .at_ms = issued_at_ms};

    flo_shell_deny(&shell, &action);
}

/* ---- when ---- */

static bool is_denied_by_hand(void)
{
    struct flo_agent_execution execution = {.release = release()};

    denied = -1;
    flo_shell_install(&shell, &execution);
    assert_in_range(denied, 0, 1);
    return denied == 1;
}

/* An order of that number and time comes. */
static void order(uint64_t number, uint64_t issued_at_ms, const char *op,
                  const char *args)
{
    struct flo_buf body = {0};
    struct flo_buf envelope = {0};
    struct flo_err err = {0};
    json_t *json = NULL;

    flo_buf_printf(&body,
                   "{\"v\":1,\"fleet\":\"demo\",\"id\":\"o-%llu\","
                   "\"op\":\"%s\",\"scope\":{\"group\":\"all\"},"
                   "\"epoch\":1,\"seq\":%llu,\"issued_at_ms\":%llu,"
                   "\"expires_at_ms\":%llu,\"by\":\"ops\",\"args\":{%s}}",
                   (unsigned long long)number, op, (unsigned long long)number,
                   (unsigned long long)issued_at_ms,
                   (unsigned long long)(issued_at_ms + 3 * DAY_MS), args);
    assert_int_equal(
        flo_order_sign(body.data, body.bytes, key, &envelope, &err), 0);
    assert_int_equal(flo_json_parse(envelope.data, envelope.bytes,
                                    FLO_ENVELOPE_BYTES_MAX, &json, &err),
                     0);
    flo_shell_order(&shell, json);
    json_decref(json);
    flo_buf_deinit(&envelope);
    flo_buf_deinit(&body);
}

/* To a deploy order of that time. */
static bool is_denied_to_order(uint64_t issued_at_ms)
{
    struct flo_release_ref ref = release();
    char digest[FLO_DIGEST_TEXT];
    char args[256];

    flo_digest_text(&ref.digest, digest);
    orders++;
    snprintf(args, sizeof(args),
             "\"model\":\"tiny\",\"release\":\"%s\",\"version\":\"2.1.0\","
             "\"rollout\":\"r-%llu\",\"phase\":0",
             digest, (unsigned long long)orders);
    denied = -1;
    order(orders, issued_at_ms, "deploy", args);
    assert_in_range(denied, 0, 1);
    return denied == 1;
}

/* Carried out under one id, and told again to the device under another one:
 * does it act? */
static bool acts_again(const char *op, const char *args)
{
    const uint64_t now_ms = flo_wall_ms();
    char id[32];

    snprintf(id, sizeof(id), "o-%llu", (unsigned long long)++orders);
    flo_mailbox_enrolled(shell.mailbox, "device-1");
    order(orders, now_ms, op, args);
    flo_shell_answer(&shell, id, "done", NULL);
    acted = 0;
    order(orders, now_ms, op, args);
    assert_int_equal(acted, 0);
    flo_mailbox_enrolled(shell.mailbox, "device-2");
    order(orders, now_ms, op, args);
    return acted == 1;
}

static bool was_ignored(const char *id)
{
    char *answer = flo_mailbox_answer_of(shell.mailbox, id);
    bool is_ignored = answer != NULL && strstr(answer, "ignored") != NULL;

    free(answer);
    return is_ignored;
}

/* ---- then ---- */

/* The controller's clock is ahead of the device's. */
static void who_stands_at_the_device_is_newer_than_any_order(void **state)
{
    (void)state;
    take_back(flo_wall_ms() + DAY_MS);

    assert_false(is_denied_by_hand());
}

static void what_failed_here_is_denied_by_hand_too(void **state)
{
    struct flo_agent_action failed = {.kind = FLO_DO_DENY,
                                      .release = release()};

    (void)state;
    flo_shell_deny(&shell, &failed);

    assert_true(is_denied_by_hand());
}

/* The device's clock is behind, but it has seen an order of later. */
static void what_was_taken_back_by_hand_stays_so_for_older_orders(void **state)
{
    uint64_t seen_ms = flo_wall_ms() + 30 * DAY_MS;

    (void)state;
    shell.device.trusted_time_ms = seen_ms;
    take_back(0);

    assert_true(is_denied_to_order(seen_ms - DAY_MS));
    assert_false(is_denied_to_order(seen_ms + DAY_MS));
}

/* A newer order may have brought back what it took back. */
static void a_rollback_is_carried_out_once_under_whatever_id(void **state)
{
    (void)state;
    assert_false(acts_again(
        "rollback",
        "\"model\":\"tiny\",\"to\":\"previous\",\"reason\":\"bad\","
        "\"from\":[\"sha256:"
        "0900000000000000000000000000000000000000000000000000000000000000"
        "\"]"));
    assert_true(was_ignored("o-1"));
}

static void a_pause_holds_for_the_new_id_too(void **state)
{
    (void)state;
    assert_true(acts_again("pause", "\"rollout\":\"r-1\""));
}

static void a_device_takes_the_report_interval_of_an_order(void **state)
{
    (void)state;
    order(1, flo_wall_ms(), "config", "\"heartbeat_ms\":2000");

    assert_int_equal(heartbeat_ms, 2000);
    assert_int_equal(acted, 1);
}

/* Its configuration is above the controller's wish. */
static void one_that_has_its_own_interval_ignores_it_and_says_so(void **state)
{
    struct flo_err err = {0};

    (void)state;
    assert_int_equal(
        flo_config_set(shell.settings.config, "heartbeat", "5s", &err), 0);
    order(1, flo_wall_ms(), "config", "\"heartbeat_ms\":2000");

    assert_int_equal(heartbeat_ms, 0);
    assert_true(was_ignored("o-1"));
    assert_int_equal(acted, 0);
}

/* A list comes with each connection and each change, and holds up to eight
 * orders: a fleet of 10,000 would answer 80,000 times. */
static void what_was_told_is_not_told_again_for_a_list(void **state)
{
    (void)state;
    uint64_t issued = flo_wall_ms();
    struct flo_err err = {0};

    /* so that each is answered at once */
    assert_int_equal(
        flo_config_set(shell.settings.config, "heartbeat", "5s", &err), 0);
    shell.is_list = true;
    for (int connection = 0; connection < 3; connection++) {
        for (uint64_t seq = 1; seq <= 8; seq++) {
            order(seq, issued, "config", "\"heartbeat_ms\":2000");
        }
    }
    assert_int_equal(told, 8);

    /* By name the controller asks for an answer that got lost. */
    shell.is_list = false;
    order(3, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(told, 9);
}

static void what_was_not_told_is_told_when_the_list_comes_again(void **state)
{
    (void)state;
    uint64_t issued = flo_wall_ms();
    struct flo_err err = {0};

    /* so that each is answered at once */
    assert_int_equal(
        flo_config_set(shell.settings.config, "heartbeat", "5s", &err), 0);
    shell.is_list = true;
    is_connected = false;
    order(1, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(told, 0);
    is_connected = true;
    order(1, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(told, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            who_stands_at_the_device_is_newer_than_any_order, begin, end),
        cmocka_unit_test_setup_teardown(what_failed_here_is_denied_by_hand_too,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            what_was_taken_back_by_hand_stays_so_for_older_orders, begin, end),
        cmocka_unit_test_setup_teardown(
            a_rollback_is_carried_out_once_under_whatever_id, begin, end),
        cmocka_unit_test_setup_teardown(
            what_was_told_is_not_told_again_for_a_list, begin, end),
        cmocka_unit_test_setup_teardown(
            what_was_not_told_is_told_when_the_list_comes_again, begin, end),
        cmocka_unit_test_setup_teardown(a_pause_holds_for_the_new_id_too, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            a_device_takes_the_report_interval_of_an_order, begin, end),
        cmocka_unit_test_setup_teardown(
            one_that_has_its_own_interval_ignores_it_and_says_so, begin, end),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
