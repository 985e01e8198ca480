/* Memory: alert rules, alerts and webhooks in memory.  They are not for
 * others. */
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
    bool has_command; /* each message is also passed to the alert command (mail) */
    bool has_changed; /* the alerts in memory were changed in this transaction */
    bool is_stale;    /* the alerts must be read again, because a transaction was rolled back */
};

FLO_MUST_USE int flo_watch_write_alert(struct flo_controller *controller,
                                       const struct flo_watch_alert *alert, struct flo_err *err);
/* Creates a delivery for each target that wants the alert: a page, or no page.  Older
 * ones that were not sent are passed.  A webhook for pages alone that heard a page
 * hears the end, too. */
FLO_MUST_USE int flo_watch_tell(struct flo_controller *controller, struct flo_watch_alert *alert,
                                enum flo_alert_news news, bool is_page, uint64_t now_ms,
                                struct flo_err *err);

#endif
