/* Sink: receives the bytes of an answer.
 *
 * A sink is an HTTP client (sink.c), or memory for an answer that no client
 * waits for (memory.h).  An answer is headers and then either one whole body or
 * a stream: begin, any number of chunks, end or abort.  The sink is closed
 * after the whole body, the end or the abort, and when its client disconnects.
 * A call on a closed sink does nothing. */
#ifndef FLOTILLA_SERVE_SINK_H
#define FLOTILLA_SERVE_SINK_H

#include <flotilla/base.h>

struct flo_httpd_request;

/* Functions for one kind of sink, none of which is NULL. */
struct serve_sink_kind {
    void (*header)(void *context, const char *name, const char *value);
    void (*whole)(void *context, int status, const char *type, const void *data, size_t bytes);
    void (*begin)(void *context, int status, const char *type);
    /* Sends a piece.  Returns false, and does not take the piece, when too many
     * bytes are unsent because the reader is slow.  The last piece is always
     * taken. */
    bool (*chunk)(void *context, const void *data, size_t bytes, bool is_last);
    void (*end)(void *context);
    void (*abort)(void *context);
};

struct serve_sink {
    const struct serve_sink_kind *kind; /* NULL: closed */
    void *context;
};

/* Makes a sink of a request's HTTP client.  Before the answer ends, the sink
 * clears what flo_httpd_set_user() has set. */
struct serve_sink flo_sink_http(struct flo_httpd_request *http);

bool flo_sink_is_gone(const struct serve_sink *sink);
void flo_sink_header(struct serve_sink *sink, const char *name, const char *value);
void flo_sink_whole(struct serve_sink *sink, int status, const char *type,
                    const struct flo_buf *body);
void flo_sink_begin(struct serve_sink *sink, int status, const char *type);
/* Sends a piece.  Returns false when the reader was too slow; the caller must
 * then abort. */
bool flo_sink_chunk(struct serve_sink *sink, const struct flo_buf *piece);
/* Sends the last piece, and ends the answer. */
void flo_sink_end(struct serve_sink *sink, const struct flo_buf *last);
/* Breaks off the stream, so that the reader sees that it is not complete. */
void flo_sink_abort(struct serve_sink *sink);

#endif
