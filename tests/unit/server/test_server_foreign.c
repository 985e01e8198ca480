/* Acts of strangers: what no key of this fleet did is told, and stays in sight.
 */
#include "server-stub/state/audit/memory.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/store/calls/kept.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"

static int take_record(void *context, const struct flo_audit_record *record,
                       const struct flo_digest *hash)
{
    (void)hash;
    flo_buf_printf(context, "%s %s %s\n", record->what, record->object, record->result);
    return 0;
}

static void audit_has(struct world *world, const char *line, bool is_there)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    flo_buf_text(&text, "");
    assert_int_equal(flo_fleet_audit_newest(world->controller->store, INT64_MAX, 20, take_record,
                                            &text, &world->err),
                     0);
    if ((strstr(text.data, line) != NULL) != is_there) {
        fail_msg("`%s`:\n%s", line, text.data);
    }
}

/* Text of the alert, "": none. */
static const char *told(struct world *world)
{
    static char text[256];
    enum flo_foreign_kind kind;
    const char *what;

    text[0] = '\0';
    if (flo_foreign_at(world->controller, 0, waits_wall_ms(), &kind, &what)) {
        snprintf(text, sizeof(text), "%s %s", flo_foreign_word(kind), what);
    }
    return text;
}

static void answers(struct world *world, const char *order, const char *outcome)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"v\":1,\"order\":\"%s\",\"outcome\":\"%s\"}", order, outcome);
    send(world, 0, "ack", text);
}

static void an_order_that_nobody_gave_is_an_alarm_when_it_was_obeyed(void **state)
{
    struct world *world = *state;

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\"}"));
    answers(world, "o-0009", "refused");
    assert_string_equal(told(world), "");
    answers(world, "o-0009", "done");
    assert_string_equal(told(world), "order o-0009");
    audit_has(world, "order.foreign foreign-o-0009 alarm", true);
}

static void an_order_of_ours_that_is_forgotten_is_no_alarm(void **state)
{
    struct world *world = *state;

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\"}"));
    assert_int_equal(flo_fleet_remove(world->controller->store, FLO_TABLE_ORDER,
                                      MATCHES(text_is(FLO_FIELD_ORDER_ID, "o-0001")), NULL,
                                      &world->err),
                     0);
    answers(world, "o-0001", "done");
    assert_string_equal(told(world), "");
}

static void a_number_that_nobody_gave_is_an_alarm(void **state)
{
    struct world *world = *state;

    send(world, 0, "reported",
         "{\"v\":2,\"device\":\"11111111-1111-4111-8111-111111111111\","
         "\"top\":999,\"models\":[]}");
    assert_string_equal(told(world), "order number-999");
    audit_has(world, "device.top", true);
}

/* A device kept a line of the audit that the table lacks. */
static void numbers_above_those_of_old_data_are_not_a_strangers(void **state)
{
    struct world *world = *state;

    assert_non_null(start(world, "{\"release\":\"tiny@2.1.0\"}"));
    snprintf(world->controller->audit->cut, sizeof(world->controller->audit->cut), "record 9");
    send(world, 0, "reported",
         "{\"v\":2,\"device\":\"11111111-1111-4111-8111-111111111111\","
         "\"top\":999,\"models\":[]}");
    answers(world, "o-0777", "done");
    assert_string_equal(told(world), "number restored without --restored");
    audit_has(world, "device.top", true);
    audit_has(world, "order.foreign", false);
}

static void a_newer_order_of_a_stranger_is_an_alarm(void **state)
{
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");

    send(world, device_in_phase(entry, 0), "ack",
         "{\"v\":1,\"order\":\"o-0001\",\"outcome\":\"superseded\",\"by\":"
         "{\"order\":\"o-0777\",\"number\":777}}");
    assert_string_equal(told(world), "order o-0777");
}

static void a_statement_that_a_device_refused_is_an_alarm(void **state)
{
    struct world *world = *state;
    const char *begin = "{\"v\":1,\"boot\":\"44444444-4444-4444-8444-"
                        "444444444444\",\"type\":\"security\",\"error\":{"
                        "\"id\":\"trust.threshold\",\"what\":\"";
    char text[640];

    snprintf(text, sizeof(text), "%sit looks odd\"},\"seq\":1}", begin);
    send(world, 0, "event", text);
    assert_string_equal(told(world), ""); /* a device may say anything */
    snprintf(text, sizeof(text), "%srefused " DIGEST ", held " NEXT_DIGEST ": x\"},\"seq\":2}",
             begin);
    send(world, 0, "event", text);
    assert_string_equal(told(world), "statement refused " DIGEST ", held " NEXT_DIGEST);
}

static int ignore(void *context, const struct flo_fleet_token *token)
{
    (void)context, (void)token;
    return 0;
}

static void a_row_that_somebody_wrote_is_an_alarm_once(void **state)
{
    struct world *world = *state;
    struct flo_fleet_store *store = world->controller->store;
    const struct flo_fleet_token token = {.id = "t1",
                                          .kind = "access",
                                          .name = "a",
                                          .role = "viewer",
                                          .group = "",
                                          .expires_at_ms = 9};

    assert_int_equal(flo_fleet_token_add(store, &token, &world->err), 0);
    assert_int_equal(store->engine->ops->update(store->engine, FLO_TABLE_TOKEN,
                                                CHANGES(set_text(FLO_FIELD_TOKEN_ROLE, "admin")),
                                                MATCHES(text_is(FLO_FIELD_TOKEN_ID, "t1")), NULL,
                                                &world->err),
                     0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(flo_fleet_token_get(store, "t1", NULL, ignore, NULL, &world->err),
                         FLO_E_ABSENT);
        assert_int_equal(flo_foreign_unsealed(world->controller, &world->err), 0);
    }
    assert_string_equal(told(world), "row token t1");
    audit_has(world, "row.unsealed token t1 alarm\n", true);
    audit_has(world, "row.unsealed token t1 alarm\nrow.unsealed token t1 alarm\n", false);
}

/* Else each evaluation of the alerts would see other devices, and tell of them. */
static void more_unknown_devices_than_fit_displace_none(void **state)
{
    struct world *world = *state;
    char what[64];

    for (int i = 0; i < 2 * FLO_FOREIGN_MAX; i++) {
        snprintf(what, sizeof(what), "99999999-9999-4999-8999-%012d at 192.0.2.7", i);
        flo_foreign_device(world->controller, FLO_FOREIGN_DEVICE, "unknown device", what);
    }
    assert_string_equal(told(world), "device 99999999-9999-4999-8999-000000000000 at 192.0.2.7");

    /* One was adopted, so another one is told. */
    flo_foreign_over(world->controller, FLO_FOREIGN_DEVICE, "99999999-9999-4999-8999-000000000000");
    flo_foreign_device(world->controller, FLO_FOREIGN_DEVICE, "unknown device", what);
    assert_string_equal(told(world), "device 99999999-9999-4999-8999-000000000031 at 192.0.2.7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(an_order_that_nobody_gave_is_an_alarm_when_it_was_obeyed),
        WITH_WORLD(an_order_of_ours_that_is_forgotten_is_no_alarm),
        WITH_WORLD(a_number_that_nobody_gave_is_an_alarm),
        WITH_WORLD(numbers_above_those_of_old_data_are_not_a_strangers),
        WITH_WORLD(a_newer_order_of_a_stranger_is_an_alarm),
        WITH_WORLD(a_statement_that_a_device_refused_is_an_alarm),
        WITH_WORLD(a_row_that_somebody_wrote_is_an_alarm_once),
        WITH_WORLD(more_unknown_devices_than_fit_displace_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
