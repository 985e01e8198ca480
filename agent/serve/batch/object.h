/* Object: files and batches as OpenAI's API shows them, and as they are stored.
 *
 * Each of them is one JSON document.  Clients do not see its members about the
 * owner.  Pure. */
#ifndef FLOTILLA_BATCH_OBJECT_H
#define FLOTILLA_BATCH_OBJECT_H

#include "agent/serve/party.h"
#include "base/host/json.h"

/* size of an id: "batch-", 24 hex digits and a NUL */
#define FLO_OBJECT_ID 32
#define FLO_OBJECT_NAME_MAX 255    /* largest number of bytes in a file's name */
#define FLO_OBJECT_WHAT_MAX 512    /* largest number of bytes in an error's text */
#define FLO_OBJECT_BYTES_MAX 65536 /* largest number of bytes in a stored document */
/* largest number of metadata pairs that a client may give */
#define FLO_OBJECT_METADATA_MAX 16
#define FLO_OBJECT_TIME_MAX 253402300799 /* latest time, in seconds: the year 9999 */

/* Makes a new id that begins with `prefix`, such as "file-". */
void flo_object_id_make(const char *prefix, char out[FLO_OBJECT_ID]);
/* Tells whether a text is a valid id with this prefix.  Such an id is also safe
 * as a file's name. */
bool flo_object_id_is(const char *prefix, const char *id);

struct flo_batch_file {
    char id[FLO_OBJECT_ID];
    /* name of the party that owns the file (flo_party_name); empty: the device's
     * owner */
    FLO_OWNED(FILES, char app[FLO_NAME_MAX + 1]);
    char name[FLO_OBJECT_NAME_MAX + 1];
    bool is_output; /* true: the file's purpose is "batch_output"; false: it is "batch" */
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
/* Tells whether a batch with this status has ended. */
bool flo_batch_status_is_end(enum flo_batch_status status);

struct flo_batch {
    char id[FLO_OBJECT_ID];
    FLO_OWNED(BATCHES, char app[FLO_NAME_MAX + 1]);
    int endpoint;
    char input[FLO_OBJECT_ID];
    /* Ids of the files with the batch's answers and errors; empty: none.
     * Clients see the ids when the batch has ended. */
    char output[FLO_OBJECT_ID], error[FLO_OBJECT_ID];
    enum flo_batch_status status;
    uint64_t at_s[FLO_BATCH_STATUSES]; /* time at which each status began; 0: it has not begun */
    uint64_t expires_s;                /* time after which the batch is not processed any more */
    /* time for which the answer files stay after the end; 0: the owner's
     * default */
    uint64_t output_expires_s;
    uint64_t total, completed, failed; /* lines */
    int code;                          /* error code of a batch that failed; 0: it did not */
    char what[FLO_OBJECT_WHAT_MAX];
    uint64_t line;    /* number of the input line that is wrong; 0: none */
    json_t *metadata; /* metadata of the client: an object of texts; NULL: none */
    /* Not stored: */
    /* Reason why the batch waits, with an error id; empty: it does not wait. */
    char waits[FLO_OBJECT_WHAT_MAX + 64];
    uint64_t answer_bytes; /* bytes of the answers that are written so far */
    uint64_t next_ms;      /* time before which the batch does not continue, by flo_now_ms() */
};
void flo_batch_deinit(struct flo_batch *batch);

/* Writes the document of a file as clients see it.  is_kept: writes all
 * members, as the document is stored. */
void flo_batch_file_write(const struct flo_batch_file *file, bool is_kept, struct flo_buf *out);
void flo_batch_write(const struct flo_batch *batch, bool is_kept, struct flo_buf *out);
/* Reads the stored document of a file.
 * FLO_E_META_JSON, FLO_E_META_SCHEMA  the document is invalid */
FLO_MUST_USE int flo_batch_file_read(const char *text, size_t bytes, struct flo_batch_file *out,
                                     struct flo_err *err);
FLO_MUST_USE int flo_batch_read(const char *text, size_t bytes, struct flo_batch *out,
                                struct flo_err *err);

/* Reads the body that asks for a new batch: its endpoint, input, time and
 * metadata.
 * FLO_E_REST_SCHEMA, FLO_E_INFER_PARAM  the body is invalid */
FLO_MUST_USE int flo_batch_ask(const char *body, size_t bytes, uint64_t now_s,
                               struct flo_batch *out, struct flo_err *err);

#endif
