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
    struct event *resume; /* accept again after an error */
    SSL_CTX *tls;
    struct flo_httpd_tls files; /* strings are ours; of `tls` */
    int tag;
    char *unix_path; /* to unlink; NULL: TCP */
    bool is_off;
};

/* Where a connection stands; it goes round HEAD..FLUSH once per request. */
enum httpd_state {
    HTTPD_HEAD,    /* waiting for or reading a head */
    HTTPD_BODY,    /* reading a body */
    HTTPD_HANDLER, /* the handler owes (the rest of) an answer */
    HTTPD_FLUSH,   /* answered; bytes are on their way out */
    HTTPD_LINGER,  /* answered and done; reading over what still comes */
};

struct httpd_connection {
    struct httpd_connection *prev, *next;
    struct flo_httpd *httpd;
    struct httpd_listener *listener;
    struct bufferevent *bev;
    struct event *timer; /* head, body, idle and linger deadlines */
    struct event *kick;  /* an answer is complete: go on from the loop */
    enum httpd_state state;
    struct flo_httpd_request *request; /* NULL in HEAD and LINGER */
    uint64_t since_ms;                 /* begin of the state HEAD */
    bool head_begun;                   /* the first byte of a head is there */
    bool closes;                       /* after this answer */
    bool lingers;                      /* closes, with input still unread */
    bool saw_eof;
    bool body_ended;
    bool is_held;          /* the body is not read for now */
    uint64_t body_bytes;   /* received of this body */
    uint64_t window_bytes; /* bytes of them in this timer window */
    struct httpd_chunked chunked;
    int file_fd; /* the file being sent, or -1 */
    uint64_t file_offset, file_left;
    char peer_address[64];
    uint64_t peer_client;
    struct flo_httpd_peer peer; /* name "": none */
};

struct flo_httpd_request {
    struct httpd_connection *connection;
    struct httpd_head head;
    char *head_text;
    struct httpd_route *route;
    struct httpd_pair params[HTTPD_PARAMS_MAX];
    size_t n_params;
    char *param_text; /* the path, cut up */
    struct flo_buf body;
    struct flo_buf headers; /* headers of the answer */
    uint64_t number;        /* count of requests in this process */
    void *user;
    void (*on_closed)(void *user);
    bool is_begun;    /* a status line is out */
    bool is_chunked;  /* the answer's stream is */
    bool is_answered; /* nothing more to come from the handler */
};

struct flo_httpd {
    struct event_base *base;
    struct flo_httpd_options options;
    struct httpd_route *routes;
    struct httpd_listener *listeners;
    struct httpd_connection *connections; /* newest first */
    size_t n_connections;
    struct event *room;                       /* look again whether there is room */
    struct ev_token_bucket_cfg *rate;         /* NULL: no limit */
    struct bufferevent_rate_limit_group *all; /* connections, by that rate */
    uint64_t numbers;                         /* the requests' */
    uint32_t run;                             /* random: tells two processes' requests apart */
    bool is_paused;                           /* clients wait in the kernel's queues */
};

/* route.c */
/* The route of method and path, filling the request's params; NULL: none. */
struct httpd_route *flo_httpd_route_find(struct flo_httpd *httpd,
                                         struct flo_httpd_request *request);
/* Then: append the methods that the path has, as `Allow` lists them. */
void flo_httpd_route_methods(const struct flo_httpd *httpd, struct flo_httpd_request *request,
                             struct flo_buf *out);
void flo_httpd_routes_free(struct flo_httpd *httpd);

/* cors.c */
/* Tell the page's browser that it may read the answer, if its origin is one of
 * those that may.  true: it only asks what it may send, and was told. */
bool flo_httpd_preflight(struct flo_httpd_request *request);

/* answer.c */
void flo_httpd_answer_refusal(struct flo_httpd_request *request, int status,
                              const struct flo_err *err);
/* Put more of the file into the output; false: the file broke. */
bool flo_httpd_file_pump(struct httpd_connection *connection);

/* pause.c */
void flo_httpd_listener_free(struct httpd_listener *listener);
void flo_httpd_listeners_free(struct flo_httpd *httpd);
/* Leave new clients in the kernel's queues until resumed. */
void flo_httpd_pause(struct flo_httpd *httpd);
void flo_httpd_resume(struct flo_httpd *httpd);

/* tls.c */
FLO_MUST_USE int flo_httpd_tls_make(const struct flo_httpd_tls *tls, SSL_CTX **out,
                                    struct flo_err *err);
/* The client's certificate that was verified, or name "". */
void flo_httpd_tls_peer(struct bufferevent *bev, struct flo_httpd_peer *out);
/* A listener's own copy of what it was given. */
FLO_MUST_USE int flo_httpd_tls_keep(struct flo_httpd_tls *to, const struct flo_httpd_tls *from,
                                    struct flo_err *err);
void flo_httpd_tls_forget(struct flo_httpd_tls *files);

/* connection.c */
/* End the idle connections of a listener, the others after their answer. */
void flo_httpd_connections_end(struct httpd_listener *listener);
void flo_httpd_accept(struct httpd_listener *listener, evutil_socket_t fd,
                      const struct sockaddr *address, int bytes);

#endif
