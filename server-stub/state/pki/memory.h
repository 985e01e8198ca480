/* Memory: the PKI's state in memory, and its files below DIR.  They are not for
 * others. */
#ifndef FLOTILLA_SERVER_STATE_PKI_MEMORY_H
#define FLOTILLA_SERVER_STATE_PKI_MEMORY_H

#include "server-stub/state/controller.h"
#include "server-stub/state/pki/pki.h"

struct flo_pki {
    struct flo_pki_files files;
    struct flo_authority authorities[FLO_AUTHORITIES_MAX];
    size_t authority_count;
    struct flo_buf ca; /* content of files.ca_file */
    /* times of issue and expiry of the controller's own certificates */
    uint64_t leaves_at_ms, leaves_until_ms;
    uint64_t revoked_at_ms; /* time of the newest revocation list */
    char asked[37];         /* id of the device that was last asked to renew */
    bool has_seal_key;
    bool has_keyless; /* there are certificates whose key the store does not have */
    struct flo_key *order_key;
    char order_public_pem[FLO_PUBLIC_KEY_PEM_MAX];
};

static inline bool flo_pki_in_memory(const struct flo_controller *controller)
{
    return controller->dir[0] == ':'; /* ":memory:" */
}
/* Writes a path below DIR to `out`, which holds 4096 bytes. */
FLO_MUST_USE int flo_pki_path(const struct flo_controller *controller, const char *name, char *out,
                              struct flo_err *err);
/* Reads the key in a file below DIR, and makes the key if the file is missing.
 * `path` (4096 bytes) receives the file's path. */
FLO_MUST_USE int flo_pki_key(const struct flo_controller *controller, const char *name, char *path,
                             struct flo_key **out, struct flo_err *err);
/* Reads the authorities, or makes the first one (authorities.c).
 * FLO_E_KEYS_ABSENT: an authority has no key. */
FLO_MUST_USE int flo_pki_authorities_open(struct flo_controller *controller, struct flo_err *err);
void flo_pki_authorities_close(struct flo_pki *pki);

#endif
