/* Orders: turns a signed order into an event for the core, and answers it. */
#ifndef FLOTILLA_AGENT_ORDERS_ORDERS_H
#define FLOTILLA_AGENT_ORDERS_ORDERS_H

#include "agent/shell/update/update.h"

/* order_answers.c */
/* Stores and sends the outcome of an order.  `error` is taken; NULL: none. */
void flo_shell_answer(struct flo_shell *shell, const char *order, const char *outcome,
                      json_t *error);
/* Answers that a newer order holds, with its id if known.  The answer is not
 * stored: repeated old orders must not displace the answers to others. */
void flo_shell_answer_superseded(struct flo_shell *shell, const char *order, const char *by,
                                 uint64_t number);
/* Sends the stored outcome again; false: none is stored. */
bool flo_shell_answer_again(struct flo_shell *shell, const char *order);
bool flo_shell_is_answered(struct flo_shell *shell, const char *order);
/* Writes the decision about an order to the trace, at its first arrival. */
void flo_shell_order_trace(struct flo_shell *shell, const char *order, const char *word,
                           const char *why);
/* Notes the time when an order arrived.  Its duration is measured from then
 * on. */
void flo_shell_order_received(struct flo_shell *shell, const char *order);

/* afar.c */
/* Sends the report that an order asks for.  The order is answered when the
 * controller has the report. */
void flo_shell_report_afar(struct flo_shell *shell, const struct flo_order *order);

/* orders.c */
/* Lists the paused rollouts, which start nothing. */
void flo_shell_pauses(const struct flo_shell *shell, struct flo_agent_pauses *out);
/* Verifies an order and compares it with the stored ones. true: `out` is an
 * event that the core must get before the next call. */
bool flo_orders_take(struct flo_shell *shell, const json_t *envelope, bool is_list,
                     struct flo_intake *out);
/* Checks that an order is well signed, for this device and not expired.  `id`
 * gets the order's id.  FLO_E_SIG_..., FLO_E_CMD_..., FLO_E_TRUST_NUMBER. */
FLO_MUST_USE int flo_orders_check(const struct flo_shell *shell, const json_t *envelope,
                                  char id[FLO_NAME_MAX + 1], struct flo_err *err);
/* Tests, after a late rollback has ended, whether the assigned release must be
 * installed again. true: `out` is its event, as above. */
bool flo_orders_converge(struct flo_shell *shell, struct flo_intake *out);
/* Makes the event of an installation from a bundle; `wanted` has release and
 * bundle. */
FLO_MUST_USE int flo_orders_install(struct flo_shell *shell,
                                    const struct flo_agent_execution *wanted,
                                    struct flo_intake *out, struct flo_err *err);
/* Asks the controller for a damaged release again, as the core demands. */
void flo_orders_repair(struct flo_shell *shell, uint32_t model,
                       const struct flo_release_ref *release);

#endif
