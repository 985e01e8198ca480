/* Files: files that `flotilla-agent serve` reads: the token, and a model's name
 * and age. */
#ifndef FLOTILLA_SERVE_FILES_H
#define FLOTILLA_SERVE_FILES_H

#include <flotilla/base.h>

/* Reads the token; the caller frees *out.  FLO_E_CFG_PERM: other users can read
 * the file. */
FLO_MUST_USE int flo_serve_token_read(const char *path, char **out, struct flo_err *err);
/* Makes the name for clients: "tiny-v2.Q4_0.gguf" -> "tiny-v2.q4_0". */
void flo_serve_file_name(const char *path, char out[FLO_NAME_MAX + 1]);
/* Returns a file's modification time, the only known date of a model without a
 * release; 0: unknown. */
uint64_t flo_serve_file_modified_s(const char *path);

#endif
