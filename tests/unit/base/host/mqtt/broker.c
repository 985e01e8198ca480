/* A real mosquitto for tests. */
#include "broker.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/remove_tree.h"
#include "unit/waits.h"

static const char *mosquitto_path(void)
{
    static const char *const paths[] = {"/usr/sbin/mosquitto", "/usr/bin/mosquitto"};
    size_t i;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (access(paths[i], X_OK) == 0) {
            return paths[i];
        }
    }
    return NULL;
}

bool broker_is_here(void)
{
    return mosquitto_path() != NULL && access("/usr/bin/openssl", X_OK) == 0;
}

const char *broker_file(const struct broker *broker, const char *name)
{
    static char paths[4][256];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", broker->dir, name);
    return path;
}

static void shell(const struct broker *broker, const char *command)
{
    char line[2048];

    snprintf(line, sizeof(line), "cd '%s' && { %s; } >openssl.log 2>&1", broker->dir, command);
    if (system(line) != 0) {
        fprintf(stderr, "failed: %s\n", line);
        abort();
    }
}

static void make_keys(const struct broker *broker, const char *const *ids)
{
    char line[1024];

    shell(broker, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                  "-nodes -keyout ca.key -out ca.pem -subj '/CN=test CA' -days 2");
    shell(broker, "printf 'subjectAltName=IP:127.0.0.1,DNS:localhost' >san && "
                  "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                  "-keyout server.key -out server.csr -subj '/CN=broker' && "
                  "openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key "
                  "-CAcreateserial -out server.pem -days 2 -extfile san");
    for (; *ids != NULL; ids++) {
        snprintf(line, sizeof(line),
                 "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
                 "-nodes -keyout %s.key -out %s.csr -subj '/CN=%s' && "
                 "openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key "
                 "-CAcreateserial -out %s.pem -days 2",
                 *ids, *ids, *ids, *ids, *ids);
        shell(broker, line);
    }
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, bytes) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &bytes) != 0) {
        abort();
    }
    close(fd);
    return ntohs(address.sin_port);
}

void broker_make(struct broker *broker, bool tls, const char *const *ids)
{
    FILE *file;

    memset(broker, 0, sizeof(*broker));
    snprintf(broker->dir, sizeof(broker->dir), "/tmp/flo-broker-XXXXXX");
    if (mkdtemp(broker->dir) == NULL) {
        abort();
    }
    broker->is_tls = tls;
    broker->port = free_port();
    snprintf(broker->url, sizeof(broker->url), "%s://127.0.0.1:%u", tls ? "mqtts" : "mqtt",
             broker->port);
    if (tls) {
        make_keys(broker, ids);
    }
    file = fopen(broker_file(broker, "mosquitto.conf"), "we");
    fprintf(file,
            "listener %u 127.0.0.1\n"
            "user root\nmax_inflight_messages 0\nmax_queued_messages 0\n"
            "set_tcp_nodelay true\nacl_file %s/acl\n",
            broker->port, broker->dir);
    if (tls) {
        fprintf(file,
                "cafile %s/ca.pem\ncertfile %s/server.pem\n"
                "keyfile %s/server.key\nrequire_certificate true\n"
                "use_identity_as_username true\n",
                broker->dir, broker->dir, broker->dir);
    } else {
        fprintf(file, "allow_anonymous true\n");
    }
    fclose(file);
    file = fopen(broker_file(broker, "acl"), "we");
    fprintf(file, "user controller\ntopic readwrite flotilla/v1/#\n"
                  "pattern read flotilla/v1/demo/d/%%u/desired\n"
                  "pattern read flotilla/v1/demo/d/%%u/cmd\n"
                  "pattern readwrite flotilla/v1/demo/d/%%u/+\n"
                  "pattern read flotilla/v1/demo/g/+/order\n"
                  "pattern read flotilla/v1/demo/c/mark\n");
    fclose(file);
}

static bool accepts(const struct broker *broker)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(broker->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_open;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    is_open = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_open;
}

void broker_start(struct broker *broker)
{
    broker->pid = fork();
    if (broker->pid == 0) {
        int log = open(broker_file(broker, "log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(log, 1);
        dup2(log, 2);
        execl(mosquitto_path(), "mosquitto", "-c", broker_file(broker, "mosquitto.conf"),
              (char *)NULL);
        _exit(127);
    }
    WAIT_UNTIL(accepts(broker));
}

void broker_kill(struct broker *broker)
{
    if (broker->pid > 0) {
        kill(broker->pid, SIGKILL);
        waitpid(broker->pid, NULL, 0);
        broker->pid = 0;
    }
}

void broker_remove(struct broker *broker)
{
    broker_kill(broker);
    if (remove_tree(broker->dir) != 0) {
        abort();
    }
}
