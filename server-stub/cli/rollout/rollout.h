/* Rollout: declarations for the commands on rollouts, which build a
 * specification from file and flags. */
#ifndef FLOTILLA_CLI_ROLLOUT_H
#define FLOTILLA_CLI_ROLLOUT_H

#include "server-stub/cli/cli.h"

/* Builds the specification of `rollout start` from --file and the flags, which
 * override the file.  The controller's own reader checks it before it is sent,
 * so that a wrong field is reported with its line.  New reference. */
FLO_MUST_USE int flo_rollout_spec(struct flo_cli *cli, json_t **out, struct flo_err *err);
/* Builds the specification of `rollout edit`.  A --file that names a release is
 * the whole specification.  Otherwise its members, and the flags, override the
 * earlier specification. */
FLO_MUST_USE int flo_rollout_edit_spec(struct flo_cli *cli, const json_t *before, json_t **out,
                                       struct flo_err *err);
/* Tells whether the flags, or --file, contain any change. */
bool flo_rollout_edit_is_asked(const struct flo_args *args);
/* Tells whether an edit changes the members of this field one by one, as for
 * `limits` and `policy`. */
bool flo_rollout_has_members(const char *name);
/* Sends the specification to the controller, or with --dry-run shows its plan.
 * With --wait the rollout is followed to its end. */
FLO_MUST_USE int flo_rollout_send(struct flo_cli *cli, const json_t *spec, struct flo_err *err);
/* Prints the rollout's phases, and its devices, the failed and active ones
 * first.  With -o wide all devices are printed. */
void flo_rollout_print_devices(const struct flo_cli *cli, const json_t *rollout);
/* Prints how much was saved, such as " (full would be 1.6 MiB; saved 82 %)",
 * and then the end of the line.  If nothing was saved, only the line ends. */
void flo_rollout_print_saved(uint64_t bytes, uint64_t full_bytes);
/* Prints a rollout and its `plan`, from the answer to a dry run. */
void flo_rollout_print_plan(const struct flo_cli *cli, const json_t *rollout);
/* Builds the path "/v1/rollouts/ID" with `rest` at its end.  FLO_E_USAGE: the
 * id is not a name. */
FLO_MUST_USE int flo_rollout_path(const char *id, const char *rest, char *out, size_t bytes,
                                  struct flo_err *err);
/* Gets the devices that the answer about a large rollout leaves out, if all of
 * them are shown: as data, or with -o wide. */
FLO_MUST_USE int flo_rollout_fill(struct flo_cli *cli, json_t *rollout, struct flo_err *err);
/* Prints one rollout for people, or as data for a program. */
void flo_rollout_print(const struct flo_cli *cli, const json_t *rollout);
/* Prints the older rollouts that lose devices to this rollout. */
void flo_rollout_print_overlaps(const json_t *rollout);
/* Judges the records of a rollout's analysis again, and prints what changed.
 * FLO_E_GATE_EVIDENCE: a verdict differs from the stored one. */
FLO_MUST_USE int flo_rollout_explain_evidence(struct flo_cli *cli, const char *id,
                                              struct flo_err *err);
/* Prints the slices that a rollout's analysis found, with their devices. */
FLO_MUST_USE int flo_rollout_explain_devices(struct flo_cli *cli, const char *id,
                                             struct flo_err *err);

#endif
