/* Rules: an owner's configuration of apps' limits, and of guards that check
 * prompts and answers.
 *
 * `tokens` and `guards` are maps of agent.yaml.  A file of `flotilla-agent
 * serve --rules` has them in the same form; both are read here. */
#ifndef FLOTILLA_SERVE_RULES_H
#define FLOTILLA_SERVE_RULES_H

#include "agent/serve/serve.h"
#include "base/host/config.h"

struct flo_api_rules {
    uint32_t n_tokens;
    struct flo_serve_token tokens[FLO_SERVE_TOKENS_MAX];
    char *secrets[FLO_SERVE_TOKENS_MAX]; /* texts of the tokens, owned by this struct; `tokens`
                                            points to them */
    uint32_t n_guards;
    struct flo_serve_guard guards[FLO_SERVE_GUARDS_MAX];
};

/* Reads the maps of tokens and of guards into an empty struct, which must be deinitialised in any
 * case.  FLO_E_CFG_KEY, FLO_E_CFG_TYPE, FLO_E_CFG_RANGE, and errors of
 * flo_secret_read() for the tokens' files. */
FLO_MUST_USE int flo_api_rules_read(const json_t *tokens, const json_t *guards,
                                    struct flo_api_rules *out, struct flo_err *err);
/* Reads the maps `tokens` and `guards` from a configuration file. */
FLO_MUST_USE int flo_api_rules_load(const char *path, struct flo_api_rules *out,
                                    struct flo_err *err);
/* guards.c: reads a guard.  `where` names it in errors: "guards.words". */
FLO_MUST_USE int flo_guard_rules_read(const json_t *map, const char *where,
                                      struct flo_serve_guard *out, struct flo_err *err);
/* Reads the key `models` of an app or a guard. */
FLO_MUST_USE int flo_models_read(const struct flo_config *config, const char *where,
                                 char (*out)[FLO_NAME_MAX + 1], uint32_t *count,
                                 struct flo_err *err);
/* Frees the rules and wipes secrets. */
void flo_api_rules_deinit(struct flo_api_rules *rules);

#endif
