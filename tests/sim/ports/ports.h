/* Ports of the shipped code: timers and MQTT, on the schedule and the links of a
 * world; the calls that the linker hands over, next to those of world/host.h. */
#ifndef FLOTILLA_TESTS_SIM_PORTS_H
#define FLOTILLA_TESTS_SIM_PORTS_H

#include <event2/event.h>

#include "agent/shell/outbox/outbox_state.h"
#include "base/host/mqtt.h"
#include "tests/sim/sim.h"

/* timers.c; a base other than NULL is a real one */
struct event *__real_event_new(struct event_base *base, evutil_socket_t fd, short what,
                               event_callback_fn fn, void *context);
struct event *__wrap_event_new(struct event_base *base, evutil_socket_t fd, short what,
                               event_callback_fn fn, void *context);
int __real_event_add(struct event *event, const struct timeval *in);
int __wrap_event_add(struct event *event, const struct timeval *in);
int __real_event_pending(const struct event *event, short what, struct timeval *at);
int __wrap_event_pending(const struct event *event, short what, struct timeval *at);
int __real_event_del(struct event *event);
int __wrap_event_del(struct event *event);
void __real_event_active(struct event *event, int what, short times);
void __wrap_event_active(struct event *event, int what, short times);
void __real_event_free(struct event *event);
void __wrap_event_free(struct event *event);

/* mqtt.c */
int __wrap_flo_mqtt_open(struct event_base *base, const struct flo_mqtt_options *options,
                         const struct flo_mqtt_handlers *handlers, struct flo_mqtt **out,
                         struct flo_err *err);
void __wrap_flo_mqtt_close(struct flo_mqtt *closed, const char *bye);
void __wrap_flo_mqtt_spread(struct flo_mqtt *mqtt, uint64_t ms);
int __wrap_flo_mqtt_use(struct flo_mqtt *mqtt, const char *cert_file, const char *key_file,
                        bool at_once, struct flo_err *err);
bool __wrap_flo_mqtt_is_connected(const struct flo_mqtt *asked);
int __wrap_flo_mqtt_subscribe(struct flo_mqtt *subscriber, const char *filter, int qos,
                              struct flo_err *err);
int __wrap_flo_mqtt_publish(struct flo_mqtt *publisher, const char *topic, const void *data,
                            size_t bytes, int qos, bool retained, uint32_t expiry_s, uint64_t token,
                            struct flo_err *err);
uint64_t __wrap_flo_mqtt_dropped(const struct flo_mqtt *asked);

/* https.c */
int __wrap_flo_tls_time_set(uint64_t now_ms, bool is_synchronised, struct flo_err *err);
bool __wrap_flo_tls_time_peer(uint64_t *from_ms, uint64_t *until_ms);

/* disk/outbox.c */
int __real_flo_db_open(const char *path, enum flo_db_sync sync, unsigned busy_ms,
                       struct flo_db **out, struct flo_err *err);
int __wrap_flo_db_open(const char *path, enum flo_db_sync sync, unsigned busy_ms,
                       struct flo_db **out, struct flo_err *err);
void __real_flo_db_close(struct flo_db *db);
void __wrap_flo_db_close(struct flo_db *db);
int __wrap_flo_db_set_aside(const char *path, const char *word, struct flo_err *err);
int __real_flo_db_begin(struct flo_db *db, struct flo_err *err);
int __wrap_flo_db_begin(struct flo_db *db, struct flo_err *err);
int __real_flo_db_commit(struct flo_db *db, struct flo_err *err);
int __wrap_flo_db_commit(struct flo_db *db, struct flo_err *err);
int __real_flo_db_run(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                      size_t count, struct flo_err *err);
int __wrap_flo_db_run(struct flo_db *db, const char *sql, const struct flo_db_value *values,
                      size_t count, struct flo_err *err);
int __real_flo_db_exec(struct flo_db *db, const char *sql, struct flo_err *err);
int __wrap_flo_db_exec(struct flo_db *db, const char *sql, struct flo_err *err);
void __real_flo_stories_remember(struct flo_outbox_db *db,
                                 const struct flo_agent_execution *execution);
void __wrap_flo_stories_remember(struct flo_outbox_db *db,
                                 const struct flo_agent_execution *execution);
int __real_flo_stories_keep(struct flo_outbox_db *db, struct flo_err *err);
int __wrap_flo_stories_keep(struct flo_outbox_db *db, struct flo_err *err);
void __wrap_flo_traces_add(struct flo_outbox_db *db, const char *text);

/* verified.c */
int __real_flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out,
                           struct flo_err *err);
int __wrap_flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out,
                           struct flo_err *err);
void __real_flo_trust_cleanup(struct flo_trust **trust);
void __wrap_flo_trust_cleanup(struct flo_trust **trust);
int __real_flo_trust_store(const char *path, const struct flo_trust *trust, struct flo_err *err);
int __wrap_flo_trust_store(const char *path, const struct flo_trust *trust, struct flo_err *err);
int __real_flo_order_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                            struct flo_order_verified *out, struct flo_err *err);
int __wrap_flo_order_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                            struct flo_order_verified *out, struct flo_err *err);
int __real_flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                          struct flo_agent_actions *actions);
int __wrap_flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                          struct flo_agent_actions *actions);
void __real_flo_agent_intake(const struct flo_intake_facts *facts, struct flo_intake_verdict *out);
void __wrap_flo_agent_intake(const struct flo_intake_facts *facts, struct flo_intake_verdict *out);

#endif
