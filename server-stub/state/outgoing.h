/* Outgoing: messages that leave after a commit.  A transaction collects them.
 * After the commit each subscriber receives all of them and handles its part:
 * mqtt/ publishes, rest/ notifies live clients.  A message that promises
 * something leaves only when that commit is durable, so that a crash cannot
 * undo a change that was announced. */
#ifndef FLOTILLA_SERVER_STATE_OUTGOING_H
#define FLOTILLA_SERVER_STATE_OUTGOING_H

#include <flotilla/base.h>

#include "base/host/json.h"

#include "server-stub/state/text_list.h"

struct flo_controller;

/* Acknowledgement for a device: its events up to this number are stored. */
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

/* Request to a device: this order is sent once more, so that the device answers
 * again. */
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

/* Notice that an object which people see has changed. */
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
    struct flo_text_list desired; /* device ids */
    struct flo_text_list later;   /* ids of devices whose desired documents are sent later */
    struct flo_text_list cleared; /* ids of devices whose retained messages are to be removed */
    struct flo_text_list came; /* ids of devices that connected to a broker that retains nothing */
    struct flo_text_list renewals; /* ids of devices that are to request a new certificate */
    struct flo_text_list groups;   /* groups whose lists of orders changed */
    struct flo_acks acks;
    struct flo_asks asks;
    struct flo_changes changes;
    struct flo_text_list audit; /* JSON text of each new audit record */
    size_t telemetry_devices;   /* number of devices that sent telemetry */
    bool has_retired;           /* a device was retired, or a certificate revoked */
    bool has_emergency;         /* a new order of an emergency key was seen */
    bool has_trust;             /* a trust statement was published */
    bool has_authorities;       /* a certificate authority was added or removed */
    bool lost_authority;        /* some certificate authority was removed */
};

struct flo_subscriber {
    void *context;
    /* Called after each commit.  NULL: this subscriber ignores commits. */
    void (*on_committed)(void *context, const struct flo_outgoing *outgoing);
    /* Called when commits up to `number` are durable.  failed->code is not 0
     * when the sync of later commits failed.  NULL: this subscriber sends
     * nothing that has to be durable. */
    void (*on_durable)(void *context, uint64_t number, const struct flo_err *failed);
};
#define FLO_SUBSCRIBERS_MAX 4
struct flo_subscribers;

extern const struct flo_transaction_part flo_outgoing_part;
/* Creates an empty list of messages; NULL: no memory. flo_subscribers_new
 * creates an empty list of subscribers. */
struct flo_outgoing *flo_outgoing_new(void);
struct flo_subscribers *flo_subscribers_new(void);
void flo_outgoing_free(struct flo_outgoing *outgoing);
void flo_subscribers_free(struct flo_subscribers *all);

/* Adds a subscriber, which is called for every commit from now on. */
void flo_outgoing_subscribe(struct flo_controller *controller, struct flo_subscriber subscriber);
void flo_outgoing_unsubscribe(struct flo_controller *controller, const void *context);

void flo_outgoing_desired(struct flo_controller *controller, const char *device);
/* Queues the device's desired document for later.  The change is an order that
 * the device also gets from a retained list, so the document may wait until the
 * fleet has answered. */
void flo_outgoing_later(struct flo_controller *controller, const char *device);
/* Queues all desired documents of this transaction for later, as
 * flo_outgoing_later does for one. */
void flo_outgoing_defer(struct flo_controller *controller);
/* Queues the desired document and the order lists for a device that connected
 * to a broker without retained messages. */
void flo_outgoing_came(struct flo_controller *controller, const char *device);
void flo_outgoing_group(struct flo_controller *controller, const char *group);
void flo_outgoing_ack(struct flo_controller *controller, const char *device, const char *boot,
                      uint64_t sequence);
/* Sends an order to a device once more; "": requests a report instead. */
void flo_outgoing_ask(struct flo_controller *controller, const char *device, const char *order);
/* Adds a change for each device that lacks a release, because its desired
 * release or its condition may be different now. */
void flo_outgoing_lacking(struct flo_controller *controller);
void flo_outgoing_change(struct flo_controller *controller, enum flo_object object,
                         const char *key);
/* Queues the trust statement; it is sent before all orders of the same
 * transaction. */
void flo_outgoing_trust(struct flo_controller *controller);
void flo_outgoing_emergency(struct flo_controller *controller);
/* Queues an audit record for live clients, and takes its reference. */
void flo_outgoing_audit(struct flo_controller *controller, json_t *record);
/* Queues a request to the device to renew its certificate. */
void flo_outgoing_renewal(struct flo_controller *controller, const char *device);
/* Returns the last device that this transaction asked to renew its certificate;
 * "": none. */
const char *flo_outgoing_renewal_last(const struct flo_controller *controller);
/* Notes that a certificate authority was added, or removed if `is_lost`. */
void flo_outgoing_authorities(struct flo_controller *controller, bool is_lost);
/* Queues the removal of a retired device's retained messages. */
void flo_outgoing_retired(struct flo_controller *controller, const char *device);
/* Notifies subscribers at once, without a transaction, how many devices sent
 * telemetry. */
void flo_outgoing_telemetry(struct flo_controller *controller, size_t devices);
/* Notifies all subscribers up to which commit the store is durable. */
void flo_outgoing_durable(struct flo_controller *controller);

/* Appends an acknowledgement; returns false without memory. */
bool flo_acks_add(struct flo_acks *acks, const struct flo_ack *ack);
/* Keeps only the highest acknowledgement of each outbox. */
void flo_acks_newest(struct flo_acks *acks);
/* Adds a change, unless it equals the last one. */
void flo_changes_add(struct flo_changes *changes, const struct flo_change *change);
/* Sorts the changes and drops repetitions. */
void flo_changes_unique(struct flo_changes *changes);

#endif
