/* HTTP server: what its files share; see httpd.h. */
#ifndef FLOTILLA_HOST_HTTPD_INTERNAL_H
#define FLOTILLA_HOST_HTTPD_INTERNAL_H

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
    struct event *resume; /* accepts again after an error */
    SSL_CTX *tls;
    struct flo_httpd_tls files; /* its strings are copies of those in `tls` */
    int tag;
    char *unix_path; /* path to unlink at the end; NULL: TCP */
    bool is_off;
};

/* State of a connection; the states HEAD to FLUSH repeat for each request. */
enum httpd_state {
    HTTPD_HEAD,    /* waiting for or reading a head */
    HTTPD_BODY,    /* reading a body */
    HTTPD_HANDLER, /* the handler owes an answer, or the rest of one */
    HTTPD_FLUSH,   /* answered; output is still being sent */
    HTTPD_LINGER,  /* fully answered; further input is read and dropped */
};

struct httpd_connection {
    struct httpd_connection *prev, *next;
    struct flo_httpd *httpd;
    struct httpd_listener *listener;
    struct bufferevent *bev;
    struct event *timer; /* head, body, idle and linger deadlines */
    struct event *kick;  /* resumes from the loop after an answer is complete */
    enum httpd_state state;
    struct flo_httpd_request *request; /* NULL in HEAD and LINGER */
    uint64_t since_ms;                 /* time at which the state HEAD began */
    bool head_begun;                   /* the first byte of a head was received */
    bool closes;                       /* after this answer */
    bool lingers;                      /* the connection closes, though input is unread */
    bool saw_eof;
    bool body_ended;
    bool is_held;          /* reading of the body is paused */
    uint64_t body_bytes;   /* bytes received of this body */
    uint64_t window_bytes; /* bytes among these in the present timer window */
    struct httpd_chunked chunked;
    int file_fd; /* the file being sent, or -1 */
    uint64_t file_offset, file_left;
    char peer_address[64];
    uint64_t peer_client;
    struct flo_httpd_peer peer; /* name "": no certificate */
};

struct flo_httpd_request {
    struct httpd_connection *connection;
    struct httpd_head head;
    char *head_text;
    struct httpd_route *route;
    struct httpd_pair params[HTTPD_PARAMS_MAX];
    size_t n_params;
    char *param_text; /* owned storage of the path's segments */
    struct flo_buf body;
    struct flo_buf headers; /* headers of the answer so far */
    uint64_t number;        /* number of the request in this process */
    void *user;
    void (*on_closed)(void *user);
    bool is_begun;    /* the status line was sent */
    bool is_chunked;  /* the answer is sent chunked */
    bool is_answered; /* the handler sends nothing more */
};

struct flo_httpd {
    struct event_base *base;
    struct flo_httpd_options options;
    struct httpd_route *routes;
    struct httpd_listener *listeners;
    struct httpd_connection *connections; /* newest first */
    size_t n_connections;
    struct event *room;               /* timer: checks again whether new clients may be accepted */
    struct ev_token_bucket_cfg *rate; /* NULL: no limit */
    struct bufferevent_rate_limit_group *all; /* all connections, under the common rate limit */
    uint64_t numbers;                         /* number of the newest request */
    uint32_t run;   /* random; distinguishes request ids of two processes */
    bool is_paused; /* new clients wait in the kernel's queues */
};

/* route.c */
/* Finds the route for method and path, and fills the request's params. NULL:
 * there is none. */
struct httpd_route *flo_httpd_route_find(struct flo_httpd *httpd,
                                         struct flo_httpd_request *request);
/* Appends the methods that the path allows, as in `Allow`. For a path without
 * this method. */
void flo_httpd_route_methods(const struct flo_httpd *httpd, struct flo_httpd_request *request,
                             struct flo_buf *out);
void flo_httpd_routes_free(struct flo_httpd *httpd);

/* cors.c */
/* Adds the CORS headers when the request's origin may read the answer. true:
 * the request was a preflight, and is answered. */
bool flo_httpd_preflight(struct flo_httpd_request *request);

/* answer.c */
void flo_httpd_answer_refusal(struct flo_httpd_request *request, int status,
                              const struct flo_err *err);
/* Puts the next piece of the file into the output. false: reading the file
 * failed. */
bool flo_httpd_file_pump(struct httpd_connection *connection);

/* pause.c */
void flo_httpd_listener_free(struct httpd_listener *listener);
void flo_httpd_listeners_free(struct flo_httpd *httpd);
/* Stops accepting until resumed: new clients wait in the kernel's queues. */
void flo_httpd_pause(struct flo_httpd *httpd);
void flo_httpd_resume(struct flo_httpd *httpd);

/* tls.c */
FLO_MUST_USE int flo_httpd_tls_make(const struct flo_httpd_tls *tls, SSL_CTX **out,
                                    struct flo_err *err);
/* Gives the verified client certificate; name "" when there is none. */
void flo_httpd_tls_peer(struct bufferevent *bev, struct flo_httpd_peer *out);
/* Copies the TLS options of a listener. */
FLO_MUST_USE int flo_httpd_tls_keep(struct flo_httpd_tls *to, const struct flo_httpd_tls *from,
                                    struct flo_err *err);
void flo_httpd_tls_forget(struct flo_httpd_tls *files);

/* connection.c */
/* Closes a listener's connections: idle ones now, others after their answer. */
void flo_httpd_connections_end(struct httpd_listener *listener);
void flo_httpd_accept(struct httpd_listener *listener, evutil_socket_t fd,
                      const struct sockaddr *address, int bytes);

#endif
