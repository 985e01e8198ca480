/* Typed deltas, stand-in for a build without them: a plan takes another way of
 * the file. */
#include "base/left_out.h"
#include "updater/delta/publish/ranges.h"
#include "updater/delta/tensor/format.h"

#define OPTION "FLOTILLA_TYPED_DELTAS"

const struct delta_decoder flo_delta_tensor1 = {.has_base = true, .left_out = OPTION};

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "typed deltas", OPTION);
}

int flo_tensor_head_read(const uint8_t *data, size_t bytes, uint64_t patch_bytes,
                         struct tensor_head *out, struct flo_err *err)
{
    (void)data, (void)bytes, (void)patch_bytes, (void)out;
    return left_out(err);
}

/* ---- a publisher's part ---- */

int flo_delta_tensor1_create(const struct delta_input *input, int fd, struct flo_err *err)
{
    (void)input, (void)fd;
    return left_out(err);
}

int flo_tensor_ranges_open(const uint8_t *data, uint64_t bytes, struct tensor_ranges *out,
                           struct flo_err *err)
{
    (void)data, (void)bytes, (void)out;
    return left_out(err);
}

void flo_tensor_ranges_close(struct tensor_ranges *ranges)
{
    (void)ranges;
}

uint64_t flo_tensor_ranges_typed(const struct tensor_ranges *ranges)
{
    (void)ranges;
    return 0;
}
