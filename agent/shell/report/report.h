/* Reports: writes reports for the controller and for operators at the
 * device. */
#ifndef FLOTILLA_AGENT_REPORT_REPORT_H
#define FLOTILLA_AGENT_REPORT_REPORT_H

#include "agent/shell/device/device.h"

/* telemetry.c */
/* Cause of the device's degradation level, with the values of the gauge
 * rung_why. */
enum flo_rung_why { FLO_RUNG_NONE, FLO_RUNG_PSI, FLO_RUNG_CGROUP, FLO_RUNG_HEAT, FLO_RUNG_BATTERY };
uint32_t flo_report_rung(const struct flo_shell *shell, enum flo_rung_why *why);
const char *flo_rung_why_word(enum flo_rung_why why);
/* Stores the speed of a request, for the median of the last requests. */
void flo_telemetry_recent(struct flo_shell_model *model,
                          const struct flo_serve_request_stats *stats);
/* Closes the telemetry window of a model: stores it and begins the next. */
void flo_telemetry_close(struct flo_shell *shell, uint32_t model);
/* Closes the windows of all models. false: none has served. */
bool flo_telemetry_close_all(struct flo_shell *shell);

/* The functions of documents.c make the JSON of contracts/messages.md section
 * 3. */
json_t *flo_report_text(const char *text);
json_t *flo_report_error(const struct flo_agent_error *error);
/* Adds the variant that serves in place of a larger one, if any. */
void flo_report_variant(const struct flo_variants *variants, json_t *model);
/* Returns the degradation level of the model's engine, or of its last engine.
 */
uint32_t flo_report_model_rung(const struct flo_shell *shell, uint32_t index);
/* Returns the memory plan, together with the reductions by memory pressure. */
json_t *flo_report_memory(const struct flo_shell *shell);
/* Returns why the device is degraded; NULL: it is not. */
json_t *flo_report_degraded(const struct flo_shell *shell);
json_t *flo_report_execution(const struct flo_agent_execution *execution);
json_t *flo_report_reported(const struct flo_shell *shell);
/* Compares the running release with the assigned one; true: the drift changed.
 */
bool flo_report_drift(struct flo_shell *shell, uint32_t model);
/* Makes the event that reports the drift. */
json_t *flo_report_drifted(const struct flo_shell *shell, uint32_t model);

/* The functions of witness.c keep signed lines of the controller's audit
 * log. */

/* Takes the newest audit line of the controller from c/mark.  The line with the
 * highest number is kept across restarts; lines older than `from_ms` are
 * forgotten.  Text in another form is ignored, because whoever controls the
 * broker can send it. true: the number is lower than before, so the controller
 * must get our line at once. */
bool flo_witness_hear(struct flo_shell *shell, const char *text, uint64_t from_ms);
/* Makes the lines for a report, the newest first: none to two.  NULL: no
 * memory. */
json_t *flo_witness_json(const struct flo_shell *shell);
/* Notes that a report with these lines was sent. */
void flo_witness_told(struct flo_shell *shell);

/* The functions of publish.c send messages to the controller.  Without a
 * connection they return false or do nothing. */
bool flo_shell_link_topic(const struct flo_shell *shell, enum flo_topic topic, const char *key,
                          char *out);
void flo_shell_link_flush(struct flo_shell *shell);
void flo_shell_link_flush_events(struct flo_shell *shell);
void flo_shell_link_flush_telemetry(struct flo_shell *shell);
void flo_shell_link_reported(struct flo_shell *shell);
void flo_shell_link_subscribe(struct flo_shell *shell, enum flo_topic topic, const char *key);
/* Subscribes to the orders of each group that the device is in. */
void flo_shell_link_groups(struct flo_shell *shell);
/* Publishes that the device is online.  To be called after the device has
 * subscribed to its topics. */
void flo_shell_link_present(struct flo_shell *shell);
bool flo_shell_link_ack(struct flo_shell *shell, const char *text);

/* operators.c */
/* Passes on the core's answer to an operator's rollback, or about an execution.
 */
void flo_control_acked(struct flo_shell *shell, const struct flo_agent_action *action);
void flo_control_report(struct flo_shell *shell, const struct flo_agent_execution *execution);

/* status.c */
json_t *flo_control_status(struct flo_shell *shell);

#endif
