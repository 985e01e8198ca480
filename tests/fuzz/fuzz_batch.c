/* Files of requests and of answers, in pieces whose size the first byte says:
 * lines, requests, answers that are read back, and progress. */
#include "agent/serve/batch/lines.h"
#include "agent/serve/batch/progress.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool is_true)
{
    if (!is_true) {
        abort();
    }
}

/* An answer is read back as it was. */
static void answer(const struct flo_batch_reader *from, const struct flo_batch_line *line,
                   const char *what)
{
    const struct flo_batch_answer answer = {.batch = "",
                                            .number = from->number,
                                            .custom_id = line->custom_id,
                                            .status = 200,
                                            .body = line->body.data,
                                            .bytes = line->body.bytes,
                                            .code = what != NULL ? "rest.schema" : NULL,
                                            .what = what};
    struct flo_batch_reader reader = {.bytes_max = 1u << 22};
    struct flo_batch_answered seen;
    struct flo_buf text = {0};

    flo_batch_answer_add(&answer, &text);
    must(flo_batch_reader_take(&reader, text.data, text.bytes) == text.bytes);
    must(reader.is_whole);
    if (flo_batch_answer_read(&reader, &seen)) { /* else it nests too deep */
        must(seen.number == from->number);
        must(strcmp(seen.custom_id, line->custom_id) == 0);
        must(seen.has_failed == (what != NULL));
    } else {
        must(what == NULL);
    }
    flo_batch_reader_deinit(&reader);
    flo_buf_deinit(&text);
}

static void take_line(const struct flo_batch_reader *reader)
{
    struct flo_batch_line line;
    struct flo_batch_answered answered;
    struct flo_err err = {0};
    char id[FLO_BATCH_ID_BYTES_MAX + 1];
    int rv = flo_batch_line_read(reader, -1, &line, &err);

    must(rv == 0 || err.what[0] != '\0');
    must(rv < 0 || (line.custom_id[0] != '\0' && line.body.bytes > 0));
    flo_batch_line_id(reader, id);
    must(strcmp(id, line.custom_id) == 0);
    answer(reader, &line, rv < 0 ? err.what : NULL);
    (void)flo_batch_answer_read(reader, &answered);
    (void)flo_batch_comes_again(503, reader->line.data, reader->line.bytes, 9);
    flo_batch_line_deinit(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_batch_reader reader = {.bytes_max = 4096};
    struct flo_batch_progress progress, again;
    uint8_t record[FLO_BATCH_PROGRESS_BYTES];

    if (bytes == 0) {
        return 0;
    }
    size_t piece = 1 + data[0];
    for (size_t at = 1; at < bytes;) {
        size_t n = bytes - at < piece ? bytes - at : piece;
        size_t took = flo_batch_reader_take(&reader, (const char *)data + at, n);
        must(took > 0 && took <= n);
        at += took;
        must(reader.offset == at - 1 && reader.line.bytes <= 4096);
        if (reader.is_whole && !flo_batch_reader_is_blank(&reader)) {
            take_line(&reader);
        }
    }
    if (flo_batch_reader_end(&reader)) {
        take_line(&reader);
    }
    flo_batch_reader_deinit(&reader);
    if (flo_batch_progress_read(data + 1, bytes - 1, &progress)) {
        flo_batch_progress_write(&progress, record);
        must(flo_batch_progress_read(record, sizeof(record), &again));
        must(memcmp(&progress, &again, sizeof(again)) == 0);
    }
    return 0;
}
