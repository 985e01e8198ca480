/* Standby: relays connections to the leader, and ends a lead. */
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/db.h>
#include <flotilla/errors/lead.h>
#include <flotilla/errors/state.h>

#include "base/host/crypto.h"
#include "base/host/httpd.h"
#include "base/host/relay.h"
#include "base/host/service.h"
#include "server-stub/run/program/pulse.h"
#include "server-stub/run/program/standby.h"
#include "server-stub/state/keyring/keyring.h"
#include "server-stub/store/lead.h"

#define LOOK_MS 50
/* Time within which a living leader renews the lease. */
#define BEAT_MS (2 * FLO_LEASE_MS)
/* Time within which a lease without a leader is taken, unless the database has
 * a problem. */
#define ALONE_MS (12 * FLO_LEASE_MS)

/* ---- the program, as it was started ---- */

#define AGAIN "FLOTILLA_STARTED_AGAIN"
#define AGAIN_MAX 6 /* 2^5 s */

static struct {
    char **argv, **environment;
    char *again; /* entry in the new process's environment that holds the number
                    of failed tries to take the lead */
    char path[4096];
    sigset_t signals;
    int failures; /* number of times in a row that taking the lead failed; -1:
                     this is the first start */
} started;

extern char **environ;

/* Reads how often taking the lead failed, and removes that number from the
 * environment, so that child processes do not inherit it. */
static void remember_failures(void)
{
    const char *again = getenv(AGAIN);

    started.failures = again == NULL ? -1 : atoi(again);
    (void)unsetenv(AGAIN);
}

void flo_standby_remember(char **argv)
{
    size_t count = 0;
    ssize_t bytes = readlink("/proc/self/exe", started.path, sizeof(started.path) - 1);

    remember_failures();
    started.path[bytes > 0 ? bytes : 0] = '\0';
    started.argv = argv;
    pthread_sigmask(SIG_SETMASK, NULL, &started.signals);
    while (environ[count] != NULL) {
        count++;
    }
    started.environment = calloc(count + 2, sizeof(char *));
    started.again = strdup(AGAIN "=0");
    for (size_t i = 0; started.environment != NULL && i < count; i++) {
        started.environment[i + 1] = strdup(environ[i]);
    }
    if (started.environment != NULL) {
        started.environment[0] = started.again;
    }
}

struct flo_standby {
    struct flo_pulse *pulse;
    struct flo_lead *lead;
    struct event_base *base;
    struct event *look;
    struct event *signals[3];
    /* relays to the leader; NULL: none, because this controller is alone */
    struct flo_relay *people, *devices;
    char listens_people[FLO_LEAD_ADDRESS], listens_devices[FLO_LEAD_ADDRESS];
    char holder[37];
    char dir[4096], key[FLO_PUBLIC_KEY_PEM_MAX];
    const char *joins; /* fingerprint of the authority to trust; NULL: none */
    uint64_t since_ms, told_epoch;
    uint64_t beat, beaten_ms; /* newest beat of the lease, and the time at which it changed */
    uint32_t beats;           /* number of beats seen since the start */
    bool is_alone, is_refused, has_ended;
};

static noreturn void execute(void)
{
    pthread_sigmask(SIG_SETMASK, &started.signals, NULL);
    if (flo_process_close_at_exec(3) == 0) {
        execve(started.path, started.argv, started.environment);
    }
    _exit(1);
}

/* Executes the program again, in this process.  Runs on the thread of struct
 * flo_lead, and no other thread continues after it. */
static void start_again(void *context)
{
    (void)context;
    execute();
}

static bool is_of_database(int rv)
{
    return rv == FLO_E_DB || rv == FLO_E_DB_UNREACHABLE || rv == FLO_E_STATE_LOCKED ||
           rv == FLO_E_STATE_SUPERSEDED || rv == FLO_E_LEAD_NONE || rv == FLO_E_DISK_FULL;
}

bool flo_standby_may_again(const struct flo_standby *standby, int rv)
{
    return standby != NULL && !standby->is_alone && is_of_database(rv);
}

static unsigned pause_s(int failures)
{
    return failures > 0 ? 1u << (failures - 1) : 0;
}

void flo_standby_again(const struct flo_err *why)
{
    int failures = started.failures < 0 ? 1 : started.failures + 1;

    failures = failures > AGAIN_MAX ? AGAIN_MAX : failures;
    flo_log(FLO_LOG_ERROR, "lease",
            "the lead was given back, for it could not be taken: %s: %s; this "
            "controller stands by again in %u s",
            flo_error_id(why->code), why->what, pause_s(failures));
    if (started.again != NULL) {
        started.again[sizeof(AGAIN "=") - 1] = (char)('0' + failures);
    }
    execute();
}

/* Reads the controller's id that is stored in this folder. */
static int read_holder(const char *dir, char out[37], struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    char path[4096];
    size_t bytes = 0;

    if (!flo_path_join(path, sizeof(path), dir, "controller.id")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int rv = flo_file_read(path, 64, &text, &bytes, err);
    if (rv == 0 && bytes >= 36) {
        snprintf(out, 37, "%.36s", text);
        if (flo_uuid_is_valid(out)) {
            return 0;
        }
    }
    if (rv != FLO_E_ABSENT) {
        FLO_TRY(rv);
    }
    flo_uuid_make(out);
    return flo_file_write(path, out, 36, 0600, err);
}

/* ---- standing by ---- */

/* Installs the keyring that a leader must have.  Runs on the lead's thread
 * before this process leads, when no other thread reads the folder yet. */
static int fit(void *context, const char *digest, const char *document, size_t bytes,
               struct flo_err *err)
{
    const struct flo_standby *standby = context;

    return flo_keyring_take(standby->dir, digest, document, bytes, standby->joins, err);
}

static bool may_act(void *context)
{
    return flo_lead_leads(context, NULL);
}

static bool may_wait(void *context, bool is_commit)
{
    return flo_lead_may_wait(context, is_commit);
}

static bool is_heard(void *context)
{
    return flo_lead_may_wait(context, false);
}

static void view(void *context, struct flo_lead_view *out)
{
    flo_lead_view(context, out);
}

static void tell(struct flo_standby *standby, const struct flo_lead_row *row)
{
    if (row->lease.epoch != standby->told_epoch) {
        standby->told_epoch = row->lease.epoch;
        flo_log(FLO_LOG_INFO, "lease", "stands by, %s leads, epoch %llu",
                row->people[0] != '\0' ? row->people : "another controller",
                (unsigned long long)row->lease.epoch);
    }
}

/* Tells whether a leader renewed the lease of this row lately.  While the
 * database does not answer, the row becomes old, and then the result is
 * false. */
static bool is_led_by(struct flo_standby *standby, const struct flo_lead_row *row)
{
    uint64_t now_ms = flo_now_ms();

    if (standby->beaten_ms == 0 || standby->beat != row->lease.beat) {
        standby->beat = row->lease.beat;
        standby->beaten_ms = now_ms;
    }
    return row->lease.is_held && row->lease.epoch != 0 && now_ms - standby->beaten_ms < BEAT_MS;
}

/* Tells whether a controller that must be the only one gives up, because
 * another one leads or this one cannot lead.  The last beat of a dead leader
 * may be found after the start, so only a second new beat shows a living
 * leader. */
static bool is_refused(struct flo_standby *standby, const struct flo_lead_row *row)
{
    uint64_t waited_ms = flo_now_ms() - standby->since_ms;
    struct flo_err lacks;

    if (row->lease.is_held && row->lease.beat != standby->beat) {
        standby->beat = row->lease.beat;
        standby->beats++;
    }
    return standby->beats > 1 || waited_ms > ALONE_MS ||
           (waited_ms > BEAT_MS && flo_lead_lacks(standby->lead, &lacks));
}

static void wait_for_database(struct flo_standby *standby)
{
    flo_pulse_tell(standby->pulse, FLO_PULSE_WAITS, 0);
    flo_relay_to(standby->people, "");
    if (standby->devices != NULL) {
        flo_relay_to(standby->devices, "");
    }
}

static void on_look(evutil_socket_t fd, short what, void *context)
{
    struct flo_standby *standby = context;
    struct flo_lead_row row;

    (void)fd, (void)what;
    if (standby->lead == NULL) {
        wait_for_database(standby);
        return;
    }
    if (flo_lead_leads(standby->lead, NULL)) {
        event_base_loopbreak(standby->base);
        return;
    }
    flo_lead_seen(standby->lead, &row);
    if (standby->pulse != NULL) {
        struct flo_err lacks;
        (void)flo_lead_lacks(standby->lead, &lacks);
        flo_pulse_lacks(standby->pulse, &lacks);
    }
    if (standby->is_alone) {
        standby->is_refused = is_refused(standby, &row);
        if (standby->is_refused) {
            event_base_loopbreak(standby->base);
        }
        return;
    }
    bool is_led = is_led_by(standby, &row), is_reached;
    if (is_led) {
        tell(standby, &row);
    }
    flo_relay_to(standby->people, is_led ? row.people : "");
    is_reached = is_led && flo_relay_reaches(standby->people);
    flo_pulse_tell(standby->pulse, is_reached ? FLO_PULSE_STANDS : FLO_PULSE_WAITS,
                   row.lease.epoch);
    if (standby->devices != NULL) {
        flo_relay_to(standby->devices, is_led ? row.devices : "");
    }
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    struct flo_standby *standby = context;

    (void)what;
    flo_log(FLO_LOG_INFO, "controller", "%s: stopping", strsignal((int)number));
    standby->has_ended = true;
    event_base_loopbreak(standby->base);
}

static int loop_open(struct flo_standby *standby, struct flo_err *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    static const struct timeval every = {.tv_usec = LOOK_MS * 1000};
    bool is_fine = true;

    standby->look = event_new(standby->base, -1, EV_PERSIST, on_look, standby);
    is_fine = standby->look != NULL && event_add(standby->look, &every) == 0;
    for (size_t i = 0; i < FLO_COUNT(numbers) && is_fine; i++) {
        standby->signals[i] = evsignal_new(standby->base, numbers[i], on_signal, standby);
        is_fine = standby->signals[i] != NULL && event_add(standby->signals[i], NULL) == 0;
    }
    return is_fine ? 0 : flo_fail(err, FLO_E_MEMORY, "event loop");
}

/* Closes the standby's event loop and its listeners, before the leader opens
 * listeners of its own. */
static void loop_close(struct flo_standby *standby)
{
    flo_relay_close(standby->people);
    flo_relay_close(standby->devices);
    standby->people = standby->devices = NULL;
    if (standby->look != NULL) {
        event_free(standby->look);
        standby->look = NULL;
    }
    for (size_t i = 0; i < FLO_COUNT(standby->signals); i++) {
        if (standby->signals[i] != NULL) {
            event_free(standby->signals[i]);
            standby->signals[i] = NULL;
        }
    }
    if (standby->base != NULL) {
        event_base_free(standby->base);
        standby->base = NULL;
    }
}

/* Builds HOST:PORT with the chosen port: for this process in `out`, and for
 * others with the host name by which they connect. */
static void say_address(const char *listen, uint16_t port, const char *host,
                        char own[FLO_LEAD_ADDRESS], char public[FLO_LEAD_ADDRESS])
{
    int chars = (int)(strrchr(listen, ':') - listen);
    bool is_v6 = host != NULL && strchr(host, ':') != NULL;

    snprintf(own, FLO_LEAD_ADDRESS, "%.*s:%u", chars, listen, port);
    if (host == NULL) {
        snprintf(public, FLO_LEAD_ADDRESS, "%s", own);
    } else {
        snprintf(public, FLO_LEAD_ADDRESS, is_v6 ? "[%s]:%u" : "%s:%u", host, port);
    }
}

static int relay_open(struct flo_standby *standby, const char **listen, const char *host,
                      struct flo_relay **relay, char own[FLO_LEAD_ADDRESS],
                      char public[FLO_LEAD_ADDRESS], struct flo_err *err)
{
    uint16_t port = 0;

    FLO_TRY(strrchr(*listen, ':') == NULL || strlen(*listen) > 250
                ? flo_fail(err, FLO_E_USAGE, "`%.200s` is no HOST:PORT", *listen)
                : flo_relay_open(standby->base, *listen, relay, &port, err));
    say_address(*listen, port, host, own, public);
    *listen = own;
    return 0;
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "localhost:", 10) == 0;
}

/* Opens the relays to the leader.  Devices know one port, so without
 * --listen-devices only people are relayed. */
static int relays_open(struct flo_standby *standby, struct flo_controller_options *options,
                       const char *host, struct flo_lead_self *self, char people[FLO_LEAD_ADDRESS],
                       char devices[FLO_LEAD_ADDRESS], struct flo_err *err)
{
    int rv = 0;

    if (!standby->is_alone) {
        rv = relay_open(standby, &options->listen, host, &standby->people, standby->listens_people,
                        people, err);
        self->people = people;
    }
    if (rv == 0 && !standby->is_alone && options->listen_devices != NULL) {
        rv = relay_open(standby, &options->listen_devices, host, &standby->devices,
                        standby->listens_devices, devices, err);
        self->devices = devices;
    }
    return rv;
}

/* Answers clients while no controller leads, in the protocol of the listener.
 * As long as there are no certificates, connections are closed. */
static int answer_otherwise(struct flo_standby *standby,
                            const struct flo_controller_options *options, struct flo_err *err)
{
    char certificate[4096], key[4096], address[32];
    struct flo_httpd_tls tls = {.cert_file = certificate, .key_file = key};
    bool is_plain = !options->is_tls && is_loopback(options->listen);
    bool has_pair =
        flo_path_join(certificate, sizeof(certificate), options->dir, "pki/server.pem") &&
        flo_path_join(key, sizeof(key), options->dir, "pki/server.key") &&
        access(certificate, R_OK) == 0 && access(key, R_OK) == 0;
    uint16_t port;
    int rv = 0;

    if (standby->people != NULL && (is_plain || has_pair)) {
        rv = flo_pulse_listen(standby->pulse, is_plain ? NULL : &tls, &port, err);
        if (rv == 0) {
            snprintf(address, sizeof(address), "127.0.0.1:%u", port);
            flo_relay_otherwise(standby->people, address);
        }
    }
    if (rv == 0 && standby->devices != NULL && has_pair) {
        rv = flo_pulse_listen(standby->pulse, &tls, &port, err);
        if (rv == 0) {
            snprintf(address, sizeof(address), "127.0.0.1:%u", port);
            flo_relay_otherwise(standby->devices, address);
        }
    }
    FLO_TRY(rv);
    return flo_pulse_start(standby->pulse, err);
}

static int result_of(struct flo_standby *standby, bool is_check, struct flo_err *err)
{
    if (!standby->is_refused) {
        return 0;
    }
    if (flo_lead_lacks(standby->lead, err)) {
        return flo_wrap(err, err->code, "this controller cannot lead");
    }
    if (is_check) {
        return 0;
    }
    flo_fail(err, FLO_E_STATE_LOCKED, "another controller uses this database");
    return flo_err_fix(err, "to stand by next to it, give both the same "
                            "--broker mqtts://HOST:PORT");
}

static int read_key(struct flo_standby *standby, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;

    FLO_TRY(flo_keyring_own(standby->dir, &key, err));
    flo_public_key_pem(flo_key_public(key), standby->key);
    return 0;
}

/* Waits for some seconds; the listeners answer meanwhile. */
static void wait_in_loop(struct flo_standby *standby, unsigned seconds)
{
    const struct timeval pause = {.tv_sec = (time_t)seconds};

    if (seconds > 0) {
        (void)event_base_loopexit(standby->base, &pause);
        event_base_dispatch(standby->base);
    }
}

/* Opens the lead.  At a first start a wrong address of the database fails at
 * once.  A process that led before, or was about to, knows that the address is
 * right and waits. */
static int open_lead(struct flo_standby *standby, const char *address,
                     const struct flo_lead_self *self, struct flo_err *err)
{
    bool is_told = false;
    int rv = 0;

    wait_in_loop(standby, pause_s(started.failures));
    while (!standby->has_ended) {
        rv = flo_lead_open(address, self, &standby->lead, err);
        if (rv == 0 || started.failures < 0 || standby->is_alone || !is_of_database(rv)) {
            return rv;
        }
        if (!is_told) {
            flo_log_err(FLO_LOG_WARN, "lease", err);
        }
        is_told = true;
        *err = (struct flo_err){0};
        rv = 0;
        wait_in_loop(standby, 1);
    }
    return rv;
}

static int stand_by(struct flo_standby *standby, struct flo_controller_options *options,
                    const char *host, bool is_check, struct flo_service *service,
                    struct flo_err *err)
{
    char people[FLO_LEAD_ADDRESS], devices[FLO_LEAD_ADDRESS];
    struct flo_lead_self self = {.holder = standby->holder,
                                 .name = options->name,
                                 .people = "",
                                 .devices = "",
                                 .key = standby->key,
                                 .lost = start_again,
                                 .context = standby};
    int rv = read_holder(options->dir, standby->holder, err);

    /* A start that repairs the fleet creates the files that a leader must have,
     * so it does not take them from the keyring. */
    self.fit =
        options->is_restored || options->makes_order_key || options->seals_again || options->imports
            ? NULL
            : fit;
    if (rv == 0) {
        rv = read_key(standby, err);
    }
    if (rv == 0) {
        rv = relays_open(standby, options, host, &self, people, devices, err);
    }
    if (rv == 0 && standby->pulse != NULL) {
        rv = answer_otherwise(standby, options, err);
    }
    if (rv == 0) {
        rv = loop_open(standby, err);
    }
    if (rv == 0) {
        rv = open_lead(standby, options->store, &self, err);
    }
    FLO_TRY(rv);
    if (standby->has_ended) {
        return rv;
    }
    struct flo_lead_row row;
    flo_lead_seen(standby->lead, &row);
    standby->beat = row.lease.beat;
    if (!standby->is_alone) {
        flo_service_ready(service, standby->base);
    }
    event_base_dispatch(standby->base);
    flo_service_pause(service);
    return result_of(standby, is_check, err);
}

int flo_standby_until_lead(struct flo_controller_options *options,
                           const struct flo_standby_spec *spec, struct flo_pulse *pulse,
                           struct flo_service *service, struct flo_standby **out, bool *leads,
                           struct flo_err *err)
{
    struct flo_standby *standby = calloc(1, sizeof(*standby));

    if (standby == NULL || (standby->base = event_base_new()) == NULL) {
        free(standby);
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    *out = standby;
    standby->pulse = pulse;
    standby->is_alone = spec->is_alone;
    standby->joins = spec->joins;
    snprintf(standby->dir, sizeof(standby->dir), "%s", options->dir);
    standby->since_ms = flo_now_ms();
    int rv = stand_by(standby, options, spec->peer_host, spec->is_check, service, err);
    loop_close(standby);
    *leads = rv == 0 && !standby->has_ended && !standby->is_refused;
    if (*leads) {
        options->may_act = may_act;
        options->may_act_context = standby->lead;
        options->may_wait = may_wait;
        options->view = view;
        if (pulse != NULL) {
            flo_pulse_mind(pulse, is_heard, standby->lead);
        }
        (void)flo_lead_leads(standby->lead, &options->epoch);
    }
    return rv;
}

void flo_standby_close(struct flo_standby *standby)
{
    if (standby != NULL) {
        flo_lead_close(standby->lead);
        free(standby);
    }
}
