/* Accelerators: finds GPUs and NPUs by their device nodes in /dev.
 *
 * Names and memory come from files below /proc and /sys; a value that the
 * kernel does not tell stays empty.  The nodes are opened by nobody here, so a
 * driver or library that is missing does not show. */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/shell/hardware/hardware.h"
#include "base/small.h"

#define FOUND_MAX 64
#define PATH_BYTES 512
#define TEXT_BYTES 4096
#define NAME_BYTES sizeof(((struct flo_accelerator *)NULL)->name)
#define VENDOR_AMD "0x1002"

struct found {
    const char *root;
    struct flo_accelerator list[FOUND_MAX];
    size_t count;
};

static void add(struct found *found, const char *kind, const char *name, uint64_t memory_bytes)
{
    if (found->count < FOUND_MAX) {
        struct flo_accelerator *one = &found->list[found->count++];
        snprintf(one->kind, sizeof(one->kind), "%s", kind);
        flo_text_clean(name, strlen(name), one->name, sizeof(one->name));
        one->memory_bytes = memory_bytes;
    }
}

static bool has_node(const struct found *found, const char *folder, const char *name)
{
    char path[PATH_BYTES];

    return snprintf(path, sizeof(path), "%s%s%s", found->root, folder, name) < (int)sizeof(path) &&
           access(path, F_OK) == 0;
}

/* Reads a small file; an unreadable file gives "". */
static void read_text(const struct found *found, const char *folder, const char *name,
                      const char *file, char out[TEXT_BYTES])
{
    char path[PATH_BYTES];

    out[0] = '\0';
    if (snprintf(path, sizeof(path), "%s%s%s%s", found->root, folder, name, file) <
        (int)sizeof(path)) {
        (void)flo_small_read(path, out, TEXT_BYTES);
    }
}

/* Copies the rest of the line that begins with `key`, without blanks at its
 * ends; "": there is no such line. */
static void copy_value(const char *text, const char *key, char *out, size_t out_bytes)
{
    const char *line = text;
    size_t chars;

    while (line != NULL && strncmp(line, key, strlen(key)) != 0) {
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    line = line != NULL ? line + strlen(key) : "";
    line += strspn(line, " \t");
    chars = strcspn(line, "\n");
    while (chars > 0 && isspace((unsigned char)line[chars - 1])) {
        chars--;
    }
    chars = chars < out_bytes ? chars : out_bytes - 1;
    memcpy(out, line, chars);
    out[chars] = '\0';
}

typedef void look_fn(struct found *found, const char *name);

/* Calls `look` for each entry of a folder that is `prefix` and a number. */
static void each(struct found *found, const char *folder, const char *prefix, look_fn *look)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof(path), "%s%s", found->root, folder);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        const char *number = entry->d_name + strlen(prefix);
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && number[0] != '\0' &&
            number[strspn(number, "0123456789")] == '\0') {
            look(found, entry->d_name);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

/* ---- NVIDIA ---- */

/* Finds the name of the GPU whose node is /dev/nvidia<minor>; "": the driver
 * tells none. */
static void nvidia_name(const struct found *found, const char *minor, char out[NAME_BYTES])
{
    char path[PATH_BYTES], text[TEXT_BYTES], value[16];
    struct dirent *entry;
    DIR *dir;

    out[0] = '\0';
    snprintf(path, sizeof(path), "%s/proc/driver/nvidia/gpus", found->root);
    dir = opendir(path);
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        read_text(found, "/proc/driver/nvidia/gpus/", entry->d_name, "/information", text);
        copy_value(text, "Device Minor:", value, sizeof(value));
        if (strcmp(value, minor) == 0) {
            copy_value(text, "Model:", out, NAME_BYTES);
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static void look_at_nvidia(struct found *found, const char *node)
{
    char name[NAME_BYTES];

    nvidia_name(found, node + strlen("nvidia"), name);
    add(found, "cuda", name, 0);
}

/* ---- render nodes, NPUs ---- */

/* Makes a name of what the kernel tells about a device: the product, or else
 * its driver and PCI id, as "amdgpu 1002:744c". */
static void device_name(const struct found *found, const char *folder, const char *node,
                        char out[NAME_BYTES])
{
    char text[TEXT_BYTES], driver[32], vendor[16], device[16];

    read_text(found, folder, node, "/device/product_name", text);
    copy_value(text, "", out, NAME_BYTES);
    if (out[0] != '\0') {
        return;
    }
    read_text(found, folder, node, "/device/uevent", text);
    copy_value(text, "DRIVER=", driver, sizeof(driver));
    read_text(found, folder, node, "/device/vendor", text);
    copy_value(text, "0x", vendor, sizeof(vendor));
    read_text(found, folder, node, "/device/device", text);
    copy_value(text, "0x", device, sizeof(device));
    bool has_id = vendor[0] != '\0' && device[0] != '\0';
    snprintf(out, NAME_BYTES, "%s%s%s%s%s", driver, driver[0] != '\0' && has_id ? " " : "",
             has_id ? vendor : "", has_id ? ":" : "", has_id ? device : "");
}

static void look_at_render_node(struct found *found, const char *node)
{
    static const char folder[] = "/sys/class/drm/";
    char text[TEXT_BYTES], vendor[16], name[NAME_BYTES];
    uint64_t memory_bytes;

    if (!has_node(found, "/dev/dri/", node)) {
        return;
    }
    device_name(found, folder, node, name);
    read_text(found, folder, node, "/device/mem_info_vram_total", text);
    memory_bytes = text[0] == '-' ? 0 : strtoull(text, NULL, 10);
    memory_bytes = memory_bytes <= INT64_MAX ? memory_bytes : 0;
    read_text(found, folder, node, "/device/vendor", text);
    copy_value(text, "", vendor, sizeof(vendor));
    if (strcmp(vendor, VENDOR_AMD) == 0 && has_node(found, "/dev/", "kfd")) {
        add(found, "rocm", name, memory_bytes);
    }
    add(found, "vulkan", name, memory_bytes);
}

static void look_at_npu(struct found *found, const char *node)
{
    char name[NAME_BYTES];

    device_name(found, "/sys/class/accel/", node, name);
    add(found, "npu", name, 0);
}

/* ---- all ---- */

static int compare(const void *a, const void *b)
{
    const struct flo_accelerator *one = a;
    const struct flo_accelerator *other = b;
    int order = strcmp(one->kind, other->kind);

    order = order != 0 ? order : strcmp(one->name, other->name);
    return order != 0 ? order
                      : (one->memory_bytes > other->memory_bytes) -
                            (one->memory_bytes < other->memory_bytes);
}

/* Takes the first of each kind, or all further ones, while there is room. */
static void take(const struct found *found, bool takes_first, struct flo_machine *out)
{
    for (size_t i = 0; i < found->count; i++) {
        bool is_first = i == 0 || strcmp(found->list[i].kind, found->list[i - 1].kind) != 0;
        if (is_first == takes_first && out->accelerator_count < FLO_ACCELERATORS_MAX) {
            out->accelerators[out->accelerator_count++] = found->list[i];
        }
    }
}

void flo_accelerators_look(const char *root, struct flo_machine *out)
{
    struct found found = {.root = root};

    each(&found, "/dev", "nvidia", look_at_nvidia);
    each(&found, "/sys/class/drm", "renderD", look_at_render_node);
    each(&found, "/dev/accel", "accel", look_at_npu);
    qsort(found.list, found.count, sizeof(found.list[0]), compare);
    out->accelerator_count = 0;
    take(&found, true, out);
    take(&found, false, out);
    qsort(out->accelerators, out->accelerator_count, sizeof(out->accelerators[0]), compare);
}
