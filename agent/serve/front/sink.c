/* Sink: calls the functions of a sink's kind, and has the kind for HTTP
 * clients. */
#include "agent/serve/front/sink.h"

#include "base/host/httpd.h"

/* Number of unsent bytes for which a reader counts as too slow when another
 * piece arrives.  The size of that piece does not matter. */
#define BACKLOG_BYTES_MAX 262144

/* ---- HTTP ---- */

static void http_header(void *context, const char *name, const char *value)
{
    flo_httpd_add_header(context, name, value);
}

static void http_whole(void *context, int status, const char *type, const void *data, size_t bytes)
{
    flo_httpd_set_user(context, NULL, NULL);
    flo_httpd_answer(context, status, type, data, bytes);
}

static void http_begin(void *context, int status, const char *type)
{
    flo_httpd_stream_begin(context, status, type);
}

static bool http_chunk(void *context, const void *data, size_t bytes, bool is_last)
{
    return flo_httpd_stream_chunk(context, data, bytes,
                                  is_last ? SIZE_MAX / 2 : bytes + BACKLOG_BYTES_MAX);
}

static void http_end(void *context)
{
    flo_httpd_set_user(context, NULL, NULL);
    flo_httpd_stream_end(context);
}

static void http_abort(void *context)
{
    flo_httpd_set_user(context, NULL, NULL);
    flo_httpd_stream_abort(context);
}

struct serve_sink flo_sink_http(struct flo_httpd_request *http)
{
    static const struct serve_sink_kind kind = {http_header, http_whole, http_begin,
                                                http_chunk,  http_end,   http_abort};

    return (struct serve_sink){&kind, http};
}

/* ---- any ---- */

bool flo_sink_is_gone(const struct serve_sink *sink)
{
    return sink->kind == NULL;
}

void flo_sink_header(struct serve_sink *sink, const char *name, const char *value)
{
    if (sink->kind != NULL) {
        sink->kind->header(sink->context, name, value);
    }
}

/* Closes the sink, and returns a copy by which its last function is called.  So
 * callbacks during that call find the sink closed. */
static struct serve_sink leave(struct serve_sink *sink)
{
    struct serve_sink last = *sink;

    *sink = (struct serve_sink){0};
    return last;
}

void flo_sink_whole(struct serve_sink *sink, int status, const char *type,
                    const struct flo_buf *body)
{
    struct serve_sink last = leave(sink);

    if (last.kind != NULL) {
        last.kind->whole(last.context, status, type, body->data, body->bytes);
    }
}

void flo_sink_begin(struct serve_sink *sink, int status, const char *type)
{
    if (sink->kind != NULL) {
        sink->kind->begin(sink->context, status, type);
    }
}

bool flo_sink_chunk(struct serve_sink *sink, const struct flo_buf *piece)
{
    return sink->kind == NULL ||
           (!piece->failed && sink->kind->chunk(sink->context, piece->data, piece->bytes, false));
}

void flo_sink_end(struct serve_sink *sink, const struct flo_buf *last_piece)
{
    struct serve_sink last = leave(sink);

    if (last.kind != NULL) {
        last.kind->chunk(last.context, last_piece->data, last_piece->bytes, true);
        last.kind->end(last.context);
    }
}

void flo_sink_abort(struct serve_sink *sink)
{
    struct serve_sink last = leave(sink);

    if (last.kind != NULL) {
        last.kind->abort(last.context);
    }
}
