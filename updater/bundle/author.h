/* What the two halves of authoring share: a release that is being built. */
#ifndef FLOTILLA_BUNDLE_AUTHOR_H
#define FLOTILLA_BUNDLE_AUTHOR_H

#include <flotilla/release.h>

struct author_build {
    const struct flo_author *author;
    const char *out_dir;
    struct flo_release release;
    struct flo_author_result *out;
};

/* Chunk hashes of a file that is larger than one chunk. */
FLO_MUST_USE int flo_author_add_chunks(struct author_build *build,
                                       struct flo_release_file *file, int fd,
                                       struct flo_err *err);
/* Make one way; base_fd -1 and base NULL: one that needs no base. */
FLO_MUST_USE int flo_author_make_way(struct author_build *build,
                                     struct flo_release_file *file, int fd,
                                     enum flo_codec codec, int base_fd,
                                     const struct flo_digest *base,
                                     struct flo_err *err);
/* A delta from a file of an earlier release, unless it is the same file. */
FLO_MUST_USE int flo_author_make_delta(struct author_build *build,
                                       struct flo_release_file *file, int fd,
                                       const char *base_path,
                                       struct flo_err *err);

#endif
