/* Entrance: limits the connections to the broker that are no sessions yet.  Pure.
 *
 * A connection is silent until its TLS hello is whole, and waits until the
 * broker may have it.  In the broker it is nameless until the handshake ends,
 * and named by its certificate until the broker accepts its CONNECT.
 *
 * Before the handshake only the address is known, and many devices may share
 * one.  So an address whose connections become sessions may have many that
 * wait, though few that are nameless.  One whose connections end otherwise may
 * have few, and gets little of the broker's time.  The oldest gives way, so that
 * each newcomer has a chance. */
#ifndef FLOTILLA_SERVER_ENTRANCE_H
#define FLOTILLA_SERVER_ENTRANCE_H

#include <flotilla/base.h>

/* Largest number of connections that are no session: of all, of an address that
 * wastes none, of one that wastes them, and of a certificate.  With its session
 * a device has 8. */
#define FLO_ENTRANCE_PLACES 1024
#define FLO_ENTRANCE_WAITING_MAX 256
#define FLO_ENTRANCE_EACH_MAX 4
#define FLO_ENTRANCE_NAMED_MAX 3
/* Time until CONNECT is whole. */
#define FLO_ENTRANCE_WHOLE_MS 20000
/* Age at which a connection gives way to others of its address, and where the
 * address wastes them. */
#define FLO_ENTRANCE_PATIENCE_MS 2000
#define FLO_ENTRANCE_PATIENCE_MS_MIN 250
/* Time between two handshakes of an address that wastes connections. */
#define FLO_ENTRANCE_TURN_MS 50
/* Score at which an address wastes connections.  A connection that is cut adds
 * 8, one that ends 1; a session takes 4 back, and each second 1. */
#define FLO_ENTRANCE_WASTE_MAX 32

enum flo_entrance_state { /* bits, so that several can be meant */
                          FLO_ENTRANCE_FREE = 0,
                          FLO_ENTRANCE_SILENT = 1,
                          FLO_ENTRANCE_WAITING = 2,
                          FLO_ENTRANCE_NAMELESS = 4,
                          FLO_ENTRANCE_NAMED = 8,
                          FLO_ENTRANCE_CUT = 16, /* gave way: it counts no more, and its descriptor
                                                    must be ended */
                          FLO_ENTRANCE_TOLD = 32 /* flo_entrance_cut() gave it */
};

/* Zero-initialise; do not move. */
struct flo_entrance {
    struct flo_entrance_place {
        enum flo_entrance_state state;
        bool is_inside; /* the broker has the descriptor */
        int fd;
        struct flo_entrance_address *address;
        uint64_t at_ms;
        char name[FLO_NAME_MAX + 1];
    } places[FLO_ENTRANCE_PLACES];
    struct flo_entrance_address {
        char text[48];
        uint32_t held; /* places */
        uint64_t waste_ms, entered_ms, at_ms;
    } addresses[FLO_ENTRANCE_PLACES + 1];
    int top; /* places from here on are free */
};

/* Takes a connection of an address in (IPv6: of its first 64 bits).  Returns its
 * place; -1: it is refused.  Another may have given way.  *is_wasteful: the address
 * wastes connections. */
int flo_entrance_arrives(struct flo_entrance *door, const char *address, int fd, uint64_t now_ms,
                         bool *is_wasteful);
/* Notes that the connection's hello is whole. */
void flo_entrance_hello(struct flo_entrance *door, int place);
/* Returns a place whose connection the broker may have now, or -1. */
int flo_entrance_admits(struct flo_entrance *door, uint64_t now_ms);
/* Notes the certificate's name.  Returns false when it has too many: the oldest
 * of them gave way. */
bool flo_entrance_names(struct flo_entrance *door, int place, const char *name);
/* Notes that the broker accepted CONNECT, and frees the place.  is_due: the
 * device does not connect too often; otherwise that is a waste, too. */
void flo_entrance_connects(struct flo_entrance *door, int place, bool is_due);
/* Notes that the connection ended, and frees the place. */
void flo_entrance_leaves(struct flo_entrance *door, int place);
/* Returns the next place whose connection must be ended, or -1. */
int flo_entrance_cut(struct flo_entrance *door, uint64_t now_ms);

#endif
