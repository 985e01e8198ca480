/* Ingest: one message of a device becomes rows and events.
 *
 * A device is known by its topic, which the broker's ACL binds to its
 * certificate; whatever id stands in the payload must be the same.  So a
 * device can only ever change its own rows.  What does not fit is dropped and
 * counted, and never fails the batch it came in. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/shell/controller.h"

#define PAYLOAD_BYTES_MAX 65536
#define WALL_MS_MAX (INT64_C(1) << 53)

struct message {
    struct flo_controller *controller;
    const char *device;
    json_t *json;
    uint64_t now_ms; /* wall */
    bool retained;
};

static bool text_is(const json_t *object, const char *key, const char *word)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL && strcmp(text, word) == 0;
}

static void dump(const json_t *json, struct flo_buf *out)
{
    if (json != NULL && !json_is_null(json)) {
        flo_json_dump(json, out);
    }
}

/* A step that fails half way has changed the rollout in memory: whatever the
 * reason, the batch has to be taken back. */
static int step(const struct message *message, struct flo_rollout_entry *entry,
                struct flo_rollout_event event, struct flo_err *err)
{
    int rv = flo_rollouts_step(message->controller, entry, event, err);

    if (rv < 0 && rv != FLO_E_DB && rv != FLO_E_DISK_FULL &&
        rv != FLO_E_MEMORY) {
        flo_wrap(err, rv, "%s", flo_error_id(rv));
        rv = FLO_E_INTERNAL;
        if (err != NULL) {
            err->code = rv;
        }
    }
    return rv;
}

/* ---- executions -------------------------------------------------------------
 */

/* "<rollout>.<attempt>"; false when it is none. */
static bool split_execution(const char *text, char *rollout, uint32_t *attempt)
{
    const char *dot = strrchr(text, '.');
    char *end;

    if (dot == NULL || (size_t)(dot - text) > FLO_NAME_MAX || dot == text ||
        dot[1] < '1' || dot[1] > '9') {
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

/* The rollout that a device speaks of; NULL in *out when there is none. */
static int rollout_of(struct flo_controller *controller, const char *id,
                      struct flo_rollout_entry **out, struct flo_err *err)
{
    struct flo_err absent = {0};
    int rv = flo_rollouts_find(controller, id, out, &absent);

    if (rv == FLO_E_ROLLOUT_ABSENT) {
        *out = NULL;
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = absent;
    }
    return rv;
}

static int execution(const struct message *message, const char *id,
                     const json_t *object, struct flo_err *err)
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
    int rv = rollout_of(message->controller, rollout, &entry, err);
    if (rv < 0 || entry == NULL ||
        (release != NULL && (!flo_digest_parse(release, &digest) ||
                             !flo_digest_equal(&digest, &entry->release)))) {
        return rv;
    }
    const json_t *why = json_object_get(object, "error");
    const char *note = json_string_value(json_object_get(why, "id"));
    rv = step(message, entry,
              (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_EXECUTION,
                                         .device = message->device,
                                         .attempt = attempt,
                                         .execution = state,
                                         .note = note},
              err);
    dump(why, &error);
    dump(json_object_get(object, "detail"), &detail);
    if (rv == 0 && (error.bytes > 0 || detail.bytes > 0)) {
        rv = flo_store_member_detail(message->controller->store, rollout,
                                     message->device, error.data, detail.data,
                                     err);
    }
    return rv;
}

/* ---- event
 * -------------------------------------------------------------------- */

static int on_event(const struct message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    const char *boot;
    const char *type;
    const char *id =
        json_string_value(json_object_get(message->json, "execution"));
    uint64_t seq;
    uint64_t at_ms;
    uint64_t last;
    bool is_new = false;
    int rv;

    if ((rv = flo_json_get_uuid(message->json, "boot", &boot, err)) < 0 ||
        (rv = flo_json_get_text(message->json, "type", 32, &type, err)) < 0 ||
        (rv = flo_json_get_u64(message->json, "seq", 1, WALL_MS_MAX, &seq,
                               err)) < 0 ||
        (rv = flo_json_opt_u64(message->json, "at_ms", 0, WALL_MS_MAX, 0,
                               &at_ms, err)) < 0) {
        return rv;
    }
    flo_json_dump(message->json, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "event");
    }
    if ((rv = flo_store_event_add(controller->store, message->device, boot, seq,
                                  at_ms, message->now_ms, text.data, &is_new,
                                  err)) < 0 ||
        (rv = flo_store_event_last(controller->store, message->device, boot,
                                   &last, err)) < 0) {
        return rv;
    }
    char ack[FLO_NAME_MAX + 32];
    snprintf(ack, sizeof(ack), "%s %llu", message->device,
             (unsigned long long)last);
    flo_text_list_add(&controller->effects.acks, ack);
    flo_effect_live(controller, "device", message->device);
    if (is_new && strcmp(type, "execution") == 0 && id != NULL) {
        rv = execution(message, id, message->json, err);
    } else if (is_new && strcmp(type, "security") == 0) {
        flo_log(FLO_LOG_WARN, "device", "%s reports %.300s", message->device,
                text.data);
    }
    return rv;
}

/* ---- going back
 * ------------------------------------------------------------------ */

/* Does the report speak of this release anywhere that matters? */
static bool report_names(const json_t *report, const char *release)
{
    const json_t *slots = json_object_get(report, "slots");

    return text_is(json_object_get(report, "serving"), "release", release) ||
           text_is(json_object_get(slots, "current"), "release", release) ||
           text_is(json_object_get(slots, "candidate"), "release", release) ||
           text_is(json_object_get(report, "execution"), "release", release);
}

static int back_on_rollouts(const struct message *message,
                            const char *release_or_null, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    int rv = 0;

    for (size_t i = 0; i < controller->rollout_count && rv == 0; i++) {
        struct flo_rollout_entry *entry = controller->rollouts[i];
        char digest[FLO_DIGEST_TEXT];
        flo_digest_text(&entry->release, digest);
        bool concerned = entry->core.state != FLO_ROLLOUT_RUNNING &&
                         entry->core.state != FLO_ROLLOUT_COMPLETED;
        bool is_back = release_or_null != NULL
                           ? strcmp(release_or_null, digest) == 0
                           : !report_names(message->json, digest);
        if (concerned && is_back) {
            rv = step(message, entry,
                      (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BACK,
                                                 .device = message->device},
                      err);
        }
    }
    return rv;
}

struct awaited {
    struct flo_text_list ids; /* "<order> <release> <issued_at_ms>" */
};

static int collect_awaited(void *context, const struct flo_store_order *order)
{
    struct awaited *awaited = context;
    char text[256];

    if (strcmp(order->op, "rollback") == 0) {
        snprintf(text, sizeof(text), "%s %s %llu", order->id, order->release,
                 (unsigned long long)order->issued_at_ms);
        flo_text_list_add(&awaited->ids, text);
    }
    return 0;
}

/* A device that serves something else than what was taken back is done, even
 * if its acknowledgement got lost. */
static int back_on_orders(const struct message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct awaited awaited = {0};
    int rv = flo_store_outcome_awaited(controller->store, message->device,
                                       collect_awaited, &awaited, err);

    for (size_t i = 0; i < awaited.ids.count && rv == 0; i++) {
        char order[FLO_NAME_MAX + 1];
        char release[FLO_DIGEST_TEXT];
        unsigned long long issued = 0;
        if (sscanf(awaited.ids.items[i], "%64s %71s %llu", order, release,
                   &issued) == 3 &&
            !report_names(message->json, release)) {
            rv = flo_store_outcome_put(
                controller->store, order, message->device, FLO_OUTCOME_DONE,
                message->now_ms > issued ? message->now_ms - issued : 0, err);
            flo_effect_live(controller, "order", order);
        }
    }
    flo_text_list_clear(&awaited.ids);
    return rv;
}

/* ---- reported
 * ------------------------------------------------------------------------ */

static int on_reported(const struct message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) profile = {0};
    char order[FLO_NAME_MAX + 1];
    const char *id;
    json_t *facts;
    json_t *run;
    uint64_t rev;
    uint64_t desired;
    int rv;

    if ((rv = flo_json_get_uuid(message->json, "device", &id, err)) < 0 ||
        (rv = flo_json_opt_u64(message->json, "rev", 0, WALL_MS_MAX, 0, &rev,
                               err)) < 0 ||
        (rv = flo_json_opt_object(message->json, "profile", &facts, err)) < 0 ||
        (rv = flo_json_opt_object(message->json, "execution", &run, err)) < 0) {
        return rv;
    }
    if (strcmp(id, message->device) != 0) {
        return flo_fail(err, FLO_E_MQTT_IDENTITY,
                        "device %s reports for device %s", message->device, id);
    }
    flo_json_dump(message->json, &text);
    dump(facts, &profile);
    if (text.failed || profile.failed) {
        return flo_fail(err, FLO_E_MEMORY, "report");
    }
    if ((rv = flo_store_device_reported(controller->store, message->device,
                                        text.data, profile.data, err)) < 0 ||
        (rv = flo_store_desired_get(controller->store, message->device,
                                    &desired, order, err)) < 0) {
        return rv;
    }
    flo_effect_live(controller, "device", message->device);
    const char *name = json_string_value(json_object_get(run, "id"));
    if (name != NULL) {
        rv = execution(message, name, run, err);
    }
    if (rv == 0 && rev >= desired) {
        rv = back_on_rollouts(message, NULL, err);
        if (rv == 0) {
            rv = back_on_orders(message, err);
        }
    }
    return rv;
}

/* ---- ack
 * -----------------------------------------------------------------------------
 */

struct acked {
    char op[16];
    char rollout[FLO_NAME_MAX + 1];
    char release[FLO_DIGEST_TEXT];
};

static int take_acked(void *context, const struct flo_store_order *order)
{
    struct acked *acked = context;

    snprintf(acked->op, sizeof(acked->op), "%s", order->op);
    snprintf(acked->rollout, sizeof(acked->rollout), "%s", order->rollout);
    snprintf(acked->release, sizeof(acked->release), "%s", order->release);
    return 0;
}

/* A refused deploy order never becomes an execution: say so to the rollout. */
static int deploy_refused(const struct message *message,
                          const struct acked *acked, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) error = {0};
    struct flo_rollout_entry *entry;
    int rv = rollout_of(message->controller, acked->rollout, &entry, err);

    if (rv < 0 || entry == NULL) {
        return rv;
    }
    size_t index = flo_rollout_find(&entry->core, message->device);
    if (index == SIZE_MAX ||
        entry->core.members[index].state != FLO_EXECUTION_NOTIFIED) {
        return 0;
    }
    dump(json_object_get(message->json, "error"), &error);
    rv =
        flo_rollouts_step(message->controller, entry,
                          (struct flo_rollout_event){
                              .kind = FLO_ROLLOUT_EVENT_EXECUTION,
                              .device = message->device,
                              .attempt = entry->core.members[index].attempt + 1,
                              .execution = FLO_EXECUTION_REJECTED,
                              .note = "order refused"},
                          err);
    return rv < 0 || error.bytes == 0
               ? rv
               : flo_store_member_detail(message->controller->store,
                                         acked->rollout, message->device,
                                         error.data, NULL, err);
}

/* What was not yet active when the abort came is cancelled now, also where no
 * execution had begun. */
static int abort_done(const struct message *message, const struct acked *acked,
                      struct flo_err *err)
{
    struct flo_rollout_entry *entry;
    int rv = rollout_of(message->controller, acked->rollout, &entry, err);

    if (rv < 0 || entry == NULL || entry->core.state == FLO_ROLLOUT_RUNNING) {
        return rv;
    }
    return step(message, entry,
                (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_BACK,
                                           .device = message->device},
                err);
}

static int outcome(const struct message *message, const char *order,
                   enum flo_order_outcome next, uint64_t took_ms,
                   struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    enum flo_order_outcome now;
    bool known;
    int rv = flo_store_outcome_get(controller->store, order, message->device,
                                   &known, &now, err);

    if (rv < 0 || !known || !flo_outcome_is_news(now, next)) {
        return rv;
    }
    flo_effect_live(controller, "order", order);
    return flo_store_outcome_put(controller->store, order, message->device,
                                 next, took_ms, err);
}

static int on_ack(const struct message *message, struct flo_err *err)
{
    struct acked acked = {0};
    struct flo_err absent = {0};
    enum flo_order_outcome next;
    const char *order;
    const char *word;
    uint64_t took_ms;
    int rv;

    if ((rv = flo_json_get_name(message->json, "order", &order, err)) < 0 ||
        (rv = flo_json_get_text(message->json, "outcome", 16, &word, err)) <
            0 ||
        (rv = flo_json_opt_u64(message->json, "took_ms", 0, WALL_MS_MAX, 0,
                               &took_ms, err)) < 0) {
        return rv;
    }
    if (!flo_outcome_parse(word, &next)) {
        return flo_fail(err, FLO_E_MQTT_SCHEMA, "outcome `%s`", word);
    }
    rv = flo_store_order_get(message->controller->store, order, take_acked,
                             &acked, &absent);
    if (rv == FLO_E_ABSENT) {
        return 0;
    }
    if (rv < 0) {
        *err = absent;
        return rv;
    }
    rv = outcome(message, order, next, took_ms, err);
    bool is_over = next == FLO_OUTCOME_DONE || next == FLO_OUTCOME_IGNORED;
    if (rv == 0 && is_over && strcmp(acked.op, "rollback") == 0) {
        rv = back_on_rollouts(message, acked.release, err);
    } else if (rv == 0 && is_over && strcmp(acked.op, "abort") == 0) {
        rv = abort_done(message, &acked, err);
    } else if (rv == 0 && next == FLO_OUTCOME_REFUSED &&
               strcmp(acked.op, "deploy") == 0) {
        rv = deploy_refused(message, &acked, err);
    }
    return rv;
}

/* ---- telemetry and presence
 * ------------------------------------------------------------- */

static void note_window(struct flo_controller *controller, const char *device,
                        uint64_t now_ms, const struct flo_telemetry *window)
{
    json_t *json = json_pack("{s:s,s:I,s:s,s:s}", "device", device, "at_ms",
                             (json_int_t)now_ms, "model", window->model,
                             "version", window->version);

    for (int m = 0; m < FLO_METRIC_COUNT; m++) {
        const struct flo_metric_fact *fact =
            flo_metric_fact((enum flo_metric)m);
        if (!window->has[m]) {
            continue;
        }
        if (fact->kind == FLO_METRIC_HISTOGRAM) {
            const struct flo_histogram *h = &window->histograms[m];
            json_object_set_new(
                json, fact->word,
                json_pack("{s:I,s:I,s:I}", "count", (json_int_t)h->count, "p50",
                          (json_int_t)flo_histogram_quantile(h, 0.5), "p95",
                          (json_int_t)flo_histogram_quantile(h, 0.95)));
        } else {
            json_object_set_new(json, fact->word,
                                json_integer((json_int_t)window->values[m]));
        }
    }
    flo_effect_note(controller, "telemetry", json);
}

/* A release that nobody published is not a key of ours: a device must not make
 * rows without end by inventing some. */
static int known_release(struct flo_controller *controller,
                         struct flo_digest *release, struct flo_err *err)
{
    char text[FLO_DIGEST_TEXT];
    struct flo_err absent = {0};

    flo_digest_text(release, text);
    int rv = flo_store_release_get(controller->store, NULL, text, NULL, NULL,
                                   &absent);
    if (rv == FLO_E_RELEASE_ABSENT) {
        *release = (struct flo_digest){0};
        return 0;
    }
    if (rv < 0 && err != NULL) {
        *err = absent;
    }
    return rv;
}

static int on_tele(const struct message *message, struct flo_err *err)
{
    struct flo_controller *controller = message->controller;
    struct flo_telemetry window = {.histograms = controller->histograms};
    int rv = flo_telemetry_parse(message->json, &window, err);

    if (rv < 0 || (rv = known_release(controller, &window.release, err)) < 0) {
        return rv;
    }
    bool is_new;
    rv = flo_store_telemetry_add(controller->store, message->device,
                                 message->now_ms, &window, &is_new, err);
    if (rv < 0 || !is_new) {
        return rv;
    }
    uint64_t rss = 0;
    if (window.has[FLO_METRIC_NAME_AGENT_RSS]) {
        rss += (uint64_t)window.values[FLO_METRIC_NAME_AGENT_RSS];
    }
    if (window.has[FLO_METRIC_NAME_ENGINE_RSS]) {
        rss += (uint64_t)window.values[FLO_METRIC_NAME_ENGINE_RSS];
    }
    if (rv == 0 && rss > 0) {
        rv = flo_store_device_rss(controller->store, message->device, rss, err);
    }
    if (rv == 0) {
        note_window(controller, message->device, message->now_ms, &window);
    }
    return rv;
}

static int on_presence(const struct message *message, struct flo_err *err)
{
    bool online;
    int rv = flo_json_get_bool(message->json, "online", &online, err);

    if (rv < 0) {
        return rv;
    }
    flo_effect_live(message->controller, "device", message->device);
    return flo_store_device_online(message->controller->store, message->device,
                                   online, err);
}

/* ---- dispatch
 * --------------------------------------------------------------------------------
 */

static int dispatch(const struct message *message, enum flo_topic topic,
                    struct flo_err *err)
{
    switch (topic) {
    case FLO_TOPIC_EVENT:
        return on_event(message, err);
    case FLO_TOPIC_REPORTED:
        return on_reported(message, err);
    case FLO_TOPIC_ACK:
        return on_ack(message, err);
    case FLO_TOPIC_TELE:
        return on_tele(message, err);
    case FLO_TOPIC_PRESENCE:
        return on_presence(message, err);
    default:
        return flo_fail(err, FLO_E_MQTT_TOPIC, "no device writes this topic");
    }
}

/* true: the store failed or a step did, the batch cannot go on. */
static bool is_ours(int code)
{
    return code == FLO_E_DB || code == FLO_E_DISK_FULL ||
           code == FLO_E_MEMORY || code == FLO_E_INTERNAL;
}

static int heard(const struct message *message, struct flo_err *err)
{
    int rv = flo_store_device_seen(message->controller->store, message->device,
                                   message->now_ms, err);

    return rv < 0 ? rv
                  : flo_rollouts_step_all(message->controller,
                                          (struct flo_rollout_event){
                                              .kind = FLO_ROLLOUT_EVENT_HEARD,
                                              .device = message->device},
                                          err);
}

static int take(struct flo_controller *controller, const char *topic_text,
                const char *data, size_t bytes, bool retained,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    char key[FLO_NAME_MAX + 1];
    enum flo_topic topic;
    bool active = false;
    uint64_t v;
    int rv = flo_topic_parse(topic_text, controller->fleet, &topic, key, err);

    if (rv < 0) {
        return rv;
    }
    if (!flo_topic_fact(topic)->is_device_writing) {
        return 0; /* our own */
    }
    if (!flo_uuid_is_valid(key)) {
        return flo_fail(err, FLO_E_MQTT_TOPIC, "`%s` is no device id", key);
    }
    if ((rv = flo_store_device_is_active(controller->store, key, &active,
                                         err)) < 0) {
        return rv;
    }
    if (!active) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "device %s is not enrolled",
                        key);
    }
    if (bytes == 0 && retained) {
        return 0;
    }
    if ((rv = flo_json_parse(data, bytes, PAYLOAD_BYTES_MAX, &json, err)) < 0 ||
        (rv = flo_json_get_u64(json, "v", 1, 1, &v, err)) < 0) {
        return rv;
    }
    struct message message = {.controller = controller,
                              .device = key,
                              .json = json,
                              .now_ms = flo_wall_ms(),
                              .retained = retained};
    rv = dispatch(&message, topic, err);
    return rv < 0 || retained ? rv : heard(&message, err);
}

int flo_ingest(struct flo_controller *controller, const char *topic,
               const char *data, size_t bytes, bool retained,
               struct flo_err *err)
{
    struct flo_err why = {0};
    int rv = take(controller, topic, data, bytes, retained, &why);

    controller->counters.messages++;
    if (rv == 0) {
        return 0;
    }
    if (is_ours(rv)) {
        if (err != NULL) {
            *err = why;
        }
        return rv;
    }
    controller->counters.messages_dropped++;
    if (controller->counters.messages_dropped < 100 ||
        controller->counters.messages_dropped % 1000 == 0) {
        flo_log(FLO_LOG_WARN, "mqtt", "dropped a message on %.120s: %s: %s",
                topic, flo_error_id(why.code), why.what);
    }
    return 0;
}
