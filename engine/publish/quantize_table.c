/* Quantize table: the chosen file next to the original and to copies with 8 and
 * with 4 bits, on a suite, or on passages of the text of the calibration. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/calibration.h"
#include "engine/publish/quantize_run.h"
#include "engine/tools/outfile.h"

#define COPIES "q8_0,q4_k_m"
#define TOKENS_MAX 64         /* longest answer if the suite sets no length */
#define PASSAGES_MAX 12       /* prompts that are made of a text */
#define PASSAGE_BYTES_MIN 40  /* shorter lines are no prompts */
#define PASSAGE_BYTES_MAX 400 /* longest prompt; the rest of a line is left out */
#define TEXT_BYTES_MAX (1u << 20)

/* ---- prompts of a text ---- */

/* Cuts a line so that no character is broken. */
static void cut(char *line)
{
    size_t bytes = strlen(line);

    bytes = bytes < PASSAGE_BYTES_MAX ? bytes : PASSAGE_BYTES_MAX;
    while (bytes > 0 && ((unsigned char)line[bytes] & 0xc0) == 0x80) {
        bytes--;
    }
    line[bytes] = '\0';
}

/* Makes lines of the suite's text to prompts without a right answer. */
static int ask_lines(struct flo_suite *suite, struct flo_err *err)
{
    char *rest = NULL;

    suite->cases = calloc(PASSAGES_MAX, sizeof(*suite->cases));
    if (suite->cases == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%d prompts", PASSAGES_MAX);
    }
    suite->tasks[0] = "";
    suite->n_tasks = 1;
    for (char *line = strtok_r(suite->text, "\r\n", &rest);
         line != NULL && suite->count < PASSAGES_MAX; line = strtok_r(NULL, "\r\n", &rest)) {
        if (strlen(line) >= PASSAGE_BYTES_MIN) {
            struct flo_suite_case *one = &suite->cases[suite->count++];
            cut(line);
            one->number = (uint32_t)suite->count;
            one->prompt = line;
        }
    }
    return suite->count > 0
               ? 0
               : flo_fail(err, FLO_E_USAGE, "the text has no line of %d bytes for the table",
                          PASSAGE_BYTES_MIN);
}

static int read_text(const char *path, struct flo_suite *suite, struct flo_err *err)
{
    struct flo_buf text = {0};
    size_t bytes;

    if (strcmp(path, FLO_CALIBRATION_BUILT_IN) != 0) {
        return flo_file_read(path, TEXT_BYTES_MAX, &suite->text, &bytes, err);
    }
    int rv = flo_calibration_text(&text, err);
    suite->text = text.data; /* the suite frees it */
    return rv;
}

/* ---- the table ---- */

static int open_suite(const struct quantize *q, struct flo_suite *suite,
                      struct flo_compare_report *report, struct flo_err *err)
{
    if (q->suite != NULL) {
        return flo_eval_suite(q->suite, suite, &report->suite_file, err);
    }
    report->only_asks = true;
    report->suite_file.path = q->calibrate;
    FLO_TRY(read_text(q->calibrate, suite, err));
    return ask_lines(suite, err);
}

static int write_page(void *context, int fd, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf page = {0};

    flo_compare_page(context, &page);
    return page.failed ? flo_fail(err, FLO_E_MEMORY, "the page")
                       : flo_fd_write_all(fd, page.data, page.bytes, err);
}

/* Tells whether all tensors of the original are floats, so that copies of it are
 * worth a look. */
static bool has_floats(const struct quantize *q)
{
    for (size_t i = 0; i < flo_gguf_tensor_count(q->source); i++) {
        if (flo_quant_type(flo_gguf_tensor_at(q->source, i)->type)->block_values > 1) {
            return false;
        }
    }
    return true;
}

int flo_quantize_compare(struct quantize *q, struct flo_err *err)
{
    const char *const models[] = {q->tool.args.words[0], q->tool.args.words[1]};
    struct flo_suite suite = {0};
    const struct flo_compare_ask ask = {&q->tool, &suite, models, FLO_COUNT(models),
                                        has_floats(q) ? COPIES : NULL};

    q->table.tokens_max = TOKENS_MAX;
    int rv = open_suite(q, &suite, &q->table, err);
    if (rv == 0) {
        rv = flo_compare_run(&ask, &q->table, err);
    }
    flo_suite_deinit(&suite);
    FLO_TRY(rv);
    const struct flo_inputs inputs = {{models[0], models[1], q->suite, q->calibrate}};
    return q->page != NULL ? flo_outfile(q->page, inputs, write_page, &q->table, err) : 0;
}

int flo_quantize_check_answers(const struct quantize *q, struct flo_err *err)
{
    const struct flo_compare_row *first = &q->table.rows[0];
    const struct flo_compare_row *chosen = &q->table.rows[q->table.count - 1];
    double lost = ((double)first->exact - (double)chosen->exact) / (double)q->table.cases;

    if (first->error.code != 0 || chosen->error.code != 0) {
        *err = first->error.code != 0 ? first->error : chosen->error;
        return flo_wrap(err, err->code, "the table");
    }
    if (q->suite == NULL || q->loss == NULL || 100 * lost <= 100 * expm1(q->kl_max) + 1e-9) {
        return 0;
    }
    char what[200];
    snprintf(what, sizeof(what),
             "%.80s has %u of %zu answers right, the original %u; share of them lost",
             q->tool.args.words[1], chosen->exact, q->table.cases, first->exact);
    flo_budget_missed(err, what, lost, expm1(q->kl_max));
    return flo_err_fix(err, "give a smaller --loss; the file was written");
}
