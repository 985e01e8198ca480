/* Rollouts: the rollouts in memory.  The functions of this header find, start,
 * step and write them. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_ROLLOUTS_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_ROLLOUTS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/member/member.h"
#include "server-stub/core/rollout/rollout.h"
#include "server-stub/core/spec/spec.h"
#include "server-stub/state/rollouts/words.h"
#include "server-stub/state/text_list.h"
#include "server-stub/store/fleet.h"

struct flo_controller;

#define FLO_ACCOUNT_TEXT 72

/* Largest number of rollouts in memory: all active ones, and some that ended,
 * for reading and for devices that come back late.  At most
 * FLO_ROLLOUTS_STARTED_MAX are active when a new one starts.  At most
 * FLO_ROLLOUTS_ACTIVE_MAX are active in all, with those rolled back after their
 * end. */
#define FLO_ROLLOUTS_MAX 64
#define FLO_ROLLOUTS_STARTED_MAX 48
#define FLO_ROLLOUTS_ACTIVE_MAX 56

/* Actor: the name of the caller that people see, and the account behind it.  A
 * person has one account for all tokens; a token without a person is an account
 * of its own. */
struct flo_actor {
    const char *name;
    const char *account; /* "user:mira", "token:t-0001" */
};

struct flo_observe_analysis;
struct flo_rollout_own;
/* A rollout in memory, with the core's struct and the facts that orders
 * need. */
struct flo_rollout_entry {
    struct flo_rollout core;
    char group[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint64_t release_bytes;
    struct flo_spec spec; /* specification of the rollout, parsed */
    /* order number up to which devices remove the release from their blocked
     * ones when they get the rollout's order */
    uint64_t lift;
    struct flo_rollout_own *own; /* facts that only this folder uses */
};

/* Adds the members' labels to the query of an analysis.  It adds none while the
 * labels are not read. */
FLO_MUST_USE int flo_rollouts_slices_ask(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry,
                                         struct flo_observe_analysis *analysis,
                                         struct flo_err *err);
/* Sets the names of the slices and probes that an analysis found.  *out is a
 * new array of bytes, two for each member, or NULL if nothing was found.  The
 * first half has a bit for each slice that contains the member.  The second
 * half has a bit for each probe. */
FLO_MUST_USE int flo_rollouts_slices_name(const struct flo_rollout_entry *entry,
                                          const struct flo_observe_analysis *analysis,
                                          struct flo_analysis_evidence *evidence, uint8_t **out,
                                          struct flo_err *err);
/* Reads the labels of all members now, for a plan.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_rollouts_labels_read(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, struct flo_err *err);
/* Writes `scans`: each label with its values, and the values that are left out.
 * Each scanned gate in `gates` gets this as a note.  Nothing is written while
 * labels are not read. */
void flo_rollouts_show_scans(const struct flo_rollout_entry *entry, json_t *json);

/* Creates the JSON of the found slices, with their devices; new reference. */
FLO_MUST_USE int flo_rollouts_found_show(const struct flo_controller *controller,
                                         const struct flo_rollout_entry *entry, json_t **out,
                                         struct flo_err *err);
/* Outcomes of found slices; a person must look at FLO_FOUND_HELD and
 * FLO_FOUND_ASKED. */
enum flo_found {
    FLO_FOUND_HELD,  /* the slice is held: its devices keep their release */
    FLO_FOUND_ASKED, /* the slice is held, and a person is asked */
    FLO_FOUND_BACK,  /* all devices of the slice were rolled back */
    FLO_FOUND_TOLD,
    FLO_FOUND_CHANGED, /* the site itself changed; the release is not to blame */
    FLO_FOUND_PROBED,
    FLO_FOUND_COUNT
};
void flo_rollouts_found_count(const struct flo_rollout_entry *entry,
                              size_t counts[FLO_FOUND_COUNT]);
/* Returns all found slices, without their devices; new reference. */
json_t *flo_rollouts_found_view(const struct flo_rollout_entry *entry);
/* Appends a sentence about the first slice that is held or went back.  Appends
 * nothing if there is no such slice. */
void flo_rollouts_found_text(const struct flo_rollout_entry *entry, struct flo_buf *out);

/* Copies how many bytes a device downloaded to its member, from the `detail`
 * that its execution reports.  `detail` is NULL if the device reported none. */
void flo_rollouts_carried(struct flo_rollout *rollout, const char *device, const json_t *detail);

struct flo_rollouts;
struct flo_update_counts;
extern const struct flo_transaction_part flo_rollouts_part;
/* Creates an empty list of rollouts; NULL: no memory. */
struct flo_rollouts *flo_rollouts_new(void);
void flo_rollouts_free(struct flo_rollouts *rollouts);
size_t flo_rollouts_count(const struct flo_rollouts *rollouts);
/* Returns a rollout in memory, the oldest first; `place` is below the count. */
struct flo_rollout_entry *flo_rollouts_at(const struct flo_rollouts *rollouts, size_t place);
/* Returns the counts of updates that ended since the start. */
const struct flo_update_counts *flo_rollouts_updates(const struct flo_rollouts *rollouts);
/* Sets the error and the detail (JSON, or NULL) of a device's report.  They are
 * stored with the device's row in a rollout when the next event changes that
 * row. */
void flo_rollouts_say(struct flo_rollouts *rollouts, const char *device, const char *error,
                      const char *detail);
/* Clears the facts that flo_rollouts_say set.  Returns true if no row of a
 * device was stored with them. */
bool flo_rollouts_unsay(struct flo_rollouts *rollouts);
/* Returns whether evidence should be requested now: no request is pending, and
 * the last pause is over. If so, a pause of `pause_ms` begins. */
bool flo_rollouts_begin_evidence(struct flo_rollouts *rollouts, uint64_t now_ms, uint64_t pause_ms);
/* Adds `change` to the number of pending queries for evidence: 1 for a sent
 * one, -1 for an answered one. */
void flo_rollouts_count_evidence(struct flo_rollouts *rollouts, int change);

/* Reads the stored rollouts that may still change, and some that ended. */
FLO_MUST_USE int flo_rollouts_load(struct flo_controller *controller, struct flo_err *err);
void flo_rollouts_forget(struct flo_controller *controller);
/* Finds a rollout by id.  FLO_E_ROLLOUT_ABSENT. */
FLO_MUST_USE int flo_rollouts_find(struct flo_controller *controller, const char *id,
                                   struct flo_rollout_entry **out, struct flo_err *err);
/* Checks that rollouts may continue.  FLO_E_FROZEN: the fleet is frozen, and
 * devices would accept nothing. */
FLO_MUST_USE int flo_rollouts_may_go_on(struct flo_controller *controller, struct flo_err *err);
/* Creates a rollout from the body of a POST request.  A dry call only makes its
 * plan and stores nothing; else the rollout starts. */
FLO_MUST_USE int flo_rollouts_create(struct flo_controller *controller, json_t *spec,
                                     const struct flo_actor *by, bool dry,
                                     struct flo_rollout_entry **out, struct flo_err *err);
/* Reads a change of a rollout's specification: new values of members, or null
 * to remove one.  *out is a new entry with the changed rollout, for
 * flo_rollouts_edit.  `names` holds FLO_SPEC_NAMES_MAX and receives the changed
 * members; it is empty if nothing changes.  Errors are those of flo_spec_merge
 * and flo_spec_read. */
FLO_MUST_USE int flo_rollouts_read_edit(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry, const json_t *change,
                                        struct flo_rollout_entry **out, char *names,
                                        struct flo_err *err);
/* Applies a change from flo_rollouts_read_edit; the caller frees `wanted`.
 *
 * FLO_E_REST_MEANING      phases that began would change their devices
 * FLO_E_ROLLOUT_APPROVAL  others approved the old specification
 * FLO_E_GATE_UNDECIDABLE  as at the start of a rollout */
FLO_MUST_USE int flo_rollouts_edit(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry,
                                   struct flo_rollout_entry *wanted, const char *by,
                                   const char *names, struct flo_err *err);
/* Records another person's approval.  The last approval that is needed starts
 * the rollout, or schedules it.  FLO_E_ROLLOUT_APPROVER. */
FLO_MUST_USE int flo_rollouts_approve(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, const struct flo_actor *by,
                                      const char *note, struct flo_err *err);
/* Checks for an active change freeze.  FLO_E_CHANGE_FREEZE: one is active, and
 * *until_ms is its end. */
FLO_MUST_USE int flo_rollouts_check_bars(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry, uint64_t *until_ms,
                                         struct flo_err *err);
/* Checks whether the rollout may start.  The release must be published, and
 * there must be room for the rollout.  No other rollout of its model and group
 * may run, except one that it supersedes.  FLO_E_ROLLOUT_RUNNING: one runs. */
FLO_MUST_USE int flo_rollouts_may_start(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry, struct flo_err *err);
/* Returns the newest completed rollout of the same model and group that is
 * newer than `entry`, and so solved its problems.  Returns NULL if there is
 * none. */
const struct flo_rollout_entry *flo_rollouts_follower(const struct flo_controller *controller,
                                                      const struct flo_rollout_entry *entry);
/* Tells whether nobody has to look at the rollout's bad end any more: a newer
 * one completed, or it was halted, its release is yanked and no device has it. */
bool flo_rollouts_is_over(const struct flo_controller *controller,
                          const struct flo_rollout_entry *entry);
/* Returns whether the rollout begins at once: it needs no approvals, and has no
 * start time. */
bool flo_rollouts_begins_now(const struct flo_rollout_entry *entry);
/* Begins those rollouts whose time has come, and checks change freezes.  Called
 * before each tick. */
FLO_MUST_USE int flo_rollouts_calendar(struct flo_controller *controller, struct flo_err *err);
void flo_rollouts_entry_free(struct flo_rollout_entry *entry);
/* Lists other releases of the rollout's model, which waiting devices may run.
 * *count receives their number; at most the newest FLO_EVIDENCE_RELEASES_MAX
 * are listed. */
FLO_MUST_USE int flo_rollouts_others(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry, struct flo_digest *out,
                                     size_t *count, struct flo_err *err);
/* Makes all rollouts of the model list its releases again, because a release
 * was added. */
void flo_rollouts_release_added(struct flo_controller *controller, const char *model);
/* Applies an event to a rollout's core, and carries out the resulting
 * actions. */
FLO_MUST_USE int flo_rollouts_step(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, struct flo_rollout_event event,
                                   struct flo_err *err);
/* Returns a rollout's decisions with their reasons:
 * {"id","state","reason","created_at_ms","cut_bytes", "trace":[line,…]}; new
 * reference. */
json_t *flo_rollouts_explained(const struct flo_controller *controller,
                               const struct flo_rollout_entry *entry);
/* Checks that each gate can decide with the present members.
 * FLO_E_GATE_UNDECIDABLE: some gate never can, and the rollout has no
 * hold_for_person. */
FLO_MUST_USE int flo_rollouts_check_gates(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, struct flo_err *err);
/* Returns a text of the core with device ids replaced by names; new
 * reference. */
json_t *flo_rollouts_named(const struct flo_controller *controller,
                           const struct flo_rollout *rollout, const char *text, size_t chars);
/* Writes `remaining`, the devices that still have the release of a rollout in
 * state partly-back, and `remedy`, the step that helps. */
void flo_rollouts_show_remaining(const struct flo_controller *controller,
                                 const struct flo_rollout_entry *entry, json_t *json);
/* Lists at most `limit` of the rollout's devices for people: those that failed,
 * those under way, then all others, each group by name in natural order (2
 * before 10).  New reference. */
FLO_MUST_USE int flo_rollouts_show_first(struct flo_controller *controller,
                                         const struct flo_rollout_entry *entry, size_t limit,
                                         json_t **out, struct flo_err *err);
/* Lists the rollouts in memory whose release a rule of its groups keeps from
 * the device: [{"rollout","release","why"}].  New reference. */
json_t *flo_rollouts_kept_from(const struct flo_controller *controller, const char *device);
/* Filters for a page of a rollout's devices, in the order of their ids. */
enum flo_members {
    FLO_MEMBERS_ALL,
    FLO_MEMBERS_FAILED,  /* devices that failed, are silent, or are overdue */
    FLO_MEMBERS_NOT_DONE /* devices that failed, or that are not finished */
};
struct flo_members_page {
    const char *after; /* id of the last device on the previous page; "": this is the first page */
    size_t limit;
    enum flo_members which;
    /* selector of the devices, by which retired ones are left out; NULL: all
     * devices */
    const struct flo_selector *where;
};
FLO_MUST_USE int flo_rollouts_show_page(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry,
                                        const struct flo_members_page *page, json_t **out,
                                        bool *has_more, struct flo_err *err);
/* Writes `reason` into at most 200 of the views in `members`: why an update
 * under way makes no progress, as the device itself reports. */
FLO_MUST_USE int flo_rollouts_show_why(struct flo_controller *controller, const char *rollout,
                                       json_t *members, struct flo_err *err);
/* Applies an event to each rollout in memory that it can concern. */
FLO_MUST_USE int flo_rollouts_step_all(struct flo_controller *controller,
                                       struct flo_rollout_event event, struct flo_err *err);
/* Applies an event to the running rollouts only. */
FLO_MUST_USE int flo_rollouts_step_running(struct flo_controller *controller,
                                           struct flo_rollout_event event, struct flo_err *err);
/* Returns why a device of the group is no member of the rollout.  The function
 * reads facts of the device, the rollout, and those of groups with a higher
 * priority. */
enum flo_excuse flo_rollouts_excuse(struct flo_controller *controller,
                                    const struct flo_rollout_entry *entry,
                                    const struct flo_select_device *device);
/* Evaluates a device again in all rollouts, because its maintenance, pins or
 * groups changed, or the device is new. A rollout that has not begun on the
 * device may drop it, and the device joins the rollouts that apply to it. */
FLO_MUST_USE int flo_rollouts_reconsider(struct flo_controller *controller, const char *device,
                                         struct flo_err *err);
/* Updates a device in all rollouts because its labels or its profile changed.  Limits
 * and windows use its present site and zone, even in a rollout with fixed members.
 * It is also compared within its new slice, and stops if that slice is held. */
FLO_MUST_USE int flo_rollouts_relabelled(struct flo_controller *controller, const char *device,
                                         struct flo_err *err);
/* Adds a device to the rollouts of its groups. */
FLO_MUST_USE int flo_rollouts_join(struct flo_controller *controller, const char *device,
                                   struct flo_err *err);
/* Notes that a successfully updated member now reports another release, or this
 * release again. */
void flo_rollouts_holders_reported(struct flo_controller *controller, const char *device);
/* Makes some further rows for members of large rollouts, in a transaction of
 * its own.  Returns true if more rows are missing. */
bool flo_rollouts_drafted_turn(struct flo_controller *controller);
/* Returns how many members have a row. */
size_t flo_rollouts_made(const struct flo_rollout_entry *entry);
/* Writes the rows of rollouts that device events changed.  Called once in a
 * transaction, before its commit. */
FLO_MUST_USE int flo_rollouts_write(struct flo_controller *controller, struct flo_err *err);
bool flo_rollouts_any_active(const struct flo_controller *controller);

#endif
