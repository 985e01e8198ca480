/* flotilla-engine inspect: prints a model file's contents, as text or JSON. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/gguf/gguf.h"
#include "base/quant/quant.h"
#include "engine/chat/template.h"
#include "engine/commands/commands.h"
#include "engine/model/file/packed.h"
#include "engine/model/file/unread.h"
#include "engine/token/token.h"
#include "engine/tools/common.h"

#define ISSUES_MAX 16

/* Numbers that describe the model's shape.  Each has a name in the JSON, and a
 * key in the file, which follows the architecture's name. */
enum { LAYERS, CONTEXT, EMBEDDING, HEADS, KV_HEADS, FEED_FORWARD, SHAPES };
static const struct {
    const char *name, *key;
} shapes[SHAPES] = {
    [LAYERS] = {"layers", "block_count"},
    [CONTEXT] = {"context", "context_length"},
    [EMBEDDING] = {"embedding", "embedding_length"},
    [HEADS] = {"heads", "attention.head_count"},
    [KV_HEADS] = {"kv_heads", "attention.head_count_kv"},
    [FEED_FORWARD] = {"feed_forward", "feed_forward_length"},
};

struct inspect {
    struct flo_tool tool; /* words: FILE */
    bool is_quick;
    struct flo_gguf *gguf;
    uint64_t parameters;
    uint64_t type_values[FLO_QUANT_ID_COUNT];
    size_t type_tensors[FLO_QUANT_ID_COUNT];
    uint32_t shape[SHAPES];
    uint32_t vocabulary;
    uint64_t labels; /* number of outputs of the model's ranking head; 0: it has none */
    char tokenizer[72];
    struct flo_template chat;
    uint64_t packed_bytes; /* size of the packed file; 0: no tensor can be packed */
    size_t packed_tensors;
    /* Reasons why a file that opens will not run; each is a sentence with an
     * error id. */
    struct flo_err issues[ISSUES_MAX];
    size_t n_issues;
    struct flo_buf out;
};

/* ---- learning ---- */

static struct flo_err *next_issue(struct inspect *f)
{
    return &f->issues[f->n_issues < ISSUES_MAX ? f->n_issues : ISSUES_MAX - 1];
}

static void note(struct inspect *f, int rv)
{
    if (rv < 0 && f->n_issues < ISSUES_MAX) {
        f->n_issues++;
    }
}

static uint32_t arch_u32(struct inspect *f, struct flo_gguf_text arch, const char *tail)
{
    char key[160];
    uint32_t value = 0;
    snprintf(key, sizeof(key), "%.*s.%s", arch.bytes < 64 ? (int)arch.bytes : 64, arch.data, tail);
    const struct flo_gguf_kv *kv = flo_gguf_find(f->gguf, key);
    if (kv != NULL && kv->type == FLO_GGUF_ARRAY) {
        return 0; /* arrays with an entry per layer are not shown */
    }
    note(f, flo_gguf_u32(f->gguf, key, &value, next_issue(f)));
    return value;
}

static void count_tensors(struct inspect *f)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(f->gguf); i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(f->gguf, i);
        f->parameters += tensor->values;
        f->type_values[tensor->type] += tensor->values;
        f->type_tensors[tensor->type]++;
    }
}

static void learn_head(struct inspect *f)
{
    const struct flo_gguf_tensor *head = flo_gguf_tensor_find(f->gguf, "cls.output.weight");

    f->labels = head == NULL ? 0 : head->dims[1];
}

static void learn_vocabulary(struct inspect *f)
{
    const struct flo_gguf_kv *tokens = NULL;
    struct flo_vocab *vocab = NULL;
    note(f,
         flo_gguf_array(f->gguf, "tokenizer.ggml.tokens", FLO_GGUF_STRING, &tokens, next_issue(f)));
    f->vocabulary = tokens != NULL ? (uint32_t)tokens->count : 0;
    if (flo_gguf_find(f->gguf, "tokenizer.ggml.model") != NULL) {
        note(f, flo_vocab_open(f->gguf, &vocab, next_issue(f)));
    }
    if (vocab != NULL) {
        const struct flo_vocab_facts *v = flo_vocab_facts(vocab);
        snprintf(f->tokenizer, sizeof(f->tokenizer), "%s/%s", v->model, v->pre);
    }
    note(f, flo_template_find(f->gguf, vocab, NULL, &f->chat, next_issue(f)));
    flo_vocab_close(vocab);
}

/* Estimates the size of the file that flotilla-engine pack would write. */
static void learn_packed(struct inspect *f)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_packing packing;

    if (flo_file_open(f->tool.args.words[0], &fd, NULL) == 0 &&
        flo_packing_open(fd, false, &packing, NULL) == 0) {
        f->packed_bytes = flo_sidecar_bytes(packing.sidecar);
        f->packed_tensors = flo_sidecar_tensors(packing.sidecar);
        flo_packing_close(&packing);
    }
}

static void learn(struct inspect *f)
{
    struct flo_gguf_text arch = {"", 0}, type = {"", 0};
    note(f, flo_gguf_string(f->gguf, "general.architecture", &arch, next_issue(f)));
    count_tensors(f);
    for (size_t i = 0; i < SHAPES; i++) {
        f->shape[i] = arch_u32(f, arch, shapes[i].key);
    }
    learn_vocabulary(f);
    learn_head(f);
    note(f, flo_gguf_string(f->gguf, "general.type", &type, next_issue(f)));
    if (!flo_gguf_text_is(type, "adapter")) {
        note(f, flo_model_check(f->gguf, false, NULL, next_issue(f)));
    }
    note(f, flo_unread_check(f->gguf, next_issue(f)));
    if (!f->is_quick) {
        note(f, flo_gguf_scan_nonfinite(f->gguf, next_issue(f)));
    }
    learn_packed(f);
}

/* Returns the text of a key; empty if the key is absent or has no text. */
static struct flo_gguf_text text_of(const struct flo_gguf *gguf, const char *key)
{
    struct flo_gguf_text text = {"", 0};
    return flo_gguf_string(gguf, key, &text, NULL) < 0 ? (struct flo_gguf_text){"", 0} : text;
}

/* ---- JSON ---- */

static void json_tensors(struct flo_buf *out, const struct flo_gguf *gguf)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *t = flo_gguf_tensor_at(gguf, i);
        flo_tool_json(out, i == 0 ? "{\"name\":" : ",{\"name\":", t->name);
        flo_buf_printf(out, ",\"type\":\"%s\",\"dims\":[", flo_quant_type(t->type)->name);
        for (int k = 0; k < t->dim_count; k++) {
            flo_buf_printf(out, "%s%" PRIu64, k == 0 ? "" : ",", t->dims[k]);
        }
        flo_buf_printf(out, "],\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64 "}", t->offset, t->bytes);
    }
}

static void json_types(struct flo_buf *out, const struct inspect *f)
{
    const char *comma = "";
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        if (f->type_tensors[id] > 0) {
            flo_buf_printf(out, "%s\"%s\":{\"tensors\":%zu,\"values\":%" PRIu64 "}", comma,
                           flo_quant_type(id)->name, f->type_tensors[id], f->type_values[id]);
            comma = ",";
        }
    }
}

/* Writes a key's value: numbers and strings in full, arrays as their size. */
static void json_value(struct flo_buf *out, const struct flo_gguf *gguf,
                       const struct flo_gguf_kv *kv)
{
    char key[256];
    uint64_t whole = 0;
    float real = 0;
    if (kv->type == FLO_GGUF_STRING) {
        flo_buf_text(out, "\"");
        flo_buf_json_text(out, (const char *)kv->data, (size_t)kv->bytes);
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
    for (size_t i = 0; i < flo_gguf_kv_count(gguf); i++) {
        const struct flo_gguf_kv *kv = flo_gguf_kv_at(gguf, i);
        flo_buf_text(out, i == 0 ? "\"" : ",\"");
        flo_buf_json_text(out, kv->key.data, kv->key.bytes);
        flo_buf_text(out, "\":");
        json_value(out, gguf, kv);
    }
}

static void write_json(struct flo_buf *out, const struct inspect *f)
{
    static const char *const texts[][2] = {
        {"architecture", "general.architecture"},
        {"name", "general.name"},
        {"release_version", "general.version"},
        {"license", "general.license"},
    };
    flo_buf_printf(out,
                   "{\"format\":\"gguf\",\"version\":%" PRIu32 ",\"bytes\":%" PRIu64
                   ",\"data_offset\":%" PRIu64 ",\"alignment\":%" PRIu32 ",",
                   flo_gguf_version(f->gguf), flo_gguf_file_bytes(f->gguf),
                   flo_gguf_data_offset(f->gguf), flo_gguf_alignment(f->gguf));
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_gguf_text text = text_of(f->gguf, texts[i][1]);
        flo_buf_printf(out, "\"%s\":\"", texts[i][0]);
        flo_buf_json_text(out, text.data, text.bytes);
        flo_buf_text(out, "\",");
    }
    flo_buf_printf(out, "\"parameters\":%" PRIu64 ",", f->parameters);
    for (size_t i = 0; i < SHAPES; i++) {
        flo_buf_printf(out, "\"%s\":%" PRIu32 ",", shapes[i].name, f->shape[i]);
    }
    flo_buf_printf(out,
                   "\"vocabulary\":%" PRIu32 ",\"tokenizer\":\"%s\","
                   "\"template\":\"%s\",\"labels\":%" PRIu64 ",\"packed_bytes\":%" PRIu64
                   ",\"types\":{",
                   f->vocabulary, f->tokenizer, f->chat.name, f->labels, f->packed_bytes);
    json_types(out, f);
    flo_buf_text(out, "},\"metadata\":{");
    json_keys(out, f->gguf);
    flo_buf_text(out, "},\"tensors\":[");
    json_tensors(out, f->gguf);
    flo_buf_text(out, "],\"issues\":[");
    for (size_t i = 0; i < f->n_issues; i++) {
        const struct flo_err *err = &f->issues[i];
        flo_tool_json(out, i == 0 ? "{\"id\":" : ",{\"id\":", flo_error_id(err->code));
        flo_tool_json(out, ",\"what\":", err->what);
        flo_buf_text(out, "}");
    }
    flo_buf_text(out, "]}\n");
}

/* ---- for people ---- */

static void write_text(struct flo_buf *out, const struct inspect *f)
{
    static const char *const texts[][2] = {
        {"name", "general.name"},
        {"version", "general.version"},
        {"licence", "general.license"},
        {"arch", "general.architecture"},
    };
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        struct flo_gguf_text text = text_of(f->gguf, texts[i][1]);
        flo_buf_printf(out, "%-11s", texts[i][0]);
        flo_buf_json_text(out, text.data, text.bytes); /* controls escaped */
        flo_buf_text(out, text.bytes > 0 ? "\n" : "-\n");
    }
    flo_buf_printf(out,
                   "%-11s%" PRIu64 " bytes, gguf v%" PRIu32 "\n"
                   "%-11s%" PRIu64 " parameters, %" PRIu32 " layers, ctx %" PRIu32
                   ", width %" PRIu32 ", heads %" PRIu32 "/%" PRIu32 ", ffn %" PRIu32 "\n"
                   "%-11s%s, %" PRIu32 " tokens\n%-11s%s\n",
                   "file", flo_gguf_file_bytes(f->gguf), flo_gguf_version(f->gguf), "shape",
                   f->parameters, f->shape[LAYERS], f->shape[CONTEXT], f->shape[EMBEDDING],
                   f->shape[HEADS], f->shape[KV_HEADS], f->shape[FEED_FORWARD], "tokenizer",
                   f->tokenizer[0] != '\0' ? f->tokenizer : "-", f->vocabulary, "template",
                   f->chat.name);
    if (f->labels > 0) {
        flo_buf_printf(out, "%-11sdocuments, by a head of %" PRIu64 " labels\n", "ranks",
                       f->labels);
    }
    flo_buf_printf(out, "%-11s%zu in bounds:", "tensors", flo_gguf_tensor_count(f->gguf));
    flo_tool_types(f->type_tensors, out);
    if (f->packed_bytes > 0) {
        flo_buf_printf(out, "%-11s%" PRIu64 " bytes, %zu tensors\n", "packed", f->packed_bytes,
                       f->packed_tensors);
    }
    for (size_t i = 0; i < f->n_issues; i++) {
        flo_buf_printf(out, "%-11s%s: %s\n", "issue", flo_error_id(f->issues[i].code),
                       f->issues[i].what);
    }
}

static int inspect(void *context, struct flo_err *err)
{
    struct inspect *f = context;
    FLO_TRY(flo_gguf_open_path(f->tool.args.words[0], &f->gguf, err));
    learn(f);
    (f->tool.args.is_json ? write_json : write_text)(&f->out, f);
    return flo_tool_print(&f->out, "the report", err);
}

static struct inspect state = {.out.bytes_max = 1u << 30};
static const struct flo_flag flags[] = {
    {"quick", NULL, "the header only: do not search the weights for NaN",
     FLO_SWITCH(struct inspect, is_quick)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_inspect = {
    .name = "inspect",
    .help = "what a model file holds",
    .usage = "FILE [--json] [--quick]",
    .flags = {flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = inspect,
    .example = "helpdesk.gguf",
};
