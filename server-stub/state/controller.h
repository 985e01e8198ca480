/* Controller: the data that the modules of a fleet's state share.
 *
 * One thread runs one event loop; telemetry has a thread of its own (lane.h).
 * Changes of state run between flo_controller_begin and flo_controller_commit.
 * Outgoing messages are collected in between (outgoing.h) and leave after the
 * commit. */
#ifndef FLOTILLA_SERVER_STATE_CONTROLLER_H
#define FLOTILLA_SERVER_STATE_CONTROLLER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>
#include <flotilla/release.h>

#include "server-stub/store/store.h"
#include "server-stub/telemetry/lane.h"

#define FLO_CONTROLLER_HOST_NAMES_MAX 8

struct flo_audit;
struct flo_clock;
struct flo_collector;
struct flo_depot;
struct flo_foreign;
struct flo_groups;
struct flo_httpd_tls;
struct flo_keyring_kept;
struct flo_lead_view;
struct flo_orders;
struct flo_outgoing;
struct flo_pki;
struct flo_proofs;
struct flo_rollouts;
struct flo_rules;
struct flo_subscribers;
struct flo_transaction_part;
struct flo_newests;
struct flo_trust_change;
struct flo_watches;

/* Time for which work on many devices runs before other calls are answered.
 * Such work is done in slices of this length (docs/decisions/slices.md). */
#define FLO_TURN_MS 8

struct flo_controller_options {
    const char *dir;
    /* address of the database, postgresql://…; NULL: the tables are in a file
     * in `dir` */
    const char *store;
    const char *listen; /* address of the listener for people, by HTTP */
    /* address of the listener for devices, by HTTPS; NULL: the host of `listen`
     * and any port */
    const char *listen_devices;
    const char *broker;  /* "embedded[:port]" or mqtts://host:port */
    bool has_accounts;   /* `broker` is a mosquitto with dynamic security */
    bool broker_forgets; /* the broker may have lost its retained messages */
    /* address from which devices download artifacts; NULL: this controller's */
    const char *blobs_url;
    /* address of the artifact store that all controllers share; NULL: local
     * disk */
    const char *blobs_store;
    const char *blobs_keys; /* path of the file with the artifact store's credentials, or NULL */
    const char *blobs_ca;   /* path of the artifact store's certificate authority, or NULL */
    /* host by which devices reach the controller; NULL: the host of
     * listen_devices */
    const char *public_host;
    /* Further host names by which people and devices reach the controller, such
     * as a reverse proxy's.  The hosts of `listen` and `listen_devices`,
     * public_host, localhost and IP addresses need not be named here. */
    const char *host_names[FLO_CONTROLLER_HOST_NAMES_MAX];
    size_t host_name_count;
    /* Address of a proxy that is trusted to name its clients in X-Forwarded-For; NULL:
     * the header is ignored. */
    const char *proxy;
    const char *fleet;
    /* interval at which devices report; 0: the stored interval stays, which is
     * 60000 at first */
    uint64_t heartbeat_ms;
    /* time for which mosquitto waits for a restarted controller; 0: it ends
     * with the controller */
    uint64_t broker_linger_ms;
    /* Epoch of the database in which this process is the leader; 0: it is the
     * only controller. */
    uint64_t epoch;
    /* Returns whether this process is still the leader.  Called from any
     * thread; NULL: it is the only controller. */
    bool (*may_act)(void *context);
    void *may_act_context;
    /* Callback of the store while it waits, as in flo_fleet_on_wait
     * (store/store.h); its context is may_act_context. */
    bool (*may_wait)(void *context, bool is_commit);
    /* Reports the controllers that are connected to the database
     * (store/lead.h); its context is may_act_context. */
    void (*view)(void *context, struct flo_lead_view *out);
    const char *name; /* name of this controller in lists of controllers */
    /* Called five times a second by the state's thread; NULL: no callback. */
    void (*on_tick)(void *context);
    /* Called when a listener is open.  Takes ownership of `fd`, a copy of the
     * listener's socket, on which no connection is accepted while the state's
     * thread does so.  `tls_or_null` is NULL for a listener without TLS.  Its
     * context is on_tick_context. */
    void (*on_listening)(void *context, int fd, const struct flo_httpd_tls *tls_or_null);
    void *on_tick_context;
    /* time for which artifacts are kept that no device needs; 0: the default */
    uint64_t unused_kept_ms;
    /* licences that releases may have, as a list of SPDX ids; NULL: any */
    const char *allow_licence;
    /* interval of newest statements (state/trust/newest.h); 0: the fleet hands out
     * none */
    uint64_t newest_ms;
    /* Block length of statistical gates; 0: FLO_BLOCK_MS. */
    uint64_t evidence_block_ms;
    /* number of devices that are processed before other work runs; 0: as many
     * as fit into FLO_TURN_MS */
    uint64_t slice_devices;
    bool imports; /* copy the tables of control.db in `dir` into the empty `store` */
    /* Lifetime of the certificates of devices and of the controller; 0: the
     * standard. */
    uint64_t certificate_life_ms;
    /* time after its expiry in which a certificate may still be renewed */
    uint64_t certificate_grace_ms;
    /* the data come from a backup: new orders and rollouts get numbers above
     * any that devices saw, and rollouts in the backup are paused */
    bool is_restored;
    bool is_tls;            /* people must use HTTPS, even on loopback */
    const char *webhook_ca; /* path of the certificate authority of webhooks; NULL: the system's */
    const char *alert_command; /* program that is run for each message of an alert, or NULL */
    const char *oidc; /* path of the file that describes the identity provider; NULL: none */
    bool takes_private_webhooks; /* webhooks may lie in private networks and on loopback */
    bool makes_order_key;        /* replace a lost order key, even if devices know the lost one */
    bool seals_again;            /* seal all rows again, even those with wrong seals */
    enum flo_unproved {
        /* use the stored policy: a new fleet refuses unproved messages, an old
         * one accepts them */
        FLO_UNPROVED_STORED,
        FLO_UNPROVED_TAKE,
        FLO_UNPROVED_REFUSE
    } unproved; /* policy for messages of devices that never proved a message */
};

/* Addresses where the controller listens, and names by which people and devices
 * reach it (addresses.h). */
#define FLO_URL_TEXT 512
struct flo_addresses {
    char people[256];  /* host of --listen */
    char devices[256]; /* host of --listen-devices */
    char public[256];  /* host by which devices reach the controller */
    uint16_t port;     /* port for people */
    uint16_t port_devices;
    char mqtt[FLO_URL_TEXT];     /* the broker's URL for devices */
    char mqtt_own[FLO_URL_TEXT]; /* the broker's URL for this controller */
};

struct flo_controller {
    struct flo_controller_options options;
    char dir[4096];
    char fleet[FLO_NAME_MAX + 1];
    char boot[37];
    uint64_t clock_offset_ms;
    struct flo_clock *clock;
    uint64_t heartbeat_ms;
    uint64_t devices_at_start;
    uint64_t commits_failed;
    bool is_changing;       /* a transaction is open */
    struct flo_buf said;    /* lines of the log that wait for the open transaction's commit */
    struct flo_err refused; /* why the newest transaction failed; code 0: none did since the newest
                               probe */
    const struct flo_transaction_part *const *parts; /* transaction hooks of the modules */
    size_t part_count;
    struct flo_fleet_store *store;
    struct flo_lane *lane;   /* the telemetry thread */
    struct flo_depot *depot; /* artifact store that all controllers share; NULL: local disk only */
    struct flo_addresses addresses;
    struct flo_pki *pki;
    struct flo_keyring_kept *keyring;
    bool has_new_files;      /* some file of the keyring below DIR has changed */
    struct flo_trust *trust; /* the publishers' keys and the controller's order key */
    struct flo_trust_change *trust_change;
    struct flo_newests *newests;
    /* machines of the devices whose identity two use, by device
     * (devices/twins.c); NULL: none */
    json_t *twins;
    struct flo_rollouts *rollouts;
    struct flo_rules *rules;
    struct flo_orders *orders;
    struct flo_groups *groups;
    struct flo_audit *audit;
    struct flo_watches *watch; /* alerts */
    struct flo_foreign *foreign;
    struct flo_proofs *proofs; /* keys with which devices prove their messages */
    /* messages without a proof are refused, as options.unproved or the store
     * says */
    bool refuses_unproved;
    struct flo_collector *collector; /* garbage collector of artifacts */
    struct flo_outgoing *outgoing;
    struct flo_subscribers *subscribers; /* subscribers that are called after commits */
};

/* Opens store, keys, trust and rollouts, without network.  `dir` ":memory:"
 * keeps everything in memory (tests, fuzzing). */
FLO_MUST_USE int flo_controller_open(const struct flo_controller_options *options,
                                     struct flo_controller **out, struct flo_err *err);
void flo_controller_close(struct flo_controller *controller);

/* Returns the time that the pure cores use.  It starts at the wall clock, and
 * then runs as the monotonic clock.  So a change of the wall clock does not
 * make devices count as silent. */
static inline uint64_t flo_controller_now_ms(const struct flo_controller *controller)
{
    return flo_now_ms() + controller->clock_offset_ms;
}

/* Returns whether messages may be sent now.  A leader that waits for its
 * database sends nothing: another controller may lead by then. */
static inline bool flo_controller_may_act(const struct flo_controller *controller)
{
    return controller->options.may_act == NULL ||
           controller->options.may_act(controller->options.may_act_context);
}

/* Returns whether the tables are in a database that other controllers share. */
static inline bool flo_controller_is_shared(const struct flo_controller *controller)
{
    return controller->options.store != NULL;
}

/* Reads a published release by model and version, or by its digest in `version`
 * with `model` NULL.  Returns NULL if there is none, or without memory.  The
 * caller frees it. */
struct flo_release *flo_controller_release(struct flo_controller *controller, const char *model,
                                           const char *version);

FLO_MUST_USE int flo_controller_begin(struct flo_controller *controller, struct flo_err *err);
/* Commits the transaction, then sends the messages that it collected. */
FLO_MUST_USE int flo_controller_commit(struct flo_controller *controller, struct flo_err *err);
/* Rolls back all changes since flo_controller_begin.  Rollouts that were
 * changed are read again. */
void flo_controller_cancel(struct flo_controller *controller);
/* Commits the transaction, or rolls it back and returns `rv` if the change
 * failed with it. */
FLO_MUST_USE int flo_controller_end(struct flo_controller *controller, int rv, struct flo_err *err);

/* Logs a line about a change after the commit of the open transaction; the line
 * of a change that is rolled back is dropped.  Without a transaction it logs at
 * once. */
void flo_controller_say(struct flo_controller *controller, enum flo_log_level level,
                        const char *area, const char *format, ...) FLO_PRINTF(4, 5);

/* Tells whether changes are taken, as the newest transaction and sync ended and
 * as the lease stands.  Readiness, metric, alert and doctor follow this call
 * alone.  Returns the error by which changes are refused, or 0; it writes
 * nothing. */
int flo_controller_takes_changes(struct flo_controller *controller, struct flo_err *err);
/* After a failure commits a change of 32 KiB, whose success ends the failure.
 * Called each second; otherwise it does nothing. */
void flo_controller_probe(struct flo_controller *controller);

#endif
