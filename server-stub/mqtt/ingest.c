/* Ingest: turns one message of a device into rows and events.
 *
 * A device is identified by its topic, which the broker's ACL binds to its
 * certificate.  An id in the payload must be equal to that of the topic.  So a
 * device can only change its own rows.  A message that does not match is
 * dropped and counted, and never fails its batch. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/errors/mqtt.h>

#include "base/crash.h"
#include "server-stub/core/orders/intent.h"
#include "server-stub/mqtt/message.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/witness.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/devices/twins.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/telemetry_link.h"
#include "server-stub/state/trust/trust.h"

#define PAYLOAD_BYTES_MAX 65536
#define WITNESSES_MAX 2

/* ---- executions ---- */

/* Splits "<rollout>.<attempt>".  Returns false for a text of another form. */
static bool split_execution(const char *text, char *rollout, uint32_t *attempt)
{
    const char *dot = strrchr(text, '.');
    char *end;

    if (dot == NULL || (size_t)(dot - text) > FLO_NAME_MAX || dot == text || dot[1] < '1' ||
        dot[1] > '9') {
        return false;
    }
    unsigned long value = strtoul(dot + 1, &end, 10);
    if (*end != '\0' || value > 1000000) {
        return false;
    }
    memcpy(rollout, text, (size_t)(dot - text));
    rollout[dot - text] = '\0';
    *attempt = (uint32_t)value;
    return true;
}

/* Reads the conditions for which an execution waits; only the topic `reported`
 * has them. */
static int waits_of(const json_t *object)
{
    const json_t *waits = json_object_get(object, "waits");

    return !json_is_boolean(waits) ? FLO_WAITS_UNSAID
           : json_is_true(waits)   ? FLO_WAITS_YES
                                   : FLO_WAITS_NO;
}

static int execution(const struct flo_message *message, const char *id, const json_t *object,
                     struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) error = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) detail = {0};
    char rollout[FLO_NAME_MAX + 1];
    struct flo_rollout_entry *entry;
    enum flo_execution state;
    uint32_t attempt;
    const char *word = json_string_value(json_object_get(object, "state"));
    const char *release = json_string_value(json_object_get(object, "release"));
    struct flo_digest digest;

    if (word == NULL || !flo_execution_parse(word, &state) ||
        !split_execution(id, rollout, &attempt)) {
        return 0;
    }
    FLO_TRY(flo_ingest_rollout(message->controller, rollout, &entry, err));
    if (entry == NULL && flo_execution_is_end(state)) {
        return flo_ingest_sent(message, rollout,
                               flo_execution_kind(state) == FLO_EXECUTION_END_GOOD, err);
    }
    if (entry == NULL || (release != NULL && (!flo_digest_parse(release, &digest) ||
                                              !flo_digest_equal(&digest, &entry->release)))) {
        return 0;
    }
    const json_t *why = json_object_get(object, "error");
    const char *note = json_string_value(json_object_get(why, "id"));
    flo_ingest_dump(why, &error);
    flo_ingest_dump(json_object_get(object, "detail"), &detail);
    struct flo_rollouts *rollouts = message->controller->rollouts;
    if (error.bytes > 0 || detail.bytes > 0) {
        flo_rollouts_say(rollouts, message->device, error.data, detail.data);
    }
    int rv = flo_ingest_step(message, entry,
                             (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                                        .device = message->device,
                                                        .attempt = attempt,
                                                        .execution = state,
                                                        .waits = waits_of(object),
                                                        .is_retained = message->retained,
                                                        .note = flo_rollout_cause_id(note)},
                             err);
    bool is_left = flo_rollouts_unsay(rollouts);
    flo_rollouts_carried(&entry->core, message->device, json_object_get(object, "detail"));
    if (rv == 0 && is_left) {
        rv = flo_fleet_member_detail(message->controller->store, rollout, message->device,
                                     error.data, detail.data, err);
    }
    return rv;
}

/* ---- event ---- */

static int on_event(const struct flo_message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    const char *boot, *type;
    const char *id = json_string_value(json_object_get(message->json, "execution"));
    uint64_t seq, at_ms, from, last;
    bool is_new = false;

    if (flo_clock_is_leapt(controller)) {
        return 0; /* rollouts stand still: without an answer it comes again */
    }
    FLO_TRY(flo_json_get_uuid(message->json, "boot", &boot, err));
    FLO_TRY(flo_json_get_text(message->json, "type", 32, &type, err));
    FLO_TRY(flo_json_get_u64(message->json, "seq", 1, WALL_MS_MAX, &seq, err));
    FLO_TRY(flo_json_opt_u64(message->json, "from", 1, seq, 0, &from, err));
    FLO_TRY(flo_json_opt_u64(message->json, "at_ms", 0, WALL_MS_MAX, 0, &at_ms, err));
    FLO_TRY(flo_ingest_text(message, &text, err));
    FLO_TRY(flo_fleet_event_add(controller->store, message->device, boot, seq, from, at_ms,
                                message->now_ms, text.data, &is_new, &last, err));
    flo_outgoing_ack(controller, message->device, boot, last);
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, message->device);
    if (is_new && strcmp(type, "execution") == 0 && id != NULL) {
        FLO_TRY(execution(message, id, message->json, err));
    } else if (is_new && strcmp(type, "security") == 0) {
        flo_log(FLO_LOG_WARN, "device", "device %s reports a security event: %.300s",
                message->device, text.data);
        flo_foreign_refused(controller, json_string_value(json_object_get(
                                            json_object_get(message->json, "error"), "what")));
        FLO_TRY(flo_ingest_distrusted(message, err));
    }
    return 0;
}

/* ---- reported ---- */

/* Checks the highest order number that a device accepted.  This controller
 * should have issued that number, except after a backup was restored. */
static int look_at_top(const struct flo_message *message, uint64_t top, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_ingest *ingest = message->ingest;
    uint64_t newest = 0;
    int rv = 0;

    /* The device knows a higher order number than this process read last, so
     * the newest number is read again. */
    if (top > ingest->top_known) {
        rv = flo_fleet_newest(controller->store, "order", &newest, err);
        ingest->top_known = rv == 0 ? newest : 0;
    }
    FLO_TRY(rv);
    if (top <= ingest->top_known) {
        return rv;
    }
    if (flo_intent_top(top, newest, controller->options.is_restored) == FLO_INTENT_TOP_SKIP) {
        if (flo_clock_is_leapt(controller)) {
            return 0; /* the device is asked again when it is right */
        }
        FLO_TRY(flo_fleet_skip(controller->store, "order", top - newest, err));
        return flo_orders_renew_each(controller, err);
    }
    if (!ingest->top_is_told) {
        ingest->top_is_told = true;
        flo_log(FLO_LOG_ERROR, "order",
                "device %s knows order number %llu, the newest here is %llu: this controller's "
                "numbers are old%s.  After a restore, start it once with --restored",
                message->device, (unsigned long long)top, (unsigned long long)newest,
                flo_audit_is_cut(controller->audit) ? "" : ", or somebody else signs with its key");
        rv = flo_controller_audit(controller, "controller", "device.top", message->device, "alarm",
                                  "", err);
    }
    if (rv == 0 && top != ingest->top_foreign) {
        char number[32];
        ingest->top_foreign = top;
        snprintf(number, sizeof(number), "number-%llu", (unsigned long long)top);
        rv = flo_foreign_order(controller, message->device, number, err);
    }
    return rv;
}

static bool is_listed(const struct flo_fleet_model *models, size_t count, const char *model)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(models[i].model, model) == 0) {
            return true;
        }
    }
    return false;
}

/* Reads the models in a report.  Models that were removed are skipped, and
 * invalid or repeated names, too. */
static size_t read_models(const json_t *list, struct flo_fleet_model *out)
{
    size_t count = 0;
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
    {
        const json_t *serving = json_object_get(item, "serving");
        const char *model = json_string_value(json_object_get(item, "model"));
        const char *version = json_string_value(json_object_get(serving, "version"));
        const char *word = json_string_value(json_object_get(item, "state"));
        bool is_gone = word != NULL && strcmp(word, "removed") == 0;
        if (is_gone || !flo_name_is_valid(model) || is_listed(out, count, model)) {
            continue;
        }
        memset(&out[count], 0, sizeof(out[count]));
        snprintf(out[count].model, sizeof(out[count].model), "%s", model);
        if (flo_name_is_valid(version)) {
            snprintf(out[count].serving, sizeof(out[count].serving), "%.64s@%.64s", model, version);
        }
        count++;
    }
    return count;
}

/* Tells whether a model runs another release than the assigned one. */
static bool drifts(const json_t *models)
{
    size_t i;
    json_t *model;

    json_array_foreach(models, i, model)
    {
        if (json_is_object(json_object_get(model, "drift"))) {
            return true;
        }
    }
    return false;
}

static int executions(const struct flo_message *message, const json_t *models, struct flo_err *err)
{
    size_t i;
    json_t *model;
    int rv = 0;

    json_array_foreach(models, i, model)
    {
        const json_t *run = json_object_get(model, "execution");
        const char *id = json_string_value(json_object_get(run, "id"));
        if (rv == 0 && id != NULL) {
            rv = execution(message, id, run, err);
        }
    }
    return rv;
}

/* Notes the certificate with which the device is connected. */
static int certificate(const struct flo_message *message, struct flo_err *err)
{
    const json_t *object = json_object_get(message->json, "certificate");
    const char *serial = json_string_value(json_object_get(object, "serial"));

    if (serial == NULL) {
        return 0;
    }
    flo_proofs_held(message->controller->proofs, message->device, serial);
    FLO_TRY(flo_fleet_certificate_held(message->controller->store, message->device, serial, err));
    return flo_twins_held(message->controller, message->device, serial, err);
}

/* Compares lines of the audit that the device received with the audit's table.
 * Values that are no text are ignored. */
static int witness(const struct flo_message *message, struct flo_err *err)
{
    const json_t *lines = json_object_get(message->json, "audit");

    for (size_t i = 0; i < WITNESSES_MAX; i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        if (line != NULL) {
            FLO_TRY(flo_audit_witness(message->controller, message->device, line, err));
        }
    }
    return 0;
}

/* Returns a checksum of what rollouts use of a device's profile. */
static uint32_t profile_sum(const struct flo_message *message)
{
    const struct flo_select_device *facts =
        flo_fleet_facts_of(message->controller->store, message->device);

    return facts == NULL ? 0 : flo_select_steady(facts);
}

/* Compares the events that the device knows with the stored ones.  A report that
 * knows fewer may be older than they are, so the device is asked for another. */
static int look_at_events(const struct flo_message *message, struct flo_err *err)
{
    const json_t *events = json_object_get(message->json, "events");
    const char *boot = json_string_value(json_object_get(events, "boot"));
    bool is_doubtful;

    if (message->retained || !flo_uuid_is_valid(boot)) {
        return 0;
    }
    FLO_TRY(flo_fleet_event_told(message->controller->store, message->device, boot,
                                 flo_json_number(events, "last"), &is_doubtful, err));
    if (is_doubtful) {
        flo_outgoing_ask(message->controller, message->device, "");
    }
    return 0;
}

static int on_reported(const struct flo_message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) profile = {0};
    const char *id;
    json_t *facts;
    json_t *models;
    uint64_t rev;
    uint64_t top;
    uint64_t trust;
    bool is_twice;

    FLO_TRY(flo_json_get_uuid(message->json, "device", &id, err));
    FLO_TRY(flo_json_opt_u64(message->json, "trust", 0, INT64_MAX, 0, &trust, err));
    FLO_TRY(flo_json_opt_u64(message->json, "rev", 0, WALL_MS_MAX, 0, &rev, err));
    FLO_TRY(flo_json_opt_u64(message->json, "top", 0, WALL_MS_MAX, 0, &top, err));
    FLO_TRY(flo_json_opt_object(message->json, "profile", &facts, err));
    FLO_TRY(flo_json_opt_array(message->json, "models", FLO_REPORTED_MODELS_MAX, &models, err));
    if (strcmp(id, message->device) != 0) {
        return flo_fail(err, FLO_E_MQTT_IDENTITY, "device %s reports for device %s",
                        message->device, id);
    }
    if (!message->retained && json_is_true(json_object_get(message->json, "clock_kept"))) {
        flo_clock_told(controller, message->device,
                       flo_json_number_to(message->json, "at_ms", WALL_MS_MAX));
    }
    FLO_TRY(flo_twins_look(controller, message->device, message->json, &is_twice, err));
    flo_ingest_dump(facts, &profile);
    if (is_twice) {
        flo_json_dump(message->json, &text);
    } else {
        FLO_TRY(flo_ingest_text(message, &text, err));
    }
    if (profile.failed || text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "report");
    }
    struct flo_fleet_model known[FLO_REPORTED_MODELS_MAX];
    size_t count = read_models(models, known);
    uint32_t before = profile_sum(message);
    FLO_TRY(flo_fleet_device_reported(controller->store, message->device, text.data, message->json,
                                      profile.data, drifts(models), trust, known, count, err));
    FLO_TRY(witness(message, err)); /* a line may prove why a number is too high */
    FLO_TRY(look_at_top(message, top, err));
    FLO_TRY(look_at_events(message, err));
    FLO_TRY(certificate(message, err));
    flo_telemetry_link_device(controller, message->device, facts);
    flo_outgoing_change(controller, FLO_OBJECT_DEVICE, message->device);
    if (profile_sum(message) != before) {
        FLO_TRY(flo_rollouts_relabelled(controller, message->device, err));
    }
    int rv = executions(message, models, err);
    flo_rollouts_holders_reported(controller, message->device);
    if (rv == 0 && !message->retained) {
        rv = flo_ingest_forgotten(message, models, err);
    }
    if (rv == 0) {
        rv = flo_ingest_back_by_report(message, rev, err);
    }
    /* A retained report is old, so it does not make the controller ask for
     * missing answers.  The presence message, which arrives soon after it,
     * does. */
    FLO_TRY(rv);
    return message->retained ? rv : flo_ingest_ask(message, err);
}

/* ---- presence ---- */

/* Handles the first message of a device, which makes the device a member of
 * rollouts. */
static int came(const struct flo_message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    bool has_come;
    int rv = flo_fleet_device_has_come(controller->store, message->device, &has_come, err);

    if (rv == 0 && !has_come && flo_clock_is_leapt(controller)) {
        return 0; /* the device comes when the clock is right */
    }
    flo_fleet_device_heard(controller->store, message->device, message->now_ms, 0);
    FLO_TRY(rv);
    return has_come ? rv : flo_rollouts_reconsider(controller, message->device, err);
}

static int on_presence(const struct flo_message *message, struct flo_err *err)
{
    bool online;

    FLO_TRY(flo_json_get_bool(message->json, "online", &online, err));
    bool is_news;
    flo_outgoing_change(message->controller, FLO_OBJECT_DEVICE, message->device);
    int rv =
        flo_fleet_device_online(message->controller->store, message->device, online, &is_news, err);
    if (rv == 0 && online) {
        rv = came(message, err);
    }
    /* The device connected before this controller subscribed.  Its answers
     * since then are lost, and its next report may take long, so they are
     * requested now. */
    if (rv == 0 && online && message->retained) {
        rv = flo_ingest_ask(message, err);
    }
    if (online && message->controller->options.broker_forgets) {
        flo_outgoing_came(message->controller, message->device);
    } else if (online && is_news) {
        flo_outgoing_desired(message->controller, message->device);
    }
    FLO_TRY(rv);
    return flo_rollouts_step_all(message->controller,
                                 (struct flo_rollout_event){.kind = online ? FLO_ROLLOUT_EVENT_HEARD
                                                                           : FLO_ROLLOUT_EVENT_GONE,
                                                            .device = message->device},
                                 err);
}

/* ---- dispatch ---- */

static int dispatch(const struct flo_message *message, enum flo_topic topic, struct flo_err *err)
{
    switch (topic) {
    case FLO_TOPIC_EVENT:
        return on_event(message, err);
    case FLO_TOPIC_REPORTED:
        return on_reported(message, err);
    case FLO_TOPIC_ACK:
        return flo_ingest_ack(message, err);
    case FLO_TOPIC_PRESENCE:
        return on_presence(message, err);
    default:
        return flo_fail(err, FLO_E_MQTT_TOPIC, "no device writes this topic");
    }
}

/* Marks a device as online when it sends a message, because its presence
 * message may have been lost. */
static int is_there(const struct flo_message *message, enum flo_topic topic, struct flo_err *err)
{
    bool is_news = false;
    int rv = topic == FLO_TOPIC_PRESENCE
                 ? 0
                 : flo_fleet_device_online(message->controller->store, message->device, true,
                                           &is_news, err);

    if (is_news) {
        flo_outgoing_change(message->controller, FLO_OBJECT_DEVICE, message->device);
        flo_outgoing_desired(message->controller, message->device);
    }
    return rv;
}

static int heard(const struct flo_message *message, enum flo_topic topic, struct flo_err *err)
{
    FLO_TRY(is_there(message, topic, err));
    FLO_TRY(came(message, err));
    return flo_rollouts_step_all(
        message->controller,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_HEARD, .device = message->device},
        err);
}

/* Records the emergency orders of a message, which anyone who can write to that
 * topic may have sent.  Invalid orders are logged and skipped. */
static int on_emergency(struct flo_controller *controller, const char *data, size_t bytes,
                        struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    json_t *orders = NULL;
    bool is_news;

    if (bytes == 0) {
        return 0;
    }
    FLO_TRY(flo_json_parse(data, bytes, PAYLOAD_BYTES_MAX, &json, err));
    int rv = flo_json_get_array(json, "orders", FLO_EMERGENCIES_SENT_MAX, &orders, err);
    for (size_t i = 0; rv == 0 && i < json_array_size(orders); i++) {
        struct flo_err why = {0};
        rv = flo_emergency_seen(controller, json_array_get(orders, i), &is_news, &why);
        if (rv < 0 && flo_error_exit(rv) == FLO_EXIT_VERIFY) {
            flo_log_err(FLO_LOG_WARN, "orders", &why);
            rv = 0;
        } else if (rv < 0) {
            *err = why;
        }
    }
    return rv;
}

static int take(struct flo_ingest *ingest, const char *topic_text, const char *data, size_t bytes,
                bool retained, struct flo_err *err)
{
    struct flo_controller *controller = ingest->controller;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    char key[FLO_NAME_MAX + 1];
    enum flo_topic topic;
    bool active = false;
    uint64_t version;
    uint64_t v;

    FLO_TRY(flo_topic_parse(topic_text, controller->fleet, &topic, key, err));
    if (topic == FLO_TOPIC_EMERGENCY) {
        return on_emergency(controller, data, bytes, err);
    }
    if (!flo_topic_fact(topic)->is_device_writing) {
        return 0; /* Only controllers write this topic, so the message is the controller's own. */
    }
    if (!flo_uuid_is_valid(key)) {
        return flo_fail(err, FLO_E_MQTT_TOPIC, "`%s` is no device id", key);
    }
    FLO_TRY(flo_fleet_device_is_active(controller->store, key, &active, err));
    if (!active) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "device %s is not enrolled", key);
    }
    if (bytes == 0 && retained) {
        return 0;
    }
    version = topic == FLO_TOPIC_REPORTED ? 2 : 1;
    FLO_TRY(flo_json_parse(data, bytes, PAYLOAD_BYTES_MAX, &json, err));
    FLO_TRY(flo_json_get_u64(json, "v", version, version, &v, err));
    struct flo_message message = {.ingest = ingest,
                                  .controller = controller,
                                  .device = key,
                                  .json = json,
                                  .text = data,
                                  .bytes = bytes,
                                  .now_ms = flo_wall_ms(),
                                  .retained = retained};
    FLO_TRY(flo_making_reach(controller, key, err));
    int rv = dispatch(&message, topic, err);
    /* A presence message was handled above, including one that tells that the
     * device left. */
    FLO_TRY(rv);
    return retained || topic == FLO_TOPIC_PRESENCE ? rv : heard(&message, topic, err);
}

void flo_ingest_dropped(struct flo_ingest *ingest, const char *topic, const struct flo_err *why)
{
    ingest->dropped++;
    if (ingest->dropped < 100 || ingest->dropped % 1000 == 0) {
        flo_log(FLO_LOG_WARN, "mqtt", "dropped a message on %.120s: %s: %s", topic,
                flo_error_id(why->code), why->what);
    }
}

int flo_ingest(struct flo_ingest *ingest, const char *topic, const char *data, size_t bytes,
               bool retained, struct flo_err *err)
{
    struct flo_err why = {0};

    flo_crash_doing("a device", "SAY", topic, data, bytes);
    int rv = take(ingest, topic, data, bytes, retained, &why);
    flo_crash_done();

    ingest->messages++;
    if (rv == 0) {
        return 0;
    }
    if (flo_ingest_is_ours(rv)) {
        if (err != NULL) {
            *err = why;
        }
        return rv;
    }
    flo_ingest_dropped(ingest, topic, &why);
    return 0;
}
