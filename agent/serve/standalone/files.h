/* Files that `flotilla-agent serve` reads: the token, and a model's name and
 * age. */
#ifndef FLOTILLA_SERVE_FILES_H
#define FLOTILLA_SERVE_FILES_H

#include <flotilla/base.h>

/* The caller frees *out.  FLO_E_CFG_PERM: others can read it. */
FLO_MUST_USE int flo_serve_token_read(const char *path, char **out, struct flo_err *err);
/* "tiny-v2.Q4_0.gguf" -> "tiny-v2.q4_0": the name for clients. */
void flo_serve_file_name(const char *path, char out[FLO_NAME_MAX + 1]);
/* A file's age is all that is known of a model alone; 0: not known. */
uint64_t flo_serve_file_modified_s(const char *path);

#endif
