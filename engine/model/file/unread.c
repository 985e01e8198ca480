/* Unread: see unread.h. */
#include "engine/model/file/unread.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>

#include "engine/model/file/hparams.h"

/* Values that a key which is not read may have. */
enum rule {
    RULE_ANY,
    RULE_MOST,       /* a number of at most `other`; true is 1 */
    RULE_SAME,       /* the number of the key `other` */
    RULE_EXPERTLESS, /* anything in a file without experts */
    RULE_GATING,     /* the function of the family's router */
    RULE_CAUSAL,     /* false for encoders, true for others */
    RULE_ACTIVATION, /* the family's activation, by a name of it */
    RULE_WINDOW,     /* no window, or one that is at least as large as the context */
};

static const struct row {
    const char *name;
    enum rule rule;
    const char *other;
} rows[] = {
#define UNREAD(name, rule, other, why) {name, RULE_##rule, other},
#define OTHER(name, why)
#include "engine/model/file/unread.def"
#undef UNREAD
#undef OTHER
};

/* Keys of tokenizers and adapters that are read elsewhere, or that no answer depends on. */
static const char *const others[] = {
#define UNREAD(name, rule, other, why)
#define OTHER(name, why) name,
#include "engine/model/file/unread.def"
#undef UNREAD
#undef OTHER
};

struct reading {
    const struct flo_gguf *gguf;
    const struct flo_arch *arch;
    const struct flo_hparams *hparams;
};

static bool number_at(const struct flo_gguf *gguf, const char *key, double *out)
{
    uint32_t whole = 0;
    float real = 0;
    bool is_on = false;

    if (flo_gguf_find(gguf, key) == NULL) {
        return false;
    }
    if (flo_gguf_bool(gguf, key, &is_on, NULL) == 0) {
        *out = is_on ? 1 : 0;
    } else if (flo_gguf_u32(gguf, key, &whole, NULL) == 0) {
        *out = whole;
    } else if (flo_gguf_f32(gguf, key, &real, NULL) == 0) {
        *out = (double)real;
    } else {
        return false;
    }
    return true;
}

static bool is_gating(const struct flo_arch *arch, double value)
{
    static const double functions[] = {
        [FLO_ROUTE_SOFTMAX_TOP] = 1, [FLO_ROUTE_SIGMOID] = 2, [FLO_ROUTE_TOP_SOFTMAX] = 3};

    return value == 0 || value == functions[arch->router];
}

static bool is_activation(const struct reading *r, const char *key)
{
    static const char *const names[] = {
        [FLO_SILU] = " silu swish ",
        [FLO_GELU] = " gelu_pytorch_tanh gelu_new gelu_fast ",
        [FLO_GELU_ERF] = " gelu gelu_erf ",
        [FLO_RELU2] = " relu2 ",
        [FLO_SWIGLU_CLAMPED] = " silu swish ",
    };
    char text[32] = " ";

    flo_gguf_copy_string(r->gguf, key, text + 1, sizeof(text) - 2);
    strcat(text, " ");
    return strstr(names[r->arch->activation], text) != NULL;
}

static bool fits(const struct reading *r, const struct row *row, const char *key)
{
    char other[128];
    double value = 0, wanted = 0;
    bool is_number = number_at(r->gguf, key, &value);

    switch (row->rule) {
    case RULE_ANY:
        return true;
    case RULE_MOST:
        return is_number && value <= strtod(row->other, NULL);
    case RULE_SAME:
        snprintf(other, sizeof(other), "%s.%s", flo_arch_name(r->arch), row->other);
        return is_number && number_at(r->gguf, other, &wanted) && value == wanted;
    case RULE_EXPERTLESS:
        return r->hparams->n_expert == 0;
    case RULE_GATING:
        return is_number && is_gating(r->arch, value);
    case RULE_CAUSAL:
        return is_number && (value == 0) == r->arch->is_encoder;
    case RULE_ACTIVATION:
        return is_activation(r, key);
    case RULE_WINDOW:
        return is_number && (value == 0 || value >= r->hparams->context_trained);
    }
    return false;
}

static bool is_passed(const struct reading *r, const char *key, const char *name)
{
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return fits(r, &rows[i], key);
        }
    }
    return false;
}

static bool is_other(const char *key)
{
    for (size_t i = 0; i < FLO_COUNT(others); i++) {
        size_t bytes = strlen(others[i]);
        bool is_prefix = others[i][bytes - 1] == '.';
        if (is_prefix ? strncmp(others[i], key, bytes) == 0 : strcmp(others[i], key) == 0) {
            return true;
        }
    }
    return strncmp(key, "tokenizer.", strlen("tokenizer.")) != 0 &&
           strncmp(key, "adapter.", strlen("adapter.")) != 0;
}

static bool is_accepted(const struct flo_gguf *gguf, const char *key)
{
    const struct flo_gguf_kv *list = NULL;

    if (flo_gguf_array(gguf, FLO_ACCEPTED_KEY, FLO_GGUF_STRING, &list, NULL) < 0 || list == NULL) {
        return false;
    }
    const uint8_t *at = list->data;
    for (uint64_t i = 0; i < list->count; i++) {
        if (flo_gguf_text_is(flo_gguf_next_string(&at), key)) {
            return true;
        }
    }
    return false;
}

int flo_unread_check(const struct flo_gguf *gguf, struct flo_err *err)
{
    size_t count = flo_gguf_kv_count(gguf);
    FLO_CLEANUP(flo_free_cleanup) bool *seen = calloc(count + 1, sizeof(*seen));
    struct flo_hparams hparams;
    struct reading r = {.gguf = gguf, .hparams = &hparams};

    if (seen == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the keys of a model");
    }
    bool is_model = flo_hparams_look(gguf, seen, &r.arch, &hparams, NULL) == 0;
    const char *arch = is_model ? flo_arch_name(r.arch) : "";
    size_t bytes = strlen(arch);
    for (size_t i = 0; i < count; i++) {
        struct flo_gguf_text text = flo_gguf_kv_at(gguf, i)->key;
        char key[128];
        snprintf(key, sizeof(key), "%.*s", (int)(text.bytes < 127 ? text.bytes : 127), text.data);
        bool is_family = is_model && strncmp(key, arch, bytes) == 0 && key[bytes] == '.';
        bool is_known = is_family ? seen[i] || is_passed(&r, key, key + bytes + 1) : is_other(key);
        if (!is_known && !is_accepted(gguf, key)) {
            flo_fail(err, FLO_E_GGUF_HPARAM, "\"%.100s\" is not read, and may change answers", key);
            return flo_err_fix(err,
                               "flotilla-model import FILE --to NEW --accept-unknown %.100s passes "
                               "it over, and the new file says so",
                               key);
        }
    }
    return 0;
}
