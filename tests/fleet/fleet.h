/* flotilla-sim: thousands of devices in one process.
 *
 * Each has the shipped core of an agent (agent/core, updater/core) inside the
 * shell of tests/sim/device, and a connection of its own to a real broker and
 * a real controller, by MQTT 5 and HTTPS with its own certificate.  Downloads
 * and engines are played: a release's envelope is fetched and verified, its
 * files are not.
 *
 *   main.c       options, the loop
 *   enrol.c      identities, over HTTPS
 *   envelopes.c  releases, over HTTPS
 *   link.c       MQTT 5 over TLS; packets.c its bytes
 *   script.c     behaviour (scripts.def); hostile.c one of them
 *   telemetry.c  windows of numbers
 *   world.c      what tests/sim/device asks of its world
 *   figures.c    counts, and questions about them on stdin */
#ifndef FLOTILLA_TESTS_FLEET_H
#define FLOTILLA_TESTS_FLEET_H

#include <openssl/ssl.h>

#include "proto/proof.h"
#include "tests/sim/sim.h"

#define FLEET_ORDERS_MAX 64

enum fleet_script {
#define FLEET_SCRIPT(name, word, meaning) FLEET_##name,
#include "tests/fleet/scripts.def"
#undef FLEET_SCRIPT
    FLEET_SCRIPTS
};

struct event_base;
struct bufferevent;

/* A message on its way to the broker, until it is acknowledged. */
struct fleet_out {
    struct fleet_out *next;
    enum flo_topic topic;
    uint16_t id;
    bool is_sent;
    size_t bytes;
    uint8_t packet[];
};
struct fleet_link {
    struct sim_device *device;
    struct bufferevent *stream; /* NULL: it has none */
    uint32_t stream_number;
    uint32_t attempts;
    bool is_up; /* CONNACK came */
    bool is_subscribed;
    uint16_t last_id, subscription;
    unsigned in_flight, in_flight_max;
    size_t waiting; /* of the list */
    struct fleet_out *first, *last;
    uint64_t spread_ms; /* all come back within it */
    uint64_t said_ms;   /* something to the broker */
};
struct fleet_device {
    struct fleet_link link;
    enum fleet_script script;
    X509 *certificate;
    uint64_t windows;
    uint64_t flood; /* number of the flood that it is part of */
};

struct fleet_order {
    char id[FLO_NAME_MAX + 1];
    uint64_t *at_ms; /* by device, wall clock, of its last answer; 0: none */
};
struct fleet_figures {
    uint64_t connections, connections_lost, refused;
    uint64_t windows_made, windows_sent, windows_acked, windows_dropped;
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
    uint64_t envelopes, envelopes_failed;
    uint64_t ends[FLO_EXECUTION_COUNT];
    uint64_t attacks;
    uint32_t up, subscribed;
};
struct fleet {
    const char *controller, *token_file, *folder, *prefix;
    uint32_t enrolling;             /* at once */
    uint32_t dial_per_s;            /* first connections */
    unsigned shares[FLEET_SCRIPTS]; /* of a thousand devices */
    unsigned pace;                  /* of a thousand: how long work takes */
    uint32_t interval_ms;           /* between windows; 0: none */
    uint64_t flood;
    char name[FLO_NAME_MAX + 1];
    char broker_host[256], broker_port[8];
    char ca_file[4200], key_file[4200];
    char api[512];
    struct event_base *base;
    SSL_CTX *tls;
    EVP_PKEY *key;
    struct flo_proof_key proof; /* they share a key, so this, too */
    uint64_t proofs;            /* the last number */
    bool is_unproved;           /* agents from before proofs */
    struct fleet_device *devices;
    struct fleet_figures figures;
    struct fleet_order orders[FLEET_ORDERS_MAX];
    size_t order_count;
    bool is_over;
};
extern struct fleet fleet;

struct fleet_device *fleet_of(const struct sim_device *device);
uint64_t fleet_now_ms(void); /* since the program began */
/* Time goes on; calls that are due are made. */
void fleet_turn(void);

/* enrol.c: identities for all devices; seconds it took. */
FLO_MUST_USE int fleet_enrol(double *seconds, struct flo_err *err);

/* link.c */
FLO_MUST_USE int fleet_links_open(struct flo_err *err);
void fleet_links_close(void);
/* Whatever the packet; for those who do not keep the rules. */
void fleet_link_write(struct sim_device *device, const void *packet, size_t bytes);
bool fleet_link_publish(struct sim_device *device, enum flo_topic topic, const char *name,
                        const void *data, size_t bytes, bool is_retained);

/* packets.c */
struct fleet_packet {
    uint8_t kind; /* the first byte */
    const uint8_t *body;
    size_t body_bytes, bytes; /* bytes: with its head */
};
/* 1: one packet; 0: not all of it is there; -1: there never will be. */
int fleet_packet_read(const uint8_t *data, size_t bytes, struct fleet_packet *out);
/* Behind the properties that begin there; NULL: they do not end. */
const uint8_t *fleet_properties_end(const uint8_t *at, const uint8_t *end);
/* By the properties of a CONNACK, which begin there. */
unsigned fleet_receive_maximum(const uint8_t *at, const uint8_t *end);
void fleet_packet_connect(struct flo_buf *out, const char *id, const char *will_topic,
                          const char *will);
void fleet_packet_subscribe(struct flo_buf *out, uint16_t id, const char *const *filters,
                            size_t count);
/* QoS 1. */
void fleet_packet_publish(struct flo_buf *out, uint16_t id, const char *topic, const void *data,
                          size_t bytes, bool is_retained);

/* envelopes.c */
FLO_MUST_USE int fleet_envelopes_open(struct flo_err *err);
void fleet_envelopes_close(void);

/* script.c */
void fleet_script_draw(struct sim_device *device);
void fleet_script_begin(struct sim_device *device);
const char *fleet_script_word(enum fleet_script script);
bool fleet_scripts_read(const char *text);
/* hostile.c */
void fleet_attack(struct sim_device *device);

/* telemetry.c */
void fleet_flood(uint32_t interval_ms);

/* figures.c */
void fleet_answered(const struct sim_device *device, const char *text, size_t bytes);
void fleet_told(const char *event, size_t bytes);
FLO_MUST_USE int fleet_figures_listen(struct flo_err *err);
void fleet_figures_print(void);
void fleet_figures_close(void);

#endif
