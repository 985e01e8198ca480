/* Two machines with one identity, and devices that the controller does not know. */
#include <flotilla/errors/mqtt.h>

#include "server-stub/state/devices/devices.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/pki/pki.h"
#include "tests/unit/held_clock.h"
#include "tests/unit/server/world.h"
#include "tests/unit/waits.h"
#include "unit/server/store/store.h"

/* A start of an agent on one of two machines. */
static void lives(struct world *world, size_t device, const char *id, const char *host)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{\"v\":2,\"device\":\"%s\",\"models\":[],\"life\":{\"id\":"
             "\"%s-4444-4444-8444-444444444444\",\"host\":\"%s\",\"address\":\"192.0.2.7\"}}",
             ids[device], id, host);
    send(world, device, "reported", text);
}

static bool is_told(struct world *world, const char *device)
{
    enum flo_foreign_kind kind;
    const char *what;

    return flo_foreign_at(world->controller, 0, waits_wall_ms(), &kind, &what) &&
           kind == FLO_FOREIGN_IDENTITY && strncmp(what, device, 36) == 0 &&
           strstr(what, ": one (192.0.2.7) and two (192.0.2.7)") != NULL;
}

static int take_state(void *context, const struct flo_fleet_certificate *one)
{
    *(enum flo_certificate_state *)context = one->state;
    return 0;
}

static enum flo_certificate_state state_of_certificate(struct world *world, const char *serial)
{
    enum flo_certificate_state found = FLO_CERTIFICATE_STATES;

    assert_int_equal(flo_fleet_certificate_get(world->controller->store, serial, take_state, &found,
                                               &world->err),
                     0);
    return found;
}

static void add_certificate(struct world *world, const char *serial)
{
    const struct flo_fleet_certificate one = {.serial = serial,
                                              .device = ids[0],
                                              .authority = "aa",
                                              .state = FLO_CERTIFICATE_ISSUED,
                                              .issued_at_ms = 1,
                                              .until_ms = 2,
                                              .key = "",
                                              .proved = ""};

    assert_int_equal(flo_fleet_certificate_add(world->controller->store, &one, &world->err), 0);
}

static void one_of_two_machines_keeps_the_identity(void **state)
{
    static const char kept[] = "22222222-4444-4444-8444-444444444444";
    static const char other[] = "11111111-4444-4444-8444-444444444444";
    struct world *world = *state;
    struct flo_controller *controller = world->controller;

    for (int i = 0; i < 2; i++) {
        lives(world, 0, "11111111", "one");
        lives(world, 0, "22222222", "two");
    }
    FLO_CLEANUP(flo_json_cleanup) json_t *machines = flo_twins_machines(controller, ids[0]);
    assert_int_equal(json_array_size(machines), 2);
    assert_int_equal(flo_twins_may_renew(controller, ids[0], "", &world->err), 0);
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(flo_twins_keep(controller, ids[0], ids[0], &world->err), FLO_E_ABSENT);
    assert_int_equal(flo_twins_keep(controller, ids[0], kept, &world->err), 0);
    add_certificate(world, "012");
    add_certificate(world, "12");
    add_certificate(world, "2");
    assert_int_equal(flo_twins_may_renew(controller, ids[0], "", &world->err), FLO_E_MQTT_IDENTITY);
    assert_int_equal(flo_twins_may_renew(controller, ids[0], other, &world->err),
                     FLO_E_MQTT_IDENTITY);
    assert_int_equal(flo_twins_may_renew(controller, ids[0], kept, &world->err), 0);
    assert_int_equal(flo_twins_held(controller, ids[0], "", &world->err), 0);
    assert_string_equal(flo_twins_kept(controller, ids[0]), kept);
    flo_twins_renewed(controller, ids[0], "12");

    assert_int_equal(flo_twins_held(controller, ids[0], "2", &world->err), 0); /* the other's */
    assert_string_equal(flo_twins_kept(controller, ids[0]), kept);
    assert_true(flo_twins_are(controller, ids[0]));
    assert_int_equal(flo_twins_held(controller, ids[0], "12", &world->err), 0);
    assert_null(flo_twins_kept(controller, ids[0]));
    assert_false(flo_twins_are(controller, ids[0]));
    assert_false(is_told(world, ids[0]));
    /* A device that names no certificate loses none. */
    assert_int_equal(flo_twins_held(controller, ids[0], "", &world->err), 0);
    assert_int_equal(state_of_certificate(world, "12"), FLO_CERTIFICATE_ISSUED);
    assert_int_equal(state_of_certificate(world, "012"), FLO_CERTIFICATE_REVOKED);
    assert_int_equal(state_of_certificate(world, "2"), FLO_CERTIFICATE_REVOKED);
    assert_int_equal(flo_controller_end(controller, 0, &world->err), 0);
}

static void a_report_without_a_serial_number_revokes_nothing(void **state)
{
    struct world *world = *state;
    struct flo_controller *controller = world->controller;

    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    add_certificate(world, "12");

    assert_int_equal(flo_twins_held(controller, ids[0], "", &world->err), 0);

    assert_int_equal(state_of_certificate(world, "12"), FLO_CERTIFICATE_ISSUED);
    assert_int_equal(flo_controller_end(controller, 0, &world->err), 0);
}

/* Its agent was restarted before it renewed, so that life never speaks again. */
static void a_kept_machine_that_is_gone_refuses_nobody(void **state)
{
    static const char kept[] = "22222222-4444-4444-8444-444444444444";
    struct world *world = *state;
    struct flo_controller *controller = world->controller;

    for (int i = 0; i < 2; i++) {
        lives(world, 0, "11111111", "one");
        lives(world, 0, "22222222", "two");
    }
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(flo_twins_keep(controller, ids[0], kept, &world->err), 0);
    assert_int_equal(flo_controller_end(controller, 0, &world->err), 0);

    held_clock_pass_ms(FLO_LIVES_TWICE_MS - 1000);
    assert_int_equal(flo_twins_may_renew(controller, ids[0], "", &world->err), FLO_E_MQTT_IDENTITY);
    held_clock_pass_ms(1000);
    assert_int_equal(flo_twins_may_renew(controller, ids[0], "", &world->err), 0);
    assert_null(flo_twins_kept(controller, ids[0]));
}

/* Makes a certificate that no row names, as after an older backup was restored. */
static void make_unknown(struct world *world, const char *device, struct flo_buf *pem,
                         struct flo_certificate *facts)
{
    struct flo_controller *controller = world->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) csr = {0};
    struct flo_key *key;

    assert_int_equal(flo_key_generate(&key, &world->err), 0);
    assert_int_equal(flo_csr_make(key, "any", &csr, &world->err), 0);
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    assert_int_equal(flo_pki_issue(controller, flo_pki_newest(controller->pki), device, csr.data,
                                   pem, facts, &world->err),
                     0);
    flo_controller_cancel(controller);
    flo_key_free(key);
}

static int count_certificate(void *context, const struct flo_fleet_certificate *one)
{
    (void)one;
    ++*(size_t *)context;
    return 0;
}

/* It tries one pair, and the other one when the broker refuses that. */
static void an_unknown_device_is_noted_with_each_of_its_pairs(void **state)
{
    static const char id[] = "99999999-9999-4999-8999-999999999999";
    struct world *world = *state;
    struct flo_controller *controller = world->controller;
    struct flo_buf pem[2] = {{0}};
    struct flo_certificate facts[2];
    size_t count = 0;

    make_unknown(world, id, &pem[0], &facts[0]);
    make_unknown(world, id, &pem[1], &facts[1]);
    assert_int_equal(flo_controller_begin(controller, &world->err), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(flo_devices_unknown(controller, &pem[i / 2], "192.0.2.7", &world->err), 0);
    }
    flo_buf_deinit(&pem[0]);
    flo_buf_deinit(&pem[1]);
    assert_int_equal(flo_fleet_certificate_list(controller->store, FLO_CERTIFICATE_UNKNOWN,
                                                waits_wall_ms(), count_certificate, &count,
                                                &world->err),
                     0);
    assert_int_equal(count, 2);
    assert_int_equal(flo_devices_adopt(controller, id, "", &world->err), 0);
    bool is_newer = strcmp(facts[1].serial, facts[0].serial) > 0 ||
                    facts[1].not_before_ms > facts[0].not_before_ms;
    assert_int_equal(state_of_certificate(world, facts[is_newer].serial), FLO_CERTIFICATE_ISSUED);
    assert_int_equal(flo_controller_end(controller, 0, &world->err), 0);
}

static void no_end_of_two_machines_with_one_identity_counts(void **state)
{
    static const char there[] = "{\"model\":\"tiny\",\"state\":\"ready\",\"current\":{"
                                "\"release\":\"" DIGEST "\",\"version\":\"2.1.0\"}}";
    struct world *world = *state;
    struct flo_rollout_entry *entry = start(world, "{\"release\":\"tiny@2.1.0\"}");
    size_t canary = device_in_phase(entry, 0);
    struct flo_rollout_member *member =
        &entry->core.members[flo_rollout_find(&entry->core, ids[canary])];

    lives(world, canary, "11111111", "one");
    lives(world, canary, "22222222", "two");
    lives(world, canary, "11111111", "one");
    assert_false(is_told(world, ids[canary]));
    lives(world, canary, "22222222", "two");
    assert_true(is_told(world, ids[canary]));
    event(world, canary, "soaking");
    assert_int_equal(member->state, FLO_EXECUTION_SOAKING);

    event(world, canary, "succeeded");
    reports_events(world, canary, 2, 2, there);
    assert_int_equal(member->state, FLO_EXECUTION_SOAKING);

    /* One of them is switched off. */
    held_clock_pass_ms(FLO_LIVES_TWICE_MS);
    assert_false(is_told(world, ids[canary]));
    member->since_at_ms = 1;
    reports_events(world, canary, 2, 2, there);
    assert_int_equal(member->state, FLO_EXECUTION_SUCCEEDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_WORLD(one_of_two_machines_keeps_the_identity),
        WITH_WORLD(a_report_without_a_serial_number_revokes_nothing),
        WITH_WORLD(a_kept_machine_that_is_gone_refuses_nobody),
        WITH_WORLD(an_unknown_device_is_noted_with_each_of_its_pairs),
        WITH_WORLD(no_end_of_two_machines_with_one_identity_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
