/* Files and batches as OpenAI's API shows them, and as they are kept.
 *
 * Each is one JSON document: a client sees it without the members that say
 * whose it is.  Pure. */
#ifndef FLOTILLA_BATCH_OBJECT_H
#define FLOTILLA_BATCH_OBJECT_H

#include "base/host/json.h"

#define FLO_OBJECT_ID 32                 /* "batch-" and 24 hex digits, and a NUL */
#define FLO_OBJECT_NAME_MAX 255          /* bytes of a file's name */
#define FLO_OBJECT_WHAT_MAX 512          /* bytes of an error's sentence */
#define FLO_OBJECT_BYTES_MAX 65536       /* as a document */
#define FLO_OBJECT_METADATA_MAX 16       /* pairs of a client's */
#define FLO_OBJECT_TIME_MAX 253402300799 /* the year 9999, as seconds */

/* A new id with this prefix ("file-"). */
void flo_object_id_make(const char *prefix, char out[FLO_OBJECT_ID]);
/* Is it an id of that prefix, as they are made here?  Then it is a file's name,
 * too. */
bool flo_object_id_is(const char *prefix, const char *id);

struct flo_batch_file {
    char id[FLO_OBJECT_ID];
    char app[FLO_NAME_MAX + 1]; /* whose; empty: of who may use all */
    char name[FLO_OBJECT_NAME_MAX + 1];
    bool is_output; /* purpose batch_output, else batch */
    uint64_t bytes, created_s;
    uint64_t expires_s;
};

enum flo_batch_status {
    FLO_BATCH_VALIDATING,
    FLO_BATCH_FAILED,
    FLO_BATCH_IN_PROGRESS,
    FLO_BATCH_FINALIZING,
    FLO_BATCH_COMPLETED,
    FLO_BATCH_EXPIRED,
    FLO_BATCH_CANCELLING,
    FLO_BATCH_CANCELLED,
    FLO_BATCH_STATUSES
};
const char *flo_batch_status_word(enum flo_batch_status status);
/* Nothing more comes of it. */
bool flo_batch_status_is_end(enum flo_batch_status status);

struct flo_batch {
    char id[FLO_OBJECT_ID];
    char app[FLO_NAME_MAX + 1];
    int endpoint;
    char input[FLO_OBJECT_ID];
    /* Files of its answers; empty: there is none.  Clients see them at the
     * end. */
    char output[FLO_OBJECT_ID], error[FLO_OBJECT_ID];
    enum flo_batch_status status;
    uint64_t at_s[FLO_BATCH_STATUSES]; /* when it got there; 0: it did not */
    uint64_t expires_s;                /* the end of its time to work */
    uint64_t output_expires_s;         /* after its end its files stay so long; 0: as
                                          the owner says */
    uint64_t total, completed, failed; /* lines */
    int code;                          /* why it failed; 0: it did not */
    char what[FLO_OBJECT_WHAT_MAX];
    uint64_t line;    /* that was wrong; 0: none */
    json_t *metadata; /* an object of texts, or NULL; ours */
    /* Not kept: */
    /* Why it does not go on, with a code; empty: it does. */
    char waits[FLO_OBJECT_WHAT_MAX + 64];
    uint64_t answer_bytes; /* bytes of its answers, while it works */
    uint64_t next_ms;      /* not before that, as flo_now_ms() */
};
void flo_batch_deinit(struct flo_batch *batch);

/* As a client sees it; is_kept: with all that is kept. */
void flo_batch_file_write(const struct flo_batch_file *file, bool is_kept, struct flo_buf *out);
void flo_batch_write(const struct flo_batch *batch, bool is_kept, struct flo_buf *out);
/* Read what was kept.  FLO_E_META_JSON, FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_batch_file_read(const char *text, size_t bytes, struct flo_batch_file *out,
                                     struct flo_err *err);
FLO_MUST_USE int flo_batch_read(const char *text, size_t bytes, struct flo_batch *out,
                                struct flo_err *err);

/* The body of a new batch: its endpoint, input, time and metadata.
 * FLO_E_REST_SCHEMA, FLO_E_INFER_PARAM. */
FLO_MUST_USE int flo_batch_ask(const char *body, size_t bytes, uint64_t now_s,
                               struct flo_batch *out, struct flo_err *err);

#endif
