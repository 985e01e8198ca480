/* Orders: the one that holds, its event for the core, its answer. */
#ifndef FLOTILLA_AGENT_ORDERS_ORDERS_H
#define FLOTILLA_AGENT_ORDERS_ORDERS_H

#include "agent/shell/update/update.h"

/* order_answers.c */
/* Store and send the order's outcome; `error` is taken, NULL: none. */
void flo_shell_answer(struct flo_shell *shell, const char *order, const char *outcome,
                      json_t *error);
/* Something newer holds; its id is told where it is known.  It is not stored:
 * repeated old orders must not push out the answers of others. */
void flo_shell_answer_superseded(struct flo_shell *shell, const char *order, const char *by,
                                 uint64_t number);
/* Send the stored outcome again; false: there is none. */
bool flo_shell_answer_again(struct flo_shell *shell, const char *order);
bool flo_shell_is_answered(struct flo_shell *shell, const char *order);
/* Put the fate of an order into the trace, when it comes for the first time. */
void flo_shell_order_trace(struct flo_shell *shell, const char *order, const char *word,
                           const char *why);
/* The order came just now: how long it takes counts from here. */
void flo_shell_order_received(struct flo_shell *shell, const char *order);

/* afar.c */
/* Send the report that the order asks for, and answer the order when the
 * controller has it. */
void flo_shell_report_afar(struct flo_shell *shell, const struct flo_order *order);

/* orders.c */
/* The rollouts that start nothing. */
void flo_shell_pauses(const struct flo_shell *shell, struct flo_agent_pauses *out);
/* Verify an order and compare it with the stored ones. true: the core is to
 * hear of it, before the next call. */
bool flo_orders_take(struct flo_shell *shell, const json_t *envelope, bool is_list,
                     struct flo_intake *out);
/* Is it well signed, for this device and in time?  `id` becomes the order's.
 * FLO_E_SIG_..., FLO_E_CMD_..., FLO_E_TRUST_NUMBER. */
FLO_MUST_USE int flo_orders_check(const struct flo_shell *shell, const json_t *envelope,
                                  char id[FLO_NAME_MAX + 1], struct flo_err *err);
/* A rollback that came late is over: must the assigned release come next?  The
 * same. */
bool flo_orders_converge(struct flo_shell *shell, struct flo_intake *out);
/* From a bundle; `wanted` has release and bundle. */
FLO_MUST_USE int flo_orders_install(struct flo_shell *shell,
                                    const struct flo_agent_execution *wanted,
                                    struct flo_intake *out, struct flo_err *err);
/* Ask the controller for the damaged release; the core wants it. */
void flo_orders_repair(struct flo_shell *shell, uint32_t model,
                       const struct flo_release_ref *release);

#endif
