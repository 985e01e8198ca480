/* Evaluate: computes the values of alert rules, steps their alerts, and sends
 * messages about them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/watch/memory.h"
#include "server-stub/state/watch/watch.h"
#include "server-stub/store/fleet.h"

/* Returns the newest alert of the series that is over; NULL: there is none. */
static struct flo_watch_alert *last_of(struct flo_watches *watch, const char *rule,
                                       const char *series)
{
    struct flo_watch_alert *last = NULL;

    for (size_t i = 0; i < watch->alert_count; i++) {
        struct flo_watch_alert *alert = &watch->alerts[i];
        if (alert->core.state == FLO_ALERT_RESOLVED && strcmp(alert->rule, rule) == 0 &&
            strcmp(alert->series, series) == 0 && (last == NULL || alert->id > last->id)) {
            last = alert;
        }
    }
    return last;
}

static struct flo_watch_alert *find(struct flo_watches *watch, const struct flo_alert_rule *rule,
                                    const char *series)
{
    size_t of_rule = 0;

    for (size_t i = 0; i < watch->alert_count; i++) {
        struct flo_watch_alert *alert = &watch->alerts[i];
        if (strcmp(alert->rule, rule->name) != 0 || alert->core.state == FLO_ALERT_RESOLVED) {
            continue;
        }
        of_rule++;
        if (strcmp(alert->series, series) == 0) {
            return alert;
        }
    }
    if (of_rule >= FLO_WATCH_SERIES_MAX || watch->alert_count == FLO_WATCH_ALERTS_MAX) {
        return NULL;
    }
    const struct flo_watch_alert *last = last_of(watch, rule->name, series);
    struct flo_watch_alert *alert = &watch->alerts[watch->alert_count++];
    memset(alert, 0, sizeof(*alert));
    snprintf(alert->rule, sizeof(alert->rule), "%s", rule->name);
    snprintf(alert->series, sizeof(alert->series), "%s", series);
    if (last != NULL) {
        alert->core.ended_ms = last->core.ended_ms;
        alert->core.fires = last->core.fires;
    }
    return alert;
}

/* ---- values ---- */

/* A rule about devices, and the number of devices that match it. */
struct counted {
    const struct flo_alert_rule *rule;
    struct flo_watch_alert *alert;
    struct flo_selector selector;
    uint64_t fit;
};
struct counting {
    struct counted *items;
    size_t count;
    uint64_t all, now_ms;
};

static int count_device(void *context, const struct flo_select_device *device)
{
    struct counting *counting = context;

    counting->all++;
    for (size_t i = 0; i < counting->count; i++) {
        struct counted *one = &counting->items[i];
        one->fit += flo_selector_matches(&one->selector, device, counting->now_ms);
    }
    return 0;
}

/* Adds a rule to those that are counted.  A rule with an invalid selector is
 * logged and left out, and does not affect the others. */
static void add_counted(struct counting *counting, struct flo_watches *watch,
                        const struct flo_alert_rule *rule)
{
    struct counted *one = &counting->items[counting->count];
    struct flo_err err = {0};

    one->rule = rule;
    one->alert = find(watch, rule, "");
    if (flo_selector_parse(rule->where, NULL, &one->selector, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    } else if (one->alert != NULL) {
        counting->count++;
    }
}

static void settle_counted(const struct counting *counting)
{
    for (size_t i = 0; i < counting->count; i++) {
        const struct counted *one = &counting->items[i];
        one->alert->has_value = true;
        one->alert->value = !one->rule->is_percent ? (double)one->fit
                            : counting->all == 0   ? 0
                                                   : 100 * (double)one->fit / (double)counting->all;
    }
}

/* Evaluates all rules about devices in one pass. */
static void values_of_devices(struct flo_controller *controller, uint64_t now_ms)
{
    struct flo_watches *watch = controller->watch;
    struct counting counting = {.items = calloc(watch->rule_count + 1, sizeof(*counting.items)),
                                .now_ms = now_ms};
    struct flo_err err = {0};

    if (counting.items == NULL) {
        flo_log(FLO_LOG_ERROR, "alert", "no memory for rules about devices");
        return;
    }
    for (size_t i = 0; i < watch->rule_count; i++) {
        if (watch->rules[i].rule.where[0] != '\0') {
            add_counted(&counting, watch, &watch->rules[i].rule);
        }
    }
    int rv = counting.count == 0 ? 0
                                 : flo_fleet_select(controller->store, NULL, 0, now_ms,
                                                    count_device, &counting, &err);
    if (rv == 0) {
        settle_counted(&counting);
    } else {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
    }
    free(counting.items);
}

static bool is_time(enum flo_exposed metric)
{
    return metric == FLO_EXPOSED_CERTIFICATE || metric == FLO_EXPOSED_PROCESS_START;
}

/* Sums the samples of a metric into one value for each series. */
static void add_up(struct flo_watches *watch, const struct flo_alert_rule *rule,
                   const struct flo_samples *samples, enum flo_exposed metric, bool is_per)
{
    char series[FLO_ALERT_SERIES];

    for (size_t i = 0; i < flo_samples_count(samples); i++) {
        const struct flo_exposed_sample *sample = flo_samples_at(samples, i);
        if (sample->metric != metric ||
            !flo_alert_rule_takes(rule, flo_samples_labels(samples, sample), series)) {
            continue;
        }
        struct flo_watch_alert *alert = find(watch, rule, series);
        if (alert != NULL) {
            alert->has_value = alert->has_value || !is_per;
            *(is_per ? &alert->per : &alert->total) += sample->value;
        }
    }
}

static double settle(struct flo_alert_increase *increase, enum flo_exposed metric, double value,
                     const struct flo_alert_rule *rule, uint64_t now_ms)
{
    if (flo_exposed_fact(metric)->type == FLO_EXPOSED_TYPE_COUNTER) {
        return flo_alert_increase(increase, value, rule->window_ms, now_ms);
    }
    return is_time(metric) ? value - (double)(now_ms / 1000) : value;
}

static void values_of_metric(struct flo_watches *watch, const struct flo_alert_rule *rule,
                             const struct flo_samples *samples, uint64_t now_ms)
{
    add_up(watch, rule, samples, rule->metric, false);
    if (rule->has_per) {
        add_up(watch, rule, samples, rule->per, true);
    }
    for (size_t i = 0; i < watch->alert_count; i++) {
        struct flo_watch_alert *alert = &watch->alerts[i];
        if (!alert->has_value || strcmp(alert->rule, rule->name) != 0) {
            continue;
        }
        alert->value = settle(&alert->increase, rule->metric, alert->total, rule, now_ms);
        if (rule->has_per) {
            double per = settle(&alert->per_increase, rule->per, alert->per, rule, now_ms);
            alert->value = per > 0 && per >= rule->per_least ? alert->value / per : 0;
        }
    }
}

/* ---- alerts ---- */

/* Gives an alert that fires its number: that of the alert before it, whose messages
 * then stay in one order with the new ones, or a new number. */
static int number(struct flo_controller *controller, struct flo_watch_alert *alert,
                  struct flo_err *err)
{
    struct flo_watch_alert *last = last_of(controller->watch, alert->rule, alert->series);

    if (last == NULL) {
        return flo_fleet_next(controller->store, "alert", &alert->id, err);
    }
    alert->id = last->id;
    alert->news_first = last->news_first;
    alert->news_last = last->news_last;
    alert->is_page = last->is_page;
    last->id = 0;
    last->core.state = FLO_ALERT_OK; /* tidy() removes it */
    return 0;
}

/* Writes an alert that changed, and its message. */
static int say(struct flo_controller *controller, struct flo_watch_alert *alert,
               const struct flo_alert_rule *rule_or_null, enum flo_alert_news news, uint64_t now_ms,
               struct flo_err *err)
{
    bool is_page = rule_or_null != NULL && rule_or_null->is_page;

    flo_controller_say(controller,
                       alert->core.state == FLO_ALERT_FIRING ? FLO_LOG_WARN : FLO_LOG_INFO, "alert",
                       "%s%s%s is %s: %g %s", alert->rule, alert->series[0] != '\0' ? " " : "",
                       alert->series, flo_alert_state_word(alert->core.state), alert->value,
                       rule_or_null != NULL ? rule_or_null->text : "its rule is gone");
    FLO_TRY(news == FLO_ALERT_NEWS_NONE
                ? 0
                : flo_watch_tell(controller, alert, news, is_page, now_ms, err));
    return flo_watch_write_alert(controller, alert, err);
}

static int step(struct flo_controller *controller, const struct flo_watch_rule *watched,
                struct flo_watch_alert *alert, uint64_t now_ms, struct flo_err *err)
{
    const struct flo_alert_rule *rule = &watched->rule;
    enum flo_alert_level level =
        alert->has_value ? flo_alert_level(rule, alert->value) : FLO_ALERT_WELL;
    bool is_over = alert->core.state == FLO_ALERT_RESOLVED;
    bool is_moved = !is_over && flo_alert_step(&alert->core, rule, level, now_ms);
    bool is_silenced = watched->silenced_until_ms > now_ms;
    enum flo_alert_news news =
        is_over ? FLO_ALERT_NEWS_NONE : flo_alert_news(&alert->core, rule, is_silenced, now_ms);
    int rv = 0;

    if (is_moved && alert->core.state == FLO_ALERT_FIRING && alert->id == 0) {
        rv = number(controller, alert, err);
    }
    FLO_TRY(rv);
    return (is_moved || news != FLO_ALERT_NEWS_NONE) && alert->id != 0
               ? say(controller, alert, rule, news, now_ms, err)
               : 0;
}

/* Returns when the oldest resolved alert ended if the table is nearly full,
 * else 0.  That alert is then removed, so an alert that begins and ends again
 * and again cannot take all rows. */
static uint64_t over_too_many(const struct flo_watches *watch)
{
    uint64_t oldest_ms = 0;

    for (size_t i = 0; i < watch->alert_count && watch->alert_count > FLO_WATCH_ALERTS_MAX / 2;
         i++) {
        const struct flo_watch_alert *alert = &watch->alerts[i];
        if (alert->core.state == FLO_ALERT_RESOLVED &&
            (oldest_ms == 0 || alert->core.ended_ms < oldest_ms)) {
            oldest_ms = alert->core.ended_ms;
        }
    }
    return oldest_ms;
}

/* Removes alerts that never fired and have no value, and alerts that were
 * resolved long ago.  If the table is nearly full, the oldest resolved alerts
 * are removed, too. */
static int tidy(struct flo_controller *controller, uint64_t now_ms, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    uint64_t over_ms = over_too_many(watch);
    char id[24];
    int rv = 0;

    for (size_t i = watch->alert_count; i-- > 0 && rv == 0;) {
        struct flo_watch_alert *alert = &watch->alerts[i];
        bool is_idle = alert->core.state == FLO_ALERT_OK && !alert->has_value;
        bool is_old =
            alert->core.state == FLO_ALERT_RESOLVED &&
            (alert->core.ended_ms + FLO_WATCH_KEPT_MS < now_ms || alert->core.ended_ms <= over_ms);
        if (is_old) {
            snprintf(id, sizeof(id), "%llu", (unsigned long long)alert->id);
            rv = flo_fleet_watch_delete(controller->store, FLO_WATCH_ALERT, id, err);
        }
        if (rv == 0 && (is_idle || is_old)) {
            watch->alerts[i] = watch->alerts[--watch->alert_count];
        }
    }
    return rv;
}

/* Resolves an alert whose rule was deleted. */
static int without_rule(struct flo_controller *controller, struct flo_watch_alert *alert,
                        uint64_t now_ms, struct flo_err *err)
{
    if (alert->core.state == FLO_ALERT_RESOLVED) {
        return 0;
    }
    if (alert->id == 0) {
        alert->core.state = FLO_ALERT_OK; /* nobody knows it: tidy() removes it */
        return 0;
    }
    enum flo_alert_news news = flo_alert_end(&alert->core, now_ms);
    return say(controller, alert, NULL, news, now_ms, err);
}

static int evaluate(struct flo_controller *controller, const struct flo_samples *samples,
                    uint64_t now_ms, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    int rv = 0;

    for (size_t i = 0; i < watch->alert_count; i++) {
        watch->alerts[i].has_value = false;
        watch->alerts[i].total = 0;
        watch->alerts[i].per = 0;
    }
    values_of_devices(controller, now_ms);
    for (size_t i = 0; i < watch->rule_count && rv == 0; i++) {
        const struct flo_alert_rule *rule = &watch->rules[i].rule;
        if (rule->where[0] == '\0') {
            values_of_metric(watch, rule, samples, now_ms);
        }
    }
    for (size_t i = 0; i < watch->alert_count && rv == 0; i++) {
        struct flo_watch_alert *alert = &watch->alerts[i];
        const struct flo_watch_rule *rule = flo_watch_rule_find(controller, alert->rule);
        rv = rule != NULL ? step(controller, rule, alert, now_ms, err)
                          : without_rule(controller, alert, now_ms, err);
    }
    FLO_TRY(rv);
    return tidy(controller, now_ms, err);
}

int flo_watch_evaluate(struct flo_controller *controller, const struct flo_samples *samples,
                       uint64_t now_ms, struct flo_err *err)
{
    FLO_TRY(flo_controller_begin(controller, err));
    controller->watch->has_changed = true;
    return flo_controller_end(controller, evaluate(controller, samples, now_ms, err), err);
}
