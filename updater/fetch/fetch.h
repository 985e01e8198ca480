/* Fetching: downloads artifacts by their digest from neighbours or mirrors, or
 * takes them from a bundle.
 *
 * One fetch belongs to one job.  Errors are counted per mirror.  After a
 * temporary one (no answer, 5xx, too slow) the next mirror is asked at once;
 * when all have failed, they are asked again after a pause with full jitter.
 * After a permanent one (404, 403, wrong bytes, a captive portal) the mirror is
 * not used again for this artifact.  A mirror may redirect once, with 307:
 * digests make that safe. */
#ifndef FLOTILLA_UPDATER_FETCH_H
#define FLOTILLA_UPDATER_FETCH_H

#include "base/host/http_client.h"
#include "updater/fetch/part.h"
#include <flotilla/release.h>

#define FLO_FETCH_MIRRORS_MAX 8

#define FLO_NEIGHBOURS_MAX 8
#define FLO_NEIGHBOURS_URL_BYTES 300

struct flo_trust;

/* Devices on the local network that may have an artifact
 * (docs/decisions/neighbours.md).  A fetch asks them before the mirrors, and
 * trusts them as little. */
struct flo_neighbours {
    const char *urls[FLO_NEIGHBOURS_MAX]; /* "https://host:port" */
    size_t count;
    /* Time limits, counted from the job's first request to a neighbour.  Before
     * turn_ms a download that has not begun asks no mirror, because a neighbour
     * may begin it.  Before wait_ms no mirror is asked for bytes that a
     * neighbour is downloading. */
    uint64_t turn_ms, wait_ms;
    uint64_t pause_ms;    /* pause before all neighbours are asked again; 0: 1000, then growing */
    uint64_t patience_ms; /* timeout to connect; a slow answer gets five times as long; 0: 1000 */
    /* Called when a wait for a neighbour begins; may be NULL. */
    void (*on_wait)(void *context);

    uint64_t bytes; /* result: bytes received from neighbours, right or wrong ones */
    struct flo_http *handle;
    /* time of the first request to a neighbour; 0: none yet */
    uint64_t asked_ms;
    /* time until which the neighbour is not asked, for each of `urls` */
    uint64_t aside_ms[FLO_NEIGHBOURS_MAX];
    bool gave[FLO_NEIGHBOURS_MAX]; /* which neighbours sent bytes of the current artifact */
};

struct flo_fetch {
    struct flo_store *store;
    const char *urls[FLO_FETCH_MIRRORS_MAX]; /* "https://host:port" */
    size_t url_count;
    size_t first; /* the mirror that is asked first: the last one that was good */
    struct flo_http_options http;
    uint32_t attempts_max; /* most rounds of all mirrors in a row without a new byte; 0: 6 */
    uint64_t pause_ms_min; /* 0: 500 */
    uint64_t pause_ms_max; /* 0: 30000 */
    uint64_t budget_bytes; /* byte limit of the whole job; 0: none */
    uint64_t deadline_ms;  /* steady time at which the job is over; 0: none */
    size_t slow_count;     /* mirrors that were too slow for it, of the current artifact */
    int control_fd;        /* connection to the agent, whose close stops the fetch; -1: none */
    struct flo_neighbours neighbours;
    /* Called with the progress of the current artifact; may be NULL. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    /* Called when the first `kept` bytes of the artifact are in partial/.  They
     * are verified only at the artifact's end.  May be NULL. */
    void (*on_kept)(void *kept_context, uint64_t kept);
    void *kept_context;
    void *context;

    /* Results. */
    uint64_t fetched_bytes; /* bytes of answers' bodies that came from the network */
    /* bytes of the first artifact that were in partial/ already, from an
     * earlier run */
    uint64_t found_bytes;
    /* result: the last error may be temporary, so a later attempt may
     * succeed */
    bool is_passing;
    struct flo_http *handle;    /* opened at first use */
    struct flo_http *elsewhere; /* client for a store that a mirror redirects to */
    bool told_plain;            /* true: the log already has a redirect without TLS */
};

void flo_fetch_deinit(struct flo_fetch *fetch);
/* Tells whether the rest of a download takes longer than the time that is left,
 * at the speed of the bytes so far.  Before a twentieth of that time, or ten
 * seconds, the speed is not known. */
bool flo_fetch_is_too_slow(uint64_t bytes, uint64_t took_ms, uint64_t left_bytes, uint64_t left_ms);
/* Tells whether the agent has closed its end of control_fd. */
bool flo_fetch_is_stopped(const struct flo_fetch *fetch);

/* Downloads an artifact into partial/ and verifies it; flo_part_finish explains
 * *fd.  Bytes that an earlier run left there are not fetched again.
 * FLO_E_NET_..., FLO_E_BLOB_ABSENT (no mirror has it), FLO_E_TARGET_HASH (all
 * mirrors have other bytes), FLO_E_NET_BUDGET, FLO_E_DISK_FULL,
 * FLO_E_INTERRUPTED. */
FLO_MUST_USE int flo_fetch_artifact(struct flo_fetch *fetch, const struct flo_artifact *artifact,
                                    int *fd, struct flo_err *err);
/* Verifies a downloaded document, and may keep the parsed result.  After an
 * error the fetch asks the next mirror; the last mirror's error is returned. */
typedef int (*flo_fetch_check_fn)(void *context, const void *data, size_t bytes,
                                  struct flo_err *err);
/* Downloads the envelope of a release into memory (GET /v1/envelopes/<id>).
 * `check` verifies the bytes.  Fails as flo_fetch_artifact does. */
FLO_MUST_USE int flo_fetch_envelope(struct flo_fetch *fetch, const struct flo_digest *release,
                                    flo_fetch_check_fn check, void *context, struct flo_buf *out,
                                    struct flo_err *err);

/* Downloads a blob of at most `bytes_max` into memory, as flo_fetch_envelope
 * does; `check` compares the digest. */
FLO_MUST_USE int flo_fetch_small(struct flo_fetch *fetch, const struct flo_digest *digest,
                                 size_t bytes_max, flo_fetch_check_fn check, void *context,
                                 struct flo_buf *out, struct flo_err *err);

/* ---- a bundle as the source (bundle.c) ---- */

#define FLO_OFFERED_MAX FLO_BUNDLE_ENTRIES_MAX

struct flo_offer {
    struct flo_digest digests[FLO_OFFERED_MAX];
    size_t count;
    struct flo_digest wanted;  /* release to look for; zero: the first in the bundle */
    struct flo_digest release; /* release that was found; zero: the bundle does not have it */
    struct flo_buf envelope;   /* flo_buf_deinit */
};
/* Makes the first pass over a bundle: verifies all of it and lists its
 * contents.  Keeps only the document of `release`; a zero digest means the
 * first release. */
FLO_MUST_USE int flo_fetch_bundle_look(const char *path, const struct flo_trust *trust,
                                       const struct flo_digest *release, struct flo_offer *out,
                                       struct flo_err *err);
/* Makes the second pass over a bundle: copies these artifacts into partial/,
 * where flo_fetch_artifact finds them complete.  FLO_E_BUNDLE_MISSING,
 * FLO_E_DISK_FULL, FLO_E_INTERRUPTED. */
FLO_MUST_USE int flo_fetch_bundle_take(struct flo_fetch *fetch, const char *path,
                                       const struct flo_trust *trust,
                                       const struct flo_artifact *wanted, size_t wanted_count,
                                       struct flo_err *err);

#endif
