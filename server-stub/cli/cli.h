/* Command line: declarations that the operator's commands share. */
#ifndef FLOTILLA_CLI_H
#define FLOTILLA_CLI_H

#include <flotilla/base.h>

#include "base/args/args.h"
#include "base/host/http_client.h"
#include "base/host/json.h"
#include "server-stub/cli/output/output.h"

/* ---- the call ---- */

struct flo_cli {
    /* arguments of the command, which base/args expects as the first member */
    struct flo_args args;
    struct flo_http *http;
    char controller[512];
    char token[256];
    /* file with the only authority that is trusted; "": the system's
     * authorities are */
    char ca_file[1100];
    char fingerprint[65]; /* fingerprint of the trusted authority, instead of a file; "": none */
    bool is_tty;          /* stdout is a terminal */
};

/* ---- context: which controller, which token ---- */

/* Loads the controller's address and the token.  A flag comes first, then the
 * environment (FLOTILLA_CONTROLLER, FLOTILLA_TOKEN_FILE, FLOTILLA_CONTEXT),
 * then the login stored in $XDG_CONFIG_HOME/flotilla.  With the flag --context
 * the environment is ignored.
 *
 * FLO_E_USAGE      nothing names a controller
 * FLO_E_REST_AUTH  the stored token is for another controller, and a secret
 *                  is sent only to its own */
FLO_MUST_USE int flo_context_load(struct flo_cli *cli, struct flo_err *err);
/* Loads only the controller's address and the authority, for commands that send
 * no token. */
FLO_MUST_USE int flo_context_know(struct flo_cli *cli, struct flo_err *err);
/* Deletes the stored token that the command uses.  The stored address stays. */
FLO_MUST_USE int flo_context_forget(struct flo_cli *cli, struct flo_err *err);
/* Returns an environment variable.  Returns NULL if it is not set, or if
 * --context overrides it. */
const char *flo_context_variable(const struct flo_cli *cli, const char *name);
/* Stores the controller's address, the token and the authority.  The authority
 * is stored as a copy of its file, or as its fingerprint. */
FLO_MUST_USE int flo_context_save(const char *name, const struct flo_cli *cli, char *path,
                                  size_t path_bytes, struct flo_err *err);

/* ---- API ---- */

/* Makes one call.  A body is sent as JSON, and a POST has an Idempotency-Key.
 * A problem document becomes `err`.  *answer (may be NULL) is owned by the
 * caller.  With --dry-run each call that may change something requests its plan
 * instead. */
FLO_MUST_USE int flo_api_call(struct flo_cli *cli, const char *method, const char *path,
                              const json_t *body, json_t **answer, struct flo_err *err);
/* Makes a call with If-Match, for the state that was read with this ETag.
 * FLO_E_REST_STALE: the state has changed since then. */
FLO_MUST_USE int flo_api_change(struct flo_cli *cli, const char *method, const char *path,
                                const char *etag, const json_t *body, json_t **answer,
                                struct flo_err *err);
FLO_MUST_USE int flo_api_get(struct flo_cli *cli, const char *path, json_t **answer,
                             struct flo_err *err);
/* Gets the JSON of an answer, whatever status the answer has. */
FLO_MUST_USE int flo_api_read(struct flo_cli *cli, const char *path, json_t **answer,
                              struct flo_err *err);
/* Reads an endless answer that begins after the event `last_id`; NULL: from now
 * on.  The callbacks of http_client.h end it. */
FLO_MUST_USE int flo_api_stream(struct flo_cli *cli, const char *path, const char *last_id,
                                int (*on_data)(void *context, const void *data, size_t bytes),
                                int (*on_progress)(void *context, uint64_t done, uint64_t total),
                                void *context, struct flo_err *err);
/* Gets the first elements of a list: as many as --limit says, all with --all,
 * else `standard` of them.  With --model as flo_api_list_model(). */
FLO_MUST_USE int flo_api_some(struct flo_cli *cli, const char *path, uint64_t standard,
                              json_t **items, struct flo_err *err);
/* Gets all pages of a list as an array. */
FLO_MUST_USE int flo_api_list(struct flo_cli *cli, const char *path, json_t **items,
                              struct flo_err *err);
/* Appends a parameter, encoded, as "?key=value" or "&key=value".  Appends
 * nothing if the value is NULL. */
void flo_api_query_add(struct flo_buf *path, const char *key, const char *value);
/* Fails if `items` is empty and the controller has no release of the model that
 * --model names: an empty list may come from a wrong name.
 * FLO_E_RELEASE_ABSENT. */
FLO_MUST_USE int flo_api_check_model(struct flo_cli *cli, const json_t *items, struct flo_err *err);
/* Gets all pages of a list.  With --model only elements of that model are
 * requested; see flo_api_check_model(). */
FLO_MUST_USE int flo_api_list_model(struct flo_cli *cli, const char *path, json_t **items,
                                    struct flo_err *err);
/* Sends raw bytes, such as a signed document, as the body of a POST. */
FLO_MUST_USE int flo_api_send(struct flo_cli *cli, const char *path, const void *data, size_t bytes,
                              json_t **answer, struct flo_err *err);
FLO_MUST_USE int flo_api_has_blob(struct flo_cli *cli, const struct flo_digest *digest, bool *out,
                                  struct flo_err *err);
/* Uploads a file's blob, even if the controller has the blob already. */
FLO_MUST_USE int flo_api_put_blob(struct flo_cli *cli, const struct flo_digest *digest,
                                  const char *path, struct flo_err *err);
/* Gets the signed envelope of a release by the release's id, without verifying
 * it. */
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

/* Tells whether a command on keys can run without the controller, because a
 * file gives the information.  Root keys are on machines without a network. */
bool flo_trust_is_local(int (*run)(struct flo_cli *cli, struct flo_err *err));

/* Appends names that fit a word of a command's usage, as the controller lists
 * them (completion.c). */
void flo_complete_names(struct flo_cli *cli, const char *what, struct flo_buf *out);
/* Prints the plan of a rollback. */
void flo_order_print_plan(const struct flo_cli *cli, const json_t *plan);
/* Recalls a release.  Flags name the release, the scope, and whether the
 * release is yanked. */
FLO_MUST_USE int flo_order_recall(struct flo_cli *cli, struct flo_err *err);
/* Follows a rollout or an order until it ends.  Returns an exit code or an
 * error. */
FLO_MUST_USE int flo_watch_rollout(struct flo_cli *cli, const char *id, const char *wanted,
                                   uint64_t timeout_ms, struct flo_err *err);
FLO_MUST_USE int flo_watch_order(struct flo_cli *cli, const char *id, uint64_t timeout_ms,
                                 json_t **order, struct flo_err *err);
/* Asks a device, which the command's first word names, by an order with the
 * members of `body`.  Shows the device's report. */
FLO_MUST_USE int flo_device_ask(struct flo_cli *cli, const char *op, json_t *body,
                                struct flo_err *err);
/* Follows a rollout that rolls back, until all its connected devices have
 * answered. */
FLO_MUST_USE int flo_watch_rollback(struct flo_cli *cli, const char *id, uint64_t timeout_ms,
                                    json_t **rollout, struct flo_err *err);

#endif
