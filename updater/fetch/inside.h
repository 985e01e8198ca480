/* Inside of fetching: one GET (http.c), mirrors (mirrors.c), neighbours
 * (neighbours.c). */
#ifndef FLOTILLA_UPDATER_FETCH_INSIDE_H
#define FLOTILLA_UPDATER_FETCH_INSIDE_H

#include "updater/fetch/fetch.h"

/* How one attempt ended. */
enum flo_get_outcome {
    FLO_GET_GOOD,
    FLO_GET_PASSING,   /* try again, after a pause */
    FLO_GET_PERMANENT, /* not from this one */
    FLO_GET_FATAL,     /* our own trouble: disk, budget, stop */
};

/* The meaning of an error or an answer for whom we asked. */
enum flo_get_outcome flo_get_judge(int rv, const struct flo_http_answer *answer);
/* One GET of an artifact by `http`: fetch->handle for a mirror, the handle of
 * the neighbours for one of them.  *retry_ms: the pause that it asks for. */
enum flo_get_outcome flo_get_artifact(struct flo_fetch *fetch, struct flo_http *http,
                                      const char *url, struct flo_part *part, uint64_t total,
                                      uint64_t *retry_ms, struct flo_err *err);

struct flo_get_wanted {
    size_t bytes_max;
    flo_fetch_check_fn check;
    void *context;
};
/* One GET of a document from a mirror, into memory. */
enum flo_get_outcome flo_get_document(struct flo_fetch *fetch, const char *url,
                                      const struct flo_get_wanted *wanted, struct flo_buf *out,
                                      uint64_t *retry_ms, struct flo_err *err);

void flo_fetch_tell_kept(const struct flo_fetch *fetch, const struct flo_part *part);
/* FLO_E_INTERRUPTED when the agent goes away meanwhile. */
FLO_MUST_USE int flo_fetch_pause(const struct flo_fetch *fetch, uint64_t pause_ms,
                                 struct flo_err *err);

/* As many bytes of the artifact into `part` as neighbours give; 0 also where
 * that is none.  Errors are those of this device: disk, stop. */
FLO_MUST_USE int flo_neighbours_ask(struct flo_fetch *fetch, struct flo_part *part,
                                    const struct flo_artifact *artifact, struct flo_err *err);
/* The artifact was whole and wrong: whoever gave bytes of it is asked no more
 * in this job. */
void flo_neighbours_lied(struct flo_fetch *fetch, const struct flo_err *err);

#endif
