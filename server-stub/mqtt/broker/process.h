/* The broker's process and its files; not for others. */
#ifndef FLOTILLA_SERVER_MQTT_BROKER_PROCESS_H
#define FLOTILLA_SERVER_MQTT_BROKER_PROCESS_H

#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/mqtt/broker/lines.h"

/* DIR/mosquitto/broker.pid: the keeper, its mosquitto, and the digest of
 * mosquitto's settings at its start.  Start times in clock ticks since boot. */
struct flo_broker_pids {
    pid_t keeper, broker;
    uint64_t keeper_started, broker_started;
    char config[FLO_DIGEST_TEXT];
};
/* false: there is none, or it is broken. */
bool flo_broker_pids_read(const char *dir, struct flo_broker_pids *out);
/* When a process began; 0 when it is not there, or a zombie. */
uint64_t flo_broker_started(pid_t pid);
/* DIR/mosquitto/controller.lock, which a controller holds for its life. */
FLO_MUST_USE int flo_broker_lock_open(const char *dir, struct flo_err *err);
/* mosquitto's path; NULL: it is not installed. */
const char *flo_broker_program(void);
/* The lines that mosquitto writes to its stderr. */
struct flo_broker_said {
    int fd; /* -1: it was not started */
    struct flo_broker_lines lines;
};
/* Start mosquitto with DIR/mosquitto/mosquitto.conf and openssl.cnf.  `said` is
 * the caller's to close. */
FLO_MUST_USE int flo_broker_spawn(const char *dir, struct flo_broker_said *said, pid_t *pid,
                                  struct flo_err *err);
/* Append what it said since the last call, without what is only counted. */
void flo_broker_said(struct flo_broker_said *said, struct flo_buf *out);

/* authorities.c: write DIR/mosquitto/authorities. */
FLO_MUST_USE int flo_broker_authorities(struct flo_controller *controller, struct flo_err *err);

/* Text of the ACL, appended: controller, patterns of devices, the retired. */
FLO_MUST_USE int flo_broker_acl_text(struct flo_controller *controller, struct flo_buf *out,
                                     struct flo_err *err);
/* Text of mosquitto.conf, appended; `host` "": all addresses. */
struct flo_broker_places {
    const char *authorities; /* the whole line: cafile FILE, capath FOLDER */
    const char *certificate, *key, *revoked;
    const char *rights; /* the lines: acl_file FILE, or a plugin's */
};
void flo_broker_config_text(struct flo_buf *text, uint16_t port, const char *host,
                            const struct flo_broker_places *places);

/* shares.c: the lines of mosquitto.conf that load the guard, appended; none
 * where it is not installed. */
void flo_broker_guard_lines(const struct flo_controller *controller, struct flo_buf *out);

/* Settings of OpenSSL for the broker: those of the system, and no tickets. */
extern const char flo_broker_openssl[];

/* dynamic.c: the plugin's file, and its lines in mosquitto.conf. */
FLO_MUST_USE int flo_broker_accounts_text(struct flo_controller *controller, struct flo_buf *out,
                                          struct flo_err *err);
void flo_broker_accounts_line(char *out, size_t bytes);

/* Raise this process's limit of open files as far as allowed; the broker
 * inherits it.  Returns how many devices can be connected at once.  Warns when
 * they are fewer than are enrolled. */
FLO_MUST_USE int flo_broker_limits(struct flo_controller *controller, uint64_t *devices_max,
                                   struct flo_err *err);

#endif
