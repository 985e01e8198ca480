/* The agent's shell: what carries the core's actions out.
 *
 * One struct per concern, all on the thread of the event loop.  The shell has
 * no opinion: what to do comes from flo_agent_step(). */
#ifndef FLOTILLA_AGENT_SHELL_H
#define FLOTILLA_AGENT_SHELL_H

#include <event2/event.h>

#include <flotilla/agent.h>
#include <flotilla/release.h>
#include <flotilla/updater.h>

#include "agent/serve/serve.h"
#include "agent/shell/measures.h"
#include "agent/shell/outbox/answers.h"
#include "agent/shell/outbox/events.h"
#include "agent/shell/outbox/notes.h"
#include "agent/shell/outbox/outbox_db.h"
#include "agent/shell/outbox/stories.h"
#include "agent/shell/outbox/windows.h"
#include "agent/shell/queue.h"
#include "base/host/config.h"
#include "base/host/db.h"
#include "base/host/json.h"
#include "base/host/mqtt.h"

#define FLO_GROUPS_MAX 32

/* ---- configuration and identity (config.c, identity.c) --------------------
 */

/* Read and check the file; fills in what depends on state_dir. */
struct flo_settings {
    struct flo_config *config;
    char state_dir[4096];
    char control[4096];
    char *token; /* of the local API; NULL: none */
    const char *listen[9];
    char listen_standard[4200];
    enum flo_sandbox_mode sandbox;
};
/* Where a device's configuration lies if nobody says another place. */
#define FLO_CONFIG_PATH "/etc/flotilla/agent.yaml"
/* The `state_dir` of the file at `path` (NULL: FLO_CONFIG_PATH), nothing else.
 */
FLO_MUST_USE int flo_settings_folder(const char *path, char out[4096],
                                     struct flo_err *err);
/* Without a path and a state_dir FLO_CONFIG_PATH is read.
 * The process goes on as the owner of state_dir: see flo_process_as_owner. */
FLO_MUST_USE int flo_settings_load(const char *path, const char *state_dir,
                                   struct flo_settings *out,
                                   struct flo_err *err);
void flo_settings_deinit(struct flo_settings *settings);

struct flo_identity {
    bool is_there; /* false: not enrolled, everything local works */
    char device[37];
    char fleet[FLO_NAME_MAX + 1];
    char name[FLO_NAME_MAX + 1];
    char controller[513];
    char broker[513];
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1]; /* as the enrolment said */
    size_t group_count; /* 0: enrolled by a version that did not keep them */
    char ca_file[4200], cert_file[4200], key_file[4200], trust_file[4200];
    struct flo_trust *trust; /* NULL: none */
    uint64_t enrolled_at_ms; /* as its certificate says; 0: not known */
};
FLO_MUST_USE int flo_identity_load(const struct flo_settings *settings,
                                   struct flo_identity *out,
                                   struct flo_err *err);
void flo_identity_deinit(struct flo_identity *identity);
/* Once each; what is no name is left out. */
void flo_identity_add_group(struct flo_identity *identity, const char *group);
/* Write the groups into the file, which has none. */
FLO_MUST_USE int flo_identity_keep_groups(const struct flo_settings *settings,
                                          const struct flo_identity *identity,
                                          struct flo_err *err);
int flo_enroll_main(int argc, char **argv);

/* ---- what this machine is (profile.c)
 * ---------------------------------------- */

struct flo_machine {
    char arch[16];
    char kernel[16]; /* fastest engine kernel: avx2, ... */
    uint32_t cpus;
    uint64_t memory_bytes; /* for models: the budget, or what there is */
};
void flo_machine_look(const struct flo_settings *settings,
                      struct flo_machine *out);
uint64_t flo_machine_memory_free(void);
/* Hottest zone in m°C; false: the machine has none. */
#define FLO_THERMAL "/sys/class/thermal"
bool flo_machine_temperature(const char *folder, int64_t *out);
/* The profile object of reported, enrolment and updater jobs. */
json_t *flo_machine_json(const struct flo_machine *machine,
                         uint64_t disk_free_bytes);

/* ---- telemetry (telemetry.c)
 * --------------------------------------------------------- */

struct flo_telemetry {
    uint64_t sequence;
    uint64_t begin_ms;
    struct flo_release_ref release;
    struct flo_measures measures;
};
void flo_telemetry_request(struct flo_measures *measures,
                           const struct flo_serve_request_stats *stats);
struct flo_shell;
/* Close the window: store it, begin the next. */
void flo_telemetry_close(struct flo_shell *shell);

/* ---- the shell
 * ------------------------------------------------------------------------------
 */

struct flo_job_child;
struct flo_control;
struct flo_shell_loading;

/* Some model files, by digest; the oldest gives way. */
struct flo_packing_notes {
    struct flo_digest models[8];
    size_t count;
};

struct flo_shell {
    struct event_base *base;
    struct flo_settings settings;
    struct flo_identity identity;
    struct flo_machine machine;
    struct flo_store *store;
    struct flo_slots slots;
    bool slots_is_dirty;
    struct flo_slots other;   /* record of a model that does not serve */
    struct flo_device device; /* the record on disk */
    bool device_is_dirty;
    bool device_is_unread; /* it is on disk and cannot be read: as if frozen */
    struct flo_outbox_db *db;
    struct flo_telemetry telemetry;
    struct flo_serve *serve;
    struct flo_mqtt *mqtt;
    struct flo_control *control;
    struct flo_job_child *job;
    uint32_t waiting_job; /* until processes end that hold room; 0: none */
    uint64_t waiting_since_ms;
    bool waiting_is_told;
    struct event *timer, *heartbeat, *flush, *collect;
    struct event *signals[3];
    uint64_t heartbeat_ms;
    bool is_local;             /* one command without a running agent */
    json_t *local_answer;      /* its last word */
    struct flo_intake intake;  /* of what is taken just now */
    struct flo_intake repair;  /* while its event waits */
    struct flo_order assigned; /* the newest deploy order that was told */
    bool is_interrupted;       /* an older rollback came in its way */
    enum flo_drift drift;      /* as it was reported */
    uint64_t drift_at_ms;
    struct flo_digest installing; /* what an operator at the device waits for */
    bool is_stopping;
    char boot_id[37];

    struct flo_agent agent;
    uint64_t reported_revision;
    int64_t asleep_ms; /* the machine, since it started; at the last step */
    struct flo_queue queue;
    struct flo_digest fresh; /* staged, and no engine was lost since: it needs
                                no new hash */

    struct flo_shell_loading *loading[FLO_AGENT_ROLES]; /* before loading */
    struct flo_packing_notes unpackable; /* engines here read them by rows */
    struct flo_packing_notes unpacked;   /* it failed, and is not tried again */
    struct flo_digest packed_fresh;      /* packed, and none lost since */
    struct flo_digest packed_again;      /* refused by an engine once */
    bool has_packed;

    uint64_t rev;
    uint64_t telemetry_in_flight;
    bool telemetry_is_refused; /* by this connection, and that was said */
    struct {
        char order[FLO_NAME_MAX + 1];
        uint64_t at_ms;
    } received[16]; /* when orders came: how long they took */
    size_t received_next;
    char told[32][FLO_NAME_MAX + 1]; /* orders whose answer went out */
    size_t told_next;
    bool is_list; /* the order at hand stands in a group's list */
};

/* run.c */
FLO_MUST_USE int flo_shell_open(struct flo_shell *shell,
                                const struct flo_settings *settings,
                                bool is_local, struct flo_err *err);
void flo_shell_boot(struct flo_shell *shell);
void flo_shell_close(struct flo_shell *shell);
int flo_run_main(const char *config, bool check_only);

/* timers.c */
void flo_shell_set_heartbeat(struct flo_shell *shell, uint64_t heartbeat_ms);
/* Write waiting events and collect garbage soon: not between two tokens. */
void flo_shell_later(struct event *event, unsigned in_ms);
/* sweep.c */
/* Remove what no slot and none of these names; how many files are gone. */
uint32_t flo_shell_sweep(struct flo_shell *shell, const struct flo_digest *keep,
                         size_t keep_count);
/* The disk is full for a job of that release: remove at once what no slot
 * names.  false: there was nothing. */
bool flo_shell_make_room(struct flo_shell *shell,
                         const struct flo_digest *release);
/* slot_changes.c */
/* WRITTEN or UNWRITTEN follows; false: it was not written. */
bool flo_shell_slot_action(struct flo_shell *shell,
                           const struct flo_agent_action *action);
/* records.c */
/* Read the device record; one that is damaged begins anew.  One that cannot be
 * read may say more than is known here: nothing is written over it, no order is
 * taken, and updates wait as in a freeze. */
FLO_MUST_USE int flo_shell_device_read(struct flo_shell *shell,
                                       struct flo_err *err);
/* What froze another fleet than this one (value "fleet") ends, now or when the
 * record is read: this one's controller says again what holds in it. */
void flo_shell_device_move(struct flo_shell *shell);
void flo_shell_device_write(struct flo_shell *shell);
/* The same, for who must know whether it is on the disk. */
FLO_MUST_USE int flo_shell_device_keep(struct flo_shell *shell,
                                       struct flo_err *err);
/* Both records, where they have changed; what fails is tried again. */
void flo_shell_records_write(struct flo_shell *shell);
/* The record of a model: that of the one that serves, or `shell->other`, good
 * until the next call.  A device that serves nothing turns to the model. */
FLO_MUST_USE int flo_shell_record(struct flo_shell *shell, const char *model,
                                  struct flo_slots **out, struct flo_err *err);
/* Write such a record.  Of too many models the one with the oldest statement
 * is forgotten. */
FLO_MUST_USE int flo_shell_record_keep(struct flo_shell *shell,
                                       struct flo_slots *record,
                                       struct flo_err *err);
/* What became of the newest statement about the model. */
void flo_shell_stated_end(struct flo_shell *shell,
                          const struct flo_agent_execution *execution);
void flo_shell_stated_acked(struct flo_shell *shell, const char *order,
                            const char *word);
/* serving.c */
FLO_MUST_USE int flo_shell_serve_open(struct flo_shell *shell,
                                      struct flo_err *err);
void flo_shell_load(struct flo_shell *shell,
                    const struct flo_agent_action *action);
void flo_shell_probe(struct flo_shell *shell,
                     const struct flo_agent_action *action);
/* lost.c: an engine is lost, or could not be had; told once. */
void flo_shell_lost(struct flo_shell *shell, enum flo_agent_role role,
                    const struct flo_err *err);
/* releases.c */
FLO_MUST_USE int flo_shell_release_get(struct flo_shell *shell,
                                       const struct flo_digest *digest,
                                       struct flo_release **out,
                                       struct flo_err *err);
void flo_shell_release_free(struct flo_release **release);
/* Model file of the variant that is on this device; NULL: none is whole. */
const struct flo_release_file *
flo_shell_model_file(struct flo_shell *shell, const struct flo_release *release,
                     const struct flo_release_variant **variant);
/* Digest of the model's file; false: it is not here. */
bool flo_shell_model_digest(struct flo_shell *shell,
                            const struct flo_digest *release_digest,
                            struct flo_digest *out);
bool flo_shell_fits_both(struct flo_shell *shell, const struct flo_digest *a,
                         const struct flo_digest *b);
void flo_shell_ref(struct flo_shell *shell, const struct flo_digest *digest,
                   struct flo_release_ref *out);
/* loading.c */
/* Load a model (its descriptor is taken) when its file, whose digest is
 * `digest`, was hashed (is_fresh: it was), packed where that pays: from the
 * store, or after packing it. */
void flo_shell_load_model(struct flo_shell *shell, enum flo_agent_role role,
                          const struct flo_serve_model *model,
                          const struct flo_digest *digest, bool is_fresh);
/* Nobody waits for the role any more. */
void flo_shell_load_cancel(struct flo_shell *shell, enum flo_agent_role role);
/* The engine said that the packed file is not the model's: remove it.  Loading
 * again makes a new one, the second time it goes without. */
void flo_shell_packed_refused(struct flo_shell *shell,
                              const struct flo_digest *digest);
/* packing_notes.c */
bool flo_packing_is_wanted(const struct flo_shell *shell);
bool flo_packing_is_noted(const struct flo_packing_notes *notes,
                          const struct flo_digest *model);
void flo_packing_note(struct flo_packing_notes *notes,
                      const struct flo_digest *model);
/* How often this version failed to pack it. */
unsigned flo_packing_failures(const struct flo_shell *shell,
                              const struct flo_digest *model);
void flo_packing_keep_failures(struct flo_shell *shell,
                               const struct flo_digest *model, unsigned count);
void flo_packing_forget_failures(struct flo_shell *shell,
                                 const struct flo_digest *model);
/* Would a new model be packed, as far as is known? */
bool flo_shell_packs(const struct flo_shell *shell);
/* Does an engine get a file for the prefix of its prompts? */
bool flo_shell_keeps_prefixes(const struct flo_shell *shell);
/* jobs.c */
/* At once or, where a process that was killed has not ended yet, after it. */
void flo_shell_job_start(struct flo_shell *shell, uint32_t job);
/* Start the waiting job again, if the engines of what was removed have ended;
 * else later. */
void flo_shell_job_again(struct flo_shell *shell);
void flo_shell_job_cancel(struct flo_shell *shell, uint32_t job);
/* order_answers.c */
/* Store and send the order's outcome; `error` is taken, NULL: none. */
void flo_shell_answer(struct flo_shell *shell, const char *order,
                      const char *outcome, json_t *error);
/* Something newer holds; its id is told where it is known.  Not stored: old
 * orders that somebody repeats must not push out the answers of others. */
void flo_shell_answer_superseded(struct flo_shell *shell, const char *order,
                                 const char *by, uint64_t number);
/* Send the stored outcome again; false: there is none. */
bool flo_shell_answer_again(struct flo_shell *shell, const char *order);
/* It came just now: how long it takes counts from here. */
void flo_shell_order_received(struct flo_shell *shell, const char *order);
/* denials.c */
void flo_shell_deny(struct flo_shell *shell,
                    const struct flo_agent_action *action);
/* Why this release may not run here; code 0: it may. */
void flo_shell_refusal(const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out);
/* Whoever stands at the device is newer than any order so far; but a fault
 * stays. */
void flo_shell_allow_by_hand(struct flo_shell *shell,
                             const struct flo_digest *release);
/* So many are denied that those of low numbers are denied as one. */
void flo_shell_tell_folded(struct flo_shell *shell,
                           const struct flo_slots *slots);
/* orders.c */
/* The rollouts that start nothing. */
void flo_shell_pauses(const struct flo_shell *shell,
                      struct flo_agent_pauses *out);
/* Verify an order and hold it against what is kept.  true: the core is to hear
 * of it, before the next call. */
bool flo_orders_take(struct flo_shell *shell, const json_t *envelope,
                     bool is_list, struct flo_intake *out);
/* A rollback that came late is over: on to what is assigned?  The same. */
bool flo_orders_converge(struct flo_shell *shell, struct flo_intake *out);
/* From a bundle; `wanted` has release and bundle. */
void flo_orders_install(struct flo_shell *shell,
                        const struct flo_agent_execution *wanted,
                        struct flo_intake *out);
/* What the core asked for: the damaged release, from the controller. */
void flo_orders_repair(struct flo_shell *shell,
                       const struct flo_release_ref *release);
/* link.c */
FLO_MUST_USE int flo_shell_link_open(struct flo_shell *shell,
                                     struct flo_err *err);
/* publish.c: false or nothing where no connection stands. */
bool flo_shell_link_topic(const struct flo_shell *shell, enum flo_topic topic,
                          const char *key, char *out);
bool flo_shell_link_publish(struct flo_shell *shell, enum flo_topic topic,
                            const char *text, size_t bytes, uint64_t token);
void flo_shell_link_flush(struct flo_shell *shell);
void flo_shell_link_flush_events(struct flo_shell *shell);
void flo_shell_link_flush_telemetry(struct flo_shell *shell);
void flo_shell_link_reported(struct flo_shell *shell);
bool flo_shell_link_ack(struct flo_shell *shell, const char *text);
/* reports.c: JSON of contracts section 3 */
json_t *flo_report_error(const struct flo_agent_error *error);
json_t *flo_report_execution(const struct flo_agent_execution *execution);
json_t *flo_report_reported(const struct flo_shell *shell);
/* Look how far what runs is from what is assigned; true: that changed. */
bool flo_report_drift(struct flo_shell *shell);
/* The event that tells so. */
json_t *flo_report_drifted(const struct flo_shell *shell);
/* note.c */
void flo_shell_note(struct flo_shell *shell, const char *type,
                    const struct flo_err *err);
/* clock.c: what time it is taken to be. */
void flo_shell_clock_look(const struct flo_shell *shell,
                          struct flo_agent_time *out);
/* Now, or later: the clock, or what is known better. */
uint64_t flo_shell_clock_ms(const struct flo_shell *shell);
/* An order that was verified and is taken says that it is that late.  true: the
 * device record has changed. */
bool flo_shell_clock_claim(struct flo_shell *shell, uint64_t at_ms);
/* At the start, before each connection, when one stands: TLS is told what is
 * known, and tells what its peer's certificate says. */
void flo_shell_clock_start(struct flo_shell *shell);
void flo_shell_clock_tell(const struct flo_shell *shell);
void flo_shell_clock_peer(struct flo_shell *shell);
/* control.c: the socket of status, rollback, update; one JSON line per
 * request, one or more per answer, the last one with "done":true. */
FLO_MUST_USE int flo_control_open(struct flo_shell *shell, struct flo_err *err);
void flo_control_close(struct flo_control *control);
/* operators.c */
/* What the core said about an operator's rollback, about an execution. */
void flo_control_acked(struct flo_shell *shell, const char *word,
                       const struct flo_agent_error *error);
void flo_control_report(struct flo_shell *shell,
                        const struct flo_agent_execution *execution);
/* status.c */
json_t *flo_control_status(struct flo_shell *shell);
/* commands.c, doctor.c */
int flo_status_main(int argc, char **argv);
int flo_rollback_main(int argc, char **argv);
int flo_update_main(int argc, char **argv);
int flo_explain_main(int argc, char **argv);
int flo_doctor_main(int argc, char **argv);
/* --state-dir, --config and -o of a command; usage error otherwise. */
struct flo_command {
    const char *config, *state_dir, *bundle, *output;
    unsigned lines;
    bool is_quiet;
};
FLO_MUST_USE int flo_command_parse(int argc, char **argv,
                                   struct flo_command *out,
                                   struct flo_err *err);

#endif
