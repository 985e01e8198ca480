/* Bundle input: the bytes of a bundle file, plain or as one zstd frame. */
#ifndef FLOTILLA_BUNDLE_INPUT_H
#define FLOTILLA_BUNDLE_INPUT_H

#include <sys/types.h>

#include <flotilla/release.h>

struct bundle_input;

/* Opens a bundle file without waiting.  Returns FLO_E_IO_OPEN for a FIFO,
 * device or folder. */
FLO_MUST_USE int flo_bundle_input_open(const char *path, struct bundle_input **out,
                                       struct flo_err *err);
void flo_bundle_input_close(struct bundle_input *input);
bool flo_bundle_input_is_compressed(const struct bundle_input *input);

/* Points `data` to the next bytes, which are valid until the next call.
 * Returns their number, 0 at the end, or -1 on failure (see
 * flo_bundle_input_failure). */
ssize_t flo_bundle_input_next(struct bundle_input *input, const void **data);
/* Returns 0 when no call has failed, else the error's code, with its message in
 * `err`. */
int flo_bundle_input_failure(const struct bundle_input *input, struct flo_err *err);

#endif
