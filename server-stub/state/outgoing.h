/* Outgoing: messages that leave after a commit.
 *
 * A transaction collects them.  After the commit each subscriber gets all of
 * them and takes its part: mqtt/ publishes, rest/ tells live clients.  A
 * message that promises something leaves when that commit is durable, so that a
 * crash cannot undo a change that was told. */
#ifndef FLOTILLA_SERVER_STATE_OUTGOING_H
#define FLOTILLA_SERVER_STATE_OUTGOING_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/state/text_list.h"

struct flo_controller;

/* For a device: its events up to this one are stored. */
struct flo_ack {
    char device[37];
    char boot[37];
    uint64_t sequence;
};
struct flo_acks {
    struct flo_ack *items;
    size_t count;
    size_t capacity;
};

/* For a device: this order once more, so that it answers again. */
struct flo_ask {
    char device[37];
    char order[FLO_NAME_MAX + 1];
};
struct flo_asks {
    struct flo_ask *items;
    size_t count;
    size_t capacity;
};

enum flo_object {
    FLO_OBJECT_DEVICE,
    FLO_OBJECT_ORDER,
    FLO_OBJECT_RELEASE,
    FLO_OBJECT_ROLLOUT,
};
const char *flo_object_word(enum flo_object object);

/* An object that people look at has changed. */
struct flo_change {
    enum flo_object object;
    char key[2 * FLO_NAME_MAX + 2]; /* id, or model@version */
};
struct flo_changes {
    struct flo_change *items;
    size_t count;
    size_t capacity;
};

struct flo_outgoing {
    struct flo_text_list desired;  /* device ids */
    struct flo_text_list later;    /* device ids: their desired, in quiet */
    struct flo_text_list cleared;  /* device ids: remove the retained message */
    struct flo_text_list came;     /* device ids: a broker that forgets has
                                    * nothing for them */
    struct flo_text_list renewals; /* device ids: ask for a new certificate */
    struct flo_text_list groups;   /* whose order list changed */
    struct flo_acks acks;
    struct flo_asks asks;
    struct flo_changes changes;
    struct flo_text_list audit; /* JSON of each new record */
    size_t telemetry_devices;   /* so many sent telemetry */
    bool has_retired;           /* a device was retired */
    bool has_emergency;         /* an emergency key's order is new here */
    bool has_trust;             /* a trust statement was published */
    bool has_authorities;       /* one was added, or is gone */
    bool lost_authority;        /* one is gone */
};

struct flo_subscriber {
    void *context;
    /* NULL: it does not hear of commits. */
    void (*on_committed)(void *context, const struct flo_outgoing *outgoing);
    /* Commits up to this one are durable; failed->code is not 0 when the sync
     * of the next ones failed.  NULL: it promises nothing. */
    void (*on_durable)(void *context, uint64_t number, const struct flo_err *failed);
};
#define FLO_SUBSCRIBERS_MAX 4
struct flo_subscribers;

extern const struct flo_transaction_part flo_outgoing_part;
/* Without a message, without a subscriber; NULL: no memory. */
struct flo_outgoing *flo_outgoing_new(void);
struct flo_subscribers *flo_subscribers_new(void);
void flo_outgoing_free(struct flo_outgoing *outgoing);
void flo_subscribers_free(struct flo_subscribers *all);

/* From now on it hears of every commit. */
void flo_outgoing_subscribe(struct flo_controller *controller, struct flo_subscriber subscriber);
void flo_outgoing_unsubscribe(struct flo_controller *controller, const void *context);

void flo_outgoing_desired(struct flo_controller *controller, const char *device);
/* The device's desired says nothing that it does not hear otherwise now: an
 * order that stands in a list.  The document follows when the fleet has
 * answered. */
void flo_outgoing_later(struct flo_controller *controller, const char *device);
/* So do all documents of this transaction. */
void flo_outgoing_defer(struct flo_controller *controller);
/* The device connected to a broker that forgets: its desired, and the lists
 * that it would have found retained. */
void flo_outgoing_came(struct flo_controller *controller, const char *device);
void flo_outgoing_group(struct flo_controller *controller, const char *group);
void flo_outgoing_ack(struct flo_controller *controller, const char *device, const char *boot,
                      uint64_t sequence);
void flo_outgoing_ask(struct flo_controller *controller, const char *device, const char *order);
/* Who lacks a release: another one may be wanted now, and their condition
 * another one. */
void flo_outgoing_lacking(struct flo_controller *controller);
void flo_outgoing_change(struct flo_controller *controller, enum flo_object object,
                         const char *key);
/* Before all orders of the same change. */
void flo_outgoing_trust(struct flo_controller *controller);
void flo_outgoing_emergency(struct flo_controller *controller);
/* Takes the reference. */
void flo_outgoing_audit(struct flo_controller *controller, json_t *record);
/* Ask it for a new certificate. */
void flo_outgoing_renewal(struct flo_controller *controller, const char *device);
/* The device that this transaction asked last; "": none. */
const char *flo_outgoing_renewal_last(const struct flo_controller *controller);
/* An authority was added, or is gone (`is_lost`). */
void flo_outgoing_authorities(struct flo_controller *controller, bool is_lost);
/* The device's retained messages go: it was retired. */
void flo_outgoing_retired(struct flo_controller *controller, const char *device);
/* So many devices sent telemetry: told at once, without a transaction. */
void flo_outgoing_telemetry(struct flo_controller *controller, size_t devices);
/* Tell all that subscribed how far commits are durable. */
void flo_outgoing_durable(struct flo_controller *controller);

/* false: no memory. */
bool flo_acks_add(struct flo_acks *acks, const struct flo_ack *ack);
/* The highest of those for one outbox stays. */
void flo_acks_newest(struct flo_acks *acks);
/* Add one, unless it is the last one. */
void flo_changes_add(struct flo_changes *changes, const struct flo_change *change);
/* Sort and drop repetitions. */
void flo_changes_unique(struct flo_changes *changes);

#endif
