/* HTTP/1.1 heads and chunked bodies: bytes to plain data, pure and bounded.
 *
 * Strict, against request smuggling: CRLF only, no folded lines, no blank
 * before a colon, one length, never length and chunks. */
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

/* A parsed head.  All texts lie in the parsed block and end with NUL. */
struct httpd_head {
    const char *method;
    /* No query, begins with '/'; percent-decoded but for %2F and %25, which
     * flo_httpd_segment_decode() decodes in one segment. */
    const char *path;
    int minor; /* HTTP/1.minor */
    size_t n_headers;
    struct httpd_pair headers[HTTPD_HEADERS_MAX];
    size_t n_query;
    struct httpd_pair query[HTTPD_QUERY_MAX];
    uint64_t content_bytes;
    bool is_chunked;
    bool keeps_alive;
    bool expects_continue;
};

/* Parses a whole head in place.  `text` is overwritten, with one byte past
 * `bytes`; `bytes` includes the empty line.  Returns 0 or FLO_E_REST_...;
 * *status is then the HTTP status to answer. */
FLO_MUST_USE int flo_httpd_head_parse(char *text, size_t bytes, struct httpd_head *head,
                                      int *status, struct flo_err *err);
/* Decodes the %2F and %25 that a path left, in place. */
void flo_httpd_segment_decode(char *text);
/* Value of the first header of that name (any case), or NULL. */
const char *flo_httpd_head_find(const struct httpd_head *head, const char *name);

/* State of a chunked body that is read piece by piece.  Zero-initialise. */
struct httpd_chunked {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER } state;
    uint64_t left;
    uint32_t line_bytes;    /* bytes so far of the present line */
    uint32_t trailer_bytes; /* bytes so far of all trailers */
    bool has_digit;
    bool in_extension;
    bool saw_cr;
    bool is_done;
};
/* Consumes a part of `data`.  *piece is then the part of it that belongs to the
 * body; it may be empty.  Returns the bytes consumed: at least 1, unless
 * `bytes` is 0 or the body is complete.  -1: malformed. */
ptrdiff_t flo_httpd_chunked_next(struct httpd_chunked *chunked, const char *data, size_t bytes,
                                 const char **piece, size_t *piece_bytes);

#endif
