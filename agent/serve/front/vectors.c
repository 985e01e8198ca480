/* Vectors: writes vectors as JSON, in the size that a client asked for. */
#include "agent/serve/front/front.h"

#include <math.h>
#include <string.h>

void flo_answer_add_floats(struct flo_buf *out, struct flo_wire_text vector)
{
    flo_buf_text(out, "[");
    for (size_t i = 0; i < vector.bytes / 4; i++) {
        float value = flo_get_f32(vector.data + 4 * i);
        flo_buf_printf(out, i == 0 ? "%.9g" : ",%.9g", isfinite(value) ? (double)value : 0.0);
    }
    flo_buf_text(out, "]");
}

/* Cuts a vector to its first `count` numbers, and scales the result to length
 * 1. */
static struct flo_wire_text cut(struct flo_wire_text vector, size_t count, struct flo_buf *out)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double value = (double)flo_get_f32(vector.data + 4 * i);
        sum += value * value;
    }
    double scale = sum > 0 && isfinite(sum) ? 1 / sqrt(sum) : 1;
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[4];
        flo_put_f32(bytes, (float)((double)flo_get_f32(vector.data + 4 * i) * scale));
        flo_buf_add(out, bytes, sizeof(bytes));
    }
    return (struct flo_wire_text){out->data, out->bytes};
}

bool flo_answer_vector(struct serve_request *request, struct flo_wire_text *vector,
                       struct flo_buf *shorter)
{
    size_t count = request->params.dimensions;

    if (count > vector->bytes / 4) {
        request->lacks_dimensions = (uint32_t)(vector->bytes / 4);
        return false;
    }
    if (count > 0 && count < vector->bytes / 4) {
        *vector = cut(*vector, count, shorter);
    }
    return true;
}

int flo_answer_check_dimensions(struct serve_request *request, struct flo_err *err)
{
    if (request->lacks_dimensions == 0) {
        return 0;
    }
    strcpy(request->params.param, "dimensions");
    return flo_fail(err, FLO_E_INFER_PARAM, "dimensions is %u, vectors of this model have %u",
                    request->params.dimensions, request->lacks_dimensions);
}
