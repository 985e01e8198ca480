/* Artifacts: files below DIR/blobs, and the collection of those that no device
 * needs.
 *
 * A delta of a release stays while a device may have the file that it begins
 * with (core/artifacts/use.h), or while the release is young.  A file that no
 * release names stays as long.  Each hour a pass in small pieces removes the
 * others; a person may have one at once.  A delta that was removed leaves an
 * empty file, so that nobody takes it for lost: devices go another way, and an
 * upload of its bytes brings it back.
 *
 * All on the state's thread. */
#ifndef FLOTILLA_SERVER_STATE_ARTIFACTS_H
#define FLOTILLA_SERVER_STATE_ARTIFACTS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

struct flo_controller;

/* ---- files ---- */

#define FLO_ARTIFACT_PATH 4096
/* DIR/blobs/sha256-<hex>; false: the path is too long. */
bool flo_artifact_path(const struct flo_controller *controller, const struct flo_digest *digest,
                       char *out);
bool flo_artifact_is_here(const struct flo_controller *controller, const struct flo_digest *digest);
/* The artifact is gone because nothing needed it. */
bool flo_artifact_was_collected(const struct flo_controller *controller,
                                const struct flo_digest *digest);
/* A new release names it, or it came again: it is no longer one of those. */
void flo_artifact_is_wanted(const struct flo_controller *controller,
                            const struct flo_digest *digest);

/* ---- collection ---- */

#define FLO_UNUSED_KEPT_MS (UINT64_C(7) * 24 * 3600 * 1000) /* standard */

struct flo_artifact_counts {
    uint64_t at_ms;        /* end of the pass, wall clock; 0: none yet */
    uint64_t files, bytes; /* that stay */
    uint64_t deltas;       /* that no device can begin with, and their bytes */
    uint64_t delta_bytes;
    uint64_t unnamed; /* files of no release, and their bytes */
    uint64_t unnamed_bytes;
};

struct flo_collector;
/* No pass was made; NULL: no memory. */
struct flo_collector *flo_collector_new(void);
void flo_collector_free(struct flo_collector *collector);
/* Figures of the last whole pass. */
const struct flo_artifact_counts *flo_collector_found(const struct flo_collector *collector);
/* Since the start. */
struct flo_artifact_removed {
    uint64_t files, bytes;
};
struct flo_artifact_removed flo_collector_removed(const struct flo_collector *collector);

/* An artifact that goes.  `release`, `file`: the delta's; NULL: no release
 * names it.  All borrowed. */
typedef void (*flo_collect_fn)(void *context, const struct flo_digest *digest, const char *release,
                               const char *file, uint64_t bytes);

/* How long what nothing needs stays. */
uint64_t flo_collect_kept_ms(const struct flo_controller *controller);
/* A piece of the hourly pass; the first one begins an hour after the start.
 * true: more is to be done soon. */
bool flo_collect_turn(struct flo_controller *controller, uint64_t now_ms);
/* A whole pass at once, for a person; a dry one removes nothing.  *out: what
 * it removed, or would.
 *
 * FLO_E_STATE  the database names none of the files: it may be another fleet's
 * FLO_E_IO_*   the folder, or a release's document, cannot be read
 * Nothing is removed then. */
FLO_MUST_USE int flo_collect_all(struct flo_controller *controller, bool is_dry, flo_collect_fn fn,
                                 void *context, struct flo_artifact_counts *out,
                                 struct flo_err *err);
/* A release came: a pass under way decided without it, and ends. */
void flo_collect_again(struct flo_controller *controller);

#endif
