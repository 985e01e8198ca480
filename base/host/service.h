/* Service notification (sd_notify(3), the protocol of NOTIFY_SOCKET): tells the
 * service manager that the program is ready, is stopping, or is alive.  Without
 * a manager every call does nothing.  All calls come from the thread of the
 * event loop. */
#ifndef FLOTILLA_BASE_HOST_SERVICE_H
#define FLOTILLA_BASE_HOST_SERVICE_H

struct event_base;
struct flo_service;

/* Reads the manager's address and removes it from the environment, so that no
 * child process notifies in the service's name.  Call it before the first child
 * is started.  Returns NULL when there is no manager, or no memory; the other
 * calls accept NULL. */
struct flo_service *flo_service_open(void);

/* Sends READY=1, and from then on WATCHDOG=1 from the loop `base`, twice in
 * each period of WATCHDOG_USEC.  A loop that hangs sends no message, so the
 * manager restarts the service. */
void flo_service_ready(struct flo_service *service, struct event_base *base);

/* Stops the watchdog messages, because the event base of flo_service_ready() is
 * about to be freed.  That function may be called again with another base. */
void flo_service_pause(struct flo_service *service);

/* Sends STOPPING=1 and frees the service.  Call it before the event loop is
 * freed. */
void flo_service_stop(struct flo_service *service);

#endif
