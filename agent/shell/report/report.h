/* Declares the functions that write reports for the controller and for
 * operators at the device. */
#ifndef FLOTILLA_AGENT_REPORT_REPORT_H
#define FLOTILLA_AGENT_REPORT_REPORT_H

#include "agent/shell/device/device.h"

/* telemetry.c */
/* Cause of the device's degradation level, as the values of the gauge
 * rung_why. */
enum flo_rung_why { FLO_RUNG_NONE, FLO_RUNG_PSI, FLO_RUNG_CGROUP, FLO_RUNG_HEAT, FLO_RUNG_BATTERY };
uint32_t flo_report_rung(const struct flo_shell *shell, enum flo_rung_why *why);
const char *flo_rung_why_word(enum flo_rung_why why);
/* Stores the speed of a request in the ring for the median of the last
 * requests. */
void flo_telemetry_recent(struct flo_shell_model *model,
                          const struct flo_serve_request_stats *stats);
/* Closes the telemetry window of a model: stores it and begins the next one. */
void flo_telemetry_close(struct flo_shell *shell, uint32_t model);
/* Closes the telemetry windows of all models.  Returns false when no model has
 * served, so that there was no window. */
bool flo_telemetry_close_all(struct flo_shell *shell);

/* Makes a JSON string from text of any origin. */
json_t *flo_report_text(const char *text);
json_t *flo_report_error(const struct flo_agent_error *error);
/* Adds to the JSON of a model which variant serves in place of a larger one. */
void flo_report_variant(const struct flo_variants *variants, json_t *model);
/* Returns the degradation level at which the model's engine, or its last one,
 * was loaded. */
uint32_t flo_report_model_rung(const struct flo_shell *shell, uint32_t index);
/* Makes the JSON of the memory plan and of the reductions by memory
 * pressure. */
json_t *flo_report_memory(const struct flo_shell *shell);
/* Makes {"id","host","address","serial"}: this start of the agent, and the machine
 * on which it runs, without unknown members. */
json_t *flo_report_life(const struct flo_shell *shell);
/* Makes the JSON of the reason why the device is degraded; NULL: it is not. */
json_t *flo_report_degraded(const struct flo_shell *shell);
json_t *flo_report_execution(const struct flo_agent_execution *execution);
json_t *flo_report_reported(const struct flo_shell *shell);
/* Compares the running release with the assigned one.  Returns whether the
 * drift has changed. */
bool flo_report_drift(struct flo_shell *shell, uint32_t model);
/* Makes the event that reports the model's drift. */
json_t *flo_report_drifted(const struct flo_shell *shell, uint32_t model);

/* Takes the newest line of the controller's audit log, from c/mark.  The line
 * with the highest number stays over restarts; lines older than `from_ms` are
 * dropped.  Text in another form is ignored, because whoever controls the
 * broker can send it.  Returns true when the number is lower than before: then
 * the controller must get the stored line at once. */
bool flo_witness_hear(struct flo_shell *shell, const char *text, uint64_t from_ms);
/* Makes the JSON of the stored audit lines for a report: none, one or two, the
 * newest first.  NULL: no memory. */
json_t *flo_witness_json(const struct flo_shell *shell);
/* Records that a report with the stored audit lines was sent. */
void flo_witness_told(struct flo_shell *shell);

/* publish.c */
/* Opens and closes the connection to the broker; `text` is its last
 * message. */
FLO_MUST_USE int flo_shell_link_begin(struct flo_shell *shell,
                                      const struct flo_mqtt_options *options,
                                      const struct flo_mqtt_handlers *handlers,
                                      struct flo_err *err);
void flo_shell_link_end(struct flo_shell *shell, const char *text);
/* Connects with another certificate (base/host/mqtt.h). */
FLO_MUST_USE int flo_shell_link_use(struct flo_shell *shell, const char *cert_file,
                                    const char *key_file, bool at_once, struct flo_err *err);
/* Sets the period over which devices spread their connections. */
void flo_shell_link_spread(struct flo_shell *shell, uint64_t ms);
bool flo_shell_link_is_up(const struct flo_shell *shell);
/* Writes the name of a topic to `out`. */
bool flo_shell_link_topic(const struct flo_shell *shell, enum flo_topic topic, const char *key,
                          char *out);
void flo_shell_link_flush(struct flo_shell *shell);
void flo_shell_link_flush_events(struct flo_shell *shell);
void flo_shell_link_reported(struct flo_shell *shell);
void flo_shell_link_subscribe(struct flo_shell *shell, enum flo_topic topic, const char *key);
void flo_shell_link_subscribe_to(struct flo_shell *shell, const char *filter);
/* Subscribes to the orders of each group of the device. */
void flo_shell_link_groups(struct flo_shell *shell);
/* Publishes that the device is online, after it has subscribed to its
 * topics. */
void flo_shell_link_present(struct flo_shell *shell);
bool flo_shell_link_ack(struct flo_shell *shell, const char *text);
/* Sends what waits, after a connection. */
void flo_shell_link_connected(struct flo_shell *shell, bool session_present);
/* Handles the broker's word on a telemetry window. */
void flo_shell_link_delivered(struct flo_shell *shell, uint64_t token, bool was_taken, int reason);
/* Counts a message that was refused, for telemetry. */
void flo_shell_link_refused(struct flo_shell *shell);
/* Sends a report if the controller's `desired` document is another one than
 * before. */
void flo_shell_link_heard(struct flo_shell *shell, uint64_t rev);

/* operators.c */
/* Passes the core's answer to the operator who asked for a rollback or a
 * removal. */
void flo_control_acked(struct flo_shell *shell, const struct flo_agent_action *action);
void flo_control_report(struct flo_shell *shell, const struct flo_agent_execution *execution);

/* status.c */
json_t *flo_control_status(struct flo_shell *shell);

#endif
