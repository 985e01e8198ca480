/* Bodies in Ollama's words from any local program. */
#include "agent/serve/ollama/ollama.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct serve_params params;
    const struct serve_body body = {NULL, (const char *)data, bytes};

    for (int ask = OLLAMA_CHAT; ask <= OLLAMA_PROMPT; ask++) {
        struct flo_err err = {0};
        bool is_load;
        if (flo_ollama_read((enum ollama_ask)ask, &body, &params, &is_load, &err) < 0) {
            if (err.what[0] == '\0') {
                abort();
            }
            continue;
        }
        if (params.model[0] == '\0' || (is_load && params.message.generate.max_tokens != 1)) {
            abort();
        }
        flo_params_deinit(&params);
    }
    return 0;
}
