/* PKI: the fleet's authority, our certificates, the order key, trust. */
#ifndef FLOTILLA_SERVER_STATE_PKI_H
#define FLOTILLA_SERVER_STATE_PKI_H

#include <flotilla/base.h>

#include "base/host/crypto.h"

#include "server-stub/store/store.h"

struct flo_controller;

/* Keys and certificates in memory; files below DIR (pki.c). */
struct flo_pki {
    char ca_file[4096];
    char server_cert_file[4096];
    char server_key_file[4096];
    char mqtt_cert_file[4096];
    char mqtt_key_file[4096];
    char lane_cert_file[4096];
    char lane_key_file[4096];
    char *ca_pem;
    size_t ca_bytes;
    struct flo_key *ca_key;
    struct flo_digest ca_fingerprint;
    struct flo_key *order_key;
    char order_public_pem[FLO_PUBLIC_KEY_PEM_MAX];
};

/* Make the missing keys and certificates below DIR and read all; server
 * certificate for the given hosts.
 *
 * FLO_E_KEYS_ABSENT  enrolled devices know the missing key */
FLO_MUST_USE int flo_pki_open(struct flo_controller *controller,
                              struct flo_err *err);
void flo_pki_close(struct flo_pki *pki);
/* First start: an admin's token in DIR/admin.token. */
FLO_MUST_USE int flo_pki_admin_token(struct flo_controller *controller,
                                     struct flo_err *err);
/* An access token: stored, its text in `out` (FLO_TOKEN_TEXT). */
FLO_MUST_USE int flo_token_make(struct flo_controller *controller,
                                const struct flo_fleet_token *wish, char *id,
                                char *out, struct flo_err *err);

#endif
