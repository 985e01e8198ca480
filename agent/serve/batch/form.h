/* Form: reads a file upload in multipart/form-data, piece by piece.
 *
 * A file of requests may be much larger than the memory, so its bytes are
 * passed on as they arrive.  The other fields are short texts.  Pure. */
#ifndef FLOTILLA_BATCH_FORM_H
#define FLOTILLA_BATCH_FORM_H

#include "agent/serve/batch/object.h"
#include "agent/serve/openai/multipart.h"

struct flo_batch_form {
    struct flo_multipart multipart; /* boundary between parts */
    enum {
        FORM_SKIP, /* before the first boundary; bytes are skipped */
        FORM_MARK, /* behind a boundary */
        FORM_HEAD,
        FORM_DATA,
        FORM_END,
    } state;
    struct flo_buf held; /* bytes that have arrived and were not read yet */
    unsigned parts;
    char field[64];
    char value[64]; /* value of the short field that is being read */
    size_t value_bytes;
    bool is_file, has_file;
    /* Values of the form's fields: */
    char name[FLO_OBJECT_NAME_MAX + 1]; /* name of the uploaded file */
    char purpose[64];
    char anchor[64], seconds[64]; /* members of the field expires_after; empty: not given */
    /* Called with each piece of the file.  A result below 0 ends the form. */
    int (*take)(void *context, const char *data, size_t bytes, struct flo_err *err);
    void *context;
};

/* Opens a form.  The caller sets the struct to zero before, and then `take` and
 * `context`.
 * FLO_E_REST_SCHEMA  the content type is no form with a boundary */
FLO_MUST_USE int flo_batch_form_open(struct flo_batch_form *form, const char *content_type,
                                     struct flo_err *err);
/* Reads more bytes of the body.
 * FLO_E_REST_SCHEMA, FLO_E_MEMORY and the errors of take()  the body is invalid
 * or cannot be stored */
FLO_MUST_USE int flo_batch_form_feed(struct flo_batch_form *form, const char *data, size_t bytes,
                                     struct flo_err *err);
/* Ends the body.  *lifetime_s gets the time for which the file stays; 0: the
 * owner's default.
 * FLO_E_REST_SCHEMA  the body is cut off, or has no file
 * FLO_E_INFER_PARAM  a field is invalid */
FLO_MUST_USE int flo_batch_form_end(struct flo_batch_form *form, uint64_t *lifetime_s,
                                    struct flo_err *err);
void flo_batch_form_deinit(struct flo_batch_form *form);

#endif
