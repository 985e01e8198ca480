/* Connections of the HTTP server: types and functions that its files share; see
 * httpd.h. */
#ifndef FLOTILLA_HOST_HTTPD_CONNECTION_H
#define FLOTILLA_HOST_HTTPD_CONNECTION_H

#include "base/host/httpd.h"
#include "base/host/httpd/parse.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <openssl/ssl.h>

#define HTTPD_PARAMS_MAX 8
#define HTTPD_FILE_PIECE_BYTES 65536
/* places above connections_max, for spare_paths and for refusals */
#define HTTPD_SPARE 8
/* descriptors below the process's limit that clients do not get, so that the
 * handlers' work goes on; HTTPD_SPARE of them are for spare_paths and refusals */
#define HTTPD_KEPT 24
/* places above connections_max for clients of a unix socket */
#define HTTPD_SOCKET 16

struct httpd_route {
    struct httpd_route *next;
    char method[17];
    char *pattern;
    uint64_t body_bytes_max;
    bool is_upload;
    struct flo_httpd_upload upload;
    flo_httpd_handler handler;
    void *context;
};

struct httpd_listener {
    struct httpd_listener *next;
    struct flo_httpd *httpd;
    struct evconnlistener *evl;
    struct event *resume; /* timer that accepts connections again after an error */
    SSL_CTX *tls;
    struct flo_httpd_tls files; /* options from which `tls` was made, with strings of its own */
    int tag;
    char *unix_path; /* path of the socket, unlinked at the end; NULL: TCP */
    bool is_off;
};

/* States of a connection; the states HEAD to FLUSH repeat for each request. */
enum httpd_state {
    HTTPD_HEAD,    /* waiting for or reading a head */
    HTTPD_BODY,    /* reading a body */
    HTTPD_HANDLER, /* the handler must still send an answer, or the rest of one */
    HTTPD_FLUSH,   /* the answer is complete, but not yet sent */
    HTTPD_LINGER,  /* the answer is sent; further input is read and dropped */
};
#define HTTPD_STATES (HTTPD_LINGER + 1)

/* Events of a connection, and what it does at them: cells.def. */
enum httpd_event {
    HTTPD_AT_BYTES,
    HTTPD_AT_END,
    HTTPD_AT_RESET,
    HTTPD_AT_HALF_CLOSE,
    HTTPD_AT_ERROR,
    HTTPD_AT_DEADLINE,
    HTTPD_AT_REVOKED,
    HTTPD_AT_DRAINED,
    HTTPD_AT_NO_DESCRIPTORS,
};
#define HTTPD_EVENTS (HTTPD_AT_NO_DESCRIPTORS + 1)
enum httpd_does {
    HTTPD_WAITS,    /* nothing: bytes wait in their buffers */
    HTTPD_READS,    /* reads what the state can take */
    HTTPD_CLOSES,   /* closes at once, and tells the handler */
    HTTPD_REFUSES,  /* answers 408; closes if no request has begun */
    HTTPD_ASKS,     /* asks the client whether it is there */
    HTTPD_LOOKS,    /* closes if the client is gone or takes nothing, else waits on */
    HTTPD_SENDS_ON, /* sends the rest, then closes or begins the next request */
    HTTPD_YIELDS,   /* closes if room.c chooses it */
};

struct httpd_connection {
    struct httpd_connection *prev, *next;
    struct flo_httpd *httpd;
    struct httpd_listener *listener;
    struct bufferevent *bev;
    struct event *timer; /* deadline of the state (connection.c: deadline_ms) */
    /* event by which the loop continues the connection after its answer is
     * complete */
    struct event *kick;
    enum httpd_state state;
    struct flo_httpd_request *request; /* NULL in the states HEAD and LINGER */
    uint64_t since_ms;                 /* time at which the state HEAD began */
    bool head_begun;                   /* the first byte of a head was received */
    bool is_spare;                     /* true: the descriptor is that of the reserve, or kept */
    bool is_kept;                      /* an answer was sent, and the connection stays open */
    bool closes;                       /* true: the connection closes after this answer */
    /* true: the connection closes, though some input is unread */
    bool lingers;
    bool is_over; /* true: the client's right has ended, so `kick` closes the connection */
    bool saw_eof;
    bool body_ended;
    bool is_held;          /* true: reading of the body is paused */
    uint64_t body_bytes;   /* bytes of this body received so far */
    uint64_t window_bytes; /* bytes of the body that arrived since the timer was last set */
    struct httpd_chunked chunked;
    int file_fd; /* descriptor of the file that is being sent, or -1 */
    uint64_t file_offset, file_left;
    uint64_t moved, moved_at_ms; /* how far the client has read, and since when */
    char peer_address[64];
    uint64_t peer_client;
    struct flo_httpd_peer peer; /* the client's certificate; name "": none */
};

struct flo_httpd_request {
    struct httpd_connection *connection;
    struct httpd_head head;
    char *head_text;
    struct httpd_route *route;
    struct httpd_pair params[HTTPD_PARAMS_MAX];
    size_t n_params;
    char *param_text; /* a copy of the path, in which the parameters are */
    struct flo_buf body;
    struct flo_buf headers; /* headers that the answer has so far */
    uint64_t number;        /* number of the request in this process */
    void *user;
    void (*on_closed)(void *user);
    bool is_begun;    /* true: the status line was sent */
    bool is_chunked;  /* the answer is sent chunked */
    bool is_answered; /* true: the handler will send no more bytes */
    bool was_asked;   /* true: the client sends no more, and was asked whether it is there */
};

struct flo_httpd {
    struct event_base *base;
    struct flo_httpd_options options;
    struct httpd_route *routes;
    struct httpd_listener *listeners;
    struct httpd_connection *connections; /* newest first */
    size_t n_connections;
    /* timer that checks again whether new clients may be accepted */
    struct event *room;
    struct evbuffer *piece;           /* an answer, or its head, while it is written */
    struct evbuffer *lack;            /* an answer that needs no more memory: there is none */
    struct ev_token_bucket_cfg *rate; /* common rate limit; NULL: none */
    /* all connections, as a group under the common rate limit */
    struct bufferevent_rate_limit_group *all;
    uint64_t numbers; /* number of the newest request */
    uint32_t run;     /* a random number that makes request ids differ between processes */
    bool is_paused;   /* true: new clients wait in the kernel's queues */
    size_t most;      /* clients for whom there are descriptors; SIZE_MAX: none was short */
    bool has_yielded; /* true: a connection went for the next client, who has no descriptor yet */
    int reserve;      /* descriptor that is given up for a client when none is left; or -1 */
    int full;         /* error of the newest refusal; 0: none so far */
    uint64_t full_at_ms, refused; /* time of that refusal, and number of all */
};

/* answer.c */
/* Makes `piece` and `lack`, again after `lack` was used.  Returns false without
 * memory. */
bool flo_httpd_lack_ready(struct flo_httpd *httpd);
/* Answers that there is no memory, without memory.  The connection closes after
 * it. */
void flo_httpd_lack(struct httpd_connection *connection);

/* route.c */
/* Returns the route for method and path, and fills the request's parameters.
 * Returns NULL when there is none. */
struct httpd_route *flo_httpd_route_find(struct flo_httpd *httpd,
                                         struct flo_httpd_request *request);
/* Appends the methods that a path allows, as in `Allow`, for a request whose
 * method has no route. */
void flo_httpd_route_methods(const struct flo_httpd *httpd, struct flo_httpd_request *request,
                             struct flo_buf *out);
void flo_httpd_routes_free(struct flo_httpd *httpd);

/* peer.c */
bool flo_httpd_host_is_allowed(const struct httpd_connection *connection);
/* Fills in address and number of the client, and sets the options of its socket. */
void flo_httpd_peer_describe(struct httpd_connection *connection, int fd,
                             const struct sockaddr *address);

/* cells.c */
enum httpd_does flo_httpd_does(enum httpd_state state, enum httpd_event event);

/* cors.c */
/* Adds the CORS headers when the request's origin may read the answer.  Returns
 * true when the request was a preflight, which is then answered. */
bool flo_httpd_preflight(struct flo_httpd_request *request);

/* answer.c */
/* Puts the next piece of the file into the output. false: reading the file
 * failed. */
bool flo_httpd_file_pump(struct httpd_connection *connection);

/* pause.c */
/* Counts a client that gets no place, and writes the error: FLO_E_REST_LIMIT or
 * FLO_E_DESCRIPTORS. */
void flo_httpd_refused(struct flo_httpd *httpd, int code, struct flo_err *err);
/* Fills the reserve again, if there is a descriptor. */
void flo_httpd_reserve(struct flo_httpd *httpd);
void flo_httpd_listener_free(struct httpd_listener *listener);
void flo_httpd_listeners_free(struct flo_httpd *httpd);
/* Stops accepting until flo_httpd_resume(): new clients wait in the kernel's
 * queues. */
void flo_httpd_pause(struct flo_httpd *httpd);
void flo_httpd_resume(struct flo_httpd *httpd);

/* room.c */
bool flo_httpd_is_full(const struct flo_httpd *httpd);
/* Tells whether a connection has a place or a descriptor that is kept for
 * spare_paths. */
bool flo_httpd_is_over(const struct httpd_connection *connection);
/* Room for a client that came with this descriptor. */
struct httpd_room {
    bool is_free;   /* false: somebody has to give way for it */
    bool has_spare; /* if it is not free: a place for the answer 503 is left */
    bool is_short;  /* the client would take a descriptor of those that are kept for the work */
};
struct httpd_room flo_httpd_room_for(const struct httpd_listener *listener, int fd);
/* Pauses accepting while the next client would replace a connection that was
 * opened or answered only just now.  New clients wait in the kernel's queue. */
void flo_httpd_room_mind(struct flo_httpd *httpd);
/* Pauses accepting for less than a second. */
void flo_httpd_room_wait(struct flo_httpd *httpd, uint64_t ms);
/* Returns the time since the client took or sent a byte, or had nothing to take. */
uint64_t flo_httpd_still_ms(struct httpd_connection *connection);
/* Returns the connection that is closed for a newcomer (NULL: it is not known yet).
 * That is the one that has been idle longest, for 100 ms at least.  Else it is a
 * body or an answer of the client that has most of them: one that has stood still
 * for a second, or any if these are more than the newcomer's connections.  NULL:
 * nobody yields. */
struct httpd_connection *flo_httpd_room_yields(const struct flo_httpd *httpd,
                                               const struct httpd_connection *newcomer);

/* tls.c */
FLO_MUST_USE int flo_httpd_tls_make(const struct flo_httpd_tls *tls, SSL_CTX **out,
                                    struct flo_err *err);
/* Copies the verified client certificate; its name is "" when there is none. */
void flo_httpd_tls_peer(struct bufferevent *bev, struct flo_httpd_peer *out);
/* Copies the TLS options of a listener, with their strings. */
FLO_MUST_USE int flo_httpd_tls_keep(struct flo_httpd_tls *to, const struct flo_httpd_tls *from,
                                    struct flo_err *err);
void flo_httpd_tls_forget(struct flo_httpd_tls *files);
/* Tells whether a client of before would be admitted now.  A client in its
 * handshake would not: it is verified with the files of before. */
bool flo_httpd_tls_admits(SSL_CTX *context, SSL *ssl);

/* connection.c */
/* Closes the connection that flo_httpd_room_yields() returns.  false: it is none. */
bool flo_httpd_give_way(const struct flo_httpd *httpd, const struct httpd_connection *newcomer);
/* Closes those connections of a listener, whatever their state, that its new TLS
 * files do not admit. */
void flo_httpd_connections_check(struct httpd_listener *listener);
void flo_httpd_connections_free(struct flo_httpd *httpd);
void flo_httpd_accept(struct httpd_listener *listener, evutil_socket_t fd,
                      const struct sockaddr *address, int bytes);

#endif
