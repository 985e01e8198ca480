/* Controller: the data that the rooms of a fleet's state share.
 *
 * One thread, one event loop; telemetry has another (lane.h).  Changes of state
 * run between flo_controller_begin and flo_controller_commit.  Messages to the
 * world are collected in between (outgoing.h) and leave after the commit. */
#ifndef FLOTILLA_SERVER_STATE_CONTROLLER_H
#define FLOTILLA_SERVER_STATE_CONTROLLER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>
#include <flotilla/release.h>

#include "server-stub/store/store.h"
#include "server-stub/telemetry/lane.h"

#define FLO_CONTROLLER_HOST_NAMES_MAX 8

struct flo_audit;
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
struct flo_trust_change;
struct flo_watches;

/* Work on many devices goes on in turns that end after this; other calls come
 * between two (docs/decisions/slices.md). */
#define FLO_TURN_MS 8

struct flo_controller_options {
    const char *dir;
    const char *store;          /* postgresql://…; NULL: a file in `dir` */
    const char *listen;         /* people: HTTP */
    const char *listen_devices; /* devices: HTTPS; NULL: same host, any port */
    const char *broker;         /* "embedded[:port]" or mqtts://host:port */
    bool has_accounts;          /* `broker` is a mosquitto with dynamic security */
    bool broker_forgets;        /* what is retained may be missing there */
    const char *blobs_url;      /* where devices fetch artifacts; NULL: here */
    const char *blobs_store;    /* where all controllers keep them; NULL: here */
    const char *blobs_keys;     /* file with what that store asks for, or NULL */
    const char *blobs_ca;       /* the store's authority, or NULL */
    const char *public_host;    /* under which devices reach us; NULL: the host
                                   of listen_devices */
    /* More names under which people and devices reach us (a reverse proxy's);
     * `listen`, `listen_devices`, public_host, localhost and IP addresses are
     * served without. */
    const char *host_names[FLO_CONTROLLER_HOST_NAMES_MAX];
    size_t host_name_count;
    /* Address of a proxy that names its clients in X-Forwarded-For; NULL:
     * nobody is believed there. */
    const char *proxy;
    const char *fleet;
    uint64_t heartbeat_ms;     /* 0: keep, 60000 at first */
    uint64_t broker_linger_ms; /* so long mosquitto waits for a controller that
                                  comes back; 0: it ends with it */
    /* Epoch of the database in which this process leads; 0: alone. */
    uint64_t epoch;
    /* Does it still lead?  From any thread; NULL: it is alone. */
    bool (*may_act)(void *context);
    void *may_act_context;
    /* store/store.h: flo_fleet_heed, with the same context. */
    bool (*may_wait)(void *context, bool is_commit);
    /* Who is there on the database (store/lead.h), with the same context. */
    void (*view)(void *context, struct flo_lead_view *out);
    const char *name; /* this controller's name, for people */
    /* Called five times a second by the state's thread; NULL: nobody asks. */
    void (*on_tick)(void *context);
    /* A listener is there; takes `fd`, a copy of its socket, on which no
     * connection is taken while this thread does.  TLS: NULL for none.  With
     * the context of on_tick. */
    void (*on_listening)(void *context, int fd, const struct flo_httpd_tls *tls_or_null);
    void *on_tick_context;
    uint64_t unused_kept_ms; /* artifacts that nothing needs; 0: standard */
    /* Block of statistical gates; 0: FLO_BLOCK_MS. */
    uint64_t evidence_block_ms;
    /* Devices of one slice; 0: as many as a short turn takes. */
    uint64_t slice_devices;
    bool imports; /* copy control.db of `dir` into `store`, which is empty */
    /* Life of devices' and of our own; 0: standard. */
    uint64_t certificate_life_ms;
    uint64_t certificate_grace_ms; /* so long after its end one is renewed */
    bool is_restored;              /* the data come from a backup: new orders and rollouts
                                    * get numbers higher than all that devices may have seen,
                                    * and the rollouts in it are paused */
    bool is_tls;                   /* HTTPS for people on loopback too */
    const char *webhook_ca;        /* authority of webhooks; NULL: the system's */
    const char *alert_command;     /* run for each message, or NULL */
    const char *oidc;              /* file about the identity provider; NULL: none */
    bool takes_private_webhooks;   /* in private networks and on loopback too */
    bool makes_order_key;          /* also where devices know the one that is gone */
    bool seals_again;              /* all rows of rights, whatever they are */
    enum flo_unproved {
        FLO_UNPROVED_STORED, /* a new fleet refuses, one from before takes */
        FLO_UNPROVED_TAKE,
        FLO_UNPROVED_REFUSE
    } unproved; /* messages of devices that never proved one */
};

/* Where it listens, and under which names people and devices reach it
 * (addresses.h). */
#define FLO_URL_TEXT 512
struct flo_addresses {
    char people[256];  /* host of --listen */
    char devices[256]; /* host of --listen-devices */
    char public[256];  /* under which devices reach us */
    uint16_t port;     /* people's */
    uint16_t port_devices;
    char mqtt[FLO_URL_TEXT];     /* devices' */
    char mqtt_own[FLO_URL_TEXT]; /* ours */
};

struct flo_controller {
    struct flo_controller_options options;
    char dir[4096];
    char fleet[FLO_NAME_MAX + 1];
    char boot[37];
    uint64_t clock_offset_ms;
    uint64_t heartbeat_ms;
    uint64_t devices_at_start;
    uint64_t commits_failed;
    const struct flo_transaction_part *const *parts; /* of rooms, in each transaction */
    size_t part_count;
    struct flo_fleet_store *store;
    struct flo_lane *lane;   /* telemetry's */
    struct flo_depot *depot; /* store of artifacts; NULL: they are here alone */
    struct flo_addresses addresses;
    struct flo_pki *pki;
    struct flo_keyring_kept *keyring;
    bool has_new_files;      /* below DIR, of those that the keyring holds */
    struct flo_trust *trust; /* publishers' keys and our order key */
    struct flo_trust_change *trust_change;
    struct flo_rollouts *rollouts;
    struct flo_rules *rules;
    struct flo_orders *orders;
    struct flo_groups *groups;
    struct flo_audit *audit;
    struct flo_watches *watch; /* alerts */
    struct flo_foreign *foreign;
    struct flo_proofs *proofs;       /* keys that prove devices' messages */
    bool refuses_unproved;           /* as options.unproved, or as it is stored */
    struct flo_collector *collector; /* of artifacts */
    struct flo_outgoing *outgoing;
    struct flo_subscribers *subscribers; /* of commits */
};

/* Store, keys, trust and rollouts, without network.  `dir` ":memory:" keeps
 * everything in memory (tests, fuzzing). */
FLO_MUST_USE int flo_controller_open(const struct flo_controller_options *options,
                                     struct flo_controller **out, struct flo_err *err);
void flo_controller_close(struct flo_controller *controller);

/* Time of the cores: starts at the wall clock, then runs as the monotonic one,
 * so a clock that is set does not make devices silent. */
static inline uint64_t flo_controller_now_ms(const struct flo_controller *controller)
{
    return flo_now_ms() + controller->clock_offset_ms;
}

/* May a message leave now?  A leader that waits for its database says nothing:
 * another one may lead. */
static inline bool flo_controller_may_act(const struct flo_controller *controller)
{
    return controller->options.may_act == NULL ||
           controller->options.may_act(controller->options.may_act_context);
}

/* The tables are in a database that other controllers share. */
static inline bool flo_controller_is_shared(const struct flo_controller *controller)
{
    return controller->options.store != NULL;
}

/* A published release, by model and version, or by id (model NULL, version the
 * digest); NULL: there is none, or no memory for it.  The caller frees it. */
struct flo_release *flo_controller_release(struct flo_controller *controller, const char *model,
                                           const char *version);

FLO_MUST_USE int flo_controller_begin(struct flo_controller *controller, struct flo_err *err);
/* Commit, then send the collected messages. */
FLO_MUST_USE int flo_controller_commit(struct flo_controller *controller, struct flo_err *err);
/* Forget everything since begin; rollouts that were changed are read again. */
void flo_controller_cancel(struct flo_controller *controller);

#endif
