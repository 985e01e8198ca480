/* HTTP/1.1 server on libevent: routes, bounded bodies, streams, files.
 *
 * Everything runs on the thread of the event base.  Limits hold before a
 * handler sees a request: head 32 KiB, body per route, 10 s for a head, 10 s
 * for each 16 KiB of a body, a cap on connections: at the cap the one that has
 * waited longest without a request makes room, after 100 ms at the earliest
 * (new clients wait in the kernel's queue); 503 where all are at work.  A
 * handler answers at once or keeps the request and answers later; when the
 * client goes away first, on_closed is called and the request must not be
 * touched again; one that only sends no more gets its answer (but for TLS, and
 * over TCP HTTP/1.0).  Opening ignores SIGPIPE for the process.  HEAD uses the
 * route of GET. */
#ifndef FLOTILLA_HOST_HTTPD_H
#define FLOTILLA_HOST_HTTPD_H

#include <flotilla/base.h>

struct event_base;
struct flo_httpd;
struct flo_httpd_request;

struct flo_httpd_options {
    size_t connections_max;    /* 0: 256 */
    uint64_t head_timeout_ms;  /* 0: 10000 */
    uint64_t idle_timeout_ms;  /* kept-alive connection; 0: 60000 */
    uint64_t write_timeout_ms; /* while nothing is taken; 0: 60000 */
    const char *server_name;   /* Server header; NULL: none */
    const char *const *hosts;  /* allowed Host names on TCP listeners, no
                                  port, NULL-terminated; NULL: any */
    bool admits_addresses;     /* also any IP address as Host: a page of
                                  another site never has one (DNS rebinding) */
    /* Pages of these origins ("https://app.example"), NULL-terminated, may read
     * the answers in a browser; NULL: of none. */
    const char *const *origins;
    /* Body of error answers (also of those that httpd makes itself); NULL:
     * RFC 9457 problem documents. */
    void (*error_body)(const struct flo_httpd_request *request, const struct flo_err *err,
                       int status, struct flo_buf *body);
    const char *error_type; /* content type of errors; NULL: application/json */
    /* Where the known paths and methods are listed; NULL: as the table of
     * errors says. */
    const char *paths_fix;
    /* Asked after each head, before a byte of its body is waited for: 0, or
     * what the client is answered.  NULL: everybody may. */
    int (*admit)(void *context, struct flo_httpd_request *request, struct flo_err *err);
    void *admit_context;
    uint64_t rate_bytes_per_s; /* rate of all answers together; 0: no limit */
    /* After each piece of a file; false: the client gets no more of it.  NULL:
     * nobody is asked. */
    bool (*on_sent)(void *context, size_t bytes);
    void *sent_context;
};

struct flo_httpd_tls {
    const char *cert_file; /* PEM chain */
    const char *key_file;
    const char *client_ca_file; /* NULL: clients show no certificate */
    bool client_cert_required;  /* false: optional, see flo_httpd_peer_name */
    /* Admit certificates of these authorities before and after their time too;
     * only flo_httpd_peer shows them. */
    bool admits_out_of_date;
    /* Lists of revoked certificates (PEM), one for each authority in
     * client_ca_file; a client on a list, or of an authority without one, is
     * not admitted.  NULL: nobody is looked up. */
    const char *revoked_file;
};

/* Is it one of these?  NULL for both is fine. */
bool flo_httpd_origin_is(const char *const *origins, const char *origin);
/* "http" or "https", a name or address in lower case, and perhaps a port. */
bool flo_httpd_origin_is_valid(const char *origin);

typedef void (*flo_httpd_handler)(void *context, struct flo_httpd_request *request);

/* Files that are being sent just now. */
size_t flo_httpd_files(const struct flo_httpd *httpd);

FLO_MUST_USE int flo_httpd_open(struct event_base *base, const struct flo_httpd_options *options,
                                struct flo_httpd **out, struct flo_err *err);
/* Closes listeners and connections (on_closed is called for what was not
 * answered); not from inside a handler. */
void flo_httpd_close(struct flo_httpd *httpd);

/* `address`: "127.0.0.1:8080", "127.0.0.1:0" (any free port, see *port),
 * "[::1]:80" or "unix:/path" (mode 0660; a stale socket is replaced).
 * tls NULL: plain.  Several listeners per server are fine; `tag` comes back by
 * flo_httpd_listener_tag.  FLO_E_PORT_IN_USE names address and fix. */
FLO_MUST_USE int flo_httpd_listen(struct flo_httpd *httpd, const char *address,
                                  const struct flo_httpd_tls *tls, int tag, uint16_t *port,
                                  struct flo_err *err);

/* A copy of the socket of the listener with this tag; the caller's.  Another
 * thread's httpd takes it as the address "fd:N", and takes connections from it
 * while this one cannot.  -1: there is none. */
int flo_httpd_listener_copy(const struct flo_httpd *httpd, int tag);
/* Do listeners with this tag take connections?  At first they do. */
void flo_httpd_listener_turn(struct flo_httpd *httpd, int tag, bool is_on);

/* Read the files of the listeners with this tag again, for connections that
 * are made from now on; a listener whose files are not whole stays as it is.
 * `ends`: connections made before end after their answer, idle ones now.  Not
 * from inside a handler of theirs.  FLO_E_NET_TLS. */
FLO_MUST_USE int flo_httpd_tls_again(struct flo_httpd *httpd, int tag, bool ends,
                                     struct flo_err *err);

/* `pattern`: "/v1/devices/{id}"; a final "/..." matches any rest (as "...").
 * More than one method may share a pattern.  Unknown path: 404
 * rest.not_found, known path with other method: 405 with `Allow`. */
FLO_MUST_USE int flo_httpd_route(struct flo_httpd *httpd, const char *method, const char *pattern,
                                 size_t body_bytes_max, flo_httpd_handler handler, void *context,
                                 struct flo_err *err);
/* A route whose body is streamed: on_body is called per piece (non-zero
 * aborts the request with that error), then handler with an empty body.
 * on_start makes the per-request state before the first piece. */
struct flo_httpd_upload {
    int (*on_start)(void *context, struct flo_httpd_request *request, struct flo_err *err);
    int (*on_body)(void *context, struct flo_httpd_request *request, const void *data, size_t bytes,
                   struct flo_err *err);
    uint64_t body_bytes_max;
};
FLO_MUST_USE int flo_httpd_route_upload(struct flo_httpd *httpd, const char *method,
                                        const char *pattern, const struct flo_httpd_upload *upload,
                                        flo_httpd_handler handler, void *context,
                                        struct flo_err *err);

/* From within or after on_body: read no more of the body for now, or go on.  No
 * time is counted meanwhile. */
void flo_httpd_upload_hold(struct flo_httpd_request *request, bool is_held);

/* ---- the request: borrowed until it is answered or on_closed ---- */

const char *flo_httpd_method(const struct flo_httpd_request *request);
/* Decoded but for slashes and percent signs. */
const char *flo_httpd_path(const struct flo_httpd_request *request);
/* Path parameter or query parameter, decoded (the rest of "/..." as the path
 * is); NULL when absent. */
const char *flo_httpd_param(const struct flo_httpd_request *request, const char *name);
const char *flo_httpd_query(const struct flo_httpd_request *request, const char *name);
/* Name of the query's parameter i, decoded; NULL after the last. */
const char *flo_httpd_query_name(const struct flo_httpd_request *request, size_t i);
const char *flo_httpd_header(const struct flo_httpd_request *request, const char *name);
const char *flo_httpd_body(const struct flo_httpd_request *request, size_t *bytes);
/* "Authorization: Bearer X" -> X; NULL when absent. */
const char *flo_httpd_bearer(const struct flo_httpd_request *request);
/* CN of the verified client certificate, which is not out of date; NULL when
 * none. */
const char *flo_httpd_peer_name(const struct flo_httpd_request *request);
/* The client's certificate, of one of the listener's authorities. */
struct flo_httpd_peer {
    char name[FLO_NAME_MAX + 1]; /* CN */
    char serial[65];             /* hex */
    bool is_out_of_date;         /* the certificate is over, or not yet valid */
};
/* NULL: it has shown none.  Out of date only where the listener admits that. */
const struct flo_httpd_peer *flo_httpd_peer(const struct flo_httpd_request *request);
int flo_httpd_listener_tag(const struct flo_httpd_request *request);
/* Is "host", "host:port" or "[::1]:port" one of `hosts` (NULL-terminated)? */
bool flo_httpd_host_is(const char *const *hosts, const char *host);
/* "127.0.0.1" or "unix", for logs. */
const char *flo_httpd_peer_address(const struct flo_httpd_request *request);
/* A number for the client: the same for the same user of a unix socket (by the
 * kernel's word) and for the same address.  Never 0 or UINT64_MAX. */
uint64_t flo_httpd_peer_client(const struct flo_httpd_request *request);
/* "1f0a3c55-000000000012": names the request in its problem and in our log. */
#define FLO_HTTPD_ID_TEXT 24
void flo_httpd_request_id(const struct flo_httpd_request *request, char *out);
/* A pointer of the handler's, and a call when the client goes away before the
 * answer is complete, or when httpd itself refuses the rest of an upload (too
 * large, too slow, on_body failed).  Either on_closed comes or the handler
 * completes the answer, never both. */
void flo_httpd_set_user(struct flo_httpd_request *request, void *user,
                        void (*on_closed)(void *user));
void *flo_httpd_user(const struct flo_httpd_request *request);

/* ---- the answer ---- */

void flo_httpd_add_header(struct flo_httpd_request *request, const char *name, const char *value);
/* Whole answer. */
void flo_httpd_answer(struct flo_httpd_request *request, int status, const char *content_type,
                      const void *body, size_t bytes);
/* RFC 9457 problem of an error (or options.error_body); status from its exit
 * class (contracts/rest.md §8), 413 for rest.too_large, 429 for limits, 503
 * with Retry-After for infer.busy. */
void flo_httpd_answer_err(struct flo_httpd_request *request, const struct flo_err *err);
int flo_httpd_status_of(int code);
/* A file: Range (one range), If-None-Match, If-Range, HEAD, strong ETag. Takes
 * the descriptor. */
void flo_httpd_answer_file(struct flo_httpd_request *request, int fd, const char *content_type,
                           const char *etag);
/* A stream (chunked; to HTTP/1.0 until the end of the connection): begin, any
 * number of chunks, end.  chunk returns false when more than
 * backlog_bytes_max wait for a slow client (data was not taken). */
void flo_httpd_stream_begin(struct flo_httpd_request *request, int status,
                            const char *content_type);
bool flo_httpd_stream_chunk(struct flo_httpd_request *request, const void *data, size_t bytes,
                            size_t backlog_bytes_max);
void flo_httpd_stream_end(struct flo_httpd_request *request);
/* Cut the connection, so that the client sees a broken stream. */
void flo_httpd_stream_abort(struct flo_httpd_request *request);

#endif
