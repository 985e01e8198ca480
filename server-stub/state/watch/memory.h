/* Alert rules, alerts and webhooks in memory; not for others. */
#ifndef FLOTILLA_SERVER_STATE_WATCH_MEMORY_H
#define FLOTILLA_SERVER_STATE_WATCH_MEMORY_H

#include "server-stub/core/alert/alert.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/watch/watch.h"

struct flo_watches {
    struct flo_watch_rule *rules; /* [FLO_WATCH_RULES_MAX], by name */
    size_t rule_count;
    struct flo_watch_alert *alerts; /* [FLO_WATCH_ALERTS_MAX] */
    size_t alert_count;
    struct flo_watch_webhook webhooks[FLO_WATCH_WEBHOOKS_MAX];
    size_t webhook_count;
    bool has_command; /* mail: each message for it, too */
    bool has_changed; /* in this transaction */
    bool is_stale;    /* ... which was taken back */
    bool is_due;      /* deliveries may be */
};

FLO_MUST_USE int flo_watch_write_alert(struct flo_controller *controller,
                                       const struct flo_watch_alert *alert, struct flo_err *err);
/* A delivery to each target that wants it. */
FLO_MUST_USE int flo_watch_tell(struct flo_controller *controller,
                                const struct flo_watch_rule *rule,
                                const struct flo_watch_alert *alert, enum flo_alert_news news,
                                uint64_t now_ms, struct flo_err *err);

#endif
