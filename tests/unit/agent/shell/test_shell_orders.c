/* What the device does with an order and with an operator's word beside it:
 * which order holds, what it is answered, and which releases may come again
 * that were taken back. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/timex.h>

#include <cmocka.h>

#include "agent/shell/orders/orders.h"
#include "agent/shell/queue/timers.h"
#include "base/host/crypto.h"
#include "unit/remove_tree.h"

#define DAY_MS UINT64_C(86400000)

static bool is_kept_right; /* the clock */

/* The kernel, of whose clock nobody knows how right it is at first. */
int adjtimex(struct timex *kernel)
{
    kernel->status = is_kept_right ? 0 : STA_UNSYNC;
    return is_kept_right ? TIME_OK : TIME_ERROR;
}

static struct flo_shell shell;
static struct flo_key *key;
static char dir[64];
static unsigned acted;        /* of those that are no deploy order */
static uint64_t heartbeat_ms; /* as an order set it */
static int denied;  /* as the core was told with the deploy; -1: it was not */
static int refusal; /* ... and why */
static char told[2048]; /* the last answer */
static unsigned alarms; /* told as security */
static unsigned notes;  /* told as anything else */
static uint64_t begun_ms;

/* ---- the shell around it ---- */

/* What the core hears. */
static void take_event(const struct flo_agent_event *event)
{
    acted += event->kind == FLO_AGENT_ORDER;
    if (event->kind == FLO_AGENT_DEPLOY) {
        refusal = event->deploy.refusal.code;
        denied = refusal == FLO_E_TARGET_DENIED;
    }
}

void flo_shell_note(struct flo_shell *unused, const char *type,
                    const struct flo_err *err)
{
    (void)unused, (void)err;
    if (strcmp(type, "security") == 0) {
        alarms++;
    } else {
        notes++;
    }
}

static size_t answers; /* that went out */
static bool is_connected = true;
static bool is_list; /* the orders stand in a group's */

bool flo_shell_link_ack(struct flo_shell *unused, const char *text)
{
    (void)unused;
    snprintf(told, sizeof(told), "%s", text);
    answers += is_connected;
    return is_connected;
}

json_t *flo_report_error(const struct flo_agent_error *error)
{
    return json_pack("{s:s, s:s}", "id", flo_error_id(error->code), "what",
                     error->what);
}

static char reported[FLO_NAME_MAX + 1]; /* an order that asked for a report */

void flo_shell_report_afar(struct flo_shell *unused,
                           const struct flo_order *order)
{
    (void)unused;
    snprintf(reported, sizeof(reported), "%s", order->id);
}

void flo_shell_set_heartbeat(struct flo_shell *unused, uint64_t ms)
{
    (void)unused;
    heartbeat_ms = ms;
}

bool flo_shell_fits_both(struct flo_shell *unused, uint32_t model,
                         const struct flo_digest *beside)
{
    (void)unused, (void)model, (void)beside;
    return true;
}

/* ---- given ---- */

static int begin(void **state)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_err err = {0};

    (void)state;
    memset(&shell, 0, sizeof(shell));
    acted = 0;
    heartbeat_ms = 0;
    alarms = 0;
    notes = 0;
    is_kept_right = false;
    begun_ms = flo_wall_ms();
    told[0] = '\0';
    answers = 0;
    is_connected = true;
    is_list = false;
    snprintf(dir, sizeof(dir), "/tmp/flo-orders-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_settings_load(NULL, dir, &shell.settings, &err), 0);
    assert_int_equal(flo_outbox_db_open(dir, 1 << 20, &shell.db, &err), 0);
    assert_int_equal(flo_store_open(dir, true, &shell.store, &err), 0);
    shell.device.epoch = 1;
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
    assert_int_equal(notes, 0); /* where none is awaited */
    flo_key_free(key);
    flo_outbox_db_close(shell.db);
    flo_store_close(shell.store);
    flo_trust_free(shell.identity.trust);
    flo_settings_deinit(&shell.settings);
    return remove_tree(dir);
}

static struct flo_release_ref release(void)
{
    return (struct flo_release_ref){
        .digest.bytes = {9}, .model = "tiny", .version = "2.1.0"};
}

/* As the core says it, when somebody at the device goes back, and when the
 * probe failed. */
static void deny(enum flo_denial_cause cause, uint64_t number)
{
    struct flo_agent_action action = {.kind = FLO_DO_DENY,
                                      .release = release(),
                                      .cause = cause,
                                      .number = number};

    flo_shell_deny(&shell, &action);
}

/* ---- when ---- */

static bool is_denied_by_hand(void)
{
    struct flo_agent_execution execution = {.release = release()};

    denied = -1;
    assert_int_equal(
        flo_orders_install(&shell, &execution, &shell.intake, NULL), 0);
    take_event(&shell.intake.event);
    assert_in_range(denied, 0, 1);
    return denied == 1;
}

static bool is_list;       /* they stand in a group's */
static unsigned epoch = 1; /* of the orders that come */

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
                   "\"epoch\":%u,\"seq\":%llu,\"issued_at_ms\":%llu,"
                   "\"expires_at_ms\":%llu,\"by\":\"ops\",\"args\":{%s}}",
                   (unsigned long long)number, op, epoch,
                   (unsigned long long)number, (unsigned long long)issued_at_ms,
                   (unsigned long long)(issued_at_ms + 3 * DAY_MS), args);
    assert_int_equal(
        flo_order_sign(body.data, body.bytes, key, &envelope, &err), 0);
    assert_int_equal(flo_json_parse(envelope.data, envelope.bytes,
                                    FLO_ENVELOPE_BYTES_MAX, &json, &err),
                     0);
    if (flo_orders_take(&shell, json, is_list, &shell.intake)) {
        take_event(&shell.intake.event);
    }
    json_decref(json);
    flo_buf_deinit(&envelope);
    flo_buf_deinit(&body);
}

static const char *model = "tiny"; /* that the next ones are about */

/* A deploy order of that number; `more`: what it says beside the release. */
static void deploy(uint64_t number, uint8_t which, const char *more)
{
    struct flo_digest digest = {{which}};
    char text[FLO_DIGEST_TEXT];
    char args[512];

    flo_digest_text(&digest, text);
    snprintf(args, sizeof(args),
             "\"model\":\"%s\",\"release\":\"%s\",\"version\":\"2.1.0\","
             "\"rollout\":\"r-%llu\",\"phase\":0%s",
             model, text, (unsigned long long)number, more);
    denied = -1;
    refusal = 0;
    order(number, begun_ms, "deploy", args);
}

static bool is_denied_to_order(uint64_t number, const char *more)
{
    deploy(number, 9, more);
    assert_in_range(denied, 0, 1);
    return denied == 1;
}

static void roll_back(uint64_t number, uint8_t which)
{
    struct flo_digest digest = {{which}};
    char text[FLO_DIGEST_TEXT];
    char args[512];

    flo_digest_text(&digest, text);
    snprintf(args, sizeof(args),
             "\"model\":\"tiny\",\"to\":\"previous\",\"reason\":\"bad\","
             "\"from\":[\"%s\"]",
             text);
    order(number, begun_ms, "rollback", args);
}

static bool was_told(const char *word)
{
    return strstr(told, word) != NULL;
}

/* What the disk says of the model. */
static struct flo_slots on_disk(void)
{
    struct flo_slots slots;

    assert_int_equal(flo_store_slots_read(shell.store, "tiny", &slots, NULL),
                     0);
    return slots;
}

/* ---- then ---- */

static void who_stands_at_the_device_is_newer_than_any_order(void **state)
{
    (void)state;
    strcpy(shell.models[0].slots.model, "tiny");
    roll_back(7, 9);

    assert_false(is_denied_by_hand());
}

static void what_failed_here_is_denied_by_hand_too(void **state)
{
    (void)state;
    strcpy(shell.models[0].slots.model, "tiny");
    deny(FLO_DENIAL_FAULT, 7);

    assert_true(is_denied_by_hand());
}

static void
what_was_taken_back_by_hand_stays_so_until_it_is_lifted(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deny(FLO_DENIAL_ORDERED, 0);

    assert_true(is_denied_to_order(8, ""));
    assert_true(is_denied_to_order(9, ",\"lift\":6"));
    assert_false(is_denied_to_order(10, ",\"lift\":9"));
}

static void at_the_device_the_last_word_holds(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deny(FLO_DENIAL_ORDERED, 0);
    assert_false(is_denied_by_hand()); /* allows it: no order came between */
    deny(FLO_DENIAL_ORDERED, 0);

    assert_true(is_denied_to_order(8, ""));
}

static void an_order_lifts_what_was_too_slow_and_no_fault(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deny(FLO_DENIAL_SPEED, 7);
    assert_true(is_denied_to_order(8, ""));
    assert_false(is_denied_to_order(9, ",\"lift\":8"));
    deny(FLO_DENIAL_MEMORY, 9);
    assert_false(is_denied_to_order(10, ",\"lift\":9"));
    deny(FLO_DENIAL_FAULT, 10);
    assert_true(is_denied_to_order(11, ",\"lift\":10"));
}

static void an_order_for_a_report_is_done_when_the_report_is_there(void **state)
{
    (void)state;
    reported[0] = '\0';
    order(7, begun_ms, "logs", "\"lines\":10");
    assert_string_equal(reported, "o-7");
    assert_string_equal(told, ""); /* not before it is there */
    assert_int_equal(acted, 0);

    reported[0] = '\0';
    order(7, begun_ms, "logs", "\"lines\":10"); /* asked again */
    assert_string_equal(reported, "o-7");
    flo_shell_answer(&shell, "o-7", "done", NULL);
    reported[0] = '\0';
    order(7, begun_ms, "logs", "\"lines\":10");
    assert_string_equal(reported, "");
    assert_true(was_told("done"));

    order(6, begun_ms, "doctor", "");
    assert_string_equal(reported, "");
    assert_true(was_told("superseded"));
    order(8, begun_ms, "doctor", "");
    assert_string_equal(reported, "o-8");
}

static void an_older_deploy_is_superseded_and_no_alarm(void **state)
{
    struct flo_digest want = {{5}};
    struct flo_slots slots;

    (void)state;
    deploy(105, 5, "");
    assert_int_equal(denied, 0);
    deploy(104, 4, "");

    assert_int_equal(denied, -1); /* the core heard nothing */
    assert_true(was_told("\"superseded\""));
    assert_true(was_told("\"order\":\"o-105\""));
    assert_true(was_told("\"number\":105"));
    assert_int_equal(alarms, 0);
    slots = on_disk();
    assert_true(flo_digest_equal(&slots.stated.target, &want));
    assert_int_equal(slots.stated.number, 105);
}

static void an_older_unfreeze_lifts_no_newer_freeze(void **state)
{
    struct flo_device device;

    (void)state;
    order(8, flo_wall_ms(), "freeze", "");
    acted = 0;
    order(7, flo_wall_ms(), "unfreeze", "");

    assert_int_equal(acted, 0);
    assert_true(was_told("\"superseded\""));
    assert_int_equal(alarms, 0);
    assert_int_equal(flo_store_device_read(shell.store, &device, NULL), 0);
    assert_true(device.is_frozen);
    assert_int_equal(device.freeze.number, 8);
}

/* Its answer is what is, not what was. */
static void
a_deploy_that_came_to_pass_is_carried_out_again_when_undone(void **state)
{
    struct flo_agent_execution done = {.id = "r-7.1",
                                       .rollout = "r-7",
                                       .order = "o-7",
                                       .attempt = 1,
                                       .state = FLO_EXECUTION_SUCCEEDED,
                                       .release = release()};

    (void)state;
    deploy(7, 9, "");
    flo_events_add(shell.db, FLO_EVENT_NEWS,
                   json_pack("{s:s}", "type", "execution"), &done);
    flo_events_flush(shell.db);
    flo_shell_stated_end(&shell, 0, &done);
    shell.agent.models[0].slots.current = release();
    deploy(7, 9, "");
    assert_int_equal(denied, -1);
    assert_true(was_told("\"done\""));

    memset(&shell.agent.models[0].slots.current, 0,
           sizeof(shell.agent.models[0].slots.current));
    deploy(7, 9, "");
    assert_int_equal(denied, 0); /* the core hears of it again */
}

static void
one_that_ended_badly_is_not_tried_again_by_the_same_order(void **state)
{
    struct flo_agent_execution bad = {.id = "r-7.1",
                                      .rollout = "r-7",
                                      .order = "o-7",
                                      .attempt = 1,
                                      .state = FLO_EXECUTION_TIMED_OUT,
                                      .release = release()};

    (void)state;
    deploy(7, 9, "");
    flo_events_add(shell.db, FLO_EVENT_NEWS,
                   json_pack("{s:s}", "type", "execution"), &bad);
    flo_events_flush(shell.db);
    flo_shell_stated_end(&shell, 0, &bad);
    flo_shell_answer(&shell, "o-7", "refused", NULL);
    deploy(7, 9, "");

    assert_int_equal(denied, -1);
    assert_true(was_told("\"refused\""));
}

static void
one_below_the_floor_is_refused_unless_the_order_says_so(void **state)
{
    (void)state;
    strcpy(shell.models[0].slots.model, "tiny");
    shell.models[0].slots.floor = 41;

    deploy(7, 9, ",\"number\":40");
    assert_int_equal(refusal, FLO_E_TARGET_FLOOR);
    deploy(8, 9, ",\"number\":40,\"below_floor\":true");
    assert_int_equal(refusal, 0);
    assert_int_equal(denied, 0);
}

/* The clock is kept right by nobody, so it is taken: and no more than that. */
static void one_order_of_next_year_ends_no_later_ones(void **state)
{
    (void)state;
    order(7, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    assert_int_equal(acted, 1);
    order(8, begun_ms, "freeze", "");

    assert_true(shell.device.is_frozen);
    assert_int_equal(alarms, 0);
    assert_int_equal(shell.device.trusted_time_ms, begun_ms);
}

/* Of a controller whose clock was a year ahead. */
static void a_clock_that_is_kept_right_denies_what_two_orders_said(void **state)
{
    (void)state;
    order(7, begun_ms + 398 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    order(8, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-2\"");
    order(9, begun_ms, "freeze", "");
    assert_false(shell.device.is_frozen);
    assert_true(was_told("cmd.expired"));

    is_kept_right = true;
    order(10, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
}

static void an_epoch_that_no_trusted_list_names_is_refused(void **state)
{
    (void)state;
    epoch = UINT32_MAX;
    order(7, begun_ms, "unfreeze", "");
    epoch = 2;
    order(8, begun_ms, "unfreeze", "");
    epoch = 1;
    assert_int_equal(acted, 0);
    assert_int_equal(alarms, 2);
    assert_true(was_told("cmd.epoch"));
    order(9, begun_ms, "freeze", "");

    assert_true(shell.device.is_frozen);
    assert_int_equal(shell.device.epoch, 1);
    assert_int_equal(shell.device.era, 0);
}

/* No file takes a byte more, as on a disk that is full. */
static void disk_fails(bool fails)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = fails ? 0 : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void what_is_not_on_the_disk_neither_acts_nor_is_answered(void **state)
{
    (void)state;
    disk_fails(true);
    denied = -1;
    deploy(7, 9, "");
    roll_back(8, 5);
    order(9, begun_ms, "freeze", "");
    disk_fails(false);
    assert_int_equal(denied, -1);
    assert_int_equal(acted, 0);
    assert_int_equal(answers, 0);
    assert_false(shell.device.is_frozen);
    assert_int_equal(shell.models[0].slots.stated.number, 0);
    assert_int_equal(notes, 3);
    notes = 0;

    deploy(7, 9, "");
    assert_int_equal(denied, 0);
    assert_int_equal(on_disk().stated.number, 7);
    order(9, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
}

/* The list of trusted keys after a second enrolment: the same key. */
static void the_list_says(unsigned list_epoch)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_buf text = {0};
    struct flo_err err = {0};

    flo_trust_free(shell.identity.trust);
    flo_public_key_pem(flo_key_public(key), pem);
    flo_buf_printf(&text,
                   "{\"v\":1,\"fleet\":\"demo\",\"epoch\":%u,"
                   "\"keys\":[{\"pem\":\"",
                   list_epoch);
    flo_buf_json_text(&text, pem, strlen(pem));
    flo_buf_text(&text, "\",\"roles\":[\"order\"]}]}");
    assert_int_equal(
        flo_trust_parse(text.data, text.bytes, &shell.identity.trust, &err), 0);
    flo_buf_deinit(&text);
}

static void order_of_epoch(unsigned of, uint64_t number, const char *op)
{
    epoch = of;
    order(number, begun_ms, op, "");
    epoch = 1;
}

static void the_next_epoch_comes_with_the_list_that_says_so(void **state)
{
    (void)state;
    order_of_epoch(1, 700, "freeze");
    the_list_says(2);
    order_of_epoch(1, 701, "unfreeze"); /* still under way */
    assert_int_equal(acted, 2);
    order_of_epoch(2, 1, "freeze"); /* numbers start from one */
    assert_int_equal(acted, 3);
    assert_int_equal(alarms, 0);
    assert_true(shell.device.is_frozen);
    assert_int_equal(shell.device.epoch, 2);
    assert_int_equal(shell.device.era, 1);
    order_of_epoch(1, 900, "unfreeze");

    assert_int_equal(acted, 3);
    assert_int_equal(alarms, 1);
    assert_true(was_told("cmd.epoch"));
    assert_true(shell.device.is_frozen);
}

/* Nor does a list move it further than that. */
static void no_epoch_is_left_out(void **state)
{
    const unsigned later[] = {3, UINT32_MAX};
    (void)state;

    for (size_t i = 0; i < FLO_COUNT(later); i++) {
        the_list_says(later[i]);
        order_of_epoch(later[i], 7 + i, "freeze");
        order_of_epoch(2, 17 + i, "freeze");
        assert_int_equal(alarms, 2 * (i + 1));
        assert_true(was_told("cmd.epoch"));
    }
    assert_int_equal(acted, 0);
    assert_false(shell.device.is_frozen);
    assert_int_equal(shell.device.epoch, 1);
    order_of_epoch(1, 30, "freeze");

    assert_true(shell.device.is_frozen);
}

/* What the one said is kept, and over a restart it is still one voice. */
static void one_order_of_next_year_is_one_voice_after_a_restart(void **state)
{
    struct flo_err err = {0};
    (void)state;

    order(7, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    memset(&shell.device, 0, sizeof(shell.device));
    assert_int_equal(flo_store_device_read(shell.store, &shell.device, &err),
                     0);
    order(7, begun_ms + 399 * DAY_MS, "pause", "\"rollout\":\"r-1\"");
    order(8, begun_ms, "freeze", "");

    assert_true(shell.device.is_frozen);
    assert_int_equal(alarms, 0);
    assert_int_equal(shell.device.trusted_time_ms, begun_ms);
    assert_int_equal(shell.device.claimed_time_ms, begun_ms + 399 * DAY_MS);
}

static void a_number_that_another_order_had_is_told_as_security(void **state)
{
    (void)state;
    deploy(7, 9, "");
    deploy(7, 8, "");

    assert_int_equal(alarms, 1);
    assert_true(was_told("cmd.nonce_reused"));
}

static void a_rollback_is_carried_out_once(void **state)
{
    (void)state;
    deploy(6, 5, "");
    acted = 0;
    roll_back(7, 9);
    assert_int_equal(acted, 1);
    flo_shell_stated_acked(&shell, 0, "o-7", "done");
    flo_shell_answer(&shell, "o-7", "done", NULL);
    roll_back(7, 9);

    assert_int_equal(acted, 1);
    assert_true(was_told("\"done\""));
}

/* It runs what is taken back, and was assigned something newer since. */
static void
an_older_rollback_of_what_runs_acts_and_then_what_is_assigned(void **state)
{
    (void)state;
    deploy(8, 5, "");
    shell.agent.models[0].slots.current = release();
    acted = 0;
    denied = -1;
    roll_back(7, 9);
    assert_int_equal(acted, 1);

    shell.agent.models[0].slots.current.digest.bytes[0] = 1;
    assert_true(flo_orders_converge(&shell, &shell.intake));
    take_event(&shell.intake.event);
    assert_int_equal(denied, 0); /* the core hears of 8 again */
    assert_false(flo_orders_converge(&shell, &shell.intake));
}

static void an_order_about_a_model_that_does_not_serve_is_kept_too(void **state)
{
    struct flo_slots other;
    struct flo_digest one = {{1}};

    (void)state;
    strcpy(shell.models[0].slots.model, "other");
    shell.models[0].slots.current = one;
    roll_back(7, 9);

    assert_string_equal(shell.models[0].slots.model, "other");
    assert_int_equal(shell.models[0].slots.stated.number, 0);
    other = on_disk();
    assert_int_equal(other.stated.number, 7);
    one.bytes[0] = 9;
    assert_true(flo_slots_is_denied(&other, &one, 0));
}

static void of_too_many_models_the_oldest_is_forgotten(void **state)
{
    char models[64][FLO_NAME_MAX + 1];
    char args[256];
    uint64_t i;

    (void)state;
    denied = -1;
    for (i = 1; i <= FLO_MODELS_KEPT_MAX + 3; i++) {
        snprintf(args, sizeof(args),
                 "\"model\":\"m%llu\",\"to\":\"previous\",\"from\":["
                 "\"sha256:09000000000000000000000000000000000000000000000000"
                 "00000000000000\"]",
                 (unsigned long long)i);
        order(i, flo_wall_ms(), "rollback", args);
    }

    assert_in_range(flo_store_models(shell.store, models, 64), 1,
                    FLO_MODELS_KEPT_MAX + 1);
    assert_true(shell.device.models_folded >= 1);
    told[0] = '\0';
    order(1, flo_wall_ms(), "rollback",
          "\"model\":\"m1\",\"to\":\"previous\",\"from\":[\"sha256:"
          "0900000000000000000000000000000000000000000000000000000000000000"
          "\"]");
    assert_true(was_told("\"superseded\""));
    told[0] = '\0';
    order(1, flo_wall_ms(), "deploy",
          "\"model\":\"m1\",\"version\":\"2.1.0\",\"rollout\":\"r-1\","
          "\"phase\":0,\"release\":\"sha256:"
          "0800000000000000000000000000000000000000000000000000000000000000"
          "\"");
    assert_true(was_told("\"superseded\"")); /* its record denies alone */
    assert_int_equal(denied, -1);
}

/* It serves from then on; gives its place. */
static uint32_t serve(uint64_t number, const char *name)
{
    model = name;
    deploy(number, 1, "");
    model = "tiny";
    uint32_t place = shell.intake.event.model;
    shell.agent.models[place].slots.current.digest.bytes[0] = 1;
    return denied == 0 ? place : FLO_NO_MODEL;
}

static void a_model_that_has_nothing_here_gives_its_place_away(void **state)
{
    char name[16];

    (void)state;
    deploy(6, 1, ""); /* nothing of tiny comes */
    for (uint32_t i = 1; i < FLO_AGENT_MODELS_MAX; i++) {
        snprintf(name, sizeof(name), "m%u", i);
        assert_int_equal(serve(6 + i, name), i);
        assert_int_equal(shell.models[i].slots.stated.number, 6 + i);
    }
    assert_int_equal(serve(100, "late"), 0);
    assert_int_equal(on_disk().stated.number, 6);
    assert_int_equal(serve(101, "later"), FLO_NO_MODEL);
    assert_true(was_told("target.limit"));
    assert_int_equal(alarms, 0);
}

static void a_removal_is_of_its_model_alone(void **state)
{
    (void)state;
    serve(7, "tiny");
    serve(8, "alarm");
    order(9, begun_ms, "remove", "\"model\":\"alarm\",\"keep\":\"none\"");
    assert_int_equal(shell.intake.event.model, 1);
    assert_int_equal(acted, 1);
    order(10, begun_ms, "remove", "\"model\":\"none\",\"keep\":\"none\"");
    assert_int_equal(acted, 1);
    assert_true(was_told("\"done\""));
    order(10, begun_ms, "remove", "\"model\":\"none\",\"keep\":\"none\"");
    assert_int_equal(acted, 1);
}

static void a_pause_holds_over_a_restart(void **state)
{
    struct flo_agent_pauses pauses;
    struct flo_device device;

    (void)state;
    order(7, flo_wall_ms(), "pause", "\"rollout\":\"r-1\"");
    assert_int_equal(flo_store_device_read(shell.store, &device, NULL), 0);
    shell.device = device;
    flo_shell_pauses(&shell, &pauses);
    assert_string_equal(pauses.rollouts[0], "r-1");

    order(8, flo_wall_ms(), "resume", "\"rollout\":\"r-1\"");
    flo_shell_pauses(&shell, &pauses);
    assert_string_equal(pauses.rollouts[0], "");
}

static void a_device_takes_the_report_interval_of_an_order(void **state)
{
    (void)state;
    order(1, flo_wall_ms(), "config", "\"heartbeat_ms\":2000");

    assert_int_equal(heartbeat_ms, 2000);
    assert_int_equal(acted, 1);
}

/* The device's configuration names the interval. */
static void configure_interval(void)
{
    char path[96];
    struct flo_err err = {0};

    snprintf(path, sizeof(path), "%s/agent.yaml", dir);
    assert_int_equal(flo_file_write(path, "heartbeat: 5s\n", 14, 0600, &err),
                     0);
    flo_settings_deinit(&shell.settings);
    assert_int_equal(flo_settings_load(path, dir, &shell.settings, &err), 0);
}

/* Its configuration is above the controller's wish. */
static void one_that_has_its_own_interval_ignores_it_and_says_so(void **state)
{
    (void)state;
    configure_interval();
    order(1, flo_wall_ms(), "config", "\"heartbeat_ms\":2000");

    assert_int_equal(heartbeat_ms, 0);
    assert_true(was_told("ignored"));
    assert_int_equal(acted, 0);
}

/* A list comes with each connection and each change, and holds up to eight
 * orders: a fleet of 10,000 would answer 80,000 times. */
static void what_was_told_is_not_told_again_for_a_list(void **state)
{
    (void)state;
    uint64_t issued = flo_wall_ms();

    /* so that each is answered at once */
    configure_interval();
    is_list = true;
    for (int connection = 0; connection < 3; connection++) {
        for (uint64_t seq = 1; seq <= 8; seq++) {
            order(seq, issued, "config", "\"heartbeat_ms\":2000");
        }
    }
    assert_int_equal(answers, 8);

    /* By name the controller asks for an answer that got lost. */
    is_list = false;
    order(3, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(answers, 9);
}

static void what_was_not_told_is_told_when_the_list_comes_again(void **state)
{
    (void)state;
    uint64_t issued = flo_wall_ms();

    /* so that each is answered at once */
    configure_interval();
    is_list = true;
    is_connected = false;
    order(1, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(answers, 0);
    is_connected = true;
    order(1, issued, "config", "\"heartbeat_ms\":2000");
    assert_int_equal(answers, 1);
}

/* Else an older order to deploy, which comes later, would bring it. */
static void a_model_that_was_never_here_is_removed_for_good(void **state)
{
    (void)state;
    order(7, begun_ms, "remove", "\"model\":\"tiny\"");
    assert_true(was_told("done"));
    assert_int_equal(acted, 0);
    assert_true(on_disk().is_removed);
    assert_int_equal(on_disk().stated.outcome, FLO_STATED_DONE);
    deploy(6, 9, "");

    assert_int_equal(denied, -1);
    assert_true(was_told("superseded"));
}

/* Before its start the core calls each place idle. */
static void a_model_that_serves_gives_its_place_to_no_other(void **state)
{
    struct flo_err err = {0};
    uint32_t place;

    (void)state;
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_slots *slots = &shell.models[i].slots;
        snprintf(slots->model, sizeof(slots->model), "m%u", i);
        slots->current.bytes[0] = 1;
    }
    assert_int_equal(flo_shell_model_take(&shell, "tiny", &place, &err),
                     FLO_E_TARGET_LIMIT);
    memset(&shell.models[5].slots.current, 0, 32);
    assert_int_equal(flo_shell_model_take(&shell, "tiny", &place, &err), 0);
    assert_int_equal(place, 5);
    assert_string_equal(shell.models[5].slots.model, "tiny");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_model_that_was_never_here_is_removed_for_good, begin, end),
        cmocka_unit_test_setup_teardown(
            a_model_that_serves_gives_its_place_to_no_other, begin, end),
        cmocka_unit_test_setup_teardown(
            who_stands_at_the_device_is_newer_than_any_order, begin, end),
        cmocka_unit_test_setup_teardown(what_failed_here_is_denied_by_hand_too,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            what_was_taken_back_by_hand_stays_so_until_it_is_lifted, begin,
            end),
        cmocka_unit_test_setup_teardown(
            what_was_told_is_not_told_again_for_a_list, begin, end),
        cmocka_unit_test_setup_teardown(
            what_was_not_told_is_told_when_the_list_comes_again, begin, end),
        cmocka_unit_test_setup_teardown(at_the_device_the_last_word_holds,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            an_order_lifts_what_was_too_slow_and_no_fault, begin, end),
        cmocka_unit_test_setup_teardown(
            an_order_for_a_report_is_done_when_the_report_is_there, begin, end),
        cmocka_unit_test_setup_teardown(
            an_older_deploy_is_superseded_and_no_alarm, begin, end),
        cmocka_unit_test_setup_teardown(an_older_unfreeze_lifts_no_newer_freeze,
                                        begin, end),
        cmocka_unit_test_setup_teardown(
            a_deploy_that_came_to_pass_is_carried_out_again_when_undone, begin,
            end),
        cmocka_unit_test_setup_teardown(
            one_that_ended_badly_is_not_tried_again_by_the_same_order, begin,
            end),
        cmocka_unit_test_setup_teardown(
            one_below_the_floor_is_refused_unless_the_order_says_so, begin,
            end),
        cmocka_unit_test_setup_teardown(
            what_is_not_on_the_disk_neither_acts_nor_is_answered, begin, end),
        cmocka_unit_test_setup_teardown(
            one_order_of_next_year_ends_no_later_ones, begin, end),
        cmocka_unit_test_setup_teardown(
            a_clock_that_is_kept_right_denies_what_two_orders_said, begin, end),
        cmocka_unit_test_setup_teardown(
            an_epoch_that_no_trusted_list_names_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(
            the_next_epoch_comes_with_the_list_that_says_so, begin, end),
        cmocka_unit_test_setup_teardown(no_epoch_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(
            one_order_of_next_year_is_one_voice_after_a_restart, begin, end),
        cmocka_unit_test_setup_teardown(
            a_number_that_another_order_had_is_told_as_security, begin, end),
        cmocka_unit_test_setup_teardown(a_rollback_is_carried_out_once, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            an_older_rollback_of_what_runs_acts_and_then_what_is_assigned,
            begin, end),
        cmocka_unit_test_setup_teardown(
            an_order_about_a_model_that_does_not_serve_is_kept_too, begin, end),
        cmocka_unit_test_setup_teardown(
            of_too_many_models_the_oldest_is_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(
            a_model_that_has_nothing_here_gives_its_place_away, begin, end),
        cmocka_unit_test_setup_teardown(a_removal_is_of_its_model_alone, begin,
                                        end),
        cmocka_unit_test_setup_teardown(a_pause_holds_over_a_restart, begin,
                                        end),
        cmocka_unit_test_setup_teardown(
            a_device_takes_the_report_interval_of_an_order, begin, end),
        cmocka_unit_test_setup_teardown(
            one_that_has_its_own_interval_ignores_it_and_says_so, begin, end),
    };

    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
