/* Print: writes progress, JSON texts and results, for all commands. */
#include "engine/tools/common.h"

#include <string.h>
#include <unistd.h>

#include "base/quant/quant.h"

#define PROGRESS_FIRST_US 1000000 /* after the beginning */
/* microseconds between two lines of progress outside a terminal */
#define PROGRESS_EACH_US 1000000

void flo_tool_progress(const char *what, uint64_t done, uint64_t total, uint64_t started_us)
{
    static uint64_t told_us; /* the last line */
    bool is_terminal = isatty(STDERR_FILENO) != 0;
    uint64_t now_us = flo_now_us();

    if (done == total && is_terminal) {
        fputs("\r\033[K", stderr);
    }
    if (told_us < started_us) {
        told_us = started_us + PROGRESS_FIRST_US - PROGRESS_EACH_US;
    }
    if (done == 0 || done == total || now_us < started_us + PROGRESS_FIRST_US ||
        (!is_terminal && now_us < told_us + PROGRESS_EACH_US)) {
        return;
    }
    told_us = now_us;
    uint64_t left_s = (now_us - started_us) / done * (total - done) / 1000000;
    fprintf(stderr, "%s%s %llu/%llu, %02llu:%02llu left%s", is_terminal ? "\r" : "", what,
            (unsigned long long)done, (unsigned long long)total, (unsigned long long)left_s / 60,
            (unsigned long long)left_s % 60, is_terminal ? "\033[K" : "\n");
}

void flo_tool_json(struct flo_buf *out, const char *before, const char *text)
{
    flo_buf_text(out, before);
    flo_buf_text(out, "\"");
    flo_buf_json_text(out, text, strlen(text));
    flo_buf_text(out, "\"");
}

void flo_tool_types(const size_t *counts, struct flo_buf *out)
{
    for (uint32_t id = 0; id < FLO_QUANT_ID_COUNT; id++) {
        if (counts[id] > 0) {
            flo_buf_printf(out, " %zu %s", counts[id], flo_quant_type(id)->name);
        }
    }
    flo_buf_text(out, "\n");
}

int flo_tool_print(const struct flo_buf *text, const char *what, struct flo_err *err)
{
    if (text->failed) {
        return flo_fail(err, FLO_E_MEMORY, "%s", what);
    }
    if (text->bytes > 0 &&
        (fwrite(text->data, 1, text->bytes, stdout) != text->bytes || fflush(stdout) != 0)) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "stdout");
    }
    return 0;
}
