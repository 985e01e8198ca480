/* Alert: parses rules, and compares the labels of samples with them. */
#include <math.h>
#include <string.h>

#include "server-stub/core/alert/alert.h"

#define DAY_MS UINT64_C(86400000)
#define KEEP_MS 300000
#define WINDOW_MS 900000

static const struct {
    const char *name;
    const char *json;
} defaults[] = {
#define FLO_ALERT_DEFAULT(name, ...) {name, #__VA_ARGS__},
#include "server-stub/core/alert/defaults.def"
#undef FLO_ALERT_DEFAULT
};

const char *flo_alert_default(size_t place, const char **name)
{
    if (place >= FLO_COUNT(defaults)) {
        return NULL;
    }
    *name = defaults[place].name;
    return defaults[place].json;
}

/* ---- reading ---- */

enum { METRIC_BYTES_MAX = 80 * 4 /* bytes of 80 characters */ };

static int take_metric(const json_t *json, const char *key, enum flo_exposed *out, bool *found,
                       struct flo_err *err)
{
    const char *word = NULL;
    int rv = flo_json_opt_text(json, key, METRIC_BYTES_MAX, "", &word, err);

    *found = rv == 0 && word[0] != '\0';
    FLO_TRY(rv);
    if (!*found) {
        return rv;
    }
    if (!flo_exposed_parse(word, out)) {
        flo_fail(err, FLO_E_REST_MEANING, "%s: no metric is named %.80s", key, word);
        flo_err_at(err, "/%s", key);
        return flo_err_fix(err, "docs/reference/prometheus.md lists them");
    }
    if (flo_exposed_fact(*out)->type == FLO_EXPOSED_TYPE_SUMMARY) {
        flo_fail(err, FLO_E_REST_MEANING, "%s: %s is a summary", key, word);
        flo_err_at(err, "/%s", key);
        return flo_err_fix(err, "for times of requests: a selector, as "
                                "\"where\": \"ttft_p95>800\"");
    }
    return 0;
}

static bool has_label(enum flo_exposed metric, const char *name)
{
    const char *at = flo_exposed_fact(metric)->labels;
    size_t bytes = strlen(name);

    for (; *at != '\0'; at += strspn(at, " ")) {
        size_t word = strcspn(at, " ");
        if (word == bytes && strncmp(at, name, bytes) == 0) {
            return true;
        }
        at += word;
    }
    return false;
}

static int no_label(const struct flo_alert_rule *rule, const char *key, const char *name,
                    struct flo_err *err)
{
    const struct flo_exposed_fact *fact = flo_exposed_fact(rule->metric);

    flo_fail(err, FLO_E_REST_MEANING, "%s: %s has no label %.40s", key, fact->word, name);
    flo_err_at(err, "/%s", key);
    return flo_err_fix(err, "its labels: %s", fact->labels[0] != '\0' ? fact->labels : "none");
}

static int take_labels(const json_t *json, struct flo_alert_rule *out, struct flo_err *err)
{
    json_t *match = NULL;
    const char *key;
    json_t *value;

    FLO_TRY(flo_json_opt_object(json, "match", &match, err));
    json_object_foreach(match, key, value)
    {
        const char *text = json_string_value(value);
        if (text == NULL || strlen(text) >= sizeof(out->labels[0].value) ||
            strlen(key) >= sizeof(out->labels[0].name) ||
            out->label_count == FLO_ALERT_LABELS_MAX) {
            flo_fail(err, FLO_E_REST_MEANING, "match: at most %d labels with a text each",
                     FLO_ALERT_LABELS_MAX);
            return flo_err_at(err, "/match");
        }
        if (!has_label(out->metric, key)) {
            return no_label(out, "match", key, err);
        }
        snprintf(out->labels[out->label_count].name, sizeof(out->labels[0].name), "%s", key);
        snprintf(out->labels[out->label_count].value, sizeof(out->labels[0].value), "%s", text);
        out->label_count++;
    }
    return 0;
}

static int take_source(const json_t *json, struct flo_alert_rule *out, struct flo_err *err)
{
    const char *where = NULL;
    const char *unit = NULL;
    const char *by = NULL;
    bool has_metric = false;

    FLO_TRY(flo_json_opt_text(json, "where", FLO_SELECTOR_TEXT_MAX, "", &where, err));
    FLO_TRY(flo_json_opt_text(json, "unit", 16, "devices", &unit, err));
    FLO_TRY(flo_json_opt_text(json, "by", sizeof(out->by) - 1, "", &by, err));
    FLO_TRY(take_metric(json, "metric", &out->metric, &has_metric, err));
    FLO_TRY(take_metric(json, "per", &out->per, &out->has_per, err));
    if (has_metric == (where[0] != '\0')) {
        flo_fail(err, FLO_E_REST_MEANING, "a rule has either `metric` or `where`");
        return flo_err_at(err, "/metric");
    }
    snprintf(out->where, sizeof(out->where), "%s", where);
    snprintf(out->by, sizeof(out->by), "%s", by);
    out->is_percent = strcmp(unit, "percent") == 0;
    if (!has_metric) {
        return 0;
    }
    if (by[0] != '\0' && !has_label(out->metric, by)) {
        return no_label(out, "by", by, err);
    }
    return take_labels(json, out, err);
}

static int take_limit(const json_t *json, struct flo_alert_rule *out, struct flo_err *err)
{
    double above;
    double below;
    double inf = (double)INFINITY;

    FLO_TRY(flo_json_opt_real(json, "above", -1e15, 1e15, inf, &above, err));
    FLO_TRY(flo_json_opt_real(json, "below", -1e15, 1e15, inf, &below, err));
    if (isinf(above) == isinf(below)) {
        flo_fail(err, FLO_E_REST_MEANING, "a rule has either `above` or `below`");
        return flo_err_at(err, "/above");
    }
    out->is_below = isinf(above);
    out->limit = out->is_below ? below : above;
    FLO_TRY(flo_json_opt_real(json, "clear", -1e15, 1e15, out->limit, &out->clear, err));
    if (out->is_below ? out->clear < out->limit : out->clear > out->limit) {
        flo_fail(err, FLO_E_REST_MEANING, "clear: %g lies on the bad side of %g", out->clear,
                 out->limit);
        return flo_err_at(err, "/clear");
    }
    return 0;
}

int flo_alert_rule_parse(const char *name, const json_t *json, struct flo_alert_rule *out,
                         struct flo_err *err)
{
    struct flo_alert_rule rule = {0};
    const char *severity = NULL;
    const char *text = NULL;

    FLO_TRY(take_source(json, &rule, err));
    FLO_TRY(take_limit(json, &rule, err));
    FLO_TRY(flo_json_opt_real(json, "per_least", 0, 1e15, 1, &rule.per_least, err));
    FLO_TRY(flo_json_opt_u64(json, "for_ms", 0, 7 * DAY_MS, 0, &rule.for_ms, err));
    FLO_TRY(flo_json_opt_u64(json, "keep_ms", 0, 7 * DAY_MS, KEEP_MS, &rule.keep_ms, err));
    FLO_TRY(flo_json_opt_u64(json, "repeat_ms", 0, 30 * DAY_MS, DAY_MS, &rule.repeat_ms, err));
    FLO_TRY(
        flo_json_opt_u64(json, "window_ms", 10000, 7 * DAY_MS, WINDOW_MS, &rule.window_ms, err));
    FLO_TRY(flo_json_opt_text(json, "severity", 16, "ticket", &severity, err));
    FLO_TRY(flo_json_opt_text(json, "text", FLO_ALERT_TEXT_MAX, "", &text, err));
    rule.is_page = strcmp(severity, "page") == 0;
    snprintf(rule.name, sizeof(rule.name), "%s", name);
    snprintf(rule.text, sizeof(rule.text), "%s", text);
    *out = rule;
    return 0;
}

/* ---- samples ---- */

/* Finds the value behind `name="` in a text of labels; NULL: no such label. */
static const char *value_of(const char *labels, const char *name)
{
    size_t bytes = strlen(name);

    while (*labels != '\0') {
        size_t key = strcspn(labels, "=");
        if (labels[key] != '=' || labels[key + 1] != '"') {
            return NULL; /* no such label */
        }
        if (key == bytes && strncmp(labels, name, bytes) == 0) {
            return labels + key + 2;
        }
        for (labels += key + 2; *labels != '"' && *labels != '\0'; labels++) {
            labels += *labels == '\\' && labels[1] != '\0' ? 1 : 0;
        }
        labels += *labels == '"' ? 1 : 0;
        labels += *labels == ',' ? 1 : 0;
    }
    return NULL;
}

bool flo_alert_rule_takes(const struct flo_alert_rule *rule, const char *labels, char *by)
{
    by[0] = '\0';
    for (size_t i = 0; i < rule->label_count; i++) {
        const char *value = value_of(labels, rule->labels[i].name);
        size_t bytes = strlen(rule->labels[i].value);
        if (value == NULL || strncmp(value, rule->labels[i].value, bytes) != 0 ||
            value[bytes] != '"') {
            return false;
        }
    }
    if (rule->by[0] != '\0') {
        const char *value = value_of(labels, rule->by);
        snprintf(by, FLO_ALERT_SERIES, "%.*s", value != NULL ? (int)strcspn(value, "\"") : 0,
                 value != NULL ? value : "");
    }
    return true;
}
