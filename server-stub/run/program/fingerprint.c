/* Fingerprint of a folder's authority, by which people recognise a
 * controller. */
#include <stdlib.h>

#include "base/host/crypto.h"
#include "server-stub/run/program/standby.h"

int flo_standby_fingerprint(const char *dir, char hex[65], struct flo_err *err)
{
    struct flo_certificate certificate;
    char path[4096];
    char *pem = NULL;
    size_t bytes;

    if (!flo_path_join(path, sizeof(path), dir, "pki/ca.pem")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int rv = flo_file_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, err);
    if (rv == 0) {
        rv = flo_certificate_read(pem, bytes, &certificate, err);
    }
    free(pem);
    if (rv == 0) {
        flo_hex_encode(certificate.fingerprint.bytes, FLO_DIGEST_BYTES, hex);
    }
    return rv;
}
