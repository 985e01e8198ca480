/* PKI: writes paths below DIR, and reads or makes the keys there. */
#include "base/host/crypto.h"

#include "server-stub/state/pki/memory.h"

int flo_pki_path(const struct flo_controller *controller, const char *name, char *out,
                 struct flo_err *err)
{
    return flo_path_join(out, 4096, controller->dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s/%s is too long", controller->dir, name);
}

int flo_pki_key(const struct flo_controller *controller, const char *name, char *path,
                struct flo_key **out, struct flo_err *err)
{
    if (flo_pki_in_memory(controller)) {
        return flo_key_generate(out, err);
    }
    FLO_TRY(flo_pki_path(controller, name, path, err));
    int rv = flo_key_load(path, out, err);
    if (rv != FLO_E_ABSENT) {
        return rv;
    }
    FLO_TRY(flo_key_generate(out, err));
    rv = flo_key_save(*out, path, err);
    if (rv < 0) {
        flo_key_free(*out);
        *out = NULL;
    }
    return rv;
}
