/* Shared by the files of this folder; not for others. */
#ifndef FLOTILLA_SERVER_STATE_WATCH_INSIDE_H
#define FLOTILLA_SERVER_STATE_WATCH_INSIDE_H

#include "server-stub/core/alert/alert.h"
#include "server-stub/state/controller.h"

FLO_MUST_USE int flo_watch_write_alert(struct flo_controller *controller,
                                       const struct flo_watch_alert *alert, struct flo_err *err);
/* A delivery to each target that wants it. */
FLO_MUST_USE int flo_watch_tell(struct flo_controller *controller,
                                const struct flo_watch_rule *rule,
                                const struct flo_watch_alert *alert, enum flo_alert_news news,
                                uint64_t now_ms, struct flo_err *err);

#endif
