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

#define DUE_MAX 64
#define UNSTORED_RULE "store-failing"
#define UNSTORED_OVER "-over"
#define HOUR_MS UINT64_C(3600000)
#define KEPT_MS (30 * 24 * HOUR_MS)

static void unstored_sent(struct flo_unstored *unstored, const struct flo_sending *sent,
                          bool is_done, uint64_t next_at_ms)
{
    bool is_over = strstr(sent->id, UNSTORED_OVER) != NULL;

    for (size_t i = 0; i < FLO_COUNT(unstored->targets); i++) {
        struct flo_unstored_target *target = &unstored->targets[i];
        if (is_over != unstored->is_over || strcmp(target->id, sent->target) != 0) {
            continue;
        }
        target->failed = sent->failed + 1;
        target->next_at_ms = next_at_ms;
        if (is_done) {
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
    bool is_taken = sent->err.code == 0;
    uint64_t failed = sent->failed + (is_taken ? 0 : 1);
    uint64_t wait_ms = flo_alert_pause_ms(failed, sent->retry_after_ms);
    bool is_dead = !is_taken && (wait_ms == 0 || sent->status == 410);
    struct flo_fleet_delivery delivery = {.number = sent->number,
                                          .state = is_taken  ? FLO_DELIVERY_SENT
                                                   : is_dead ? FLO_DELIVERY_DEAD
                                                             : FLO_DELIVERY_WAITING,
                                          .error = sent->err.what,
                                          .failed = failed,
                                          .next_at_ms = flo_wall_ms() + wait_ms};
    struct flo_err err = {0};

    if (!is_taken) {
        flo_log(FLO_LOG_WARN, "alert", "message %s to %s: %s%s", sent->id, sent->target,
                sent->err.what, is_dead ? ": given up" : "");
    }
    if (sent->number == 0) {
        unstored_sent(&watching->unstored, sent, is_taken || is_dead, delivery.next_at_ms);
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

static int take_due(void *context, const struct flo_fleet_delivery *delivery)
{
    struct flo_watching *watching = context;
    const struct flo_controller *controller = watching->rest->controller;
    bool is_command = strcmp(delivery->target, FLO_WATCH_COMMAND) == 0;
    const struct flo_watch_webhook *hook = flo_watch_webhook_find(controller, delivery->target);

    if ((hook == NULL && !is_command) ||
        (is_command && controller->options.alert_command == NULL) ||
        flo_sender_is_busy(watching->sender, delivery->target)) {
        return 0;
    }
    char id[24];
    snprintf(id, sizeof(id), "d-%llu", (unsigned long long)delivery->number);
    send_to(watching, hook, id, delivery);
    return 0;
}

/* Sends the deliveries that are due, but only durable ones, so that a delivery
 * keeps its id even after a crash. */
static void send_due(struct flo_watching *watching)
{
    struct flo_controller *controller = watching->rest->controller;
    struct flo_fleet_store *store = controller->store;
    const struct flo_watches *watch = controller->watch;
    struct flo_err err = {0};

    if ((flo_watch_webhook_at(watch, 0) == NULL && !flo_watch_has_command(watch)) ||
        flo_fleet_durable(store, NULL) < flo_fleet_committed(store)) {
        return;
    }
    if (flo_fleet_delivery_due(store, flo_wall_ms(), DUE_MAX, take_due, watching, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    }
}

/* ---- the store itself fails ---- */

/* Begins notices that the store fails: lists all webhooks and the alert command
 * as targets to notify. */
static void unstored_begin(struct flo_watching *watching)
{
    const struct flo_watches *watch = watching->rest->controller->watch;
    struct flo_unstored_target *target = watching->unstored.targets;
    const struct flo_watch_webhook *hook;

    memset(target, 0, sizeof(watching->unstored.targets));
    for (size_t i = 0; (hook = flo_watch_webhook_at(watch, i)) != NULL; i++) {
        snprintf(target++->id, sizeof(target->id), "%s", hook->id);
    }
    if (flo_watch_has_command(watch)) {
        snprintf(target->id, sizeof(target->id), "%s", FLO_WATCH_COMMAND);
    }
}

static void unstored_send(struct flo_watching *watching, const char *target, uint64_t failed,
                          uint64_t now_ms)
{
    const struct flo_controller *controller = watching->rest->controller;
    const struct flo_unstored *unstored = &watching->unstored;
    struct flo_watch_alert alert = {.rule = UNSTORED_RULE, .value = 1};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char id[24];

    alert.core.state = unstored->is_over ? FLO_ALERT_RESOLVED : FLO_ALERT_FIRING;
    alert.core.since_ms = unstored->since_ms;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        flo_watch_news(controller, &alert,
                       unstored->is_over ? FLO_ALERT_NEWS_RESOLVED : FLO_ALERT_NEWS_FIRING, now_ms);
    snprintf(id, sizeof(id), "s-%llu%s", (unsigned long long)unstored->since_ms,
             unstored->is_over ? UNSTORED_OVER : "");
    json_object_set_new(body, "id", json_string(id));
    flo_json_dump(body, &text);
    if (!text.failed) {
        send_to(
            watching, flo_watch_webhook_find(controller, target), id,
            &(struct flo_fleet_delivery){.target = target, .body = text.data, .failed = failed});
    }
}

static void unstored_tell(struct flo_watching *watching, uint64_t now_ms)
{
    struct flo_unstored *unstored = &watching->unstored;
    bool is_left = false;

    for (size_t i = 0; i < FLO_COUNT(unstored->targets); i++) {
        const struct flo_unstored_target *target = &unstored->targets[i];
        if (target->id[0] == '\0') {
            continue;
        }
        is_left = true;
        if (target->next_at_ms <= now_ms && !flo_sender_is_busy(watching->sender, target->id)) {
            unstored_send(watching, target->id, target->failed, now_ms);
        }
    }
    if (unstored->is_over && !is_left) {
        *unstored = (struct flo_unstored){0};
    }
}

/* Sends notices while the store fails.  The alert rule sets the delay; it may
 * be silenced or deleted. */
static void tell_of_store(struct flo_watching *watching)
{
    struct flo_controller *controller = watching->rest->controller;
    struct flo_unstored *unstored = &watching->unstored;
    const struct flo_watch_rule *rule = flo_watch_rule_find(controller, UNSTORED_RULE);
    uint64_t now_ms = flo_wall_ms();
    struct flo_err failed = {0};

    flo_controller_takes_changes(controller, &failed);
    if (failed.code == 0 && !unstored->is_told) {
        unstored->since_ms = 0;
    } else if (failed.code == 0 && !unstored->is_over) {
        unstored->is_over = true;
        unstored_begin(watching);
    } else if (failed.code != 0 && unstored->since_ms == 0) {
        unstored->since_ms = now_ms;
    }
    if (failed.code != 0 && !unstored->is_told && rule != NULL &&
        rule->silenced_until_ms <= now_ms && now_ms >= unstored->since_ms + rule->rule.for_ms) {
        flo_log(FLO_LOG_WARN, "alert", "%s is firing: %s", UNSTORED_RULE, failed.what);
        unstored->is_told = true;
        unstored_begin(watching);
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
    flo_sender_close(watching->sender);
    watching->sender = NULL;
}
