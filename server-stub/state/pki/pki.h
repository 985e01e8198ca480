/* PKI: the fleet's certificate authorities, the controller's own certificates,
 * those of devices, and the order key.
 *
 * Authorities are sorted from the oldest to the newest; devices accept all of
 * them.  The oldest signs the controller's own certificates, because every
 * device knows it.  A device's certificate is signed by the newest authority
 * that the device knows.  So an authority is rotated in two steps: a new one is
 * added, and the oldest is retired when no device holds a certificate of it any
 * more. */
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
    char name[FLO_AUTHORITY_TEXT]; /* first 16 hex digits of the authority's fingerprint */
    char *pem;
    size_t bytes;
    struct flo_key *key;
    struct flo_digest fingerprint;
    uint64_t from_ms, until_ms;
};

/* Paths of the PKI's files below DIR (keys.c). */
struct flo_pki_files {
    char ca_file[4096]; /* path of the PEM of all authorities, the oldest first */
    char revoked_file[4096];
    char server_cert_file[4096];
    char server_key_file[4096];
    char mqtt_cert_file[4096];
    char mqtt_key_file[4096];
    char lane_cert_file[4096];
    char lane_key_file[4096];
};

struct flo_pki;
/* Creates a PKI without keys; NULL: no memory. */
struct flo_pki *flo_pki_new(void);
void flo_pki_free(struct flo_pki *pki);
const struct flo_pki_files *flo_pki_files(const struct flo_pki *pki);
/* Returns the text of the file with all authorities. */
const struct flo_buf *flo_pki_ca(const struct flo_pki *pki);
/* Returns when the controller's own certificates expire. */
uint64_t flo_pki_leaves_until_ms(const struct flo_pki *pki);
/* Returns the key that signs orders; flo_pki_order_pem returns its public half
 * as PEM. */
struct flo_key *flo_pki_order_key(const struct flo_pki *pki);
const char *flo_pki_order_pem(const struct flo_pki *pki);
/* Replaces the order key, and takes ownership of `key`.  The caller frees the
 * replaced one. */
void flo_pki_use_order_key(struct flo_pki *pki, struct flo_key *key);

/* Returns an authority, the oldest first; NULL after the last. */
const struct flo_authority *flo_pki_authority_at(const struct flo_pki *pki, size_t place);
size_t flo_pki_authority_count(const struct flo_pki *pki);
/* Returns the oldest authority that has not expired.  Devices have known it
 * longest, so it signs the controller's own certificates. */
const struct flo_authority *flo_pki_oldest(const struct flo_pki *pki);
const struct flo_authority *flo_pki_newest(const struct flo_pki *pki);

/* Makes the missing keys and certificates below DIR, and reads all of them.
 * The server certificate names the hosts of the addresses.  The store's seals
 * are opened, too (seals.c), before any row is read that has one.
 *
 * FLO_E_KEYS_ABSENT  a key is missing that enrolled devices know */
FLO_MUST_USE int flo_pki_open(struct flo_controller *controller, struct flo_err *err);
/* Notes whether the store has certificates whose key it does not know. */
void flo_pki_keyless(struct flo_pki *pki, bool has_keyless);

/* ---- authorities.c: inside a transaction ---- */

/* Finds an authority by its name, or by the first digits of its name; NULL:
 * none. */
const struct flo_authority *flo_pki_authority(const struct flo_pki *pki, const char *name);
/* Adds an authority, which is the newest from now on.  After the commit,
 * readers of ca_file and brokers are notified (outgoing.h).  FLO_E_STATE: there
 * are FLO_AUTHORITIES_MAX already. */
FLO_MUST_USE int flo_pki_rotate(struct flo_controller *controller, struct flo_err *err);
/* Retires an authority, so that its certificates are refused from now on, and
 * deletes its key.  The newest authority cannot be retired. */
FLO_MUST_USE int flo_pki_retire(struct flo_controller *controller, const char *name,
                                struct flo_err *err);

/* ---- leaves.c ---- */

/* Issues the controller's own certificates again for the present addresses.
 * The keys stay. */
FLO_MUST_USE int flo_pki_leaves(struct flo_controller *controller, struct flo_err *err);
/* Returns whether two thirds of the lifetime of the controller's own
 * certificates are over. */
bool flo_pki_leaves_are_due(const struct flo_pki *pki, uint64_t now_ms);

/* ---- certificates.c: inside a transaction ---- */

/* Issues a device's certificate for the key in its request, signed by an
 * authority, and appends it to `out`.  Errors are those of
 * flo_certificate_issue. */
FLO_MUST_USE int flo_pki_issue(struct flo_controller *controller,
                               const struct flo_authority *authority, const char *device,
                               const char *csr, struct flo_buf *pem, struct flo_certificate *facts,
                               struct flo_err *err);
/* Writes the key and certificate of an external broker to DIR/broker. */
FLO_MUST_USE int flo_pki_broker(struct flo_controller *controller, const char *host,
                                struct flo_err *err);
/* Writes the revocation lists, one for each authority. */
FLO_MUST_USE int flo_pki_revoked_write(struct flo_controller *controller, struct flo_err *err);
/* Callback for each device and the authority of its certificate. A device that
 * has not reported its certificate counts with the newest one issued to it. */
typedef int (*flo_pki_holder_fn)(void *context, const char *device, const char *authority);
FLO_MUST_USE int flo_pki_holders(struct flo_controller *controller, flo_pki_holder_fn fn,
                                 void *context, struct flo_err *err);

/* ---- ask.c ---- */

/* Asks connected devices to renew their certificate, in a transaction.  It asks
 * devices whose certificate expires soon, because a device whose clock stands
 * still does not renew by itself.  It also asks devices with a certificate of
 * an older authority.  One call asks at most FLO_PKI_ASKED_MAX, and the next
 * call continues from there. */
#define FLO_PKI_ASKED_MAX 500
FLO_MUST_USE int flo_pki_ask(struct flo_controller *controller, uint64_t now_ms,
                             struct flo_err *err);
/* Returns the pause between two calls of flo_pki_ask. */
uint64_t flo_pki_ask_pause_ms(const struct flo_controller *controller);

/* ---- seals.c ---- */

/* Reads or makes the key of the store's seals, and checks the rows.  If the key
 * is lost, this is logged, and the store has no key then.  Seals once the rows
 * that were stored before their kind had seals, or all rows with
 * options.seals_again.  Inside a transaction. */
FLO_MUST_USE int flo_pki_seals_open(struct flo_controller *controller, struct flo_err *err);
/* Compares the number of the seals with the audit's head, and marks that the
 * rows are sealed.  Called at the end of the start, outside of a
 * transaction. */
FLO_MUST_USE int flo_pki_seals_settle(struct flo_controller *controller, struct flo_err *err);

/* ---- keys.c ---- */

/* Writes the token of an admin to DIR/admin.token at the first start. */
FLO_MUST_USE int flo_pki_admin_token(struct flo_controller *controller, struct flo_err *err);
/* Makes and stores an access token.  Its text is written to `out`, which holds
 * FLO_TOKEN_TEXT bytes. */
FLO_MUST_USE int flo_token_make(struct flo_controller *controller,
                                const struct flo_fleet_token *spec, char *id, char *out,
                                struct flo_err *err);

#endif
