/* Settings: reads, checks and prints the values that a person may set. */
#include "engine/talk/talk.h"

#include <stdlib.h>
#include <string.h>

enum kind { REAL, COUNT, WORD, TEXT };

static const struct setting {
    const char *name, *flag;
    enum kind kind;
    struct {
        double least, most, standard;
    } real;
    struct {
        uint64_t least, most, standard;
    } count;
    const char *help;
    size_t offset; /* offset of the value: a double, a uint64_t, or the text `system` */
} rows[] = {
#define FLO_SETTING(name, flag, kind, least, most, standard, help)                                 \
    {#name,                                                                                        \
     flag,                                                                                         \
     kind,                                                                                         \
     {(double)(least), (double)(most), (double)(standard)},                                        \
     {(uint64_t)(least), (uint64_t)(most), (uint64_t)(standard)},                                  \
     help,                                                                                         \
     offsetof(struct flo_talk_settings, name)},
#include "engine/talk/settings.def"
#undef FLO_SETTING
};
static const char *const thinking_words[FLO_THINKINGS] = {
    [FLO_THINKING_AUTO] = "auto",
    [FLO_THINKING_ON] = "on",
    [FLO_THINKING_OFF] = "off",
};

static void *place_of(struct flo_talk_settings *settings, const struct setting *row)
{
    return (char *)settings + row->offset;
}

static double real_of(const struct flo_talk_settings *settings, const struct setting *row)
{
    double value;
    memcpy(&value, (const char *)settings + row->offset, sizeof(value));
    return value;
}

static uint64_t count_of(const struct flo_talk_settings *settings, const struct setting *row)
{
    uint64_t value;
    memcpy(&value, (const char *)settings + row->offset, sizeof(value));
    return value;
}

static void put_count(struct flo_talk_settings *settings, const struct setting *row, uint64_t value)
{
    memcpy(place_of(settings, row), &value, sizeof(value));
}

static void put_real(struct flo_talk_settings *settings, const struct setting *row, double value)
{
    memcpy(place_of(settings, row), &value, sizeof(value));
}

void flo_talk_settings_deinit(struct flo_talk_settings *settings)
{
    free(settings->system);
    settings->system = NULL;
}

static void put_standard(struct flo_talk_settings *settings, const struct setting *row)
{
    if (row->kind == REAL) {
        put_real(settings, row, row->real.standard);
    } else if (row->kind == TEXT) {
        flo_talk_settings_deinit(settings);
    } else {
        put_count(settings, row, row->count.standard);
    }
}

void flo_talk_settings_init(struct flo_talk_settings *settings)
{
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        put_standard(settings, &rows[i]);
    }
}

/* ---- set ---- */

int flo_talk_setting_find(const char *word)
{
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        if (strcmp(word, rows[i].name) == 0 || strcmp(word, rows[i].flag) == 0) {
            return (int)i;
        }
    }
    return -1;
}

const char *flo_talk_setting_flag(int row)
{
    return row < (int)FLO_COUNT(rows) ? rows[row].flag : NULL;
}

static void add_range(const struct setting *row, struct flo_buf *out)
{
    if (row->kind == REAL) {
        flo_buf_printf(out, "from %g to %g", row->real.least, row->real.most);
    } else {
        flo_buf_printf(out, "from %llu to %llu", (unsigned long long)row->count.least,
                       (unsigned long long)row->count.most);
    }
}

static int refuse(const struct setting *row, const char *called, const char *text,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf range = {0};

    if (row->kind == WORD) {
        return flo_fail(err, FLO_E_USAGE, "%s is '%.40s', not auto, on or off", called, text);
    }
    add_range(row, &range);
    flo_fail(err, FLO_E_USAGE, "%s is '%.40s', must be %s", called, text,
             range.failed ? "" : range.data);
    return FLO_E_USAGE;
}

static int read_real(struct flo_talk_settings *settings, const struct setting *row,
                     const char *called, const char *text, struct flo_err *err)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= row->real.least && value <= row->real.most)) {
        return refuse(row, called, text, err);
    }
    put_real(settings, row, value + 0.0); /* adding 0.0 turns -0 into 0 */
    return 0;
}

static int read_count(struct flo_talk_settings *settings, const struct setting *row,
                      const char *called, const char *text, struct flo_err *err)
{
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (!flo_mul_u64(value, 10, &value) || !flo_add_u64(value, (uint64_t)(*at - '0'), &value)) {
            return refuse(row, called, text, err);
        }
    }
    if (at == text || *at != '\0' || value < row->count.least || value > row->count.most) {
        return refuse(row, called, text, err);
    }
    put_count(settings, row, value);
    return 0;
}

static int read_word(struct flo_talk_settings *settings, const struct setting *row,
                     const char *called, const char *text, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_THINKINGS; i++) {
        if (strcmp(text, thinking_words[i]) == 0) {
            put_count(settings, row, i);
            return 0;
        }
    }
    return refuse(row, called, text, err);
}

static int read_text(struct flo_talk_settings *settings, const struct setting *row,
                     const char *text, struct flo_err *err)
{
    char *copy = strdup(text);

    if (copy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%s", row->name);
    }
    free(settings->system);
    settings->system = copy;
    return 0;
}

int flo_talk_setting_put(struct flo_talk_settings *settings, int row, const char *called,
                         const char *text, struct flo_err *err)
{
    const struct setting *setting = &rows[row];

    if (strcmp(text, "default") == 0) {
        put_standard(settings, setting);
        return 0;
    }
    switch (setting->kind) {
    case REAL:
        return read_real(settings, setting, called, text, err);
    case COUNT:
        return read_count(settings, setting, called, text, err);
    case WORD:
        return read_word(settings, setting, called, text, err);
    default:
        return read_text(settings, setting, text, err);
    }
}

/* ---- tell ---- */

static void add_value(const struct flo_talk_settings *settings, const struct setting *row,
                      struct flo_buf *out)
{
    const char *text = settings->system;

    if (row->kind == REAL) {
        flo_buf_printf(out, "%.6g", real_of(settings, row));
    } else if (row->kind == WORD) {
        flo_buf_text(out, thinking_words[count_of(settings, row)]);
    } else if (row->kind == TEXT && text != NULL) {
        flo_talk_safe(text, strlen(text), out);
    } else if (row->kind == TEXT || count_of(settings, row) < row->count.least) {
        flo_buf_text(out, "none");
    } else {
        flo_buf_printf(out, "%llu", (unsigned long long)count_of(settings, row));
    }
}

void flo_talk_settings_tell(const struct flo_talk_settings *settings, struct flo_buf *out)
{
    for (size_t i = 0; i < FLO_COUNT(rows) && rows[i].kind != TEXT; i++) {
        flo_buf_printf(out, "%s%s ", i > 0 ? ", " : "", rows[i].name);
        add_value(settings, &rows[i], out);
    }
}

static void list(const struct flo_talk_settings *settings, struct flo_buf *out)
{
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_buf value = {0};
        add_value(settings, &rows[i], &value);
        flo_buf_printf(out, "  %-15s %-6s", rows[i].name, value.data != NULL ? value.data : "");
        flo_buf_deinit(&value);
        if (rows[i].kind == REAL || rows[i].kind == COUNT) {
            flo_buf_text(out, " ");
            add_range(&rows[i], out);
            flo_buf_text(out, ";");
        }
        flo_buf_printf(out, " %s\n", rows[i].help);
    }
}

int flo_talk_settings_set(struct flo_talk_settings *settings, const char *words,
                          struct flo_buf *out, struct flo_err *err)
{
    const char *names[FLO_COUNT(rows)];
    char name[32] = "";
    size_t chars = strcspn(words, " ");
    const char *value = words + chars + strspn(words + chars, " ");

    if (words[0] == '\0') {
        list(settings, out);
        return 0;
    }
    if (chars < sizeof(name)) {
        memcpy(name, words, chars);
    }
    int row = flo_talk_setting_find(name);
    if (row < 0) {
        for (size_t i = 0; i < FLO_COUNT(rows); i++) {
            names[i] = rows[i].name;
        }
        const char *near = flo_nearest(name, names, FLO_COUNT(rows));
        flo_fail(err, FLO_E_USAGE, "there is no value `%.*s`", chars > 40 ? 40 : (int)chars, words);
        return near != NULL ? flo_err_fix(err, "did you mean `%s`?", near)
                            : flo_err_fix(err, "/set lists them");
    }
    if (value[0] == '\0') {
        flo_fail(err, FLO_E_USAGE, "`/set %s` needs a value", name);
        return flo_err_fix(err, "/set %s default, for the first one", name);
    }
    FLO_TRY(flo_talk_setting_put(settings, row, rows[row].name, value, err));
    flo_buf_printf(out, "%s ", rows[row].name);
    add_value(settings, &rows[row], out);
    flo_buf_text(out, "\n");
    return 0;
}

/* ---- use ---- */

void flo_talk_settings_sampling(const struct flo_talk_settings *settings, struct flo_sampling *out)
{
    *out = (struct flo_sampling){
        /* With top_p 0 only the best token is left, as with temperature 0. */
        .temperature = settings->top_p > 0 ? (float)settings->temperature : 0,
        .top_p = (float)settings->top_p,
        .top_k = (uint32_t)settings->top_k,
        .min_p = (float)settings->min_p,
        .repeat_penalty = settings->repeat_last_n > 0 ? (float)settings->repeat_penalty : 1,
        .repeat_last = (uint32_t)settings->repeat_last_n,
        .seed = settings->seed,
    };
}

void flo_talk_settings_json(const struct flo_talk_settings *settings, struct flo_buf *out)
{
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        const struct setting *row = &rows[i];

        if (row->kind == REAL) {
            flo_buf_printf(out, ",\"%s\":%.9g", row->name, real_of(settings, row));
        } else if (row->kind == COUNT && count_of(settings, row) >= row->count.least) {
            flo_buf_printf(out, ",\"%s\":%llu", row->name,
                           (unsigned long long)count_of(settings, row));
        }
    }
    if (settings->thinking != FLO_THINKING_AUTO) {
        flo_buf_printf(out, ",\"chat_template_kwargs\":{\"enable_thinking\":%s}",
                       settings->thinking == FLO_THINKING_ON ? "true" : "false");
    }
}
