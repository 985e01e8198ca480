/* Orders and the envelopes around them: refused, or written back the same. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_envelope envelope = {0};
    struct flo_order order;
    struct flo_order again;
    struct flo_buf text = {0};

    if (flo_envelope_parse((const char *)data, bytes, FLO_TYPE_ORDER, &envelope, NULL) == 0) {
        flo_envelope_write(&envelope, &text);
        flo_envelope_deinit(&envelope);
    }
    flo_buf_deinit(&text);
    text = (struct flo_buf){0};
    if (flo_order_parse((const char *)data, bytes, NULL, &order, NULL) == 0) {
        if (flo_order_write(&order, &text, NULL) == 0 &&
            flo_order_parse(text.data, text.bytes, NULL, &again, NULL) < 0) {
            abort();
        }
    }
    flo_buf_deinit(&text);
    return 0;
}
