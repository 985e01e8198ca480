/* SHA-256 (FIPS 180-4) of a file: the engine links libc only, and reports
 * name files as releases do. */
#ifndef FLOTILLA_ENGINE_SHA256_H
#define FLOTILLA_ENGINE_SHA256_H

#include <flotilla/base.h>

/* FLO_E_ABSENT, FLO_E_IO_OPEN, FLO_E_IO_READ. */
FLO_MUST_USE int flo_tool_sha256(const char *path, struct flo_digest *digest,
                                 uint64_t *bytes, struct flo_err *err);

#endif
