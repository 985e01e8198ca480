/* Bodies of inference requests from any local program. */
#include "agent/serve/openai/openai.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct serve_params params;
    for (int kind = REQUEST_CHAT; kind < REQUEST_KINDS; kind++) {
        struct flo_err err = {0};
        if (flo_params_read((enum request_kind)kind, (const char *)data, bytes,
                            &params, &err) < 0) {
            if (err.what[0] == '\0') {
                abort();
            }
            continue;
        }
        struct flo_buf out = {0};
        int rv = flo_wire_write(&out, &params.message, &err);
        if (rv < 0 && rv != FLO_E_REST_TOO_LARGE) {
            abort();
        }
        flo_buf_deinit(&out);
        flo_params_deinit(&params);
    }
    return 0;
}
