/* Bundle input: the bytes of a bundle file, plain or as one zstd frame. */
#ifndef FLOTILLA_BUNDLE_INPUT_H
#define FLOTILLA_BUNDLE_INPUT_H

#include <sys/types.h>

#include <flotilla/release.h>

struct bundle_input;

/* Opens a regular file without waiting. FLO_E_IO_OPEN: a FIFO, device or
 * folder. */
FLO_MUST_USE int flo_bundle_input_open(const char *path, struct bundle_input **out,
                                       struct flo_err *err);
void flo_bundle_input_close(struct bundle_input *input);
bool flo_bundle_input_is_compressed(const struct bundle_input *input);

/* Gives the next bytes, borrowed until the next call. Returns 0 at the end; -1
 * on failure, which flo_bundle_input_failure explains. */
ssize_t flo_bundle_input_next(struct bundle_input *input, const void **data);
/* Returns 0 when nothing failed, else the error's code, with its message in
 * `err`. */
int flo_bundle_input_failure(const struct bundle_input *input, struct flo_err *err);

#endif
