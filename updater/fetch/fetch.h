/* Fetching: artifacts by their digest, from neighbours, mirrors or a bundle.
 *
 * One fetch belongs to one job.  Errors of one mirror are told apart.  After a
 * passing one (no answer, 5xx, too slow) it is tried again after a pause with
 * full jitter.  A permanent one (404, 403, wrong bytes, a captive portal) puts
 * the mirror aside for this artifact.  A mirror may lead to another place with
 * 307, once: digests make that safe. */
#ifndef FLOTILLA_UPDATER_FETCH_H
#define FLOTILLA_UPDATER_FETCH_H

#include "base/host/http_client.h"
#include "updater/fetch/part.h"
#include <flotilla/release.h>

#define FLO_FETCH_MIRRORS_MAX 8

#define FLO_NEIGHBOURS_MAX 8
#define FLO_NEIGHBOURS_URL_BYTES 300

struct flo_trust;

/* Devices close by that may have an artifact (docs/decisions/neighbours.md).
 * They are asked before the mirrors, and believed as little. */
struct flo_neighbours {
    const char *urls[FLO_NEIGHBOURS_MAX]; /* "https://host:port" */
    size_t count;
    /* After the first question of the job: until `turn_ms` nothing is fetched
     * from a mirror that a neighbour may yet have; until `wait_ms` nothing that
     * a neighbour fetches itself. */
    uint64_t turn_ms, wait_ms;
    uint64_t pause_ms;    /* between two rounds; 0: 1000, then more */
    uint64_t patience_ms; /* to connect, and for a fifth of a slow answer; 0:
                             1000 */
    /* Called when a wait begins; may be NULL. */
    void (*on_wait)(void *context);

    uint64_t bytes; /* result: taken from them, right or wrong */
    struct flo_http *handle;
    uint64_t asked_ms;                     /* the first question; 0: none yet */
    uint64_t aside_ms[FLO_NEIGHBOURS_MAX]; /* not asked before */
    bool gave[FLO_NEIGHBOURS_MAX];         /* bytes of the artifact under way */
};

struct flo_fetch {
    struct flo_store *store;
    const char *urls[FLO_FETCH_MIRRORS_MAX]; /* "https://host:port" */
    size_t url_count;
    struct flo_http_options http;
    uint32_t attempts_max; /* in a row without a new byte; 0: 6 */
    uint64_t pause_ms_min; /* 0: 500 */
    uint64_t pause_ms_max; /* 0: 30000 */
    uint64_t budget_bytes; /* limit of the whole job; 0: no limit */
    int control_fd;        /* the agent's end: its close stops everything; -1: none */
    struct flo_neighbours neighbours;
    /* Progress of the artifact under way; may be NULL. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    /* The first `kept` bytes of the artifact stand in partial/; whether they
     * are right is known at its end.  May be NULL. */
    void (*on_kept)(void *kept_context, uint64_t kept);
    void *kept_context;
    void *context;

    /* Results. */
    uint64_t fetched_bytes;     /* over the network, bodies only */
    uint64_t found_bytes;       /* bytes of the first artifact that an earlier run
                                   left in partial/ */
    bool is_passing;            /* the last error may pass with time */
    struct flo_http *handle;    /* opened at first use */
    struct flo_http *elsewhere; /* for a store to which a mirror leads */
    bool told_plain;            /* that one leads there without TLS */
};

void flo_fetch_deinit(struct flo_fetch *fetch);
/* true when the other side of control_fd has gone. */
bool flo_fetch_is_stopped(const struct flo_fetch *fetch);

/* All bytes of the artifact into partial/, checked; *fd as flo_part_finish.
 * Bytes that an earlier run left there are not fetched again.  FLO_E_NET_...,
 * FLO_E_BLOB_ABSENT (no mirror has it), FLO_E_TARGET_HASH (all mirrors have
 * other bytes), FLO_E_NET_BUDGET, FLO_E_DISK_FULL, FLO_E_INTERRUPTED. */
FLO_MUST_USE int flo_fetch_artifact(struct flo_fetch *fetch, const struct flo_artifact *artifact,
                                    int *fd, struct flo_err *err);
/* The envelope of a release into memory (GET /v1/envelopes/<id>).  `check` says
 * whether these bytes are it.  Refused bytes put the mirror aside, and the next
 * one is asked.  Its error is the result when none is left.  `check` may keep
 * its result.  Else as flo_fetch_artifact. */
typedef int (*flo_fetch_check_fn)(void *context, const void *data, size_t bytes,
                                  struct flo_err *err);
FLO_MUST_USE int flo_fetch_envelope(struct flo_fetch *fetch, const struct flo_digest *release,
                                    flo_fetch_check_fn check, void *context, struct flo_buf *out,
                                    struct flo_err *err);

/* The same for a blob of at most `bytes_max`; `check` compares the digest. */
FLO_MUST_USE int flo_fetch_small(struct flo_fetch *fetch, const struct flo_digest *digest,
                                 size_t bytes_max, flo_fetch_check_fn check, void *context,
                                 struct flo_buf *out, struct flo_err *err);

/* ---- a bundle as the source (bundle.c) ---- */

#define FLO_OFFERED_MAX FLO_BUNDLE_ENTRIES_MAX

struct flo_offer {
    struct flo_digest digests[FLO_OFFERED_MAX];
    size_t count;
    struct flo_digest wanted;  /* zero: the first */
    struct flo_digest release; /* zero: that one is not in it */
    struct flo_buf envelope;   /* flo_buf_deinit */
};
/* First pass: verify all of it, list its content, keep nothing but the document
 * of `release`; zero: of the first. */
FLO_MUST_USE int flo_fetch_bundle_look(const char *path, const struct flo_trust *trust,
                                       const struct flo_digest *release, struct flo_offer *out,
                                       struct flo_err *err);
/* Second pass: these artifacts into partial/, so that flo_fetch_artifact finds
 * them complete.  FLO_E_BUNDLE_MISSING, FLO_E_DISK_FULL, FLO_E_INTERRUPTED. */
FLO_MUST_USE int flo_fetch_bundle_take(struct flo_fetch *fetch, const char *path,
                                       const struct flo_trust *trust,
                                       const struct flo_artifact *wanted, size_t wanted_count,
                                       struct flo_err *err);

#endif
