/* Profile: collects facts of the machine for update plans, the report and
 * telemetry. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/small.h"
#include "base/zone.h"

#include "agent/shell/device/device.h"
#include "agent/shell/device/runtimes.h"

/* Returns the value of a line "MemTotal:   123 kB" of /proc/meminfo, in bytes.
 */
static uint64_t meminfo(const char *key)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[160];
    uint64_t bytes = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) {
            bytes = strtoull(line + strlen(key), NULL, 10) * 1024;
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

uint64_t flo_machine_memory_free(void)
{
    return meminfo("MemAvailable:");
}

static const char *best_kernel(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vnni")) {
        return "avx512";
    }
    if (__builtin_cpu_supports("avx2")) {
        return "avx2";
    }
    if (__builtin_cpu_supports("avx")) {
        return "avx";
    }
    return __builtin_cpu_supports("sse4.2") ? "sse42" : "c";
#elif defined(__aarch64__)
    return "neon";
#else
    return "c";
#endif
}

void flo_machine_look(const struct flo_settings *settings, struct flo_machine *out)
{
    struct utsname names;
    struct flo_cgroup_limits limits;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    memset(out, 0, sizeof(*out));
    flo_cgroup_limits("", &limits);
    if (uname(&names) == 0) {
        snprintf(out->arch, sizeof(out->arch), "%.15s", names.machine);
    }
    snprintf(out->kernel, sizeof(out->kernel), "%s", best_kernel());
    out->cpus = cpus > 0 ? (uint32_t)cpus : 1;
    out->memory_bytes = flo_memory_budget(flo_config_u64(settings->config, "memory_budget"),
                                          meminfo("MemTotal:"), limits.memory_bytes_max);
}

/* Reads a file with one short line; an unreadable file gives "". */
static void read_line(const char *folder, const char *zone, const char *name, char out[32])
{
    char path[320];

    snprintf(path, sizeof(path), "%s/%s/%s", folder, zone, name);
    (void)flo_small_read(path, out, 32);
    out[strcspn(out, "\n")] = '\0';
}

static bool zone_temperature(const char *folder, const char *zone, int64_t *out)
{
    char type[32];
    char text[32];

    read_line(folder, zone, "type", type);
    read_line(folder, zone, "temp", text);
    *out = strtoll(text, NULL, 10);
    /* The PMIC-Die sensor of Jetson boards always says 100 °C, so it is not
     * used. */
    return strcmp(type, "PMIC-Die") != 0 && text[0] != '\0' && *out > -100000 && *out < 300000;
}

bool flo_machine_temperature(const char *folder, int64_t *out)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    bool is_there = false;

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        int64_t value;
        if (strncmp(entry->d_name, "thermal_zone", 12) == 0 &&
            zone_temperature(folder, entry->d_name, &value) && (!is_there || value > *out)) {
            *out = value;
            is_there = true;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return is_there;
}

/* Tells whether the back end of llama.cpp is installed and may be used.  It
 * serves architectures that Flotilla's engine does not know. */
static bool has_library(const struct flo_settings *settings)
{
    char path[512];
    const char *backend =
        settings == NULL ? "native" : flo_config_text(settings->config, "backend");

    return strcmp(backend, "native") != 0 &&
           flo_process_has_sibling("flotilla-engine-llama", path, sizeof(path));
}

static json_t *architectures_json(bool has_any)
{
    static const char *const ids[] = {
#define FLO_ARCHITECTURE(name, id, ...) id,
#include "base/architectures.def"
    };
    _Static_assert(FLO_COUNT(ids) < FLO_PROFILE_ENGINES_MAX, "the updater takes them all");
    json_t *list = json_array();

    for (size_t i = 0; i < FLO_COUNT(ids); i++) {
        json_array_append_new(list, json_string(ids[i]));
    }
    if (has_any) {
        json_array_append_new(list, json_string(FLO_PROFILE_ENGINE_ANY));
    }
    return list;
}

json_t *flo_machine_bench_json(const struct flo_bench *bench)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "of", bench->of, "at_ms",
                     (json_int_t)bench->at_ms, "memory_bytes_per_s",
                     (json_int_t)bench->memory_bytes_per_s, "int8_ops_per_s",
                     (json_int_t)bench->int8_ops_per_s, "read_bytes_per_s",
                     (json_int_t)bench->read_bytes_per_s, "took_ms", (json_int_t)bench->took_ms);
}

static json_t *accelerators_json(const struct flo_machine *machine)
{
    json_t *list = json_array();

    for (size_t i = 0; i < machine->accelerator_count; i++) {
        const struct flo_accelerator *one = &machine->accelerators[i];
        json_t *item = json_pack("{s:s}", "kind", one->kind);
        flo_json_put_text(item, "name", one->name);
        flo_json_put_number(item, "memory_bytes", one->memory_bytes);
        json_array_append_new(list, item);
    }
    return list;
}

json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes)
{
    json_t *json = json_pack("{s:s, s:i, s:I, s:I, s:s, s:o}", "arch", machine->arch, "cpus",
                             (int)machine->cpus, "memory_bytes", (json_int_t)machine->memory_bytes,
                             "disk_free_bytes", (json_int_t)disk_free_bytes, "kernel",
                             machine->kernel, "engine", architectures_json(has_library(settings)));

    char zone[FLO_ZONE_TEXT];
    flo_zone_of_system(zone);
    if (json != NULL) {
        json_object_set_new(json, "zone", json_string(zone));
    }
    if (json != NULL && machine->bench.memory_bytes_per_s > 0) {
        json_object_set_new(json, "bench", flo_machine_bench_json(&machine->bench));
    }
    if (json != NULL && machine->speeds.count > 0) {
        json_object_set_new(json, "speeds", flo_speeds_json(&machine->speeds));
    }
    if (json != NULL && machine->accelerator_count > 0) {
        json_object_set_new(json, "accelerators", accelerators_json(machine));
    }
    if (settings != NULL) {
        json_object_set_new(json, "runtimes", flo_runtimes_json(settings));
    }
    return json;
}
