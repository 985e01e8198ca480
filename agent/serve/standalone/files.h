/* Files: reads for `flotilla-agent serve` a token, and a model's name and
 * date. */
#ifndef FLOTILLA_SERVE_FILES_H
#define FLOTILLA_SERVE_FILES_H

#include <flotilla/base.h>

/* Reads a file with a token, which the caller frees.
 * FLO_E_CFG_PERM  other users can read the file */
FLO_MUST_USE int flo_serve_token_read(const char *path, char **out, struct flo_err *err);
/* Makes the name that clients use from a file's name: "tiny-v2.Q4_0.gguf" gives
 * "tiny-v2.q4_0". */
void flo_serve_file_name(const char *path, char out[FLO_NAME_MAX + 1]);
/* Returns the modification time of a file, which is the only known date of a
 * model without a release; 0: unknown. */
uint64_t flo_serve_file_modified_s(const char *path);

#endif
