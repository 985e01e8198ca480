/* Form: parses a file upload in multipart/form-data, piece by piece.
 *
 * A file of requests may be much larger than the memory.  Its bytes are passed
 * on as they arrive; the other fields are short texts.  Pure. */
#ifndef FLOTILLA_BATCH_FORM_H
#define FLOTILLA_BATCH_FORM_H

#include "agent/serve/batch/object.h"
#include "agent/serve/openai/multipart.h"

struct flo_batch_form {
    struct flo_multipart multipart; /* boundary between parts */
    enum {
        FORM_SKIP, /* everything before the first boundary is skipped */
        FORM_MARK, /* behind a boundary */
        FORM_HEAD,
        FORM_DATA,
        FORM_END,
    } state;
    struct flo_buf held; /* bytes not interpreted yet */
    unsigned parts;
    char field[64];
    char value[64]; /* value of a short field */
    size_t value_bytes;
    bool is_file, has_file;
    /* Fields of the form: */
    char name[FLO_OBJECT_NAME_MAX + 1]; /* name of the file */
    char purpose[64];
    char anchor[64], seconds[64]; /* fields of expires_after; empty: not given */
    /* Callback for a piece of the file.  A result < 0 ends the form. */
    int (*take)(void *context, const char *data, size_t bytes, struct flo_err *err);
    void *context;
};

/* Opens a form.  Zero-initialise, set take and context.  FLO_E_REST_SCHEMA. */
FLO_MUST_USE int flo_batch_form_open(struct flo_batch_form *form, const char *content_type,
                                     struct flo_err *err);
/* Adds bytes of the body.  FLO_E_REST_SCHEMA, FLO_E_MEMORY, and errors of
 * take(). */
FLO_MUST_USE int flo_batch_form_feed(struct flo_batch_form *form, const char *data, size_t bytes,
                                     struct flo_err *err);
/* Ends the body.  *lifetime_s gets the time for which the file is to be kept;
 * 0: the owner's default. FLO_E_REST_SCHEMA: the body is cut off, or has no
 * file.  FLO_E_INFER_PARAM: a field is invalid. */
FLO_MUST_USE int flo_batch_form_end(struct flo_batch_form *form, uint64_t *lifetime_s,
                                    struct flo_err *err);
void flo_batch_form_deinit(struct flo_batch_form *form);

#endif
