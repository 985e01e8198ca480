/* flotilla-controller: command line. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>
#include <flotilla/newest.h>

#include "base/args/args.h"
#include "base/host/crypto.h"
#include "base/host/service.h"
#include "base/sandbox.h"
#include "base/scratch.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/run/depot.h"
#include "server-stub/run/login/login.h"
#include "server-stub/run/program/backup.h"
#include "server-stub/run/program/pulse.h"
#include "server-stub/run/program/standby.h"
#include "server-stub/run/run.h"
#include "server-stub/state/addresses.h"

#define LINGER_MS 60000
#define LINGER_MS_MAX 3600000
#define LIFE_MS_MIN 5000
#define LIFE_MS_MAX (UINT64_C(3650) * 86400000)

struct line {
    struct flo_args args;
    struct flo_controller_options options;
    const char *peer_host;
    const char *joins;
    const char *listen_health;
    bool is_check;
    bool asks_fingerprint;
};
static struct line line = {.options.listen = "127.0.0.1:8080",
                           .options.broker_linger_ms = LINGER_MS,
                           .options.evidence_block_ms = FLO_BLOCK_MS,
                           .options.newest_ms = FLO_NEWEST_INTERVAL_MS,
                           .options.certificate_life_ms = FLO_CERTIFICATE_LIFE_MS,
                           .options.certificate_grace_ms = FLO_CERTIFICATE_GRACE_MS};

static int take_name(void *state, const char *name, struct flo_err *err)
{
    struct flo_controller_options *options = &((struct line *)state)->options;

    if (options->host_name_count == FLO_CONTROLLER_HOST_NAMES_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--host-name %s: at most %d of them", name,
                        FLO_CONTROLLER_HOST_NAMES_MAX);
    }
    options->host_names[options->host_name_count++] = name;
    return 0;
}

static int take_unproved(void *state, const char *word, struct flo_err *err)
{
    struct flo_controller_options *options = &((struct line *)state)->options;

    if (strcmp(word, "take") != 0 && strcmp(word, "refuse") != 0) {
        return flo_fail(err, FLO_E_USAGE, "--unproved %.40s: take or refuse", word);
    }
    options->unproved = word[0] == 't' ? FLO_UNPROVED_TAKE : FLO_UNPROVED_REFUSE;
    return 0;
}

#define TO_TEXT(member) FLO_TEXT(struct line, options.member)
#define TO_SWITCH(member) FLO_SWITCH(struct line, options.member)
static const struct flo_flag flags[] = {
    {"data", "DIR", "folder of the controller: databases, keys, blobs", TO_TEXT(dir),
     .is_needed = true},
    {"store", "postgresql://ADDRESS",
     "keep devices, releases, rollouts, orders and audit in this database (default: in a file in "
     "DIR); no password: use passfile=FILE or ~/.pgpass",
     TO_TEXT(store)},
    {"import", NULL, "copy DIR/control.db into the empty database of --store first",
     TO_SWITCH(imports)},
    {"listen", "HOST:PORT",
     "address of REST and dashboard for people: HTTP on loopback, otherwise HTTPS with a "
     "certificate of the fleet's authority (127.0.0.1:8080)",
     TO_TEXT(listen)},
    {"tls", NULL, "use HTTPS on loopback too", TO_SWITCH(is_tls)},
    {"listen-devices", "HOST:PORT",
     "address of HTTPS for devices (same host, port 8443; if that is taken, a free port, which "
     "stays the same)",
     TO_TEXT(listen_devices)},
    {"public-host", "NAME",
     "host name by which devices reach this machine (the host of --listen-devices)",
     TO_TEXT(public_host)},
    {"host-name", "NAME",
     "another host name by which people reach the controller, such as that of a reverse proxy; up "
     "to 8 times",
     .take = take_name},
    {"proxy", "ADDRESS",
     "address of the reverse proxy before --listen. It must append each client's address to "
     "X-Forwarded-For, so that failed logins are counted for each client",
     TO_TEXT(proxy)},
    {"blobs-url", "URL",
     "redirect devices to URL/sha256-HEX for artifacts (status 307): a store that holds the files "
     "of DIR/blobs, or --blobs-store itself",
     TO_TEXT(blobs_url)},
    {"blobs-store", "URL",
     "an HTTP or S3 store in which all controllers keep artifacts, as "
     "URL/sha256-HEX; DIR/blobs has copies (https, or http on loopback)",
     TO_TEXT(blobs_store)},
    {"blobs-keys", "FILE",
     "file (mode 0600) with the credentials of that store: `bearer TOKEN`, or `s3 REGION "
     "ACCESS-KEY SECRET-KEY` (nothing)",
     TO_TEXT(blobs_keys)},
    {"blobs-ca", "FILE", "certificate authority of that store (the system's)", TO_TEXT(blobs_ca)},
    {"name", "NAME",
     "name of this controller, to distinguish it from others on its database (the machine's name)",
     TO_TEXT(name)},
    {"peer-host", "NAME",
     "with --store: host name by which other controllers reach the listeners of this one (their "
     "hosts)",
     FLO_TEXT(struct line, peer_host)},
    {"join", "FINGERPRINT",
     "with --store, in an empty folder: fingerprint of the authority of the fleet that this "
     "controller joins (--fingerprint at the leader); it gets the fleet's keys from the database",
     FLO_TEXT(struct line, joins)},
    {"listen-health", "HOST:PORT",
     "plain HTTP for supervisors and load balancers: GET /health, GET /ready "
     "(none)",
     FLO_TEXT(struct line, listen_health)},
    {"broker", "URL|embedded[:PORT]",
     "address of the MQTT broker; embedded: start mosquitto on this port, or on a standard or free "
     "port, which stays the same",
     TO_TEXT(broker)},
    {"broker-accounts", NULL,
     "the broker is a mosquitto with the dynamic-security plugin: create and delete devices' "
     "accounts there",
     TO_SWITCH(has_accounts)},
    {"broker-forgets", NULL,
     "the broker does not keep retained messages, or each node of its cluster keeps its own "
     "(RabbitMQ): send them again to each device that connects",
     TO_SWITCH(broker_forgets)},
    {"broker-linger", "DURATION",
     "how long mosquitto runs on without a controller, so that the controller can be restarted, 0s "
     "to 1h (60s); with 0s, or after Ctrl-C, it ends with the controller",
     FLO_MS(struct line, options.broker_linger_ms), .max = LINGER_MS_MAX},
    {"certificate-life", "DURATION",
     "how long certificates of devices and of the controller are valid, 5s to 3650d (90d); they "
     "are renewed after two thirds of this time",
     FLO_MS(struct line, options.certificate_life_ms), .min = LIFE_MS_MIN, .max = LIFE_MS_MAX},
    {"certificate-grace", "DURATION",
     "how long after the end of its certificate a device may still renew it, 0s to 3650d (730d); "
     "later it needs a new token",
     FLO_MS(struct line, options.certificate_grace_ms), .max = LIFE_MS_MAX},
    {"fleet", "NAME", "name of the fleet, at first start (demo)", TO_TEXT(fleet)},
    {"heartbeat", "DURATION", "how often devices report, 200ms to 7d (60s)",
     FLO_MS(struct line, options.heartbeat_ms), .min = FLO_HEARTBEAT_MS_MIN,
     .max = FLO_HEARTBEAT_MS_MAX},
    {"evidence-block", "DURATION",
     "length of the time blocks of statistical gates, 1s to 1h (5m); if it is changed, earlier "
     "observations are lost",
     FLO_MS(struct line, options.evidence_block_ms), .min = 1000, .max = 3600000},
    {"newest-interval", "DURATION",
     "how often devices are told that nothing newer is withheld from them, 1s to 24h (60s); one "
     "that hears nothing for three intervals is stale; with 0s, none is told",
     FLO_MS(struct line, options.newest_ms), .max = FLO_NEWEST_INTERVAL_MS_MAX},
    {"slice", "DEVICES",
     "how many devices are handled at a time in work on many devices, 1 to 100000 (as many as some "
     "milliseconds take)",
     FLO_U64(struct line, options.slice_devices), .min = 1, .max = 100000},
    {"unused-kept", "DURATION",
     "how long artifacts are kept that no device needs (deltas from files that no device has, "
     "files of no release), 1s to 3650d (7d)",
     FLO_MS(struct line, options.unused_kept_ms), .min = 1000, .max = LIFE_MS_MAX},
    {"allow-licence", "LIST",
     "licences that releases may have, as SPDX ids: apache-2.0,mit; others are refused (any)",
     TO_TEXT(allow_licence)},
    {"alert-command", "PROGRAM",
     "program to run for each message about an alert. It gets the message as standard input, no "
     "arguments, and is run without a shell",
     TO_TEXT(alert_command)},
    {"webhook-ca", "FILE", "certificate authority of webhooks (the system's)", TO_TEXT(webhook_ca)},
    {"webhook-private", NULL, "allow webhooks in private networks and on loopback",
     TO_SWITCH(takes_private_webhooks)},
    {"oidc", "FILE",
     "let people log in by the identity provider that this file describes (docs/login.md)",
     TO_TEXT(oidc)},
    {"restored", NULL,
     "DIR comes from a backup: give new orders numbers that no device has seen, and pause what was "
     "running",
     TO_SWITCH(is_restored)},
    {"unproved", "WORD",
     "take or refuse messages of devices that never sent a proof (default: take them in a fleet "
     "that is older than proofs, else refuse them)",
     .take = take_unproved},
    {"new-order-key", NULL,
     "create DIR/keys/order.key again if it was deleted although devices know it; each device must "
     "then enrol again",
     TO_SWITCH(makes_order_key)},
    {"seal-again", NULL,
     "accept all sealed rows in the tables as they are (tokens, users, groups, devices, "
     "rules); also creates a lost DIR/keys/audit.key again",
     TO_SWITCH(seals_again)},
    {"fingerprint", NULL,
     "print the fingerprint of DIR's authority, for `flotilla login --fingerprint`, and end",
     FLO_SWITCH(struct line, asks_fingerprint)},
    {"check", NULL,
     "open DIR and check the flags, but start nothing (--restored, --new-order-key and "
     "--seal-again are carried out)",
     FLO_SWITCH(struct line, is_check)},
    FLO_FLAGS_END,
};

/* Locks the folder, in which only one controller may run.  The lock lives as
 * long as the process. */
static int lock(const char *dir, struct flo_err *err)
{
    char path[4096];

    FLO_TRY(flo_dir_make(dir, 0700, err));
    if (!flo_path_join(path, sizeof(path), dir, "lock")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", dir);
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        flo_fail(err, FLO_E_STATE_LOCKED, "another controller works in %s", dir);
        return flo_err_fix(err, "stop that one first, or give another folder");
    }
    return 0;
}

static int print_fingerprint(const char *dir, struct flo_err *err)
{
    char hex[65];

    FLO_TRY(flo_standby_fingerprint(dir, hex, err));
    puts(hex);
    return 0;
}

static int check_oidc(const char *path, struct flo_err *err)
{
    struct flo_oidc_file *file = NULL;
    int rv = path != NULL ? flo_oidc_file_open(path, &file, err) : 0;

    flo_oidc_file_close(file);
    return rv;
}

static void on_tick(void *context)
{
    const struct flo_controller_options *options = &line.options;
    bool may_act = options->may_act == NULL || options->may_act(options->may_act_context);

    flo_pulse_tell(context, may_act ? FLO_PULSE_LEADS : FLO_PULSE_WAITS, options->epoch);
}

static void on_listening(void *context, int fd, const struct flo_httpd_tls *tls_or_null)
{
    flo_pulse_guard(context, fd, tls_or_null);
}

/* Runs the controller, which is the leader or the only one. */
static int serve(struct flo_controller_options *options, struct flo_service *service,
                 struct flo_err *err)
{
    struct flo_controller *controller = NULL;
    int rv = flo_controller_open(options, &controller, err);

    if (rv == 0 && !line.is_check) {
        rv = flo_controller_run(controller, service, err);
    } else {
        flo_service_stop(service);
    }
    if (rv == 0 && line.is_check) {
        printf("fleet %s in %s is fine\n", controller->fleet, controller->dir);
    }
    flo_controller_close(controller);
    return rv;
}

static int check_name(struct flo_controller_options *options, struct flo_err *err)
{
    static char machine[65];

    if (options->name != NULL && !flo_name_is_valid(options->name)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--name `%.80s`: a-z, 0-9, `.`, `_` and `-` belong "
                        "there, at most 64 of them",
                        options->name);
    }
    if (options->name == NULL) {
        bool has_name = gethostname(machine, sizeof(machine) - 1) == 0;
        options->name = has_name ? machine : "";
    }
    return 0;
}

static int check_depot(const struct flo_controller_options *options, struct flo_err *err)
{
    struct flo_depot_keys keys = {.bearer = ""};
    int rv = 0;

    if (options->blobs_store != NULL) {
        rv = flo_depot_url_check(options->blobs_store, err);
    } else if (options->blobs_keys != NULL || options->blobs_ca != NULL) {
        rv = flo_fail(err, FLO_E_USAGE, "--blobs-keys and --blobs-ca belong to --blobs-store");
    }
    if (rv == 0 && options->blobs_keys != NULL) {
        rv = flo_depot_keys_read(options->blobs_keys, &keys, err);
    }
    flo_secret_wipe(&keys, sizeof(keys));
    return rv;
}

static bool has_own_broker(const struct flo_controller_options *options)
{
    uint16_t port;

    return flo_address_is_embedded(options->broker, &port);
}

/* Tells whether the process does a task at its start that only a single
 * controller may do. */
static bool is_alone(const struct flo_controller_options *options)
{
    return line.is_check || options->imports || options->is_restored || options->makes_order_key ||
           options->seals_again || has_own_broker(options);
}

static int run(void *state, struct flo_err *err)
{
    struct flo_controller_options *options = &((struct line *)state)->options;
    struct flo_standby *standby = NULL;
    struct flo_pulse *pulse = NULL;
    bool goes_on = true;
    bool is_again = false;
    char *dir = NULL;

    umask(077);
    if (options->alert_command == NULL) { /* a mail program may need rights */
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
    if (options->blobs_url != NULL &&
        (strlen(options->blobs_url) > 400 || (strncmp(options->blobs_url, "https://", 8) != 0 &&
                                              strncmp(options->blobs_url, "http://", 7) != 0))) {
        return flo_fail(err, FLO_E_USAGE,
                        "--blobs-url `%.100s` is no https:// or http:// address "
                        "of at most 400 characters",
                        options->blobs_url);
    }
    if (options->newest_ms > 0 && options->newest_ms < FLO_NEWEST_INTERVAL_MS_MIN) {
        return flo_fail(err, FLO_E_USAGE, "--newest-interval: %llu ms are below 1s, and not 0s",
                        (unsigned long long)options->newest_ms);
    }
    if (line.asks_fingerprint) {
        return print_fingerprint(options->dir, err);
    }
    int rv = check_name(options, err);
    if (rv == 0) {
        rv = flo_broker_check(options->broker, err);
    }
    if (rv == 0 && line.listen_health != NULL) {
        rv = flo_address_check(line.listen_health, err);
    }
    /* root may start this program, but keys and files belong to the owner of
     * the folder.  The program therefore goes on as that owner. */
    if (rv == 0) {
        rv = flo_process_as_owner(options->dir, err);
    }
    if (rv == 0) {
        rv = check_oidc(options->oidc, err);
    }
    if (rv == 0) {
        rv = check_depot(options, err);
    }
    if (rv == 0) {
        rv = lock(options->dir, err);
    }
    struct flo_service *service = flo_service_open();
    if (rv == 0) {
        /* The path must be absolute, because mosquitto needs that. */
        dir = realpath(options->dir, NULL);
        options->dir = dir != NULL ? dir : options->dir;
    }
    if (rv == 0 && !line.is_check) {
        rv = flo_pulse_open(line.listen_health, &pulse, err);
        options->on_tick = on_tick;
        options->on_tick_context = pulse;
        /* Health checks answer clients of a blocked leader only if the tables
         * are in PostgreSQL: a local file is always reachable. */
        options->on_listening = options->store != NULL ? on_listening : NULL;
    }
    if (rv == 0 && options->store != NULL) {
        const struct flo_standby_spec spec = {.peer_host = line.peer_host,
                                              .joins = line.joins,
                                              .is_alone = is_alone(options),
                                              .is_check =
                                                  line.is_check && !has_own_broker(options)};
        rv = flo_standby_until_lead(options, &spec, pulse, service, &standby, &goes_on, err);
        if (rv == 0 && !goes_on && line.is_check) {
            puts("another controller leads, and this one can follow it");
        }
    } else if (rv == 0 && pulse != NULL) {
        rv = flo_pulse_start(pulse, err);
    }
    if (rv == 0 && goes_on) {
        rv = serve(options, service, err);
        is_again = rv < 0 && flo_standby_may_again(standby, rv);
    } else {
        flo_service_stop(service);
    }
    /* The pulse is closed before the lead, because its callback uses the
     * lead. */
    flo_pulse_close(pulse);
    flo_standby_close(standby);
    if (is_again) {
        flo_standby_again(err);
    }
    free(dir);
    return rv;
}

int main(int argc, char **argv)
{
    static const struct flo_verb verb = {
        .name = "run",
        .usage = "--data DIR [FLAG...]",
        .help = "the service; the word may be left out where a flag follows",
        .flags = {flags},
        .state = &line,
        .run = run,
        .example = "--data /var/lib/flotilla-controller",
        .more = "root goes on as the user who owns DIR.\n",
    };
    static const struct flo_verb *const verbs[] = {&verb, &flo_verb_backup};
    static const struct flo_args_program program = {.name = "flotilla-controller",
                                                    .about = "Coordinates a fleet of devices",
                                                    .verbs = verbs,
                                                    .count = FLO_COUNT(verbs),
                                                    .standard = "run"};

    flo_sandbox_limit(RLIMIT_CORE, 0); /* a core dump would contain keys */
    flo_standby_remember(argv);
    flo_scratch_clear();
    if (argc == 5 && strcmp(argv[1], FLO_BROKER_KEEPER) == 0) {
        umask(077);
        return flo_broker_keeper(argv[2], argv[3], argv[4]);
    }
    return flo_args_main(&program, argc, argv);
}
