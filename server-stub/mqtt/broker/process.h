/* Process: the process and files of the broker.  Private to this folder. */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_PROCESS_H
#define FLOTILLA_SERVER_MQTT_BROKER_PROCESS_H

#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/mqtt/broker/lines.h"

/* Content of DIR/mosquitto/broker.pid: the keeper, its mosquitto, and the
 * digest of mosquitto's settings at start.  Start times are in clock ticks
 * since boot. */
struct flo_broker_pids {
    pid_t keeper, broker;
    uint64_t keeper_started, broker_started;
    char config[FLO_DIGEST_TEXT];
};
/* Reads the pid file.  Returns false when the file is missing or damaged. */
bool flo_broker_pids_read(const char *dir, struct flo_broker_pids *out);
/* Writes the time at which a process started; 0: the process does not exist, or
 * is a zombie.  Returns false when /proc cannot be read: nothing is known then. */
bool flo_broker_started(pid_t pid, uint64_t *started);
/* Opens DIR/mosquitto/controller.lock.  A controller holds this lock as long as
 * it lives. */
FLO_MUST_USE int flo_broker_lock_open(const char *dir, struct flo_err *err);
/* Returns the path of mosquitto; NULL: mosquitto is not installed. */
const char *flo_broker_program(void);
/* Output of a mosquitto process, which it writes to stderr. */
struct flo_broker_said {
    int fd; /* -1: not started */
    struct flo_broker_lines lines;
};
/* Starts mosquitto with DIR/mosquitto/mosquitto.conf and openssl.cnf.  The
 * caller closes `said`. */
FLO_MUST_USE int flo_broker_spawn(const char *dir, struct flo_broker_said *said, pid_t *pid,
                                  struct flo_err *err);
/* Appends mosquitto's output since the last call, without those lines that are
 * only counted. */
void flo_broker_said(struct flo_broker_said *said, struct flo_buf *out);

/* authorities.c: write DIR/mosquitto/authorities. */
FLO_MUST_USE int flo_broker_authorities(struct flo_controller *controller, struct flo_err *err);

/* Appends the text of the broker's ACL: rules for the controller, patterns for
 * devices, and retired devices. */
FLO_MUST_USE int flo_broker_acl_text(struct flo_controller *controller, struct flo_buf *out,
                                     struct flo_err *err);
/* Values for the text of mosquitto.conf.  With `host` "" the broker listens on
 * all addresses. */
struct flo_broker_places {
    const char *authorities; /* a whole line of the configuration: cafile FILE or capath FOLDER */
    const char *certificate, *key, *revoked;
    const char *rights; /* whole lines of the configuration: acl_file FILE, or those of a plugin */
};
void flo_broker_config_text(struct flo_buf *text, uint16_t port, const char *host,
                            const struct flo_broker_places *places);

/* Appends the lines of mosquitto.conf that load the guard, if it is installed
 * (shares.c). */
void flo_broker_guard_lines(const struct flo_controller *controller, uint16_t port,
                            struct flo_buf *out);
/* Writes the variable LD_PRELOAD with which the guard also stands at the broker's
 * door (guard/door.h).  Returns the guard's open file, to be descriptor 3 of the
 * broker, since ld.so would split a path at blanks and colons; -1: it is missing. */
int flo_broker_guard_preload(char *out, size_t bytes);
/* Appends the lines that limit the broker's connections and memory (limits.c). */
void flo_broker_limit_lines(uint64_t devices_max, struct flo_buf *out);

/* OpenSSL settings for the broker: those of the system, but without session
 * tickets. */
extern const char flo_broker_openssl[];

/* Texts for the dynamic-security plugin (dynamic.c): its file of accounts, and
 * its lines in mosquitto.conf. */
FLO_MUST_USE int flo_broker_accounts_text(struct flo_controller *controller, struct flo_buf *out,
                                          struct flo_err *err);
void flo_broker_accounts_line(char *out, size_t bytes);

/* Raises this process's limit of open files as far as allowed; the broker
 * inherits it.  *devices_max becomes the number of devices that can be
 * connected at once.  Logs a warning when more devices are enrolled. */
FLO_MUST_USE int flo_broker_limits(struct flo_controller *controller, uint64_t *devices_max,
                                   struct flo_err *err);

#endif
