/* Sink: receives the finished bytes of an answer.
 *
 * A sink is a client of HTTP (sink.c), or memory for an answer that no client
 * waits for (memory.h).  An answer is headers and then either one whole body or
 * a stream: begin, any number of chunks, end or abort.  After the whole body,
 * the end or the abort the sink is closed; also when its client disconnects.  A
 * call on a closed sink does nothing. */
#ifndef FLOTILLA_SERVE_SINK_H
#define FLOTILLA_SERVE_SINK_H

#include <flotilla/base.h>

struct flo_httpd_request;

/* Functions of a kind of sink; none is NULL. */
struct serve_sink_kind {
    void (*header)(void *context, const char *name, const char *value);
    void (*whole)(void *context, int status, const char *type, const void *data, size_t bytes);
    void (*begin)(void *context, int status, const char *type);
    /* Sends a piece.  false: too many bytes are unsent because the reader is slow, and
     * the piece was not taken.  The last piece is always taken. */
    bool (*chunk)(void *context, const void *data, size_t bytes, bool is_last);
    void (*end)(void *context);
    void (*abort)(void *context);
};

struct serve_sink {
    const struct serve_sink_kind *kind; /* NULL: closed */
    void *context;
};

/* Makes a sink of this request's client; it clears what flo_httpd_set_user()
 * set before the answer ends. */
struct serve_sink flo_sink_http(struct flo_httpd_request *http);

bool flo_sink_is_gone(const struct serve_sink *sink);
void flo_sink_header(struct serve_sink *sink, const char *name, const char *value);
void flo_sink_whole(struct serve_sink *sink, int status, const char *type,
                    const struct flo_buf *body);
void flo_sink_begin(struct serve_sink *sink, int status, const char *type);
/* Sends a piece; false: the reader was too slow, and the caller must abort. */
bool flo_sink_chunk(struct serve_sink *sink, const struct flo_buf *piece);
/* Sends a last piece and ends the answer. */
void flo_sink_end(struct serve_sink *sink, const struct flo_buf *last);
/* Breaks the stream off, so that the reader sees that it is incomplete. */
void flo_sink_abort(struct serve_sink *sink);

#endif
