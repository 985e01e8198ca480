/* Single GETs (http.c), mirrors (mirrors.c), neighbours
 * (neighbours.c). */
#ifndef FLOTILLA_UPDATER_FETCH_GET_H
#define FLOTILLA_UPDATER_FETCH_GET_H

#include "updater/fetch/fetch.h"

/* Result of one attempt to fetch. */
enum flo_get_outcome {
    FLO_GET_GOOD,
    FLO_GET_PASSING,   /* a temporary failure: the source may be asked again after a pause */
    FLO_GET_PERMANENT, /* a lasting failure: the source is not asked again */
    FLO_GET_FATAL,     /* a failure of this device: disk, budget, stop */
};

/* Classifies an error or an answer of a source. */
enum flo_get_outcome flo_get_judge(int rv, const struct flo_http_answer *answer);
/* Sends one GET for an artifact.  `http` is the handle for mirrors or the
 * handle for neighbours.  Sets *retry_ms to the pause that the server asks
 * for. */
enum flo_get_outcome flo_get_artifact(struct flo_fetch *fetch, struct flo_http *http,
                                      const char *url, struct flo_part *part, uint64_t total,
                                      uint64_t *retry_ms, struct flo_err *err);

struct flo_get_wanted {
    size_t bytes_max;
    flo_fetch_check_fn check;
    void *context;
};
/* Sends one GET for a document to a mirror, and collects the document in
 * memory. */
enum flo_get_outcome flo_get_document(struct flo_fetch *fetch, const char *url,
                                      const struct flo_get_wanted *wanted, struct flo_buf *out,
                                      uint64_t *retry_ms, struct flo_err *err);

void flo_fetch_tell_kept(const struct flo_fetch *fetch, const struct flo_part *part);
/* Sleeps for pause_ms.  Returns FLO_E_INTERRUPTED when the agent closed the
 * connection meanwhile. */
FLO_MUST_USE int flo_fetch_pause(const struct flo_fetch *fetch, uint64_t pause_ms,
                                 struct flo_err *err);

/* Fetches as many bytes of the artifact as neighbours have, and returns 0 even
 * if they have none.  Fails only for this device's own errors: disk, stop. */
FLO_MUST_USE int flo_neighbours_ask(struct flo_fetch *fetch, struct flo_part *part,
                                    const struct flo_artifact *artifact, struct flo_err *err);
/* Called when a complete artifact was wrong.  Neighbours that gave bytes of it
 * are not asked again in this job. */
void flo_neighbours_lied(struct flo_fetch *fetch, const struct flo_err *err);

#endif
