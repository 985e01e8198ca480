/* Relay: the process `flotilla-relay`, which forwards requests to one remote
 * server of OpenAI's way, or to the local API of another device of the fleet.
 *
 * `flotilla-engine proxy` starts it as a runtime and is its only client, on a
 * unix socket.  TLS, the credential and the server's name live in this process
 * alone; answers are parsed in the proxy's sandbox.
 *
 *   settings.c  the command line's meaning; no I/O
 *   upstream.c  the server: key, certificates, calls
 *   relay.c     the socket: requests, and answers as they come
 *   sandbox.c   what the process may still do */
#ifndef FLOTILLA_AGENT_RELAY_H
#define FLOTILLA_AGENT_RELAY_H

#include <flotilla/base.h>

#include "base/args/args.h"
#include "base/host/http_async.h"
#include "base/sandbox.h"

#define RELAY_BODY_BYTES_MAX (8u << 20)    /* largest body of a request */
#define RELAY_ANSWER_BYTES_MAX (64u << 20) /* largest body of an answer */
#define RELAY_BACKLOG_BYTES_MAX (1u << 20) /* most bytes that the client has not read yet */
#define RELAY_KEY_BYTES_MAX 3900           /* largest key file */
#define RELAY_URL_BYTES_MAX 1024
#define RELAY_SESSIONS_MAX 16
#define RELAY_CONNECT_MS_MAX 5000
#define RELAY_SILENT_MS 30000 /* longest pause within a body */

/* The command line. */
struct relay_settings {
    struct flo_args args;
    const char *listen;   /* "unix:/path" */
    const char *to;       /* base URL */
    const char *key_file; /* these five: NULL: none */
    const char *ca_file;
    const char *cert_file;
    const char *cert_key_file;
    const char *sandbox;
    bool is_device;
    uint64_t timeout_ms;
    uint32_t sessions;
};

/* ---- settings.c ---- */

/* Checks what the table of flags cannot.  FLO_E_USAGE, FLO_E_CFG_RANGE. */
FLO_MUST_USE int relay_check(const struct relay_settings *settings, struct flo_err *err);
/* Writes the URL of a path of OpenAI's API, "/v1/chat/completions": the base's
 * path replaces "/v1".  A base without a path keeps it. */
void relay_url(const char *to, const char *path, char out[RELAY_URL_BYTES_MAX]);

/* ---- upstream.c ---- */

struct event_base;
struct relay_upstream;

struct relay_request {
    const char *path; /* "/v1/chat/completions" */
    const char *content_type, *accept;
    const char *body; /* borrowed until the call's end */
    size_t bytes;
};

/* Reads the key.  `settings` must live as long as the upstream.  Errors of
 * flo_secret_read; FLO_E_CFG_RANGE: the file holds no key. */
FLO_MUST_USE int relay_upstream_open(struct event_base *base, const struct relay_settings *settings,
                                     struct relay_upstream **out, struct flo_err *err);
void relay_upstream_close(struct relay_upstream *upstream);
/* Begins a call.  A key, certificate or authority that was replaced since the
 * last call is read again first. */
FLO_MUST_USE int relay_upstream_begin(struct relay_upstream *upstream,
                                      const struct relay_request *request,
                                      const struct flo_http_async_events *events, void *context,
                                      struct flo_http_async_call **out, struct flo_err *err);

/* ---- sandbox.c ---- */

/* Enters the sandbox.  Call it when the socket is open.  The folder of each
 * file stays readable, because a new file replaces an old one by renaming. */
FLO_MUST_USE int relay_sandbox_enter(const struct relay_settings *settings, struct flo_err *err);

/* ---- relay.c ---- */

/* Listens, enters the sandbox, and forwards until the process is ended. */
FLO_MUST_USE int relay_run(const struct relay_settings *settings, struct flo_err *err);

#endif
