/* REST: alerts, their rules, and webhooks. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"
#include "server-stub/state/watch/watch.h"

int flo_rest_alerts(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_controller *controller = call->controller;
    json_t *items = json_array();
    bool has_all = flo_rest_flag(call, "all");
    const struct flo_watch_alert *alert;

    (void)err;
    for (size_t i = 0; (alert = flo_watch_alert_at(controller, i)) != NULL; i++) {
        if (has_all || alert->core.state != FLO_ALERT_RESOLVED) {
            json_array_append_new(items, flo_watch_view_alert(controller, alert));
        }
    }
    call->out = flo_rest_list(items, NULL);
    return 0;
}

int flo_rest_alert_ack(struct flo_rest_call *call, struct flo_err *err)
{
    uint64_t id = strtoull(flo_httpd_param(call->request, "id"), NULL, 10);
    const struct flo_watch_alert *alert;
    int rv =
        flo_watch_ack(call->controller, id, call->name, flo_rest_text_in(call, "reason", ""), err);

    for (size_t i = 0; rv == 0 && (alert = flo_watch_alert_at(call->controller, i)) != NULL; i++) {
        if (alert->id == id) {
            call->out = flo_watch_view_alert(call->controller, alert);
            return 0;
        }
    }
    return rv;
}

/* ---- rules ---- */

int flo_rest_alert_rules(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_watch_rule *rule;
    json_t *items = json_array();

    (void)err;
    for (size_t i = 0; (rule = flo_watch_rule_at(call->controller->watch, i)) != NULL; i++) {
        json_array_append_new(items, flo_watch_view_rule(rule));
    }
    call->out = flo_rest_list(items, NULL);
    return 0;
}

static int show_rule(struct flo_rest_call *call, const char *name, int rv)
{
    if (rv == 0) {
        call->out = flo_watch_view_rule(flo_watch_rule_find(call->controller, name));
    }
    return rv;
}

static int name_of(const struct flo_rest_call *call, const char **name, struct flo_err *err)
{
    *name = flo_httpd_param(call->request, "name");
    return flo_name_is_valid(*name)
               ? 0
               : flo_fail(err, FLO_E_ABSENT, "`%.64s` names no alert rule", *name);
}

int flo_rest_alert_rule_set(struct flo_rest_call *call, struct flo_err *err)
{
    const char *name;
    int rv = name_of(call, &name, err);

    if (rv == 0) {
        FLO_CLEANUP(flo_json_cleanup) json_t *rule = json_copy(call->in);
        json_object_del(rule, "reason"); /* the reason is kept in the audit only */
        rv = flo_watch_rule_set(call->controller, name, rule, err);
    }
    return show_rule(call, name, rv);
}

int flo_rest_alert_rule_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *name = flo_httpd_param(call->request, "name");
    int rv = flo_watch_rule_delete(call->controller, name, err);

    call->out = rv == 0 ? json_pack("{s:s}", "name", name) : NULL;
    return rv;
}

int flo_rest_alert_silence(struct flo_rest_call *call, struct flo_err *err)
{
    const char *name = flo_httpd_param(call->request, "name");
    uint64_t for_ms = flo_rest_number_in(call, "silence_ms", 0);

    return show_rule(call, name,
                     flo_watch_silence(call->controller, name,
                                       for_ms > 0 ? flo_wall_ms() + for_ms : 0, call->name,
                                       flo_rest_text_in(call, "reason", ""), err));
}

/* ---- webhooks ---- */

static json_t *view_webhook(const struct flo_watch_webhook *hook)
{
    return json_pack("{s:s,s:s,s:b,s:I}", "id", hook->id, "url", hook->url, "page_only",
                     (int)hook->is_page_only, "created_at_ms", (json_int_t)hook->created_ms);
}

int flo_rest_webhooks(struct flo_rest_call *call, struct flo_err *err)
{
    const struct flo_watch_webhook *hook;
    json_t *items = json_array();

    (void)err;
    for (size_t i = 0; (hook = flo_watch_webhook_at(call->controller->watch, i)) != NULL; i++) {
        json_array_append_new(items, view_webhook(hook));
    }
    call->out = flo_rest_list(items, NULL);
    return 0;
}

/* Gives the audit the URL's host only, because services put secrets into the
 * path. */
static void tell_host(struct flo_rest_call *call, const char *url)
{
    const char *host = strstr(url, "://");
    size_t chars = host == NULL ? 0 : (size_t)(host - url) + 3;
    json_t *told = NULL;

    chars += strcspn(url + chars, "/?#");
    told = json_pack("{s:s%}", "host", url, chars < 128 ? chars : 128);
    if (told != NULL) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
        flo_json_dump(told, &text);
        snprintf(call->told, sizeof(call->told), "%s", text.failed ? "" : text.data);
    }
    json_decref(told);
}

int flo_rest_webhook_add(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_watch_webhook hook;

    tell_host(call, flo_rest_text_in(call, "url", ""));
    FLO_TRY(flo_watch_webhook_add(call->controller, flo_rest_text_in(call, "url", ""),
                                  flo_rest_flag_in(call, "page_only", false), &hook, err));

    call->out = view_webhook(&hook);
    json_object_set_new(call->out, "secret", json_string(hook.secret));
    return 0;
}

int flo_rest_webhook_delete(struct flo_rest_call *call, struct flo_err *err)
{
    const char *id = flo_httpd_param(call->request, "id");
    int rv = flo_watch_webhook_delete(call->controller, id, err);

    call->out = rv == 0 ? json_pack("{s:s}", "id", id) : NULL;
    return rv;
}

/* Gets the target that the path names: a webhook, or the alert command. */
static int target_of(const struct flo_rest_call *call, const char **out, struct flo_err *err)
{
    *out = flo_httpd_param(call->request, "id");
    if (strcmp(*out, FLO_WATCH_COMMAND) == 0 ||
        flo_watch_webhook_find(call->controller, *out) != NULL) {
        return 0;
    }
    flo_fail(err, FLO_E_ABSENT, "no webhook has the id %.64s", *out);
    return flo_err_fix(err, "flotilla webhook list");
}

static int add_delivery(void *context, const struct flo_fleet_delivery *delivery)
{
    struct flo_rest_page *page = context;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    char id[32];

    if (!flo_rest_page_takes(page)) {
        return 0;
    }
    if (flo_json_parse(delivery->body, strlen(delivery->body), 1 << 16, &body, NULL) < 0) {
        body = json_object();
    }
    snprintf(id, sizeof(id), "d-%llu", (unsigned long long)delivery->number);
    snprintf(page->last, sizeof(page->last), "%llu", (unsigned long long)delivery->number);
    json_array_append_new(
        page->items, json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:O}", "id", id, "state", delivery->state,
                               "error", delivery->error, "failed", (json_int_t)delivery->failed,
                               "next_at_ms", (json_int_t)delivery->next_at_ms, "at_ms",
                               (json_int_t)delivery->at_ms, "body", body));
    return 0;
}

int flo_rest_deliveries(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_rest_page page = {.items = json_array(),
                                 .limit = flo_rest_number(call, "limit", 100)};
    uint64_t below = flo_rest_number(call, "cursor", INT64_MAX);
    const char *target;
    int rv = target_of(call, &target, err);

    if (rv == 0) {
        rv = flo_fleet_delivery_list(call->controller->store, target, below, page.limit + 1,
                                     add_delivery, &page, err);
    }
    flo_rest_page_end(call, &page);
    return rv;
}

int flo_rest_deliveries_replay(struct flo_rest_call *call, struct flo_err *err)
{
    uint64_t count = 0;
    const char *target;

    FLO_TRY(target_of(call, &target, err));
    FLO_TRY(flo_fleet_delivery_replay(call->controller->store, target, flo_wall_ms(), &count, err));
    call->out = json_pack("{s:I}", "count", (json_int_t)count);
    return 0;
}
