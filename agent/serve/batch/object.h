/* Object: files and batches as OpenAI's API shows them, and as they are stored.
 *
 * Each is one JSON document; clients see it without the members about its
 * owner.  Pure. */
#ifndef FLOTILLA_BATCH_OBJECT_H
#define FLOTILLA_BATCH_OBJECT_H

#include "base/host/json.h"

#define FLO_OBJECT_ID 32                 /* "batch-" and 24 hex digits, and a NUL */
#define FLO_OBJECT_NAME_MAX 255          /* maximum bytes of a file's name */
#define FLO_OBJECT_WHAT_MAX 512          /* maximum bytes of an error's text */
#define FLO_OBJECT_BYTES_MAX 65536       /* largest size of an object's document */
#define FLO_OBJECT_METADATA_MAX 16       /* maximum number of metadata pairs of a client */
#define FLO_OBJECT_TIME_MAX 253402300799 /* the year 9999, in seconds */

/* Makes a new id with this prefix ("file-"). */
void flo_object_id_make(const char *prefix, char out[FLO_OBJECT_ID]);
/* Checks for a valid id with this prefix, which is also safe as a file's name.
 * */
bool flo_object_id_is(const char *prefix, const char *id);

struct flo_batch_file {
    char id[FLO_OBJECT_ID];
    char app[FLO_NAME_MAX + 1]; /* app that owns it; empty: a client that may use all models */
    char name[FLO_OBJECT_NAME_MAX + 1];
    bool is_output; /* purpose batch_output; false: batch */
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
/* Is the status final? */
bool flo_batch_status_is_end(enum flo_batch_status status);

struct flo_batch {
    char id[FLO_OBJECT_ID];
    char app[FLO_NAME_MAX + 1];
    int endpoint;
    char input[FLO_OBJECT_ID];
    /* Ids of the files with its answers; empty: none.  Clients see them when the batch
     * ends. */
    char output[FLO_OBJECT_ID], error[FLO_OBJECT_ID];
    enum flo_batch_status status;
    uint64_t at_s[FLO_BATCH_STATUSES]; /* start time of each status; 0: not reached */
    uint64_t expires_s;                /* time at which its processing ends in any case */
    uint64_t output_expires_s; /* time for which its files are kept after its end; 0: the owner's
                                  default */
    uint64_t total, completed, failed; /* lines */
    int code;                          /* error code if it failed; 0: none */
    char what[FLO_OBJECT_WHAT_MAX];
    uint64_t line;    /* number of the faulty line; 0: none */
    json_t *metadata; /* object of texts, or NULL; owned */
    /* Not stored: */
    /* Reason why the batch waits, with an error code; empty: it does not
     * wait. */
    char waits[FLO_OBJECT_WHAT_MAX + 64];
    uint64_t answer_bytes; /* size of its answers so far */
    uint64_t next_ms;      /* earliest time to continue, as flo_now_ms() */
};
void flo_batch_deinit(struct flo_batch *batch);

/* Writes the document as clients see it; is_kept: as it is stored, with all
 * members. */
void flo_batch_file_write(const struct flo_batch_file *file, bool is_kept, struct flo_buf *out);
void flo_batch_write(const struct flo_batch *batch, bool is_kept, struct flo_buf *out);
/* Reads a stored document.  FLO_E_META_JSON, FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_batch_file_read(const char *text, size_t bytes, struct flo_batch_file *out,
                                     struct flo_err *err);
FLO_MUST_USE int flo_batch_read(const char *text, size_t bytes, struct flo_batch *out,
                                struct flo_err *err);

/* Parses the body of a new batch: its endpoint, input, time and metadata.
 * FLO_E_REST_SCHEMA, FLO_E_INFER_PARAM. */
FLO_MUST_USE int flo_batch_ask(const char *body, size_t bytes, uint64_t now_s,
                               struct flo_batch *out, struct flo_err *err);

#endif
