/* The beginning of a prompt, kept in a file between runs. */
#ifndef FLOTILLA_ENGINE_TOOLS_PREFIX_FILE_H
#define FLOTILLA_ENGINE_TOOLS_PREFIX_FILE_H

#include <flotilla/prefix.h>

#include "engine/tools/common.h"

/* Zero-initialise with the file's path. */
struct flo_prefix_file {
    const char *path;
    struct flo_engine *engine; /* set by reading, with its session */
    struct flo_session *session;
    uint32_t used; /* tokens that the session began with */
    uint32_t held; /* tokens of the prompt that the file has */
    uint64_t read_us;
    char why[128]; /* the file was not used, or not there */
};

/* Begin an empty model with what the file and the prompt share, but for the
 * prompt's last token.  A file that does not fit is no error, one that is
 * something else is (it would be overwritten).  FLO_E_USAGE: another backend
 * than native. */
FLO_MUST_USE int flo_prefix_file_read(struct flo_prefix_file *kept,
                                      const struct flo_tool_model *model,
                                      const int32_t *tokens, size_t count,
                                      struct flo_err *err);
/* Afterwards: keep the model's first `count` tokens, unless the file had them:
 * whole, or the old file stays. */
FLO_MUST_USE int flo_prefix_file_write(const struct flo_prefix_file *kept,
                                       size_t count, struct flo_err *err);

#endif
