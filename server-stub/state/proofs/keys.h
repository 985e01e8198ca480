/* Keys of devices, their used numbers; not for others. */
#ifndef FLOTILLA_SERVER_STATE_PROOFS_KEYS_H
#define FLOTILLA_SERVER_STATE_PROOFS_KEYS_H

#include <pthread.h>

#include "proto/proof.h"

#include "server-stub/state/proofs/proofs.h"
#include "server-stub/store/ids.h"
#include "server-stub/store/store.h"

/* Topics that devices write, from FLO_TOPIC_REPORTED on. */
#define FLO_PROOFS_CHANNELS 5
#define FLO_PROOFS_REPORTED 0
#define FLO_PROOFS_TELE (FLO_TOPIC_TELE - FLO_TOPIC_REPORTED)
#define FLO_PROOFS_PRESENCE (FLO_TOPIC_PRESENCE - FLO_TOPIC_REPORTED)
#define FLO_PROOFS_ORDER_KEYS 2   /* the one in use, and the one before */
#define FLO_PROOFS_BEHIND 16      /* old messages, one after the other */
#define FLO_PROOFS_TOLD 16        /* devices until somebody asks */
#define FLO_PROOFS_LATE_MS 600000 /* one connection behind the other */

/* Parts of a key that only a device needs that was heard since the start. */
struct flo_proofs_heard {
    struct flo_proof_key secrets[FLO_PROOFS_ORDER_KEYS]; /* made when asked */
    bool has_secret[FLO_PROOFS_ORDER_KEYS];
    uint64_t seen[FLO_PROOFS_CHANNELS]; /* in which turn a number came */
};
/* The connections by which a device's messages come: whose last one has not
 * proved with the order key that the other one has. */
enum flo_proofs_late { FLO_PROOFS_NONE_LATE, FLO_PROOFS_TELE_LATE, FLO_PROOFS_OTHERS_LATE };
/* A device's key, of one certificate. */
struct flo_proofs_key {
    struct flo_proofs_key *older; /* the key before; NULL: none */
    uint64_t issued_at_ms;
    struct flo_proofs_heard *heard;     /* NULL: nothing yet */
    uint64_t used[FLO_PROOFS_CHANNELS]; /* numbers, of each channel */
    bool is_held;
    bool is_left;              /* a newer one is held: telemetry alone may be of it */
    enum flo_proofs_late late; /* may prove with the order key before */
    /* When that began; by the clock that goes on. */
    uint64_t late_since_ms;
    bool is_gone;  /* since its last presence */
    bool is_dirty; /* not as it is stored */
    /* Order key of its last proof; "": none. */
    char of_order[FLO_PROOF_CONTROLLER_TEXT];
    struct flo_public_key point;
    char serial[]; /* serial of the certificate */
};
struct flo_proofs_device {
    struct flo_proofs_key *newest; /* NULL: none */
    bool is_proved;
    bool is_touched; /* by a report or presence that the store takes */
    uint32_t old;    /* messages since the last good one */
};

struct flo_proofs {
    pthread_mutex_t mutex;
    struct flo_key *orders[FLO_PROOFS_ORDER_KEYS];
    struct flo_ids ids;
    struct flo_proofs_device *devices; /* by number */
    size_t capacity;
    uint64_t proved;   /* devices */
    uint64_t turn;     /* grows when the broker tells again */
    size_t dirty;      /* keys */
    size_t from;       /* the next device that is looked at */
    uint32_t *touched; /* numbers of such devices */
    size_t touched_count, touched_capacity;
    uint64_t counts[FLO_PROOF_WORDS];
    struct flo_proofs_list {
        char items[FLO_PROOFS_TOLD][37];
        size_t count;
    } told, behind;
};

/* Under the mutex, or before another thread knows it.  Stored rows come in any
 * order: one that is not held yet is newer than one that is.  The one that was
 * issued now (`is_newest`) is newer than all, whatever the clock says. */
FLO_MUST_USE int flo_proofs_add(struct flo_proofs *proofs, const struct flo_fleet_certificate *row,
                                bool is_newest, struct flo_err *err);

#endif
