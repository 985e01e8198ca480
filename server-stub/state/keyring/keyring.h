/* Keyring: the files that each controller of a fleet must have, as one sealed
 * document in their common database.
 *
 * They are the authorities with their keys, the order keys, the audit's key and
 * the unsigned list of publishers.  A leader stores the document in the
 * transaction that changes one of them.  Each admitted controller has a key
 * pair of its own (DIR/controller.key): the document's key is sealed for each,
 * and an authority signs the whole.  So who can write to the database neither
 * reads a key nor gives the next leader another one
 * (docs/decisions/controllers.md). */
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
/* Key ids, a line each, of controllers that were dismissed.  It is one of the
 * files: who was dismissed has all the others, and lacks this one. */
#define FLO_KEYRING_DISMISSED "keys/dismissed"

/* The words of a document.  Files: text by name; controllers: {"name","key"} by
 * key id, the key as PEM. */
struct flo_keyring {
    char fleet[FLO_NAME_MAX + 1];
    uint64_t number; /* grows by one */
    json_t *files;
    json_t *controllers;
};
/* Wipes the files. */
void flo_keyring_deinit(struct flo_keyring *keyring);
void flo_keyring_cleanup(struct flo_keyring *keyring);

/* ---- document.c: no file ---- */

/* Hex SHA-256 of the files alone: who has the same ones has the same. */
FLO_MUST_USE int flo_keyring_digest(const json_t *files, char out[FLO_KEYRING_DIGEST],
                                    struct flo_err *err);
/* The document, sealed for each of its controllers and signed; appended. */
FLO_MUST_USE int flo_keyring_seal(const struct flo_keyring *keyring,
                                  const struct flo_key *authority, struct flo_buf *out,
                                  struct flo_err *err);
/* Open it with the key of one of them.  `authorities`: PEM of those that may
 * have signed it; NULL: those in it whose fingerprint is `joins`.
 *
 * FLO_E_KEYS_ABSENT  this controller was not admitted
 * FLO_E_SIG_...      none of them signed it, or somebody changed it
 * FLO_E_META_...     it is no such document */
FLO_MUST_USE int flo_keyring_open(const char *text, size_t bytes, const struct flo_key *own,
                                  const char *authorities, const char *joins,
                                  struct flo_keyring *out, struct flo_err *err);
/* May a keyring hold a file of that name, below DIR? */
bool flo_keyring_has_name(const char *name);

/* ---- folder.c: files below `dir` ---- */

/* The folder's files; the caller releases *out (flo_json_secret_cleanup). */
FLO_MUST_USE int flo_keyring_read(const char *dir, json_t **out, struct flo_err *err);
/* The key of this folder's controller; made when there is none. */
FLO_MUST_USE int flo_keyring_own(const char *dir, struct flo_key **out, struct flo_err *err);
/* Before this controller leads: give the folder the files of this digest, from
 * `text`, unless it has them.  `joins_or_null`: fingerprint of the authority to
 * believe the first time.
 *
 * FLO_E_KEYS_ABSENT  they cannot be had; the reason is in the sentence */
FLO_MUST_USE int flo_keyring_take(const char *dir, const char *digest, const char *text,
                                  size_t bytes, const char *joins_or_null, struct flo_err *err);

/* Add the key id to the folder's list of dismissed ones, or take it away. */
FLO_MUST_USE int flo_keyring_dismissed_set(const char *dir, const char *keyid, bool is_dismissed,
                                           struct flo_err *err);
FLO_MUST_USE int flo_keyring_dismissed(const char *dir, const char *keyid, bool *out,
                                       struct flo_err *err);
/* The folder holds the keyring of that number, and takes no older one.
 *
 * FLO_E_KEYS_ABSENT  it held a newer one */
FLO_MUST_USE int flo_keyring_number_check(const char *dir, uint64_t number, struct flo_err *err);
FLO_MUST_USE int flo_keyring_number_set(const char *dir, uint64_t number, struct flo_err *err);

/* ---- kept.c: of a leader ---- */

struct flo_keyring_kept;
/* None is stored; NULL: no memory. */
struct flo_keyring_kept *flo_keyring_new(void);
void flo_keyring_free(struct flo_keyring_kept *kept);
/* Inside a transaction, when keys and trust are open. */
FLO_MUST_USE int flo_keyring_load(struct flo_controller *controller, struct flo_err *err);
/* It is stored at the end of a transaction when controller->has_new_files. */
extern const struct flo_transaction_part flo_keyring_part;
/* After one: who was admitted or dismissed in one that failed was not. */
void flo_keyring_settle(struct flo_controller *controller, bool is_committed);
bool flo_keyring_is_admitted(const struct flo_controller *controller, const char *keyid);
/* Inside a transaction: from now on the document is sealed for this controller,
 * or not any more.  FLO_E_ABSENT: it was not admitted; FLO_E_STATE: too many,
 * the one that leads, or there is no common database. */
FLO_MUST_USE int flo_keyring_admit(struct flo_controller *controller, const char *name,
                                   const char *pem, struct flo_err *err);
FLO_MUST_USE int flo_keyring_dismiss(struct flo_controller *controller, const char *keyid,
                                     struct flo_err *err);

#endif
