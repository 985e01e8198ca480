/* Routes: reads the routes of agent.yaml; see rules.h. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/rows.h>

#include "agent/serve/rules/rules.h"

/* prices are read in units of 1e-6, and counted in units of 1e-12 */
#define COST_UNITS 1000000

static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "agent/routes.def"
#undef FLO_CONFIG
};

/* Returns the endpoint with this name, or NULL. */
static const struct flo_serve_endpoint *find_endpoint(const struct flo_api_rules *rules,
                                                      const char *name)
{
    uint32_t i = 0;

    while (i < rules->n_endpoints && strcmp(rules->endpoints[i].name, name) != 0) {
        i++;
    }
    return i < rules->n_endpoints ? &rules->endpoints[i] : NULL;
}

static int read_targets(const struct flo_config *config, const char *where,
                        struct flo_serve_fallback *out, struct flo_err *err)
{
    size_t count = flo_config_texts_count(config, "to");

    if (count == 0) {
        return flo_fail(err, FLO_E_CFG_KEY, "%s: missing key `to`", where);
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = flo_config_texts_get(config, "to", i);
        if (!flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "%s.to: element %zu is no name", where, i + 1);
        }
        if (flo_rows_find(name, out->to, out->n_to, sizeof(out->to[0]), 0) != NULL) {
            return flo_fail(err, FLO_E_CFG_RANGE, "%s.to: `%s` is named twice", where, name);
        }
        strcpy(out->to[out->n_to++], name);
    }
    return 0;
}

static int read_reasons(const struct flo_config *config, const char *where,
                        struct flo_serve_fallback *out, struct flo_err *err)
{
    for (size_t i = 0; i < flo_config_texts_count(config, "on"); i++) {
        const char *word = flo_config_texts_get(config, "on", i);
        enum flo_fallback_reason reason;
        if (!flo_fallback_parse(word, &reason)) {
            return flo_fail(err, FLO_E_CFG_RANGE,
                            "%s.on: `%.40s` is none of down, loading, queue, long, form, app",
                            where, word);
        }
        out->reasons |= 1u << reason;
    }
    return 0;
}

static int read_apps(const struct flo_config *config, const char *where,
                     const struct flo_api_rules *rules, struct flo_serve_fallback *out,
                     struct flo_err *err)
{
    out->has_apps = flo_config_is_set(config, "apps");
    for (size_t i = 0; i < flo_config_texts_count(config, "apps"); i++) {
        const char *name = flo_config_texts_get(config, "apps", i);
        if (FLO_FIND_TEXT(name, rules->tokens, rules->n_tokens, name) == NULL) {
            return flo_fail(err, FLO_E_CFG_RANGE, "%s.apps: `%.64s` is not in `tokens`", where,
                            name);
        }
        strcpy(out->apps[out->n_apps++], name);
    }
    return 0;
}

static int read_never(const struct flo_config *config, const char *where,
                      struct flo_serve_fallback *out, struct flo_err *err)
{
    for (size_t i = 0; i < flo_config_texts_count(config, "never"); i++) {
        const char *word = flo_config_texts_get(config, "never", i);
        bool is_batch = strcmp(word, "batch") == 0;
        if (!is_batch && strcmp(word, "interactive") != 0) {
            return flo_fail(err, FLO_E_CFG_RANGE,
                            "%s.never: `%.40s` is neither interactive nor batch", where, word);
        }
        *(is_batch ? &out->keeps_batch : &out->keeps_interactive) = true;
    }
    return 0;
}

static int read_budget(const struct flo_config *config, const char *where,
                       struct flo_serve_fallback *out, struct flo_err *err)
{
    const char *money = flo_config_text(config, "money_per_day");
    uint64_t amount;

    if (!flo_money_parse(money, &amount) || amount > UINT64_MAX / COST_UNITS) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "%s.money_per_day: `%s` is no amount such as "
                        "\"2.50\"",
                        where, money);
    }
    out->most.tokens = flo_config_u64(config, "tokens_per_day");
    out->most.cost = amount * COST_UNITS;
    return 0;
}

static int read_route(const json_t *map, const struct flo_api_rules *rules,
                      struct flo_serve_fallback *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;
    char where[FLO_NAME_MAX + 16];

    snprintf(where, sizeof(where), "routes.%s", out->name);
    if (find_endpoint(rules, out->name) != NULL) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s: an endpoint has this name already", where);
    }
    FLO_TRY(flo_config_map(map, where, rows, FLO_COUNT(rows), &config, err));
    out->queue_ms = flo_config_u64(config, "queue");
    out->redact_ms = flo_config_u64(config, "redact_timeout");
    FLO_TRY(read_targets(config, where, out, err));
    FLO_TRY(read_reasons(config, where, out, err));
    FLO_TRY(read_apps(config, where, rules, out, err));
    FLO_TRY(read_never(config, where, out, err));
    FLO_TRY(flo_command_read(config, "redact", where, out->words, &out->n_words, err));
    return read_budget(config, where, out, err);
}

void flo_api_rules_leave(const struct flo_api_rules *rules, char *out, size_t bytes)
{
    size_t at = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < rules->n_fallbacks; i++) {
        const struct flo_serve_fallback *route = &rules->fallbacks[i];
        for (uint32_t t = 0; t < route->n_to && at < bytes; t++) {
            const struct flo_serve_endpoint *endpoint = find_endpoint(rules, route->to[t]);
            if (endpoint != NULL && endpoint->kind == FLO_TARGET_ENDPOINT) {
                at += (size_t)snprintf(out + at, bytes - at, "%s%s to %s", at == 0 ? "" : ", ",
                                       route->name, route->to[t]);
            }
        }
    }
}

int flo_route_rules_read(const json_t *routes, struct flo_api_rules *out, struct flo_err *err)
{
    size_t count = json_object_size(routes);
    const char *name;
    json_t *value;

    if (count == 0) {
        return 0;
    }
    out->fallbacks = calloc(count, sizeof(*out->fallbacks));
    if (out->fallbacks == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for routes");
    }
    json_object_foreach((json_t *)(uintptr_t)routes, name, value)
    {
        struct flo_serve_fallback *fallback = &out->fallbacks[out->n_fallbacks];
        if (!flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "routes: `%.64s` is no name", name);
        }
        strcpy(fallback->name, name);
        FLO_TRY(read_route(value, out, fallback, err));
        out->n_fallbacks++;
    }
    return 0;
}
