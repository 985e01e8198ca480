/* The files of `flotilla-agent batch`: requests IN, and answers OUT.
 *
 * Line n of OUT answers the n-th request of IN.  While it grows it is OUT.part,
 * and repeating the command goes on behind its last whole line. */
#ifndef FLOTILLA_AGENT_COMMANDS_BATCH_FILE_H
#define FLOTILLA_AGENT_COMMANDS_BATCH_FILE_H

#include "agent/serve/batch/input.h"

struct flo_batch_out {
    char path[4096], part[4104];
    int fd;
    bool is_whole;  /* OUT itself is there, with all answers */
    uint64_t bytes; /* bytes of its whole lines */
    uint64_t lines, failed;
    uint64_t first_failed; /* line of IN; 0: none */
};
/* Open OUT, or OUT.part, and go in both files behind the answers that are
 * there.  FLO_E_STATE: an answer is of another IN.  FLO_E_STATE_LOCKED: another
 * command writes it.  FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_batch_out_open(const char *path, struct flo_batch_in *in,
                                    struct flo_batch_out *out, struct flo_err *err);
/* The next answer.  A disk without room takes nothing of it. */
FLO_MUST_USE int flo_batch_out_add(struct flo_batch_out *out, const struct flo_batch_answer *answer,
                                   const struct flo_buf *text, struct flo_err *err);
/* All are there: OUT gets its name. */
FLO_MUST_USE int flo_batch_out_commit(struct flo_batch_out *out, struct flo_err *err);
void flo_batch_out_close(struct flo_batch_out *out);

#endif
