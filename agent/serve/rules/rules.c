/* Rules: reads the apps and the guards of agent.yaml; see rules.h. */
#include "agent/serve/rules/rules.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>

#include "base/host/crypto.h"

#define TOKEN_BYTES_MIN 16
#define FILE_BYTES_MAX 4096

static const struct flo_config_row app_rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "agent/apps.def"
#undef FLO_CONFIG
};

static const struct flo_config_row file_rows[] = {
    {.key = "tokens", .type = FLO_CONFIG_MAP, .max = FLO_SERVE_TOKENS_MAX},
    {.key = "guards", .type = FLO_CONFIG_MAP, .max = FLO_SERVE_GUARDS_MAX},
    {.key = "endpoints", .type = FLO_CONFIG_MAP, .max = FLO_SERVE_ENDPOINTS_MAX},
    {.key = "routes", .type = FLO_CONFIG_MAP, .max = FLO_SERVE_FALLBACKS_MAX},
    {.key = "shared_prefixes", .type = FLO_CONFIG_TEXTS, .max = FLO_SERVE_SHARED_MAX},
};

/* ---- an app ---- */

static int read_bounds(const struct flo_config *config, const char *where,
                       struct flo_serve_bounds *out, struct flo_err *err)
{
    static const char *const limits[FLO_QUOTA_KINDS] = {
        [FLO_QUOTA_REQUESTS_MINUTE] = "requests_per_minute",
        [FLO_QUOTA_REQUESTS_DAY] = "requests_per_day",
        [FLO_QUOTA_TOKENS_MINUTE] = "tokens_per_minute",
        [FLO_QUOTA_TOKENS_DAY] = "tokens_per_day",
    };
    const char *priority = flo_config_text(config, "priority");

    for (int kind = 0; kind < FLO_QUOTA_KINDS; kind++) {
        out->limits[kind] = flo_config_u64(config, limits[kind]);
    }
    out->prompt_tokens_max = (uint32_t)flo_config_u64(config, "prompt_tokens_max");
    out->answer_tokens_max = (uint32_t)flo_config_u64(config, "answer_tokens_max");
    out->is_batch = strcmp(priority, "batch") == 0;
    out->reads_assets = flo_config_bool(config, "assets");
    if (!out->is_batch && strcmp(priority, "interactive") != 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s.priority: `%s` is neither interactive nor batch",
                        where, priority);
    }
    return flo_models_read(config, where, out->models, &out->n_models, err);
}

static int read_secret(const char *path, const char *where, char **out, struct flo_err *err)
{
    size_t bytes;
    int rv = flo_secret_read(path, FILE_BYTES_MAX, out, &bytes, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "%s", where);
    }
    (*out)[strcspn(*out, "\r\n")] = '\0';
    return strlen(*out) >= TOKEN_BYTES_MIN
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE, "%s: a token has at least %d characters", where,
                          TOKEN_BYTES_MIN);
}

/* Reads an app, which is a map, or a text that names only the file of its
 * token. */
static int read_app(const json_t *value, const char *where, char **secret,
                    struct flo_serve_token *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;
    const char *path = json_string_value(value);

    if (path == NULL && !json_is_object(value)) {
        return flo_fail(err, FLO_E_CFG_TYPE, "%s: a name with a file, or with a map", where);
    }
    if (path == NULL) {
        FLO_TRY(flo_config_map(value, where, app_rows, FLO_COUNT(app_rows), &config, err));
        FLO_TRY(read_bounds(config, where, &out->bounds, err));
        path = flo_config_text(config, "file");
    }
    if (path == NULL) {
        return flo_fail(err, FLO_E_CFG_KEY, "%s: missing key `file`", where);
    }
    return read_secret(path, where, secret, err);
}

static int read_apps(const json_t *tokens, struct flo_api_rules *out, struct flo_err *err)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)tokens, name, value)
    {
        char where[FLO_NAME_MAX + 16];
        uint32_t at = out->n_tokens;
        if (!flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "tokens: `%.64s` is no name", name);
        }
        snprintf(where, sizeof(where), "tokens.%s", name);
        int rv = read_app(value, where, &out->secrets[at], &out->tokens[at], err);
        out->n_tokens++;
        FLO_TRY(rv);
        strcpy(out->tokens[at].name, name);
        out->tokens[at].secret = out->secrets[at];
    }
    return 0;
}

static int read_guards(const json_t *guards, struct flo_api_rules *out, struct flo_err *err)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)guards, name, value)
    {
        char where[FLO_NAME_MAX + 16];
        struct flo_serve_guard *guard = &out->guards[out->n_guards];
        if (!flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "guards: `%.64s` is no name", name);
        }
        snprintf(where, sizeof(where), "guards.%s", name);
        strcpy(guard->name, name);
        FLO_TRY(flo_guard_rules_read(value, where, guard, err));
        out->n_guards++;
    }
    return 0;
}

int flo_api_rules_read(const struct flo_api_rules_maps *maps, struct flo_api_rules *out,
                       struct flo_err *err)
{
    out->shared_prefixes = json_incref((json_t *)(uintptr_t)maps->shared_prefixes);
    FLO_TRY(read_apps(maps->tokens, out, err));
    FLO_TRY(read_guards(maps->guards, out, err));
    FLO_TRY(flo_endpoint_rules_read(maps, out, err));
    return flo_route_rules_read(maps->routes, out, err);
}

/* ---- a file ---- */

int flo_api_rules_load(const char *path, struct flo_api_rules *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;

    FLO_TRY(flo_config_load(path, file_rows, FLO_COUNT(file_rows), &config, err));
    const struct flo_api_rules_maps maps = {
        .tokens = flo_config_tree(config, "tokens"),
        .guards = flo_config_tree(config, "guards"),
        .endpoints = flo_config_tree(config, "endpoints"),
        .routes = flo_config_tree(config, "routes"),
        .shared_prefixes = flo_config_tree(config, "shared_prefixes"),
        .sandbox = "preferred",
    };
    int rv = flo_api_rules_read(&maps, out, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

void flo_api_rules_deinit(struct flo_api_rules *rules)
{
    for (uint32_t i = 0; i < rules->n_tokens; i++) {
        char *secret = rules->secrets[i];
        if (secret != NULL) {
            flo_secret_wipe(secret, strlen(secret));
            free(secret);
        }
    }
    rules->n_tokens = 0;
    free(rules->endpoints);
    free(rules->fallbacks);
    json_decref(rules->shared_prefixes);
    rules->shared_prefixes = NULL;
    rules->endpoints = NULL;
    rules->fallbacks = NULL;
}
