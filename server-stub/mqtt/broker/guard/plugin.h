/* Plugin: the part of mosquitto's plugin interface that the guard uses.
 *
 * Version 5 is that of all mosquitto 2.  The declarations are those of
 * mosquitto_plugin.h and mosquitto_broker.h in Debian's package mosquitto-dev,
 * which the build therefore does not need.  The broker asks for the version
 * before any other call.  Its functions are in its executable. */
#ifndef FLOTILLA_SERVER_GUARD_PLUGIN_H
#define FLOTILLA_SERVER_GUARD_PLUGIN_H

#include <stdbool.h>
#include <stdint.h>

#define MOSQ_PLUGIN_VERSION 5
#define MOSQ_LOG_WARNING 4
enum { MOSQ_EVT_ACL_CHECK = 2, MOSQ_EVT_TICK = 9, MOSQ_EVT_DISCONNECT = 10 };
enum {
    MOSQ_ERR_SUCCESS = 0,
    MOSQ_ERR_NOMEM = 1,
    MOSQ_ERR_INVAL = 3,
    MOSQ_ERR_ACL_DENIED = 12,
    MOSQ_ERR_UNKNOWN = 13, /* answer of a check that makes the broker disconnect the client */
    MOSQ_ERR_PLUGIN_DEFER = 17
};
enum { MOSQ_ACL_READ = 1, MOSQ_ACL_WRITE = 2, MOSQ_ACL_SUBSCRIBE = 4, MOSQ_ACL_UNSUBSCRIBE = 8 };

struct mosquitto; /* a client */
struct mosquitto_opt {
    char *key;
    char *value;
};
struct mosquitto_evt_acl_check {
    void *future;
    struct mosquitto *client;
    const char *topic;
    const void *payload;
    void *properties;
    int access;
    uint32_t payloadlen;
    uint8_t qos;
    bool retain;
    void *future2[4];
};
struct mosquitto_evt_disconnect {
    void *future;
    struct mosquitto *client;
    int reason;
    void *future2[4];
};

typedef int mosquitto_callback(int event, void *data, void *context);
int mosquitto_callback_register(void *plugin, int event, mosquitto_callback *callback,
                                const void *data, void *context);
const char *mosquitto_client_id(const struct mosquitto *client);
bool mosquitto_client_clean_session(const struct mosquitto *client);
int mosquitto_client_sub_count(const struct mosquitto *client);
int mosquitto_kick_client_by_clientid(const char *id, bool with_will);
void mosquitto_log_printf(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The guard's functions, which the broker calls.  They return 0 or
 * MOSQ_ERR_…. */
int mosquitto_plugin_version(int count, const int *versions);
int mosquitto_plugin_init(void *plugin, void **context, struct mosquitto_opt *options, int count);
int mosquitto_plugin_cleanup(void *context, struct mosquitto_opt *options, int count);

#endif
