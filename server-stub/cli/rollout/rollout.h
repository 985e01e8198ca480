/* The commands that make a rollout: its specification from file and flags. */
#ifndef FLOTILLA_CLI_ROLLOUT_H
#define FLOTILLA_CLI_ROLLOUT_H

#include "server-stub/cli/cli.h"

/* The specification of `rollout start`: --file, and the flags over it.  Read
 * by the controller's own reader before it is sent, so a wrong field is told
 * with its line.  New reference. */
FLO_MUST_USE int flo_rollout_wish(struct flo_cli *cli, json_t **out, struct flo_err *err);
/* The same of `rollout edit`.  A --file that names its release is the whole
 * specification; else its members, and the flags, go over what was asked. */
FLO_MUST_USE int flo_rollout_edit_wish(struct flo_cli *cli, const json_t *before, json_t **out,
                                       struct flo_err *err);
/* Does a flag or --file say what an edit changes? */
bool flo_rollout_edit_is_asked(const struct flo_args *args);
/* An edit changes its members one by one: `limits`, `policy`. */
bool flo_rollout_has_members(const char *name);
/* Send it, or with --dry-run show its plan; --wait follows it to its end. */
FLO_MUST_USE int flo_rollout_send(struct flo_cli *cli, const json_t *spec, struct flo_err *err);
/* The rollout's phases and devices: those that failed or are under way first;
 * all of them with -o wide. */
void flo_rollout_print_devices(const struct flo_cli *cli, const json_t *rollout);
/* " (full would be 1.6 MiB; saved 82 %)" where something is saved, and the end
 * of the line. */
void flo_rollout_print_saved(uint64_t bytes, uint64_t full_bytes);
/* The rollout with its `plan`, of a dry run. */
void flo_rollout_print_plan(const struct flo_cli *cli, const json_t *rollout);
/* "/v1/rollouts/ID" and `rest`.  FLO_E_USAGE: no name. */
FLO_MUST_USE int flo_rollout_path(const char *id, const char *rest, char *out, size_t bytes,
                                  struct flo_err *err);
/* The devices that an answer leaves out of a large rollout, where all are asked
 * for: as data, and with -o wide. */
FLO_MUST_USE int flo_rollout_fill(struct flo_cli *cli, json_t *rollout, struct flo_err *err);
/* One rollout for people, or as data. */
void flo_rollout_print(const struct flo_cli *cli, const json_t *rollout);
/* Older rollouts that lose devices to this one. */
void flo_rollout_print_overlaps(const json_t *rollout);
/* Judge the records of a rollout's study again, and say what changed.
 * FLO_E_GATE_EVIDENCE: one gives another verdict. */
FLO_MUST_USE int flo_rollout_explain_evidence(struct flo_cli *cli, const char *id,
                                              struct flo_err *err);
/* The slices that were found, with their devices. */
FLO_MUST_USE int flo_rollout_explain_devices(struct flo_cli *cli, const char *id,
                                             struct flo_err *err);

#endif
