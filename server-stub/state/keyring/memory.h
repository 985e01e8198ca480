/* Memory: the keyring's state in memory.  Private to this folder. */
#ifndef FLOTILLA_SERVER_STATE_KEYRING_MEMORY_H
#define FLOTILLA_SERVER_STATE_KEYRING_MEMORY_H

#include "server-stub/state/keyring/keyring.h"

/* The keyring of a leader. */
struct flo_keyring_kept {
    struct flo_keyring as_stored; /* keyring as stored, without files; number 0: none is stored */
    json_t *before;               /* controllers before this transaction; NULL: unchanged */
    bool is_written;              /* the keyring was stored in this transaction */
    /* Digest of the files as stored; "": unknown. */
    char digest[FLO_KEYRING_DIGEST];
    char own[FLO_KEYID_TEXT]; /* key of the controller that leads */
};

#endif
