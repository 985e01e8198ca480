#include "engine/publish/calibration.h"

int flo_calibration_text(struct flo_buf *out, struct flo_err *err)
{
    flo_buf_add(out, flo_text_calibration, flo_text_calibration_count);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "the built-in text") : 0;
}
