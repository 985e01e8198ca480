/* Multipart: splits a body of multipart/form-data (RFC 7578) into parts. */
#ifndef FLOTILLA_SERVE_MULTIPART_H
#define FLOTILLA_SERVE_MULTIPART_H

#include <flotilla/base.h>

#define FLO_MULTIPART_BOUNDARY_MAX 70

struct flo_multipart {
    /* boundary between parts: CR LF, two dashes, and the boundary's text */
    char mark[FLO_MULTIPART_BOUNDARY_MAX + 5];
    size_t mark_bytes;
    const char *at, *end; /* rest of the body, after a boundary */
    bool has_begun;
};
struct flo_multipart_part {
    char name[64]; /* the field's name, truncated */
    const char *data;
    size_t bytes;
};
/* Opens a form; the body is borrowed, `content_type` may be NULL.
 * FLO_E_REST_SCHEMA: not a form, or an invalid boundary. */
FLO_MUST_USE int flo_multipart_open(struct flo_multipart *form, const char *content_type,
                                    const char *body, size_t bytes, struct flo_err *err);
/* Gets the next part.  Returns 1 for a part, 0 at the end.
 * FLO_E_REST_SCHEMA. */
FLO_MUST_USE int flo_multipart_next(struct flo_multipart *form, struct flo_multipart_part *part,
                                    struct flo_err *err);

/* Reads the names of a field and of its file from a part's headers; empty if
 * absent, truncated if long.  FLO_E_REST_SCHEMA: the field has no name. */
FLO_MUST_USE int flo_multipart_heads(const char *head, size_t bytes, char *name, size_t name_bytes,
                                     char *file, size_t file_bytes, struct flo_err *err);

#endif
