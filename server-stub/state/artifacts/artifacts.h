/* Artifacts: files below DIR/blobs, and the garbage collection of those that no
 * device needs.
 *
 * A delta of a release stays while a device may have the delta's base
 * (core/artifacts/use.h), or while the release is young.  A file that no
 * release names stays for the same time as a young release.  Each hour a pass
 * in small steps removes all other files; a person can also start a pass at
 * once.  A removed delta leaves an empty marker file, so that it does not count
 * as lost.  Devices then download another file, and an upload of the same bytes
 * restores the delta.  All functions run on the state's thread. */
#ifndef FLOTILLA_SERVER_STATE_ARTIFACTS_H
#define FLOTILLA_SERVER_STATE_ARTIFACTS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

struct flo_controller;

/* ---- files ---- */

#define FLO_ARTIFACT_PATH 4096
/* Writes the path DIR/blobs/sha256-<hex>.  Returns false if the path is too
 * long. */
bool flo_artifact_path(const struct flo_controller *controller, const struct flo_digest *digest,
                       char *out);
bool flo_artifact_is_here(const struct flo_controller *controller, const struct flo_digest *digest);
/* Returns whether the artifact was collected because nothing needed it. */
bool flo_artifact_was_collected(const struct flo_controller *controller,
                                const struct flo_digest *digest);
/* Removes the marker of a collected artifact, because a new release names the
 * artifact or it was uploaded again. */
void flo_artifact_is_wanted(const struct flo_controller *controller,
                            const struct flo_digest *digest);

/* ---- collection ---- */

#define FLO_UNUSED_KEPT_MS (UINT64_C(7) * 24 * 3600 * 1000) /* standard */

struct flo_artifact_counts {
    uint64_t at_ms;        /* wall clock at the end of the pass; 0: no pass has ended yet */
    uint64_t files, bytes; /* kept ones */
    uint64_t deltas;       /* number of deltas whose base no device has */
    uint64_t delta_bytes;
    uint64_t unnamed; /* number of files that no release names */
    uint64_t unnamed_bytes;
};

struct flo_collector;
/* Creates a collector that made no pass yet; NULL: no memory. */
struct flo_collector *flo_collector_new(void);
void flo_collector_free(struct flo_collector *collector);
/* Returns the counts of the last complete pass. */
const struct flo_artifact_counts *flo_collector_found(const struct flo_collector *collector);
/* Counts of the files and bytes that the garbage collection removed since the
 * start. */
struct flo_artifact_removed {
    uint64_t files, bytes;
};
struct flo_artifact_removed flo_collector_removed(const struct flo_collector *collector);

/* Callback for an artifact that is removed.  For a delta, `release` and `file`
 * name it; both are NULL when no release names the artifact.  All pointers are
 * borrowed. */
typedef void (*flo_collect_fn)(void *context, const struct flo_digest *digest, const char *release,
                               const char *file, uint64_t bytes);

/* Returns for how long artifacts are kept that no device needs. */
uint64_t flo_collect_kept_ms(const struct flo_controller *controller);
/* Runs a step of the hourly pass, which first begins an hour after the start.
 * Returns true if the pass has more steps to run soon. */
bool flo_collect_turn(struct flo_controller *controller, uint64_t now_ms);
/* Runs a complete pass at once, for a person; a dry pass removes nothing.
 * *out: what the pass removed, or would remove.
 *
 * FLO_E_STATE  the database names none of the files: it may be another fleet's
 * FLO_E_IO_*   the folder, or a release's document, cannot be read
 * Nothing is removed on failure. */
FLO_MUST_USE int flo_collect_all(struct flo_controller *controller, bool is_dry, flo_collect_fn fn,
                                 void *context, struct flo_artifact_counts *out,
                                 struct flo_err *err);
/* Ends the pass under way when a release was published, because that pass did
 * not read the new release. */
void flo_collect_again(struct flo_controller *controller);

#endif
