/* Depot: an HTTP or S3 store in which all controllers of a fleet keep its
 * artifacts (run/depot.c).  The files below DIR/blobs are local copies.
 *
 * Callbacks of jobs run on the state's thread. */
#ifndef FLOTILLA_SERVER_STATE_DEPOT_H
#define FLOTILLA_SERVER_STATE_DEPOT_H

#include <stdatomic.h>

#include <flotilla/base.h>

enum flo_depot_what {
    FLO_DEPOT_PUT, /* job that uploads the file `from`, which is renamed to `path` afterwards */
    FLO_DEPOT_GET  /* download `path` */
};
struct flo_depot_job {
    enum flo_depot_what what;
    struct flo_digest digest;
    uint64_t bytes_max; /* size limit of a GET: the rest is cut off; 0: no limit */
    /* Path of the local file.  The file is complete or does not exist. */
    char path[4096];
    char from[4096]; /* path of the file that a PUT uploads; the file is removed in any case */
    void *context;   /* argument of `done`; NULL: nobody waits for it any more */
    /* nobody waits for the job any more, so a GET that has not begun is not
     * started */
    atomic_bool is_left;
    /* Called at the end of the job, which is freed afterwards.  err->code is 0
     * after a success. */
    void (*done)(void *context, const struct flo_depot_job *job, const struct flo_err *err);
    struct flo_depot_job *next;
    struct flo_depot_job *same; /* next job in the list of jobs with the same digest */
    struct flo_err err;
};
/* Interface of a depot; the functions below call it. */
struct flo_depot {
    int (*ask)(void *self, struct flo_depot_job *job, struct flo_err *err);
    bool (*is_failing)(const void *self);
    bool (*has_all)(const void *self);
    void *self;
};

/* Queues a job, and takes ownership of it (from calloc).
 * FLO_E_REST_LIMIT  the queue is full, and the job was freed */
FLO_MUST_USE static inline int flo_depot_ask(const struct flo_depot *depot,
                                             struct flo_depot_job *job, struct flo_err *err)
{
    return depot->ask(depot->self, job, err);
}

/* Returns whether the last try of some kind of job failed.  Without a depot none
 * did. */
static inline bool flo_depot_is_failing(const struct flo_depot *depot)
{
    return depot != NULL && depot->is_failing(depot->self);
}

/* Returns whether the depot had all artifacts at the last check.  Without a depot
 * the answer is true, because the operator of the blob server is responsible for
 * them. */
static inline bool flo_depot_has_all(const struct flo_depot *depot)
{
    return depot == NULL || depot->has_all(depot->self);
}

#endif
