/* HTTP/1.1 heads and chunked bodies: parses bytes to plain data, pure and
 * bounded.
 *
 * The parser is strict, against request smuggling: CRLF only, no folded lines,
 * no blank before a colon, one length, never length and chunks. */
#ifndef FLOTILLA_HOST_HTTPD_PARSE_H
#define FLOTILLA_HOST_HTTPD_PARSE_H

#include <flotilla/base.h>

#define HTTPD_HEAD_BYTES_MAX 32768
#define HTTPD_HEADERS_MAX 100
#define HTTPD_QUERY_MAX 32

struct httpd_pair {
    const char *name;
    const char *value;
};

/* A parsed head.  All its texts are in the parsed block and end with NUL. */
struct httpd_head {
    const char *method;
    /* Path without the query, which begins with '/'.  It is percent-decoded
     * but for %2F and %25, which flo_httpd_segment_decode() decodes in one
     * segment. */
    const char *path;
    int minor; /* minor version of HTTP/1 */
    size_t n_headers;
    struct httpd_pair headers[HTTPD_HEADERS_MAX];
    size_t n_query;
    struct httpd_pair query[HTTPD_QUERY_MAX];
    uint64_t content_bytes;
    bool is_chunked;
    bool keeps_alive;
    bool expects_continue;
};

/* Tells whether a head may begin with this byte.  One of TLS, for example, does
 * not. */
bool flo_httpd_head_may_begin(char first);
/* Parses a whole head in place.  `text` is overwritten, with one byte past
 * `bytes`; `bytes` includes the empty line.  Returns 0, or FLO_E_REST_... with
 * the HTTP status to answer in *status. */
FLO_MUST_USE int flo_httpd_head_parse(char *text, size_t bytes, struct httpd_head *head,
                                      int *status, struct flo_err *err);
/* Decodes in place the %2F and %25 that stayed escaped in a path. */
void flo_httpd_segment_decode(char *text);
/* Returns the value of the first header of that name (any case), or NULL. */
const char *flo_httpd_head_find(const struct httpd_head *head, const char *name);

/* State of a reader that gets a chunked body piece by piece.
 * Zero-initialise. */
struct httpd_chunked {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } state;
    uint64_t left;
    uint32_t line_bytes;    /* bytes of the present line so far */
    uint32_t trailer_bytes; /* bytes of all trailers so far */
    bool has_digit;
    bool in_extension;
    bool saw_cr;
    bool is_done;
};
/* Consumes a part of `data`.  *piece is the part of it that belongs to the
 * body, and may be empty.  Returns the bytes consumed: at least 1, unless
 * `bytes` is 0 or the body is complete.  Returns -1 for malformed data. */
ptrdiff_t flo_httpd_chunked_next(struct httpd_chunked *chunked, const char *data, size_t bytes,
                                 const char **piece, size_t *piece_bytes);

#endif
