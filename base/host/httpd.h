/* HTTP/1.1 server on libevent: routes, bounded bodies, streams, files.
 *
 * Everything runs on the thread of the event base.  Limits hold before a
 * handler sees a request: head 32 KiB, body per route, 10 s for a head, 10 s
 * for each 16 KiB of a body, a cap on connections.  At the cap the connection
 * that has been idle longest is closed, after 100 ms at the earliest; new
 * clients wait in the kernel's queue meanwhile.  If none is idle, the client
 * with most bodies and answers loses one: one that has stood still for a
 * second, or any when the new client has fewer connections.  The same is done
 * when no descriptor is left.  If all connections wait for handlers, the answer
 * is 503, except on spare_paths, which take no body; 8 more places are kept for
 * that, and one descriptor.  Clients of a unix socket have 16 more places.  A
 * handler answers at once, or keeps the request and answers later.  Each state
 * of a connection has a deadline (connection.c), and a row for each event
 * (cells.def).  A client that takes no byte of its answer for a minute is gone.
 * When the client disconnects first, on_closed is called and the request must
 * not be touched again.  A client that only shuts down its sending side still
 * gets its answer (except with TLS, and with HTTP/1.0 over TCP).  Opening
 * ignores SIGPIPE for the process.  HEAD uses the route of GET. */
#ifndef FLOTILLA_HOST_HTTPD_H
#define FLOTILLA_HOST_HTTPD_H

#include <flotilla/base.h>

struct event_base;
struct flo_httpd;
struct flo_httpd_request;

struct flo_httpd_options {
    size_t connections_max; /* 0: 256 */
    /* Paths that are answered when all connections are in use, or no descriptor is
     * left; NULL ends the list.  NULL: no path is. */
    const char *const *spare_paths;
    uint64_t head_timeout_ms;  /* 0: 10000 */
    uint64_t idle_timeout_ms;  /* limit for an idle kept-alive connection; 0: 60000 */
    uint64_t write_timeout_ms; /* limit while the client reads no bytes; 0: 60000 */
    const char *server_name;   /* value of the header Server; NULL: no header */
    /* Host names, without ports, that requests over TCP may use; NULL: any.  A
     * listener that requires client certificates takes any: no web page of another
     * site has one. */
    const char *const *hosts;
    /* true: any IP address is allowed as Host too, because DNS rebinding needs
     * a name */
    bool admits_addresses;
    /* Origins ("https://app.example") whose pages may read the answers in a
     * browser (CORS); NULL ends the list.  NULL: no page may. */
    const char *const *origins;
    /* Makes the body of error answers, also of those that httpd itself sends.
     * NULL: RFC 9457 problem documents. */
    void (*error_body)(const struct flo_httpd_request *request, const struct flo_err *err,
                       int status, struct flo_buf *body);
    const char *error_type; /* content type of error answers; NULL: application/json */
    /* Fix of errors about paths, which names the list of known paths and
     * methods.  NULL: the fix in the table of errors. */
    const char *paths_fix;
    /* Called after each head, before the body is read.  Returns 0, or the error
     * that the client gets.  NULL: every client is admitted. */
    int (*admit)(void *context, struct flo_httpd_request *request, struct flo_err *err);
    void *admit_context;
    uint64_t rate_bytes_per_s; /* rate limit of all answers together; 0: none */
    /* Called after each piece of a file.  After false the rest of the file is
     * not sent.  NULL: every file is sent whole. */
    bool (*on_sent)(void *context, size_t bytes);
    void *sent_context;
};

struct flo_httpd_tls {
    const char *cert_file; /* PEM file with the server's certificate chain */
    const char *key_file;
    const char *client_ca_file; /* CA of client certificates; NULL: clients show none */
    /* false: a client certificate is optional, see flo_httpd_peer_name */
    bool client_cert_required;
    /* true: certificates of these authorities that have expired or are not yet
     * valid are accepted too.  Only flo_httpd_peer shows such a certificate. */
    bool admits_out_of_date;
    /* PEM file with the lists of revoked certificates, one for each authority
     * in client_ca_file.  A client is refused when it is on a list, or when its
     * authority has no list.  NULL: revocation is not checked. */
    const char *revoked_file;
};

/* Tells whether `origin` is in the list.  Both may be NULL. */
bool flo_httpd_origin_is(const char *const *origins, const char *origin);
/* Checks an origin: "http" or "https", a name or address in lower case, and an
 * optional port. */
bool flo_httpd_origin_is_valid(const char *origin);

typedef void (*flo_httpd_handler)(void *context, struct flo_httpd_request *request);

/* Writes the number of clients that got no place so far.  Tells whether one got
 * none in the last minute.
 * FLO_E_REST_LIMIT   all connections were in use
 * FLO_E_DESCRIPTORS  no descriptor was left */
int flo_httpd_room(const struct flo_httpd *httpd, uint64_t *refused, struct flo_err *err);

/* Returns the number of files that are being sent now. */
size_t flo_httpd_files(const struct flo_httpd *httpd);

FLO_MUST_USE int flo_httpd_open(struct event_base *base, const struct flo_httpd_options *options,
                                struct flo_httpd **out, struct flo_err *err);
/* Closes listeners and connections, and calls on_closed for each unanswered
 * request.  A handler must not call it. */
void flo_httpd_close(struct flo_httpd *httpd);

/* Listens on `address`: "127.0.0.1:8080", "127.0.0.1:0" (any free port, which
 * *port gets), "[::1]:80" or "unix:/path" (mode 0660; a stale socket is
 * replaced).  tls NULL means plain HTTP.  A server may have several listeners;
 * flo_httpd_listener_tag returns the `tag` of a request's listener.
 * FLO_E_PORT_IN_USE names address and fix. */
FLO_MUST_USE int flo_httpd_listen(struct flo_httpd *httpd, const char *address,
                                  const struct flo_httpd_tls *tls, int tag, uint16_t *port,
                                  struct flo_err *err);

/* Duplicates the socket of the listener with this tag; the caller owns the
 * copy.  An httpd on another thread can listen on the copy by the address
 * "fd:N", and accepts connections while this httpd cannot.  Returns -1 when
 * there is no such listener. */
int flo_httpd_listener_copy(const struct flo_httpd *httpd, int tag);
/* Makes the listeners with this tag accept connections, or stop accepting.  A
 * new listener accepts. */
void flo_httpd_listener_turn(struct flo_httpd *httpd, int tag, bool is_on);

/* Reloads the TLS files of the listeners with this tag, for later connections.
 * A listener whose files are incomplete keeps the old ones.  With `ends`, the
 * connections of clients that the new files do not admit are closed in this turn
 * of the event loop, whatever they are doing.  FLO_E_NET_TLS. */
FLO_MUST_USE int flo_httpd_tls_again(struct flo_httpd *httpd, int tag, bool ends,
                                     struct flo_err *err);

/* Closes the connections of clients with this name in their certificate in this
 * turn of the event loop, whatever they are doing. */
void flo_httpd_peer_end(struct flo_httpd *httpd, const char *name);

/* Adds a route.  `pattern` is as "/v1/devices/{id}"; a final "/..." matches any
 * rest (as "...").  Several methods may share a pattern.  An unknown path is
 * answered with 404 rest.not_found, another method of a known path with 405 and
 * `Allow`. */
FLO_MUST_USE int flo_httpd_route(struct flo_httpd *httpd, const char *method, const char *pattern,
                                 size_t body_bytes_max, flo_httpd_handler handler, void *context,
                                 struct flo_err *err);
/* Callbacks of a route whose body is streamed.  on_start makes the state of a
 * request.  on_body is called for each piece; its non-zero return aborts the
 * request with that error.  At the end the handler is called with an empty
 * body. */
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

/* Pauses or resumes the reading of the body; may be called in on_body or later.
 * Timeouts do not run during the pause. */
void flo_httpd_upload_hold(struct flo_httpd_request *request, bool is_held);

/* ---- the request: borrowed until it is answered or on_closed ---- */

const char *flo_httpd_method(const struct flo_httpd_request *request);
/* Returns the path, percent-decoded except for slashes and percent signs. */
const char *flo_httpd_path(const struct flo_httpd_request *request);
/* Returns a parameter of the path, decoded, or NULL when it is absent.  The
 * rest that "/..." matches is decoded as the path is. */
const char *flo_httpd_param(const struct flo_httpd_request *request, const char *name);
/* Returns a parameter of the query, decoded, or NULL when it is absent. */
const char *flo_httpd_query(const struct flo_httpd_request *request, const char *name);
/* Returns the name of the query's parameter i, decoded, or NULL after the
 * last. */
const char *flo_httpd_query_name(const struct flo_httpd_request *request, size_t i);
const char *flo_httpd_header(const struct flo_httpd_request *request, const char *name);
const char *flo_httpd_body(const struct flo_httpd_request *request, size_t *bytes);
/* Returns the token of "Authorization: Bearer TOKEN", or NULL when it is
 * absent. */
const char *flo_httpd_bearer(const struct flo_httpd_request *request);
/* Returns the common name in the client's certificate, if it is verified and
 * within its dates; else NULL. */
const char *flo_httpd_peer_name(const struct flo_httpd_request *request);
/* A client's certificate, issued by one of the listener's authorities. */
struct flo_httpd_peer {
    char name[FLO_NAME_MAX + 1]; /* CN */
    char serial[65];             /* hex */
    bool is_out_of_date;         /* true: the certificate has expired, or is not yet valid */
};
/* Returns the client's certificate, or NULL when the client showed none.  A
 * certificate out of date is returned only if the listener accepts those. */
const struct flo_httpd_peer *flo_httpd_peer(const struct flo_httpd_request *request);
/* Appends the client's certificate as PEM.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_httpd_peer_pem(const struct flo_httpd_request *request, struct flo_buf *out,
                                    struct flo_err *err);
int flo_httpd_listener_tag(const struct flo_httpd_request *request);
/* Tells whether "host", "host:port" or "[::1]:port" matches one of `hosts`;
 * NULL ends that list. */
bool flo_httpd_host_is(const char *const *hosts, const char *host);
/* Returns the client's address for logs, as "127.0.0.1" or "unix". */
const char *flo_httpd_peer_address(const struct flo_httpd_request *request);
/* Returns a number that identifies the client: by its user on a unix socket (as
 * the kernel says), else by its address.  It is never 0 or UINT64_MAX. */
uint64_t flo_httpd_peer_client(const struct flo_httpd_request *request);
/* Returns the socket of the request's connection, to ask the kernel about the
 * client.  Nothing may be read or written there. */
int flo_httpd_descriptor(const struct flo_httpd_request *request);
/* Bytes of a request's id, with its NUL. */
#define FLO_HTTPD_ID_TEXT 24
/* Writes the id of a request, as its problem document and our log have it:
 * "1f0a3c55-000000000012". */
void flo_httpd_request_id(const struct flo_httpd_request *request, char *out);
/* Sets a pointer for the handler's use, and a function to call when the answer
 * cannot be completed.  That happens when the client disconnects first, or when
 * httpd refuses the rest of an upload (too large, too slow, on_body failed).
 * For each request either on_closed is called or the handler completes the
 * answer, never both. */
void flo_httpd_set_user(struct flo_httpd_request *request, void *user,
                        void (*on_closed)(void *user));
void *flo_httpd_user(const struct flo_httpd_request *request);

/* ---- the answer ---- */

void flo_httpd_add_header(struct flo_httpd_request *request, const char *name, const char *value);
/* Sends a complete answer. */
void flo_httpd_answer(struct flo_httpd_request *request, int status, const char *content_type,
                      const void *body, size_t bytes);
/* Answers with an RFC 9457 problem document (or options.error_body).  The
 * status comes from the error's exit class (contracts/rest.md §8), except 413
 * for rest.too_large, 429 for limits, and 503 with Retry-After for
 * infer.busy. */
void flo_httpd_answer_err(struct flo_httpd_request *request, const struct flo_err *err);
/* Answers with an error as flo_httpd_answer_err() does, but with this HTTP
 * status. */
void flo_httpd_answer_status(struct flo_httpd_request *request, int status,
                             const struct flo_err *err);
int flo_httpd_status_of(int code);
/* Answers with a file, and takes ownership of the descriptor.  Supports Range
 * (one range), If-None-Match, If-Range, HEAD and strong ETags. */
void flo_httpd_answer_file(struct flo_httpd_request *request, int fd, const char *content_type,
                           const char *etag);
/* Begins a streamed answer, which consists of any number of chunks.  HTTP/1.1
 * gets it chunked; with HTTP/1.0 it ends with the connection. */
void flo_httpd_stream_begin(struct flo_httpd_request *request, int status,
                            const char *content_type);
/* Sends a chunk.  Returns false, and takes no data, when more than
 * backlog_bytes_max bytes wait for a slow client. */
bool flo_httpd_stream_chunk(struct flo_httpd_request *request, const void *data, size_t bytes,
                            size_t backlog_bytes_max);
void flo_httpd_stream_end(struct flo_httpd_request *request);
/* Cuts the connection, so that the client notices a broken stream. */
void flo_httpd_stream_abort(struct flo_httpd_request *request);

#endif
