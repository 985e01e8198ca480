/* Commands about alerts, their rules, and webhooks. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/plural.h>

#include "server-stub/cli/cli.h"

int flo_cmd_alert_list(struct flo_cli *cli, struct flo_err *err)
{
    static const struct flo_column columns[] = {
        {"ID", "id", CELL_TEXT, false},
        {"SEVERITY", "severity", CELL_TEXT, false},
        {"STATE", "state", CELL_TEXT, false},
        {"RULE", "rule", CELL_TEXT, false},
        {"SERIES", "series", CELL_TEXT, false},
        {"VALUE", "value", CELL_TEXT, false},
        {"SINCE", "fired_ms", CELL_AGO, false},
        {"WHO", "acked_by", CELL_TEXT, false},
        {"SAYS", "says", CELL_BRIEF, false},
        {"MEANING", "text", CELL_TEXT, true},
        {"RUNBOOK", "runbook", CELL_TEXT, false}};
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_api_list(
        cli,
        flo_args_has(&cli->args, "all") ? "/v1/alerts?all=true" : "/v1/alerts",
        &items, err);

    if (rv == 0) {
        flo_out_table(cli, items, columns, FLO_COUNT(columns));
    }
    return rv;
}

static int need_reason(const struct flo_cli *cli, const char **out,
                       struct flo_err *err)
{
    *out = flo_args_text(&cli->args, "reason", "");
    return (*out)[0] != '\0'
               ? 0
               : flo_fail(err, FLO_E_USAGE, "--reason says why, for others");
}

int flo_cmd_alert_ack(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    json_t *alert = NULL;
    const char *reason;
    char path[96];
    char *end;
    uint64_t id = strtoull(cli->args.words[0], &end, 10);
    int rv = need_reason(cli, &reason, err);

    if (rv == 0 && (*end != '\0' || id == 0)) {
        rv = flo_fail(err, FLO_E_USAGE, "`%.40s` is no number of an alert",
                      cli->args.words[0]);
    }
    if (rv < 0) {
        return rv;
    }
    snprintf(path, sizeof(path), "/v1/alerts/%llu/ack", (unsigned long long)id);
    body = json_pack("{s:s}", "reason", reason);
    rv = flo_api_call(cli, "POST", path, body, &alert, err);
    if (rv == 0) {
        flo_out_done(cli, alert, "alert %llu is yours: no reminders\n",
                     (unsigned long long)id);
    }
    return rv;
}

static int rule_path(const struct flo_cli *cli, const char *end, char *out,
                     size_t bytes, struct flo_err *err)
{
    const char *name = cli->args.words[0];

    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is no name of an alert rule",
                        name);
    }
    snprintf(out, bytes, "/v1/alert-rules/%s%s", name, end);
    return 0;
}

int flo_cmd_alert_silence(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    json_t *rule = NULL;
    bool ends = flo_args_has(&cli->args, "end");
    const char *reason = "";
    uint64_t for_ms = 0;
    char path[160];
    int rv = need_reason(cli, &reason, err);

    if (rv == 0 && !ends) {
        rv = flo_args_ms(&cli->args, "for", 7200000, &for_ms, err);
    }
    rv = rv < 0 ? rv : rule_path(cli, "/silence", path, sizeof(path), err);
    if (rv < 0) {
        return rv;
    }
    body = json_pack("{s:I,s:s}", "silence_ms", (json_int_t)for_ms, "reason",
                     reason);
    rv = flo_api_call(cli, "POST", path, body, &rule, err);
    if (rv == 0) {
        flo_out_done(cli, rule, ends ? "%s tells again\n" : "%s is silenced\n",
                     cli->args.words[0]);
    }
    return rv;
}

/* ---- rules ---- */

int flo_cmd_alert_rule_list(struct flo_cli *cli, struct flo_err *err)
{
    static const struct flo_column columns[] = {
        {"NAME", "name", CELL_TEXT, false},
        {"SEVERITY", "severity", CELL_TEXT, false},
        {"WHERE", "where", CELL_TEXT, false},
        {"METRIC", "metric", CELL_TEXT, false},
        {"ABOVE", "above", CELL_TEXT, false},
        {"BELOW", "below", CELL_TEXT, false},
        {"FOR", "for_ms", CELL_MS, false},
        {"SILENCED BY", "silenced_by", CELL_TEXT, false},
        {"WHY", "silence_reason", CELL_TEXT, false}};
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_api_list(cli, "/v1/alert-rules", &items, err);

    if (rv == 0) {
        flo_out_table(cli, items, columns, FLO_COUNT(columns));
    }
    return rv;
}

static int set_number(const struct flo_cli *cli, const char *flag, json_t *body,
                      struct flo_err *err)
{
    const char *text = flo_args_text(&cli->args, flag, NULL);
    char *end;

    if (text == NULL) {
        return 0;
    }
    double value = strtod(text, &end);
    size_t bytes = (size_t)(end - text);
    if (bytes == 0 || (strcmp(end, "") != 0 && strcmp(end, "%") != 0) ||
        !(value >= -1e300 && value <= 1e300)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--%s %.40s: a number, or a share as 5%%", flag, text);
    }
    if (strcmp(end, "%") == 0) {
        json_object_set_new(body, "unit", json_string("percent"));
    }
    json_object_set_new(body, flag, json_real(value));
    return 0;
}

static int set_ms(const struct flo_cli *cli, const char *flag, const char *key,
                  json_t *body, struct flo_err *err)
{
    uint64_t ms = 0;
    int rv = 0;

    if (flo_args_has(&cli->args, flag)) {
        rv = flo_args_ms(&cli->args, flag, 0, &ms, err);
        json_object_set_new(body, key, json_integer((json_int_t)ms));
    }
    return rv;
}

static int set_match(const struct flo_cli *cli, json_t *body,
                     struct flo_err *err)
{
    const char *text;
    json_t *match = json_object();

    for (size_t i = 0; flo_args_each(&cli->args, "match", i, &text); i++) {
        const char *equals = strchr(text, '=');
        char name[65];
        if (equals == NULL || equals - text > 64 || equals == text) {
            json_decref(match);
            return flo_fail(err, FLO_E_USAGE, "--match %.60s: LABEL=VALUE",
                            text);
        }
        snprintf(name, sizeof(name), "%.*s", (int)(equals - text), text);
        json_object_set_new(match, name, json_string(equals + 1));
    }
    if (json_object_size(match) > 0) {
        json_object_set(body, "match", match);
    }
    json_decref(match);
    return 0;
}

int flo_cmd_alert_rule_create(struct flo_cli *cli, struct flo_err *err)
{
    static const char *const texts[] = {"where", "metric",   "by",
                                        "per",   "severity", "text"};
    static const char *const numbers[] = {"above", "below", "clear",
                                          "per-least"};
    static const char *const times[][2] = {{"for", "for_ms"},
                                           {"keep", "keep_ms"},
                                           {"repeat", "repeat_ms"},
                                           {"window", "window_ms"}};
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_object();
    json_t *rule = NULL;
    char path[160];
    int rv = rule_path(cli, "", path, sizeof(path), err);

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        const char *text = flo_args_text(&cli->args, texts[i], NULL);
        if (text != NULL) {
            json_object_set_new(body, texts[i], json_string(text));
        }
    }
    for (size_t i = 0; i < FLO_COUNT(numbers) && rv == 0; i++) {
        rv = set_number(cli, numbers[i], body, err);
    }
    for (size_t i = 0; i < FLO_COUNT(times) && rv == 0; i++) {
        rv = set_ms(cli, times[i][0], times[i][1], body, err);
    }
    rv = rv < 0 ? rv : set_match(cli, body, err);
    if (rv == 0 && json_object_get(body, "per-least") != NULL) {
        json_object_set(body, "per_least", json_object_get(body, "per-least"));
        json_object_del(body, "per-least");
    }
    rv = rv < 0 ? rv : flo_api_call(cli, "PUT", path, body, &rule, err);
    if (rv == 0) {
        flo_out_done(cli, rule, "%s is watched\n", cli->args.words[0]);
    }
    return rv;
}

int flo_cmd_alert_rule_delete(struct flo_cli *cli, struct flo_err *err)
{
    char path[160];
    const char *name = cli->args.words[0];
    int rv = rule_path(cli, "", path, sizeof(path), err);

    rv = rv < 0 ? rv : flo_api_call(cli, "DELETE", path, NULL, NULL, err);
    if (rv == 0) {
        flo_out_done(cli, json_pack("{s:s}", "name", name),
                     "%s is watched no more\n", name);
    }
    return rv;
}

/* ---- webhooks ---- */

int flo_cmd_webhook_list(struct flo_cli *cli, struct flo_err *err)
{
    static const struct flo_column columns[] = {
        {"ID", "id", CELL_TEXT, false},
        {"URL", "url", CELL_TEXT, false},
        {"PAGE ONLY", "page_only", CELL_TEXT, false},
        {"AGE", "created_at_ms", CELL_AGO, false}};
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_api_list(cli, "/v1/webhooks", &items, err);

    if (rv == 0) {
        flo_out_table(cli, items, columns, FLO_COUNT(columns));
    }
    return rv;
}

int flo_cmd_webhook_create(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s,s:b}", "url", cli->args.words[0], "page_only",
                  (int)flo_args_has(&cli->args, "page-only"));
    FLO_CLEANUP(flo_json_cleanup) json_t *hook = NULL;
    int rv = flo_api_call(cli, "POST", "/v1/webhooks", body, &hook, err);

    if (rv == 0 && flo_out_is_data(cli)) {
        flo_out_json(cli, hook);
    } else if (rv == 0) {
        printf("webhook %s\nsecret  %s (shown once: it checks "
               "Flotilla-Signature)\n",
               flo_out_text(hook, "id", "?"),
               flo_out_text(hook, "secret", "?"));
    }
    return rv;
}

static int hook_path(const struct flo_cli *cli, const char *end, char *out,
                     size_t bytes, struct flo_err *err)
{
    const char *id = cli->args.words[0];

    if (!flo_name_is_valid(id)) {
        return flo_fail(err, FLO_E_ABSENT, "no webhook `%.80s`", id);
    }
    snprintf(out, bytes, "/v1/webhooks/%s%s", id, end);
    return 0;
}

int flo_cmd_webhook_delete(struct flo_cli *cli, struct flo_err *err)
{
    char path[160];
    const char *id = cli->args.words[0];
    int rv = hook_path(cli, "", path, sizeof(path), err);

    rv = rv < 0 ? rv : flo_api_call(cli, "DELETE", path, NULL, NULL, err);
    if (rv == 0) {
        flo_out_done(cli, json_pack("{s:s}", "id", id),
                     "webhook %s is deleted\n", id);
    }
    return rv;
}

int flo_cmd_webhook_deliveries(struct flo_cli *cli, struct flo_err *err)
{
    static const struct flo_column columns[] = {
        {"ID", "id", CELL_TEXT, false},
        {"STATE", "state", CELL_TEXT, false},
        {"ALERT", "body.alert", CELL_TEXT, false},
        {"RULE", "body.rule", CELL_TEXT, false},
        {"NEWS", "body.news", CELL_TEXT, false},
        {"FAILED", "failed", CELL_TEXT, false},
        {"AGE", "at_ms", CELL_AGO, false},
        {"ERROR", "error", CELL_TEXT, false}};
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    char path[160];
    int rv = hook_path(cli, "/deliveries", path, sizeof(path), err);

    rv = rv < 0 ? rv : flo_api_some(cli, path, 50, &items, err);
    if (rv == 0) {
        flo_out_table(cli, items, columns, FLO_COUNT(columns));
    }
    return rv;
}

int flo_cmd_webhook_replay(struct flo_cli *cli, struct flo_err *err)
{
    json_t *answer = NULL;
    char path[160];
    int rv = hook_path(cli, "/replay", path, sizeof(path), err);

    rv = rv < 0 ? rv : flo_api_call(cli, "POST", path, NULL, &answer, err);
    if (rv == 0) {
        flo_out_done(cli, answer, "%llu message%s %s sent again\n",
                     (unsigned long long)flo_out_u64(answer, "count"),
                     flo_s(flo_out_u64(answer, "count")),
                     flo_plural(flo_out_u64(answer, "count"), "is", "are"));
    }
    return rv;
}
