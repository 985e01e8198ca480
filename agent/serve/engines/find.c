/* Find: finds the engine program of a back end. */
#include "agent/serve/serve.h"

#include <string.h>

#define WITH_LIBRARY "flotilla-engine-llama"

int flo_serve_engine_find(const char *backend, char *path, size_t bytes, struct flo_err *err)
{
    bool is_any = backend == NULL || strcmp(backend, "auto") == 0;

    if (!is_any && strcmp(backend, "llama") != 0 && strcmp(backend, "native") != 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "backend: `%s` is none of auto, native, llama",
                        backend);
    }
    if ((is_any || strcmp(backend, "llama") == 0) &&
        flo_process_has_sibling(WITH_LIBRARY, path, bytes)) {
        return 0;
    }
    if (!is_any && strcmp(backend, "llama") == 0) {
        flo_fail(err, FLO_E_ABSENT, "backend llama: no " WITH_LIBRARY " next to this program");
        return flo_err_fix(err, "install the package " WITH_LIBRARY ", or set backend to auto");
    }
    return flo_process_sibling("flotilla-engine", path, bytes)
               ? 0
               : flo_fail(err, FLO_E_ABSENT, "no flotilla-engine next to this program");
}
