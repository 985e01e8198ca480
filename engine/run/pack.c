/* Packing in the engine process: the agent asks for the room, makes a file of
 * that size, and has it filled.  The model is parsed inside the sandbox, and
 * the file is written through a mapping: this process can make no file longer
 * and read no other. */
#include "engine/run/run.h"

#include "engine/model/packed.h"

static struct {
    struct flo_packing packing;
    bool is_open;
} job; /* one in a process */

int flo_pack_step(int fd, const struct flo_wire_message *message,
                  struct flo_buf *out, struct flo_err *err)
{
    struct flo_wire_message answer = {.type = FLO_WIRE_PACKED,
                                      .request = message->request};
    uint32_t threads = message->pack.threads;
    int rv;

    if (!job.is_open) {
        rv = flo_packing_open(fd, true, &job.packing, err);
        job.is_open = rv == 0;
    } else {
        rv = flo_sidecar_write(job.packing.sidecar, fd,
                               threads == 0 ? 1 : threads, NULL, NULL, err);
    }
    if (rv < 0) {
        return rv;
    }
    answer.packed.bytes = flo_sidecar_bytes(job.packing.sidecar);
    return flo_wire_write(out, &answer, err);
}

void flo_pack_end(void)
{
    if (job.is_open) {
        flo_packing_close(&job.packing);
        job.is_open = false;
    }
}
