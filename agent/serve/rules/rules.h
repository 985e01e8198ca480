/* Rules: an owner's words about who may ask how much.
 *
 * `tokens` is a map of agent.yaml.  A file of `flotilla-agent serve --rules`
 * has it in the same form; both are read here. */
#ifndef FLOTILLA_SERVE_RULES_H
#define FLOTILLA_SERVE_RULES_H

#include "agent/serve/serve.h"
#include "base/host/json.h"

struct flo_api_rules {
    uint32_t n_tokens;
    struct flo_serve_token tokens[FLO_SERVE_TOKENS_MAX];
    char *secrets[FLO_SERVE_TOKENS_MAX]; /* ours; tokens point there */
};

/* Read `tokens` into an empty struct, which is to be deinitialised in any case.
 * FLO_E_CFG_KEY, FLO_E_CFG_TYPE, FLO_E_CFG_RANGE, and flo_secret_read()'s for
 * the files. */
FLO_MUST_USE int flo_api_rules_read(const json_t *tokens,
                                    struct flo_api_rules *out,
                                    struct flo_err *err);
/* The same of a file. */
FLO_MUST_USE int flo_api_rules_load(const char *path, struct flo_api_rules *out,
                                    struct flo_err *err);
/* Secrets are wiped. */
void flo_api_rules_deinit(struct flo_api_rules *rules);

#endif
