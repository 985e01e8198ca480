/* Sensors: reads memory pressure, cgroup, temperature, battery, load and clock
 * from files below /proc and /sys. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shell/hardware/hardware.h"
#include "base/cgroup.h"
#include "base/small.h"

#define TEXT_BYTES 4096

const char *flo_sensors_root(void)
{
    const char *root = getenv("FLO_SENSORS");

    return root == NULL ? "" : root;
}

/* Reads a small file below `root`; an unreadable file gives "". */
static bool read_text(const char *root, const char *path, char out[TEXT_BYTES])
{
    char whole[TEXT_BYTES];

    out[0] = '\0';
    return snprintf(whole, sizeof(whole), "%s%s", root, path) < (int)sizeof(whole) &&
           flo_small_read(whole, out, TEXT_BYTES) > 0;
}

static bool read_number(const char *root, const char *path, int64_t *out)
{
    char text[TEXT_BYTES];
    char *end;

    if (!read_text(root, path, text)) {
        return false;
    }
    *out = strtoll(text, &end, 10);
    return end != text;
}

/* Reads a number with two decimals, such as "12.34", in 1/100: 1234. */
static uint32_t centi(const char *text)
{
    double value = strtod(text, NULL);

    return value > 0 && value < 1e6 ? (uint32_t)(value * 100.0 + 0.5) : 0;
}

/* ---- pressure, memory, load ---- */

static uint32_t pressure(const char *root, const char *path, bool *is_there)
{
    char text[TEXT_BYTES];
    const char *at;

    if (!read_text(root, path, text) || strncmp(text, "some ", 5) != 0) {
        return 0;
    }
    *is_there = true;
    at = strstr(text, "avg10=");
    return at == NULL ? 0 : centi(at + strlen("avg10="));
}

static uint64_t line_bytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);

    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10) * 1024;
}

static void read_memory(const char *root, struct flo_sensed *out)
{
    char text[TEXT_BYTES];
    uint64_t total, left;

    if (!read_text(root, "/proc/meminfo", text)) {
        return;
    }
    out->memory_bytes = line_bytes(text, "MemTotal:");
    out->memory_free_bytes = line_bytes(text, "MemAvailable:");
    total = line_bytes(text, "SwapTotal:");
    left = line_bytes(text, "SwapFree:");
    out->swap_used_bytes = total > left ? total - left : 0;
}

/* ---- heat ---- */

#define END_MC 25000

/* Returns the temperature at which the kernel slows down for this zone: its lowest
 * passive trip point, or END_MC below the one at which it ends.  0: it has neither. */
static int64_t trip_of(const char *root, const char *zone)
{
    char path[512];
    char type[TEXT_BYTES];
    int64_t passive = INT64_MAX, end = INT64_MAX;
    int64_t value;

    for (int i = 0; i < 16; i++) {
        snprintf(path, sizeof(path), "/sys/class/thermal/%s/trip_point_%d_type", zone, i);
        if (!read_text(root, path, type)) {
            break;
        }
        snprintf(path, sizeof(path), "/sys/class/thermal/%s/trip_point_%d_temp", zone, i);
        if (!read_number(root, path, &value) || value <= 0) {
            continue;
        }
        if (strncmp(type, "passive", 7) == 0) {
            passive = value < passive ? value : passive;
        } else if (strncmp(type, "hot", 3) == 0 || strncmp(type, "critical", 8) == 0) {
            end = value < end ? value : end;
        }
    }
    if (passive == INT64_MAX && end < INT64_MAX && end > END_MC) {
        passive = end - END_MC;
    }
    return passive < INT64_MAX ? passive : 0;
}

/* Tells whether a zone says more than the one before: it is nearer to its own trip
 * point.  The hottest zone without one is named if no zone has one. */
static bool says_more(const struct flo_sensed *out, int64_t value, int64_t trip)
{
    if (!out->has_zone || (trip > 0) != (out->trip_mc > 0)) {
        return !out->has_zone || trip > 0;
    }
    return trip > 0 ? trip - value < out->trip_mc - out->zone_mc : value > out->zone_mc;
}

static void read_zone(const char *root, const char *zone, struct flo_sensed *out)
{
    char path[512];
    char type[TEXT_BYTES];
    int64_t value;

    snprintf(path, sizeof(path), "/sys/class/thermal/%s/type", zone);
    (void)read_text(root, path, type);
    snprintf(path, sizeof(path), "/sys/class/thermal/%s/temp", zone);
    /* The PMIC-Die sensor of Jetson boards always says 100 °C, so it is not
     * used. */
    if (strncmp(type, "PMIC-Die", 8) == 0 || !read_number(root, path, &value) || value <= -100000 ||
        value >= 300000) {
        return;
    }
    int64_t trip = trip_of(root, zone);
    if (says_more(out, value, trip)) {
        out->has_zone = true;
        out->zone_mc = value;
        out->trip_mc = trip;
    }
}

/* ---- battery ---- */

static void read_supply(const char *root, const char *supply, struct flo_sensed *out)
{
    char path[512];
    char text[TEXT_BYTES];
    int64_t percent;

    snprintf(path, sizeof(path), "/sys/class/power_supply/%s/type", supply);
    if (!read_text(root, path, text) || strncmp(text, "Battery", 7) != 0) {
        return;
    }
    snprintf(path, sizeof(path), "/sys/class/power_supply/%s/scope", supply);
    if (read_text(root, path, text) && strncmp(text, "Device", 6) == 0) {
        return; /* the battery of a peripheral, such as a mouse, does not count */
    }
    snprintf(path, sizeof(path), "/sys/class/power_supply/%s/capacity", supply);
    if (!read_number(root, path, &percent) || percent < 0 || percent > 100) {
        return;
    }
    if (out->battery_pct < 0 || percent < out->battery_pct) {
        out->battery_pct = (int32_t)percent;
    }
    snprintf(path, sizeof(path), "/sys/class/power_supply/%s/status", supply);
    if (read_text(root, path, text) && strncmp(text, "Discharging", 11) == 0) {
        out->is_discharging = true;
    }
}

/* ---- clock ---- */

static void read_clock(const char *root, const char *cpu, struct flo_sensed *out)
{
    char path[512];
    int64_t now, max;

    snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s/cpufreq/scaling_cur_freq", cpu);
    if (!read_number(root, path, &now) || now <= 0) {
        return;
    }
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/%s/cpufreq/cpuinfo_max_freq", cpu);
    if (read_number(root, path, &max) && max > 0 &&
        (out->clock_khz == 0 || (uint64_t)now < out->clock_khz)) {
        out->clock_khz = (uint64_t)now;
        out->clock_khz_max = (uint64_t)max;
    }
}

/* ---- all ---- */

typedef void reader(const char *root, const char *name, struct flo_sensed *out);

/* Calls `read` for each entry of a folder whose name begins with `prefix`. */
static void each(const char *root, const char *path, const char *prefix, reader *read,
                 struct flo_sensed *out)
{
    char whole[TEXT_BYTES];
    struct dirent *entry;
    DIR *dir;

    snprintf(whole, sizeof(whole), "%s%s", root, path);
    dir = opendir(whole);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            read(root, entry->d_name, out);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

void flo_sensors_read(const char *root, struct flo_sensed *out)
{
    struct flo_cgroup_limits limits;
    char text[TEXT_BYTES];

    memset(out, 0, sizeof(*out));
    out->battery_pct = -1;
    out->psi_cpu = pressure(root, "/proc/pressure/cpu", &out->has_pressure);
    out->psi_memory = pressure(root, "/proc/pressure/memory", &out->has_pressure);
    out->psi_io = pressure(root, "/proc/pressure/io", &out->has_pressure);
    if (read_text(root, "/proc/loadavg", text)) {
        out->load_centi = centi(text);
    }
    read_memory(root, out);
    flo_cgroup_limits(root, &limits);
    out->cgroup_bytes_max = limits.memory_bytes_max;
    out->cgroup_bytes = limits.memory_bytes;
    each(root, "/sys/class/thermal", "thermal_zone", read_zone, out);
    each(root, "/sys/class/power_supply", "", read_supply, out);
    each(root, "/sys/devices/system/cpu", "cpu", read_clock, out);
}
