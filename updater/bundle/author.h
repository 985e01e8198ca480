/* Author internals: the state of a release that is being made, for the files
 * author*.c and outline.c. */
#ifndef FLOTILLA_BUNDLE_AUTHOR_H
#define FLOTILLA_BUNDLE_AUTHOR_H

#include <flotilla/release.h>

struct author_build {
    const struct flo_author *author;
    const char *out_dir;
    struct flo_release release;
    /* result of the build; NULL: only an outline, without downloads and
     * progress */
    struct flo_author_result *out;
};

/* Fills all fields of the release, but not its document.  The caller frees the
 * `serve` of the release. */
FLO_MUST_USE int flo_author_fill(struct author_build *build, struct flo_err *err);

/* Adds chunk hashes to a file that is larger than one chunk. */
FLO_MUST_USE int flo_author_add_chunks(struct author_build *build, struct flo_release_file *file,
                                       int fd, struct flo_err *err);
/* Makes all downloads from which a device can get the file (raw, compressed,
 * deltas), at the same time where memory allows. */
FLO_MUST_USE int flo_author_make_ways(struct author_build *build,
                                      const struct flo_author_file *source,
                                      struct flo_release_file *file, int fd, struct flo_err *err);

#endif
