/* The record files of the store: slots, device, the map of a download.
 *
 * First byte: bit 0 puts right CRCs on both records, so that what lies behind
 * the CRC is reached; bits 1-2 choose the file.  The rest is the file. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/fetch/part.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static struct flo_store *store;

static void remove_all(void)
{
    static const char *const names[] = {"partial", "slots", "blobs", "lock"};
    char path[256];

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", store->path, names[i]);
        if (unlink(path) < 0) {
            (void)rmdir(path);
        }
    }
    (void)rmdir(store->path);
    flo_store_close(store);
}

static void open_once(void)
{
    char dir[] = "/tmp/flo-fuzz-XXXXXX";

    if (store == NULL && (mkdtemp(dir) == NULL || flo_store_open(dir, true, &store, NULL) < 0)) {
        abort();
    }
    (void)atexit(remove_all);
}

static void put(int dir_fd, const char *name, const uint8_t *data, size_t bytes,
                size_t record_bytes, bool fix)
{
    uint8_t image[8192] = {0};
    size_t used = bytes < sizeof(image) ? bytes : sizeof(image);
    int fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        abort();
    }
    memcpy(image, data, used);
    if (fix) {
        used = sizeof(image);
        for (size_t at = 0; at < 8192; at += 4096) {
            flo_put_u32(image + at + record_bytes - 4, flo_crc32c(0, image + at, record_bytes - 4));
        }
    }
    if (pwrite(fd, image, used, 0) != (ssize_t)used) {
        abort();
    }
    close(fd);
}

static void read_slots(void)
{
    struct flo_slots slots;

    if (flo_store_slots_read(store, "tiny", &slots, NULL) == 0) {
        bool has_candidate = !flo_digest_is_zero(&slots.candidate);
        if (slots.phase > FLO_SLOT_TRIAL || has_candidate != (slots.phase != FLO_SLOT_IDLE) ||
            slots.rollout[FLO_NAME_MAX] != '\0' || slots.denial_count > FLO_DENIALS_MAX) {
            abort();
        }
        struct flo_order order = {.op = FLO_ORDER_ROLLBACK,
                                  .seq = 5,
                                  .from_count = 1,
                                  .from = {{{7}}},
                                  .to_previous = true};
        struct flo_digest body = {{7}};
        /* ... and of the era that the record names, which begins with it. */
        order.epoch = slots.era & 1;
        struct flo_device device = {.era = slots.era - order.epoch};
        (void)flo_statement_keep(&device, &slots, &order, &body);
        (void)flo_slots_heal(&slots);
        if (flo_store_slots_write(store, &slots, NULL) < 0) {
            abort();
        }
    }
    (void)unlinkat(store->slots_fd, "tiny.bin", 0);
}

static void read_device(void)
{
    struct flo_device device;

    if (flo_store_device_read(store, &device, NULL) == 0) {
        struct flo_order order = {.op = FLO_ORDER_PAUSE,
                                  .epoch = device.epoch,
                                  .seq = device.top + 1,
                                  .rollout = "r-0001"};
        struct flo_digest body = {{7}};
        (void)flo_statement_keep(&device, NULL, &order, &body);
        (void)flo_device_rollout(&device, "r-0001", 0);
        if (device.top < order.seq && order.seq != 0) {
            abort();
        }
        if (flo_store_device_write(store, &device, NULL) < 0) {
            abort();
        }
    }
    (void)unlinkat(store->slots_fd, "_device.bin", 0);
}

/* Whatever the map says, the part never claims bytes that it does not have. */
static void open_part(const uint8_t *data, size_t bytes, bool fix)
{
    struct flo_artifact artifact = {.digest = {{1}}, .bytes = 3000000};
    struct flo_part *part = NULL;
    char name[FLO_PART_NAME];

    flo_store_part_name(&artifact.digest, ".part", name);
    int fd = openat(store->partial_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, 3000000) < 0) {
        abort();
    }
    close(fd);
    flo_store_part_name(&artifact.digest, ".map", name);
    put(store->partial_fd, name, data, bytes, 512, fix);
    if (flo_part_open(store, &artifact, &part, NULL) == 0) {
        if (flo_part_position(part) > artifact.bytes) {
            abort();
        }
        flo_part_close(part);
    }
    flo_store_part_remove(store, &artifact.digest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 1) {
        return 0;
    }
    bool fix = (data[0] & 1) != 0;

    if (store == NULL) {
        open_once();
    }
    switch (data[0] >> 1 & 3) {
    case 0:
    case 1:
        put(store->slots_fd, "tiny.bin", data + 1, bytes - 1, 4096, fix);
        read_slots();
        break;
    case 2:
        put(store->slots_fd, "_device.bin", data + 1, bytes - 1, 4096, fix);
        read_device();
        break;
    default:
        open_part(data + 1, bytes - 1, fix);
        break;
    }
    return 0;
}
