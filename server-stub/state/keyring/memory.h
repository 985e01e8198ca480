/* Memory: the keyring's state in memory.  It is not for others. */
#ifndef FLOTILLA_SERVER_STATE_KEYRING_MEMORY_H
#define FLOTILLA_SERVER_STATE_KEYRING_MEMORY_H

#include "server-stub/state/keyring/keyring.h"

/* The leader's state of the keyring. */
struct flo_keyring_kept {
    /* the stored keyring, without files; its number is 0 when none is stored */
    struct flo_keyring as_stored;
    json_t *before;  /* admitted controllers before this transaction; NULL: unchanged */
    bool is_written; /* this transaction stored the keyring */
    /* Digest of the stored files; "": unknown. */
    char digest[FLO_KEYRING_DIGEST];
    char own[FLO_KEYID_TEXT]; /* key of the controller that leads */
};

#endif
