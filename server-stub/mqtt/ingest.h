/* Ingest: turns messages of devices into rows and events. */
#ifndef FLOTILLA_SERVER_MQTT_INGEST_H
#define FLOTILLA_SERVER_MQTT_INGEST_H

#include "server-stub/state/controller.h"

/* Facts of an order that do not change.  Those of the latest orders are cached,
 * because a whole fleet answers an order within seconds. */
struct flo_acked {
    char id[FLO_NAME_MAX + 1];
    char op[16];
    char group[FLO_NAME_MAX + 1];
    char rollout[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char release[FLO_DIGEST_TEXT];
    uint64_t seq;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    bool is_aged; /* the order was already old, by the controller's clock, when it was looked up */
};
#define FLO_ACKED_MAX 16

/* State of ingest.  The caller sets the controller; all other members begin as
 * zero. */
struct flo_ingest {
    struct flo_controller *controller;
    uint64_t messages;
    /* number of messages that were malformed, foreign, of an unknown device, or
     * too many */
    uint64_t dropped;
    /* newest order number of this controller, when it was last read from the
     * store */
    uint64_t top_known;
    uint64_t top_foreign; /* order number of the last report about an order that
                             this controller never issued */
    /* people were notified of an order number that this controller did not
     * issue */
    bool top_is_told;
    struct flo_acked acked[FLO_ACKED_MAX];
    size_t acked_next;
};

/* Handles one MQTT message, inside a transaction.  An invalid message is
 * dropped and counted.  After an error the transaction must be cancelled.  It
 * is a store error, after which a retry may work, or FLO_E_INTERNAL, which this
 * message will cause again. */
FLO_MUST_USE int flo_ingest(struct flo_ingest *ingest, const char *topic, const char *data,
                            size_t bytes, bool retained, struct flo_err *err);

/* Counts a message that was dropped.  Logs it, too, unless there are very
 * many. */
void flo_ingest_dropped(struct flo_ingest *ingest, const char *topic, const struct flo_err *why);

#endif
