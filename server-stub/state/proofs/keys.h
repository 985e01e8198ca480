/* Keys: the devices' proof keys and their used message numbers.  They are not
 * for others. */
#ifndef FLOTILLA_SERVER_STATE_PROOFS_KEYS_H
#define FLOTILLA_SERVER_STATE_PROOFS_KEYS_H

#include <pthread.h>

#include "proto/proof.h"

#include "server-stub/state/proofs/proofs.h"
#include "server-stub/store/ids.h"
#include "server-stub/store/store.h"

/* Number of topics on which devices send messages, from FLO_TOPIC_REPORTED
 * on. */
#define FLO_PROOFS_CHANNELS 5
#define FLO_PROOFS_REPORTED 0
#define FLO_PROOFS_TELE (FLO_TOPIC_TELE - FLO_TOPIC_REPORTED)
#define FLO_PROOFS_PRESENCE (FLO_TOPIC_PRESENCE - FLO_TOPIC_REPORTED)
/* Number of order keys for which devices may prove messages: the one in use,
 * and the one before. */
#define FLO_PROOFS_ORDER_KEYS 2
/* number of messages with used numbers in a row after which a device counts as
 * behind */
#define FLO_PROOFS_BEHIND 16
/* Largest number of remembered devices in whose name messages without a proof
 * came.  The caller reads them by flo_proofs_told. */
#define FLO_PROOFS_TOLD 16
/* Longest time by which a device's messages on one of its two connections may
 * arrive later than those on the other. */
#define FLO_PROOFS_LATE_MS 600000

/* Parts of a key that exist only for a device that sent a message since the
 * start. */
struct flo_proofs_heard {
    /* secrets shared with the order keys, each computed at its first use */
    struct flo_proof_key secrets[FLO_PROOFS_ORDER_KEYS];
    bool has_secret[FLO_PROOFS_ORDER_KEYS];
    /* for each channel: value of the counter `turn` when the channel's message
     * number was last used */
    uint64_t seen[FLO_PROOFS_CHANNELS];
};
/* A device sends by two connections: one for telemetry, one for all other
 * messages.  After a change of the order key, messages that were proved with
 * the old key may still arrive by one of them. */
enum flo_proofs_late { FLO_PROOFS_NONE_LATE, FLO_PROOFS_TELE_LATE, FLO_PROOFS_OTHERS_LATE };
/* A device's key from one certificate. */
struct flo_proofs_key {
    struct flo_proofs_key *older; /* the previous key; NULL: none */
    uint64_t issued_at_ms;
    struct flo_proofs_heard *heard;     /* NULL: nothing yet */
    uint64_t used[FLO_PROOFS_CHANNELS]; /* highest used message number of each channel */
    bool is_held;
    bool is_left; /* the device uses a newer key; this one is only accepted for
                     telemetry that is late */
    /* connection by which messages proved with the older order key may still
     * arrive */
    enum flo_proofs_late late;
    /* time, by the monotonic clock, when `late` was set */
    uint64_t late_since_ms;
    bool is_gone;  /* the device was reported gone since its last presence message */
    bool is_dirty; /* the key's numbers in memory differ from the stored row */
    /* Id of the order key for which the device made its last proof; "":
     * none. */
    char of_order[FLO_PROOF_CONTROLLER_TEXT];
    struct flo_public_key point;
    char serial[]; /* serial of the certificate */
};
struct flo_proofs_device {
    struct flo_proofs_key *newest; /* NULL: none */
    bool is_proved;
    bool is_touched; /* a report or presence of the device waits to be stored */
    uint32_t old;    /* number of messages with used numbers in a row */
};

struct flo_proofs {
    pthread_mutex_t mutex;
    struct flo_key *orders[FLO_PROOFS_ORDER_KEYS];
    struct flo_ids ids;
    struct flo_proofs_device *devices; /* by number */
    size_t capacity;
    uint64_t proved;   /* devices */
    uint64_t turn;     /* counter that grows when the broker sends its retained messages again */
    size_t dirty;      /* keys */
    size_t from;       /* index of the next device whose numbers are checked for writing */
    uint32_t *touched; /* indexes of the devices whose is_touched is set */
    size_t touched_count, touched_capacity;
    uint64_t counts[FLO_PROOF_WORDS];
    struct flo_proofs_list {
        char items[FLO_PROOFS_TOLD][37];
        size_t count;
    } told, behind;
};

/* Adds the key of a certificate to a device, sorted by age.  Stored rows come
 * in any order, and a key that is not in use yet counts as newer than one that
 * is.  `is_newest` means that the key was issued just now, and is the newest
 * whatever the clock says.  Called under the mutex, or before another thread
 * knows `proofs`. */
FLO_MUST_USE int flo_proofs_add(struct flo_proofs *proofs, const struct flo_fleet_certificate *row,
                                bool is_newest, struct flo_err *err);

#endif
