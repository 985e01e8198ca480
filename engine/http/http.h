/* A client of HTTP/1.x for programs of this machine, without a library: one
 * request, its answer byte by byte, and the events of a stream.
 *
 *   exchange.c  the connection       reply.c  an HTTP answer
 *   events.c    server-sent events
 *
 * reply.c and events.c only compute.  The other side is not trusted: all that
 * it sends is bounded before it is kept. */
#ifndef FLOTILLA_ENGINE_HTTP_H
#define FLOTILLA_ENGINE_HTTP_H

#include <flotilla/base.h>

/* The other side, as errors call it: "the runtime". */
struct flo_peer {
    const char *name;
    int lost; /* code of a connection that cannot be, or breaks */
    int bad;  /* code of an answer that cannot be used */
};

/* Takes a piece of a body; its error ends the reading. */
typedef int flo_body_fn(void *context, const char *data, size_t bytes, struct flo_err *err);

/* ---- reply.c ---- */

#define FLO_REPLY_LINE_MAX 8192

enum flo_reply_state {
    FLO_REPLY_STATUS, /* zero: at the beginning */
    FLO_REPLY_HEAD,
    FLO_REPLY_LENGTH, /* a body of `left` bytes */
    FLO_REPLY_CHUNK,  /* the size of the next one */
    FLO_REPLY_DATA,   /* `left` bytes of a chunk */
    FLO_REPLY_AFTER,  /* the end of its line */
    FLO_REPLY_TRAILER,
    FLO_REPLY_TO_END, /* a body until the connection ends */
    FLO_REPLY_DONE,
};
/* Zero-initialise, and name the peer. */
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
/* Take bytes; the body's are given to `take`.  Bytes after the end are passed
 * over.  peer->bad: this is no HTTP/1.x. */
FLO_MUST_USE int flo_reply_read(struct flo_reply_reader *reader, const char *data, size_t bytes,
                                flo_body_fn *take, void *context, struct flo_err *err);
/* The connection has ended.  peer->bad: in the middle. */
FLO_MUST_USE int flo_reply_end(struct flo_reply_reader *reader, struct flo_err *err);

/* ---- events.c ---- */

#define FLO_EVENT_BYTES_MAX (1u << 20)

/* Lines of a stream; zero-initialise, and name the peer. */
struct flo_events {
    const struct flo_peer *peer;
    struct flo_buf line, data;
    bool is_done; /* "[DONE]" has come */
};
/* Split into events; `take` gets the data of each, which it may change.
 * peer->bad: one is too long. */
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
/* Connect to this unix socket, or where it is "" to this port of 127.0.0.1,
 * and send `out`.  peer->lost: nobody listens. */
FLO_MUST_USE int flo_exchange_begin(struct flo_exchange *exchange, const char *socket,
                                    uint16_t port, struct flo_err *err);
/* For poll(). */
short flo_exchange_events(const struct flo_exchange *exchange);
/* Go on after poll(), without blocking.  1: the answer is whole, 0: not yet. */
FLO_MUST_USE int flo_exchange_go_on(struct flo_exchange *exchange, flo_body_fn *take, void *context,
                                    struct flo_err *err);
/* Close the connection; another request may begin. */
void flo_exchange_end(struct flo_exchange *exchange);

#endif
