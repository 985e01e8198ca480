/* Store: seals of the rows that give rights (tables token and person).
 *
 * A seal is an HMAC over all fields that decide, the table and the fleet, with
 * a key that is in no table: whoever can write to the database can make no row
 * that counts.  A row without a right seal is as if it were not there; listings
 * alone show it, marked.  Counters (uses, used_at) are not sealed.  A row that
 * was right and was deleted is right again when somebody puts it back.  As
 * store.h: one thread, changes between begin and commit. */
#ifndef FLOTILLA_SERVER_STORE_SEALS_H
#define FLOTILLA_SERVER_STORE_SEALS_H

#include "server-stub/store/store.h"

/* Seal and check with this key from now on.  Before it no row is right, and
 * none can be added (FLO_E_KEYS_ABSENT).  `fleet`: FLO_NAME_MAX at most. */
void flo_fleet_seal_with(struct flo_fleet_store *store, const uint8_t key[FLO_DIGEST_BYTES],
                         const char *fleet);
/* Look at all rows: so many seals are right, and so many are not. */
FLO_MUST_USE int flo_fleet_seals_count(struct flo_fleet_store *store, uint64_t *right,
                                       uint64_t *wrong, struct flo_err *err);
/* Seal all rows as they stand there; *count becomes their number. */
FLO_MUST_USE int flo_fleet_seal_all(struct flo_fleet_store *store, uint64_t *count,
                                    struct flo_err *err);
/* A row without a right seal that was met since the last call, as "token ID"
 * or "user NAME".  Few are kept.  false: there is no other. */
#define FLO_FLEET_UNSEALED_TEXT 96
bool flo_fleet_unsealed(struct flo_fleet_store *store, char out[FLO_FLEET_UNSEALED_TEXT]);

#endif
