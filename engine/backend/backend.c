/* Backend: finds one of the backends that this library has. */
#include <flotilla/backend.h>

#include <string.h>

static const struct flo_backend *const backends[] = {&flo_backend_native};

int flo_backend_find(const char *name, const struct flo_backend **backend, struct flo_err *err)
{
    char known[128] = "";

    for (size_t i = 0; i < FLO_COUNT(backends); i++) {
        if (name == NULL || strcmp(name, backends[i]->name) == 0) {
            *backend = backends[i];
            return 0;
        }
        snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i > 0 ? ", " : "",
                 backends[i]->name);
    }
    return flo_fail(err, FLO_E_USAGE, "no backend '%s', there are: %s", name, known);
}
