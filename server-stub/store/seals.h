/* Store: seals of the rows from which rights and rules follow (sealed.def).
 *
 * A seal is an HMAC over all relevant fields, the table and the fleet.  Its key
 * is in no table, so write access to the database is not enough to make a valid
 * row.  A row without a valid seal has no effect; listings of tokens and people
 * show it, marked.  Every insert, put and update of the store seals its rows
 * (calls/engine.c), but an update leaves a row without a valid seal as it is.
 *
 * The set of all valid seals of a kind has a sum, and the setting `seals` has
 * the sums and a number that grows with each change.  So a row that is gone, or
 * that came back from earlier, puts its kind in doubt.  The audit's head has
 * the number (state/audit/head.h), so that the setting cannot come back either.
 * As in store.h, one thread calls, and all changes happen between begin and
 * commit. */
#ifndef FLOTILLA_SERVER_STORE_SEALS_H
#define FLOTILLA_SERVER_STORE_SEALS_H

#include "server-stub/store/store.h"

/* Kinds of sealed rows. */
enum flo_sealed_kind {
#define FLO_SEALED(kind, word, table, seal, ...) FLO_SEALED_##kind,
#define FLO_SEALED_SETTING(kind, name) FLO_SEALED_##kind,
#define FLO_BARE(table, why)
#include "server-stub/store/sealed.def"
    FLO_SEALED_KINDS
};

/* Sets the key with which rows are sealed and checked.  Without a key no row is
 * valid, and none can be added (FLO_E_KEYS_ABSENT).  `fleet` has at most
 * FLO_NAME_MAX bytes. */
void flo_fleet_seal_with(struct flo_fleet_store *store, const uint8_t key[FLO_DIGEST_BYTES],
                         const char *fleet);
/* Reads the sums, and checks the seals of all rows but devices and
 * certificates, which are checked when they are loaded.  *right and *wrong
 * count the tokens and people.  Called once, after the key is set. */
FLO_MUST_USE int flo_fleet_seals_open(struct flo_fleet_store *store, uint64_t *right,
                                      uint64_t *wrong, struct flo_err *err);
/* Checks the seals of the same rows again, and counts as above. */
FLO_MUST_USE int flo_fleet_seals_count(struct flo_fleet_store *store, uint64_t *right,
                                       uint64_t *wrong, struct flo_err *err);
/* Seals all rows as they are, or all but tokens and people, and takes them for
 * complete.  *count becomes the number of rows. */
FLO_MUST_USE int flo_fleet_seal_all(struct flo_fleet_store *store, bool with_rights,
                                    uint64_t *count, struct flo_err *err);
/* Returns the number of the newest change of a sealed row; 0: none was made. */
uint64_t flo_fleet_seals_number(const struct flo_fleet_store *store);
/* Notes that the number was at least this one before.  If it is less now, all
 * kinds are in doubt, and the call returns true. */
bool flo_fleet_seals_were(struct flo_fleet_store *store, uint64_t number);
/* Tells whether rows of the kind are in doubt: some row is gone, came back from
 * earlier, or has no valid seal (of devices, only the first two). */
bool flo_fleet_doubts(const struct flo_fleet_store *store, enum flo_sealed_kind kind);
/* Tells whether a rule could be missing: rules, groups or devices are in
 * doubt. */
bool flo_fleet_doubts_rules(const struct flo_fleet_store *store);
/* Puts a kind in doubt, or takes the doubt away.  The next start knows it from
 * the sums, which the next commit writes. */
void flo_fleet_doubt(struct flo_fleet_store *store, enum flo_sealed_kind kind, bool is_doubted);
/* Gets a row with an invalid seal that was found since the last call, as "token
 * ID" or "user NAME".  Only a few are remembered.  Returns false when there is
 * none. */
#define FLO_FLEET_UNSEALED_TEXT 96
bool flo_fleet_unsealed(struct flo_fleet_store *store, char out[FLO_FLEET_UNSEALED_TEXT]);

#endif
