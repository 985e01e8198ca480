/* GGUF cursor: bounded forward reads, on which the GGUF reader is built. */
#include "base/gguf/open_file.h"

#include <inttypes.h>

#include <flotilla/errors/gguf.h>

static const struct {
    const char *name;
    size_t bytes;
} value_types[FLO_GGUF_VALUE_TYPE_COUNT] = {
    [FLO_GGUF_U8] = {"u8", 1},         [FLO_GGUF_I8] = {"i8", 1},
    [FLO_GGUF_U16] = {"u16", 2},       [FLO_GGUF_I16] = {"i16", 2},
    [FLO_GGUF_U32] = {"u32", 4},       [FLO_GGUF_I32] = {"i32", 4},
    [FLO_GGUF_F32] = {"f32", 4},       [FLO_GGUF_BOOL] = {"bool", 1},
    [FLO_GGUF_STRING] = {"string", 0}, [FLO_GGUF_ARRAY] = {"array", 0},
    [FLO_GGUF_U64] = {"u64", 8},       [FLO_GGUF_I64] = {"i64", 8},
    [FLO_GGUF_F64] = {"f64", 8},
};

size_t flo_gguf_type_bytes(uint32_t type)
{
    return type < FLO_GGUF_VALUE_TYPE_COUNT ? value_types[type].bytes : 0;
}

const char *flo_gguf_type_name(uint32_t type)
{
    return type < FLO_GGUF_VALUE_TYPE_COUNT ? value_types[type].name : "unknown";
}

uint64_t flo_cursor_left(const struct flo_cursor *at)
{
    return at->gguf->file_bytes - at->position;
}

/* Takes `bytes` bytes at the cursor.  Returns FLO_E_GGUF_BOUNDS for an
 * impossible size in the file, and FLO_E_GGUF_TRUNCATED when the file ends
 * early. */
int flo_cursor_take(struct flo_cursor *at, uint64_t bytes, const uint8_t **out, struct flo_err *err)
{
    const struct flo_gguf *gguf = at->gguf;
    if (bytes > flo_cursor_left(at)) {
        int code = bytes > gguf->file_bytes ? FLO_E_GGUF_BOUNDS : FLO_E_GGUF_TRUNCATED;
        return flo_fail(err, code,
                        "%s at byte %" PRIu64 " needs %" PRIu64 " bytes, %" PRIu64
                        " left in the file",
                        at->part, at->position, bytes, flo_cursor_left(at));
    }
    *out = gguf->data + at->position;
    at->position += bytes;
    return 0;
}

int flo_cursor_u32(struct flo_cursor *at, uint32_t *out, struct flo_err *err)
{
    const uint8_t *p = NULL;
    FLO_TRY(flo_cursor_take(at, 4, &p, err));
    *out = flo_get_u32(p);
    return 0;
}

int flo_cursor_u64(struct flo_cursor *at, uint64_t *out, struct flo_err *err)
{
    const uint8_t *p = NULL;
    FLO_TRY(flo_cursor_take(at, 8, &p, err));
    *out = flo_get_u64(p);
    return 0;
}

int flo_cursor_text(struct flo_cursor *at, struct flo_gguf_text *out, struct flo_err *err)
{
    uint64_t bytes = 0;
    const uint8_t *p = NULL;
    FLO_TRY(flo_cursor_u64(at, &bytes, err));
    FLO_TRY(flo_cursor_take(at, bytes, &p, err));
    out->data = (const char *)p;
    out->bytes = (size_t)bytes;
    return 0;
}

static bool has_control(struct flo_gguf_text text)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

int flo_cursor_name(struct flo_cursor *at, size_t bytes_max, struct flo_gguf_text *out,
                    struct flo_err *err)
{
    uint64_t start = at->position;
    FLO_TRY(flo_cursor_text(at, out, err));
    if (out->bytes == 0 || out->bytes > bytes_max) {
        return flo_fail(err, FLO_E_GGUF_NAME,
                        "%s at byte %" PRIu64 " has a name of %zu bytes, "
                        "1 to %zu are allowed",
                        at->part, start, out->bytes, bytes_max);
    }
    if (has_control(*out)) {
        return flo_fail(err, FLO_E_GGUF_NAME,
                        "%s at byte %" PRIu64 " has a control character in its name", at->part,
                        start);
    }
    return 0;
}
