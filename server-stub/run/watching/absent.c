/* Watching, in a controller without alerts: an alert command is refused. */
#include "base/left_out.h"
#include "server-stub/run/watching/watching.h"

int flo_watching_open(struct flo_rest *rest, struct event_base *base, struct flo_watching *watching,
                      struct flo_err *err)
{
    const char *command = rest->controller->options.alert_command;

    (void)base, (void)watching;
    return command == NULL
               ? 0
               : flo_wrap(err, flo_left_out(err, "alerts and webhooks", "FLOTILLA_ALERTS"),
                          "--alert-command %s", command);
}

void flo_watching_tick(struct flo_watching *watching, uint64_t now_ms)
{
    (void)watching, (void)now_ms;
}

void flo_watching_close(struct flo_watching *watching)
{
    (void)watching;
}
