/* Rules: reads an owner's limits for apps, the guards that check prompts and
 * answers, and the routes to other targets.
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
    uint32_t n_endpoints;
    struct flo_serve_endpoint *endpoints; /* owned; NULL: none */
    uint32_t n_fallbacks;
    struct flo_serve_fallback *fallbacks; /* owned; NULL: none */
    json_t *shared_prefixes;              /* list of texts; owned */
};

/* Parts of a configuration file that flo_api_rules_read() reads, and settings of
 * the device that its endpoints need. */
struct flo_api_rules_maps {
    const json_t *tokens, *guards, *endpoints, *routes, *shared_prefixes;
    /* "required" or "preferred": sandbox of the processes that connect to
     * endpoints */
    const char *sandbox;
    /* Files of this device's identity; NULL: the device is not enrolled, and no
     * endpoint may be another device. */
    const char *ca_file, *cert_file, *key_file;
};

/* Reads the maps into an empty struct.  The caller deinitialises it in any case.
 * FLO_E_CFG_KEY, FLO_E_CFG_TYPE, FLO_E_CFG_RANGE and the errors of
 * flo_secret_read()  an entry is invalid, or a token's file cannot be read */
FLO_MUST_USE int flo_api_rules_read(const struct flo_api_rules_maps *maps,
                                    struct flo_api_rules *out, struct flo_err *err);
/* Reads `tokens`, `guards`, `endpoints`, `routes` and `shared_prefixes` from a
 * configuration file. */
FLO_MUST_USE int flo_api_rules_load(const char *path, struct flo_api_rules *out,
                                    struct flo_err *err);
/* Reads a guard (guards.c).  `where` names the guard in errors, such as
 * "guards.words". */
FLO_MUST_USE int flo_guard_rules_read(const json_t *map, const char *where,
                                      struct flo_serve_guard *out, struct flo_err *err);
/* endpoints.c: reads the map of endpoints into out->endpoints. */
FLO_MUST_USE int flo_endpoint_rules_read(const struct flo_api_rules_maps *maps,
                                         struct flo_api_rules *out, struct flo_err *err);
/* Parses money: digits, and perhaps a point and up to six more digits.  The
 * result is in units of 1e-6.  false: the text is no money, or too much. */
bool flo_money_parse(const char *text, uint64_t *out);
/* routes.c: reads the map of routes into out->fallbacks; the endpoints were read
 * before. */
FLO_MUST_USE int flo_route_rules_read(const json_t *routes, struct flo_api_rules *out,
                                      struct flo_err *err);
/* Reads a command line: the key's words, the first one an absolute path. */
FLO_MUST_USE int flo_command_read(const struct flo_config *config, const char *key,
                                  const char *where, char words[FLO_GUARD_WORD_BYTES_MAX],
                                  uint32_t *count, struct flo_err *err);
/* Reads the key `models` in the map of an app or a guard. */
FLO_MUST_USE int flo_models_read(const struct flo_config *config, const char *where,
                                 char (*out)[FLO_NAME_MAX + 1], uint32_t *count,
                                 struct flo_err *err);
/* Writes the routes that have an endpoint outside the fleet, as "helpdesk to cloud,
 * chat to cloud"; empty: there are none. */
void flo_api_rules_leave(const struct flo_api_rules *rules, char *out, size_t bytes);
/* Frees the rules, and overwrites their secrets first. */
void flo_api_rules_deinit(struct flo_api_rules *rules);

#endif
