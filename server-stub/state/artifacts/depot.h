/* Depot: an HTTP or S3 store in which all controllers of a fleet keep its
 * artifacts (run/depot.c).  The files below DIR/blobs are copies of it.
 *
 * Whoever has a job is told on the state's thread. */
#ifndef FLOTILLA_SERVER_STATE_DEPOT_H
#define FLOTILLA_SERVER_STATE_DEPOT_H

#include <stdatomic.h>

#include <flotilla/base.h>

enum flo_depot_what {
    FLO_DEPOT_PUT, /* `from` is brought there, and is `path` afterwards */
    FLO_DEPOT_GET  /* `path` is brought here */
};
struct flo_depot_job {
    enum flo_depot_what what;
    struct flo_digest digest;
    uint64_t bytes_max; /* limit of a GET: more is cut; 0: not stated */
    /* Path of the file, which is there whole or not at all. */
    char path[4096];
    char from[4096];     /* source of a PUT: it goes in any case */
    void *context;       /* NULL: nobody waits any more */
    atomic_bool is_left; /* a GET that nobody waits for is not begun */
    /* The job is freed after it.  err->code 0: done. */
    void (*done)(void *context, const struct flo_depot_job *job, const struct flo_err *err);
    struct flo_depot_job *next;
    struct flo_depot_job *same; /* others of that digest */
    struct flo_err err;
};
struct flo_depot {
    /* Takes `job` (from calloc).  FLO_E_REST_LIMIT when so many wait already:
     * it was freed. */
    int (*ask)(void *self, struct flo_depot_job *job, struct flo_err *err);
    void *self;
    atomic_uint failing; /* a bit of each kind of what fails; 0: nothing */
    atomic_bool has_all; /* the last look found all of DIR/blobs there */
};
/* Also true without a depot: then another one answers for what it has. */
static inline bool flo_depot_has_all(const struct flo_depot *depot)
{
    return depot == NULL || atomic_load(&depot->has_all);
}

#endif
