/* A real mosquitto for tests: own folder, free port, plain or mutual TLS. */
#ifndef FLOTILLA_TESTS_BROKER_H
#define FLOTILLA_TESTS_BROKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct broker {
    char dir[128]; /* configuration, certificates, log */
    uint16_t port;
    bool is_tls;
    pid_t pid;
    char url[64];
};

/* false: mosquitto or openssl is not installed, the test is skipped. */
bool broker_is_here(void);
/* Makes the folder, with a CA, a server certificate and client certificates
 * <dir>/<id>.pem|.key for each of `ids` (NULL-terminated) when tls. */
void broker_make(struct broker *broker, bool tls, const char *const *ids);
/* Returns when it accepts connections.  The port stays the same. */
void broker_start(struct broker *broker);
void broker_kill(struct broker *broker); /* SIGKILL: it forgets everything */
void broker_remove(struct broker *broker);
/* "<dir>/<name>" in a static buffer (four of them in turn). */
const char *broker_file(const struct broker *broker, const char *name);

#endif
