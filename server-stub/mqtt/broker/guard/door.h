/* Door: stands between the network and mosquitto, in mosquitto's own process.
 *
 * mosquitto keeps a connection that never sends CONNECT, and has no limit for
 * them.  The controller starts mosquitto with the guard in LD_PRELOAD.  The
 * door then takes the place of a few functions of libc and OpenSSL.  The
 * listening socket is exchanged for an epoll descriptor of the door's, and
 * accept() gives those connections that may go in (core/guard/entrance.h).  Without
 * LD_PRELOAD the guard is a plugin only, and warns.  Only mosquitto's thread calls. */
#ifndef FLOTILLA_SERVER_GUARD_DOOR_H
#define FLOTILLA_SERVER_GUARD_DOOR_H

#include <flotilla/base.h>

struct flo_broker_door_asks {
    /* Reports a certificate, or an address, that has too many connections. */
    void (*unfinished)(const char *who);
    /* Tells whether a device may connect once more in this hour. */
    bool (*is_due)(const char *device);
};

/* Names the port that the door guards from the next listen() on, and whom it asks.
 * Only one listener may have the port, which takes MQTT by TLS and asks for a
 * certificate. */
void flo_broker_door_guards(uint16_t port, struct flo_broker_door_asks asks);
/* Ends connections whose time is over.  The broker calls it several times a
 * second. */
void flo_broker_door_tick(uint64_t now_ms);

#endif
