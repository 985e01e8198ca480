/* HTTP: an HTTP/1.x client for servers on this machine, without a library.  It
 * sends one request and reads the answer, also as a stream of events.
 *
 *   exchange.c  the connection       reply.c  an HTTP answer
 *   events.c    server-sent events
 *
 * reply.c and events.c do no I/O.  The server is not trusted: all that it sends
 * is bounded before it is stored. */
#ifndef FLOTILLA_ENGINE_HTTP_H
#define FLOTILLA_ENGINE_HTTP_H

#include <flotilla/base.h>

/* How error messages name the server, for example "the runtime". */
struct flo_peer {
    const char *name;
    int lost; /* error code: cannot connect, or connection lost */
    int bad;  /* error code: invalid answer */
};

/* Receives a piece of a body; an error from it stops the reading. */
typedef int flo_body_fn(void *context, const char *data, size_t bytes, struct flo_err *err);

/* ---- reply.c ---- */

#define FLO_REPLY_LINE_MAX 8192

enum flo_reply_state {
    FLO_REPLY_STATUS, /* zero: initial state */
    FLO_REPLY_HEAD,
    FLO_REPLY_LENGTH, /* a body with `left` bytes to come */
    FLO_REPLY_CHUNK,  /* next: the size of a chunk */
    FLO_REPLY_DATA,   /* `left` bytes of a chunk to come */
    FLO_REPLY_AFTER,  /* next: the line end after a chunk */
    FLO_REPLY_TRAILER,
    FLO_REPLY_TO_END, /* a body that ends with the connection */
    FLO_REPLY_DONE,
};
/* Zero-initialise, then set the peer. */
struct flo_reply_reader {
    const struct flo_peer *peer;
    enum flo_reply_state state;
    int status;
    bool is_stream; /* server-sent events */
    bool is_chunked, has_length;
    uint64_t left;
    uint32_t lines;
    char line[FLO_REPLY_LINE_MAX];
    size_t line_bytes;
};
/* Parses bytes of the answer and gives those of the body to `take`.  Bytes
 * after the answer's end are ignored.  peer->bad: not HTTP/1.x. */
FLO_MUST_USE int flo_reply_read(struct flo_reply_reader *reader, const char *data, size_t bytes,
                                flo_body_fn *take, void *context, struct flo_err *err);
/* Tells the reader that the connection has ended.  peer->bad: the answer is
 * incomplete. */
FLO_MUST_USE int flo_reply_end(struct flo_reply_reader *reader, struct flo_err *err);

/* ---- events.c ---- */

#define FLO_EVENT_BYTES_MAX (1u << 20)

/* The parsed lines of an event stream; zero-initialise, then set the peer. */
struct flo_events {
    const struct flo_peer *peer;
    struct flo_buf line, data;
    bool is_done; /* "[DONE]" was received */
};
/* Splits the stream into events; `take` gets each event's data, which it may
 * change.  peer->bad: an event is too long. */
FLO_MUST_USE int flo_events_read(struct flo_events *events, const char *data, size_t bytes,
                                 int (*take)(void *context, char *data, size_t bytes,
                                             struct flo_err *err),
                                 void *context, struct flo_err *err);
void flo_events_deinit(struct flo_events *events);

/* ---- exchange.c ---- */

struct flo_exchange {
    int fd; /* -1: none */
    bool is_connecting;
    struct flo_buf out; /* the request */
    size_t sent;
    struct flo_reply_reader reader;
};
void flo_exchange_init(struct flo_exchange *exchange, const struct flo_peer *peer);
/* Connects to this unix socket, or if it is "" to this port of 127.0.0.1, and
 * begins to send `out`. peer->lost: no server listens. */
FLO_MUST_USE int flo_exchange_begin(struct flo_exchange *exchange, const char *socket,
                                    uint16_t port, struct flo_err *err);
/* Returns the events to wait for with poll(). */
short flo_exchange_events(const struct flo_exchange *exchange);
/* Continues after poll(), without blocking.  1: the answer is complete, 0: not
 * yet. */
FLO_MUST_USE int flo_exchange_go_on(struct flo_exchange *exchange, flo_body_fn *take, void *context,
                                    struct flo_err *err);
/* Closes the connection; another request may begin. */
void flo_exchange_end(struct flo_exchange *exchange);

#endif
