/* Energy: reads the kernel's counters of energy and batteries; see energy.h. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/rows.h>

#include "agent/shell/benchmark/benchmark.h"

#define TEXT_BYTES 64
#define POWERCAP "/sys/class/powercap"
#define SUPPLIES "/sys/class/power_supply"

/* Reads the first line of a small file.  Returns 0 or a negative errno. */
static int read_line(const char *root, const char *folder, const char *name, const char *file,
                     char out[TEXT_BYTES])
{
    char path[4400];
    size_t got = 0;
    FILE *stream;

    out[0] = '\0';
    if (snprintf(path, sizeof(path), "%s%s/%s/%s", root, folder, name, file) >= (int)sizeof(path)) {
        return -ENAMETOOLONG;
    }
    stream = fopen(path, "re");
    if (stream == NULL) {
        return -errno;
    }
    got = fread(out, 1, TEXT_BYTES - 1, stream);
    fclose(stream);
    out[got] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return out[0] == '\0' ? -EIO : 0;
}

/* Reads a number without a sign.  Returns 0 or a negative errno. */
static int read_number(const char *root, const char *folder, const char *name, const char *file,
                       uint64_t *out)
{
    char text[TEXT_BYTES];
    char *end = NULL;
    int rv = read_line(root, folder, name, file, text);

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (rv == 0 &&
        (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value > INT64_MAX)) {
        rv = -EIO;
    } else if (rv == 0) {
        *out = value;
    }
    return rv;
}

/* ---- processors ---- */

/* Packages by name: a machine may show one twice, by two drivers. */
struct packages {
    const char *root;
    const char *driver; /* beginning of the folders that count now */
    struct flo_energy *out;
    char names[FLO_ENERGY_ZONES_MAX][TEXT_BYTES];
};

static bool has_name(const struct packages *packages, const char *name)
{
    return flo_rows_find(name, packages->names, packages->out->zone_count,
                         sizeof(packages->names[0]), 0) != NULL;
}

/* Adds a package.  Parts of packages, such as intel-rapl:0:1, and the whole
 * machine (psys) are left out, as they count the same energy once more. */
static void add_zone(struct packages *packages, const char *zone)
{
    struct flo_energy *out = packages->out;
    size_t driver = strlen(packages->driver);
    char name[TEXT_BYTES];
    uint64_t uj = 0, max_uj = 0;

    if (strncmp(zone, packages->driver, driver) != 0 || strchr(zone + driver, ':') != NULL ||
        out->zone_count == FLO_ENERGY_ZONES_MAX ||
        read_line(packages->root, POWERCAP, zone, "name", name) < 0 ||
        strncmp(name, "package-", strlen("package-")) != 0 || has_name(packages, name)) {
        return;
    }
    int rv = read_number(packages->root, POWERCAP, zone, "energy_uj", &uj);
    if (rv == -EACCES || rv == -EPERM) {
        out->source = FLO_ENERGY_UNREADABLE;
    }
    if (rv < 0 || out->source == FLO_ENERGY_UNREADABLE) {
        return;
    }
    (void)read_number(packages->root, POWERCAP, zone, "max_energy_range_uj", &max_uj);
    memcpy(packages->names[out->zone_count], name, sizeof(name));
    out->zones[out->zone_count].uj = uj;
    out->zones[out->zone_count++].max_uj = max_uj;
    out->source = FLO_ENERGY_READ;
}

/* Calls `add` for each entry of the folder, in the order of their names. */
static void each(const char *root, const char *folder, void (*add)(void *context, const char *name),
                 void *context)
{
    struct dirent **entries = NULL;
    char path[4200];
    int count;

    if (snprintf(path, sizeof(path), "%s%s", root, folder) >= (int)sizeof(path)) {
        return;
    }
    count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            add(context, entries[i]->d_name);
        }
        free(entries[i]);
    }
    free(entries);
}

static void on_zone(void *context, const char *name)
{
    add_zone(context, name);
}

/* ---- batteries ---- */

struct batteries {
    const char *root;
    struct flo_energy *out;
};

/* Reads the charge in 1e-6 Wh.  Some batteries count 1e-6 Ah instead. */
static uint64_t charge(const char *root, const char *name, const char *energy, const char *ampere)
{
    uint64_t uwh = 0, uah = 0, uv = 0;

    if (read_number(root, SUPPLIES, name, energy, &uwh) == 0) {
        return uwh;
    }
    return read_number(root, SUPPLIES, name, ampere, &uah) == 0 &&
                   read_number(root, SUPPLIES, name, "voltage_now", &uv) == 0
               ? (uint64_t)((double)uah * (double)uv / 1e6)
               : 0;
}

static void on_supply(void *context, const char *name)
{
    const struct batteries *batteries = context;
    const char *root = batteries->root;
    struct flo_energy *out = batteries->out;
    char text[TEXT_BYTES];
    uint64_t pct = 0;

    if (read_line(root, SUPPLIES, name, "type", text) < 0 || strcmp(text, "Battery") != 0 ||
        (read_line(root, SUPPLIES, name, "scope", text) == 0 && strcmp(text, "Device") == 0)) {
        return;
    }
    out->has_battery = true;
    out->is_discharging |=
        read_line(root, SUPPLIES, name, "status", text) == 0 && strcmp(text, "Discharging") == 0;
    out->battery_uwh += charge(root, name, "energy_now", "charge_now");
    out->battery_full_uwh += charge(root, name, "energy_full", "charge_full");
    if (read_number(root, SUPPLIES, name, "capacity", &pct) == 0 && pct <= 100) {
        out->battery_pct = (int32_t)pct;
    }
}

void flo_energy_read(const char *root, struct flo_energy *out)
{
    static const char *const drivers[] = {"intel-rapl:", "intel-rapl-mmio:"};
    struct packages packages = {.root = root, .out = out};
    struct batteries batteries = {root, out};

    memset(out, 0, sizeof(*out));
    out->battery_pct = -1;
    for (size_t i = 0; i < FLO_COUNT(drivers); i++) {
        packages.driver = drivers[i];
        each(root, POWERCAP, on_zone, &packages);
    }
    each(root, SUPPLIES, on_supply, &batteries);
    if (out->source == FLO_ENERGY_UNREADABLE) {
        out->zone_count = 0; /* a sum of some packages says nothing */
    }
}
