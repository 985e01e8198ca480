/* flotilla-engine pack: writes a model's weights in the layout of fast
 * kernels. */
#include <inttypes.h>

#include "engine/commands/commands.h"
#include "engine/model/file/packed.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define THREADS_MAX 64
#define PERCENT 100

struct pack {
    struct flo_tool tool; /* words: MODEL */
    const char *out;      /* path of the packed file; NULL: next to the model's file */
    bool is_probe;
    struct flo_packing packing;
    uint64_t started_us, shown;
};

static void show(void *context, uint64_t done, uint64_t total)
{
    struct pack *pack = context;
    uint64_t percent = done * PERCENT / total;

    if (percent != pack->shown) {
        pack->shown = percent;
        flo_tool_progress("packed, percent", percent, PERCENT, pack->started_us);
    }
}

static int write_packed(void *context, int fd, struct flo_err *err)
{
    struct pack *pack = context;
    uint64_t bytes = flo_sidecar_bytes(pack->packing.sidecar);

    FLO_TRY(flo_outfile_reserve(fd, bytes, "packed bytes", err));
    return flo_sidecar_write(pack->packing.sidecar, fd, (uint32_t)pack->tool.threads, show, pack,
                             err);
}

static void report(const struct pack *pack, const char *path)
{
    const struct flo_sidecar *sidecar = pack->packing.sidecar;
    uint64_t took_us = flo_now_us() - pack->started_us;

    if (pack->tool.args.is_json) {
        printf("{\"packed_bytes\":%" PRIu64 ",\"model_bytes\":%" PRIu64
               ",\"replaced_bytes\":%" PRIu64 ",\"tensors\":%zu,\"took_us\":"
               "%" PRIu64 ",\"written\":%s}\n",
               flo_sidecar_bytes(sidecar), flo_gguf_file_bytes(pack->packing.gguf),
               flo_sidecar_bytes_replaced(sidecar), flo_sidecar_tensors(sidecar), took_us,
               pack->is_probe ? "false" : "true");
    } else if (pack->is_probe) {
        printf("this machine reads packed weights; %zu tensors, %" PRIu64 " bytes\n",
               flo_sidecar_tensors(sidecar), flo_sidecar_bytes(sidecar));
    } else {
        printf("%s: %zu tensors, %" PRIu64 " bytes in %" PRIu64 " ms\n", path,
               flo_sidecar_tensors(sidecar), flo_sidecar_bytes(sidecar), took_us / 1000);
    }
}

static int run(void *context, struct flo_err *err)
{
    struct pack *pack = context;
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char beside[4096];

    if (snprintf(beside, sizeof(beside), "%s%s", pack->tool.args.words[0], FLO_SIDECAR_SUFFIX) >=
        (int)sizeof(beside)) {
        return flo_fail(err, FLO_E_USAGE, "the model's path is too long");
    }
    if (pack->tool.threads == 0) {
        unsigned cpus = flo_cpus_allowed();
        pack->tool.threads = cpus < THREADS_MAX ? cpus : THREADS_MAX;
    }
    const char *path = pack->out != NULL ? pack->out : beside;
    pack->started_us = flo_now_us();
    FLO_TRY(flo_file_open(pack->tool.args.words[0], &fd, err));
    int rv = flo_packing_open(fd, pack->is_probe, &pack->packing, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", pack->tool.args.words[0]);
    }
    if (!pack->is_probe) {
        rv = flo_outfile(path, (struct flo_inputs){{pack->tool.args.words[0]}}, write_packed, pack,
                         err);
    }
    if (rv == 0) {
        report(pack, path);
    }
    flo_packing_close(&pack->packing);
    return rv;
}

static struct pack state;
static const struct flo_flag flags[] = {
    {"o", "FILE", "(default: MODEL.packed)", FLO_TEXT(struct pack, out)},
    {"threads", "N", "(default: CPUs, at most 64)", FLO_U64(struct pack, tool.threads),
     .max = THREADS_MAX},
    {"probe", NULL, "only tell whether this machine reads packed weights of the model",
     FLO_SWITCH(struct pack, is_probe)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_pack = {
    .name = "pack",
    .help = "write the weights as fast kernels read them",
    .usage = "MODEL [-o FILE] [--probe]",
    .flags = {flags, FLO_FLAGS_JSON_ALONE},
    .state = &state,
    .run = run,
    .example = "helpdesk.gguf -o helpdesk.pack",
};
