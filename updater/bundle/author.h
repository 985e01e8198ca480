/* Shared by the two halves of authoring: a release under construction. */
#ifndef FLOTILLA_BUNDLE_AUTHOR_H
#define FLOTILLA_BUNDLE_AUTHOR_H

#include <flotilla/release.h>

struct author_build {
    const struct flo_author *author;
    const char *out_dir;
    struct flo_release release;
    struct flo_author_result *out; /* NULL: no ways are made, nothing is said */
};

/* All of the release but its document.  Its `serve` is to be freed. */
FLO_MUST_USE int flo_author_fill(struct author_build *build, struct flo_err *err);

/* Chunk hashes of a file that is larger than one chunk. */
FLO_MUST_USE int flo_author_add_chunks(struct author_build *build, struct flo_release_file *file,
                                       int fd, struct flo_err *err);
/* All ways to get a file, made at one time where memory allows it. */
FLO_MUST_USE int flo_author_make_ways(struct author_build *build,
                                      const struct flo_author_file *source,
                                      struct flo_release_file *file, int fd, struct flo_err *err);

#endif
