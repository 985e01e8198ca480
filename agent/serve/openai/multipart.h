/* Multipart: splits a body in multipart/form-data (RFC 7578) into its parts. */
#ifndef FLOTILLA_SERVE_MULTIPART_H
#define FLOTILLA_SERVE_MULTIPART_H

#include <flotilla/base.h>

#define FLO_MULTIPART_BOUNDARY_MAX 70

struct flo_multipart {
    /* Text between two parts: CR LF, two dashes, and the boundary's text. */
    char mark[FLO_MULTIPART_BOUNDARY_MAX + 5];
    size_t mark_bytes;
    const char *at, *end; /* part of the body that was not read yet; it begins after a boundary */
    bool has_begun;
};
struct flo_multipart_part {
    char name[64]; /* name of the field, cut to the size */
    const char *data;
    size_t bytes;
};
/* Fails with FLO_E_REST_SCHEMA and this fault of a form. */
int flo_multipart_refuse(struct flo_err *err, const char *what);
/* Opens a form.  The body is borrowed; `content_type` may be NULL.
 * FLO_E_REST_SCHEMA  no form, or an invalid boundary */
FLO_MUST_USE int flo_multipart_open(struct flo_multipart *form, const char *content_type,
                                    const char *body, size_t bytes, struct flo_err *err);
/* Gives the next part.  Returns 1 for a part, 0 at the end.
 * FLO_E_REST_SCHEMA  the form is invalid */
FLO_MUST_USE int flo_multipart_next(struct flo_multipart *form, struct flo_multipart_part *part,
                                    struct flo_err *err);

/* Reads the names of a field and of its file from the headers of a part.  A
 * name that is absent gives "", a long one is cut.
 * FLO_E_REST_SCHEMA  the field has no name */
FLO_MUST_USE int flo_multipart_heads(const char *head, size_t bytes, char *name, size_t name_bytes,
                                     char *file, size_t file_bytes, struct flo_err *err);

#endif
