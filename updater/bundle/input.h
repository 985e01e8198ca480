/* A bundle's bytes: a regular file, plain or as one zstd frame. */
#ifndef FLOTILLA_BUNDLE_INPUT_H
#define FLOTILLA_BUNDLE_INPUT_H

#include <sys/types.h>

#include <flotilla/release.h>

struct bundle_input;

/* Never waits: FIFOs, devices and folders are FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_bundle_input_open(const char *path, struct bundle_input **out,
                                       struct flo_err *err);
void flo_bundle_input_close(struct bundle_input *input);
bool flo_bundle_input_is_compressed(const struct bundle_input *input);

/* The next bytes, borrowed until the next call; 0 at the end, -1 on failure,
 * which bundle_input_failure then explains. */
ssize_t flo_bundle_input_next(struct bundle_input *input, const void **data);
/* 0 when nothing failed; else the code, with its sentence copied to `err`. */
int flo_bundle_input_failure(const struct bundle_input *input, struct flo_err *err);

#endif
