/* Audit: a chain of records, each with the hash of the one before.  Pure.
 *
 * hash(n) = SHA-256 of the fields of record n, one of which is hash(n - 1).  A
 * changed, removed or moved record breaks the chain from there on.  A table
 * that was cut short, emptied or rewritten is found by the checkpoints: signed
 * chain heads in a file of their own. */
#ifndef FLOTILLA_SERVER_AUDIT_H
#define FLOTILLA_SERVER_AUDIT_H

#include <flotilla/base.h>

struct flo_audit_record {
    uint64_t number; /* from 1 */
    uint64_t at_ms;
    const char *who;            /* token id and name, device id, or "controller" */
    const char *what;           /* "rollout.start" */
    const char *object;         /* "r-0001" */
    const char *result;         /* "ok" or an error id */
    const char *detail;         /* free text for people, cleaned */
    struct flo_digest previous; /* hash of the record before; zero for the first record */
};

/* Computes the hash of a record. */
void flo_audit_hash(const struct flo_audit_record *record, struct flo_digest *out);

/* Walk over the chain.  Zero-initialise; pass the records in order. */
struct flo_audit_walk {
    uint64_t number;        /* number of the newest record that matched */
    struct flo_digest head; /* hash of the newest record that matched */
};
/* Adds the next record to the walk.  FLO_E_AUDIT_CHAIN: a record does not
 * match; the error names its number. */
FLO_MUST_USE int flo_audit_walk_next(struct flo_audit_walk *walk,
                                     const struct flo_audit_record *record,
                                     const struct flo_digest *hash, struct flo_err *err);

/* Checkpoint: number and hash of the chain's newest record at one time, signed
 * and kept outside the table.
 *
 * As text: "head <number> sha256:<64 hex> <at_ms>".  A line "restart ..." means
 * that the data was restored from a backup.  The records after `number` are
 * then missing without a fault.  A line "seals ..." has the number of the newest
 * change of a sealed row (store/seals.h) instead, and a hash of zeros. */
struct flo_audit_checkpoint {
    uint64_t number;
    uint64_t at_ms;
    struct flo_digest hash;
    bool is_restart;
    bool is_seals;
};
#define FLO_AUDIT_SIGNATURE_BYTES 64
#define FLO_AUDIT_CHECKPOINT_TEXT 160
#define FLO_AUDIT_LINE_TEXT 320

/* Writes the text over which a checkpoint is signed. */
void flo_audit_checkpoint_text(const struct flo_audit_checkpoint *checkpoint, char *out);
/* Writes a checkpoint's line of the file, with its line feed: text, blank,
 * signature as hex. */
void flo_audit_line(const struct flo_audit_checkpoint *checkpoint, const uint8_t *signature,
                    char *out);
/* Parses one line without its line feed.  Returns false when the line is no
 * checkpoint. */
bool flo_audit_line_parse(const char *line, size_t bytes, struct flo_audit_checkpoint *out,
                          uint8_t *signature);
/* Adds the next checkpoint of the file to `checkpoints`, which has room for one
 * more.  A checkpoint of a restart first drops each earlier one whose number is
 * at least as high.  Returns false when the new number is not above that of the
 * last checkpoint. */
bool flo_audit_checkpoints_add(struct flo_audit_checkpoint *checkpoints, size_t *count,
                               const struct flo_audit_checkpoint *checkpoint);
/* Compares the last record of the walk with the checkpoints.  Returns
 * FLO_E_AUDIT_CHAIN when a checkpoint has the record's number but another hash.
 * *next gets the index of the first checkpoint whose number is at least that of
 * the record. */
FLO_MUST_USE int flo_audit_checkpoints_compare(const struct flo_audit_checkpoint *checkpoints,
                                               size_t count, size_t *next,
                                               const struct flo_audit_walk *walk,
                                               struct flo_err *err);
/* Checks the remaining checkpoints at the end of the table.  Returns
 * FLO_E_AUDIT_CHAIN when a checkpoint has a higher number than the last
 * record. */
FLO_MUST_USE int flo_audit_checkpoints_end(const struct flo_audit_checkpoint *checkpoints,
                                           size_t count, const struct flo_audit_walk *walk,
                                           struct flo_err *err);

#endif
