/* Proofs at the controller: which message is of its device, and which comes a
 * second time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/mqtt.h>

#include "proto/proof.h"
#include "server-stub/mqtt/proved.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/proofs/proofs.h"

#define DEVICE "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define TOPICS "flotilla/v1/demo/d/"

static struct flo_controller *controller;
static struct flo_key *device, *order, *before;

static void issue(const char *id, const char *serial, const struct flo_key *key)
{
    char pem[FLO_PUBLIC_KEY_PEM_MAX];

    flo_public_key_pem(flo_key_public(key), pem);
    const struct flo_fleet_certificate row = {.serial = serial,
                                              .device = id,
                                              .authority = "a",
                                              .state = FLO_CERTIFICATE_ISSUED,
                                              .issued_at_ms = 1,
                                              .until_ms = INT64_MAX,
                                              .key = pem,
                                              .proved = ""};
    assert_int_equal(flo_fleet_certificate_add(controller->store, &row, NULL), 0);
    assert_int_equal(flo_proofs_issued(controller->proofs, &row, NULL), 0);
}

static int set_up(void **state)
{
    const struct flo_controller_options options = {.dir = ":memory:", .fleet = "demo"};
    (void)state;

    flo_log_level_set(FLO_LOG_ERROR);
    if (flo_controller_open(&options, &controller, NULL) < 0 ||
        flo_controller_begin(controller, NULL) < 0 || flo_key_generate(&device, NULL) < 0 ||
        flo_key_generate(&order, NULL) < 0 || flo_key_generate(&before, NULL) < 0) {
        return 1;
    }
    issue(DEVICE, "01", device);
    return flo_controller_commit(controller, NULL) < 0 ||
           flo_controller_begin(controller, NULL) < 0 ||
           flo_proofs_use(controller->proofs, order, NULL, NULL) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    flo_controller_cancel(controller);
    flo_controller_close(controller);
    flo_key_free(device);
    flo_key_free(order);
    flo_key_free(before);
    return 0;
}

static const char message[] = "{\"v\":1}";

/* A message for the topic `path`, proved by `key` for `controllers`; without a
 * proof when that is NULL. */
static struct flo_buf proved(const struct flo_key *key, const struct flo_key *controllers,
                             const char *path, uint64_t number)
{
    struct flo_buf text = {0};
    struct flo_proof_key proof_key;

    if (controllers == NULL) {
        flo_buf_add(&text, message, strlen(message));
    } else {
        assert_int_equal(flo_proof_key_device(key, flo_key_public(controllers), &proof_key, NULL),
                         0);
        flo_proof_add(&proof_key, path, number, message, strlen(message), &text);
    }
    return text;
}

/* Such a message on the topic of `id`. */
static enum flo_proof_word said_by(const struct flo_key *key, const struct flo_key *controllers,
                                   const char *id, enum flo_topic topic, uint64_t number)
{
    char path[FLO_TOPIC_TEXT];

    assert_int_equal(flo_topic_build(topic, "demo", id, path, NULL), 0);
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = proved(key, controllers, path, number);
    size_t bytes = text.bytes;
    enum flo_proof_word word =
        flo_proofs_judge(controller->proofs, topic, id, path, text.data, &bytes, false);
    assert_int_equal(bytes, word <= FLO_PROOF_AGAIN ? strlen(message) : text.bytes);
    return word;
}

static enum flo_proof_word said(enum flo_topic topic, uint64_t number)
{
    return said_by(device, order, DEVICE, topic, number);
}

static enum flo_proof_word said_nothing_about_it(void)
{
    return said_by(NULL, NULL, DEVICE, FLO_TOPIC_EVENT, 0);
}

/* The controller starts with what the store has. */
static void start(void)
{
    bool has_keyless;

    flo_proofs_free(controller->proofs);
    assert_int_equal(flo_proofs_new(&controller->proofs, NULL), 0);
    assert_int_equal(flo_proofs_load(controller, &has_keyless, NULL), 0);
    assert_int_equal(flo_proofs_use(controller->proofs, order, before, NULL), 0);
}

static void a_device_that_proved_once_goes_on(void **state)
{
    char told[37];
    (void)state;

    assert_int_equal(said_nothing_about_it(), FLO_PROOF_NONE);
    assert_int_equal(flo_proofs_missing(controller->proofs, 5), 5);
    assert_int_equal(said(FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(flo_proofs_missing(controller->proofs, 5), 4);
    assert_false(flo_proofs_told(controller->proofs, told));
    assert_int_equal(said_nothing_about_it(), FLO_PROOF_WRONG);
    assert_true(flo_proofs_told(controller->proofs, told));
    assert_string_equal(told, DEVICE);
}

static void another_device_proves_nothing_here(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *other = NULL;
    (void)state;

    assert_int_equal(flo_key_generate(&other, NULL), 0);
    issue(OTHER, "02", other);
    assert_int_equal(said(FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(said_by(other, order, DEVICE, FLO_TOPIC_EVENT, 2), FLO_PROOF_WRONG);
    assert_int_equal(said_by(other, order, OTHER, FLO_TOPIC_EVENT, 2), FLO_PROOF_GOOD);
}

/* Whoever carries it changes a letter, or puts it on another topic. */
static void a_message_that_was_changed_is_not_its_devices(void **state)
{
    static const char path[] = TOPICS DEVICE "/event";
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = proved(device, order, path, 1);
    size_t bytes = text.bytes;
    (void)state;

    text.data[5] = '2';
    assert_int_equal(flo_proofs_judge(controller->proofs, FLO_TOPIC_EVENT, DEVICE, path, text.data,
                                      &bytes, false),
                     FLO_PROOF_NONE);
    text.data[5] = '1';
    assert_int_equal(flo_proofs_judge(controller->proofs, FLO_TOPIC_ACK, DEVICE,
                                      TOPICS DEVICE "/ack", text.data, &bytes, false),
                     FLO_PROOF_NONE);
    assert_int_equal(flo_proofs_judge(controller->proofs, FLO_TOPIC_EVENT, DEVICE, path, text.data,
                                      &bytes, false),
                     FLO_PROOF_GOOD);
}

/* As the controller looks at what comes from the broker. */
static int looked_at(const struct flo_key *controllers, uint64_t number)
{
    static const char path[] = TOPICS DEVICE "/event";
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = proved(device, controllers, path, number);
    const struct flo_mqtt_message one = {.topic = path, .data = text.data, .bytes = text.bytes};
    size_t bytes = text.bytes;
    bool is_retained = false;

    return flo_proved_look(controller, &one, &bytes, &is_retained, NULL);
}

static void a_message_counts_by_its_proof(void **state)
{
    (void)state;
    controller->refuses_unproved = false;
    assert_int_equal(looked_at(NULL, 0), 0);
    assert_int_equal(looked_at(order, 1), 0);
    assert_int_equal(looked_at(order, 1), 1);
    assert_int_equal(looked_at(NULL, 0), FLO_E_MQTT_PROOF);
}

static void a_fleet_that_began_with_proofs_takes_nothing_else_after_a_start(void **state)
{
    (void)state;
    controller->refuses_unproved = false;
    assert_int_equal(flo_proofs_begin(controller, NULL), 0);
    start();
    assert_true(controller->refuses_unproved);
    assert_int_equal(looked_at(NULL, 0), FLO_E_MQTT_PROOF);
    assert_int_equal(looked_at(order, 1), 0);
}

static void a_number_counts_once_on_each_topic(void **state)
{
    (void)state;
    assert_int_equal(said(FLO_TOPIC_EVENT, 5), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 5), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 4), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_ACK, 4), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 6), FLO_PROOF_GOOD);
}

static void the_newest_retained_one_counts_again_once(void **state)
{
    (void)state;
    assert_int_equal(said(FLO_TOPIC_REPORTED, 4), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 5), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 5), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 5), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 5), FLO_PROOF_OLD);
    flo_proofs_again(controller->proofs);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 4), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 5), FLO_PROOF_AGAIN);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 5), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 5), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 5), FLO_PROOF_AGAIN);
    /* It was said to be gone: only a new presence brings it back. */
    flo_proofs_gone(controller->proofs, DEVICE);
    flo_proofs_again(controller->proofs);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 5), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 6), FLO_PROOF_GOOD);
    flo_proofs_again(controller->proofs);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 6), FLO_PROOF_AGAIN);
}

static void a_batch_stores_its_numbers_and_the_rest_follows(void **state)
{
    size_t count;
    bool is_done = false;
    (void)state;

    assert_int_equal(said(FLO_TOPIC_REPORTED, 5), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 6), FLO_PROOF_GOOD);
    /* A transaction that was taken back is written by the next one. */
    assert_int_equal(flo_proofs_write_batch(controller, &count, NULL), 0);
    assert_int_equal(count, 1);
    flo_controller_cancel(controller);
    flo_proofs_settle(controller->proofs, count, false);
    assert_int_equal(flo_controller_begin(controller, NULL), 0);
    assert_int_equal(flo_proofs_write_batch(controller, &count, NULL), 0);
    flo_proofs_settle(controller->proofs, count, true);
    start();
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 6), FLO_PROOF_AGAIN);
    flo_proofs_gone(controller->proofs, DEVICE);
    assert_int_equal(flo_proofs_write_batch(controller, &count, NULL), 0);
    flo_proofs_settle(controller->proofs, count, true);
    start();
    assert_int_equal(said(FLO_TOPIC_REPORTED, 4), FLO_PROOF_OLD);
    assert_int_equal(said(FLO_TOPIC_PRESENCE, 6), FLO_PROOF_OLD);
    assert_int_equal(said_nothing_about_it(), FLO_PROOF_WRONG);
    assert_int_equal(flo_proofs_missing(controller->proofs, 5), 4);

    assert_int_equal(said(FLO_TOPIC_TELE, 9), FLO_PROOF_GOOD);
    assert_int_equal(flo_proofs_write_batch(controller, &count, NULL), 0);
    assert_int_equal(count, 0);
    while (!is_done) {
        assert_int_equal(flo_proofs_write(controller, 1, &is_done, NULL), 0);
    }
    start();
    assert_int_equal(said(FLO_TOPIC_TELE, 9), FLO_PROOF_OLD);
}

static void an_order_key_of_before_counts_until_the_new_one_does(void **state)
{
    (void)state;
    assert_int_equal(flo_proofs_use(controller->proofs, order, before, NULL), 0);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 2), FLO_PROOF_GOOD);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 3), FLO_PROOF_WRONG);
    /* The next one takes the place of both. */
    assert_int_equal(flo_proofs_use(controller->proofs, before, NULL, NULL), 0);
    assert_int_equal(said(FLO_TOPIC_EVENT, 4), FLO_PROOF_WRONG);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 4), FLO_PROOF_GOOD);
}

static void a_renewed_key_ends_the_one_before_when_it_is_held(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *next = NULL;
    (void)state;

    assert_int_equal(flo_key_generate(&next, NULL), 0);
    assert_int_equal(said(FLO_TOPIC_EVENT, 9), FLO_PROOF_GOOD);
    issue(DEVICE, "03", next);
    assert_int_equal(said(FLO_TOPIC_EVENT, 10), FLO_PROOF_GOOD);
    flo_proofs_held(controller->proofs, DEVICE, "01");
    assert_int_equal(said_by(next, order, DEVICE, FLO_TOPIC_EVENT, 1),
                     FLO_PROOF_GOOD); /* its numbers begin again */
    flo_proofs_held(controller->proofs, DEVICE, "03");
    assert_int_equal(said(FLO_TOPIC_EVENT, 11), FLO_PROOF_WRONG);
    flo_proofs_forget(controller->proofs, DEVICE);
    assert_int_equal(said_by(next, order, DEVICE, FLO_TOPIC_EVENT, 2), FLO_PROOF_NONE);
    assert_int_equal(flo_proofs_missing(controller->proofs, 5), 5);
}

/* Its connection is another one, whose thread may be the later one. */
static void telemetry_is_judged_behind_what_was_said_after_it(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *next = NULL;
    (void)state;

    assert_int_equal(flo_proofs_use(controller->proofs, order, before, NULL), 0);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 2), FLO_PROOF_GOOD);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_TELE, 3), FLO_PROOF_GOOD);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 4),
                     FLO_PROOF_WRONG); /* that key did not come back */
    assert_int_equal(said(FLO_TOPIC_TELE, 4), FLO_PROOF_GOOD);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_TELE, 5), FLO_PROOF_WRONG);

    assert_int_equal(flo_key_generate(&next, NULL), 0);
    issue(DEVICE, "03", next);
    flo_proofs_held(controller->proofs, DEVICE, "03");
    assert_int_equal(said(FLO_TOPIC_TELE, 5), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 6), FLO_PROOF_WRONG);
    assert_int_equal(said(FLO_TOPIC_TELE, 5), FLO_PROOF_OLD);
    assert_int_equal(said_by(next, order, DEVICE, FLO_TOPIC_TELE, 1), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_TELE, 6), FLO_PROOF_WRONG);
}

/* Whoever is late says more of a key between, but not after the newest. */
static void the_newest_order_key_ends_all_before_it(void **state)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *third = NULL;
    (void)state;

    assert_int_equal(flo_proofs_use(controller->proofs, order, before, NULL), 0);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_TELE, 2), FLO_PROOF_GOOD);
    assert_int_equal(flo_key_generate(&third, NULL), 0);
    assert_int_equal(flo_proofs_use(controller->proofs, third, order, NULL), 0);
    assert_int_equal(said_by(device, third, DEVICE, FLO_TOPIC_EVENT, 3), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_EVENT, 4), FLO_PROOF_WRONG);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 4), FLO_PROOF_WRONG);
    assert_int_equal(said(FLO_TOPIC_TELE, 4), FLO_PROOF_GOOD);
}

/* The same with the other connection behind. */
static void a_report_is_judged_behind_the_telemetry_after_it(void **state)
{
    (void)state;
    assert_int_equal(flo_proofs_use(controller->proofs, order, before, NULL), 0);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_TELE, 3), FLO_PROOF_GOOD);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_TELE, 4), FLO_PROOF_WRONG);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_REPORTED, 2), FLO_PROOF_GOOD);
    assert_int_equal(said(FLO_TOPIC_REPORTED, 5), FLO_PROOF_GOOD);
    assert_int_equal(said_by(device, before, DEVICE, FLO_TOPIC_EVENT, 6), FLO_PROOF_WRONG);
}

static void a_device_that_lost_its_numbers_is_asked_to_renew(void **state)
{
    char behind[37];
    (void)state;

    for (uint64_t last = 1000; last < 1002; last++) {
        assert_int_equal(said(FLO_TOPIC_EVENT, last), FLO_PROOF_GOOD);
        for (uint64_t i = 1; i < 16; i++) {
            assert_int_equal(said(FLO_TOPIC_EVENT, i), FLO_PROOF_OLD);
        }
    }
    assert_false(flo_proofs_behind(controller->proofs, behind));
    assert_int_equal(said(FLO_TOPIC_EVENT, 16), FLO_PROOF_OLD);
    assert_true(flo_proofs_behind(controller->proofs, behind));
    assert_string_equal(behind, DEVICE);
}

/* The renewal shows to whom the key belongs: a backup is older than its device. */
static void a_device_that_nobody_knows_is_asked_to_renew(void **state)
{
    const char *unknown = "99999999-9999-4999-8999-999999999999";
    char behind[37];
    (void)state;

    assert_int_equal(said_by(device, order, unknown, FLO_TOPIC_EVENT, 1), FLO_PROOF_NONE);
    assert_true(flo_proofs_behind(controller->proofs, behind));
    assert_string_equal(behind, unknown);
    assert_false(flo_proofs_behind(controller->proofs, behind));

    FLO_CLEANUP(flo_key_cleanup) struct flo_key *later = NULL; /* renewed since the backup */
    assert_int_equal(flo_key_generate(&later, NULL), 0);
    assert_int_equal(said(FLO_TOPIC_EVENT, 1), FLO_PROOF_GOOD);
    assert_int_equal(said_by(later, order, DEVICE, FLO_TOPIC_EVENT, 2), FLO_PROOF_WRONG);
    assert_true(flo_proofs_behind(controller->proofs, behind));
    assert_string_equal(behind, DEVICE);
}

#define STORY(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(a_device_that_proved_once_goes_on),
        STORY(another_device_proves_nothing_here),
        STORY(a_message_that_was_changed_is_not_its_devices),
        STORY(a_message_counts_by_its_proof),
        STORY(a_fleet_that_began_with_proofs_takes_nothing_else_after_a_start),
        STORY(a_number_counts_once_on_each_topic),
        STORY(the_newest_retained_one_counts_again_once),
        STORY(a_batch_stores_its_numbers_and_the_rest_follows),
        STORY(an_order_key_of_before_counts_until_the_new_one_does),
        STORY(a_renewed_key_ends_the_one_before_when_it_is_held),
        STORY(the_newest_order_key_ends_all_before_it),
        STORY(a_report_is_judged_behind_the_telemetry_after_it),
        STORY(telemetry_is_judged_behind_what_was_said_after_it),
        STORY(a_device_that_lost_its_numbers_is_asked_to_renew),
        STORY(a_device_that_nobody_knows_is_asked_to_renew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
