/* Model options: reads the entries of agent.yaml that are about one model, and
 * the tokens that are bound to models. */
#include <string.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/rows.h>

#include "agent/shell/device/device.h"
#include "agent/shell/identity/pair.h"

/* Reads a list of names, in which no name may occur twice. */
static int read_names(const json_t *list, const char *model, const char *key,
                      char (*out)[FLO_NAME_MAX + 1], uint32_t out_max, uint32_t *count,
                      struct flo_err *err)
{
    *count = 0;
    if (list == NULL) {
        return 0;
    }
    if (!json_is_array(list) || json_array_size(list) > out_max) {
        return flo_fail(err, FLO_E_CFG_TYPE, "models.%s.%s: a list of at most %u names", model, key,
                        out_max);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        if (name == NULL || !flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "models.%s.%s: element %zu is no name", model, key,
                            i + 1);
        }
        memcpy(out[(*count)++], name, strlen(name) + 1);
    }
    return 0;
}

static int check_keys(const json_t *tree, const char *model, struct flo_err *err)
{
    static const char *const known[] = {"alias", "tokens", "pin", "weight"};
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)tree, key, value)
    {
        size_t i = 0;
        while (i < FLO_COUNT(known) && strcmp(known[i], key) != 0) {
            i++;
        }
        if (i == FLO_COUNT(known)) {
            flo_fail(err, FLO_E_CFG_KEY, "models.%s: unknown key `%s`", model, key);
            return flo_err_fix(err, "known keys are alias, pin, tokens and weight");
        }
    }
    return 0;
}

static int read_memory(const json_t *tree, struct flo_model_spec *out, struct flo_err *err)
{
    const json_t *pin = json_object_get(tree, "pin");
    const json_t *weight = json_object_get(tree, "weight");

    if (pin != NULL && !json_is_boolean(pin)) {
        return flo_fail(err, FLO_E_CFG_TYPE, "models.%s.pin: true or false", out->name);
    }
    out->is_pinned = json_is_true(pin);
    out->weight = FLO_MEMORY_WEIGHT_STANDARD;
    if (weight == NULL) {
        return 0;
    }
    if (!json_is_integer(weight)) {
        return flo_fail(err, FLO_E_CFG_TYPE, "models.%s.weight: a number", out->name);
    }
    if (json_integer_value(weight) < 0 || json_integer_value(weight) > FLO_MEMORY_WEIGHT_MAX) {
        return flo_fail(err, FLO_E_CFG_RANGE, "models.%s.weight: %lld, from 0 to %d", out->name,
                        (long long)json_integer_value(weight), FLO_MEMORY_WEIGHT_MAX);
    }
    out->weight = (uint32_t)json_integer_value(weight);
    return 0;
}

static int read_spec(const json_t *tree, const char *model, struct flo_model_spec *out,
                     struct flo_err *err)
{
    if (!flo_name_is_valid(model) || !json_is_object(tree)) {
        return flo_fail(err, FLO_E_CFG_TYPE, "models.%s: a model's name with a map", model);
    }
    memcpy(out->name, model, strlen(model) + 1);
    FLO_TRY(check_keys(tree, model, err));
    FLO_TRY(read_memory(tree, out, err));
    FLO_TRY(read_names(json_object_get(tree, "alias"), model, "alias", out->aliases,
                       FLO_SERVE_ALIASES_MAX, &out->n_aliases, err));
    return read_names(json_object_get(tree, "tokens"), model, "tokens", out->tokens,
                      FLO_SERVE_TOKENS_MAX, &out->n_tokens, err);
}

static bool is_token(const struct flo_settings *settings, const char *name)
{
    return FLO_FIND_TEXT(name, settings->rules.tokens, settings->rules.n_tokens, name) != NULL;
}

/* Refuses an alias that another model also has. */
static int check_alias(const struct flo_settings *settings, const struct flo_model_spec *spec,
                       const char *alias, struct flo_err *err)
{
    for (size_t i = 0; i < settings->spec_count; i++) {
        const struct flo_model_spec *other = &settings->specs[i];
        bool is_taken = strcmp(other->name, alias) == 0;

        for (uint32_t j = 0; j < other->n_aliases; j++) {
            is_taken =
                is_taken || (other->aliases[j] != alias && strcmp(other->aliases[j], alias) == 0);
        }
        if (is_taken) {
            return flo_fail(err, FLO_E_CFG_RANGE, "models.%s.alias: `%s` is a name of %s already",
                            spec->name, alias, other->name);
        }
    }
    return 0;
}

static int check_spec(const struct flo_settings *settings, const struct flo_model_spec *spec,
                      struct flo_err *err)
{
    for (uint32_t i = 0; i < spec->n_aliases; i++) {
        FLO_TRY(check_alias(settings, spec, spec->aliases[i], err));
    }
    for (uint32_t i = 0; i < spec->n_tokens; i++) {
        if (!is_token(settings, spec->tokens[i])) {
            return flo_fail(err, FLO_E_CFG_RANGE, "models.%s.tokens: `%s` is not in `tokens`",
                            spec->name, spec->tokens[i]);
        }
    }
    return 0;
}

/* Reads apps, guards and routes.  The identity's files are named whether they
 * exist or not, because a device may be enrolled later. */
static int read_rules(struct flo_settings *settings, struct flo_err *err)
{
    const struct flo_config *config = settings->config;
    char ca_file[4200], pair_file[4200];
    const struct flo_api_rules_maps maps = {
        .tokens = flo_config_tree(config, "tokens"),
        .guards = flo_config_tree(config, "guards"),
        .endpoints = flo_config_tree(config, "endpoints"),
        .routes = flo_config_tree(config, "routes"),
        .shared_prefixes = flo_config_tree(config, "shared_prefixes"),
        .sandbox = flo_config_text(config, "sandbox"),
        .ca_file = ca_file,
        .cert_file = pair_file,
        .key_file = pair_file,
    };

    if (!flo_path_join(ca_file, sizeof(ca_file), settings->state_dir, "identity/ca.pem") ||
        !flo_path_join(pair_file, sizeof(pair_file), settings->state_dir, FLO_PAIR_LINK)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    return flo_api_rules_read(&maps, &settings->rules, err);
}

int flo_specs_read(struct flo_settings *settings, struct flo_err *err)
{
    const json_t *tree = flo_config_tree(settings->config, "models");
    const char *model;
    json_t *value;
    int rv = read_rules(settings, err);

    json_object_foreach((json_t *)(uintptr_t)tree, model, value)
    {
        if (rv == 0) {
            rv = read_spec(value, model, &settings->specs[settings->spec_count++], err);
        }
    }
    for (size_t i = 0; rv == 0 && i < settings->spec_count; i++) {
        rv = check_spec(settings, &settings->specs[i], err);
    }
    return rv;
}

const struct flo_model_spec *flo_spec_of(const struct flo_settings *settings, const char *model)
{
    return FLO_FIND_TEXT(model, settings->specs, settings->spec_count, name);
}
