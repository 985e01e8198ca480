/* Broker: writes mosquitto's files, starts its process and restarts it. */
#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/process.h>

#include "base/host/digest.h"

#include "server-stub/core/timers.h"
#include "server-stub/mqtt/broker/process.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/trust/trust.h"

#define WATCH_MS 250

struct flo_broker {
    struct flo_controller *controller;
    struct event *watch;
    pid_t pid; /* process id of mosquitto, or of its keeper; 0: none is running */
    uint64_t pid_started;
    bool is_kept; /* mosquitto has a keeper, and may outlive the controller */
    /* file descriptor of the lock that the controller holds, and by which the
     * keeper knows that the controller lives */
    int lock;
    char config[FLO_DIGEST_TEXT]; /* digest of the settings with which the broker was started */
    uint16_t port;
    uint64_t started_at_ms;
    uint64_t retry_at_ms;
    uint64_t retry_ms;
    uint64_t starts;
    uint64_t devices_max;        /* number of devices for which the broker has file descriptors */
    struct flo_broker_said said; /* output of a broker without a keeper, for the controller's log */
    uint64_t misses;             /* number of lists that the broker could not be given */
    struct flo_err missed;       /* error of the newest miss */
};

static int path_of(const struct flo_controller *controller, const char *name, char *out,
                   struct flo_err *err)
{
    return flo_path_join(out, 4096, controller->dir, name)
               ? 0
               : flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", name);
}

static int acl_write(struct flo_controller *controller, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char path[4096];

    FLO_TRY(flo_broker_acl_text(controller, &text, err));
    FLO_TRY(path_of(controller, "mosquitto/acl", path, err));
    return flo_file_write(path, text.data, text.bytes, 0600, err);
}

int flo_broker_again(struct flo_broker *broker, struct flo_err *err)
{
    FLO_TRY(acl_write(broker->controller, err));
    FLO_TRY(flo_broker_authorities(broker->controller, err));
    if (broker->pid > 0 && kill(broker->pid, SIGHUP) < 0 && errno != ESRCH) {
        return flo_fail_errno(err, FLO_E_PROCESS, "signal to the broker, process %d",
                              (int)broker->pid);
    }
    return 0;
}

void flo_broker_miss(struct flo_broker *broker, const struct flo_err *err)
{
    broker->missed = *err;
    broker->misses++;
}

uint64_t flo_broker_misses(const struct flo_broker *broker_or_null)
{
    return broker_or_null != NULL ? broker_or_null->misses : 0;
}

int flo_broker_told(const struct flo_broker *broker_or_null, uint64_t misses, struct flo_err *err)
{
    if (flo_broker_misses(broker_or_null) == misses) {
        return 0;
    }
    flo_fail(err, FLO_E_MQTT_LIST, "the change is stored, but the broker has the lists of before");
    return flo_err_why(err, "%s", broker_or_null->missed.what);
}

/* ---- configuration ---- */

static void config_text(const struct flo_broker *broker, struct flo_buf *text)
{
    const struct flo_controller *controller = broker->controller;
    const struct flo_pki *pki = controller->pki;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) rights = {0};
    char authorities[4200];
    struct flo_broker_places places = {authorities, flo_pki_files(pki)->server_cert_file,
                                       flo_pki_files(pki)->server_key_file,
                                       flo_pki_files(pki)->revoked_file, NULL};

    snprintf(authorities, sizeof(authorities), "capath %s/mosquitto/authorities", controller->dir);
    flo_broker_limit_lines(broker->devices_max, &rights);
    flo_broker_guard_lines(controller, broker->port, &rights);
    flo_buf_printf(&rights, "acl_file %s/mosquitto/acl", controller->dir);
    places.rights = rights.data;
    text->failed = text->failed || rights.failed;
    flo_broker_config_text(text, broker->port, controller->addresses.devices, &places);
}

/* Computes the digest of the broker's settings.  Besides the file the digest
 * covers the oldest authority (mosquitto remembers removed ones), the limit of
 * connected devices and the linger time.  It also covers the backup from which
 * the data were restored, because a running broker has order lists that the
 * data do not know. */
static int config_digest(struct flo_broker *broker, const struct flo_buf *text, struct flo_err *err)
{
    const struct flo_controller *controller = broker->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) all = {0};
    struct flo_digest digest;
    char authority[FLO_DIGEST_TEXT];
    char restored[24] = "";

    FLO_TRY(flo_fleet_setting_get(controller->store, "restored", restored, sizeof(restored), err));
    flo_digest_text(&flo_pki_oldest(controller->pki)->fingerprint, authority);
    flo_buf_printf(&all, "%s%s%s %s %llu %llu\n", text->data, flo_broker_openssl, authority,
                   restored, (unsigned long long)broker->devices_max,
                   (unsigned long long)controller->options.broker_linger_ms);
    flo_sha256(all.data, all.bytes, &digest);
    flo_digest_text(&digest, broker->config);
    return 0;
}

static int config_write(struct flo_broker *broker, struct flo_err *err)
{
    struct flo_controller *controller = broker->controller;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char path[4096];

    FLO_TRY(path_of(controller, "mosquitto/mosquitto.conf", path, err));
    config_text(broker, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "mosquitto.conf");
    }
    FLO_TRY(config_digest(broker, &text, err));
    FLO_TRY(flo_file_write(path, text.data, text.bytes, 0600, err));
    FLO_TRY(path_of(controller, "mosquitto/openssl.cnf", path, err));
    return flo_file_write(path, flo_broker_openssl, strlen(flo_broker_openssl), 0600, err);
}

/* ---- port ---- */

/* Chooses the broker's port: the one of --broker, or that of the last start, or
 * the default one, or a free one.  If another process holds the stored port,
 * this is an error, because devices know that port. */
static int port_choose(struct flo_controller *controller, uint16_t *out, struct flo_err *err)
{
    char kept[16];

    FLO_TRY(flo_fleet_setting_get(controller->store, "mqtt_port", kept, sizeof(kept), err));
    uint16_t port;
    flo_address_is_embedded(controller->options.broker, &port);
    if (port == 0) {
        port = kept[0] != '\0' ? (uint16_t)strtoul(kept, NULL, 10)
                               : flo_address_standard_port(controller, 8883);
    }
    if (flo_address_bind(controller->addresses.devices, port, out) < 0) {
        flo_fail(err, FLO_E_PORT_IN_USE, "the broker's address %s:%u is taken: %s",
                 controller->addresses.devices, port, strerror(errno));
        flo_err_why(err, "devices that are enrolled know this port");
        return FLO_E_PORT_IN_USE;
    }
    snprintf(kept, sizeof(kept), "%u", *out);
    FLO_TRY(flo_fleet_begin(controller->store, err));
    int rv = flo_fleet_setting_set(controller->store, "mqtt_port", kept, err);
    if (rv < 0) {
        flo_fleet_roll_back(controller->store);
    } else {
        rv = flo_fleet_commit(controller->store, err);
    }
    return rv;
}

/* ---- process ---- */

static int start(struct flo_broker *broker, struct flo_err *err)
{
    struct flo_controller *controller = broker->controller;
    char self[4096];
    char linger[32];
    int rv;

    if (flo_broker_program() == NULL) {
        return flo_broker_spawn(controller->dir, &broker->said, &broker->pid, err);
    }
    broker->is_kept = controller->options.broker_linger_ms > 0 &&
                      flo_process_sibling("flotilla-controller", self, sizeof(self));
    snprintf(linger, sizeof(linger), "%llu",
             (unsigned long long)controller->options.broker_linger_ms);
    const char *const kept[] = {self,   FLO_BROKER_KEEPER, controller->dir,
                                linger, broker->config,    NULL};
    rv = broker->is_kept ? flo_process_spawn(kept, -1, &broker->pid, err)
                         : flo_broker_spawn(controller->dir, &broker->said, &broker->pid, err);
    broker->started_at_ms = flo_now_ms();
    if (rv == 0) {
        (void)flo_broker_started(broker->pid, &broker->pid_started);
        broker->starts++;
    }
    return rv;
}

/* ---- one that is there already ---- */

/* Tells whether the process of the pid file surely runs.  A process with another
 * start time has reused the pid. */
static bool is_alive(pid_t pid, uint64_t started)
{
    uint64_t now;

    return pid > 1 && started != 0 && flo_broker_started(pid, &now) && now == started;
}

/* Tells whether the process has surely ended.  waitpid() knows that of a child,
 * and /proc of a broker that was taken over.  Who cannot look knows nothing. */
static bool has_ended(pid_t pid, uint64_t started, int *status)
{
    uint64_t now;
    pid_t waited = waitpid(pid, status, WNOHANG);

    return waited == pid ||
           (waited < 0 && errno == ECHILD && flo_broker_started(pid, &now) && now != started);
}

static bool is_mosquitto(const struct flo_controller *controller, pid_t pid)
{
    char path[64];
    char conf[4096];
    char *line = NULL;
    size_t bytes = 0;
    bool is_ours = false;

    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    if (!flo_path_join(conf, sizeof(conf), controller->dir, "mosquitto/mosquitto.conf") ||
        flo_file_read(path, 16384, &line, &bytes, NULL) < 0) {
        return false;
    }
    for (size_t at = 0; at < bytes; at += strlen(line + at) + 1) {
        is_ours = is_ours || strcmp(line + at, conf) == 0;
    }
    free(line);
    return is_ours;
}

static void end_kept(pid_t keeper, uint64_t started)
{
    bool is_over = false;
    int status;

    kill(keeper, SIGTERM);
    for (int i = 0; i < 500 && !(is_over = has_ended(keeper, started, &status)); i++) {
        usleep(10000);
    }
    if (!is_over) {
        kill(keeper, SIGKILL); /* The keeper is killed, and mosquitto ends with it. */
    }
}

/* Takes over the broker of the former controller by its pid file, if the
 * broker's settings equal those of a new start; otherwise ends that broker.
 * Returns true after a take-over. */
static bool adopt(struct flo_broker *broker)
{
    struct flo_controller *controller = broker->controller;
    struct flo_broker_pids pids;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char kept[16] = "";

    if (!flo_broker_pids_read(controller->dir, &pids) ||
        !is_alive(pids.keeper, pids.keeper_started)) {
        return false;
    }
    if (flo_fleet_setting_get(controller->store, "mqtt_port", kept, sizeof(kept), NULL) < 0) {
        return false;
    }
    flo_address_is_embedded(controller->options.broker, &broker->port);
    if (broker->port == 0) {
        broker->port = (uint16_t)strtoul(kept, NULL, 10);
    }
    config_text(broker, &text);
    if (config_digest(broker, &text, NULL) < 0 || controller->options.broker_linger_ms == 0 ||
        strcmp(pids.config, broker->config) != 0 || !is_alive(pids.broker, pids.broker_started) ||
        !is_mosquitto(controller, pids.broker)) {
        flo_log(FLO_LOG_INFO, "broker", "the broker of before runs with other settings: ended");
        end_kept(pids.keeper, pids.keeper_started);
        return false;
    }
    broker->pid = pids.keeper;
    broker->pid_started = pids.keeper_started;
    broker->is_kept = true;
    broker->started_at_ms = flo_now_ms();
    flo_log(FLO_LOG_INFO, "broker", "mosquitto %d still runs and is taken over", (int)pids.broker);
    return true;
}

/* Waits, at the start of the controller, until the broker listens. */
static void wait_for_it(const struct flo_broker *broker)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char port[8];
    bool listens = false;

    snprintf(port, sizeof(port), "%u", broker->port);
    if (getaddrinfo(flo_address_local(broker->controller->addresses.devices), port, &hints,
                    &list) != 0) {
        return;
    }
    for (int i = 0; i < 300 && !listens; i++) {
        int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        listens = fd >= 0 && connect(fd, list->ai_addr, list->ai_addrlen) == 0;
        if (fd >= 0) {
            close(fd);
        }
        if (!listens) {
            usleep(10000);
        }
    }
    freeaddrinfo(list);
}

int flo_broker_restart(struct flo_broker *broker, struct flo_err *err)
{
    FLO_TRY(config_write(broker, err));
    if (broker->pid > 0) {
        kill(broker->pid, SIGTERM); /* The broker ends, and the controller then starts it again. */
    }
    return 0;
}

static void died(struct flo_broker *broker, int status)
{
    uint64_t lived_ms = flo_now_ms() - broker->started_at_ms;

    broker->pid = 0;
    broker->is_kept = false;
    broker->retry_ms = flo_broker_retry_ms(broker->retry_ms, lived_ms);
    broker->retry_at_ms = flo_now_ms() + broker->retry_ms;
    flo_log(FLO_LOG_WARN, "broker", "mosquitto ended (%s %d) after %llu ms, starting it again",
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
            (unsigned long long)lived_ms);
}

static void take_lines(struct flo_broker *broker)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};

    flo_broker_said(&broker->said, &out);
    if (out.bytes > 0) {
        (void)!write(STDERR_FILENO, out.data, out.bytes);
    }
}

static void on_watch(evutil_socket_t fd, short what, void *context)
{
    struct flo_broker *broker = context;
    struct flo_err err = {0};
    int status = 0;

    (void)fd, (void)what;
    take_lines(broker);
    if (broker->pid > 0 && has_ended(broker->pid, broker->pid_started, &status)) {
        take_lines(broker);
        died(broker, status);
    }
    if (broker->pid == 0 && flo_now_ms() >= broker->retry_at_ms && start(broker, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "broker", &err);
        broker->retry_at_ms = flo_now_ms() + flo_broker_retry_ms_max();
    }
}

/* Takes the lock of a living controller.  It waits, because the keeper also
 * takes the lock for a moment now and then. */
static int lock_take(struct flo_broker *broker, struct flo_err *err)
{
    broker->lock = flo_broker_lock_open(broker->controller->dir, err);
    if (broker->lock < 0) {
        return broker->lock;
    }
    while (flock(broker->lock, LOCK_EX) < 0) {
        if (errno != EINTR) {
            return flo_fail_errno(err, FLO_E_IO_OPEN, "lock of the broker");
        }
    }
    return 0;
}

int flo_broker_own_check(struct flo_err *err)
{
    (void)err;
    return 0;
}

uint64_t flo_broker_starts(const struct flo_broker *broker_or_null)
{
    return broker_or_null != NULL ? broker_or_null->starts : 0;
}

uint64_t flo_broker_devices_max(const struct flo_broker *broker_or_null)
{
    return broker_or_null != NULL ? broker_or_null->devices_max : 0;
}

int flo_broker_open(struct flo_controller *controller, struct event_base *base,
                    struct flo_broker **out, struct flo_err *err)
{
    struct flo_broker *broker = calloc(1, sizeof(*broker));
    struct timeval watch = {.tv_usec = WATCH_MS * 1000};

    if (broker == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "broker");
    }
    broker->controller = controller;
    broker->lock = -1;
    broker->said.fd = -1;
    *out = broker;
    FLO_TRY(flo_broker_limits(controller, &broker->devices_max, err));
    FLO_TRY(lock_take(broker, err));
    bool is_adopted = adopt(broker);
    if (!is_adopted) {
        FLO_TRY(port_choose(controller, &broker->port, err));
    }
    FLO_TRY(acl_write(controller, err));
    FLO_TRY(flo_broker_authorities(controller, err));
    FLO_TRY(config_write(broker, err));
    flo_address_url(controller->addresses.mqtt, "mqtts", controller->addresses.public,
                    broker->port);
    flo_address_url(controller->addresses.mqtt_own, "mqtts",
                    flo_address_local(controller->addresses.devices), broker->port);
    if (is_adopted) {
        /* The signal makes the broker load the ACL and the new certificates
         * again. */
        kill(broker->pid, SIGHUP);
    } else {
        FLO_TRY(start(broker, err));
    }
    wait_for_it(broker);
    broker->watch = event_new(base, -1, EV_PERSIST, on_watch, broker);
    if (broker->watch == NULL || event_add(broker->watch, &watch) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "broker's timer");
    }
    return 0;
}

void flo_broker_close(struct flo_broker *broker, bool ends)
{
    if (broker == NULL) {
        return;
    }
    if (broker->watch != NULL) {
        event_free(broker->watch);
    }
    if (broker->is_kept && broker->pid > 0) {
        if (ends) {
            end_kept(broker->pid, broker->pid_started);
        }
        broker->pid = 0; /* The broker stays, and waits for the next controller. */
    }
    if (broker->pid > 0) {
        kill(broker->pid, SIGTERM);
        for (int i = 0; i < 100; i++) {
            if (waitpid(broker->pid, NULL, WNOHANG) != 0) {
                broker->pid = 0;
                break;
            }
            usleep(10000);
        }
    }
    if (broker->pid > 0) {
        kill(broker->pid, SIGKILL);
        waitpid(broker->pid, NULL, 0);
    }
    take_lines(broker);
    flo_fd_cleanup(&broker->said.fd);
    flo_fd_cleanup(&broker->lock);
    free(broker);
}
