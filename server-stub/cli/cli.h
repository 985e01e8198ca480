/* The operator's command line: the calls that its commands share. */
#ifndef FLOTILLA_CLI_H
#define FLOTILLA_CLI_H

#include <flotilla/base.h>

#include "base/args/args.h"
#include "base/host/http_client.h"
#include "base/host/json.h"
#include "server-stub/cli/output/output.h"

/* ---- the call ---- */

struct flo_cli {
    struct flo_args args; /* first: base/args */
    struct flo_http *http;
    char controller[512];
    char token[256];
    char ca_file[1100];   /* authority that is trusted alone; "": the system's */
    char fingerprint[65]; /* the authority's, instead of its file; "": none */
    bool is_tty;          /* stdout is a terminal */
};

/* ---- context: which controller, which token ---- */

/* A flag comes first, then the environment (FLOTILLA_CONTROLLER,
 * FLOTILLA_TOKEN_FILE, FLOTILLA_CONTEXT), then the login remembered in
 * $XDG_CONFIG_HOME/flotilla. --context is a flag: next to it the environment
 * does not count.  FLO_E_USAGE when nothing names a controller.
 * FLO_E_REST_AUTH when the remembered token is for another controller: a secret
 * is sent only to its own machine. */
FLO_MUST_USE int flo_context_load(struct flo_cli *cli, struct flo_err *err);
/* The address and the authority alone, for who has no token yet. */
FLO_MUST_USE int flo_context_know(struct flo_cli *cli, struct flo_err *err);
/* The remembered token in use is deleted; the address stays. */
FLO_MUST_USE int flo_context_forget(struct flo_cli *cli, struct flo_err *err);
/* A variable of the environment; NULL also where --context rules it out. */
const char *flo_context_variable(const struct flo_cli *cli, const char *name);
/* Remember address, token and authority: the authority's file is copied, or its
 * fingerprint kept. */
FLO_MUST_USE int flo_context_save(const char *name, const struct flo_cli *cli, char *path,
                                  size_t path_bytes, struct flo_err *err);

/* ---- API ---- */

/* One call; a body is sent as JSON, POSTs carry an Idempotency-Key; a problem
 * document becomes `err`.  *answer (may be NULL) is the caller's.  With
 * --dry-run each call that may change something asks for its plan. */
FLO_MUST_USE int flo_api_call(struct flo_cli *cli, const char *method, const char *path,
                              const json_t *body, json_t **answer, struct flo_err *err);
/* The same, about the state that was read with this ETag.  FLO_E_REST_STALE:
 * it is another one by now. */
FLO_MUST_USE int flo_api_change(struct flo_cli *cli, const char *method, const char *path,
                                const char *etag, const json_t *body, json_t **answer,
                                struct flo_err *err);
FLO_MUST_USE int flo_api_get(struct flo_cli *cli, const char *path, json_t **answer,
                             struct flo_err *err);
/* The JSON of any answer, whatever its status says. */
FLO_MUST_USE int flo_api_read(struct flo_cli *cli, const char *path, json_t **answer,
                              struct flo_err *err);
/* An answer that does not end, behind `last_id` (NULL: from now on): the
 * callbacks of http_client.h end it. */
FLO_MUST_USE int flo_api_stream(struct flo_cli *cli, const char *path, const char *last_id,
                                int (*on_data)(void *context, const void *data, size_t bytes),
                                int (*on_progress)(void *context, uint64_t done, uint64_t total),
                                void *context, struct flo_err *err);
/* The first `standard` elements of a list, or --limit, or with --all each. */
FLO_MUST_USE int flo_api_some(struct flo_cli *cli, const char *path, uint64_t standard,
                              json_t **items, struct flo_err *err);
/* All pages of a list: an array. */
FLO_MUST_USE int flo_api_list(struct flo_cli *cli, const char *path, json_t **items,
                              struct flo_err *err);
/* Append "?key=value" or "&key=value", encoded; nothing for NULL. */
void flo_api_query_add(struct flo_buf *path, const char *key, const char *value);
/* The same, of the model of --model when that is given. */
FLO_MUST_USE int flo_api_list_model(struct flo_cli *cli, const char *path, json_t **items,
                                    struct flo_err *err);
/* Raw bytes as the body (a signed document). */
FLO_MUST_USE int flo_api_send(struct flo_cli *cli, const char *path, const void *data, size_t bytes,
                              json_t **answer, struct flo_err *err);
FLO_MUST_USE int flo_api_has_blob(struct flo_cli *cli, const struct flo_digest *digest, bool *out,
                                  struct flo_err *err);
/* Blob of a file, whether or not the controller has it. */
FLO_MUST_USE int flo_api_put_blob(struct flo_cli *cli, const struct flo_digest *digest,
                                  const char *path, struct flo_err *err);
/* The signed envelope of a release, by its id; not checked. */
FLO_MUST_USE int flo_api_get_envelope(struct flo_cli *cli, const struct flo_digest *release,
                                      struct flo_buf *out, struct flo_err *err);
FLO_MUST_USE int flo_api_get_blob(struct flo_cli *cli, const struct flo_digest *digest,
                                  const char *path, struct flo_err *err);

/* ---- commands: a row per verb in commands.def ---- */

extern const struct flo_flag flo_global_flags[];
#define FLO_COMMAND(name, function, group, usage, example, help)                                   \
    extern const struct flo_flag flo_flags_##function[];                                           \
    int flo_cmd_##function(struct flo_cli *cli, struct flo_err *err);
#include "server-stub/cli/commands.def"

/* Does it ask the controller only where no file says it?  Keys of the root
 * stand on machines without a network. */
bool flo_trust_is_local(int (*run)(struct flo_cli *cli, struct flo_err *err));

/* Names at the controller that a word of a usage stands for: completion.c */
void flo_complete_names(struct flo_cli *cli, const char *what, struct flo_buf *out);
/* The plan of a rollback. */
void flo_order_print_plan(const struct flo_cli *cli, const json_t *plan);
/* A release goes back: flags say which, where and what becomes of it. */
FLO_MUST_USE int flo_order_take_back(struct flo_cli *cli, struct flo_err *err);
/* Progress of a rollout or an order until it ends; exit code or error. */
FLO_MUST_USE int flo_watch_rollout(struct flo_cli *cli, const char *id, const char *wanted,
                                   uint64_t timeout_ms, struct flo_err *err);
FLO_MUST_USE int flo_watch_order(struct flo_cli *cli, const char *id, uint64_t timeout_ms,
                                 json_t **order, struct flo_err *err);
/* A rollout that was told to go back, until all of it that is online did. */
FLO_MUST_USE int flo_watch_rollback(struct flo_cli *cli, const char *id, uint64_t timeout_ms,
                                    json_t **rollout, struct flo_err *err);

#endif
