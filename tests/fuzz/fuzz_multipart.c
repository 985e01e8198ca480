/* Forms with speech from any local program: the first line is the head
 * Content-Type, the rest the body. */
#include "agent/serve/openai/openai.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct serve_params params;
    const char *end = bytes == 0 ? NULL : memchr(data, '\n', bytes);
    struct flo_err err = {0};
    char type[200];

    if (end == NULL) {
        return 0;
    }
    size_t head = (size_t)(end - (const char *)data);
    snprintf(type, sizeof(type), "%.*s", (int)(head < 199 ? head : 199), (const char *)data);
    if (flo_params_read_audio(type, end + 1, bytes - head - 1, &params, &err) < 0) {
        if (err.what[0] == '\0') {
            abort();
        }
        return 0;
    }
    if (params.message.generate.audio.bytes == 0) {
        abort();
    }
    flo_params_deinit(&params);
    return 0;
}
