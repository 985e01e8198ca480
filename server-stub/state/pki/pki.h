/* PKI: the fleet's authorities, our certificates, those of devices, the order
 * key, trust.
 *
 * Authorities stand from the oldest to the newest; devices accept all of them.
 * The oldest signs our own certificates, because every device knows it.  The
 * newest that a device knows signs the device's.  So an authority is rolled in
 * two steps: another one is added, and the oldest is retired when no device
 * holds a certificate of it any more. */
#ifndef FLOTILLA_SERVER_STATE_PKI_H
#define FLOTILLA_SERVER_STATE_PKI_H

#include <flotilla/base.h>

#include "base/host/crypto.h"
#include "server-stub/core/certificate.h"
#include "server-stub/store/store.h"

struct flo_controller;

#define FLO_AUTHORITIES_MAX 4
#define FLO_AUTHORITY_TEXT 17

struct flo_authority {
    char name[FLO_AUTHORITY_TEXT]; /* first 16 hex of its fingerprint */
    char *pem;
    size_t bytes;
    struct flo_key *key;
    struct flo_digest fingerprint;
    uint64_t from_ms, until_ms;
};

/* Paths below DIR (keys.c). */
struct flo_pki_files {
    char ca_file[4096]; /* PEM of all authorities, the oldest first */
    char revoked_file[4096];
    char server_cert_file[4096];
    char server_key_file[4096];
    char mqtt_cert_file[4096];
    char mqtt_key_file[4096];
    char lane_cert_file[4096];
    char lane_key_file[4096];
};

struct flo_pki;
/* Without a key; NULL: no memory. */
struct flo_pki *flo_pki_new(void);
void flo_pki_free(struct flo_pki *pki);
const struct flo_pki_files *flo_pki_files(const struct flo_pki *pki);
/* The text of ca_file. */
const struct flo_buf *flo_pki_ca(const struct flo_pki *pki);
/* End of our own certificates. */
uint64_t flo_pki_leaves_until_ms(const struct flo_pki *pki);
/* The key that signs orders, and its public half as PEM. */
struct flo_key *flo_pki_order_key(const struct flo_pki *pki);
const char *flo_pki_order_pem(const struct flo_pki *pki);
/* Takes `key`; the one before is the caller's. */
void flo_pki_use_order_key(struct flo_pki *pki, struct flo_key *key);

/* The oldest first; NULL after the last. */
const struct flo_authority *flo_pki_authority_at(const struct flo_pki *pki, size_t place);
size_t flo_pki_authority_count(const struct flo_pki *pki);
/* The oldest that has not ended: devices know it longest, so it signs the
 * controller's own certificates. */
const struct flo_authority *flo_pki_oldest(const struct flo_pki *pki);
const struct flo_authority *flo_pki_newest(const struct flo_pki *pki);

/* Make the missing keys and certificates below DIR and read all; server
 * certificate for the given hosts.  `has_keyless`: the store has certificates
 * whose key it does not know.
 *
 * FLO_E_KEYS_ABSENT  enrolled devices know the missing key */
FLO_MUST_USE int flo_pki_open(struct flo_controller *controller, bool has_keyless,
                              struct flo_err *err);

/* ---- authorities.c: inside a transaction ---- */

/* By its name, or the first digits of it; NULL: none. */
const struct flo_authority *flo_pki_authority(const struct flo_pki *pki, const char *name);
/* Another authority, the newest from now on.  Readers of ca_file and brokers
 * hear of it after the commit (outgoing.h).  FLO_E_STATE: there are
 * FLO_AUTHORITIES_MAX. */
FLO_MUST_USE int flo_pki_rotate(struct flo_controller *controller, struct flo_err *err);
/* The authority is refused from now on, and its key goes.  Not the newest. */
FLO_MUST_USE int flo_pki_retire(struct flo_controller *controller, const char *name,
                                struct flo_err *err);

/* ---- leaves.c ---- */

/* Certificates of our own, for the present addresses.  The keys stay. */
FLO_MUST_USE int flo_pki_leaves(struct flo_controller *controller, struct flo_err *err);
/* Two thirds of their life are over. */
bool flo_pki_leaves_are_due(const struct flo_pki *pki, uint64_t now_ms);

/* ---- certificates.c: inside a transaction ---- */

/* A certificate of a device for the key in its request, from an authority;
 * appended.  As flo_certificate_issue. */
FLO_MUST_USE int flo_pki_issue(struct flo_controller *controller,
                               const struct flo_authority *authority, const char *device,
                               const char *csr, struct flo_buf *pem, struct flo_certificate *facts,
                               struct flo_err *err);
/* Key and certificate of a broker that others start, in DIR/broker. */
FLO_MUST_USE int flo_pki_broker(struct flo_controller *controller, const char *host,
                                struct flo_err *err);
/* Write the list of revoked certificates, one for each authority. */
FLO_MUST_USE int flo_pki_revoked_write(struct flo_controller *controller, struct flo_err *err);
/* Devices that hold certificates of each authority.  One that has not said
 * which it holds counts with the newest that it was given. */
typedef int (*flo_pki_holder_fn)(void *context, const char *device, const char *authority);
FLO_MUST_USE int flo_pki_holders(struct flo_controller *controller, flo_pki_holder_fn fn,
                                 void *context, struct flo_err *err);

/* ---- ask.c ---- */

/* Ask connected devices to renew, in a transaction: those whose certificate
 * ends soon (their clock may stand still), and those that hold one of an older
 * authority.  FLO_PKI_ASKED_MAX at most; the next call goes on from there. */
#define FLO_PKI_ASKED_MAX 500
FLO_MUST_USE int flo_pki_ask(struct flo_controller *controller, uint64_t now_ms,
                             struct flo_err *err);
/* Pause between two calls. */
uint64_t flo_pki_ask_pause_ms(const struct flo_controller *controller);

/* ---- seals.c ---- */

/* The key of the store's seals; before the first token is made.  A key that is
 * gone is told in the log: the store has none then. */
FLO_MUST_USE int flo_pki_seals_key(struct flo_controller *controller, struct flo_err *err);
/* Rows of before seals are sealed, once; with options.seals_again all are.
 * Outside of a transaction. */
FLO_MUST_USE int flo_pki_seals_rows(struct flo_controller *controller, struct flo_err *err);

/* ---- keys.c ---- */

/* First start: an admin's token in DIR/admin.token. */
FLO_MUST_USE int flo_pki_admin_token(struct flo_controller *controller, struct flo_err *err);
/* An access token: stored, its text in `out` (FLO_TOKEN_TEXT). */
FLO_MUST_USE int flo_token_make(struct flo_controller *controller,
                                const struct flo_fleet_token *wish, char *id, char *out,
                                struct flo_err *err);

#endif
