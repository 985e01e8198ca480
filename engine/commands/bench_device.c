/* flotilla-engine bench --device: measures the machine's limits.
 *
 * It measures three numbers in at most two seconds.  They are the rate at which
 * all threads together read memory, the 8-bit operations per second of the
 * chosen kernel, and the rate at which a file is read from the disk.  The
 * process opens the file, then enters the engine's sandbox. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <flotilla/errors/memory.h>

#include "engine/commands/bench_device.h"
#include "engine/kernel/kernel.h"
#include "engine/run/run.h"

enum {
    THREADS_MAX = 64,
    MEMORY_MS = 600,
    INT8_MS = 400,
    READ_MS = 400,
    FILL_MS = 400,
    COLUMNS = 1024,
    ROWS = 64, /* rows of the matrix, which with COLUMNS fits into the caches */
    TOKENS = 8,
};
#define MEMORY_BYTES (UINT64_C(256) << 20) /* larger than the CPU's caches */
#define SLICE_BYTES_MIN (UINT64_C(1) << 20)
#define PIECE_BYTES ((size_t)1 << 20)

struct device {
    const struct flo_kernel *kernel;
    unsigned threads;
    uint8_t *memory;
    uint64_t slice_bytes;
    pthread_barrier_t barrier;
};
struct part {
    struct device *device;
    unsigned index;
    uint64_t read_bytes, read_us;
    uint64_t operations, compute_us;
    bool has_failed;
    uint64_t sum; /* sum of the bytes read; keeps the compiler from removing the reads */
};

/* ---- one thread ---- */

static uint64_t sum_of(const uint8_t *bytes, uint64_t count)
{
    const uint64_t *words = (const uint64_t *)(const void *)bytes;
    uint64_t sums[8] = {0};

    for (uint64_t i = 0; i + 8 <= count / 8; i += 8) {
        for (int k = 0; k < 8; k++) {
            sums[k] += words[i + (uint64_t)k];
        }
    }
    return sums[0] + sums[1] + sums[2] + sums[3] + sums[4] + sums[5] + sums[6] + sums[7];
}

/* Writes to each page of the slice, because unwritten pages all map to one page
 * of zeros. */
static uint64_t fill(uint8_t *slice, uint64_t bytes)
{
    uint64_t end_us = flo_now_us() + FILL_MS * 1000;
    uint64_t done = 0;

    while (done + SLICE_BYTES_MIN <= bytes && flo_now_us() < end_us) {
        memset(slice + done, 1, SLICE_BYTES_MIN);
        done += SLICE_BYTES_MIN;
    }
    return done;
}

static void read_memory(struct part *part)
{
    const struct device *device = part->device;
    uint8_t *slice = device->memory + part->index * device->slice_bytes;
    uint64_t bytes = fill(slice, device->slice_bytes);
    uint64_t begun_us, now_us;

    pthread_barrier_wait(&part->device->barrier);
    begun_us = now_us = flo_now_us();
    while (bytes > 0 && now_us - begun_us < MEMORY_MS * 1000) {
        for (uint64_t at = 0; at < bytes; at += SLICE_BYTES_MIN) {
            part->sum += sum_of(slice + at, SLICE_BYTES_MIN);
            part->read_bytes += SLICE_BYTES_MIN;
            now_us = flo_now_us();
            if (now_us - begun_us >= MEMORY_MS * 1000) {
                break;
            }
        }
    }
    part->read_us = now_us - begun_us;
}

struct product {
    float values[TOKENS * COLUMNS];
    int16_t codes[TOKENS * COLUMNS];
    float scales[TOKENS * COLUMNS / FLO_CODE_BLOCK];
    float sums[TOKENS * COLUMNS / 16];
    float y[TOKENS * ROWS];
    uint8_t weights[];
};

static void multiply(struct part *part, struct product *p, size_t row_bytes)
{
    const struct flo_kernel *kernel = part->device->kernel;
    struct flo_activations x = {p->values, p->codes, p->scales,      p->sums,
                                COLUMNS,   TOKENS,   FLO_PRECISION_8};
    uint64_t begun_us = flo_now_us(), now_us = begun_us;

    for (size_t t = 0; t < TOKENS; t++) {
        kernel->quantise(p->values + t * COLUMNS, COLUMNS, FLO_PRECISION_8, p->codes + t * COLUMNS,
                         p->scales + t * (COLUMNS / FLO_CODE_BLOCK),
                         p->sums + t * (COLUMNS / FLO_CODE_BLOCK));
    }
    while (now_us - begun_us < INT8_MS * 1000) {
        kernel->matmul[FLO_QUANT_Q8_0](p->weights, row_bytes, ROWS, &x, p->y, ROWS);
        part->operations += UINT64_C(2) * COLUMNS * ROWS * TOKENS;
        now_us = flo_now_us();
    }
    part->compute_us = now_us - begun_us;
}

static void compute(struct part *part)
{
    const struct flo_quant_type *type = flo_quant_type(FLO_QUANT_Q8_0);
    size_t row_bytes = flo_quant_bytes(type, COLUMNS);
    size_t bytes = (sizeof(struct product) + row_bytes * ROWS + 63) / 64 * 64;
    FLO_CLEANUP(flo_free_cleanup) struct product *p = aligned_alloc(64, bytes);

    if (p != NULL) {
        for (size_t i = 0; i < (size_t)TOKENS * COLUMNS; i++) {
            p->values[i] = (float)(i % 31) / 16.0f - 1.0f;
        }
        for (size_t r = 0; r < ROWS; r++) {
            type->encode(p->values, p->weights + r * row_bytes, COLUMNS);
        }
    }
    part->has_failed = p == NULL;
    pthread_barrier_wait(&part->device->barrier);
    if (p != NULL) {
        multiply(part, p, row_bytes);
    }
}

static void *run_part(void *context)
{
    read_memory(context);
    compute(context);
    return NULL;
}

/* ---- all ---- */

static uint64_t rate(uint64_t count, uint64_t us)
{
    return us == 0 ? 0 : (uint64_t)((double)count * 1e6 / (double)us);
}

/* Measures the disk's rate with reads that go around the page cache, so that
 * the serving model stays in it.  Returns 0 if the rate is unknown. */
static uint64_t read_rate(int fd)
{
    uint64_t begun_us = flo_now_us(), bytes = 0, us = 0;
    FLO_CLEANUP(flo_free_cleanup) uint8_t *piece = fd < 0 ? NULL : aligned_alloc(4096, PIECE_BYTES);
    ssize_t got = 1;

    while (piece != NULL && got > 0 && us < READ_MS * 1000) {
        got = pread(fd, piece, PIECE_BYTES, (off_t)bytes);
        bytes += got > 0 ? (uint64_t)got : 0;
        us = flo_now_us() - begun_us;
    }
    return bytes < PIECE_BYTES ? 0 : rate(bytes, us);
}

static int take_memory(struct device *device, struct flo_err *err)
{
    struct sysinfo info = {0};
    uint64_t bytes = MEMORY_BYTES;
    uint64_t left;

    (void)sysinfo(&info);
    left = (uint64_t)info.freeram * info.mem_unit / 4;
    bytes = left != 0 && left < bytes ? left : bytes;
    device->slice_bytes = bytes / device->threads / SLICE_BYTES_MIN * SLICE_BYTES_MIN;
    if (device->slice_bytes == 0) {
        return flo_fail(err, FLO_E_MEMORY_BUDGET,
                        "%" PRIu64 " bytes of memory are free, %u threads need "
                        "1 MiB each",
                        left * 4, device->threads);
    }
    device->memory = mmap(NULL, device->slice_bytes * device->threads, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return device->memory != MAP_FAILED ? 0 : flo_fail(err, FLO_E_MEMORY, "bench");
}

static int run_threads(struct device *device, struct part *parts, struct flo_err *err)
{
    pthread_t threads[THREADS_MAX];

    if (pthread_barrier_init(&device->barrier, NULL, device->threads) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "bench");
    }
    for (unsigned i = 0; i < device->threads; i++) {
        parts[i] = (struct part){.device = device, .index = i};
    }
    for (unsigned i = 1; i < device->threads; i++) {
        if (pthread_create(&threads[i], NULL, run_part, &parts[i]) != 0) {
            /* The started threads wait at the barrier for ever, but the process
             * exits now. */
            return flo_fail(err, FLO_E_MEMORY, "bench: thread %u", i);
        }
    }
    run_part(&parts[0]);
    for (unsigned i = 1; i < device->threads; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}

static int write_result(const struct device *device, const struct part *parts,
                        uint64_t read_bytes_per_s, uint64_t begun_us, int to, struct flo_err *err)
{
    uint64_t memory = 0, int8 = 0;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    for (unsigned i = 0; i < device->threads; i++) {
        memory += rate(parts[i].read_bytes, parts[i].read_us);
        int8 += rate(parts[i].operations, parts[i].compute_us);
    }
    flo_buf_printf(&text,
                   "{\"memory_bytes_per_s\":%" PRIu64 ",\"int8_ops_per_s\":%" PRIu64
                   ",\"read_bytes_per_s\":%" PRIu64
                   ",\"threads\":%u,\"kernel\":\"%s\",\"took_ms\":%" PRIu64 "}\n",
                   memory, int8, read_bytes_per_s, device->threads, device->kernel->name,
                   (flo_now_us() - begun_us) / 1000);
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "bench")
                       : flo_fd_write_all(to, text.data, text.bytes, err);
}

int flo_bench_device(const char *file, uint32_t to, struct flo_err *err)
{
    struct part parts[THREADS_MAX];
    struct device device = {.threads = flo_cpus_allowed()};
    uint64_t begun_us = flo_now_us();
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_kernel_choose(flo_kernel_spec(NULL), false, &device.kernel, err));
    if (device.threads > THREADS_MAX) {
        device.threads = THREADS_MAX;
    }
    if (file != NULL) { /* this may fail: not every file system supports direct reads */
        fd = open(file, O_RDONLY | O_CLOEXEC | O_DIRECT | O_NONBLOCK);
    }
    FLO_TRY(take_memory(&device, err));
    flo_sandbox_close_memory();
    FLO_TRY(flo_engine_sandbox_enter(FLO_SANDBOX_STARTING, FLO_SANDBOX_PREFERRED, err));
    FLO_TRY(run_threads(&device, parts, err));
    return write_result(&device, parts, read_rate(fd), begun_us, to == 0 ? STDOUT_FILENO : (int)to,
                        err);
}
