/* Audit: a chain of records, each with the hash of the one before.  Pure.
 *
 * hash(n) = SHA-256 of the fields of record n, one of which is
 * hash(n - 1).  Changing, removing or swapping a record breaks the chain from
 * there on; cutting the end shows against any copy of the head. */
#ifndef FLOTILLA_SERVER_AUDIT_H
#define FLOTILLA_SERVER_AUDIT_H

#include <flotilla/base.h>

struct flo_audit_record {
    uint64_t number; /* from 1 */
    uint64_t at_ms;
    const char *who;    /* token id and name, device id, or "controller" */
    const char *what;   /* "rollout.start" */
    const char *object; /* "r-0001" */
    const char *result; /* "ok" or an error id */
    const char *detail; /* free text for people, cleaned */
    struct flo_digest previous; /* zero for the first */
};

/* Hash of a record. */
void flo_audit_hash(const struct flo_audit_record *record,
                    struct flo_digest *out);

/* A walk over the chain.  Zero-initialise; give the records in order. */
struct flo_audit_walk {
    uint64_t number;        /* of the last good record */
    struct flo_digest head; /* its hash */
};
/* FLO_E_AUDIT_CHAIN names the first bad number. */
FLO_MUST_USE int flo_audit_walk_next(struct flo_audit_walk *walk,
                                     const struct flo_audit_record *record,
                                     const struct flo_digest *hash,
                                     struct flo_err *err);

#endif
