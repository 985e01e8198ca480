/* Keyring: the secret files that each controller of a fleet must have, as one
 * sealed document in the shared database.
 *
 * The files are the certificate authorities with their keys, the order keys,
 * the audit's key and the unsigned list of publishers.  A leader stores the
 * document in the transaction that changes one of them.  Each admitted
 * controller has its own key pair (DIR/controller.key).  The document's key is
 * sealed for each of them, and an authority signs the whole.  So somebody who
 * can write to the database can neither read a key nor pass another key to the
 * next leader (docs/decisions/controllers.md). */
#ifndef FLOTILLA_SERVER_STATE_KEYRING_H
#define FLOTILLA_SERVER_STATE_KEYRING_H

#include <flotilla/base.h>

#include "base/host/crypto.h"
#include "base/host/json.h"

struct flo_controller;

#define FLO_KEYRING_CONTROLLERS_MAX 16
#define FLO_KEYRING_FILES_MAX 256
#define FLO_KEYRING_BYTES_MAX (1u << 20)
#define FLO_KEYRING_DIGEST 65
/* Name of the file with the key ids of dismissed controllers, one a line.  The
 * keyring contains this file, too: a dismissed controller has all other files,
 * but an older version of this one. */
#define FLO_KEYRING_DISMISSED "keys/dismissed"

/* The content of a keyring's document.  `files` has texts by name.
 * `controllers` has {"name","key"} by key id, with the key as PEM. */
struct flo_keyring {
    char fleet[FLO_NAME_MAX + 1];
    uint64_t number; /* number of the keyring, which grows by one with each version */
    json_t *files;
    json_t *controllers;
};
/* Wipes the secrets in the keyring's files, and frees its contents. */
void flo_keyring_deinit(struct flo_keyring *keyring);
void flo_keyring_cleanup(struct flo_keyring *keyring);

/* ---- document.c: no file ---- */

/* Computes the SHA-256, in hex, of the files alone.  Equal files give an equal
 * digest. */
FLO_MUST_USE int flo_keyring_digest(const json_t *files, char out[FLO_KEYRING_DIGEST],
                                    struct flo_err *err);
/* Appends the keyring's document, which is sealed for each of its controllers
 * and signed. */
FLO_MUST_USE int flo_keyring_seal(const struct flo_keyring *keyring,
                                  const struct flo_key *authority, struct flo_buf *out,
                                  struct flo_err *err);
/* Opens a document with the key of one of its controllers.  `authorities` has
 * the PEM of those that may have signed the document.  With NULL the authority
 * inside the document is trusted if its fingerprint is `joins`.
 *
 * FLO_E_KEYS_ABSENT  this controller was not admitted
 * FLO_E_SIG_...      no authority signed it, or it was changed
 * FLO_E_META_...     the text is no such document */
FLO_MUST_USE int flo_keyring_open(const char *text, size_t bytes, const struct flo_key *own,
                                  const char *authorities, const char *joins,
                                  struct flo_keyring *out, struct flo_err *err);
/* Returns whether a keyring may contain a file with that name, below DIR. */
bool flo_keyring_has_name(const char *name);

/* ---- folder.c: files below `dir` ---- */

/* Reads the folder's files; the caller releases *out
 * (flo_json_secret_cleanup). */
FLO_MUST_USE int flo_keyring_read(const char *dir, json_t **out, struct flo_err *err);
/* Reads the key of this folder's controller, and makes the key if there is
 * none. */
FLO_MUST_USE int flo_keyring_own(const char *dir, struct flo_key **out, struct flo_err *err);
/* Writes the keyring's files from the document `text` into the folder, unless
 * it has the files with this digest already.  Called before this controller
 * leads.  `joins_or_null` is the fingerprint of the authority to trust the
 * first time.
 *
 * FLO_E_KEYS_ABSENT  the files cannot be obtained; the message says why */
FLO_MUST_USE int flo_keyring_take(const char *dir, const char *digest, const char *text,
                                  size_t bytes, const char *joins_or_null, struct flo_err *err);

/* Adds the key id to the folder's list of dismissed controllers, or removes
 * it. */
FLO_MUST_USE int flo_keyring_dismissed_set(const char *dir, const char *keyid, bool is_dismissed,
                                           struct flo_err *err);
FLO_MUST_USE int flo_keyring_dismissed(const char *dir, const char *keyid, bool *out,
                                       struct flo_err *err);
/* Checks that the folder may take the keyring with this number, and refuses an
 * older one.
 *
 * FLO_E_KEYS_ABSENT  the folder held a newer keyring */
FLO_MUST_USE int flo_keyring_number_check(const char *dir, uint64_t number, struct flo_err *err);
FLO_MUST_USE int flo_keyring_number_set(const char *dir, uint64_t number, struct flo_err *err);

/* ---- kept.c: of a leader ---- */

struct flo_keyring_kept;
/* Creates the state of a keyring that is not stored yet; NULL: no memory. */
struct flo_keyring_kept *flo_keyring_new(void);
void flo_keyring_free(struct flo_keyring_kept *kept);
/* Loads the keyring from the store inside a transaction, after keys and trust
 * are open. */
FLO_MUST_USE int flo_keyring_load(struct flo_controller *controller, struct flo_err *err);
/* Transaction hook that stores the keyring at the end of a transaction when
 * controller->has_new_files. */
extern const struct flo_transaction_part flo_keyring_part;
/* Ends a transaction.  After a failed one the admissions and dismissals in it
 * are undone. */
void flo_keyring_settle(struct flo_controller *controller, bool is_committed);
bool flo_keyring_is_admitted(const struct flo_controller *controller, const char *keyid);
/* Adds a controller to those for which the document is sealed, inside a
 * transaction; flo_keyring_dismiss removes one.  FLO_E_ABSENT: the controller
 * was not admitted.  FLO_E_STATE: there are too many, it is the leader, or
 * there is no shared database. */
FLO_MUST_USE int flo_keyring_admit(struct flo_controller *controller, const char *name,
                                   const char *pem, struct flo_err *err);
FLO_MUST_USE int flo_keyring_dismiss(struct flo_controller *controller, const char *keyid,
                                     struct flo_err *err);

#endif
