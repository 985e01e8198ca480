/* Batch files: the request file IN and the answer file OUT of `flotilla-agent
 * batch`.
 *
 * Line n of OUT answers request n of IN.  An incomplete OUT is named OUT.part.
 * A repeated command continues after the last whole line of OUT.part. */
#ifndef FLOTILLA_AGENT_COMMANDS_BATCH_FILE_H
#define FLOTILLA_AGENT_COMMANDS_BATCH_FILE_H

#include "agent/serve/batch/input.h"

struct flo_batch_out {
    char path[4096], part[4104];
    int fd;
    bool is_whole;  /* the answer file OUT exists, and it has all answers */
    uint64_t bytes; /* length of the whole lines of OUT or OUT.part */
    uint64_t lines, failed;
    uint64_t first_failed; /* line in IN of the first request that failed; 0: none failed */
};
/* Opens OUT or OUT.part, and moves both files past the requests that have
 * answers.
 * FLO_E_STATE  an answer belongs to another IN
 * FLO_E_STATE_LOCKED  another command writes OUT
 * FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_IO_WRITE  the disk failed */
FLO_MUST_USE int flo_batch_out_open(const char *path, struct flo_batch_in *in,
                                    struct flo_batch_out *out, struct flo_err *err);
/* Appends the next answer to OUT.part, or no part of the answer if the disk is
 * full. */
FLO_MUST_USE int flo_batch_out_add(struct flo_batch_out *out, const struct flo_batch_answer *answer,
                                   const struct flo_buf *text, struct flo_err *err);
/* Renames OUT.part to OUT when all answers are written. */
FLO_MUST_USE int flo_batch_out_commit(struct flo_batch_out *out, struct flo_err *err);
void flo_batch_out_close(struct flo_batch_out *out);

#endif
