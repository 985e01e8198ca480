/* Watching: the tick of alerts, and the sending of messages.
 *
 * An alert and its messages are rows of the store.  Messages about a failing
 * store itself are sent from memory. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/metrics/metrics.h"
#include "server-stub/run/watching/sender.h"
#include "server-stub/run/watching/watching.h"
#include "server-stub/state/watch/watch.h"

#define UNSTORED_RULE "store-failing"
#define HOUR_MS UINT64_C(3600000)
#define KEPT_MS (30 * 24 * HOUR_MS)

static void unstored_sent(struct flo_unstored *unstored, const char *id,
                          const struct flo_fleet_delivery *tried)
{
    for (size_t i = 0; i < FLO_COUNT(unstored->targets); i++) {
        struct flo_unstored_target *target = &unstored->targets[i];
        if (strcmp(id, unstored->id) != 0 || strcmp(target->id, tried->target) != 0) {
            continue;
        }
        target->failed = tried->failed;
        target->next_at_ms = tried->next_at_ms;
        if (strcmp(tried->state, FLO_DELIVERY_WAITING) != 0) {
            target->id[0] = '\0';
        }
    }
}

/* ---- an attempt ended ---- */

static int write_attempt(struct flo_controller *controller,
                         const struct flo_fleet_delivery *delivery, struct flo_err *err)
{
    FLO_TRY(flo_controller_begin(controller, err));
    return flo_controller_end(controller,
                              flo_fleet_delivery_tried(controller->store, delivery, err), err);
}

static void on_sent(void *context, const struct flo_sending *sent)
{
    struct flo_watching *watching = context;
    struct flo_controller *controller = watching->rest->controller;
    struct flo_watch_attempt attempt = {.number = sent->number,
                                        .target = sent->target,
                                        .error = sent->err.code == 0 ? "" : sent->err.what,
                                        .status = sent->status,
                                        .failed = sent->failed,
                                        .asked_ms = sent->retry_after_ms};
    struct flo_fleet_delivery delivery = flo_watch_tried(controller, &attempt, flo_wall_ms());
    bool is_dead = strcmp(delivery.state, FLO_DELIVERY_DEAD) == 0;
    struct flo_err err = {0};

    if (sent->err.code != 0) {
        flo_log(FLO_LOG_WARN, "alert", "message %s to %s: %s%s", sent->id, sent->target,
                sent->err.what, is_dead ? ": given up" : "");
    }
    if (sent->number == 0) {
        unstored_sent(&watching->unstored, sent->id, &delivery);
        return;
    }
    if (write_attempt(controller, &delivery, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    }
}

/* ---- what is due ---- */

/* Sends a message to a webhook, or with `hook` NULL to the alert command. */
static void send_to(struct flo_watching *watching, const struct flo_watch_webhook *hook,
                    const char *id, const struct flo_fleet_delivery *delivery)
{
    struct flo_sending *sending = calloc(1, sizeof(*sending));
    char *body = strdup(delivery->body);

    if (sending == NULL || body == NULL) {
        free(sending);
        free(body);
        return; /* the message is not sent without memory; the store has it, so
                   the next attempt sends it */
    }
    sending->body = body;
    sending->number = delivery->number;
    sending->failed = delivery->failed;
    snprintf(sending->id, sizeof(sending->id), "%s", id);
    snprintf(sending->target, sizeof(sending->target), "%s", delivery->target);
    if (hook != NULL) {
        snprintf(sending->url, sizeof(sending->url), "%s", hook->url);
        snprintf(sending->secret, sizeof(sending->secret), "%s", hook->secret);
    }
    flo_sender_send(watching->sender, sending);
}

/* Returns whether a target takes a message now: it has none in progress, and did not
 * ask for a pause. */
static bool takes(const struct flo_watching *watching, const char *target, uint64_t now_ms)
{
    return !flo_watch_rests(watching->rest->controller, target, now_ms) &&
           !flo_sender_is_busy(watching->sender, target);
}

static int take_due(void *context, const struct flo_fleet_delivery *delivery)
{
    struct flo_watching *watching = context;
    char id[24];

    snprintf(id, sizeof(id), "d-%llu", (unsigned long long)delivery->number);
    send_to(watching, flo_watch_webhook_find(watching->rest->controller, delivery->target), id,
            delivery);
    return 0;
}

static void send_due_to(struct flo_watching *watching, const char *target)
{
    struct flo_fleet_store *store = watching->rest->controller->store;
    uint64_t now_ms = flo_wall_ms();
    struct flo_err err = {0};

    if (takes(watching, target, now_ms) &&
        flo_fleet_delivery_due(store, target, now_ms, take_due, watching, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    }
}

/* Sends the oldest delivery that is due to each target, but only durable ones, so that
 * a delivery keeps its id even after a crash.  Sends none while the end of an attempt
 * cannot be stored, since the same delivery would be due again at once. */
static void send_due(struct flo_watching *watching)
{
    struct flo_controller *controller = watching->rest->controller;
    const struct flo_watches *watch = controller->watch;
    const struct flo_watch_webhook *hook;
    struct flo_err failed = {0};

    flo_controller_takes_changes(controller, &failed);
    if (failed.code != 0 ||
        flo_fleet_durable(controller->store, NULL) < flo_fleet_committed(controller->store)) {
        return;
    }
    for (size_t i = 0; (hook = flo_watch_webhook_at(watch, i)) != NULL; i++) {
        send_due_to(watching, hook->id);
    }
    if (flo_watch_has_command(watch)) {
        send_due_to(watching, FLO_WATCH_COMMAND);
    }
}

/* ---- the store itself fails ---- */

/* Begins notices that the store fails, or that it works again: makes the message, and
 * lists all webhooks and the alert command as targets.  A target that did not hear the
 * message before this one hears this one only. */
static void unstored_begin(struct flo_watching *watching, bool is_over, uint64_t now_ms)
{
    const struct flo_controller *controller = watching->rest->controller;
    struct flo_unstored *unstored = &watching->unstored;
    struct flo_unstored_target *target = unstored->targets;
    struct flo_watch_alert alert = {.rule = UNSTORED_RULE, .value = is_over ? 0 : 1};
    const struct flo_watch_webhook *hook;

    alert.core = (struct flo_alert){.state = is_over ? FLO_ALERT_RESOLVED : FLO_ALERT_FIRING,
                                    .since_ms = is_over ? now_ms : unstored->since_ms,
                                    .ended_ms = now_ms,
                                    .fires = 1};
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = flo_watch_news(
        controller, &alert, is_over ? FLO_ALERT_NEWS_RESOLVED : FLO_ALERT_NEWS_FIRING, now_ms);
    snprintf(unstored->id, sizeof(unstored->id), "s-%llu", (unsigned long long)now_ms);
    json_object_set_new(body, "id", json_string(unstored->id));
    flo_buf_deinit(&unstored->body);
    flo_json_dump(body, &unstored->body);
    unstored->is_told = true;
    unstored->is_over = is_over;
    memset(target, 0, sizeof(unstored->targets));
    for (size_t i = 0; (hook = flo_watch_webhook_at(controller->watch, i)) != NULL; i++) {
        snprintf(target++->id, sizeof(target->id), "%s", hook->id);
    }
    if (flo_watch_has_command(controller->watch)) {
        snprintf(target->id, sizeof(target->id), "%s", FLO_WATCH_COMMAND);
    }
}

static void unstored_tell(struct flo_watching *watching, uint64_t now_ms)
{
    struct flo_unstored *unstored = &watching->unstored;
    bool is_left = false;

    for (size_t i = 0; i < FLO_COUNT(unstored->targets); i++) {
        struct flo_unstored_target *target = &unstored->targets[i];
        const struct flo_watch_webhook *hook =
            flo_watch_webhook_find(watching->rest->controller, target->id);
        if (hook == NULL && strcmp(target->id, FLO_WATCH_COMMAND) != 0) {
            target->id[0] = '\0'; /* the webhook was deleted */
            continue;
        }
        is_left = true;
        if (target->next_at_ms <= now_ms && takes(watching, target->id, now_ms) &&
            !unstored->body.failed) {
            send_to(watching, hook, unstored->id,
                    &(struct flo_fleet_delivery){.target = target->id,
                                                 .body = unstored->body.data,
                                                 .failed = target->failed});
        }
    }
    unstored->is_told = !unstored->is_over || is_left;
}

/* Sends notices while the store fails.  The alert rule sets the delay; it may
 * be silenced or deleted. */
static void tell_of_store(struct flo_watching *watching)
{
    struct flo_controller *controller = watching->rest->controller;
    struct flo_unstored *unstored = &watching->unstored;
    const struct flo_watch_rule *rule = flo_watch_rule_find(controller, UNSTORED_RULE);
    bool is_told = unstored->is_told && !unstored->is_over; /* that it fails */
    uint64_t now_ms = flo_wall_ms();
    struct flo_err failed = {0};

    flo_controller_takes_changes(controller, &failed);
    if (failed.code == 0) {
        unstored->since_ms = 0;
    } else if (unstored->since_ms == 0) {
        unstored->since_ms = now_ms;
    }
    if (failed.code == 0 && is_told) {
        unstored_begin(watching, true, now_ms);
    } else if (failed.code != 0 && !is_told && rule != NULL && rule->silenced_until_ms <= now_ms &&
               now_ms >= unstored->since_ms + rule->rule.for_ms) {
        flo_log(FLO_LOG_WARN, "alert", "%s is firing: %s", UNSTORED_RULE, failed.what);
        unstored_begin(watching, false, now_ms);
    }
    if (unstored->is_told) {
        unstored_tell(watching, now_ms);
    }
}

static void prune(struct flo_watching *watching, uint64_t now_ms)
{
    struct flo_controller *controller = watching->rest->controller;
    struct flo_err err = {0};

    if (now_ms < watching->prune_at_ms) {
        return;
    }
    watching->prune_at_ms = now_ms + HOUR_MS;
    if (flo_controller_begin(controller, &err) < 0) {
        return;
    }
    if (flo_fleet_delivery_prune(controller->store, flo_wall_ms() - KEPT_MS, NULL, &err) < 0) {
        flo_controller_cancel(controller);
    } else if (flo_controller_commit(controller, &err) == 0) {
        return;
    }
    flo_log_err(FLO_LOG_ERROR, "alert", &err);
}

static void evaluate(struct flo_watching *watching, uint64_t now_ms)
{
    struct flo_controller *controller = watching->rest->controller;
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    uint64_t every_ms = controller->heartbeat_ms < FLO_WATCH_EVERY_MS ? controller->heartbeat_ms
                                                                      : FLO_WATCH_EVERY_MS;
    struct flo_err err = {0};

    if (now_ms < watching->evaluate_at_ms) {
        return;
    }
    watching->evaluate_at_ms = now_ms + every_ms;
    flo_metrics_gather(watching->rest, &samples);
    if (!flo_samples_failed(&samples) &&
        flo_watch_evaluate(controller, &samples, flo_wall_ms(), &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    }
}

void flo_watching_tick(struct flo_watching *watching, uint64_t now_ms)
{
    evaluate(watching, now_ms);
    send_due(watching);
    tell_of_store(watching);
    prune(watching, now_ms);
}

int flo_watching_open(struct flo_rest *rest, struct event_base *base, struct flo_watching *watching,
                      struct flo_err *err)
{
    const struct flo_controller_options *options = &rest->controller->options;
    const struct flo_sender_options sending = {.ca_file = options->webhook_ca,
                                               .command = options->alert_command,
                                               .takes_private = options->takes_private_webhooks};

    watching->rest = rest;
    flo_watch_use_command(rest->controller->watch, options->alert_command != NULL);
    return flo_sender_open(&sending, base, on_sent, watching, &watching->sender, err);
}

void flo_watching_close(struct flo_watching *watching)
{
    flo_buf_deinit(&watching->unstored.body);
    flo_sender_close(watching->sender);
    watching->sender = NULL;
}
