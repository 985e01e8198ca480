/* flotilla-engine inspect: what a model file holds, for people and as JSON. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"
#include "engine/kernel/kernel.h"
#include "engine/model/hparams.h"
#include "engine/model/packed.h"
#include "engine/model/weights.h"
#include "engine/token/template.h"
#include "engine/token/token.h"
#include "engine/tools/options.h"
#include "engine/tools/tools.h"

#define ISSUES_MAX 16

/* Things that open but will not work; each a sentence with its error id. */
struct issues {
    struct flo_err items[ISSUES_MAX];
    size_t count;
};

static struct flo_err *next_issue(struct issues *issues)
{
    return &issues->items[issues->count < ISSUES_MAX ? issues->count
                                                     : ISSUES_MAX - 1];
}

static void note(struct issues *issues, int rv)
{
    if (rv < 0 && issues->count < ISSUES_MAX) {
        issues->count++;
    }
}

struct facts {
    uint64_t parameters;
    uint64_t type_values[FLO_QUANT_ID_COUNT];
    size_t type_tensors[FLO_QUANT_ID_COUNT];
    uint32_t layers, context, embedding, heads, kv_heads, feed_forward;
    uint32_t vocabulary;
    char tokenizer[72];
    struct flo_template chat;
    uint64_t packed_bytes; /* 0: nothing to pack */
    size_t packed_tensors;
    struct issues issues;
};

static struct flo_gguf_text text_of(const struct flo_gguf *gguf,
                                    const char *key, struct issues *issues)
{
    struct flo_gguf_text text = {"", 0};
    note(issues, flo_gguf_string(gguf, key, &text, next_issue(issues)));
    return text;
}

static uint32_t arch_u32(const struct flo_gguf *gguf, struct flo_gguf_text arch,
                         const char *tail, struct issues *issues)
{
    char key[160];
    uint32_t value = 0;
    snprintf(key, sizeof(key), "%.*s.%s",
             arch.bytes < 64 ? (int)arch.bytes : 64, arch.data, tail);
    const struct flo_gguf_kv *kv = flo_gguf_find(gguf, key);
    if (kv != NULL && kv->type == FLO_GGUF_ARRAY) {
        return 0; /* one per layer: no single number to show */
    }
    note(issues, flo_gguf_u32(gguf, key, &value, next_issue(issues)));
    return value;
}

static void count_tensors(const struct flo_gguf *gguf, struct facts *facts)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        facts->parameters += tensor->values;
        facts->type_values[tensor->type] += tensor->values;
        facts->type_tensors[tensor->type]++;
    }
}

static void learn_vocabulary(const struct flo_gguf *gguf, struct facts *facts)
{
    struct flo_vocab *vocab = NULL;
    struct issues *issues = &facts->issues;
    if (flo_gguf_find(gguf, "tokenizer.ggml.model") == NULL) {
        return;
    }
    int rv = flo_vocab_open(gguf, &vocab, next_issue(issues));
    note(issues, rv);
    if (rv == 0) {
        const struct flo_vocab_facts *v = flo_vocab_facts(vocab);
        snprintf(facts->tokenizer, sizeof(facts->tokenizer), "%s/%s", v->model,
                 v->pre);
        flo_vocab_close(vocab);
    }
}

/* Would this engine take it?  Parameters, then every tensor's shape. */
static int try_weights(const struct flo_gguf *gguf, struct flo_err *err)
{
    struct flo_gguf_text name = {"", 0};
    struct flo_hparams hparams;
    struct flo_weights weights = {0};
    int rv;
    if ((rv = flo_gguf_require(gguf, "general.architecture", err)) < 0 ||
        (rv = flo_gguf_string(gguf, "general.architecture", &name, err)) < 0) {
        return rv;
    }
    const struct flo_arch *arch = flo_arch_find(name);
    if (arch == NULL) {
        return flo_fail(err, FLO_E_MODEL_ARCH,
                        "architecture '%.*s' is not supported yet",
                        name.bytes < 64 ? (int)name.bytes : 64, name.data);
    }
    if ((rv = flo_hparams_read(gguf, arch, &hparams, err)) < 0) {
        return rv;
    }
    rv = flo_weights_bind(gguf, arch, &hparams, &flo_kernel_ref, &weights, err);
    flo_weights_deinit(&weights);
    return rv;
}

/* What flotilla-engine pack would write. */
static void learn_packed(const char *path, struct facts *facts)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_packing packing;

    if (flo_file_open(path, &fd, NULL) == 0 &&
        flo_packing_open(fd, false, &packing, NULL) == 0) {
        facts->packed_bytes = flo_sidecar_bytes(packing.sidecar);
        facts->packed_tensors = flo_sidecar_tensors(packing.sidecar);
        flo_packing_close(&packing);
    }
}

static void learn(const struct flo_gguf *gguf, bool is_scanned,
                  struct facts *facts)
{
    struct issues *issues = &facts->issues;
    const struct flo_gguf_kv *tokens = NULL;
    struct flo_gguf_text arch = text_of(gguf, "general.architecture", issues);
    count_tensors(gguf, facts);
    facts->layers = arch_u32(gguf, arch, "block_count", issues);
    facts->context = arch_u32(gguf, arch, "context_length", issues);
    facts->embedding = arch_u32(gguf, arch, "embedding_length", issues);
    facts->heads = arch_u32(gguf, arch, "attention.head_count", issues);
    facts->kv_heads = arch_u32(gguf, arch, "attention.head_count_kv", issues);
    facts->feed_forward = arch_u32(gguf, arch, "feed_forward_length", issues);
    note(issues, flo_gguf_array(gguf, "tokenizer.ggml.tokens", FLO_GGUF_STRING,
                                &tokens, next_issue(issues)));
    facts->vocabulary = tokens != NULL ? (uint32_t)tokens->count : 0;
    learn_vocabulary(gguf, facts);
    note(issues, flo_template_find(gguf, &facts->chat, next_issue(issues)));
    struct flo_gguf_text type = text_of(gguf, "general.type", issues);
    if (!flo_gguf_text_is(type, "adapter")) {
        note(issues, try_weights(gguf, next_issue(issues)));
    }
    if (is_scanned) {
        note(issues, flo_gguf_scan_nonfinite(gguf, next_issue(issues)));
    }
}

static void json_text(struct flo_buf *out, const char *name,
                      struct flo_gguf_text text)
{
    flo_buf_printf(out, "\"%s\":\"", name);
    flo_buf_json_text(out, text.data, text.bytes);
    flo_buf_text(out, "\",");
}

static void json_tensors(struct flo_buf *out, const struct flo_gguf *gguf)
{
    flo_buf_text(out, "\"tensors\":[");
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *t = flo_gguf_tensor_at(gguf, i);
        flo_buf_printf(out, "%s{\"name\":\"", i == 0 ? "" : ",");
        flo_buf_json_text(out, t->name, strlen(t->name));
        flo_buf_printf(out, "\",\"type\":\"%s\",\"dims\":[",
                       flo_quant_type(t->type)->name);
        for (int k = 0; k < t->dim_count; k++) {
            flo_buf_printf(out, "%s%" PRIu64, k == 0 ? "" : ",", t->dims[k]);
        }
        flo_buf_printf(out, "],\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64 "}",
                       t->offset, t->bytes);
    }
    flo_buf_text(out, "],");
}

static void json_types(struct flo_buf *out, const struct facts *facts)
{
    const char *comma = "";
    flo_buf_text(out, "\"types\":{");
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        if (facts->type_tensors[id] > 0) {
            flo_buf_printf(out,
                           "%s\"%s\":{\"tensors\":%zu,\"values\":%" PRIu64 "}",
                           comma, flo_quant_type(id)->name,
                           facts->type_tensors[id], facts->type_values[id]);
            comma = ",";
        }
    }
    flo_buf_text(out, "},");
}

/* A key's value: numbers and strings as they are, arrays by their size. */
static void json_value(struct flo_buf *out, const struct flo_gguf *gguf,
                       const struct flo_gguf_kv *kv)
{
    char key[256];
    uint64_t whole = 0;
    float real = 0;
    if (kv->type == FLO_GGUF_STRING) {
        flo_buf_text(out, "\"");
        flo_buf_json_text(out, (const char *)kv->data, kv->bytes);
        flo_buf_text(out, "\"");
        return;
    }
    if (kv->type == FLO_GGUF_ARRAY) {
        flo_buf_printf(out, "{\"items\":%" PRIu64 "}", kv->count);
        return;
    }
    if (kv->type == FLO_GGUF_BOOL) {
        flo_buf_text(out, kv->data[0] != 0 ? "true" : "false");
        return;
    }
    if (kv->key.bytes >= sizeof(key)) {
        flo_buf_text(out, "null");
        return;
    }
    memcpy(key, kv->key.data, kv->key.bytes);
    key[kv->key.bytes] = '\0';
    if (flo_gguf_f32(gguf, key, &real, NULL) == 0) {
        flo_buf_printf(out, isfinite(real) ? "%.9g" : "null", (double)real);
    } else if (flo_gguf_u64(gguf, key, &whole, NULL) == 0) {
        flo_buf_printf(out, "%" PRIu64, whole);
    } else {
        flo_buf_text(out, "null"); /* negative */
    }
}

static void json_keys(struct flo_buf *out, const struct flo_gguf *gguf)
{
    flo_buf_text(out, "\"metadata\":{");
    for (size_t i = 0; i < flo_gguf_kv_count(gguf); i++) {
        const struct flo_gguf_kv *kv = flo_gguf_kv_at(gguf, i);
        flo_buf_text(out, i == 0 ? "\"" : ",\"");
        flo_buf_json_text(out, kv->key.data, kv->key.bytes);
        flo_buf_text(out, "\":");
        json_value(out, gguf, kv);
    }
    flo_buf_text(out, "},");
}

static void json_issues(struct flo_buf *out, const struct issues *issues)
{
    flo_buf_text(out, "\"issues\":[");
    for (size_t i = 0; i < issues->count; i++) {
        const struct flo_err *err = &issues->items[i];
        flo_buf_printf(out, "%s{\"id\":\"%s\",\"what\":\"", i == 0 ? "" : ",",
                       flo_error_id(err->code));
        flo_buf_json_text(out, err->what, strlen(err->what));
        flo_buf_text(out, "\"}");
    }
    flo_buf_text(out, "]");
}

static void write_json(struct flo_buf *out, const struct flo_gguf *gguf,
                       const struct facts *facts)
{
    struct issues none = {0};
    flo_buf_printf(out,
                   "{\"format\":\"gguf\",\"version\":%d,\"bytes\":%" PRIu64
                   ",\"data_offset\":%" PRIu64 ",\"alignment\":%" PRIu32 ",",
                   FLO_GGUF_VERSION, flo_gguf_file_bytes(gguf),
                   flo_gguf_data_offset(gguf), flo_gguf_alignment(gguf));
    json_text(out, "architecture",
              text_of(gguf, "general.architecture", &none));
    json_text(out, "name", text_of(gguf, "general.name", &none));
    json_text(out, "release_version", text_of(gguf, "general.version", &none));
    json_text(out, "license", text_of(gguf, "general.license", &none));
    flo_buf_printf(
        out,
        "\"parameters\":%" PRIu64 ",\"layers\":%" PRIu32 ",\"context\":%" PRIu32
        ",\"embedding\":%" PRIu32 ",\"heads\":%" PRIu32 ",\"kv_heads\":%" PRIu32
        ",\"feed_forward\":%" PRIu32 ",\"vocabulary\":%" PRIu32
        ",\"tokenizer\":\"%s\",\"template\":\"%s\",",
        facts->parameters, facts->layers, facts->context, facts->embedding,
        facts->heads, facts->kv_heads, facts->feed_forward, facts->vocabulary,
        facts->tokenizer, facts->chat.name);
    flo_buf_printf(out, "\"packed_bytes\":%" PRIu64 ",", facts->packed_bytes);
    json_types(out, facts);
    json_keys(out, gguf);
    json_tensors(out, gguf);
    json_issues(out, &facts->issues);
    flo_buf_text(out, "}\n");
}

static void write_text(struct flo_buf *out, const struct flo_gguf *gguf,
                       const struct facts *facts)
{
    struct issues none = {0};
    static const char *const keys[][2] = {
        {"name", "general.name"},
        {"version", "general.version"},
        {"licence", "general.license"},
        {"arch", "general.architecture"},
    };
    for (size_t i = 0; i < FLO_COUNT(keys); i++) {
        struct flo_gguf_text text = text_of(gguf, keys[i][1], &none);
        flo_buf_printf(out, "%-11s", keys[i][0]);
        flo_buf_json_text(out, text.data, text.bytes); /* controls escaped */
        flo_buf_text(out, text.bytes > 0 ? "\n" : "-\n");
    }
    flo_buf_printf(
        out,
        "%-11s%" PRIu64 " bytes, gguf v%d\n"
        "%-11s%" PRIu64 " parameters, %" PRIu32 " layers, ctx %" PRIu32
        ", width %" PRIu32 ", heads %" PRIu32 "/%" PRIu32 ", ffn %" PRIu32 "\n"
        "%-11s%s, %" PRIu32 " tokens\n%-11s%s\n",
        "file", flo_gguf_file_bytes(gguf), FLO_GGUF_VERSION, "shape",
        facts->parameters, facts->layers, facts->context, facts->embedding,
        facts->heads, facts->kv_heads, facts->feed_forward, "tokenizer",
        facts->tokenizer[0] != '\0' ? facts->tokenizer : "-", facts->vocabulary,
        "template", facts->chat.name);
    flo_buf_printf(out, "%-11s%zu in bounds:", "tensors",
                   flo_gguf_tensor_count(gguf));
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        if (facts->type_tensors[id] > 0) {
            flo_buf_printf(out, " %zu %s", facts->type_tensors[id],
                           flo_quant_type(id)->name);
        }
    }
    flo_buf_text(out, "\n");
    if (facts->packed_bytes > 0) {
        flo_buf_printf(out, "%-11s%" PRIu64 " bytes, %zu tensors\n", "packed",
                       facts->packed_bytes, facts->packed_tensors);
    }
    for (size_t i = 0; i < facts->issues.count; i++) {
        flo_buf_printf(out, "%-11s%s: %s\n", "issue",
                       flo_error_id(facts->issues.items[i].code),
                       facts->issues.items[i].what);
    }
}

static int inspect(const char *path, bool is_json, bool is_scanned,
                   struct flo_err *err)
{
    struct flo_gguf *gguf;
    struct facts facts = {0};
    struct flo_buf out = {.bytes_max = 1u << 30};
    int rv = flo_gguf_open_path(path, &gguf, err);
    if (rv < 0) {
        return rv;
    }
    learn(gguf, is_scanned, &facts);
    learn_packed(path, &facts);
    if (is_json) {
        write_json(&out, gguf, &facts);
    } else {
        write_text(&out, gguf, &facts);
    }
    if (out.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "the report on %s", path);
    } else if (fwrite(out.data, 1, out.bytes, stdout) != out.bytes ||
               fflush(stdout) != 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "stdout");
    }
    flo_buf_deinit(&out);
    flo_gguf_close(gguf);
    return rv;
}

int flo_cmd_inspect(int argc, char **argv)
{
    const char *path = NULL;
    bool is_json = false;
    bool is_quick = false;
    const struct flo_option options[] = {
        {"json", FLO_OPTION_FLAG, &is_json, "one JSON object"},
        {"quick", FLO_OPTION_FLAG, &is_quick,
         "the header only: do not search the weights for NaN"},
    };
    struct flo_err err = {0};
    int code = flo_options_read(argc, argv, "inspect FILE [--json] [--quick]",
                                options, FLO_COUNT(options), &path, 1);
    if (code >= 0) {
        return code;
    }
    int rv = path == NULL
                 ? flo_fail(&err, FLO_E_USAGE, "the model's path is missing")
                 : inspect(path, is_json, !is_quick, &err);
    return rv < 0 ? (int)flo_err_print(stderr, &err) : FLO_EXIT_OK;
}
