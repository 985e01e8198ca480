/* Declares the functions for the configuration, the clock and the stored
 * records of this device. */
#ifndef FLOTILLA_AGENT_DEVICE_DEVICE_H
#define FLOTILLA_AGENT_DEVICE_DEVICE_H

#include "agent/shell/shell.h"

/* config.c */
/* Default path of the device's configuration. */
#define FLO_CONFIG_PATH "/etc/flotilla/agent.yaml"
/* Reads only `state_dir` from the configuration file at `path` (NULL:
 * FLO_CONFIG_PATH). */
FLO_MUST_USE int flo_settings_folder(const char *path, char out[4096], struct flo_err *err);
/* Address of the agent's local API, which any user may call: "unix:PATH" or
 * HOST:PORT.  If both are configured, it is the socket.  `token_file` is empty
 * when the configuration names none. */
struct flo_settings_door {
    char address[4200];
    char token_file[4096];
};
FLO_MUST_USE int flo_settings_find_door(const char *path, const char *state_dir,
                                        struct flo_settings_door *out, struct flo_err *err);
/* Loads the configuration: the file at `path`, or FLO_CONFIG_PATH when both
 * `path` and `state_dir` are NULL.  The process continues as the owner of
 * state_dir: see flo_process_as_owner. */
FLO_MUST_USE int flo_settings_load(const char *path, const char *state_dir,
                                   struct flo_settings *out, struct flo_err *err);
void flo_settings_deinit(struct flo_settings *settings);

/* Reads `pipelines` of the configuration, after flo_specs_read().
 * FLO_E_CFG_TYPE, FLO_E_CFG_RANGE  an entry is invalid */
FLO_MUST_USE int flo_pipelines_read(struct flo_settings *settings, struct flo_err *err);
/* Reads `models` and `tokens` of the configuration.
 * FLO_E_CFG_KEY, FLO_E_CFG_TYPE, FLO_E_CFG_RANGE  an entry is invalid */
FLO_MUST_USE int flo_specs_read(struct flo_settings *settings, struct flo_err *err);
/* Returns the options that the configuration has for a model; NULL: none. */
const struct flo_model_spec *flo_spec_of(const struct flo_settings *settings, const char *model);

/* profile.c */
void flo_machine_look(const struct flo_settings *settings, struct flo_machine *out);
uint64_t flo_machine_memory_free(void);
/* Folder of the thermal zones. */
#define FLO_THERMAL "/sys/class/thermal"
/* Gives the temperature of the hottest thermal zone in 1/1000 degree C.
 * Returns false when the machine has no sensor. */
bool flo_machine_temperature(const char *folder, int64_t *out);
/* The machine's "bench". */
json_t *flo_machine_bench_json(const struct flo_bench *bench);
/* Makes the machine's profile for the reported document, the enrolment and the
 * updater's jobs.  `settings` NULL: without runtimes. */
json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes);

/* note.c */
void flo_shell_note(struct flo_shell *shell, const char *type, const struct flo_err *err);
/* Records that the disk or the memory cannot store what the controller sends.
 * Returns true, and sends an event, for the first error of a kind.  Report,
 * status and doctor show the error until a heartbeat finds that records can be
 * written again. */
bool flo_shell_degrade(struct flo_shell *shell, const struct flo_err *err);
/* Records a read error for flo_trouble_read(): the disk did not return the
 * bytes of a file to a running engine, or to a load if `is_whole` is true. */
void flo_shell_unread(struct flo_shell *shell, const struct flo_err *err, bool is_whole);
/* Checks whether the device is still degraded (degraded.c).  It stays so until the
 * controller has sent again the orders that the device could not store.  Returns
 * whether that began or ended since the last call. */
bool flo_shell_degraded_look(struct flo_shell *shell);
/* Tells whether the disk accepts a record now, by writing one. */
bool flo_shell_writes(struct flo_shell *shell);
/* Tells whether the clock was set since the last call.  Orders that were
 * refused because of their time may be valid now. */
bool flo_shell_clock_was_set(struct flo_shell *shell);
void flo_shell_clock_look(const struct flo_shell *shell, struct flo_agent_time *out);
/* Tells whether the device's own clock says the time, and no statement. */
bool flo_shell_clock_is_good(const struct flo_shell *shell);
/* Tells whether the machine's clock is wrong by more than a day, with both times. */
bool flo_shell_clock_is_wrong(const struct flo_shell *shell, struct flo_err *err);
/* Returns the present time, as the device believes it. */
uint64_t flo_shell_clock_ms(const struct flo_shell *shell);
/* Returns the present time for people.  A fixed offset corrects a late clock,
 * so this time does not stand still at the trusted time. */
uint64_t flo_shell_clock_told_ms(const struct flo_shell *shell);
/* Takes the time of a verified statement as a source of the time.  is_direct:
 * the controller itself says so now, by HTTPS.  Returns whether the device
 * record has changed. */
bool flo_shell_clock_claim(struct flo_shell *shell, uint64_t at_ms, bool is_direct);
/* Prepares the clock at the start of the agent. */
void flo_shell_clock_start(struct flo_shell *shell);
/* Passes the believed time to TLS, before each connection and at each heartbeat. */
void flo_shell_clock_tell(struct flo_shell *shell);
/* Takes the dates of the peer's certificate from TLS, after each connection. */
void flo_shell_clock_peer(struct flo_shell *shell);

/* records.c */
/* Returns the record into which flo_shell_record() reads that of a model without an
 * entry. */
struct flo_slots *flo_shell_other(struct flo_shell *shell);
/* Records that the device record has changed, so that it is written. */
void flo_shell_device_changed(struct flo_shell *shell);
/* Tells whether the device record cannot be read. */
bool flo_shell_device_is_unread(const struct flo_shell *shell);
/* Tells whether the record that was read at this start is from another
 * enrolment. */
bool flo_shell_device_is_moved(const struct flo_shell *shell);
/* Tells whether trust.json is older than a statement that was taken here.  No signed
 * document is accepted until that statement is here again. */
bool flo_shell_trust_is_behind(const struct flo_shell *shell);
/* Records that an order must be sent again, tells whether one must, and records that
 * the controller was asked. */
void flo_shell_orders_again(struct flo_shell *shell);
bool flo_shell_orders_are_due(const struct flo_shell *shell);
void flo_shell_orders_asked(struct flo_shell *shell);
/* Returns why the device is degraded, and since when; NULL: it is not. */
const struct flo_agent_error *flo_shell_degraded(const struct flo_shell *shell, uint64_t *since_ms);

/* persist.c */
/* Compares the trusted keys with the device record.  The caller calls it after
 * either was read or has changed. */
void flo_shell_trust_hold(struct flo_shell *shell);
/* Reads the device record, and replaces a damaged one by an empty one.
 *
 * A record that cannot be read may hold more than the agent knows.  Then the
 * agent does not overwrite it and takes no order, and updates wait as in a
 * freeze. */
FLO_MUST_USE int flo_shell_device_read(struct flo_shell *shell, struct flo_err *err);
/* Ends the freezes that an earlier fleet ordered, and its orders to keep
 * prompts, now or when the device record can be read.  The stored value "fleet"
 * names the present fleet, whose controller sends its own orders again. */
void flo_shell_device_move(struct flo_shell *shell);
/* Tells whether a signed order keeps prompts on this device.  While the device
 * record cannot be read they stay, because it may hold such an order. */
bool flo_shell_prompts_stay(const struct flo_shell *shell);
void flo_shell_device_write(struct flo_shell *shell);
/* Writes the device record, and returns whether it is on the disk. */
FLO_MUST_USE int flo_shell_device_keep(struct flo_shell *shell, struct flo_err *err);
/* Writes the model's record if it has changed.  A failed write is repeated
 * later. */
void flo_shell_model_write(struct flo_shell *shell, uint32_t model);
/* Writes all records that have changed. */
void flo_shell_records_write(struct flo_shell *shell);
/* Returns the index of a model in shell->models; FLO_NO_MODEL: it is not
 * there. */
uint32_t flo_shell_model(const struct flo_shell *shell, const char *name);
/* Gives the index of a model in shell->models, and assigns a free entry to a
 * new model.
 * FLO_E_TARGET_LIMIT  no entry is free */
FLO_MUST_USE int flo_shell_model_take(struct flo_shell *shell, const char *name, uint32_t *out,
                                      struct flo_err *err);
/* Finds the model that an operator names.  An empty name means the only model
 * that has something on the device, or entry 0.
 * FLO_E_ABSENT, FLO_E_USAGE  no such model, or several */
FLO_MUST_USE int flo_shell_model_asked(const struct flo_shell *shell, const char *name,
                                       uint32_t *out, struct flo_err *err);
/* Frees the entry of a model that has nothing on the device any more. */
void flo_shell_model_free(struct flo_shell *shell, uint32_t model);
/* Gives the record of a model.  If the model has no entry in shell->models, its
 * record is read into flo_shell_other(), where it is valid until the next call. */
FLO_MUST_USE int flo_shell_record(struct flo_shell *shell, const char *name, struct flo_slots **out,
                                  struct flo_err *err);
/* Writes a record that flo_shell_record() gave.  If there are too many records,
 * the one with the oldest order is removed. */
FLO_MUST_USE int flo_shell_record_keep(struct flo_shell *shell, struct flo_slots *record,
                                       struct flo_err *err);
/* Stores in the model's record how its newest order ended. */
void flo_shell_stated_end(struct flo_shell *shell, uint32_t model,
                          const struct flo_agent_execution *execution);
void flo_shell_stated_acked(struct flo_shell *shell, uint32_t model, const char *order,
                            const char *word);

/* denials.c */
void flo_shell_deny(struct flo_shell *shell, const struct flo_agent_action *action);
/* Gives the reason why this release may not run here; code 0: it may run. */
void flo_shell_refusal(const struct flo_trust *trust, const struct flo_slots *slots,
                       const struct flo_digest *release, uint64_t number,
                       struct flo_agent_error *out);
/* Unblocks a release that an operator at the device installs, as a decision
 * that is newer than any order.  A block for a fault of the release stays. */
void flo_shell_allow_by_hand(struct flo_shell *shell, uint32_t model,
                             const struct flo_digest *release);
/* Verifies that a trusted key still signs the release's envelope.
 * FLO_E_SIG_..., FLO_E_TARGET_REVOKED  it does not
 * FLO_E_TRUST_NUMBER  the trust statement was lost */
FLO_MUST_USE int flo_shell_check_signature(const struct flo_shell *shell,
                                           const struct flo_digest *release, struct flo_err *err);
/* Reports that the list of blocked releases is full, so that the lowest release
 * numbers are now blocked as one range. */
void flo_shell_tell_folded(struct flo_shell *shell, const struct flo_slots *slots);

/* Returns how long a helper process may make no progress: `hang` divided by
 * `parts`, and at least `least_ms`.  A slow machine has a longer `hang` in its
 * configuration, which is for its engines. */
uint64_t flo_shell_hang_part_ms(const struct flo_shell *shell, uint64_t parts, uint64_t least_ms);

#endif
