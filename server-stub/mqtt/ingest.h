/* Ingest: messages of devices become rows and events. */
#ifndef FLOTILLA_SERVER_MQTT_INGEST_H
#define FLOTILLA_SERVER_MQTT_INGEST_H

#include "server-stub/state/controller.h"

/* The part of an order that never changes.  The last ones are kept in memory:
 * a fleet answers the same order in the same second. */
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
    bool is_aged; /* by our own clock, when it was looked for */
};
#define FLO_ACKED_MAX 16

/* The caller's, zero but for the controller. */
struct flo_ingest {
    struct flo_controller *controller;
    uint64_t messages;
    uint64_t dropped;     /* malformed, foreign, unknown or too many */
    uint64_t top_known;   /* numbers of orders up to it were given here */
    uint64_t top_foreign; /* that was told last */
    bool top_is_told;     /* a device knows a number that was never given here */
    struct flo_acked acked[FLO_ACKED_MAX];
    size_t acked_next;
};

/* One MQTT message, inside a transaction.  A message that does not fit is
 * dropped and counted.  An error is a failure of ours, and the transaction must
 * be cancelled.  It is one of the store (later it may work) or FLO_E_INTERNAL
 * (this message will fail again). */
FLO_MUST_USE int flo_ingest(struct flo_ingest *ingest, const char *topic, const char *data,
                            size_t bytes, bool retained, struct flo_err *err);

/* Counted, and said unless there are very many. */
void flo_ingest_dropped(struct flo_ingest *ingest, const char *topic, const struct flo_err *why);

#endif
