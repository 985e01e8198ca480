/* Work: rollouts in memory, and the functions that change one.  They are not for
 * others. */
#ifndef FLOTILLA_SERVER_STATE_ROLLOUTS_WORK_H
#define FLOTILLA_SERVER_STATE_ROLLOUTS_WORK_H

#include "server-stub/core/member/member.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/state/rollouts/updates.h"

struct flo_rule_freeze;
struct flo_zone;

struct flo_rollout_labels;
/* Facts of a rollout that only this folder uses. */
struct flo_rollout_own {
    /* number of the order that last removed the model before the rollout began;
     * 0: none */
    uint64_t removal;
    /* newest other releases of the model, owned by the rollout; NULL: not
     * listed yet */
    struct flo_digest *others;
    size_t other_count;
    char by[65];                    /* who started it */
    char account[FLO_ACCOUNT_TEXT]; /* account of the person who made the rollout */
    json_t *approvals;              /* [{"by","account","at_ms"}] */
    uint64_t ruled;        /* flo_rules_turn at the last question for all members; 0: none */
    uint32_t people_asked; /* approvals for which a member waits; 0: none does */
    uint64_t rules_seen;   /* revision of the rules at the last check */
    uint64_t bars_at_ms;   /* time of the next check of change freezes */
    /* The stored row does not have the changes that device events of this
     * transaction made. */
    bool is_unwritten;
    bool is_drafted; /* some members have no row yet (drafted.c) */
    size_t made;     /* all members before this index have a row; later ones may have one, too */
    json_t *spec;    /* as requested */
    /* Numbers of devices in the rollout's group that were no members at the
     * start, by reason. */
    uint32_t excused[FLO_EXCUSE_COUNT];
    struct flo_text_list above; /* groups with a higher priority than the rollout's own (above.c) */
    struct flo_text_list above_by; /* the rollout of each of these groups that has the say */
    /* overlaps of the rollout with others at its start; NULL: the rollout was
     * read from the store */
    json_t *overlaps;
    /* Evidence of the newest verdicts, in the order of the gates.  A gate
     * without evidence has null; the whole is NULL if there is none. */
    json_t *evidence;
    /* Values of labels and time zones that members have.  Their numbers stand
     * in the members' fields `place`. */
    struct flo_word_set strata, values, zone_names;
    /* Time zones by number; an item is NULL if this machine does not know the
     * zone. */
    struct flo_zone *zones[FLO_ZONES_MAX];
    bool has_let_go;      /* members that were retired during a leap are gone */
    uint64_t zones_at_ms; /* time of the next check of the zones' offsets */
    /* Labels of the rollout's slices; NULL: the labels are not read yet. */
    struct flo_rollout_labels *labels;
    json_t *slices;       /* slices that the analysis found (found.c); NULL: none */
    struct flo_buf trace; /* lines of the trace, the newest last (explain.c) */
    uint64_t trace_cut;   /* number of bytes that were dropped from the trace */
    uint64_t used;        /* value of the list's counter `uses` at the last
                             look-up of this rollout */
};
void flo_rollouts_labels_free(struct flo_rollout_labels *labels);

/* Facts for people from a device's report.  They are stored with the device's
 * row in a rollout at the next event. */
struct flo_said {
    const char *device; /* id of the device; NULL: there are no such facts, or they were written */
    const char *error;
    const char *detail;
};

struct flo_rollouts {
    struct flo_rollout_entry *items[FLO_ROLLOUTS_MAX]; /* the oldest first */
    size_t count;
    uint64_t uses;
    bool has_changed; /* the present transaction changed rollouts */
    bool is_stale;    /* the rollouts must be read again, because a transaction was rolled back */
    struct flo_said said;    /* facts that the device reported with the event that is handled now */
    uint64_t evidence_at_ms; /* time of the next request to the telemetry thread */
    size_t evidence_asked;   /* number of requests to the telemetry thread without an answer */
    uint64_t turn_at_ms;     /* time at which the next rows of members are made */
    struct flo_update_counts updates;
};

/* Writes many members without a row as one text; these members then count as
 * stored (drafted.c). */
FLO_MUST_USE int flo_rollouts_draft(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry, struct flo_err *err);
/* Reads the members of the draft text that have no row, and calls `load` for
 * each.  Called after the members with a row were read. */
typedef int (*flo_rollouts_load_fn)(void *context, const struct flo_rollout_member *member);
FLO_MUST_USE int flo_rollouts_drafted_read(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry,
                                           flo_rollouts_load_fn load, void *context,
                                           struct flo_err *err);
/* Writes the row of one member, or the rows of all that changed (rows.c). */
FLO_MUST_USE int flo_rollouts_store_member(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, size_t index,
                                           struct flo_err *err);
FLO_MUST_USE int flo_rollouts_store_members(struct flo_controller *controller,
                                            struct flo_rollout_entry *entry, struct flo_err *err);
/* Deletes the row of a device that is no longer a member. */
FLO_MUST_USE int flo_rollouts_forget_member(struct flo_controller *controller,
                                            struct flo_rollout_entry *entry, const char *device,
                                            struct flo_err *err);
/* Writes at most `count` of the missing rows. */
FLO_MUST_USE int flo_rollouts_make_rows(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry, size_t count,
                                        struct flo_err *err);
/* Reserves room for as many members as the fleet has devices, if all are
 * selected.  Growing step by step would copy the members again and again. */
FLO_MUST_USE int flo_rollouts_reserve(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, struct flo_err *err);
/* Makes room for one more member in the rollout's array.  FLO_E_REST_LIMIT: it
 * has the largest size. */
FLO_MUST_USE int flo_rollouts_grow(struct flo_rollout_entry *entry, struct flo_err *err);
/* Counts the approvals that the rollout needs, by its own specification and by
 * the rules of groups. */
FLO_MUST_USE int flo_rollouts_people_needed(struct flo_controller *controller,
                                            struct flo_rollout_entry *entry, uint32_t *out,
                                            struct flo_err *err);
/* Answers whether the rollout may tell the device now (obey.c).  In a state in
 * which the rollout tells nobody, the answer is always FLO_RULE_FREE. */
void flo_rollouts_ask(const struct flo_controller *controller,
                      const struct flo_rollout_entry *entry, const char *device,
                      struct flo_rule_answer *out);
/* Tells whether a queued member waits for more than its turn.  `out` holds
 * FLO_RULE_TEXT and receives what for: a rule, or its window, zone, next try or return.
 * *until_at_ms receives the end of the wait, by the wall clock; 0: nobody knows. */
bool flo_rollouts_held_why(const struct flo_controller *controller,
                           const struct flo_rollout_entry *entry,
                           const struct flo_rollout_member *member, char *out,
                           uint64_t *until_at_ms);
/* Holds members that may not be told, and frees the others.  Does nothing while
 * the rules and the approvals are as at the last call. */
FLO_MUST_USE int flo_rollouts_obey(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, struct flo_err *err);
bool flo_rollouts_obeys(const struct flo_controller *controller,
                        const struct flo_rollout_entry *entry);
/* Asks for all members.  *out is an array with an enum flo_rule_hold for each,
 * which the caller frees; NULL: all answers are as before. */
FLO_MUST_USE int flo_rollouts_ask_all(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, uint8_t **out,
                                      struct flo_err *err);
/* Notes how many approvals the answer asks for. */
void flo_rollouts_asks_people(struct flo_rollout_entry *entry,
                              const struct flo_rule_answer *answer);
/* Does the same if another answer holds for this device, because its groups
 * changed. */
FLO_MUST_USE int flo_rollouts_obey_of(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, const char *device,
                                      struct flo_err *err);
/* Finds the active change freeze that lasts longest.  *until_ms is 0 if no
 * freeze is active. */
FLO_MUST_USE int flo_rollouts_bar_of(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry, uint64_t wall_ms,
                                     const struct flo_rule_freeze **which, uint64_t *until_ms,
                                     struct flo_err *err);
/* Writes a text like "change freeze audit until 2027-...". */
void flo_rollouts_bar_text(const struct flo_rule_freeze *freeze, uint64_t until_ms, char *out,
                           size_t bytes);
/* Returns the rollout of the same model and group that this rollout would
 * abort; NULL: none. */
struct flo_rollout_entry *flo_rollouts_ended_by(const struct flo_controller *controller,
                                                const struct flo_rollout_entry *entry);
/* Lets the rollout's orders remove the release from devices' blocked ones, up
 * to the newest order number. */
FLO_MUST_USE int flo_rollouts_settle_lift(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, struct flo_err *err);
bool flo_rollouts_is_online(const struct flo_select_device *device);
/* Returns the checksum of the label `site`; 0: there is none. */
uint32_t flo_rollouts_site(const struct flo_select_device *device);
/* Writes the numbers of a device's labels and zone into its member. */
void flo_rollouts_place(struct flo_rollout_entry *entry, const struct flo_select_device *device,
                        struct flo_rollout_place *out);
/* Sets, for all members, the numbers that stand for their labels and time
 * zones; called after the rollout was loaded. */
FLO_MUST_USE int flo_rollouts_place_all(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry, struct flo_err *err);
/* Chooses the label whose values a preset's phases cover: the given label,
 * `site`, or `hw`.  None is chosen where members have at most one value of both
 * `site` and `hw`. */
FLO_MUST_USE int flo_rollouts_choose_cover(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, struct flo_err *err);
/* Sizes of the first wave and of the hold-out with which all larger values of a
 * label are included. */
struct flo_rollout_cover {
    /* size of the hold-out: as given, or larger to keep two devices of each
     * larger value */
    uint32_t hold_out;
    uint32_t wave; /* size of a first wave that includes each larger value once */
};
FLO_MUST_USE int flo_rollouts_order_members(struct flo_rollout_entry *entry, uint32_t hold_out,
                                            struct flo_rollout_cover *out, struct flo_err *err);
/* Returns the phases of a preset for a rollout with `members` members; new
 * reference. */
json_t *flo_rollouts_preset_phases(const struct flo_analysis_rules *rules, uint32_t members,
                                   const struct flo_rollout_cover *cover);
/* Returns a bit for each open held slice that contains the device; all bits
 * when the device is unknown. */
uint8_t flo_rollouts_slices_of(const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device);
/* Sets the numbers that stand for a member's labels and time zone again,
 * because its labels changed. */
void flo_rollouts_place_again(struct flo_controller *controller, struct flo_rollout_entry *entry,
                              const struct flo_select_device *device);
/* Gives a member that was told and has not begun its order again, because its window
 * is at another time now. */
FLO_MUST_USE int flo_rollouts_tell_again(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry, size_t member,
                                         struct flo_err *err);
/* Marks a member as unread, so that its slices are read again. */
void flo_rollouts_slices_forget(struct flo_rollout_entry *entry, const char *device);
/* Updates the UTC offsets of the members' zones, which change with summer time.
 * Called from time to time before a step.  true: offsets changed, those of the zones
 * that is_moved marks; false: is_moved is not written. */
bool flo_rollouts_look_at_zones(struct flo_rollout_entry *entry, bool is_moved[FLO_ZONES_MAX + 1]);
void flo_rollouts_places_clear(struct flo_rollout_entry *entry);
/* Signs an order of the rollout (orders.c).  The order is for the phase's
 * buckets, or for single devices and their desired documents. */
FLO_MUST_USE int flo_rollouts_order(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry,
                                    const struct flo_rollout_action *action, struct flo_err *err);
FLO_MUST_USE int flo_rollouts_order_each(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry,
                                         const struct flo_rollout_action *action,
                                         struct flo_err *err);
/* Finds the newest order of a phase for all of its devices with the member's
 * UTC offset.  Signs a new order when there is none, or when its number is
 * below `held`. */
FLO_MUST_USE int flo_rollouts_order_for(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry, enum flo_order_op op,
                                        uint32_t phase, const struct flo_rollout_member *member,
                                        uint64_t held, char *id, struct flo_err *err);
/* A member that an action affects, and whose desired document the action may
 * write. */
struct flo_rollouts_meant {
    size_t index;
    /* number of the order about the model in the member's desired document; 0:
     * none */
    uint64_t held;
    bool is_left_out;
};
/* Lists the affected members in the order of their ids.  The caller frees *out
 * with free(). */
FLO_MUST_USE int flo_rollouts_meant(struct flo_controller *controller,
                                    const struct flo_rollout_entry *entry,
                                    const struct flo_rollout_action *action,
                                    struct flo_rollouts_meant **out, size_t *count,
                                    struct flo_err *err);
/* Records a step with its reasons, and logs them after the commit. */
void flo_rollouts_explain(struct flo_controller *controller, struct flo_rollout_entry *entry,
                          const struct flo_rollout_event *event,
                          const struct flo_rollout_actions *actions);
/* Appends a text of the core with device ids replaced by names (named.c). */
void flo_rollouts_name(const struct flo_controller *controller, const struct flo_rollout *rollout,
                       const char *text, size_t chars, struct flo_buf *out);
/* Checks whether a new rollout may start, although other rollouts still lack
 * rows of members.  A rollback of an existing rollout is always allowed.
 * FLO_E_REST_LIMIT: too many rollouts lack rows. */
FLO_MUST_USE int flo_rollouts_check_drafted(const struct flo_controller *controller,
                                            struct flo_err *err);
/* Checks that fewer than `max` rollouts are under way.  FLO_E_REST_LIMIT: there
 * are more. */
FLO_MUST_USE int flo_rollouts_check_room(const struct flo_controller *controller, size_t max,
                                         struct flo_err *err);
/* Finds out, after loading, which members run another release by their newest
 * reports. */
void flo_rollouts_holders_read(struct flo_controller *controller, struct flo_rollout_entry *entry);
/* Counts devices that have the release now and would be rolled back.
 * *overtaken receives the number of updated devices that run another release
 * now. */
size_t flo_rollouts_holders(const struct flo_rollout *core, size_t *overtaken);
/* Adds an entry to the rollouts in memory.  The entry is taken even on
 * failure. */
FLO_MUST_USE int flo_rollouts_keep(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, struct flo_err *err);
FLO_MUST_USE int flo_rollouts_put(struct flo_controller *controller,
                                  const struct flo_rollout_entry *entry, struct flo_err *err);
/* Reads a specification into a draft without members.  Takes ownership of
 * `spec` on success. */
FLO_MUST_USE int flo_rollouts_read_spec(struct flo_controller *controller, json_t *spec,
                                        struct flo_rollout_entry **out, struct flo_err *err);
/* Lists older rollouts of the same model that share devices with this one, as
 * [{"rollout","release","state","devices"}].  The rollout that this one aborts
 * also has "ends" true.  New reference. */
json_t *flo_rollouts_overlaps(const struct flo_controller *controller,
                              const struct flo_rollout_entry *entry);
/* Finds the groups with a higher priority than the rollout's own, and lists
 * them in entry->own->above (above.c). */
FLO_MUST_USE int flo_rollouts_look_above(struct flo_controller *controller,
                                         struct flo_rollout_entry *entry, struct flo_err *err);
bool flo_rollouts_is_outranked(struct flo_controller *controller,
                               const struct flo_rollout_entry *entry,
                               const struct flo_select_device *device);
/* Sorts ids of rollouts by priority, the highest last (claims.c). */
FLO_MUST_USE int flo_rollouts_sort(struct flo_controller *controller, struct flo_text_list *ids,
                                   struct flo_err *err);
/* Gives a device a new order where its present order is of a rollout with a
 * lower priority than one of `ids`, which are sorted by flo_rollouts_sort. */
FLO_MUST_USE int flo_rollouts_return(struct flo_controller *controller,
                                     const struct flo_text_list *ids, const char *device,
                                     struct flo_err *err);
/* Tells whether the model was removed from the rollout's group since the
 * rollout began. */
FLO_MUST_USE int flo_rollouts_is_taken_away(struct flo_controller *controller,
                                            const struct flo_rollout_entry *entry, bool *out,
                                            struct flo_err *err);
/* Issues an order for one member of a completed rollout. */
FLO_MUST_USE int flo_rollouts_order_again(struct flo_controller *controller,
                                          struct flo_rollout_entry *entry, const char *device,
                                          struct flo_err *err);
/* Tells whether the device is in the rollout's group, and why it would be no
 * member. */
FLO_MUST_USE int flo_rollouts_look(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry, const char *device,
                                   enum flo_excuse *excuse, bool *is_in_group, struct flo_err *err);
/* Removes the rollout's order from the device's desired document. */
FLO_MUST_USE int flo_rollouts_forget_order(struct flo_controller *controller,
                                           const struct flo_rollout_entry *entry,
                                           const char *device, struct flo_err *err);
/* Makes older rollouts drop those members of this rollout that have not begun.
 * The rollout that this one supersedes is aborted. */
FLO_MUST_USE int flo_rollouts_supersede(struct flo_controller *controller,
                                        const struct flo_rollout_entry *entry, struct flo_err *err);
/* Carries out one action of a step, which changes orders, desired documents,
 * rows and audit. */
FLO_MUST_USE int flo_rollouts_carry_out(struct flo_controller *controller,
                                        struct flo_rollout_entry *entry,
                                        const struct flo_rollout_event *event,
                                        const struct flo_rollout_action *action,
                                        struct flo_err *err);
/* Applies the split in the release's document: a share of another model's
 * requests (split.c).  FLO_E_REST_MEANING: the experiment has nothing to
 * compare with. */
FLO_MUST_USE int flo_rollouts_settle_split(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, struct flo_err *err);
/* Sets the standard gates and phases, and the members' segments.  Called before
 * the start, when all members have joined. */
FLO_MUST_USE int flo_rollouts_settle(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry, struct flo_err *err);
FLO_MUST_USE int flo_rollouts_segment(struct flo_controller *controller,
                                      struct flo_rollout_entry *entry, struct flo_err *err);
/* Writes the device's hardware class by its profile; `out` holds
 * FLO_HARDWARE_TEXT bytes. */
void flo_rollouts_hardware(const struct flo_select_device *device, char *out);
/* Sets the segment of a device that joins later. */
FLO_MUST_USE int flo_rollouts_segment_late(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry, const char *device,
                                           uint8_t *out, struct flo_err *err);
/* Returns the names of a rollout's held slices; new reference (view.c). */
json_t *flo_object_slices(const struct flo_rollout *core, enum flo_slice_hold as);
/* Returns the analysis as JSON that is stored with its rollout, as a new
 * reference; NULL: the rollout has none. */
json_t *flo_rollouts_analysis_json(const struct flo_rollout *core);
void flo_rollouts_analysis_read(struct flo_rollout *core, const json_t *json);
/* Stores an evaluation of the gates, and audits the verdicts that changed. */
FLO_MUST_USE int flo_rollouts_record(struct flo_controller *controller,
                                     struct flo_rollout_entry *entry,
                                     const struct flo_rollout_analysis *of, struct flo_err *err);
/* flo_rollouts_found_keep updates the found slices of the rollout by a new
 * record.  flo_rollouts_found_read parses stored ones, and returns a new
 * reference. */
void flo_rollouts_found_keep(const struct flo_controller *controller,
                             struct flo_rollout_entry *entry, const json_t *record);
json_t *flo_rollouts_found_read(const json_t *stored);
/* Returns the name of a device, or its id if it has no name; new reference. */
json_t *flo_rollouts_device_name(const struct flo_controller *controller, const char *device);
/* Finds the rollout that an order belongs to; "": it belongs to none. */
FLO_MUST_USE int flo_rollouts_of_order(struct flo_controller *controller, const char *order,
                                       char *rollout, struct flo_err *err);

#endif
