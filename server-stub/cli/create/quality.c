/* Quality: a model whose types are chosen for the release, and the figures about
 * it that are signed.
 *
 * `flotilla-model quantize` chooses the types and writes a report, of which the
 * release's text `quality` is made.  Speeds are left out, because they are those
 * of the publisher's machine. */
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/host/json.h"
#include "server-stub/cli/create/create.h"

#define REPORT_BYTES_MAX (8u << 20)
#define WORDS_MAX 24

/* Flags that are passed on as they are. */
static const char *const passed_on[] = {"calibrate", "fit", "loss", "suite", "page"};

bool flo_create_chooses(const struct flo_cli *cli)
{
    return flo_args_has(&cli->args, "calibrate") || flo_args_has(&cli->args, "fit") ||
           flo_args_has(&cli->args, "loss");
}

/* ---- the figures ---- */

static const json_t *model_at(const json_t *report, size_t from_end)
{
    const json_t *models = flo_out_at(report, "table.models");
    size_t count = json_array_size(models);

    return count > from_end ? json_array_get(models, count - 1 - from_end) : NULL;
}

/* Appends the right answers of the chosen model and of the original. */
static void put_answers(const json_t *report, char *out, size_t out_bytes)
{
    const json_t *chosen = json_object_get(model_at(report, 0), "exact");
    const json_t *original =
        json_object_get(json_array_get(flo_out_at(report, "table.models"), 0), "exact");
    size_t used = strlen(out);

    if (json_is_integer(chosen) && json_is_integer(original)) {
        snprintf(out + used, out_bytes - used,
                 ", %lld of %" PRIu64 " answers right (original %lld)",
                 (long long)json_integer_value(chosen), flo_out_u64(report, "table.suite.cases"),
                 (long long)json_integer_value(original));
    }
}

static void put_quality(struct flo_create *create, const json_t *report)
{
    const json_t *kl = json_object_get(report, "kl_mean");
    size_t bytes = sizeof(create->quality);
    struct stat st = {0};

    (void)stat(create->imported, &st);
    int used = snprintf(create->quality, bytes, "%.32s: %llu bytes of %" PRIu64,
                        flo_out_text(report, "type", "?"), (unsigned long long)st.st_size,
                        flo_out_u64(report, "bytes_before"));
    if (json_is_number(kl)) {
        snprintf(create->quality + used, bytes - (size_t)used, ", KL %.4f nats per token",
                 json_number_value(kl));
    }
    put_answers(report, create->quality, bytes);
    if (create->author.quality == NULL) {
        create->author.quality = create->quality;
    }
}

static int read_report(struct flo_create *create, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *report = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(path, REPORT_BYTES_MAX, &text, &bytes, err));
    FLO_TRY(flo_json_parse(text, bytes, REPORT_BYTES_MAX, &report, err));
    put_quality(create, report);
    return 0;
}

/* ---- the model ---- */

int flo_create_quantize(struct flo_cli *cli, struct flo_create *create, const char *floats,
                        struct flo_err *err)
{
    char report[FLO_SCRATCH_BYTES + 16];
    char flags[FLO_COUNT(passed_on)][16];
    const char *words[WORDS_MAX] = {"quantize", floats, create->imported};
    const char *type = flo_args_text(&cli->args, "type", NULL);
    size_t count = 3;
    int status = 0;

    snprintf(report, sizeof(report), "%s/report.json", create->scratch);
    if (type != NULL) {
        words[count++] = type;
    }
    for (size_t i = 0; i < FLO_COUNT(passed_on); i++) {
        const char *value = flo_args_text(&cli->args, passed_on[i], NULL);
        if (value != NULL) {
            snprintf(flags[i], sizeof(flags[i]), "--%s", passed_on[i]);
            words[count++] = flags[i];
            words[count++] = value;
        }
    }
    words[count++] = "--report";
    words[count++] = report;
    FLO_TRY(flo_create_run_model_shown(cli, words, &status, err));
    FLO_TRY(flo_create_made(status, floats, err));
    return read_report(create, report, err);
}
