/* Door: settings of the local API of `flotilla-agent serve`: its addresses,
 * tokens and sandbox. */
#ifndef FLOTILLA_SERVE_DOOR_H
#define FLOTILLA_SERVE_DOOR_H

#include "agent/serve/serve.h"

struct flo_door {
    const char *const *listen; /* addresses, NULL-terminated */
    /* file with the token that clients over TCP must send; NULL: none is
     * given */
    const char *token_file;
    const char *rules_file;     /* apps and guards */
    const char *const *origins; /* as in flo_serve_options */
    bool has_no_page, has_no_ollama, has_no_anthropic;
    bool is_at_ollama; /* `listen` contains FLO_SERVE_OLLAMA_AT */
    const char *batch_folder;
    uint64_t batch_mib; /* largest size of the batches' files in MiB; 0: 1024 */
    enum flo_sandbox_mode sandbox;
    const char *backend; /* as of flo_serve_engine_find() */
    bool accepts_inexact;
};

/* Opens a server with the engine program of this installation.  Fails as
 * flo_serve_engine_find(), flo_serve_token_read(), flo_api_rules_load() and
 * flo_serve_open() do. */
FLO_MUST_USE int flo_door_open(const struct flo_door *door, struct event_base *base,
                               const struct flo_serve_handlers *handlers, struct flo_serve **out,
                               struct flo_err *err);

/* Prints a line for each address; the first one has the port that was
 * opened. */
void flo_door_tell(const struct flo_door *door, const struct flo_serve *serve);

#endif
