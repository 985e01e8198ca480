/* Reports: to the controller and to operators at the device. */
#ifndef FLOTILLA_AGENT_REPORT_REPORT_H
#define FLOTILLA_AGENT_REPORT_REPORT_H

#include "agent/shell/device/device.h"

/* telemetry.c */
/* How far the device stepped down, and why: the gauges rung and rung_why. */
enum flo_rung_why { FLO_RUNG_NONE, FLO_RUNG_PSI, FLO_RUNG_CGROUP, FLO_RUNG_HEAT, FLO_RUNG_BATTERY };
uint32_t flo_report_rung(const struct flo_shell *shell, enum flo_rung_why *why);
const char *flo_rung_why_word(enum flo_rung_why why);
/* Keep its speed for the median of the last requests. */
void flo_telemetry_recent(struct flo_shell_model *model,
                          const struct flo_serve_request_stats *stats);
/* Close the window of a model: store it, begin the next. */
void flo_telemetry_close(struct flo_shell *shell, uint32_t model);
/* Those of all models.  false: none has served. */
bool flo_telemetry_close_all(struct flo_shell *shell);

/* documents.c: JSON of contracts/messages.md section 3 */
json_t *flo_report_text(const char *text);
json_t *flo_report_error(const struct flo_agent_error *error);
/* The variant that serves in the place of a larger one, if one does. */
void flo_report_variant(const struct flo_variants *variants, json_t *model);
/* The rung that its engine has, or had last. */
uint32_t flo_report_model_rung(const struct flo_shell *shell, uint32_t index);
/* The memory plan, and what strain took of it. */
json_t *flo_report_memory(const struct flo_shell *shell);
/* NULL: it is not. */
json_t *flo_report_degraded(const struct flo_shell *shell);
json_t *flo_report_execution(const struct flo_agent_execution *execution);
json_t *flo_report_reported(const struct flo_shell *shell);
/* Compare the running release with the assigned one; true: the drift
 * changed. */
bool flo_report_drift(struct flo_shell *shell, uint32_t model);
/* The event that tells so. */
json_t *flo_report_drifted(const struct flo_shell *shell, uint32_t model);

/* witness.c: signed lines of the controller's audit */

/* The controller (c/mark) says its newest one.  That with the highest number is
 * kept over restarts; lines from before `from_ms` are forgotten.  Anything else
 * is passed over: who holds the broker may say it.  true: the controller says a
 * lower number than it did before, so it should hear at once what we know. */
bool flo_witness_hear(struct flo_shell *shell, const char *text, uint64_t from_ms);
/* Lines for a report, the newest first: none to two.  NULL: no memory. */
json_t *flo_witness_json(const struct flo_shell *shell);
/* A report with these lines went out. */
void flo_witness_told(struct flo_shell *shell);

/* publish.c: false or nothing where no connection stands. */
bool flo_shell_link_topic(const struct flo_shell *shell, enum flo_topic topic, const char *key,
                          char *out);
void flo_shell_link_flush(struct flo_shell *shell);
void flo_shell_link_flush_events(struct flo_shell *shell);
void flo_shell_link_flush_telemetry(struct flo_shell *shell);
void flo_shell_link_reported(struct flo_shell *shell);
void flo_shell_link_subscribe(struct flo_shell *shell, enum flo_topic topic, const char *key);
/* Hear the orders of each group that the device is in. */
void flo_shell_link_groups(struct flo_shell *shell);
/* The device is there, and has subscribed to what it wants to hear. */
void flo_shell_link_present(struct flo_shell *shell);
bool flo_shell_link_ack(struct flo_shell *shell, const char *text);

/* operators.c */
/* Pass on the core's answer about an operator's rollback or an execution. */
void flo_control_acked(struct flo_shell *shell, const struct flo_agent_action *action);
void flo_control_report(struct flo_shell *shell, const struct flo_agent_execution *execution);

/* status.c */
json_t *flo_control_status(struct flo_shell *shell);

#endif
