#include "engine/publish/budget.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/model.h>

#include "base/scratch.h"
#include "engine/publish/choice.h"
#include "engine/publish/fit.h"
#include "engine/publish/sensitivity.h"

/* Types that a tensor may get, besides its own; rows that are no multiple of 256
 * values get those with blocks of 32. */
static const uint32_t ladder[] = {
    FLO_QUANT_Q2_K, FLO_QUANT_Q3_K, FLO_QUANT_IQ4_XS, FLO_QUANT_Q4_K,
    FLO_QUANT_Q5_K, FLO_QUANT_Q6_K, FLO_QUANT_Q8_0,   FLO_QUANT_IQ4_NL,
    FLO_QUANT_Q4_1, FLO_QUANT_Q5_0, FLO_QUANT_Q5_1,
};
#define SAMPLE_PIECES 4    /* pieces of a tensor on which errors are measured */
#define ROUNDS_MAX 6       /* files that are measured for a stated loss */
#define AIM 0.97           /* share of the allowed loss that a corrected choice aims at */
#define NEAR 0.9           /* a file that has used this share of the loss is good enough */
#define HEAD_BYTES_MAX 256 /* what writing may add to a file's head */

struct tensor {
    size_t index; /* in the file */
    size_t group;
    double trial_error; /* share of the weighed squares that the trial type loses */
    double errors[FLO_QUANT_ID_COUNT];
};

struct work {
    const struct flo_budget *budget;
    struct flo_budget_result *result;
    uint32_t *trial; /* [tensors of the file]: types of the trial copy */
    struct tensor *tensors;
    struct flo_type_choice *choices; /* [count], as `tensors` */
    size_t count;
    uint64_t fixed_bytes; /* bytes of the file without these tensors */
};

/* ---- groups ---- */

static uint32_t layer_count(const struct flo_gguf *gguf)
{
    uint32_t count = 1;

    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        uint32_t layer = flo_mix_layer(flo_gguf_tensor_at(gguf, i));
        count = layer >= count ? layer + 1 : count;
    }
    return count;
}

static void name_group(const struct flo_gguf_tensor *tensor, uint32_t layers, char *name,
                       size_t size)
{
    static const char *const thirds[] = {"first", "middle", "last"};
    const char *kind = tensor->name;
    size_t chars = strlen(kind);

    chars -= chars > 7 && strcmp(kind + chars - 7, ".weight") == 0 ? 7 : 0;
    if (strncmp(kind, "blk.", 4) != 0) {
        snprintf(name, size, "%.*s", (int)(chars < 40 ? chars : 40), kind);
        return;
    }
    size_t before = 4 + strspn(kind + 4, "0123456789") + 1;
    before = before < chars ? before : 4;
    uint64_t third = (uint64_t)flo_mix_layer(tensor) * 3 / layers;
    chars = chars - before < 28 ? chars - before : 28;
    snprintf(name, size, "%.*s, %s layers", (int)chars, kind + before,
             layers < 3 ? "all" : thirds[third]);
}

/* Returns the group of this name, and makes it if there is room; else the
 * last. */
static size_t group_of(struct flo_budget_result *result, const char *name)
{
    for (size_t g = 0; g < result->group_count; g++) {
        if (strcmp(result->groups[g].name, name) == 0) {
            return g;
        }
    }
    if (result->group_count == FLO_BUDGET_GROUPS_MAX) {
        return FLO_BUDGET_GROUPS_MAX - 1;
    }
    snprintf(result->groups[result->group_count].name, sizeof(result->groups[0].name), "%s", name);
    return result->group_count++;
}

/* ---- tensors ---- */

static uint64_t padded(const struct work *work, uint64_t bytes)
{
    uint64_t alignment = flo_gguf_alignment(work->budget->source);

    return (bytes + alignment - 1) / alignment * alignment;
}

static uint64_t bytes_in(const struct work *work, const struct flo_gguf_tensor *tensor,
                         uint32_t type)
{
    return padded(work, flo_quant_bytes(flo_quant_type(type), (size_t)tensor->values));
}

static bool is_usable(const struct flo_gguf_tensor *tensor, uint32_t type)
{
    return tensor->dims[0] % flo_quant_type(type)->block_values == 0 &&
           flo_quant_bytes(flo_quant_type(type), (size_t)tensor->values) < tensor->bytes;
}

/* Returns the type of a tensor in the trial copy. */
static uint32_t trial_type(const struct flo_gguf_tensor *tensor)
{
    static const uint32_t types[] = {FLO_QUANT_Q4_K, FLO_QUANT_IQ4_NL};

    for (size_t i = 0; i < FLO_COUNT(types); i++) {
        if (is_usable(tensor, types[i])) {
            return types[i];
        }
    }
    return tensor->type;
}

static int list_tensors(struct work *work, struct flo_err *err)
{
    const struct flo_gguf *gguf = work->budget->source;
    size_t count = flo_gguf_tensor_count(gguf);
    uint32_t layers = layer_count(gguf);

    work->trial = calloc(count + 1, sizeof(*work->trial));
    work->tensors = calloc(count + 1, sizeof(*work->tensors));
    work->choices = calloc(count + 1, sizeof(*work->choices));
    work->result->group_of = calloc(count + 1, sizeof(*work->result->group_of));
    if (work->trial == NULL || work->tensors == NULL || work->choices == NULL ||
        work->result->group_of == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    work->fixed_bytes = flo_gguf_data_offset(gguf) + HEAD_BYTES_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(gguf, i);
        char name[48];
        work->trial[i] = tensor->type;
        work->result->group_of[i] = FLO_NO_GROUP;
        if (!flo_mix_is_matrix(tensor) || trial_type(tensor) == tensor->type) {
            work->fixed_bytes += padded(work, tensor->bytes);
            continue;
        }
        work->trial[i] = trial_type(tensor);
        name_group(tensor, layers, name, sizeof(name));
        size_t group = group_of(work->result, name);
        work->result->group_of[i] = group;
        work->result->groups[group].tensors++;
        work->tensors[work->count++] = (struct tensor){.index = i, .group = group};
    }
    return work->count > 0 ? 0
                           : flo_fail(err, FLO_E_USAGE, "%s has no tensor that could be smaller",
                                      work->budget->floats);
}

/* ---- errors ---- */

/* Measures which share of a tensor's weighed squares a type loses. */
static int measure_error(const struct work *work, const struct flo_gguf_tensor *tensor,
                         uint32_t type, double *share, struct flo_err *err)
{
    const struct flo_budget *budget = work->budget;
    struct flo_fit_counters counters = {0};
    const struct flo_fit fit = {
        .from = flo_quant_type(tensor->type),
        .to = flo_quant_type(type),
        .source = flo_gguf_tensor_data(budget->source, tensor),
        .values = tensor->values,
        .pieces_max = SAMPLE_PIECES,
        .importance = flo_importance_find(budget->importance, tensor->name),
        .row = tensor->dims[0],
        .plane = tensor->dims[0] * tensor->dims[1],
        .name = tensor->name,
    };

    FLO_TRY(flo_fit_run(&fit, budget->pool, budget->threads, &counters, err));
    *share = counters.value_weighed > 0 ? counters.error_weighed / counters.value_weighed : 0;
    return 0;
}

static int measure_errors(struct work *work, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();

    for (size_t i = 0; i < work->count; i++) {
        struct tensor *t = &work->tensors[i];
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(work->budget->source, t->index);
        for (size_t k = 0; k < FLO_COUNT(ladder); k++) {
            if (is_usable(tensor, ladder[k])) {
                FLO_TRY(measure_error(work, tensor, ladder[k], &t->errors[ladder[k]], err));
            }
        }
        t->trial_error = t->errors[work->trial[t->index]];
        flo_tool_progress("errors of tensor", i + 1, work->count, started_us);
    }
    return 0;
}

/* ---- files ---- */

/* Writes a file without a name, which other functions open by `path`. */
static int write_copy(const struct flo_budget *budget, const uint32_t *types, int *fd,
                      char path[32], struct flo_err *err)
{
    FLO_TRY(flo_scratch_file(NULL, fd, err));
    FLO_TRY(budget->write(budget->context, types, *fd, err));
    snprintf(path, 32, "/proc/self/fd/%d", *fd);
    return 0;
}

static int measure_groups(struct work *work, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    const struct flo_budget *budget = work->budget;
    struct flo_budget_result *result = work->result;
    double kls[FLO_BUDGET_GROUPS_MAX];
    char path[32];

    FLO_TRY(write_copy(budget, work->trial, &fd, path, err));
    const struct flo_sensitivity ask = {budget->floats, path, budget->text, budget->threads};
    FLO_TRY(flo_sensitivity_measure(&ask, budget->source, result->group_of, result->group_count,
                                    kls, err));
    for (size_t g = 0; g < result->group_count; g++) {
        result->groups[g].kl = kls[g];
    }
    return 0;
}

static int measure_file(const struct work *work, const uint32_t *types, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    const struct flo_budget *budget = work->budget;
    char path[32];

    FLO_TRY(write_copy(budget, types, &fd, path, err));
    const struct flo_sensitivity ask = {budget->floats, path, budget->text, budget->threads};
    work->result->rounds++;
    return flo_sensitivity_of_file(&ask, &work->result->kl, &work->result->positions, err);
}

/* ---- the choice ---- */

/* Shares the divergence of each group between its tensors, by their errors. */
static void make_options(struct work *work)
{
    double errors[FLO_BUDGET_GROUPS_MAX] = {0};

    for (size_t i = 0; i < work->count; i++) {
        errors[work->tensors[i].group] += work->tensors[i].trial_error;
    }
    for (size_t i = 0; i < work->count; i++) {
        const struct tensor *t = &work->tensors[i];
        const struct flo_gguf_tensor *tensor = flo_gguf_tensor_at(work->budget->source, t->index);
        double kl = work->result->groups[t->group].kl;
        double by = errors[t->group] > 0 && kl > 0 ? kl / errors[t->group] : 0;
        flo_choice_add(
            &work->choices[i],
            (struct flo_type_option){tensor->type, bytes_in(work, tensor, tensor->type), 0});
        for (size_t k = 0; k < FLO_COUNT(ladder); k++) {
            if (is_usable(tensor, ladder[k])) {
                flo_choice_add(&work->choices[i], (struct flo_type_option){
                                                      ladder[k], bytes_in(work, tensor, ladder[k]),
                                                      by * t->errors[ladder[k]]});
            }
        }
    }
}

static void take_types(const struct work *work, uint32_t *types)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(work->budget->source); i++) {
        types[i] = flo_gguf_tensor_at(work->budget->source, i)->type;
    }
    for (size_t i = 0; i < work->count; i++) {
        const struct flo_type_choice *choice = &work->choices[i];
        types[work->tensors[i].index] = choice->options[choice->chosen].type;
    }
}

/* Checks that the smallest types are small enough, before anything is
 * measured. */
static int check_size(const struct work *work, struct flo_err *err)
{
    uint64_t most = work->budget->bytes_max, least = work->fixed_bytes;

    for (size_t i = 0; i < work->count; i++) {
        const struct flo_gguf_tensor *tensor =
            flo_gguf_tensor_at(work->budget->source, work->tensors[i].index);
        uint64_t bytes = UINT64_MAX;
        for (size_t k = 0; k < FLO_COUNT(ladder); k++) {
            bool is_smaller =
                is_usable(tensor, ladder[k]) && bytes_in(work, tensor, ladder[k]) < bytes;
            bytes = is_smaller ? bytes_in(work, tensor, ladder[k]) : bytes;
        }
        least += bytes;
    }
    if (most > 0 && least > most) {
        flo_fail(err, FLO_E_USAGE,
                 "the smallest types need %" PRIu64 " bytes, --fit allows %" PRIu64, least, most);
        return flo_err_fix(err, "allow %" PRIu64 " bytes, or take a smaller model", least);
    }
    return 0;
}

static int choose_for_size(struct work *work, uint32_t *types, struct flo_err *err)
{
    bool fits =
        flo_choice_to_size(work->choices, work->count, work->budget->bytes_max - work->fixed_bytes);
    assert(fits); /* check_size() */
    (void)fits;
    take_types(work, types);
    return measure_file(work, types, err);
}

/* Chooses, measures and corrects.  The expected loss is right up to a factor,
 * which each measured file shows. */
static int choose_for_loss(struct work *work, uint32_t *types, struct flo_err *err)
{
    const double most = work->budget->kl_max;
    double aim = most;

    for (int round = 0; round < ROUNDS_MAX; round++) {
        bool is_possible = flo_choice_to_loss(work->choices, work->count, aim);
        double expected = flo_choice_loss(work->choices, work->count);
        take_types(work, types);
        FLO_TRY(measure_file(work, types, err));
        double kl = work->result->kl;
        if (kl <= most && (kl >= NEAR * most || round > 0)) {
            return 0;
        }
        if (!is_possible || !(expected > 0)) {
            break;
        }
        aim = AIM * most * expected / (kl > 0 ? kl : NEAR * most);
    }
    return work->result->kl <= most
               ? 0
               : flo_budget_missed(err, "divergence, in nats per token", work->result->kl, most);
}

int flo_budget_missed(struct flo_err *err, const char *what, double value, double most)
{
    return flo_fail(err, FLO_E_MODEL_GATE, "%s: %.6f, at most %.6f is allowed", what, value, most);
}

static int choose(struct work *work, uint32_t *types, struct flo_err *err)
{
    FLO_TRY(list_tensors(work, err));
    FLO_TRY(check_size(work, err));
    FLO_TRY(measure_errors(work, err));
    FLO_TRY(measure_groups(work, err));
    make_options(work);
    return work->budget->bytes_max > 0 ? choose_for_size(work, types, err)
                                       : choose_for_loss(work, types, err);
}

int flo_budget_choose(const struct flo_budget *budget, uint32_t *types,
                      struct flo_budget_result *result, struct flo_err *err)
{
    struct work work = {.budget = budget, .result = result};
    int rv = choose(&work, types, err);

    free(work.trial);
    free(work.tensors);
    free(work.choices);
    return rv;
}

/* ---- words ---- */

static bool read_number(const char *text, double *value, const char **rest)
{
    size_t digits = strspn(text, "0123456789.");

    *value = isdigit((unsigned char)text[0]) && tolower((unsigned char)text[1]) != 'x'
                 ? strtod(text, NULL)
                 : 0;
    *rest = text + digits;
    return *value > 0 && *value < 0x1p60;
}

int flo_budget_read_size(const char *text, uint64_t *bytes, struct flo_err *err)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1},         {"kB", 1e3},     {"MB", 1e6},    {"GB", 1e9},
                 {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}};
    const char *rest;
    double value;

    if (read_number(text, &value, &rest)) {
        for (size_t i = 0; i < FLO_COUNT(units); i++) {
            if (strcmp(rest, units[i].name) == 0) {
                *bytes = (uint64_t)(value * units[i].bytes);
                return 0;
            }
        }
    }
    flo_fail(err, FLO_E_USAGE, "--fit is '%s', not a size", text);
    return flo_err_fix(err, "such as 90MB or 1.2GiB");
}

int flo_budget_read_loss(const char *text, double *kl, struct flo_err *err)
{
    const char *rest;
    double value;

    if (read_number(text, &value, &rest) && strcmp(rest, "%") == 0 && value <= 100) {
        *kl = log1p(value / 100);
        return 0;
    }
    flo_fail(err, FLO_E_USAGE, "--loss is '%s', not a share up to 100%%", text);
    return flo_err_fix(err, "such as 1%% or 0.5%%");
}
