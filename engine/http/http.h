/* HTTP: an HTTP/1.x client for servers on this machine, without a library.  It
 * sends one request and reads the answer, also as a stream of events.
 *
 *   exchange.c  the connection
 *   reply.c     an HTTP answer
 *   events.c    server-sent events
 *
 * reply.c and events.c do no I/O.  The server is not trusted: all that it sends
 * is bounded before it is stored. */
#ifndef FLOTILLA_ENGINE_HTTP_H
#define FLOTILLA_ENGINE_HTTP_H

#include <flotilla/base.h>

/* Names and error codes of a server.  `name` is used in error messages, for
 * example "the runtime". */
struct flo_peer {
    const char *name;
    int lost; /* error code for no connection, or a lost one */
    int bad;  /* error code for an answer that is not valid */
};

/* Callback that gets a piece of the body.  If it returns an error, the reading
 * stops. */
typedef int flo_body_fn(void *context, const char *data, size_t bytes, struct flo_err *err);

/* ---- reply.c ---- */

#define FLO_REPLY_LINE_MAX 8192

enum flo_reply_state {
    FLO_REPLY_STATUS, /* zero: initial state */
    FLO_REPLY_HEAD,
    FLO_REPLY_LENGTH, /* `left` bytes of the body follow */
    FLO_REPLY_CHUNK,  /* the size of a chunk follows */
    FLO_REPLY_DATA,   /* `left` bytes of the chunk follow */
    FLO_REPLY_AFTER,  /* the line end after a chunk follows */
    FLO_REPLY_TRAILER,
    FLO_REPLY_TO_END, /* the body goes on until the connection ends */
    FLO_REPLY_DONE,
};
/* State of reading one answer.  Zero-initialise it, then set the peer. */
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
 * after the answer's end are ignored.  Returns peer->bad if the answer is not
 * HTTP/1.x. */
FLO_MUST_USE int flo_reply_read(struct flo_reply_reader *reader, const char *data, size_t bytes,
                                flo_body_fn *take, void *context, struct flo_err *err);
/* Tells the reader that the connection has ended.  Returns peer->bad if the
 * answer is incomplete. */
FLO_MUST_USE int flo_reply_end(struct flo_reply_reader *reader, struct flo_err *err);

/* ---- events.c ---- */

#define FLO_EVENT_BYTES_MAX (1u << 20)

/* State of parsing an event stream.  Zero-initialise it, then set the peer. */
struct flo_events {
    const struct flo_peer *peer;
    struct flo_buf line, data;
    bool is_done; /* "[DONE]" was received */
};
/* Splits the stream into events.  `take` gets the data of each event and may
 * change it.  Returns peer->bad if an event is too long. */
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
/* Begins to connect to a unix socket.  If `path` is "", it connects to `port` of
 * 127.0.0.1 instead.  Returns a descriptor, or -1 with the reason in errno. */
int flo_exchange_connect(const char *path, uint16_t port);
/* Begins to send `out` on such a connection, which belongs to the exchange now.
 * Returns peer->lost if it is -1, with errno as the reason. */
FLO_MUST_USE int flo_exchange_begin(struct flo_exchange *exchange, int fd, struct flo_err *err);
/* Returns the events for which the caller waits with poll(). */
short flo_exchange_events(const struct flo_exchange *exchange);
/* Sends and reads what is possible without blocking; called after poll().
 * Returns 1 if the answer is complete, 0 if not. */
FLO_MUST_USE int flo_exchange_go_on(struct flo_exchange *exchange, flo_body_fn *take, void *context,
                                    struct flo_err *err);
/* Closes the connection.  Another request may begin afterwards. */
void flo_exchange_end(struct flo_exchange *exchange);

#endif
