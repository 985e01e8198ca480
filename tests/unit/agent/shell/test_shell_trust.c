/* Trust statements at a device: what is taken, stored and acted on; and the
 * emergency lane, whose keys they name. */
#include "order_world.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <flotilla/errors/target.h>
#include <flotilla/errors/trust.h>

#include "agent/shell/trust/trust.h"

static struct flo_key *roots[3];
static struct flo_key *publisher;
static struct flo_key *other;

static void add(struct flo_trust *trust, const struct flo_key *one, unsigned role)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(one), pem);
    assert_int_equal(flo_trust_add(trust, pem, role, NULL, NULL), 0);
}

/* Signed by the first two roots, and by the publisher. */
static json_t *sign(const struct flo_trust *held, struct flo_trust *draft,
                    struct flo_trust **signed_one, unsigned signers)
{
    struct flo_buf text = {0};
    struct flo_buf done = {0};
    struct flo_err err = {0};
    json_t *json = NULL;

    assert_int_equal(flo_trust_draft(draft, held, &text, &err), 0);
    assert_int_equal(flo_trust_draft_parse(text.data, text.bytes, signed_one, &err), 0);
    for (unsigned i = 0; i < signers; i++) {
        assert_int_equal(flo_trust_sign(*signed_one, roots[i], &err), 0);
    }
    assert_int_equal(flo_trust_sign(*signed_one, publisher, &err), 0);
    flo_trust_text(*signed_one, &done);
    assert_int_equal(flo_json_parse(done.data, done.bytes, 1 << 20, &json, &err), 0);
    flo_buf_deinit(&text);
    flo_buf_deinit(&done);
    flo_trust_free(draft);
    return json;
}

static struct flo_trust *after(const struct flo_trust *held)
{
    struct flo_trust *draft = NULL;

    assert_int_equal(flo_trust_next(held, 1, &draft, NULL), 0);
    return draft;
}

/* Statements 2 to 5: root keys and the emergency key; a floor; another order
 * key; no emergency key. */
static struct flo_trust *statements[6];
static json_t *envelopes[6];

static void make_chain(void)
{
    struct flo_trust *draft = after(shell.identity.trust);

    for (size_t i = 0; i < 3; i++) {
        add(draft, roots[i], FLO_ROLE_ROOT);
    }
    add(draft, emergency_key, FLO_ROLE_EMERGENCY);
    flo_trust_set_threshold(draft, 2);
    envelopes[2] = sign(shell.identity.trust, draft, &statements[2], 2);
    draft = after(statements[2]);
    assert_int_equal(flo_trust_raise_floor(draft, "tiny", 4, NULL), 0);
    envelopes[3] = sign(statements[2], draft, &statements[3], 2);
    draft = after(statements[3]);
    assert_int_equal(flo_trust_revoke_key(draft, flo_key_public(key)->keyid, NULL), 0);
    add(draft, other, FLO_ROLE_ORDER);
    envelopes[4] = sign(statements[3], draft, &statements[4], 2);
    draft = after(statements[4]);
    assert_int_equal(flo_trust_drop(draft, flo_key_public(emergency_key)->keyid, NULL), 0);
    envelopes[5] = sign(statements[4], draft, &statements[5], 2);
}

static int set_up(void **state)
{
    int rv = begin(state);

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(flo_key_generate(&roots[i], NULL), 0);
    }
    assert_int_equal(flo_key_generate(&publisher, NULL), 0);
    assert_int_equal(flo_key_generate(&other, NULL), 0);
    add(shell.identity.trust, publisher, FLO_ROLE_RELEASE);
    snprintf(shell.identity.trust_file, sizeof(shell.identity.trust_file), "%s/trust.json", dir);
    flo_shell_trust_hold(&shell);
    make_chain();
    return rv;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < 6; i++) {
        flo_trust_free(statements[i]);
        json_decref(envelopes[i]);
        statements[i] = NULL;
        envelopes[i] = NULL;
    }
    for (size_t i = 0; i < 3; i++) {
        flo_key_free(roots[i]);
    }
    flo_key_free(publisher);
    flo_key_free(other);
    flo_queue_close(&shell.queue);
    memset(&shell.queue, 0, sizeof(shell.queue));
    return end(state);
}

static enum flo_trust_way way = FLO_TRUST_BY_CONTROLLER;

static bool hear(size_t number)
{
    const json_t *list[] = {envelopes[number]};
    return flo_shell_trust_hear(&shell, way, list, 1);
}

/* As the next start finds file and record. */
static uint64_t at_next_start(bool *is_behind)
{
    struct flo_trust *file = NULL;
    struct flo_trust_facts facts;
    struct flo_device record;
    uint64_t number;

    assert_int_equal(flo_trust_load(shell.identity.trust_file, &file, NULL), 0);
    assert_int_equal(flo_store_device_read(shell.store, &record, NULL), 0);
    number = flo_trust_number(file);
    flo_trust_facts(file, shell.identity.device, &facts);
    *is_behind = flo_device_trust(&record, &facts) == FLO_TRUST_BEHIND;
    flo_trust_free(file);
    return number;
}

/* ---- taking ---- */

static void a_chain_is_walked_and_each_step_is_on_the_disk(void **state)
{
    (void)state;
    bool is_behind;

    for (size_t i = 2; i <= 5; i++) {
        assert_false(hear(i));
        assert_int_equal(flo_trust_number(shell.identity.trust), i);
        assert_int_equal(shell.device.trust_number, i);
        assert_int_equal(at_next_start(&is_behind), i);
        assert_false(is_behind);
    }
    assert_int_equal(alarms, 0);
}

/* One publisher's key and the broker's power are not enough for it. */
static void a_list_is_followed_by_what_the_controller_says_alone(void **state)
{
    (void)state;
    struct flo_err err = {0};
    uint64_t number = 0;

    way = FLO_TRUST_BY_ANYBODY;
    assert_true(hear(2)); /* the controller is asked for it */
    assert_int_equal(flo_shell_trust_by_hand(&shell, envelopes[2], &number, &err),
                     FLO_E_TRUST_FIRST);
    assert_int_equal(number, 1);
    assert_int_equal(access(shell.identity.trust_file, F_OK), -1);
    way = FLO_TRUST_BY_CONTROLLER;
    assert_false(hear(2));
    way = FLO_TRUST_BY_ANYBODY;
    assert_false(hear(3));
    way = FLO_TRUST_BY_CONTROLLER;
    assert_int_equal(shell.device.trust_number, 3);
    assert_int_equal(alarms, 0);
}

static void three_that_come_together_are_taken_in_one_go(void **state)
{
    (void)state;
    const json_t *list[] = {envelopes[2], envelopes[3], envelopes[4]};

    assert_false(flo_shell_trust_hear(&shell, way, list, 3));
    assert_int_equal(shell.device.trust_number, 4);
    assert_int_equal(shell.device.epoch, 2);
}

static void a_gap_is_asked_for_and_older_ones_are_passed_over(void **state)
{
    (void)state;
    assert_true(hear(4)); /* 2 and 3 are missing */
    assert_int_equal(shell.device.trust_number, 1);
    assert_false(hear(2));
    assert_false(hear(3));
    assert_false(hear(2));
    assert_int_equal(shell.device.trust_number, 3);
    assert_int_equal(alarms, 0);
}

static void too_few_signatures_change_nothing_and_are_told(void **state)
{
    (void)state;
    struct flo_trust *draft = after(shell.identity.trust);
    struct flo_trust *one = NULL;

    for (size_t i = 0; i < 3; i++) {
        add(draft, roots[i], FLO_ROLE_ROOT);
    }
    flo_trust_set_threshold(draft, 2);
    json_t *json = sign(shell.identity.trust, draft, &one, 1);
    const json_t *list[] = {json};
    assert_false(flo_shell_trust_hear(&shell, way, list, 1));
    assert_int_equal(alarms, 1);
    assert_int_equal(shell.device.trust_number, 1);
    assert_int_equal(access(shell.identity.trust_file, F_OK), -1);
    json_decref(json);
    flo_trust_free(one);
}

static void an_unsigned_list_takes_no_statements_place(void **state)
{
    (void)state;
    struct flo_buf text = {0};
    json_t *json = NULL;

    flo_trust_text(shell.identity.trust, &text);
    assert_int_equal(flo_json_parse(text.data, text.bytes, 1 << 20, &json, NULL), 0);
    const json_t *list[] = {json};
    assert_false(hear(2));
    assert_false(flo_shell_trust_hear(&shell, way, list, 1));
    assert_int_equal(alarms, 1);
    assert_int_equal(shell.device.trust_number, 2);
    json_decref(json);
    flo_buf_deinit(&text);
}

static void what_cannot_be_stored_does_not_hold(void **state)
{
    (void)state;
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    shell.records->orders_are_due = false;
    assert_false(hear(2));
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(shell.device.trust_number, 1);
    assert_true(shell.records->orders_are_due); /* a heartbeat asks for it again */
    assert_int_equal(alarms, 0);
    assert_int_equal(notes, 1);
    notes = 0;
    assert_false(hear(2));
    assert_int_equal(shell.device.trust_number, 2);
}

/* The power failed between file and record; and an old file came back. */
static void a_file_that_is_newer_holds_and_an_older_one_stops_orders(void **state)
{
    (void)state;
    struct flo_trust *three = NULL;

    assert_false(hear(2));
    assert_int_equal(flo_trust_store(shell.identity.trust_file, statements[3], NULL), 0);
    assert_int_equal(flo_trust_load(shell.identity.trust_file, &three, NULL), 0);
    flo_trust_free(shell.identity.trust);
    shell.identity.trust = three;
    flo_shell_trust_hold(&shell);
    assert_int_equal(shell.device.trust_number, 3);
    assert_false(shell.records->trust_is_behind);

    struct flo_trust *two = NULL;
    struct flo_buf text = {0};
    flo_trust_text(statements[2], &text);
    assert_int_equal(flo_trust_parse(text.data, text.bytes, &two, NULL), 0);
    flo_buf_deinit(&text);
    flo_trust_free(shell.identity.trust);
    shell.identity.trust = two;
    flo_shell_trust_hold(&shell);
    assert_true(shell.records->trust_is_behind);
    order(7, begun_ms, "freeze", "");
    assert_false(shell.device.is_frozen);
    assert_int_equal(answers, 0);

    assert_false(hear(3)); /* it is here again */
    assert_false(shell.records->trust_is_behind);
    order(7, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
}

static void a_rotten_file_is_replaced_by_the_one_before(void **state)
{
    (void)state;
    struct flo_trust *read = NULL;

    assert_false(hear(2));
    assert_false(hear(3));
    assert_int_equal(flo_file_write(shell.identity.trust_file, "rot", 3, 0644, NULL), 0);
    assert_int_equal(flo_trust_load(shell.identity.trust_file, &read, NULL), 0);
    assert_int_equal(flo_trust_number(read), 2);
    flo_trust_free(read);
}

/* ---- its effects ---- */

static void orders_of_a_revoked_key_are_refused_from_then_on(void **state)
{
    (void)state;
    order(900, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
    for (size_t i = 2; i <= 4; i++) {
        assert_false(hear(i));
    }
    assert_int_equal(alarms, 0);
    epoch = 2;
    order(901, begun_ms, "unfreeze", "");
    assert_int_equal(alarms, 1);
    assert_true(shell.device.is_frozen);

    struct flo_key *lost = key;
    key = other; /* numbers begin again: whatever the lost key used up */
    order(1, begun_ms, "unfreeze", "");
    assert_false(shell.device.is_frozen);
    epoch = 1;
    order(2, begun_ms, "freeze", ""); /* an order of before */
    assert_false(shell.device.is_frozen);
    assert_true(was_told("cmd.epoch"));
    key = lost;
}

/* The broker held the statement back, or brought the order first. */
static void an_order_of_the_next_epoch_waits_for_its_statement(void **state)
{
    (void)state;
    struct flo_key *lost = key;

    assert_false(hear(2));
    assert_false(hear(3));
    key = other;
    epoch = 2;
    order(1, begun_ms, "freeze", "");
    assert_int_equal(answers, 0);
    assert_int_equal(doubts, 1);
    assert_true(shell.records->orders_are_due);
    key = lost;
    order(2, begun_ms, "freeze", ""); /* the lost key, an epoch too far */
    assert_int_equal(answers, 0);
    assert_int_equal(alarms, 2);
    assert_false(hear(4));
    key = other;
    order(1, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
    key = lost;
    epoch = 1;
}

static void a_statements_floor_stops_an_older_release(void **state)
{
    (void)state;
    assert_false(hear(2));
    assert_false(hear(3));
    deploy(7, 9, ",\"number\":3,\"below_floor\":true");
    assert_int_equal(refusal, FLO_E_TARGET_FLOOR);
    deploy(8, 8, ",\"number\":4");
    assert_int_equal(refusal, 0);
}

static void a_revoked_release_is_refused_and_nobody_goes_back_to_it(void **state)
{
    (void)state;
    struct flo_digest bad = {{9}};
    struct flo_trust *draft;
    struct flo_trust *three = NULL;
    json_t *json;

    deploy(7, 5, "");
    shell.models[0].slots.current = (struct flo_digest){{5}};
    shell.models[0].slots.previous = bad;
    assert_false(hear(2));
    draft = after(statements[2]);
    assert_int_equal(flo_trust_revoke_release(draft, &bad, NULL), 0);
    json = sign(statements[2], draft, &three, 2);
    const json_t *list[] = {json};
    assert_false(flo_shell_trust_hear(&shell, way, list, 1));
    assert_true(flo_digest_is_zero(&shell.models[0].slots.previous));
    struct flo_slots kept = on_disk();
    assert_true(flo_digest_is_zero(&kept.previous));
    deploy(8, 9, "");
    assert_int_equal(refusal, FLO_E_TARGET_REVOKED);
    json_decref(json);
    flo_trust_free(three);
}

/* ---- emergencies ---- */

static void an_emergency_key_freezes_though_the_controller_says_go(void **state)
{
    (void)state;
    assert_false(hear(2));
    emergency(begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen_emergency);
    assert_int_equal(acted, 1);
    order(7, begun_ms, "unfreeze", "");
    assert_true(shell.loop->intake.event.stays_frozen);
    assert_true(shell.device.is_frozen_emergency);
    emergency(begun_ms + 1, "unfreeze", "");
    assert_false(shell.loop->intake.event.stays_frozen);
    assert_false(shell.device.is_frozen_emergency);
    assert_int_equal(alarms, 0);
}

static void a_floor_stops_a_release_on_its_way(void **state)
{
    (void)state;
    struct flo_agent_model *agent = &shell.agent.models[0];
    struct flo_agent_event event;
    bool is_stopped = false;

    deploy(7, 9, ",\"number\":3");
    agent->has_execution = true;
    agent->execution.release.digest = (struct flo_digest){{9}};
    assert_false(hear(2));
    assert_false(hear(3)); /* tiny: floor 4 */
    while (flo_queue_take(&shell.queue, &event)) {
        is_stopped =
            is_stopped || (event.kind == FLO_AGENT_TRUST && event.error.code == FLO_E_TARGET_FLOOR);
    }
    assert_true(is_stopped);
}

/* The one that served when the floor rose is the previous one later. */
static void a_release_below_the_floor_is_not_gone_back_to(void **state)
{
    (void)state;
    struct flo_slots *slots = &shell.models[0].slots;

    assert_false(hear(2));
    assert_false(hear(3)); /* tiny: floor 4 */
    snprintf(slots->model, sizeof(slots->model), "tiny");
    slots->previous.bytes[0] = 7;
    slots->previous_number = 4;
    flo_shell_trust_look(&shell, 0);
    assert_false(flo_digest_is_zero(&slots->previous));

    slots->previous_number = 3;
    flo_shell_trust_look(&shell, 0);
    assert_true(flo_digest_is_zero(&slots->previous));
    assert_int_equal(slots->previous_number, 0);
    assert_true(shell.models[0].slots_is_dirty);
}

static void an_emergency_key_keeps_prompts_though_the_controller_lets_them_go(void **state)
{
    (void)state;
    assert_false(hear(2));
    emergency(begun_ms, "prompts", "\"stay\":1");
    assert_true(serve_keeps_prompts);
    order(7, begun_ms, "prompts", "\"stay\":0");
    assert_true(serve_keeps_prompts);
    order(8, begun_ms, "prompts", "\"stay\":1");
    emergency(begun_ms + 1, "prompts", "\"stay\":0");
    assert_true(serve_keeps_prompts);
    order(9, begun_ms, "prompts", "\"stay\":0");
    assert_false(serve_keeps_prompts);
    assert_int_equal(alarms, 0);
}

static void an_emergency_order_that_is_played_again_changes_nothing(void **state)
{
    (void)state;
    assert_false(hear(2));
    emergency(begun_ms, "freeze", "");
    emergency(begun_ms + 1, "unfreeze", "");
    emergency(begun_ms, "freeze", "");
    assert_true(was_told("superseded"));
    assert_false(shell.device.is_frozen_emergency);
}

static void an_emergency_key_that_nobody_named_is_refused(void **state)
{
    (void)state;
    emergency(begun_ms, "freeze", "");
    assert_int_equal(alarms, 1);
    assert_false(shell.device.is_frozen_emergency);
}

static void an_emergency_two_years_ahead_is_refused(void **state)
{
    (void)state;
    assert_false(hear(2));
    shell.device.trusted_time_ms = begun_ms; /* the clock was good yesterday */
    emergency(begun_ms + 800 * DAY_MS, "freeze", "");
    assert_true(was_told("cmd.future"));
    assert_false(shell.device.is_frozen_emergency);
    assert_int_equal(shell.device.trusted_time_ms, begun_ms);
}

static void emergencies_move_no_time(void **state)
{
    (void)state;
    assert_false(hear(2));
    emergency(begun_ms + 300 * DAY_MS, "freeze", "");
    emergency(begun_ms + 301 * DAY_MS, "unfreeze", "");
    assert_int_equal(shell.device.trusted_time_ms, 0);
    order(7, begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen);
}

static void a_deploy_lifts_no_emergency_denial(void **state)
{
    (void)state;
    char text[FLO_DIGEST_TEXT];
    char args[256];
    struct flo_digest digest = {{9}};

    flo_digest_text(&digest, text);
    assert_false(hear(2));
    snprintf(args, sizeof(args), "\"model\":\"tiny\",\"to\":\"previous\",\"from\":[\"%s\"]", text);
    emergency(begun_ms, "rollback", args);
    assert_true(is_denied_to_order(7, ",\"lift\":6"));
    snprintf(args, sizeof(args), "\"model\":\"tiny\",\"from\":[\"%s\"]", text);
    emergency(begun_ms + 1, "allow", args);
    assert_false(is_denied_to_order(8, ""));
}

static void a_freeze_whose_last_key_left_ends_for_the_core_too(void **state)
{
    (void)state;
    struct flo_agent_event event;
    bool is_told = false;

    for (size_t i = 2; i <= 4; i++) {
        assert_false(hear(i));
    }
    epoch = 2;
    emergency(begun_ms, "freeze", "");
    assert_true(shell.device.is_frozen_emergency);
    shell.agent.is_frozen = true; /* as the core took it */
    epoch = 1;
    assert_false(hear(5));
    assert_false(shell.device.is_frozen_emergency);
    while (flo_queue_take(&shell.queue, &event)) {
        is_told =
            is_told || (event.kind == FLO_AGENT_ORDER && event.order->op == FLO_ORDER_UNFREEZE);
    }
    assert_true(is_told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(a_chain_is_walked_and_each_step_is_on_the_disk),
        T(a_list_is_followed_by_what_the_controller_says_alone),
        T(three_that_come_together_are_taken_in_one_go),
        T(a_gap_is_asked_for_and_older_ones_are_passed_over),
        T(too_few_signatures_change_nothing_and_are_told),
        T(an_unsigned_list_takes_no_statements_place),
        T(what_cannot_be_stored_does_not_hold),
        T(a_file_that_is_newer_holds_and_an_older_one_stops_orders),
        T(a_rotten_file_is_replaced_by_the_one_before),
        T(orders_of_a_revoked_key_are_refused_from_then_on),
        T(an_order_of_the_next_epoch_waits_for_its_statement),
        T(a_statements_floor_stops_an_older_release),
        T(a_revoked_release_is_refused_and_nobody_goes_back_to_it),
        T(a_floor_stops_a_release_on_its_way),
        T(a_release_below_the_floor_is_not_gone_back_to),
        T(an_emergency_key_freezes_though_the_controller_says_go),
        T(an_emergency_key_keeps_prompts_though_the_controller_lets_them_go),
        T(an_emergency_order_that_is_played_again_changes_nothing),
        T(an_emergency_key_that_nobody_named_is_refused),
        T(an_emergency_two_years_ahead_is_refused),
        T(emergencies_move_no_time),
        T(a_deploy_lifts_no_emergency_denial),
        T(a_freeze_whose_last_key_left_ends_for_the_core_too),
#undef T
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
