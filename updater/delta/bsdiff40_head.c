/* Header of a BSDIFF40 patch (bsdiff 4.3, Colin Percival):
 *
 *    0  8  "BSDIFF40"
 *    8  8  X: bytes of the compressed control block
 *   16  8  Y: bytes of the compressed diff block
 *   24  8  bytes of the new file
 *   32  X  bzip2(control): triples of (add, insert, seek), 8 bytes each
 *      Y  bzip2(diff), then up to the end bzip2(extra)
 *
 * Numbers are little-endian sign and magnitude. */
#include "updater/delta/sink.h"

#include <inttypes.h>
#include <string.h>

#include <flotilla/errors/patch.h>

#define SIGN_BIT (UINT64_C(1) << 63)

int64_t flo_bsdiff40_get(const uint8_t *p)
{
    uint64_t word = flo_get_u64(p);
    int64_t magnitude = (int64_t)(word & ~SIGN_BIT);

    return (word & SIGN_BIT) != 0 ? -magnitude : magnitude;
}

void flo_bsdiff40_put(uint8_t *p, int64_t value)
{
    uint64_t word = (uint64_t)value;

    flo_put_u64(p, value < 0 ? (0 - word) | SIGN_BIT : word);
}

int flo_bsdiff40_head_read(const uint8_t *data, size_t bytes, uint64_t patch_bytes,
                           struct bsdiff40_head *out, struct flo_err *err)
{
    size_t magic_bytes = bytes < 8 ? bytes : 8;

    if (memcmp(data, "BSDIFF40", magic_bytes) != 0) {
        return flo_fail(err, FLO_E_PATCH_FORMAT, "the patch does not begin with BSDIFF40");
    }
    if (bytes < BSDIFF40_HEAD_BYTES) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED, "the patch has %zu bytes, its head needs %d",
                        bytes, BSDIFF40_HEAD_BYTES);
    }
    int64_t control = flo_bsdiff40_get(data + 8);
    int64_t diff = flo_bsdiff40_get(data + 16);
    int64_t new_bytes = flo_bsdiff40_get(data + 24);
    if (control < 0 || diff < 0 || new_bytes < 0) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS,
                        "a size in the patch's head is negative: control "
                        "%" PRId64 ", diff %" PRId64 ", new file %" PRId64,
                        control, diff, new_bytes);
    }
    uint64_t used;
    if (!flo_add_u64((uint64_t)control, (uint64_t)diff, &used) ||
        !flo_add_u64(used, BSDIFF40_HEAD_BYTES, &used)) {
        return flo_fail(err, FLO_E_PATCH_BOUNDS, "the sizes in the patch's head overflow");
    }
    if (used > patch_bytes) {
        return flo_fail(err, FLO_E_PATCH_TRUNCATED,
                        "the patch has %" PRIu64 " bytes, its head speaks of "
                        "%" PRIu64,
                        patch_bytes, used);
    }
    out->control_bytes = (uint64_t)control;
    out->diff_bytes = (uint64_t)diff;
    out->extra_bytes = patch_bytes - used;
    out->new_bytes = (uint64_t)new_bytes;
    return 0;
}
