/* The backends that this library has. */
#include <flotilla/backend.h>

#include <string.h>

static const struct flo_backend *const backends[] = {&flo_backend_native};

int flo_backend_find(const char *name, const struct flo_backend **backend,
                     struct flo_err *err)
{
    char known[128] = "";

    for (size_t i = 0; i < FLO_COUNT(backends); i++) {
        if (name == NULL || strcmp(name, backends[i]->name) == 0) {
            *backend = backends[i];
            return flo_backend_check(*backend, err);
        }
        snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s",
                 i > 0 ? ", " : "", backends[i]->name);
    }
    return flo_fail(err, FLO_E_USAGE, "no backend '%s', there are: %s", name,
                    known);
}

int flo_backend_check(const struct flo_backend *b, struct flo_err *err)
{
    if (b->abi != FLO_BACKEND_ABI) {
        return flo_fail(err, FLO_E_USAGE, "a backend of ABI %u, this is %u",
                        b->abi, FLO_BACKEND_ABI);
    }
    if (b->name == NULL || b->open == NULL || b->info == NULL ||
        b->text == NULL || b->prefill == NULL || b->decode == NULL ||
        b->logits == NULL || b->reset == NULL || b->stats == NULL ||
        b->close == NULL) {
        return flo_fail(err, FLO_E_USAGE, "backend '%s' lacks a function",
                        b->name == NULL ? "" : b->name);
    }
    return 0;
}
