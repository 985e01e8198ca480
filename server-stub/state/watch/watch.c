/* Watch: keeps rules, alerts and webhooks in memory, and reads and writes their
 * documents. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/transaction.h"
#include "server-stub/state/watch/memory.h"
#include "server-stub/state/watch/watch.h"

#define BODY_BYTES_MAX 8192
/* A fleet whose setting `alert_rules` is "1", an older form, has this many
 * default rules already. */
#define FIRST_SHIPPED 20

static int put(struct flo_controller *controller, enum flo_watch_kind kind, const char *id,
               json_t *json, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};

    flo_json_dump(json, &body);
    bool is_lost = json == NULL || body.failed;
    json_decref(json);
    controller->watch->has_changed = true;
    return is_lost ? flo_fail(err, FLO_E_MEMORY, "what is watched")
                   : flo_fleet_watch_put(controller->store, kind, id, body.data, err);
}

/* ---- rules ---- */

static int write_rule(struct flo_controller *controller, const struct flo_watch_rule *rule,
                      struct flo_err *err)
{
    return put(controller, FLO_WATCH_RULE, rule->rule.name,
               json_pack("{s:O,s:I,s:s,s:s}", "rule", rule->json, "until_ms",
                         (json_int_t)rule->silenced_until_ms, "by", rule->silenced_by, "reason",
                         rule->silence_reason),
               err);
}

struct flo_watch_rule *flo_watch_rule_find(struct flo_controller *controller, const char *name)
{
    struct flo_watches *watch = controller->watch;

    for (size_t i = 0; i < watch->rule_count; i++) {
        if (strcmp(watch->rules[i].rule.name, name) == 0) {
            return &watch->rules[i];
        }
    }
    return NULL;
}

const struct flo_watch_rule *flo_watch_rule_at(const struct flo_watches *watch, size_t place)
{
    return place < watch->rule_count ? &watch->rules[place] : NULL;
}

/* Inserts a rule by its name, in sorted order.  The caller made sure that there
 * is room. */
static struct flo_watch_rule *insert_rule(struct flo_watches *watch, const char *name)
{
    size_t at = watch->rule_count++;

    while (at > 0 && strcmp(watch->rules[at - 1].rule.name, name) > 0) {
        watch->rules[at] = watch->rules[at - 1];
        at--;
    }
    memset(&watch->rules[at], 0, sizeof(watch->rules[at]));
    return &watch->rules[at];
}

/* Parses a rule and keeps it in memory.  A stored rule stays valid when the
 * last device with its label goes, so `known_or_null` is given for a person's
 * request only. */
static int keep_rule(struct flo_controller *controller, const char *name, json_t *json,
                     const struct flo_select_known *known_or_null, struct flo_watch_rule **out,
                     struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    static struct flo_selector selector; /* large; one thread */
    struct flo_alert_rule rule;
    struct flo_watch_rule *found = flo_watch_rule_find(controller, name);

    FLO_TRY(flo_alert_rule_parse(name, json, &rule, err));
    if (rule.where[0] != '\0') {
        FLO_TRY(flo_selector_parse(rule.where, known_or_null, &selector, err));
    }
    if (found == NULL && watch->rule_count == FLO_WATCH_RULES_MAX) {
        flo_fail(err, FLO_E_REST_LIMIT, "there are %d alert rules already", FLO_WATCH_RULES_MAX);
        return flo_err_fix(err, "delete one: flotilla alert-rule delete NAME");
    }
    found = found != NULL ? found : insert_rule(watch, name);
    json_decref(found->json);
    found->json = json_incref(json);
    found->rule = rule;
    *out = found;
    return 0;
}

int flo_watch_rule_set(struct flo_controller *controller, const char *name, json_t *json,
                       struct flo_err *err)
{
    struct flo_select_known known = flo_fleet_known(controller->store);
    struct flo_watch_rule *rule;

    controller->watch->has_changed = true;
    FLO_TRY(keep_rule(controller, name, json, &known, &rule, err));
    return write_rule(controller, rule, err);
}

static int absent(const char *name, struct flo_err *err)
{
    flo_fail(err, FLO_E_ABSENT, "no alert rule is named %.64s", name);
    return flo_err_fix(err, "flotilla alert-rule list");
}

int flo_watch_rule_delete(struct flo_controller *controller, const char *name, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    struct flo_watch_rule *rule = flo_watch_rule_find(controller, name);

    if (rule == NULL) {
        return absent(name, err);
    }
    int rv = flo_fleet_watch_delete(controller->store, FLO_WATCH_RULE, name, err);
    watch->has_changed = true;
    json_decref(rule->json);
    memmove(rule, rule + 1, (size_t)(watch->rules + watch->rule_count - rule - 1) * sizeof(*rule));
    watch->rule_count--;
    return rv;
}

int flo_watch_silence(struct flo_controller *controller, const char *name, uint64_t until_ms,
                      const char *by, const char *reason, struct flo_err *err)
{
    struct flo_watch_rule *rule = flo_watch_rule_find(controller, name);

    if (rule == NULL) {
        return absent(name, err);
    }
    rule->silenced_until_ms = until_ms;
    snprintf(rule->silenced_by, sizeof(rule->silenced_by), "%s", until_ms > 0 ? by : "");
    snprintf(rule->silence_reason, sizeof(rule->silence_reason), "%s", until_ms > 0 ? reason : "");
    return write_rule(controller, rule, err);
}

json_t *flo_watch_view_rule(const struct flo_watch_rule *rule)
{
    json_t *json = json_copy(rule->json);
    bool is_silenced = rule->silenced_until_ms > flo_wall_ms();

    json_object_set_new(json, "name", json_string(rule->rule.name));
    json_object_set_new(json, "silenced_until_ms",
                        json_integer(is_silenced ? (json_int_t)rule->silenced_until_ms : 0));
    json_object_set_new(json, "silenced_by", json_string(is_silenced ? rule->silenced_by : ""));
    json_object_set_new(json, "silence_reason",
                        json_string(is_silenced ? rule->silence_reason : ""));
    return json;
}

static int load_rule(void *context, const char *id, const char *body)
{
    struct flo_controller *controller = context;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    struct flo_watch_rule *rule;
    struct flo_err err = {0};
    int rv = flo_json_parse(body, strlen(body), BODY_BYTES_MAX, &json, &err);

    if (rv == 0) {
        rv = keep_rule(controller, id, json_object_get(json, "rule"), NULL, &rule, &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "alert", &err);
        return 0; /* the others count */
    }
    rule->silenced_until_ms = flo_json_number(json, "until_ms");
    flo_json_copy_text(json, "by", rule->silenced_by, sizeof(rule->silenced_by));
    flo_json_copy_text(json, "reason", rule->silence_reason, sizeof(rule->silence_reason));
    return 0;
}

/* ---- alerts ---- */

static json_t *document_of(const struct flo_watch_alert *alert)
{
    const struct flo_alert *core = &alert->core;

    return json_pack(
        "{s:I,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:f,s:b,s:s,s:s,s:I,s:I}", "id", (json_int_t)alert->id,
        "rule", alert->rule, "series", alert->series, "state", flo_alert_state_word(core->state),
        "since_ms", (json_int_t)core->since_ms, "fired_ms", (json_int_t)core->fired_ms, "told_ms",
        (json_int_t)core->told_ms, "resolved_ms",
        (json_int_t)(core->state == FLO_ALERT_RESOLVED ? core->ended_ms : 0), "value", alert->value,
        "acked", (int)core->is_acked, "acked_by", alert->acked_by, "ack_reason", alert->ack_reason,
        "fires", (json_int_t)core->fires, "held", (json_int_t)core->held);
}

int flo_watch_write_alert(struct flo_controller *controller, const struct flo_watch_alert *alert,
                          struct flo_err *err)
{
    char id[24];

    snprintf(id, sizeof(id), "%llu", (unsigned long long)alert->id);
    json_t *document = document_of(alert);
    json_object_set_new(document, "news_first", json_integer((json_int_t)alert->news_first));
    json_object_set_new(document, "news_last", json_integer((json_int_t)alert->news_last));
    json_object_set_new(document, "page", json_boolean(alert->is_page));
    return put(controller, FLO_WATCH_ALERT, id, document, err);
}

static int load_alert(void *context, const char *id, const char *body)
{
    struct flo_controller *controller = context;
    struct flo_watches *watch = controller->watch;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const char *word;

    (void)id;
    if (watch->alert_count == FLO_WATCH_ALERTS_MAX ||
        flo_json_parse(body, strlen(body), BODY_BYTES_MAX, &json, NULL) < 0) {
        return 0;
    }
    struct flo_watch_alert *alert = &watch->alerts[watch->alert_count];
    memset(alert, 0, sizeof(*alert));
    word = json_string_value(json_object_get(json, "state"));
    if (word == NULL || !flo_alert_state_parse(word, &alert->core.state)) {
        return 0;
    }
    watch->alert_count++;
    alert->id = flo_json_number(json, "id");
    alert->core.since_ms = flo_json_number(json, "since_ms");
    alert->core.fired_ms = flo_json_number(json, "fired_ms");
    alert->core.told_ms = flo_json_number(json, "told_ms");
    alert->core.is_acked = json_is_true(json_object_get(json, "acked"));
    alert->core.ended_ms = flo_json_number(json, "resolved_ms");
    alert->core.fires = (uint32_t)flo_json_number(json, "fires");
    alert->core.held = (uint32_t)flo_json_number(json, "held");
    alert->is_page = json_is_true(json_object_get(json, "page"));
    alert->news_first = flo_json_number(json, "news_first");
    alert->news_last = flo_json_number(json, "news_last");
    alert->value = json_number_value(json_object_get(json, "value"));
    flo_json_copy_text(json, "rule", alert->rule, sizeof(alert->rule));
    flo_json_copy_text(json, "series", alert->series, sizeof(alert->series));
    flo_json_copy_text(json, "acked_by", alert->acked_by, sizeof(alert->acked_by));
    flo_json_copy_text(json, "ack_reason", alert->ack_reason, sizeof(alert->ack_reason));
    return 0;
}

int flo_watch_ack(struct flo_controller *controller, uint64_t id, const char *by,
                  const char *reason, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;

    for (size_t i = 0; i < watch->alert_count; i++) {
        struct flo_watch_alert *alert = &watch->alerts[i];
        if (alert->id != id || id == 0) {
            continue;
        }
        if (alert->core.state == FLO_ALERT_RESOLVED) {
            return flo_fail(err, FLO_E_STATE, "alert %llu is over", (unsigned long long)id);
        }
        alert->core.is_acked = true;
        snprintf(alert->acked_by, sizeof(alert->acked_by), "%s", by);
        snprintf(alert->ack_reason, sizeof(alert->ack_reason), "%s", reason);
        return flo_watch_write_alert(controller, alert, err);
    }
    flo_fail(err, FLO_E_ABSENT, "no alert has the number %llu", (unsigned long long)id);
    return flo_err_fix(err, "flotilla alert list --all");
}

const struct flo_watch_alert *flo_watch_alert_at(const struct flo_controller *controller,
                                                 size_t place)
{
    const struct flo_watches *watch = controller->watch;
    const struct flo_watch_alert *found = NULL;
    uint64_t below = UINT64_MAX;

    for (size_t n = 0; n <= place; n++) {
        found = NULL;
        for (size_t i = 0; i < watch->alert_count; i++) {
            const struct flo_watch_alert *alert = &watch->alerts[i];
            if (alert->id != 0 && alert->id < below && (found == NULL || alert->id > found->id)) {
                found = alert;
            }
        }
        if (found == NULL) {
            return NULL;
        }
        below = found->id;
    }
    return found;
}

/* Returns whether a rule is a default one.  Rules of people have no section in
 * the runbook. */
static bool is_shipped(const char *rule)
{
    const char *name;

    for (size_t i = 0; flo_alert_default(i, &name) != NULL; i++) {
        if (strcmp(name, rule) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds the reason text of the rollout that the alert is about. */
static void add_says(const struct flo_controller *controller, const struct flo_watch_alert *alert,
                     json_t *json)
{
    for (size_t i = 0; i < flo_rollouts_count(controller->rollouts); i++) {
        const struct flo_rollout_entry *entry = flo_rollouts_at(controller->rollouts, i);
        if (strcmp(entry->core.id, alert->series) == 0) {
            struct flo_buf FLO_CLEANUP(flo_buf_deinit) found = {0};
            flo_rollouts_found_text(entry, &found);
            const char *text = found.failed || found.bytes == 0 ? entry->core.reason : found.data;
            json_object_set_new(json, "says",
                                flo_rollouts_named(controller, &entry->core, text, strlen(text)));
        }
    }
}

json_t *flo_watch_view_alert(const struct flo_controller *controller,
                             const struct flo_watch_alert *alert)
{
    const struct flo_watches *watch = controller->watch;
    const struct flo_watch_rule *rule = NULL;
    json_t *json = document_of(alert);

    for (size_t i = 0; i < watch->rule_count; i++) {
        rule = strcmp(watch->rules[i].rule.name, alert->rule) == 0 ? &watch->rules[i] : rule;
    }
    json_object_del(json, "told_ms");
    json_object_set_new(json, "severity",
                        json_string(rule != NULL && rule->rule.is_page ? "page" : "ticket"));
    json_object_set_new(json, "text", json_string(rule != NULL ? rule->rule.text : ""));
    json_object_set_new(json, "limit", json_real(rule != NULL ? rule->rule.limit : 0));
    json_object_set_new(json, "silenced",
                        json_boolean(rule != NULL && rule->silenced_until_ms > flo_wall_ms()));
    add_says(controller, alert, json);
    json_object_set_new(json, "runbook",
                        is_shipped(alert->rule) ? json_sprintf("docs/alerts.md#%s", alert->rule)
                                                : json_string(""));
    return json;
}

/* ---- all of it ---- */

static int load_webhook(void *context, const char *id, const char *body)
{
    struct flo_controller *controller = context;
    struct flo_watches *watch = controller->watch;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (watch->webhook_count == FLO_WATCH_WEBHOOKS_MAX ||
        flo_json_parse(body, strlen(body), BODY_BYTES_MAX, &json, NULL) < 0) {
        return 0;
    }
    struct flo_watch_webhook *hook = &watch->webhooks[watch->webhook_count++];
    snprintf(hook->id, sizeof(hook->id), "%s", id);
    flo_json_copy_text(json, "url", hook->url, sizeof(hook->url));
    flo_json_copy_text(json, "secret", hook->secret, sizeof(hook->secret));
    hook->is_page_only = json_is_true(json_object_get(json, "page_only"));
    hook->created_ms = flo_json_number(json, "created_ms");
    return 0;
}

static int write_webhook(struct flo_controller *controller, const struct flo_watch_webhook *hook,
                         struct flo_err *err)
{
    return put(controller, FLO_WATCH_WEBHOOK, hook->id,
               json_pack("{s:s,s:s,s:b,s:I}", "url", hook->url, "secret", hook->secret, "page_only",
                         (int)hook->is_page_only, "created_ms", (json_int_t)hook->created_ms),
               err);
}

/* Adds new default rules to the store, each once: a deleted one does not come
 * back.  The setting holds the number of rules added so far. */
static int ship_rules(struct flo_controller *controller, struct flo_err *err)
{
    const char *name;
    const char *text;
    char shipped[8];
    int rv = flo_fleet_setting_get(controller->store, "alert_rules", shipped, sizeof(shipped), err);
    size_t i = strcmp(shipped, "1") == 0 ? FIRST_SHIPPED : strtoul(shipped, NULL, 10);

    FLO_TRY(rv);
    if (flo_alert_default(i, &name) == NULL) {
        return rv;
    }
    for (; rv == 0 && (text = flo_alert_default(i, &name)) != NULL; i++) {
        if (flo_watch_rule_find(controller, name) != NULL) {
            continue; /* The default rule is not written over one that a person edited. */
        }
        FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
        rv = flo_json_parse(text, strlen(text), BODY_BYTES_MAX, &json, err);
        if (rv == 0) {
            rv = flo_watch_rule_set(controller, name, json, err);
        }
    }
    snprintf(shipped, sizeof(shipped), "%zu", i);
    FLO_TRY(rv);
    return flo_fleet_setting_set(controller->store, "alert_rules", shipped, err);
}

static void forget(struct flo_watches *watch)
{
    for (size_t i = 0; i < watch->rule_count; i++) {
        json_decref(watch->rules[i].json);
    }
    watch->rule_count = 0;
    watch->alert_count = 0;
    watch->webhook_count = 0;
}

static int load(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    struct flo_fleet_store *store = controller->store;

    if (watch == NULL) {
        watch = calloc(1, sizeof(*watch));
        if (watch == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "what is watched");
        }
        controller->watch = watch;
        watch->rules = calloc(FLO_WATCH_RULES_MAX, sizeof(*watch->rules));
        watch->alerts = calloc(FLO_WATCH_ALERTS_MAX, sizeof(*watch->alerts));
        if (watch->rules == NULL || watch->alerts == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "what is watched");
        }
    }
    forget(watch);
    FLO_TRY(flo_fleet_watch_each(store, FLO_WATCH_RULE, load_rule, controller, err));
    FLO_TRY(flo_fleet_watch_each(store, FLO_WATCH_ALERT, load_alert, controller, err));
    FLO_TRY(flo_fleet_watch_each(store, FLO_WATCH_WEBHOOK, load_webhook, controller, err));
    watch->has_changed = false;
    return 0;
}

int flo_watches_open(struct flo_controller *controller, struct flo_err *err)
{
    FLO_TRY(load(controller, err));
    int rv = ship_rules(controller, err);
    controller->watch->has_changed = false;
    return rv;
}

static void begin(struct flo_controller *controller)
{
    controller->watch->has_changed = false;
}

static void settle(struct flo_controller *controller, bool is_committed)
{
    struct flo_watches *watch = controller->watch;

    watch->is_stale = watch->is_stale || (!is_committed && watch->has_changed);
}

static int read_again(struct flo_controller *controller, struct flo_err *err)
{
    int rv = controller->watch->is_stale ? load(controller, err) : 0;

    controller->watch->is_stale = rv < 0;
    return rv;
}

const struct flo_transaction_part flo_watch_part = {
    .begin = begin, .settle = settle, .read_again = read_again};

void flo_watch_use_command(struct flo_watches *watch, bool has_command)
{
    watch->has_command = has_command;
}

bool flo_watch_has_command(const struct flo_watches *watch)
{
    return watch->has_command;
}

void flo_watches_close(struct flo_watches *watch)
{
    if (watch != NULL) {
        forget(watch);
        free(watch->rules);
        free(watch->alerts);
        free(watch);
    }
}

/* ---- webhooks ---- */

const struct flo_watch_webhook *flo_watch_webhook_at(const struct flo_watches *watch, size_t place)
{
    return place < watch->webhook_count ? &watch->webhooks[place] : NULL;
}

const struct flo_watch_webhook *flo_watch_webhook_find(const struct flo_controller *controller,
                                                       const char *id)
{
    const struct flo_watches *watch = controller->watch;

    for (size_t i = 0; i < watch->webhook_count; i++) {
        if (strcmp(watch->webhooks[i].id, id) == 0) {
            return &watch->webhooks[i];
        }
    }
    return NULL;
}

static int check_url(const char *url, struct flo_err *err)
{
    size_t host = strncmp(url, "https://", 8) == 0 ? strcspn(url + 8, "/?#") : 0;
    bool has_name = host > 0 && memchr(url + 8, '@', host) != NULL;

    if (host > 0 && !has_name && strlen(url) <= 512 && strpbrk(url, " \"\\<>\r\n\t") == NULL) {
        return 0;
    }
    flo_fail(err, FLO_E_REST_MEANING,
             "url: a webhook is https://HOST/PATH, without a name or password");
    return flo_err_at(err, "/url");
}

int flo_watch_webhook_add(struct flo_controller *controller, const char *url, bool is_page_only,
                          struct flo_watch_webhook *out, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    struct flo_watch_webhook hook = {.is_page_only = is_page_only, .created_ms = flo_wall_ms()};
    uint8_t bytes[32 + 6];
    char hex[2 * sizeof(bytes) + 1];

    FLO_TRY(check_url(url, err));
    if (watch->webhook_count == FLO_WATCH_WEBHOOKS_MAX) {
        flo_fail(err, FLO_E_REST_LIMIT, "there are %d webhooks already", FLO_WATCH_WEBHOOKS_MAX);
        return flo_err_fix(err, "delete one: flotilla webhook delete ID");
    }
    flo_random(bytes, sizeof(bytes));
    flo_hex_encode(bytes, sizeof(bytes), hex);
    snprintf(hook.secret, sizeof(hook.secret), "%.64s", hex);
    snprintf(hook.id, sizeof(hook.id), "w%.12s", hex + 64);
    snprintf(hook.url, sizeof(hook.url), "%s", url);
    FLO_TRY(write_webhook(controller, &hook, err));
    watch->webhooks[watch->webhook_count++] = hook;
    *out = hook;
    return 0;
}

int flo_watch_webhook_delete(struct flo_controller *controller, const char *id, struct flo_err *err)
{
    struct flo_watches *watch = controller->watch;
    const struct flo_watch_webhook *hook = flo_watch_webhook_find(controller, id);

    if (hook == NULL) {
        flo_fail(err, FLO_E_ABSENT, "no webhook has the id %.64s", id);
        return flo_err_fix(err, "flotilla webhook list");
    }
    int rv = flo_fleet_watch_delete(controller->store, FLO_WATCH_WEBHOOK, id, err);
    if (rv == 0) {
        rv = flo_fleet_delivery_prune(controller->store, 0, id, err);
    }
    watch->has_changed = true;
    watch->webhooks[hook - watch->webhooks] = watch->webhooks[--watch->webhook_count];
    return rv;
}

/* ---- news ---- */

static int deliver(struct flo_controller *controller, struct flo_watch_alert *alert,
                   const char *target, json_t *body, uint64_t now_ms, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char id[32];
    struct flo_fleet_delivery delivery = {.target = target,
                                          .state = FLO_DELIVERY_WAITING,
                                          .error = "",
                                          .next_at_ms = now_ms,
                                          .at_ms = now_ms};

    FLO_TRY(flo_fleet_next(controller->store, "delivery", &delivery.number, err));
    alert->news_first = alert->news_first == 0 ? delivery.number : alert->news_first;
    alert->news_last = delivery.number;
    snprintf(id, sizeof(id), "d-%llu", (unsigned long long)delivery.number);
    json_object_set_new(body, "id", json_string(id));
    flo_json_dump(body, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "news of an alert");
    }
    delivery.body = text.data;
    return flo_fleet_delivery_add(controller->store, &delivery, err);
}

json_t *flo_watch_news(const struct flo_controller *controller, const struct flo_watch_alert *alert,
                       enum flo_alert_news news, uint64_t now_ms)
{
    json_t *body = flo_watch_view_alert(controller, alert);

    json_object_set_new(body, "alert", json_integer((json_int_t)alert->id));
    json_object_set_new(body, "news", json_string(flo_alert_news_word(news)));
    json_object_set_new(body, "fleet", json_string(controller->fleet));
    json_object_set_new(body, "at_ms", json_integer((json_int_t)now_ms));
    json_object_set_new(body, "v", json_integer(1));
    return body;
}

int flo_watch_tell(struct flo_controller *controller, struct flo_watch_alert *alert,
                   enum flo_alert_news news, bool is_page, uint64_t now_ms, struct flo_err *err)
{
    const struct flo_watches *watch = controller->watch;
    uint64_t passed = 0;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = flo_watch_news(controller, alert, news, now_ms);

    /* A receiver that was down hears the newest message about an alert alone, never an
     * older one after it. */
    FLO_TRY(flo_fleet_delivery_pass(controller->store, alert->news_first, alert->news_last, &passed,
                                    err));
    alert->is_page = (is_page && news != FLO_ALERT_NEWS_RESOLVED) ||
                     (alert->is_page && (news != FLO_ALERT_NEWS_FIRING || passed > 0));
    alert->news_first = alert->news_last = 0;
    for (size_t i = 0; i < watch->webhook_count; i++) {
        if (alert->is_page || !watch->webhooks[i].is_page_only) {
            FLO_TRY(deliver(controller, alert, watch->webhooks[i].id, body, now_ms, err));
        }
    }
    if (watch->has_command) {
        FLO_TRY(deliver(controller, alert, FLO_WATCH_COMMAND, body, now_ms, err));
    }
    return 0;
}

/* ---- attempts to deliver ---- */

#define GONE 410 /* status of a receiver that wants no further attempt */

struct flo_fleet_delivery flo_watch_tried(struct flo_controller *controller,
                                          const struct flo_watch_attempt *attempt, uint64_t now_ms)
{
    struct flo_watches *watch = controller->watch;
    const struct flo_watch_webhook *hook = flo_watch_webhook_find(controller, attempt->target);
    bool is_taken = attempt->error[0] == '\0';
    uint64_t failed = attempt->failed + (is_taken ? 0 : 1);
    uint64_t wait_ms = flo_alert_pause_ms(failed, attempt->asked_ms);
    bool is_dead = wait_ms == 0 || attempt->status == GONE;

    if (!is_taken && attempt->asked_ms > 0 && hook != NULL) {
        watch->webhooks[hook - watch->webhooks].rests_until_ms = now_ms + wait_ms;
    }
    return (struct flo_fleet_delivery){.number = attempt->number,
                                       .target = attempt->target,
                                       .state = is_taken  ? FLO_DELIVERY_SENT
                                                : is_dead ? FLO_DELIVERY_DEAD
                                                          : FLO_DELIVERY_WAITING,
                                       .error = attempt->error,
                                       .failed = failed,
                                       .next_at_ms = now_ms + wait_ms};
}

bool flo_watch_rests(const struct flo_controller *controller, const char *target, uint64_t now_ms)
{
    const struct flo_watch_webhook *hook = flo_watch_webhook_find(controller, target);

    return hook != NULL && now_ms < hook->rests_until_ms;
}
