/* Rules: reads an owner's limits for apps, and the guards that check prompts
 * and answers.
 *
 * `tokens` and `guards` are maps of agent.yaml.  A file for `flotilla-agent
 * serve --rules` has them in the same form, and is read here too. */
#ifndef FLOTILLA_SERVE_RULES_H
#define FLOTILLA_SERVE_RULES_H

#include "agent/serve/serve.h"
#include "base/host/config.h"

struct flo_api_rules {
    uint32_t n_tokens;
    struct flo_serve_token tokens[FLO_SERVE_TOKENS_MAX];
    /* texts of the tokens, to which `tokens` points; this struct owns them */
    char *secrets[FLO_SERVE_TOKENS_MAX];
    uint32_t n_guards;
    struct flo_serve_guard guards[FLO_SERVE_GUARDS_MAX];
};

/* Reads the maps of tokens and of guards into an empty struct.  The caller
 * deinitialises it in any case.
 * FLO_E_CFG_KEY, FLO_E_CFG_TYPE, FLO_E_CFG_RANGE and the errors of
 * flo_secret_read()  an entry is invalid, or a token's file cannot be read */
FLO_MUST_USE int flo_api_rules_read(const json_t *tokens, const json_t *guards,
                                    struct flo_api_rules *out, struct flo_err *err);
/* Reads the maps `tokens` and `guards` from a configuration file. */
FLO_MUST_USE int flo_api_rules_load(const char *path, struct flo_api_rules *out,
                                    struct flo_err *err);
/* Reads a guard (guards.c).  `where` names the guard in errors, such as
 * "guards.words". */
FLO_MUST_USE int flo_guard_rules_read(const json_t *map, const char *where,
                                      struct flo_serve_guard *out, struct flo_err *err);
/* Reads the key `models` in the map of an app or a guard. */
FLO_MUST_USE int flo_models_read(const struct flo_config *config, const char *where,
                                 char (*out)[FLO_NAME_MAX + 1], uint32_t *count,
                                 struct flo_err *err);
/* Frees the rules, and overwrites their secrets first. */
void flo_api_rules_deinit(struct flo_api_rules *rules);

#endif
