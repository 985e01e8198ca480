/* REST: alerts and webhooks, in a build without them. */
#include "base/left_out.h"
#include "server-stub/rest/rest.h"

#define LEFT_OUT(handler)                                                                          \
    int handler(struct flo_rest_call *call, struct flo_err *err)                                   \
    {                                                                                              \
        (void)call;                                                                                \
        return flo_left_out(err, "alerts and webhooks", "FLOTILLA_ALERTS");                        \
    }

LEFT_OUT(flo_rest_alerts)
LEFT_OUT(flo_rest_alert_ack)
LEFT_OUT(flo_rest_alert_rules)
LEFT_OUT(flo_rest_alert_rule_set)
LEFT_OUT(flo_rest_alert_rule_delete)
LEFT_OUT(flo_rest_alert_silence)
LEFT_OUT(flo_rest_webhooks)
LEFT_OUT(flo_rest_webhook_add)
LEFT_OUT(flo_rest_webhook_delete)
LEFT_OUT(flo_rest_deliveries)
LEFT_OUT(flo_rest_deliveries_replay)
