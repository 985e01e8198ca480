/* Store: seals of the rows that grant rights (tables token and person).
 *
 * A seal is an HMAC over all relevant fields, the table and the fleet.  Its key
 * is in no table, so write access to the database is not enough to make a valid
 * row.  A row without a valid seal counts as absent; only listings show it,
 * marked.  Counters (uses, used_at) are not sealed.  A deleted row is valid
 * again when somebody restores it.  As in store.h, one thread calls, and all
 * changes happen between begin and commit. */
#ifndef FLOTILLA_SERVER_STORE_SEALS_H
#define FLOTILLA_SERVER_STORE_SEALS_H

#include "server-stub/store/store.h"

/* Sets the key with which rows are sealed and checked.  Without a key no row is
 * valid, and none can be added (FLO_E_KEYS_ABSENT).  `fleet` has at most
 * FLO_NAME_MAX bytes. */
void flo_fleet_seal_with(struct flo_fleet_store *store, const uint8_t key[FLO_DIGEST_BYTES],
                         const char *fleet);
/* Checks the seals of all rows, and counts the valid and the invalid ones. */
FLO_MUST_USE int flo_fleet_seals_count(struct flo_fleet_store *store, uint64_t *right,
                                       uint64_t *wrong, struct flo_err *err);
/* Seals all rows as they are.  *count becomes the number of rows. */
FLO_MUST_USE int flo_fleet_seal_all(struct flo_fleet_store *store, uint64_t *count,
                                    struct flo_err *err);
/* Gets a row with an invalid seal that was found since the last call, as "token
 * ID" or "user NAME".  Only a few are remembered.  Returns false when there is
 * none. */
#define FLO_FLEET_UNSEALED_TEXT 96
bool flo_fleet_unsealed(struct flo_fleet_store *store, char out[FLO_FLEET_UNSEALED_TEXT]);

#endif
