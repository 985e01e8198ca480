/* flotilla-model import: makes a GGUF file of a folder from Hugging Face. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/scratch.h"
#include "engine/model/file/arch.h"
#include "engine/publish/commands.h"
#include "engine/publish/explain.h"
#include "engine/publish/import/family.h"
#include "engine/publish/import/run.h"
#include "engine/publish/join.h"
#include "engine/tools/common.h"
#include "engine/tools/outfile.h"

#define THREADS_MAX 64

struct import {
    struct flo_tool tool; /* options; the word is the folder */
    const char *type;
    const char *to;
    struct flo_import_options options;
    struct flo_import folder;
    struct flo_produce produce;
    struct flo_resume resume;
    uint64_t bytes; /* size of the written file */
    bool is_known;  /* the engine runs the architecture */
    bool explains;
};

/* Reads the written file's head, as the engine will. */
static int check_written(struct import *import, int fd, struct flo_err *err)
{
    struct flo_gguf *written = NULL;
    const struct flo_arch *arch;
    FLO_TRY(flo_gguf_open_fd(fd, &written, err));
    import->bytes = flo_gguf_file_bytes(written);
    import->is_known = flo_arch_read(written, &arch, NULL) == 0;
    flo_gguf_close(written);
    return 0;
}

static int write_file(void *context, int fd, struct flo_err *err)
{
    struct import *import = context;
    FLO_TRY(flo_import_write(&import->folder, &import->produce, &import->resume, fd, err));
    return check_written(import, fd, err);
}

/* Says whose values the file has, if the folder was quantised. */
static void report_quantised(const struct import *import, struct flo_buf *out)
{
    const struct flo_quantised *quantised = &import->folder.quantised;
    if (quantised->method != NULL) {
        flo_buf_printf(out,
                       "the folder was quantised by %s (%u bits): its values are kept, not the "
                       "original model's\n",
                       quantised->method, quantised->bits);
    }
    if (import->folder.is_twice) {
        flo_buf_printf(out,
                       "warning: --type %s quantises these values a second time, and both losses "
                       "add up; f16 and bf16 keep them, or take the original folder\n",
                       import->type);
    }
}

static void report(const struct import *import, struct flo_buf *out)
{
    size_t counts[FLO_QUANT_ID_COUNT] = {0};
    const struct flo_keys *keys = &import->folder.keys;
    const struct flo_gguf_edit *licence = flo_keys_find(keys, "general.license");
    const struct flo_quantised *quantised = &import->folder.quantised;
    for (size_t i = 0; i < import->folder.output_count; i++) {
        counts[import->folder.outputs[i].head.type]++;
    }
    if (import->tool.args.is_json) {
        flo_buf_printf(out,
                       "{\"architecture\":\"%s\",\"tensors\":%zu,\"tensors_of_earlier_run\":%zu,"
                       "\"bytes\":%" PRIu64 ",",
                       keys->arch, import->folder.output_count, import->resume.tensors,
                       import->bytes);
        flo_tool_json(out, "\"size\":", flo_keys_find(keys, "general.size_label")->text);
        flo_tool_json(out, ",\"license\":", licence != NULL ? licence->text : "");
        flo_tool_json(out,
                      ",\"quantised_by\":", quantised->method != NULL ? quantised->method : "");
        flo_buf_printf(out, ",\"is_quantised_twice\":%s,\"is_known\":%s}\n",
                       import->folder.is_twice ? "true" : "false",
                       import->is_known ? "true" : "false");
        return;
    }
    flo_buf_printf(out, "%s: architecture %s, %" PRIu64 " bytes\n", import->to, keys->arch,
                   import->bytes);
    if (import->resume.tensors > 0) {
        flo_buf_printf(out, "an earlier run had written %zu of the tensors\n",
                       import->resume.tensors);
    }
    flo_buf_text(out, "tensors:");
    flo_tool_types(counts, out);
    flo_buf_printf(out, "licence: %s\n",
                   licence != NULL ? licence->text : "the folder's README.md names none");
    if (flo_config_find(&import->folder.config, "auto_map") != NULL) {
        flo_buf_text(out, "the folder's own code (auto_map) was not run\n");
    }
    flo_explain_names(&import->folder.reading.report, "left", "left to the request: ", out);
    flo_explain_names(&import->folder.reading.report, "passed",
                      "weights that are not taken: ", out);
    flo_explain_names(&import->folder.reading.report, "accepted",
                      "accepted, and passed over: ", out);
    report_quantised(import, out);
    if (!import->is_known) {
        flo_buf_printf(out, "this version's engine does not run %s; other runtimes may\n",
                       keys->arch);
    }
}

static int import_folder(struct import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    char config[PATH_MAX];
    snprintf(config, sizeof(config), "%s/config.json", import->options.folder);
    const struct flo_inputs inputs = {{config}};
    FLO_TRY(flo_import_open(&import->folder, &import->options, &import->produce, err));
    flo_explain_set(&import->folder.keys, &import->folder.reading);
    if (strstr(import->to, "/flotilla-scratch-") == NULL) { /* `release create` tells it itself */
        flo_interrupt_text("flotilla-model import: stopped; the same command goes on, `rm %s.part` "
                           "removes what is done\n",
                           import->to);
    }
    int rv = flo_outfile_go_on(import->to, inputs, write_file, import, err);
    flo_interrupt_text("%s", "");
    FLO_TRY(rv);
    report(import, &text);
    return flo_tool_print(&text, "the report", err);
}

static int explain_folder(struct import *import, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    const struct flo_buf *report = &import->folder.reading.report;
    int rv = flo_import_open(&import->folder, &import->options, &import->produce, err);
    flo_explain(report, import->tool.args.is_json, &text);
    struct flo_err ignored = {0};
    int printed = flo_tool_print(&text, "the report", rv == 0 ? err : &ignored);
    if (rv == 0) {
        rv = printed;
    }
    return rv;
}

static int run(void *context, struct flo_err *err)
{
    struct import *import = context;
    unsigned cpus = flo_cpus_allowed();
    if (import->type != NULL) {
        FLO_TRY(flo_mix_read(import->type, &import->options.mix, err));
    }
    import->options.folder = import->tool.args.words[0];
    import->options.threads = import->tool.threads != 0 ? (unsigned)import->tool.threads : cpus < THREADS_MAX ? cpus
        : THREADS_MAX;
    struct stat status;
    if (stat(import->options.folder, &status) == 0 && S_ISREG(status.st_mode)) {
        return import->explains || import->type != NULL
                   ? flo_fail(err, FLO_E_USAGE,
                              "--explain and --type are for folders; quantize gives a GGUF file "
                              "other types")
                   : flo_join(&import->tool.args, import->to, err);
    }
    FLO_TRY(flo_explain_accept(&import->folder.reading, &import->tool.args, err));
    int rv = (import->explains ? explain_folder : import_folder)(import, err);
    flo_produce_close(&import->produce);
    flo_import_close(&import->folder);
    return rv;
}

static struct import state;
static const struct flo_flag flags[] = {
    {"to", "FILE", "the new GGUF file", FLO_TEXT(struct import, to), .is_needed = true,
     .unless = "explain"},
    {"type", "TYPE", "type of the weights, as of quantize (default: the folder's own)",
     FLO_TEXT(struct import, type)},
    {"threads", "N", "(default: all CPUs)", FLO_U64(struct import, tool.threads), .min = 1,
     .max = THREADS_MAX},
    FLO_FLAG_ACCEPT,
    {"explain", NULL, "only print what is done with each key of the folder's files",
     FLO_SWITCH(struct import, explains)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_import = {
    .name = "import",
    .help = "make a GGUF file of a Hugging Face folder, or of the parts of one",
    .usage = "DIR|PART [--to FILE] [--type TYPE] [--explain]",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = run,
    .example = "helpdesk-folder --type q4_k_m --to helpdesk.gguf",
    .more = "An interrupted import leaves FILE.part.  The same command goes on with it.\n",
};
