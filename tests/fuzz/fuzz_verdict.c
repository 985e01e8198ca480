/* The answers of a guard: of a program, which may write anything, and of a
 * model. */
#include "agent/serve/guard/verdict.h"

#include "tests/fuzz/must.h"

#include <string.h>

#include <flotilla/errors/infer.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void look(int rv, const struct guard_verdict *verdict, const struct flo_err *err)
{
    if (rv < 0) {
        must(rv == FLO_E_INFER_GUARD_FAILED && err->what[0] != '\0');
        return;
    }
    must(verdict->kind < GUARD_FAILED);
    must(verdict->kind == GUARD_EDITED || verdict->text.bytes == 0);
    must(verdict->text.bytes <= FLO_GUARD_TEXT_BYTES_MAX);
    must(verdict->kind != GUARD_REFUSED || verdict->reason[0] != '\0');
    for (const char *c = verdict->reason; *c != '\0'; c++) {
        must((unsigned char)*c >= ' ');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct flo_serve_guard guard = {
        .model = "judge", .pass = "safe", .refuse = "unsafe"};
    const char *text = bytes > 0 ? (const char *)data : "";
    struct guard_verdict verdict;
    struct flo_err err = {0};

    look(flo_guard_verdict_read(text, bytes, &verdict, &err), &verdict, &err);
    flo_buf_deinit(&verdict.text);
    memset(&err, 0, sizeof(err));
    look(flo_guard_verdict_of(&guard, (struct flo_wire_text){text, bytes}, &verdict, &err),
         &verdict, &err);
    return 0;
}
