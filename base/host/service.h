/* Messages of a service to its manager (sd_notify(3), the protocol of
 * NOTIFY_SOCKET): it is ready, it stops, its event loop still turns.  Without a
 * listener every call does nothing.  One thread: that
 * of the event loop. */
#ifndef FLOTILLA_BASE_HOST_SERVICE_H
#define FLOTILLA_BASE_HOST_SERVICE_H

struct event_base;
struct flo_service;

/* Reads the manager's address and takes it out of the environment, so that no
 * child speaks for the service: before the first is started.  NULL: nobody
 * listens, or no memory; the other calls take it. */
struct flo_service *flo_service_open(void);

/* Says READY=1, and from then on WATCHDOG=1 from `base`, twice in each period
 * of WATCHDOG_USEC.  A loop that stands still says nothing, so the manager
 * starts the service again. */
void flo_service_ready(struct flo_service *service, struct event_base *base);

/* The event base of `ready` is about to be freed; another one may follow. */
void flo_service_pause(struct flo_service *service);

/* Says STOPPING=1 and frees.  Before the event loop is freed. */
void flo_service_stop(struct flo_service *service);

#endif
