/* Doctor: the command `flotilla-agent doctor`, which prints the faults of this
 * device, one line per check. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/plural.h>

#include "agent/core/checkup/checkup.h"
#include "agent/core/memory/pressure.h"
#include "agent/shell/commands/commands.h"
#include "agent/shell/device/programs.h"
#include "agent/shell/device/runtimes.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/identity/identity.h"
#include "base/host/crypto.h"
#include "base/host/digest.h"

static unsigned bad;
static json_t *checks; /* list of the checks for a program; NULL: lines are printed for people */

static void tell(bool is_good, const char *name, const char *text)
{
    if (checks != NULL) {
        json_array_append_new(
            checks, json_pack("{s:b, s:s, s:s}", "ok", (int)is_good, "check", name, "found", text));
    } else {
        printf(" %s %-18s %s\n", is_good ? "✓" : "✗", name, text);
    }
    bad += is_good ? 0 : 1;
}

static void tell_err(const char *name, const struct flo_err *err)
{
    char line[640];

    snprintf(line, sizeof(line), "%s: %.500s", flo_error_id(err->code), err->what);
    tell(false, name, line);
}

static void check_program(const char *name)
{
    char path[4096];
    bool is_there = flo_process_has_sibling(name, path, sizeof(path));

    tell(is_there, name, is_there ? path : "is not installed beside the agent");
}

/* Checks whether llama.cpp's back end is installed.  Its absence is a fault
 * only if agent.yaml asks for it. */
static void check_library(const struct flo_settings *settings)
{
    static const char name[] = "flotilla-engine-llama";
    const char *backend = flo_config_text(settings->config, "backend");
    char path[4096], line[4200];

    if (!flo_process_has_sibling(name, path, sizeof(path))) {
        bool is_wanted = strcmp(backend, "llama") == 0;
        tell(!is_wanted, name,
             is_wanted ? "is not installed beside the agent, and backend is llama: install it, "
                         "or set backend to auto"
                       : "is not installed: models that our engine does not know are refused");
        return;
    }
    snprintf(line, sizeof(line), "%s, backend %s%s", path, backend,
             strcmp(backend, "native") == 0 ? ": unused" : "");
    tell(true, name, line);
}

static void check_certificate(const struct flo_identity *identity)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_free_cleanup) char *ca = NULL;
    const struct flo_pair *pair = &identity->pairs.list[identity->pair];
    struct flo_err err = {0};
    size_t bytes;
    size_t ca_bytes;
    char line[160];
    int rv = flo_file_read(identity->cert_file, 65536, &text, &bytes, &err);

    if (rv == 0) {
        rv = flo_file_read(identity->ca_file, 65536, &ca, &ca_bytes, &err);
    }
    if (rv == 0) {
        rv = flo_certificate_verify(text, bytes, ca, ca_bytes, &err);
    }
    if (rv < 0) {
        tell_err("certificate", &err);
        return;
    }
    long long days = ((long long)pair->facts.not_after_ms - (long long)flo_wall_ms()) / 86400000;
    snprintf(line, sizeof(line), "CN=%s, valid for %lld more day%s, renewal %llu",
             pair->facts.common_name, days, flo_s((uint64_t)days),
             (unsigned long long)pair->number - 1);
    tell(true, "certificate", line);
}

static void check_identity(const struct flo_settings *settings)
{
    struct flo_identity identity;
    struct flo_err err = {0};
    char line[200];

    if (flo_identity_load(settings, &identity, &err) < 0) {
        tell_err("identity", &err);
        flo_identity_deinit(&identity);
        return;
    }
    if (!identity.is_there) {
        tell(false, "identity", "not enrolled: flotilla-agent enroll");
    } else {
        snprintf(line, sizeof(line), "%s, fleet %s, key closed to others", identity.device,
                 identity.fleet);
        tell(true, "identity", line);
        check_certificate(&identity);
    }
    snprintf(line, sizeof(line), "%zu trusted keys",
             identity.trust == NULL ? 0 : flo_trust_count(identity.trust));
    tell(identity.trust != NULL, "trust", line);
    flo_identity_deinit(&identity);
}

/* ---- what is on the disk ---- */

/* Verifies a blob, and changes nothing: only the agent moves damaged files
 * away. */
static int check_blob(struct flo_store *store, const struct flo_digest *digest, uint64_t *read,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_digest actual;
    uint64_t bytes = 0;

    FLO_TRY(flo_store_blob_open(store, digest, &fd, &bytes, err));
    FLO_TRY(flo_sha256_fd(fd, &actual, &bytes, err));
    *read += bytes;
    return flo_digest_equal(&actual, digest)
               ? 0
               : flo_fail(err, FLO_E_TARGET_HASH,
                          "its %llu bytes on the disk are not the signed ones; "
                          "the next start of the agent fetches them again",
                          (unsigned long long)bytes);
}

/* Verifies every file of the serving variant, as a start of the agent does. */
static int check_files(struct flo_store *store, const struct flo_digest *digest,
                       const struct flo_release *release, uint32_t *files, uint64_t *read,
                       struct flo_err *err)
{
    int index = flo_store_release_variant(store, digest, release);
    int rv = 0;

    if (index < 0) {
        return flo_fail(err, FLO_E_BLOB_ABSENT, "%s@%s: files are missing", release->model,
                        release->version);
    }
    for (uint32_t i = 0; rv == 0 && i < release->variants[index].file_count; i++) {
        const struct flo_release_file *file = &release->files[release->variants[index].files[i]];
        rv = check_blob(store, &file->digest, read, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "%s@%s, %s", release->model, release->version, file->name);
        }
        (*files)++;
    }
    return 0;
}

static int check_release(struct flo_store *store, const struct flo_digest *digest, uint32_t *files,
                         uint64_t *read, struct flo_err *err)
{
    /* static, because it is large and only one thread calls this function */
    static struct flo_release release;
    FLO_TRY(flo_store_release_load(store, digest, &release, err));
    int rv = check_files(store, digest, &release, files, read, err);
    flo_release_deinit(&release);
    return rv;
}

static void check_model(struct flo_store *store, const char *model)
{
    struct flo_slots slots;
    struct flo_err err = {0};
    char line[200];
    uint32_t files = 0;
    uint64_t read = 0;
    int rv = flo_store_slots_read(store, model, &slots, &err);
    struct flo_digest serving = flo_slots_serving(&slots);

    if (rv == 0 && flo_digest_is_zero(&serving)) {
        tell(true, model, "slot record is whole; nothing of it serves");
        return;
    }
    if (rv == 0) {
        rv = check_release(store, &serving, &files, &read, &err);
    }
    if (rv < 0) {
        tell_err(model, &err);
        return;
    }
    snprintf(line, sizeof(line),
             "slot record, release document and %u file%s were read now, %llu "
             "MiB: each has its digest",
             files, files == 1 ? "" : "s", (unsigned long long)(read >> 20));
    tell(true, model, line);
}

/* Checks whether a folder can be written.  On a read-only disk models are
 * served, but no order and no update is stored. */
static int check_writes(const char *folder, struct flo_err *err)
{
    char path[4200];

    snprintf(path, sizeof(path), "%.4000s/.doctor", folder);
    int rv = flo_file_write(path, "1", 1, 0600, err);
    (void)unlink(path);
    return rv;
}

static void check_folder(const struct flo_settings *settings, uint64_t free)
{
    struct flo_err err = {0};
    char line[260];

    if (check_writes(settings->state_dir, &err) < 0) {
        tell_err("state directory", &err);
        return;
    }
    if (flo_checkup_room(free, &err) < 0) {
        snprintf(line, sizeof(line), "%.150s, %.100s", settings->state_dir, err.what);
        tell(false, "state directory", line);
        return;
    }
    snprintf(line, sizeof(line), "%.150s, %llu MiB free", settings->state_dir,
             (unsigned long long)(free >> 20));
    tell(true, "state directory", line);
}

static void check_store(const struct flo_settings *settings)
{
    struct flo_store *store = NULL;
    struct flo_err err = {0};
    char models[FLO_AGENT_MODELS_MAX][FLO_NAME_MAX + 1];

    if (access(settings->state_dir, F_OK) != 0) {
        tell(false, "state directory", "is not there: flotilla-agent enroll");
        return;
    }
    if (flo_store_open(settings->state_dir, false, &store, &err) < 0) {
        tell_err("state directory", &err);
        return;
    }
    check_folder(settings, flo_store_disk_free(store));
    size_t count = 0;
    if (flo_store_models(store, models, FLO_COUNT(models), &count, &err) < 0) {
        tell_err("models", &err);
    }
    for (size_t i = 0; i < count; i++) {
        check_model(store, models[i]);
    }
    flo_store_close(store);
}

static void check_sandbox(const struct flo_settings *settings)
{
    const char *part = flo_sandbox_lacks();
    char line[160];

    snprintf(line, sizeof(line), "%s%s",
             part == NULL ? "this kernel has all parts" : "this kernel has no ",
             part == NULL ? "" : part);
    tell(part == NULL || settings->sandbox == FLO_SANDBOX_PREFERRED, "sandbox", line);
}

/* Checks each runtime that the device's owner has configured. */
static void check_runtimes(const struct flo_settings *settings)
{
    json_t *list = flo_runtimes_json(settings);
    const json_t *item;
    size_t i;
    char name[48], line[400];

    json_array_foreach(list, i, item)
    {
        const char *state = json_string_value(json_object_get(item, "state"));
        const char *why = json_string_value(json_object_get(item, "why"));
        bool is_good = strcmp(state, "ready") == 0;
        snprintf(name, sizeof(name), "runtime %s",
                 json_string_value(json_object_get(item, "name")));
        snprintf(line, sizeof(line), "%s", is_good ? "can be started" : why);
        tell(is_good, name, line);
    }
    json_decref(list);
}

/* Tells whether a runtime uses the program that was found: it has the program's
 * name, or its file names the program's path. */
static bool is_used(const struct flo_settings *settings, const struct flo_program_found *found,
                    char name[32])
{
    json_t *list = flo_runtimes_json(settings);
    const json_t *item;
    bool is_named = false;
    size_t i;

    json_array_foreach(list, i, item)
    {
        struct flo_device_runtime runtime;
        snprintf(name, 32, "%s", json_string_value(json_object_get(item, "name")));
        is_named = strcmp(name, found->program->name) == 0;
        if (!is_named && flo_runtimes_read(settings, name, &runtime, NULL) == 0) {
            is_named = strstr(runtime.json, found->path) != NULL;
            flo_runtimes_deinit(&runtime);
        }
        if (is_named) {
            break;
        }
    }
    json_decref(list);
    return is_named;
}

/* Prints a runtime file that would use the program, below the program's
 * line. */
static void tell_file(const char *text)
{
    if (checks != NULL) {
        json_object_set_new(json_array_get(checks, json_array_size(checks) - 1), "file",
                            json_string(text));
        return;
    }
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        printf("     %.*s\n", (int)strcspn(line, "\n"), line);
    }
}

/* Lists the programs on this machine that could serve a model.  A program that
 * no runtime uses is no fault. */
static void check_programs(const struct flo_settings *settings)
{
    struct flo_program_found found[FLO_PROGRAMS_MAX];
    size_t count = flo_programs_find(getenv("PATH"), "", found);
    char name[48], line[700], runtime[32];

    for (size_t i = 0; i < count; i++) {
        FLO_CLEANUP(flo_buf_deinit) struct flo_buf file = {0};
        snprintf(name, sizeof(name), "found %s", found[i].program->name);
        if (is_used(settings, &found[i], runtime)) {
            snprintf(line, sizeof(line), "%s, %s; see runtime %s", found[i].program->title,
                     found[i].path, runtime);
            tell(true, name, line);
            continue;
        }
        snprintf(line, sizeof(line),
                 "%s, %s; no runtime uses it. %.100s/%s.yaml would:", found[i].program->title,
                 found[i].path, flo_config_text(settings->config, "runtimes_dir"),
                 found[i].program->name);
        tell(true, name, line);
        flo_program_found_write(&found[i], "", &file);
        tell_file(file.data != NULL ? file.data : "");
    }
}

/* Finds heat and charge as an agent does.  A zone without a trip point is no fault. */
static void check_power(void)
{
    struct flo_sensed s = {.battery_pct = -1};
    char line[160];

    flo_sensors_read(flo_sensors_root(), &s);
    if (s.has_zone && s.trip_mc > 0) {
        snprintf(line, sizeof(line), "%.1f °C; the device slows down at %.1f °C",
                 (double)s.zone_mc / 1000, (double)s.trip_mc / 1000);
        tell(!flo_power_is_hot(s.zone_mc, s.trip_mc), "temperature", line);
    } else if (s.has_zone) {
        snprintf(line, sizeof(line), "%.1f °C; no zone has a trip point", (double)s.zone_mc / 1000);
        tell(true, "temperature", line);
    }
    if (s.battery_pct >= 0) {
        snprintf(line, sizeof(line), "%d %%, %s", s.battery_pct,
                 s.is_discharging ? "no mains" : "on mains");
        tell(!s.is_discharging || s.battery_pct > FLO_POWER_LOW_PCT, "battery", line);
    }
}

static int doctor(void *typed, struct flo_err *err)
{
    const struct flo_args *args = typed;
    struct flo_settings settings;
    char line[160];

    FLO_TRY(flo_run_settings(args, &settings, err));
    checks = args->is_json ? json_array() : NULL;
    tell(true, "configuration", flo_args_text(args, "config", "none"));
    check_program("flotilla-engine");
    check_library(&settings);
    check_program("flotilla-updater");
    check_sandbox(&settings);
    check_runtimes(&settings);
    check_programs(&settings);
    check_store(&settings);
    check_identity(&settings);
    snprintf(line, sizeof(line), "%llu MiB available",
             (unsigned long long)(flo_machine_memory_free() >> 20));
    tell(flo_machine_memory_free() > (64u << 20), "memory", line);
    check_power();
    flo_settings_deinit(&settings);
    if (checks != NULL) {
        json_dumpf(checks, stdout, JSON_COMPACT);
        printf("\n");
        json_decref(checks);
    }
    return bad == 0 ? 0 : FLO_EXIT_STATE;
}

const struct flo_verb flo_verb_doctor = {
    .name = "doctor",
    .usage = "[-o json]",
    .help = "what is wrong on this device",
    .flags = {FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = doctor,
    .example = "",
};
